"""Citation graphs in Planetoid's format, and the graph that needs no file: Zachary's karate club.

Cora, CiteSeer and PubMed (Yang, Cohen & Salakhutdinov 2016, arXiv 1603.08861) come as pickles of
Python 2, and a pickle is a program. These are read by an unpickler that knows five names, each
of which only makes a plain record of our own; no code of NumPy, SciPy or anything else is run.
"""

import io
import os
import pickle
import pickletools
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from aelab.data.downloads import fetch
from aelab.data.link_graph import csr_matrix, sparse_matrix
from aelab.data.raw_graph import RawGraph, canonical_edges
from aelab.files import InputError, MissingFileError, read_tensors, user_cache, write_tensors

FOLDERS = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}
PARTS = ("allx", "tx", "graph", "test.index")  # the features, the rest of them, links, their places
CLASSES = ("ally", "ty")  # the classes of the same rows; nothing but pictures needs them
LIMIT = 64 * 2**20  # bytes of a file; the largest of the nine has about 8 MB
SOURCE = "https://github.com/kimiyoung/planetoid/raw/master/data/"


def read_karate() -> RawGraph:
    """Zachary's karate club (1977): 34 members, 78 friendships, no features."""
    with warnings.catch_warnings():  # its import uses what PyTorch has deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch_geometric.datasets import KarateClub  # type: ignore[import-untyped]

    club = KarateClub()[0]
    pairs = club.edge_index
    edges, _ = canonical_edges(pairs[:, pairs[0] < pairs[1]].numpy(), 34)
    return RawGraph("karate", tuple(map(str, range(34))), edges, None, club.y)


def read_planetoid(name: str, data_dir: Path | None = None) -> RawGraph:
    """Read a citation graph: from raw files the user has, from the cache, or from the network.

    The raw files ``ind.<name>.…`` are looked for in ``planetoid/<Name>/raw`` of `data_dir` (or
    the variable AELAB_DATA). What is downloaded is kept as safetensors, and not as pickles.

    Raises:
        InputError: a file is damaged, or holds what such a file has no need of.
        MissingFileError: the files are nowhere, and cannot be downloaded.
    """
    folder, tried = FOLDERS[name], []
    files = {part: f"ind.{name}.{part}" for part in (*PARTS, *CLASSES)}
    named = data_dir or os.environ.get("AELAB_DATA")
    if named:
        raw = Path(named).expanduser() / "planetoid" / folder / "raw"
        there = {part: raw / file for part, file in files.items() if (raw / file).is_file()}
        missing = [files[part] for part in PARTS if part not in there]
        if not missing:
            return parse(name, {part: read_limited(p) for part, p in there.items()}, str(raw))
        tried.append(f"{raw} (lacks {', '.join(missing)})")
    cache = user_cache("planetoid", f"{name}.safetensors")
    if cache.is_file():
        return from_tensors(name, cache)
    try:
        network = parse(name, {part: download(file) for part, file in files.items()}, SOURCE)
    except InputError as error:
        tried.append(str(error))
        raise MissingFileError(
            f"{folder} not found. Tried: {'; '.join(tried)}. To get it, put the files ind.{name}.* "
            f"of Planetoid into planetoid/{folder}/raw of a folder that you name with --data-dir "
            f"or the variable AELAB_DATA, or run again with a network"
        ) from error
    write_tensors(cache, to_tensors(network))
    return network


def parse(name: str, files: Mapping[str, bytes], where: str) -> RawGraph:
    """Make a graph of the contents of a data set's files.

    A node's features stand in `allx` at its number, or in `tx` at its place in `test.index`.
    CiteSeer's `test.index` leaves out 15 nodes: they have no features, and most no links.

    Raises:
        InputError: the files do not fit together.
    """
    try:
        matrices = [loads(files[part]).entries() for part in ("allx", "tx")]
        neighbours = loads(files["graph"])
        places = np.array(files["test.index"].split(), dtype=np.int64)
        first = matrices[0][3][0]
        nodes = int(max(places.max() + 1, first))
        if nodes > first + 2 * len(places):
            raise ValueError(f"test.index names the node {nodes - 1}, far beyond the others")
        features = stacked(matrices, [np.arange(first), places], nodes)
        pairs = [(i, j) for i, row in neighbours.items() for j in row]
        ends = np.array(pairs, dtype=np.int64).T
        if ends.min() < 0 or ends.max() >= nodes:
            raise ValueError(f"links between nodes that are not among 0 to {nodes - 1}")
        edges, _ = canonical_edges(ends, nodes)
        labels = labels_of(files, places, nodes)
    except Exception as error:  # bytes without sense may raise anything
        raise InputError(f"{where}: {FOLDERS[name]}'s files are damaged ({error})") from error
    return with_notes(name, edges, features, labels)


