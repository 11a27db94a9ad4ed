import io
import os
import pickle
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab.data import graphs, planetoid
from aelab.data.graphs import GraphDataset, load, read, split_raw_graph
from aelab.data.link_graph import pair_keys
from aelab.data.raw_graph import RawGraph, canonical_edges
from aelab.files import InputError, MissingFileError, write_tensors

RING = [(i, (i + 1) % 30) for i in range(30)]


def cora_folder() -> Path:
    """A folder that holds planetoid/Cora/raw; the test is skipped where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    named = os.environ.get("AELAB_DATA")
    for folder in (beside, *([Path(named)] if named else [])):
        if (folder / "planetoid" / "Cora" / "raw" / "ind.cora.graph").is_file():
            return folder
    pytest.skip(f"Cora's raw files are neither in {beside} nor in AELAB_DATA ({named})")


def network(pairs: np.ndarray, nodes: int) -> RawGraph:
    edges, notes = canonical_edges(pairs, nodes)
    return RawGraph("made", tuple(map(str, range(nodes))), edges, None, notes=notes)


def keys(pairs: torch.Tensor, nodes: int) -> set[int]:
    return set(pair_keys(pairs, nodes).tolist())


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def ring(path: Path, *more: str, first: tuple[str, ...] = (), delimiter: str = ",") -> Path:
    return write(path, *first, *(f"{i}{delimiter}{j}" for i, j in RING), *more)


def told(data: GraphDataset, word: str) -> bool:
    return any(word in note for note in data.notes)


# Splits


@settings(deadline=None, max_examples=60)
@given(
    nodes=st.integers(12, 60),
    wanted=st.integers(20, 400),
    draw=st.integers(0, 99),
    seed=st.integers(0, 9),
)
def test_splits_are_disjoint_and_complete(nodes: int, wanted: int, draw: int, seed: int) -> None:
    pairs = np.random.default_rng(draw).integers(nodes, size=(2, wanted))
    whole = network(pairs, nodes)
    count = whole.edges.shape[1]
    try:
        data = split_raw_graph(whole, seed)
    except InputError:
        assert count < 20 or nodes * (nodes - 1) // 2 - count < count // 10 + count // 20
        return
    parts = [keys(data.split(name).positives, nodes) for name in data.splits]
    assert list(map(len, parts)) == [count - count // 10 - count // 20, count // 20, count // 10]
    assert set.union(*parts) == keys(whole.edges, nodes)
    negatives = [data.split(name).negatives for name in ("validation", "test")]
    refused = [keys(n, nodes) for n in negatives]
    assert list(map(len, refused)) == [count // 20, count // 10]
    assert not refused[0] & refused[1]
    assert not (refused[0] | refused[1]) & keys(whole.edges, nodes)
    assert all((n[0] != n[1]).all() for n in negatives)


def test_messages_and_training_negatives_know_only_training_edges() -> None:
    data = load("karate", seed=3)
    nodes = data.spec.nodes
    training = keys(data.split("train").positives, nodes)
    held_out = keys(data.split("test").positives, nodes) | keys(
        data.split("validation").positives, nodes
    )
    for name in data.splits:
        graph = data.split(name).batch(torch.arange(1))
        assert keys(graph.edge_index, nodes) == training
        assert graph.edge_index.shape[1] == 2 * len(training)  # both directions, each once
        place = graph.propagation.to_dense().nonzero().T
        assert keys(place[:, place[0] != place[1]], nodes) == training
        assert graph.keys.tolist() == sorted(training)
    torch.manual_seed(0)
    drawn = data.split("train").graph.draw_non_links(20_000)
    assert (drawn[0] != drawn[1]).all()
    every = keys(torch.combinations(torch.arange(nodes)).T, nodes)
    # all pairs but the training edges, so the held-out edges too: it does not know them
    assert keys(drawn, nodes) == every - training
    assert held_out <= keys(drawn, nodes)


def test_training_negatives_are_uniform() -> None:
    graph = load("karate").split("train").graph
    torch.manual_seed(0)
    drawn = pair_keys(graph.draw_non_links(100_000), graph.nodes)
    counts = drawn.unique(return_counts=True)[1].double()
    expected = counts.mean()
    chi2 = ((counts - expected) ** 2 / expected).sum().item()
    assert abs(chi2 - len(counts)) < 5 * (2 * len(counts)) ** 0.5


def test_a_complete_training_graph_has_no_negatives() -> None:
    from aelab.data.link_graph import LinkGraph

    graph = LinkGraph(torch.eye(3), torch.tensor([[0, 0, 1], [1, 2, 2]]))
    with pytest.raises(ValueError, match="every pair"):
        graph.draw_non_links(1)


def test_the_seed_decides_the_split() -> None:
    first, again, other = (load("karate", seed=seed) for seed in (1, 1, 2))
    for name in first.splits:
        assert torch.equal(first.split(name).positives, again.split(name).positives)
        assert torch.equal(first.split(name).negatives, again.split(name).negatives)
    assert not torch.equal(first.split("test").positives, other.split("test").positives)
    assert first.sha256 != other.sha256


def test_a_data_set_is_one_example_and_a_batch_is_the_graph() -> None:
    data = load("karate")
    assert len(data.split("train")) == 1
    assert data.split("train").batch(torch.tensor([0])) is data.split("train").graph
    assert (
        data.split("train").to("cpu").graph.keys.tolist() == data.split("train").graph.keys.tolist()
    )
    with pytest.raises(ValueError, match="no split 'tset'; it has train, validation, test"):
        data.split("tset")


@pytest.mark.parametrize("count", [0, 19])
def test_too_few_edges_are_refused(count: int) -> None:
    pairs = np.array([range(count), range(1, count + 1)], dtype=np.int64).reshape(2, count)
    with pytest.raises(InputError, match=f"has {count} different edges, too few"):
        split_raw_graph(network(pairs, 50), 0)


def test_a_complete_graph_is_refused() -> None:
    pairs = np.stack(np.triu_indices(10, 1))
    with pytest.raises(InputError, match="almost every pair"):
        split_raw_graph(network(pairs, 10), 0)


# Graphs by name


def test_karate_is_always_there(tmp_path: Path) -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise OSError('no network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from aelab.data.graphs import read\n"
        "karate = read('karate')\n"
        "print(len(karate.node_ids), karate.edges.shape[1], karate.features)\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("AELAB_DATA", None)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.stdout.split() == ["34", "78", "None"], done.stderr
    assert not list(tmp_path.iterdir())


def test_karate_is_networkx_s_karate() -> None:
    import networkx

    edges = {tuple(sorted(edge)) for edge in networkx.karate_club_graph().edges}
    assert {tuple(edge) for edge in read("karate").edges.T.tolist()} == edges


def test_a_name_has_no_table_of_features(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its own features"):
        read("karate", features=tmp_path / "f.csv")


def test_cora_is_cora() -> None:
    folder = cora_folder()
    data = load("cora", data_dir=folder)
    graph = data.split("train").graph
    assert (data.spec.nodes, data.spec.features) == (2708, 1433)
    assert data.whole.positives.shape[1] == 5278
    assert [data.split(n).positives.shape[1] for n in data.splits] == [4488, 263, 527]
    assert set(graph.x.values().tolist()) == {1.0}
    assert graph.x.values().numel() == 49_216


def test_cora_is_pytorch_geometrics_cora(tmp_path: Path) -> None:
    import shutil

    with warnings.catch_warnings():  # its import uses what PyTorch has deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch_geometric.datasets import Planetoid

    raw = tmp_path / "Cora" / "raw"
    shutil.copytree(cora_folder() / "planetoid" / "Cora" / "raw", raw)
    theirs = Planetoid(str(tmp_path), "Cora")[0]
    ours = read("cora", data_dir=cora_folder())
    assert ours.features is not None
    assert torch.equal(ours.features.to_dense(), theirs.x)
    assert keys(ours.edges, 2708) == keys(theirs.edge_index, 2708)


# Planetoid's format, made up: 5 + 3 nodes, of which number 6 is left out of test.index


def old_csr(dense: list[list[float]]) -> bytes:
    """The pickle that Python 2 made of a SciPy matrix, by way of stand-ins of the same names."""
    rows = [np.flatnonzero(row) for row in dense]
    return pickle_csr(
        np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype("<i4"),
        np.concatenate(rows).astype("<i4"),
        np.concatenate([np.array(r, "<f4")[i] for r, i in zip(dense, rows, strict=True)]),
        (len(dense), len(dense[0])),
    )


def pickled_text(content: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(content)) + content


def pickled_array(a: np.ndarray) -> bytes:
    kind = a.dtype.str[1:].encode()
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t"
    made += pickled_text(b"b") + b"tR"
    dtype = b"cnumpy\ndtype\n(" + pickled_text(kind) + b"K\x00K\x01tR(K\x03"
    dtype += pickled_text(b"<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in a.shape) + b"t"
    return made + b"(K\x01" + shape + dtype + b"I00\n" + pickled_text(a.tobytes()) + b"tb"


def pickle_csr(starts: Any, columns: Any, values: Any, shape: tuple[int, int]) -> bytes:
    fields = {b"indptr": starts, b"indices": columns, b"data": values}
    parts = b"".join(pickled_text(name) + pickled_array(a) for name, a in fields.items())
    ends = b"".join(b"J" + struct.pack("<i", n) for n in shape)
    return (
        b"\x80\x02cscipy.sparse.csr\ncsr_matrix\n)\x81}("
        + parts
        + pickled_text(b"_shape")
        + b"("
        + ends
        + b"tub."
    )


def pickle_of(rows: list[list[int]]) -> bytes:
    return b"\x80\x02" + pickled_array(np.array(rows, "<i4")) + b"."


def planetoid_files(**changes: bytes) -> dict[str, bytes]:
    links: dict[int, list[int]] = {i: [(i + 1) % 6, (i + 2) % 6] for i in range(6)}
    links[7] = [0, 7, 0]
    return {
        "allx": old_csr([[1, 0], [0, 2], [0, 0], [3, 0], [0, 4]]),
        "tx": old_csr([[7, 0], [5, 5]]),
        "test.index": b"7\n5\n",
        "graph": pickle.dumps(links, protocol=2),
        "ally": pickle_of([[1, 0], [0, 1], [0, 1], [0, 0], [1, 0]]),
        "ty": pickle_of([[0, 1], [1, 0]]),
        **changes,
    }


def test_classes_stand_at_their_nodes() -> None:
    files = planetoid_files()
    made = planetoid.parse("citeseer", files, "here")
    assert made.labels is not None
    assert made.labels.tolist() == [0, 1, 1, -1, 0, 0, -1, 1]  # 6 is in no file, 3 has no class
    without = {part: content for part, content in files.items() if part != "ty"}
    assert planetoid.parse("citeseer", without, "here").labels is None
    assert planetoid.parse("citeseer", without, "here").sha256 == made.sha256


def test_a_node_left_out_of_the_test_index_is_isolated() -> None:
    made = planetoid.parse("citeseer", planetoid_files(), "here")
    assert made.features is not None
    expected = [[1, 0], [0, 2], [0, 0], [3, 0], [0, 4], [5, 5], [0, 0], [7, 0]]
    assert made.features.to_dense().tolist() == expected
    assert keys(made.edges, 8) == keys(
        torch.tensor(
            [[0, 1, 2, 3, 4, 0, 0, 1, 2, 3, 0, 1, 0], [1, 2, 3, 4, 5, 5, 2, 3, 4, 5, 4, 5, 7]]
        ),
        8,
    )
    assert made.notes == ("1 nodes have no edge",)


@pytest.mark.parametrize(
    "change",
    [
        {"graph": b""},
        {"graph": pickle.dumps({0: [99]}, protocol=2)},
        {"graph": pickle.dumps({0: ["x"]}, protocol=2)},
        {"graph": pickle.dumps([1, 2], protocol=2)},
        {"test.index": b"7\n"},
        {"test.index": b"7\nfive\n"},
        {"test.index": b"7\n1000000000000\n"},
        {"test.index": b""},
        {"allx": pickle.dumps({0: [1]}, protocol=2)},
        {"allx": old_csr([[1, 0]])[:-40] + b"."},
        {"tx": old_csr([[1, 0, 0], [1, 0, 0]])},
        {
            "allx": pickle_csr(
                np.array([0, 9], "<i4"), np.array([0], "<i4"), np.ones(1, "<f4"), (1, 2)
            )
        },
        {
            "allx": pickle_csr(
                np.array([0, 1], "<i4"), np.array([5], "<i4"), np.ones(1, "<f4"), (1, 2)
            )
        },
    ],
)
def test_damaged_planetoid_files_are_refused_in_one_line(change: dict[str, bytes]) -> None:
    with pytest.raises(InputError, match="here: Cora's files are damaged") as error:
        planetoid.parse("cora", planetoid_files(**change), "here")
    assert "\n" not in str(error.value)


class Malicious:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("call", [os.system, eval, exec, getattr, __import__, np.load, io.open])
def test_a_malicious_pickle_runs_nothing(call: Any, protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    content = pickle.dumps(Malicious(call, f"touch {mark}"), protocol=protocol)
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        planetoid.loads(content)
    with pytest.raises(InputError, match="not allowed"):
        planetoid.parse("cora", planetoid_files(graph=content), "here")
    assert not mark.exists()


def test_names_under_an_allowed_module_are_not_allowed() -> None:
    for name in (
        "numpy\nload",
        "collections\nUserDict",
        "__builtin__\neval",
        "scipy.sparse.csr\nos.system",
    ):
        with pytest.raises(pickle.UnpicklingError, match="not allowed"):
            planetoid.loads(f"c{name}\n.".encode())


def test_oversized_pickles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(pickle.UnpicklingError, match="more than 100 bytes"):
        planetoid.loads(pickle.dumps("x" * 200), limit=100)
    with pytest.raises(pickle.UnpicklingError, match="memo"):
        planetoid.loads(b"\x80\x02Nr\xff\xff\xff\x7f.")
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(planetoid.LIMIT + 1)  # sparse: no such bytes on the disk
    with pytest.raises(InputError, match="is larger than"):
        planetoid.read_limited(large)


def test_an_array_cannot_claim_more_than_it_brings() -> None:
    huge = b"(K\x01(J\xff\xff\xff\x7ft"
    content = planetoid_files()["allx"]
    start = content.index(b"(K\x01(J")
    with pytest.raises((ValueError, pickle.UnpicklingError)):
        planetoid.loads(content[:start] + huge + content[start + len(huge) :])


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without data."""
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
    monkeypatch.delenv("AELAB_DATA", raising=False)
    return tmp_path


