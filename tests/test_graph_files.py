"""Graphs in files of every kind that users bring, and what is refused of them."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import aelab
from aelab.apps.links import top_missing_links
from aelab.cli.verbs import main
from aelab.data import compressed
from aelab.data.edge_list import read_pairs
from aelab.data.graphs import GraphDataset, load, read, split_raw_graph
from aelab.data.link_graph import LinkGraph
from aelab.data.loading import settled
from aelab.data.raw_graph import RawGraph
from aelab.files import InputError, MissingFileError
from aelab.machine import seeded
from aelab.models.links import GraphAutoencoder, masked_edges
from aelab.settings import DataSettings

NODES = 30
RING = [(i, (i + 1) % NODES) for i in range(NODES)] + [(i, (i + 7) % NODES) for i in range(NODES)]


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def listed(path: Path, *first: str, weights: list[Any] | None = None) -> Path:
    """The ring as a list of edges."""
    more = [""] * len(RING) if weights is None else [f",{weight}" for weight in weights]
    return write(path, *first, *(f"{i},{j}{w}" for (i, j), w in zip(RING, more, strict=True)))


def matrix_of_ring() -> NDArray[np.int64]:
    matrix = np.zeros((NODES, NODES), dtype=np.int64)
    for i, j in RING:
        matrix[i, j] = matrix[j, i] = 1
    return matrix


def edges(network: RawGraph) -> set[tuple[str, ...]]:
    """The edges by their nodes' ids."""
    return {tuple(sorted(network.node_ids[i] for i in edge)) for edge in network.edges.T.tolist()}


def weights(network: RawGraph) -> dict[tuple[str, ...], float]:
    assert network.weights is not None
    named = [tuple(network.node_ids[i] for i in edge) for edge in network.edges.T.tolist()]
    return dict(zip(named, network.weights.tolist(), strict=True))


def told(of: RawGraph | GraphDataset, words: str) -> bool:
    return any(words in note for note in of.notes)


@pytest.fixture
def ring(tmp_path: Path) -> RawGraph:
    """What all files below that hold the ring must be read as."""
    return read(str(listed(tmp_path / "expected.csv")))


# By suffix


@pytest.mark.parametrize("name", ["a.edges", "a.edgelist", "A.EDGES", "a.txt"])
@pytest.mark.parametrize("packed", [False, True])
def test_lists_of_edges_by_their_suffix(
    name: str, packed: bool, ring: RawGraph, tmp_path: Path
) -> None:
    path = write(tmp_path / name, *(f"{i} {j}" for i, j in RING))
    if packed:
        path = compress(path)
    data = aelab.load_data(path)
    assert isinstance(data, GraphDataset)
    assert data.sha256 == split_raw_graph(ring, 0).sha256
    assert data.name.lower() == "a"


def compress(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_compressed_tables_of_edges(suffix: str, ring: RawGraph, tmp_path: Path) -> None:
    between = "\t" if suffix == ".tsv" else ","
    lines = [f"source{between}target", *(f"{i}{between}{j}" for i, j in RING)]
    data = aelab.load_data(compress(write(tmp_path / f"a{suffix}", *lines)), rows="edges")
    assert data.sha256 == split_raw_graph(ring, 0).sha256


def test_features_may_be_compressed(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", *(f"{i},{i * i}" for i in range(NODES)))
    edges = str(listed(tmp_path / "a.csv"))
    plain = read(edges, features=path)
    assert read(edges, features=compress(path)).sha256 == plain.sha256


def test_the_model_says_what_compressed_tables_are(tmp_path: Path) -> None:
    path = compress(listed(tmp_path / "a.csv"))
    assert settled(DataSettings(str(path)), "inputs").rows == "inputs"
    assert settled(DataSettings(str(path)), "edges").rows == "edges"


@pytest.mark.parametrize("name", ["a.csv.gz", "a.mtx.gz"])
def test_a_small_file_fills_no_memory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "ALWAYS_ALLOWED", 10_000)
    head = "%%MatrixMarket matrix coordinate pattern general\n9 9 9\n" if ".mtx" in name else ""
    path = tmp_path / name
    path.write_bytes(gzip.compress((head + "1 2\n" * 2_000_000).encode()))
    assert path.stat().st_size < 20_000
    with pytest.raises(InputError, match=r"decompresses to more than [\d,]+, where .* stopped"):
        read(str(path))


@pytest.mark.parametrize("name", ["a.csv.gz", "a.mtx.gz", "a.edges.gz"])
def test_damaged_compressed_files_are_refused(name: str, tmp_path: Path) -> None:
    whole = gzip.compress(os.urandom(1000))
    for content in (b"1,2\n3,4\n", whole[:-100], whole[:30] + b"\0" * 20 + whole[50:], b""):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as error:
            read(str(tmp_path / name))
        assert "\n" not in str(error.value)
    with pytest.raises(MissingFileError, match="does not exist"):
        read(str(tmp_path / f"none-{name}"))


# Matrix Market


def as_market(path: Path, matrix: Any, **how: Any) -> Path:
    """Written by SciPy."""
    scipy.io.mmwrite(path, matrix, **how)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        {"field": "pattern", "symmetry": "symmetric"},
        {"field": "integer", "symmetry": "general"},
        {"field": "real", "symmetry": "symmetric", "comment": "a ring\nof nodes"},
    ],
)
@pytest.mark.parametrize("dense", [False, True])
def test_matrix_market_files_of_every_kind(
    how: dict[str, Any], dense: bool, packed: bool, tmp_path: Path
) -> None:
    if dense and how["field"] == "pattern":
        return
    matrix = matrix_of_ring()
    path = as_market(tmp_path / "a.mtx", matrix if dense else scipy.sparse.coo_array(matrix), **how)
    network = read(str(compress(path) if packed else path))
    expected = {tuple(sorted((str(i + 1), str(j + 1)))) for i, j in RING}  # counted from 1
    assert edges(network) == expected
    assert network.node_ids == tuple(str(i + 1) for i in range(NODES))
    assert network.weights is None