def labels_of(
    files: Mapping[str, bytes], places: NDArray[np.int64], nodes: int
) -> Int64[Tensor, " nodes"] | None:
    """Class of each node, which its row of `ally` or `ty` marks; None where those files are not."""
    if not files.keys() >= set(CLASSES):
        return None
    first, rest = (np.asarray(loads(files[part]).values) for part in CLASSES)
    if first.ndim != 2 or len(first) > nodes or len(places) != len(rest) or not first.shape[1]:
        raise ValueError(f"{len(first)} and {len(rest)} classes for {nodes} nodes")
    labels = np.full(nodes, -1, dtype=np.int64)
    for rows, place in ((first, np.arange(len(first))), (rest, places)):
        labels[place] = np.where(rows.any(1), rows.argmax(1), -1)
    return torch.from_numpy(labels)


def with_notes(
    name: str, edges: Tensor, features: Tensor, labels: Int64[Tensor, " nodes"] | None
) -> RawGraph:
    """The graph, and a note on its isolated nodes."""
    nodes = len(features)
    isolated = nodes - len(edges.unique())
    notes = (f"{isolated} nodes have no edge",) if isolated else ()
    return RawGraph(name, tuple(map(str, range(nodes))), edges, features, labels, notes)


Entries = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], tuple[int, int]]


def stacked(
    matrices: list[Entries], places: list[NDArray[np.int64]], nodes: int
) -> Float[Tensor, "nodes features"]:
    """One CSR matrix: row r of matrix m is node ``places[m][r]``."""
    width = matrices[0][3][1]
    index, values = [], []
    for (rows, columns, data, shape), place in zip(matrices, places, strict=True):
        if len(place) != shape[0] or shape[1] != width or place.min() < 0:
            raise ValueError(f"{len(place)} places for {shape[0]} rows of {shape[1]} features")
        index.append(np.stack([place[rows], columns]))
        values.append(data)
    both = torch.from_numpy(np.concatenate(index, 1)), torch.from_numpy(np.concatenate(values))
    return sparse_matrix(*both, (nodes, width))


class Array:
    """What a pickle may say of a NumPy array: its type, shape and bytes.

    >>> array, content = Array(), np.array([1, 2], "i4").tobytes().decode("latin1")
    >>> array.__setstate__((1, (2,), Dtype("i4"), 0, content))
    >>> array.values
    array([1, 2], dtype=int32)
    """

    values: NDArray[Any]

    def __setstate__(self, state: object) -> None:
        """Read ``(version, shape, type, Fortran order, content)``."""
        match state:
            case (1, tuple(shape), Dtype() as dtype, 0 | 1 as fortran, str(content)):
                values = np.frombuffer(content.encode("latin1"), dtype.dtype)
                self.values = values.reshape(shape, order="F" if fortran else "C")
            case _:
                raise pickle.UnpicklingError("an array of another form")