def test_a_download_is_kept_without_pickles(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"ind.pubmed.{part}": content for part, content in planetoid_files().items()}
    monkeypatch.setattr(planetoid, "download", files.__getitem__)
    first = read("pubmed")
    kept = [path for path in (alone / "cache").rglob("*") if path.is_file()]
    assert [path.name for path in kept] == ["pubmed.safetensors"]
    monkeypatch.delattr(planetoid, "download")  # from now on there is no network
    again = read("pubmed")
    assert again.sha256 == first.sha256
    assert again.notes == first.notes
    assert again.labels is not None
    assert torch.equal(again.labels, first.labels)
    kept[0].write_bytes(b"damaged")
    with pytest.raises(InputError, match="damaged"):
        read("pubmed")
    write_tensors(kept[0], {"shape": torch.tensor([2, 2])})
    with pytest.raises(InputError, match="downloaded again"):
        read("pubmed")


def test_what_is_nowhere_says_where_it_was_looked_for(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planetoid, "SOURCE", "http://127.0.0.1:9/")  # nothing listens there
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(MissingFileError, match=r"lacks ind\.cora\.allx.*127\.0\.0\.1:9") as error:
        read("cora", data_dir=alone)
    assert "--data-dir" in str(error.value)
    assert "\n" not in str(error.value)