@pytest.mark.parametrize("symmetric", [False, True])
def test_matrix_market_values_are_weights(symmetric: bool, tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0.1, 5, (NODES, NODES)) * matrix_of_ring()
    values = np.triu(values) + (np.triu(values).T if symmetric else 0)
    how = {"symmetry": "symmetric" if symmetric else "general"}
    network = read(str(as_market(tmp_path / "a.mtx", scipy.sparse.coo_array(values), **how)))
    assert weights(network) == pytest.approx(
        {
            (str(i + 1), str(j + 1)): values[i, j]
            for i, j in zip(*np.triu(values).nonzero(), strict=True)
        }
    )
    assert told(network, "read as weights")


@pytest.mark.parametrize("dense", [False, True])
def test_a_matrix_that_is_not_square_is_bipartite(dense: bool, tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).integers(2, size=(12, 20))
    path = as_market(tmp_path / "a.mtx", matrix if dense else scipy.sparse.coo_array(matrix))
    network = read(str(path))
    assert network.first_kind == 12
    assert edges(network) == {
        (f"column:{j + 1}", f"row:{i + 1}") for i, j in zip(*matrix.nonzero(), strict=True)
    }
    assert told(network, "two kinds, row and column")


def test_a_square_matrix_may_be_said_to_be_bipartite(tmp_path: Path) -> None:
    matrix = matrix_of_ring()
    np.save(tmp_path / "a.npy", matrix)
    how = {"symmetry": "symmetric"}
    for path in (
        tmp_path / "a.npy",
        as_market(tmp_path / "a.mtx", scipy.sparse.coo_array(matrix), **how),
        write(tmp_path / "a.csv", *(",".join(map(str, row)) for row in matrix)),
    ):
        network = read(str(path), bipartite=True)
        assert network.edges.shape[1] == matrix.sum()  # (i, j) and (j, i) join other nodes
        assert network.first_kind == NODES == len(network.node_ids) - NODES