class Dtype:
    """What a pickle may say of a NumPy type: plain numbers, and their byte order.

    >>> Dtype("f4").dtype
    dtype('float32')
    """

    def __init__(self, code: str = "", *_: int) -> None:
        if code not in ("f4", "f8", "i4", "i8"):
            raise pickle.UnpicklingError(f"an array of type {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: object) -> None:
        """Read ``(version, byte order, …)``."""
        match state:
            case (_, "<" | ">" as order, *_):
                self.dtype = self.dtype.newbyteorder(order)
            case _:
                raise pickle.UnpicklingError("a type of another form")


class Csr:
    """What a pickle may say of a SciPy CSR matrix.

    >>> matrix, starts, data = Csr(), Array(), Array()
    >>> starts.values, data.values = np.array([0, 2]), np.array([5.0, 7.0])  # also the columns
    >>> matrix.__setstate__({"indptr": starts, "indices": starts, "data": data, "shape": (1, 3)})
    >>> matrix.entries()
    (array([0, 0]), array([0, 2]), array([5., 7.], dtype=float32), (1, 3))
    """

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read the arrays and the shape; the rest does not matter."""
        self.state = state

    def entries(self) -> Entries:
        """Row, column and value of each entry, and the shape; checked."""
        arrays = [self.state[name].values for name in ("indptr", "indices", "data")]
        shape = self.state["_shape"] if "_shape" in self.state else self.state["shape"]
        starts, columns = (array.astype(np.int64) for array in arrays[:2])
        height, width = map(int, shape)
        counts = np.diff(starts)
        if len(starts) != height + 1 or starts[0] != 0 or starts[-1] != len(columns):
            raise ValueError("a matrix whose rows do not add up")
        if (counts < 0).any() or len(columns) != len(arrays[2]):
            raise ValueError("a matrix whose rows do not add up")
        if len(columns) and not 0 <= columns.min() <= columns.max() < width:
            raise ValueError("a matrix with entries outside of it")
        rows = np.repeat(np.arange(height), counts)
        return rows, columns, arrays[2].astype(np.float32), (height, width)


ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: Array(),  # content by __setstate__
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Dtype,
    ("scipy.sparse.csr", "csr_matrix"): Csr,
    ("collections", "defaultdict"): defaultdict,
    ("__builtin__", "list"): list,
    ("builtins", "list"): list,
}


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickles what Planetoid's files are made of, and refuses every other name.

    >>> RestrictedUnpickler(io.BytesIO(pickle.dumps(print))).load()
    Traceback (most recent call last):
    _pickle.UnpicklingError: it asks for builtins.print, which is not allowed
    """

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as pickle has it
        """Look the name up among the allowed ones."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")
        return ALLOWED[module, name]


def loads(content: bytes, limit: int = LIMIT) -> Any:  # noqa: ANN401 - whatever was pickled
    """Unpickle `content` if it is small and has allowed names only; else an UnpicklingError."""
    if len(content) > limit:
        raise pickle.UnpicklingError(f"more than {limit:,} bytes")
    for opcode, argument, _ in pickletools.genops(content):
        if "PUT" in opcode.name and int(argument or 0) > len(content):  # it would reserve that much
            raise pickle.UnpicklingError("a memo larger than the file")
    return RestrictedUnpickler(io.BytesIO(content), encoding="latin1").load()


def read_limited(path: Path) -> bytes:
    """Read a file, if it is not too large to be one of Planetoid's."""
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > LIMIT:
        raise InputError(f"{path} is larger than {LIMIT:,} bytes: not a file of Planetoid's")
    return content


def download(file: str) -> bytes:
    """Bring one file from Planetoid's repository; nothing is left on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        fetch(SOURCE + file, path)
        return read_limited(path)


def to_tensors(network: RawGraph) -> dict[str, Tensor]:
    """What is kept of a downloaded graph."""
    x, labels = network.features, network.labels
    assert x is not None
    assert labels is not None
    return {
        "labels": labels,
        "edges": network.edges,
        "starts": x.crow_indices(),
        "columns": x.col_indices(),
        "values": x.values(),
        "shape": torch.tensor(x.shape),
    }


def from_tensors(name: str, cache: Path) -> RawGraph:
    """Read the graph that `to_tensors` has kept."""
    kept = read_tensors(cache)
    try:
        nodes, width = map(int, kept["shape"])
        features = csr_matrix(kept["starts"], kept["columns"], kept["values"], (nodes, width))
        return with_notes(name, kept["edges"], features, kept.get("labels"))
    except Exception as error:  # as above
        raise InputError(
            f"{cache} is damaged ({error}); remove it, and it is downloaded again"
        ) from error