# A user's own graph


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("a.csv", ","), ("a.tsv", "\t"), ("a.csv", ";"), ("a.txt", " "), ("a.edges", "\t")],
)
@pytest.mark.parametrize(
    "header", [None, "source{}target", "Target{}SOURCE", "from{}to", "who{}whom"]
)
def test_text_of_every_layout_is_the_same_graph(
    name: str, delimiter: str, header: str | None, tmp_path: Path
) -> None:
    first = () if header is None else (header.format(delimiter),)
    data = load(str(ring(tmp_path / name, first=first, delimiter=delimiter)))
    assert data.node_ids == tuple(map(str, range(30)))
    expected, _ = canonical_edges(np.array(RING).T, 30)
    assert keys(data.whole.positives, 30) == keys(expected, 30)
    assert told(data, "taken as a header") == (header == "who{}whom")


def test_parquet_is_the_same_graph(tmp_path: Path) -> None:
    source, target = zip(*RING, strict=True)
    text = load(str(ring(tmp_path / "a.csv")))
    tables = [
        {"target": pa.array(target), "weight": pa.array([0.5] * 30), "source": pa.array(source)},
        {"a": pa.array(map(str, source)).dictionary_encode(), "b": pa.array(target, pa.int8())},
    ]
    for number, table in enumerate(tables):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table(table), path)
        data = load(str(path))
        assert data.sha256 == text.sha256
        assert told(data, "no weight") == (number == 0)
        assert torch.equal(data.split("test").positives, text.split("test").positives)