MARKET = "%%MatrixMarket matrix coordinate"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1 2 3"], "does not begin with"),
        ([], "does not begin with"),
        (["%%MatrixMarket matrix"], "does not begin with"),
        ([f"{MARKET} complex general", "2 2 1", "1 2 1 1"], "'coordinate complex general'"),
        ([f"{MARKET} real skew-symmetric", "2 2 1", "2 1 1"], "skew-symmetric"),
        ([f"{MARKET} real general"], "no line of sizes"),
        ([f"{MARKET} real general", "2 2"], "no line of sizes"),
        ([f"{MARKET} real general", "2 -2 1"], "no line of sizes"),
        ([f"{MARKET} real symmetric", "2 3 1", "1 2 1"], "symmetric, and yet of 2 x 3"),
        ([f"{MARKET} real general", "3 3 2", "1 2 1"], "1 lines of 3 numbers, .* says 2 of 3"),
        ([f"{MARKET} real general", "3 3 1", "1 2"], "1 lines of 2 numbers, .* says 1 of 3"),
        ([f"{MARKET} real general", "3 3 9999999999999", "1 2 1"], "says 9,999,999,999,999"),
        ([f"{MARKET} real general", "999999999 999999999 1", "1 2 1"], "without an edge"),
        ([f"{MARKET} real general", "3 3 2", "1 2 1", "1 4 1"], "entry 2 is in row 1, column 4"),
        ([f"{MARKET} real general", "3 3 1", "0 2 1"], "entry 1 is in row 0"),
        ([f"{MARKET} real general", "3 3 1", "1.5 2 1"], "row 1.5"),
        ([f"{MARKET} real general", "3 3 1", "1 2 x"], "damaged"),
        ([f"{MARKET} real general", "3 3 2", "1 3 1", "1 2 -4"], "row 1, column 2 is -4"),
        ([f"{MARKET} real general", "3 3 1", "1 2 nan"], "is nan"),
        ([f"{MARKET} real general", "3 3 1", "1 2 1e300"], r"is 1e\+300"),
        ([f"{MARKET} real general", "3 3 0"], "holds no edges"),
        (["%%MatrixMarket matrix array real general", "2 2", "0", "1.5", "1.5", "0"], "is 1.5"),
        (["%%MatrixMarket matrix array real general", "99999 99999", "0"], "says 9,999,800,001"),
    ],
)
def test_bad_matrix_market_files_are_refused_in_one_line(
    lines: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as error:
        read(str(write(tmp_path / "a.mtx", *lines)))
    assert "\n" not in str(error.value)
    assert "a.mtx" in str(error.value)


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(
        ["coordinate real general", "coordinate pattern symmetric", "array real general"]
    ),
    rest=st.one_of(st.binary(max_size=60), st.text("123 -.\n%e", max_size=60).map(str.encode)),
)
def test_any_bytes_are_a_matrix_or_one_line(
    kind: str, rest: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.mtx"
    path.write_bytes(b"%%MatrixMarket matrix " + kind.encode() + b"\n" + rest)
    message = ""
    try:
        read(str(path))
    except InputError as error:
        message = str(error)
    assert "\n" not in message


# Adjacency matrices in tables and arrays


def rows_of(matrix: NDArray[Any]) -> list[str]:
    return [",".join(map(str, row)) for row in matrix.tolist()]


NUMBERS = list(map(str, range(NODES)))


def test_adjacency_matrices_of_every_layout(ring: RawGraph, tmp_path: Path) -> None:
    rows = rows_of(matrix_of_ring())
    numbered = [f"{i},{row}" for i, row in enumerate(rows)]
    header = ",".join(NUMBERS)
    np.save(tmp_path / "bool.npy", matrix_of_ring().astype(bool))
    np.save(tmp_path / "float.npy", matrix_of_ring().astype(np.float32))
    for path in (
        write(tmp_path / "plain.csv", *rows),
        write(tmp_path / "blanks.txt", *(row.replace(",", " ") for row in rows)),
        write(tmp_path / "semicolons.csv", *(row.replace(",", ";") for row in rows)),
        write(tmp_path / "decimal.csv", *(row.replace("1", "1.0") for row in rows)),
        write(tmp_path / "header.csv", header, *rows),
        write(tmp_path / "pandas.csv", f",{header}", *numbered),
        write(tmp_path / "named.csv", f"node,{header}", *numbered),
        compress(write(tmp_path / "packed.csv", *rows)),
        tmp_path / "bool.npy",
        tmp_path / "float.npy",
    ):
        network = read(str(path))
        assert network.sha256 == ring.sha256, path
        assert told(network, "30 x 30 whole numbers were read as an adjacency matrix")
        assert len(network.notes) == 1


def test_names_of_a_matrix_are_its_nodes(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(NODES)]
    rows = rows_of(matrix_of_ring())
    named = [f"{name},{row}" for name, row in zip(names, rows, strict=True)]
    for lines in ([f",{','.join(names)}", *named], [",".join(names), *rows]):
        network = read(str(write(tmp_path / "a.csv", *lines)))
        assert edges(network) == {tuple(sorted((f"n{i}", f"n{j}"))) for i, j in RING}
    other = [f",{','.join(names)}", *named[::-1]]
    with pytest.raises(InputError, match="row 1 is called 'n29' and its column 1 'n0'"):
        read(str(write(tmp_path / "a.csv", *other)))
    twice = ",".join([*names[:-1], "n0"])
    with pytest.raises(InputError, match="two of its columns have the same name"):
        read(str(write(tmp_path / "a.csv", twice, *rows)))
    blanks = [f",{', '.join(names)}", *(f" {row}" for row in named)]
    assert read(str(write(tmp_path / "a.csv", *blanks))).node_ids[:2] == ("n0", "n1")


def test_counts_in_a_matrix_are_weights_and_its_diagonal_is_left_out(tmp_path: Path) -> None:
    matrix = matrix_of_ring()
    matrix[0, 1] = matrix[1, 0] = 5
    matrix[3, 3] = 2
    network = read(str(write(tmp_path / "a.csv", *rows_of(matrix))))
    assert weights(network)["0", "1"] == 5
    assert weights(network)["1", "2"] == 1
    assert told(network, "from 1 to 5")
    assert told(network, "joined a node to itself")


def test_a_matrix_of_a_directed_graph_is_told(ring: RawGraph, tmp_path: Path) -> None:
    matrix = matrix_of_ring()
    matrix[1, 0] = 0
    network = read(str(write(tmp_path / "a.csv", *rows_of(matrix))))
    assert network.sha256 == ring.sha256
    assert told(network, "59 of 60 edges came in both directions, the others in one; the graph is")


@pytest.mark.parametrize("value", [0.25, -1, np.nan, np.inf])
def test_square_tables_of_other_numbers_are_refused(value: float, tmp_path: Path) -> None:
    matrix = matrix_of_ring().astype(float)
    matrix[4, 7] = matrix[7, 4] = value
    np.save(tmp_path / "a.npy", matrix)
    for path in (write(tmp_path / "a.csv", *rows_of(matrix)), tmp_path / "a.npy"):
        with pytest.raises(InputError, match=r"row '4', column '7' is .* threshold") as error:
            read(str(path))
        assert "\n" not in str(error.value)


def test_a_correlation_matrix_is_no_graph(tmp_path: Path) -> None:
    matrix = np.corrcoef(np.random.default_rng(0).normal(size=(64, 200)))
    lines = [",".join(f"{value:.4f}" for value in row) for row in matrix]
    with pytest.raises(InputError, match=r"no adjacency matrix .* threshold"):
        load(str(write(tmp_path / "g.csv", *lines)))


@pytest.mark.parametrize("shape", [(30, 29), (30,), (3, 30, 30)])
def test_arrays_that_are_not_square_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape))
    with pytest.raises(InputError, match="adjacency matrix"):
        read(str(tmp_path / "a.npy"))
    with pytest.raises(MissingFileError):
        read(str(tmp_path / "none.npy"))


