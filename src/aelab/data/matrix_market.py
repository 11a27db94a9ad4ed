"""Matrix Market files: ``.mtx``, a header, a line of sizes, and a line for each entry.

Not by SciPy's reader: on some damaged files it ends the whole process.
"""

import warnings
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aelab.data.adjacency import edges_of_matrix, found_in_matrix, numbers_from
from aelab.data.compressed import opened
from aelab.data.edge_list import MOST_WEIGHT
from aelab.data.found_edges import FoundEdges
from aelab.files import InputError, MissingFileError

Source = BytesIO | BufferedReader
LINE_LIMIT = 2**16
MOST_WITHOUT_EDGE = 10**6  # a node without an edge is no text: a short file could name billions
VALUES = {"pattern": 0, "real": 1, "double": 1, "integer": 1, "unsigned-integer": 1}
"""Numbers after the two of an entry's place, by the field of a header."""


@dataclass(frozen=True)
class Header:
    """What the head of a Matrix Market file says."""

    dense: bool
    values: int
    symmetric: bool
    rows: int
    columns: int
    entries: int


def read_matrix_market(path: Path, *, bipartite: bool = False) -> FoundEdges:
    """Read the graph of a Matrix Market file; one that is not square is bipartite.

    Raises:
        InputError: it is damaged, or not of numbers from 0.
        MissingFileError: there is no such file.
    """
    try:
        with opened(path) as file:
            header = _header(path, file)
            content = _numbers(path, file, header)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist; check the path") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    bipartite = bipartite or header.rows != header.columns
    names = np.array(numbers_from(1, header.rows)), np.array(numbers_from(1, header.columns))
    if header.dense:
        matrix = _dense(header, content[:, 0])
        if not bipartite:
            return edges_of_matrix(path, matrix, names[0])
        place, values = np.stack(matrix.nonzero()), matrix[matrix.nonzero()]
    else:
        place = _places(path, header, content[:, :2])
        values = content[:, 2] if header.values else np.ones(len(content))
        place, values = place[:, values != 0], values[values != 0]
        if header.symmetric and bipartite:  # only the lower half is in the file
            below = place[0] != place[1]
            place = np.concatenate([place, place[::-1, below]], 1)
            values = np.concatenate([values, values[below]])
    _refuse_weights(path, place, values)
    told = f"a Matrix Market file of {header.rows:,} x {header.columns:,}"
    pairs = names[0][place[0]], names[1][place[1]]
    return found_in_matrix(pairs, values, names, told, bipartite=bipartite)


def _header(path: Path, file: Source) -> Header:
    words = file.readline(LINE_LIMIT).decode("latin-1").lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"]:
        raise InputError(
            f"{path} is no Matrix Market file: it does not begin with '%%MatrixMarket matrix'"
        )
    layout, field, symmetry = words[2:]
    symmetries = ("general", "symmetric")
    if layout not in ("coordinate", "array") or field not in VALUES or symmetry not in symmetries:
        raise InputError(
            f"{path} is a matrix that is {' '.join(words[2:])!r}; a graph is coordinate or array, "
            f"{', '.join(VALUES)}, and general or symmetric"
        )
    line = file.readline(LINE_LIMIT)
    while line.startswith(b"%") or line in (b"\n", b"\r\n"):
        line = file.readline(LINE_LIMIT)
    dense, sizes = layout == "array", line.split()
    if len(sizes) != 3 - dense or not all(size.isdigit() and len(size) < 16 for size in sizes):
        raise InputError(f"{path} has no line of sizes after its header, but {line[:40]!r}")
    rows, columns, *given = map(int, sizes)
    symmetric = symmetry == "symmetric"
    if symmetric and rows != columns:
        raise InputError(f"{path} is symmetric, and yet of {rows:,} x {columns:,}")
    entries = rows * (rows + 1) // 2 if symmetric else rows * columns
    return Header(dense, VALUES[field], symmetric, rows, columns, given[0] if given else entries)


def _numbers(path: Path, file: Source, header: Header) -> NDArray[np.float64]:
    """All numbers below the head, ``[entries, numbers a line]``."""
    width = header.values if header.dense else 2 + header.values
    try:
        with warnings.catch_warnings():  # of a file without entries
            warnings.simplefilter("ignore", UserWarning)
            content = np.loadtxt(file, np.float64, comments="%", ndmin=2, encoding="latin-1")
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is damaged: {reason}") from error
    if not content.size:
        raise InputError(f"{path} holds no edges")
    if content.shape != (header.entries, width):
        raise InputError(
            f"{path} is damaged: it has {len(content):,} lines of {content.shape[1]} numbers, and "
            f"its head says {header.entries:,} of {width}"
        )
    if header.rows + header.columns > 2 * header.entries + MOST_WITHOUT_EDGE:
        raise InputError(
            f"{path} is of {header.rows:,} x {header.columns:,} nodes and has {header.entries:,} "
            f"entries; leave out the nodes without an edge"
        )
    return content


def _places(path: Path, header: Header, given: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows and columns of the entries, ``[2, entries]``, from 0."""
    size = np.array([header.rows, header.columns])
    bad = ~((given >= 1) & (given <= size) & (given == np.floor(given))).all(1)
    if bad.any():
        row, column = given[bad.argmax()]
        raise InputError(
            f"{path} is damaged: its entry {int(bad.argmax()) + 1:,} is in row {row:g}, column "
            f"{column:g} of {header.rows:,} x {header.columns:,}"
        )
    return given.T.astype(np.int64) - 1


def _dense(header: Header, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix of an array, which is column by column; of a symmetric one, the lower half."""
    if not header.symmetric:
        return values.reshape(header.columns, header.rows).T
    matrix = np.zeros((header.rows, header.rows))
    matrix[np.triu_indices(header.rows)] = values
    return matrix + np.triu(matrix, 1).T


def _refuse_weights(path: Path, place: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    bad = ~((values > 0) & (values <= MOST_WEIGHT))
    if bad.any():
        row, column = place[:, bad.argmax()] + 1
        raise InputError(
            f"{path}: row {row}, column {column} is {values[bad.argmax()]:g}; weights must be "
            f"finite, and 0 or more"
        )