def test_rows_directions_and_repetitions_change_nothing_but_are_told(tmp_path: Path) -> None:
    plain = load(str(ring(tmp_path / "a.csv")))
    lines = [f"{j},{i}" for i, j in reversed(RING)]
    odd = load(str(write(tmp_path / "b.csv", "# comment", *lines, "0,1", "0,1", "7,7", " 3 , 4 ")))
    assert odd.sha256 == plain.sha256
    assert plain.notes == ()
    assert told(odd, "1 row joined a node to itself and was left out")
    assert told(odd, "1 row repeated an edge and was left out")
    assert told(odd, "2 of 30 edges came in both directions")


def test_a_node_with_only_a_loop_is_isolated(tmp_path: Path) -> None:
    data = load(str(ring(tmp_path / "a.csv", "alone,alone")))
    assert data.spec.nodes == 31
    assert told(data, "1 of 31 nodes have no edge")


def test_ids_are_text(tmp_path: Path) -> None:
    names = [f"Zoë {i}" for i in range(28)] + ["NA", "nan"]
    path = write(tmp_path / "a.csv", *(f'"{names[i]}",{names[j]}' for i, j in RING))
    data = load(str(path))
    assert set(data.node_ids) == set(names)
    assert load(str(ring(tmp_path / "b.csv", "07,7"))).spec.nodes == 31