def test_an_array_is_a_graph_to_a_model_of_links_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", matrix_of_ring())
    path = str(tmp_path / "a.npy")
    assert settled(DataSettings(path), "edges").rows == "edges"
    assert settled(DataSettings(path), "inputs").rows is None
    assert isinstance(aelab.load_data(path, rows="edges"), GraphDataset)
    assert not isinstance(aelab.load_data(path), GraphDataset)


# What a list of edges is not


def test_pandas_index_is_left_out(ring: RawGraph, tmp_path: Path) -> None:
    rows = [f"{row},{i},{j}" for row, (i, j) in enumerate(RING)]
    for header in (",source,target", ",who,whom", "Unnamed: 0,from,to"):
        network = read(str(write(tmp_path / "a.csv", header, *rows)))
        assert network.sha256 == ring.sha256
        assert told(network, "first column has no name and counts the rows: it was left out")
        assert not told(network, "columns not read")
    table = {"__index_level_0__": range(len(RING)), "a": [i for i, _ in RING]}
    pq.write_table(pa.table({**table, "b": [j for _, j in RING]}), tmp_path / "a.parquet")
    assert read(str(tmp_path / "a.parquet")).sha256 == ring.sha256


def test_an_index_before_weights(tmp_path: Path) -> None:
    lines = [f"{row},{i},{j},{row + 1}" for row, (i, j) in enumerate(RING)]
    network = read(str(write(tmp_path / "a.csv", ",a,b,weight", *lines)))
    assert weights(network)["0", "1"] == 1
    assert weights(network)["1", "2"] == 2


def random_pairs(count: int = 80, nodes: int = 30) -> list[tuple[int, int]]:
    pairs = np.random.default_rng(0).integers(0, nodes, (count, 2))
    return [(int(i), int(j)) for i, j in pairs if i != j]


@pytest.mark.parametrize("words", ["", "n"])
@pytest.mark.parametrize(
    ("header", "first", "said"),
    [
        (None, lambda row: row, "the first column counts the rows (--plain-edges takes"),
        (None, lambda row: row + 1, "the first column counts the rows (--plain-edges takes"),
        (",0,1", lambda row: row, "the first column has no name and counts the rows"),
        ("id,x,y", lambda row: row * 7919 % 10007, "is called 'id' and has another value in"),
        ("Edge ID,x,y", lambda row: f"e{row}", "is called 'Edge ID' and has another value in"),
        ("id,source,target", lambda row: f"e{row}", "is called 'id' and has another value in"),
        ("nr.,x,y", lambda row: row, "is called 'nr.' and has another value in each row"),
    ],
)
def test_a_first_column_that_numbers_the_rows_is_no_node(
    header: str | None, first: Callable[[int], object], said: str, words: str, tmp_path: Path
) -> None:
    pairs = random_pairs()
    right = read(str(write(tmp_path / "r.csv", *(f"{words}{i},{words}{j}" for i, j in pairs))))
    lines = [f"{first(row)},{words}{i},{words}{j}" for row, (i, j) in enumerate(pairs)]
    network = read(str(write(tmp_path / "a.csv", *([header] if header else []), *lines)))
    assert edges(network) == edges(right)
    assert network.node_ids == right.node_ids
    assert told(network, said)
    assert not told(network, "columns not read")


def test_a_first_column_of_parquet_that_numbers_the_rows_is_no_node(tmp_path: Path) -> None:
    pairs = random_pairs()
    right = read(str(write(tmp_path / "r.csv", *(f"{i},{j}" for i, j in pairs))))
    columns = {"id": range(9, len(pairs) + 9), "a": [i for i, _ in pairs]}
    pq.write_table(pa.table({**columns, "b": [j for _, j in pairs]}), tmp_path / "a.parquet")
    assert read(str(tmp_path / "a.parquet")).sha256 == right.sha256


def test_weights_stand_behind_an_index_and_its_ends(tmp_path: Path) -> None:
    """As the road networks of California have them."""
    pairs = sorted({(min(pair), max(pair)) for pair in random_pairs()})
    lines = [f"{row} {i} {j} {row + 0.5}" for row, (i, j) in enumerate(pairs)]
    network = read(str(write(tmp_path / "cal.edges", *lines)))
    assert edges(network) == {tuple(sorted(map(str, pair))) for pair in pairs}
    assert weights(network)[str(pairs[3][0]), str(pairs[3][1])] == 3.5


@pytest.mark.parametrize("header", [None, "id,parent,weight", "id,parent,rank"])
def test_the_nodes_of_a_tree_that_count_up_are_nodes(header: str | None, tmp_path: Path) -> None:
    lines = [f"{i},{i // 2},{i % 7 + 1}" for i in range(1, 60)]
    network = read(str(write(tmp_path / "a.csv", *([header] if header else []), *lines)))
    assert edges(network) == {tuple(sorted((str(i), str(i // 2)))) for i in range(1, 60)}
    unsure = told(network, "the first column counts the rows, and is taken for nodes")
    assert unsure == (header is None)


DECIMALS = [f"{i / 7 + 0.1:.3f},{i}" for i in range(NODES)]


@pytest.mark.parametrize("header", [[], ["x,y"], ["source,target"]])
def test_numbers_with_decimals_are_no_nodes(header: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", *header, *DECIMALS)
    with pytest.raises(InputError, match=r"no edge list: .*\(--rows inputs\)") as error:
        read(str(path))
    assert "\n" not in str(error.value)
    assert read(str(path), plain_edges=True).edges.shape[1] > 20


def test_names_with_points_are_nodes(tmp_path: Path) -> None:
    lines = [f"v{i}.0,10.0.0.{j}" for i, j in RING]
    assert len(read(str(write(tmp_path / "a.csv", *lines, "1.5,v1.0"))).node_ids) == 61


@pytest.mark.parametrize("lines", [["a", "b"], [",0,1,2", "0,5,6,7"]])
def test_what_is_no_edge_list_says_how_tables_are_read(lines: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--rows inputs"):
        load(str(write(tmp_path / "a.csv", *lines)))


@pytest.mark.parametrize("header", ["source,target", "from,to"])
def test_names_that_say_a_direction_are_told(header: str, tmp_path: Path) -> None:
    assert told(read(str(listed(tmp_path / "a.csv", header))), "are taken as undirected")
    assert read(str(listed(tmp_path / "a.csv", "u,v"))).notes == ()


# Weights


def spread(count: int = len(RING)) -> list[float]:
    return np.random.default_rng(1).uniform(0.1, 5, count).round(3).tolist()


@pytest.mark.parametrize("name", ["weight", "W", "value", "count", None])
def test_weights_are_read(name: str | None, ring: RawGraph, tmp_path: Path) -> None:
    header = () if name is None else (f"source,target,{name}",)
    network = read(str(listed(tmp_path / "a.csv", *header, weights=spread())))
    assert torch.equal(network.edges, ring.edges)
    expected = {tuple(map(str, sorted(edge))): w for edge, w in zip(RING, spread(), strict=True)}
    assert weights(network) == pytest.approx(expected)
    assert network.sha256 != ring.sha256
    assert told(network, f"was read as weights, from {min(spread()):g} to {max(spread()):g}")


def test_large_values_that_are_called_so_are_weights(tmp_path: Path) -> None:
    values = [10**9 * value for value in spread()]
    assert (
        read(str(listed(tmp_path / "a.csv", "from,to,value", weights=values))).weights is not None
    )


def test_weights_of_parquet(tmp_path: Path) -> None:
    text = read(str(listed(tmp_path / "a.csv", "a,b,weight", weights=spread())))
    table = {"a": [i for i, _ in RING], "b": [j for _, j in RING], "weight": spread()}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    assert read(str(tmp_path / "a.parquet")).sha256 == text.sha256


@pytest.mark.parametrize(
    ("header", "values", "said"),
    [
        ("u,v,weight", [2.5] * 60, "is 2.5 throughout: edges have no weight"),
        ("u,v,rating", spread(), "columns not read: 'rating'; a column of weights must be called"),
        ("u,v,weight", ["much"] * 60, "holds other than numbers"),
        ("", list(range(1_200_000_000, 1_200_000_060)), "looks like times"),
        ("", ["likes"] * 60, "columns not read: '3'"),
        ("u,v,weight", [0.0] * 59 + [1.0], None),
    ],
)
def test_what_is_no_weight_is_told(
    header: str, values: list[Any], said: str | None, ring: RawGraph, tmp_path: Path
) -> None:
    first = (header,) if header else ()
    network = read(str(listed(tmp_path / "a.csv", *first, weights=values)))
    assert network.weights is None
    if said is None:  # what is 0 is no edge, and leaves its nodes
        assert edges(network) == {tuple(sorted(map(str, RING[-1])))}
        assert len(network.node_ids) == NODES
        assert told(network, "rows left out for it: 59")
    else:
        assert network.sha256 == ring.sha256
        assert told(network, said)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-0.5, "row 3 .* is -0.5; .*--plain-edges"),
        ("", "row 3 .* missing"),
        ("inf", "row 3"),
        ("nan", "row 3"),
    ],
)
def test_bad_weights_are_refused(value: Any, message: str, tmp_path: Path) -> None:
    values: list[Any] = spread()
    values[2] = value
    path = listed(tmp_path / "a.csv", "source,target,weight", weights=values)
    with pytest.raises(InputError, match=message) as error:
        read(str(path))
    assert "\n" not in str(error.value)
    assert read(str(path), plain_edges=True).weights is None


def test_repeated_rows_add_and_directions_are_averaged(tmp_path: Path) -> None:
    lines = [f"{i},{j},{w}" for (i, j), w in zip(RING, spread(), strict=True)]
    more = ["a,b,1", "a,b,2", "b,a,7", "b,c,4", "c,b,8", "c,c,9"]
    network = read(str(write(tmp_path / "a.csv", *lines, *more)))
    assert weights(network)["a", "b"] == pytest.approx((1 + 2 + 7) / 2)
    assert weights(network)["b", "c"] == pytest.approx((4 + 8) / 2)
    assert told(network, "1 row repeated an edge and was added to its weight")
    assert told(network, "with the mean of both weights")
    assert told(network, "2 of 62 edges came in both directions, the others in one")


def test_messages_are_weighted_as_by_a_dense_product() -> None:
    positives = torch.tensor([[0, 0, 1], [1, 2, 3]])
    weighted = torch.tensor([0.5, 2.0, 1.5])
    a = torch.eye(5)
    for (i, j), w in zip(positives.T.tolist(), weighted.tolist(), strict=True):
        a[i, j] = a[j, i] = w
    scale = a.sum(1).rsqrt()
    graph = LinkGraph(torch.eye(5), positives, weighted)
    assert torch.allclose(graph.propagation.to_dense(), scale[:, None] * a * scale, atol=1e-6)
    torch.manual_seed(0)
    propagation, hidden = masked_edges(graph, 0.4)
    left = [k for k, edge in enumerate(positives.T.tolist()) if edge not in hidden.T.tolist()]
    rest = LinkGraph(torch.eye(5), positives[:, left], weighted[left])
    assert torch.allclose(propagation.to_dense(), rest.propagation.to_dense(), atol=1e-6)
    assert torch.equal(graph.to("cpu").propagation.to_dense(), graph.propagation.to_dense())


def test_weights_change_the_codes_and_their_unit_does_not(tmp_path: Path) -> None:
    graphs = [
        load(str(listed(tmp_path / "a.csv", "u,v,w", weights=values))).split("train").graph
        for values in ([1] * 60, spread(), [1000 * value for value in spread()])
    ]
    assert graphs[0].weights is None
    assert [torch.equal(graph.positives, graphs[0].positives) for graph in graphs] == [True] * 3
    with seeded(0):
        model = GraphAutoencoder(load(str(tmp_path / "a.csv")).spec)
    plain, weighted, other_unit = (model.encode(graph) for graph in graphs)
    assert torch.allclose(weighted, other_unit, atol=1e-5)
    assert not torch.allclose(plain, weighted, atol=1e-2)
    ones = LinkGraph(graphs[0].x, graphs[0].positives, torch.ones(graphs[0].positives.shape[1]))
    assert torch.equal(model.encode(ones), plain)


def test_a_weight_belongs_to_its_edge_after_the_split(tmp_path: Path) -> None:
    network = read(str(listed(tmp_path / "a.csv", weights=spread())))
    data = split_raw_graph(network, 3)
    graph = data.split("train").graph
    assert graph.weights is not None
    by_edge = weights(network)
    raw = torch.tensor([by_edge[str(i), str(j)] for i, j in graph.positives.T.tolist()])
    assert torch.allclose(graph.weights, raw / raw.mean())
    assert data.whole.weights is None


def test_a_graph_without_weights_is_what_it_was(tmp_path: Path) -> None:
    """As version 0.1 read and split it."""
    data = load(str(listed(tmp_path / "a.csv")), seed=3)
    assert data.sha256 == "56fa12457c74c4fdb1aca20a19b8e4732f1bbec6706c4916010c82dd48871089"
    expected = [[5, 13, 6, 15, 7, 9], [17, 16, 11, 20, 27, 14]]
    assert data.split("test").negatives.tolist() == expected
    assert data.split("validation").negatives.tolist() == [[7, 3, 0], [18, 29, 3]]


# Bipartite graphs


def purchases(users: int = 25, items: int = 15) -> list[tuple[int, int]]:
    """Each user's items, both numbered from 1."""
    random = np.random.default_rng(0)
    return [
        (user, int(item) + 1)
        for user in range(1, users + 1)
        for item in random.choice(items, 4, replace=False)
    ]


@pytest.mark.parametrize(
    ("header", "kinds"),
    [
        ("user,item", ("user", "item")),
        ("userId,movieId", ("user", "movie")),
        ("Customer_ID,Product_ID", ("customer", "product")),
        ("author,paper", ("author", "paper")),
    ],
)
def test_two_kinds_of_nodes_by_their_names(
    header: str, kinds: tuple[str, str], tmp_path: Path
) -> None:
    lines = [f"{user},{item}" for user, item in purchases()]
    data = load(str(write(tmp_path / "a.csv", header, *lines)))
    assert data.kinds == kinds
    assert data.node_ids == (
        *(f"{kinds[0]}:{i + 1}" for i in range(25)),
        *(f"{kinds[1]}:{i + 1}" for i in range(15)),
    )
    assert told(data, f"two kinds, {kinds[0]} and {kinds[1]}")
    joined = {(data.node_ids[i], data.node_ids[j]) for i, j in data.whole.positives.T.tolist()}
    assert joined == {(f"{kinds[0]}:{user}", f"{kinds[1]}:{item}") for user, item in purchases()}


@pytest.mark.parametrize(
    ("header", "kinds"),
    [(None, ("left", "right")), ("member,club", ("member", "club")), ("from,to", ("from", "to"))],
)
def test_two_kinds_of_nodes_by_the_user(
    header: str | None, kinds: tuple[str, str], tmp_path: Path
) -> None:
    lines = [*([] if header is None else [header]), *(f"{u},{i}" for u, i in purchases())]
    path = write(tmp_path / "a.csv", *lines)
    assert load(str(path)).kinds is None
    data = aelab.load_data(path, bipartite=True)
    assert isinstance(data, GraphDataset)
    assert data.kinds == kinds
    assert data.spec.nodes == 40
    with pytest.raises(InputError, match="one kind"):
        aelab.load_data("karate", bipartite=True)


@settings(deadline=None, max_examples=30)
@given(
    first=st.integers(6, 30), second=st.integers(6, 30), wanted=st.integers(60, 400),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_all_negatives_join_the_two_kinds(first: int, second: int, wanted: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    keys = np.unique(random.integers(first * second, size=wanted))
    joined = torch.from_numpy(np.stack([keys // second, first + keys % second]))
    ids = tuple(map(str, range(first + second)))
    network = RawGraph("made", ids, joined, None, first_kind=first)
    try:
        data = split_raw_graph(network, seed)
    except InputError:
        count = len(keys)
        assert count < 20 or first * second - count < count // 10 + count // 20
        return
    known = set(map(tuple, joined.T.tolist()))
    graph = data.split("train").graph
    drawn = [data.split("validation").negatives, data.split("test").negatives]
    found = [set(map(tuple, pairs.T.tolist())) for pairs in drawn]
    assert [len(pairs) for pairs in found] == [len(keys) // 20, len(keys) // 10]
    assert not found[0] & found[1]
    assert not (found[0] | found[1]) & known
    torch.manual_seed(seed)
    for pairs in (*drawn, graph.draw_non_links(500)):
        assert (pairs[0] < first).all()
        assert (pairs[1] >= first).all()
    assert not graph.is_link(graph.draw_non_links(500)).any()


def test_negatives_between_kinds_are_uniform() -> None:
    graph = LinkGraph(torch.eye(8), torch.tensor([[0, 1], [3, 7]]), first_kind=3)
    torch.manual_seed(0)
    drawn = graph.draw_non_links(26_000)
    counts = (drawn[0] * 8 + drawn[1]).unique(return_counts=True)[1].double()
    assert len(counts) == 3 * 5 - 2
    assert (counts - 2000).abs().max() < 5 * 2000**0.5


def test_a_complete_bipartite_graph_is_refused(tmp_path: Path) -> None:
    lines = [f"{user},{item}" for user in range(8) for item in range(6)]
    with pytest.raises(InputError, match="almost every pair"):
        load(str(write(tmp_path / "a.csv", "user,item", *lines)))


@pytest.mark.parametrize("block", [1, 100, 10_000])
def test_missing_links_are_between_the_kinds(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aelab.apps.links.BLOCK_PAIRS", block)
    lines = [f"{user},{item}" for user, item in purchases()]
    data = load(str(write(tmp_path / "a.csv", "user,item", *lines)))
    with seeded(0):
        model = GraphAutoencoder(data.spec)
    z = model.encode(data.split("train").graph).detach()
    known = set(map(tuple, data.whole.positives.T.tolist()))
    every = {
        (data.node_ids[i], data.node_ids[j]): torch.dot(z[i], z[j]).sigmoid().item()
        for i in range(25)
        for j in range(25, 40)
        if (i, j) not in known
    }
    found = top_missing_links(model, data, 10_000)
    assert {(i, j): score for i, j, score in found} == pytest.approx(every, abs=1e-6)
    best = sorted(every.values(), reverse=True)[:5]
    assert [score for *_, score in top_missing_links(model, data, 5)] == pytest.approx(best)


def test_words_are_no_header_of_kinds(tmp_path: Path) -> None:
    """The first edge joins the words book and page, which others join, too."""
    lines = ["book,page", "page,word", "cover,book", *(f"{i},{j}" for i, j in RING)]
    network = read(str(write(tmp_path / "a.csv", *lines)))
    assert network.first_kind is None
    assert ("book", "page") in edges(network)


def test_features_of_two_kinds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item", *(f"{u},{i}" for u, i in purchases()))
    rows = [*(f"item:{i},{i}" for i in range(1, 17)), *(f"user:{u},{-u}" for u in range(1, 27))]
    network = read(str(path), features=write(tmp_path / "f.csv", *rows))
    assert network.features is not None
    values = np.array([*(-np.arange(1.0, 27)), *np.arange(1.0, 17)])
    scaled = (values - values.mean()) / values.std()
    assert np.allclose(network.features[:, 0].numpy(), scaled, atol=1e-6)
    assert (network.first_kind, told(network, "2 of 42 nodes have no edge")) == (26, True)
    with pytest.raises(InputError, match=r"'shop:1', whose kind is not told; .* user: or item:"):
        read(str(path), features=write(tmp_path / "f.csv", *rows, "shop:1,3"))


def test_pairs_are_asked_for_by_the_kinds_columns(tmp_path: Path) -> None:
    kinds = ("user", "item")
    expected = [("user:1", "item:7")]
    for lines in (["user,item", "1,7"], ["source,target", "user:1,item:7"], ["user:1,item:7"]):
        assert read_pairs(write(tmp_path / "p.csv", *lines), kinds) == expected
    turned = write(tmp_path / "p.csv", "itemId,userId", "7,1")
    assert read_pairs(turned, kinds) == [("item:7", "user:1")]
    assert read_pairs(write(tmp_path / "p.csv", "user,item", "1,7"))[-1] == ("1", "7")


def test_pairs_that_cannot_be_read_are_not_advised_an_option_of_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its first line has one column") as error:
        read_pairs(write(tmp_path / "p.csv", "1", "2"))
    assert "--rows" not in str(error.value)


# From the command line, and in runs of before


def test_a_bipartite_graph_from_training_to_links(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.txt", *(f"{user} {item}" for user, item in purchases()))
    words = "train gae --data a.txt --bipartite --epochs 1 --out run"
    assert main(words.split()) == 0
    assert "two kinds, left and right" in capsys.readouterr().err
    assert main(["links", "run", "--top", "9"]) == 0
    found = [line.split(",")[:2] for line in Path("run/links.csv").read_text().splitlines()[1:]]
    assert len(found) == 9
    assert {(i.partition(":")[0], j.partition(":")[0]) for i, j in found} == {("left", "right")}


def test_a_run_of_before_there_were_weights_is_of_the_same_graph(tmp_path: Path) -> None:
    """What an older version wrote says nothing of plain edges, and read them as such."""
    path = listed(tmp_path / "a.csv", "source,target,weight", weights=spread())
    run = aelab.train("gae", str(path), plain_edges=True, epochs=1, out=tmp_path / "run")
    config = json.loads((run.folder / "config.json").read_text())
    config["format"] = 4
    for name in ("plain_edges", "bipartite"):
        del config["data"][name]
    (run.folder / "config.json").write_text(json.dumps(config))
    old = aelab.load(run.folder)
    assert old.settings.data.plain_edges
    data = aelab.load_data(str(path), plain_edges=old.settings.data.plain_edges)
    old.refuse_other(data)
    with pytest.raises(InputError, match="other data"):
        old.refuse_other(aelab.load_data(str(path), rows="edges"))
    again = aelab.train("gae", str(path), plain_edges=True, epochs=1, out=run.folder)
    assert json.loads((again.folder / "config.json").read_text())["format"] == 4  # nothing to do