def test_features_are_matched_by_id_and_scaled(tmp_path: Path) -> None:
    edges = ring(tmp_path / "a.csv")
    rows = [f"{i},{i * 2.0},5,{i % 2}" for i in reversed(range(32))]
    for header in ((), ("id,size,constant,odd",)):
        data = load(str(edges), features=write(tmp_path / "f.csv", *header, *rows))
        x = data.split("train").graph.x
        raw = np.array([[i * 2.0, i % 2] for i in range(32)])
        scaled = (raw - raw.mean(0)) / raw.std(0)
        assert np.allclose(x[:, [0, 2]].numpy(), scaled, atol=1e-6)
        assert (x[:, 1] == 0).all()
        assert data.node_ids == tuple(map(str, range(32)))
        assert told(data, "2 of 32 nodes have no edge")
        assert told(data, "1 of them hold one value only")
    table = {
        "id": range(32),
        "size": [i * 2 for i in range(32)],
        "odd": [bool(i % 2) for i in range(32)],
    }
    pq.write_table(pa.table(table), tmp_path / "f.parquet")
    again = load(str(edges), features=tmp_path / "f.parquet").split("train").graph.x
    assert torch.allclose(again, x[:, [0, 2]])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no edges|no rows"),
        (["source,target"], "holds no edges"),
        (["a", "b"], "one column"),
        (["1,2", "3,"], "row 2 of the column '2' is missing"),
        (["source,target", "1,2", ",4", "5,"], "row 2 of the column 'source' is missing"),
        (["1,2", "1,2,3"], "Expected 2 columns, got 3"),
        (["1,2"], "too few"),
    ],
)
def test_bad_edge_lists_are_refused_in_one_line(
    lines: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as error:
        load(str(write(tmp_path / "a.csv", *lines)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([f"{i},1" for i in range(29)], "no row for the node '29'"),
        ([f"{i},1" for i in range(20)], "'20', '21', '22' and 7 more"),
        ([f"{i},{i}" for i in [*range(30), 4]], "more than one row for the node '4'"),
        ([f"{i},{i or ''}" for i in range(30)], "row 1 of the column '2' is missing"),
        ([f"{i},{i if i - 5 else ''}" for i in range(30)], "row 6 of the column '2' is missing"),
        ([f"{i},{i if i - 5 else '?'}" for i in range(30)], "row 6 of the column '2' is missing"),
        ([f"{i},{i or 'none'},1" for i in range(30)], "row 1 of the column '2' is missing"),
        ([f"{i},{i if i - 5 else 'inf'}" for i in range(30)], "row 6 .* not a finite number"),
        ([f"{i},{i if i - 5 else 'red'}" for i in range(30)], "'red'"),
        (["id,x,x", *(f"{i},1,2" for i in range(30))], "the same name"),
        ([str(i) for i in range(30)], r"1 column\(s\)"),
        ([], "no rows"),
        (["id,x"], "no rows"),
    ],
)
def test_bad_features_are_refused_in_one_line(
    lines: list[str], message: str, tmp_path: Path
) -> None:
    edges, features = ring(tmp_path / "a.csv"), write(tmp_path / "f.csv", *lines)
    with pytest.raises(InputError, match=message) as error:
        load(str(edges), features=features)
    assert "\n" not in str(error.value)
    assert "f.csv" in str(error.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00,1\n")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    pq.write_table(pa.table({"a": [1.5], "b": [2.5]}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "c.parquet")
    for name, message in (
        ("a.csv", "has one column"),
        ("a.parquet", "not Parquet"),
        ("b.parquet", "must be text or whole numbers"),
        ("c.parquet", r"1 column\(s\)"),
    ):
        with pytest.raises(InputError, match=message):
            load(str(tmp_path / name))
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(MissingFileError, match="does not exist"):
            load(str(tmp_path / name))
    with pytest.raises(InputError, match="cannot read"):
        load(str(tmp_path))


@settings(deadline=None, max_examples=150)
@given(content=st.binary(max_size=100))
def test_any_pickle_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(InputError):
        planetoid.parse("cora", planetoid_files(graph=b"\x80\x02" + content), "here")


@settings(deadline=None, max_examples=150)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.text(alphabet='ab1,;\t \n\r"#%.', max_size=80).map(str.encode),
    )
)
def test_any_bytes_are_a_graph_or_one_line(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    message = ""
    try:
        graphs.read(str(path))
    except InputError as error:
        message = str(error)
    assert "\n" not in message
