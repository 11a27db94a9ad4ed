"""One graph with its edges split for link prediction: ``load("cora", seed=0)``.

A graph is one example: a dataset has length 1, and a batch of it is the graph itself.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from aelab.data.dataset import NamedSplits
from aelab.data.link_graph import LinkGraph, Pairs, count_pairs, csr_matrix, pair_keys
from aelab.data.raw_graph import RawGraph
from aelab.data.specs import GraphSpec
from aelab.files import InputError
from aelab.machine import seed_at
from aelab.settings import DataSettings

TEST_SHARE, VALIDATION_SHARE = 10, 20  # one edge in ten, one in twenty
FEWEST_EDGES = 20  # with fewer, there is no validation edge
NAMES = ("cora", "citeseer", "pubmed", "karate")


@dataclass(frozen=True, eq=False)
class LinkSplit:
    """One split: the graph of the training edges, and the pairs that a model is asked about.

    >>> graph = LinkGraph(torch.eye(3), torch.tensor([[0], [1]]))
    >>> split = LinkSplit(graph, torch.tensor([[1], [2]]), negatives=torch.tensor([[0], [2]]))
    >>> len(split), split.batch(torch.tensor([0])) is graph
    (1, True)
    """

    graph: LinkGraph
    """The same in every split: messages pass along training edges only."""

    positives: Pairs
    """The edges of this split."""

    negatives: Int64[Tensor, "2 negatives"]
    """As many pairs that no edge of any split joins; none in training, where a model draws them."""

    def __len__(self) -> int:
        return 1

    def batch(self, _: Int64[Tensor, " batch"], /) -> LinkGraph:
        """Give the graph."""
        return self.graph

    def to(self, device: str | torch.device) -> "LinkSplit":
        """Move the split: its tensors on `device`."""
        moved = (self.graph.to(device), self.positives.to(device), self.negatives.to(device))
        return LinkSplit(*moved)


@dataclass(frozen=True, eq=False)
class GraphDataset(NamedSplits[LinkSplit]):
    """A graph with its splits `train`, `validation` and `test`.

    >>> graph = LinkGraph(torch.eye(2), torch.tensor([[0], [1]]))
    >>> train = LinkSplit(graph, graph.positives, negatives=graph.positives[:, :0])
    >>> data = GraphDataset("friends", {"train": train}, ("Ann", "Bob"), sha256="")
    >>> data.spec, data.index["Bob"]
    (GraphSpec(nodes=2, features=2), 1)
    """

    node_ids: tuple[str, ...]
    sha256: str
    """Of the content and the seed that it was split by."""

    notes: tuple[str, ...] = ()
    """What was found and done on reading, one sentence each, for the user."""

    labels: Int64[Tensor, " nodes"] | None = None
    """Class of each node, -1 where it has none; for pictures only, no model sees it."""

    @property
    def spec(self) -> GraphSpec:
        """Size of the graph."""
        return GraphSpec(*self.splits["train"].graph.x.shape)

    @cached_property
    def whole(self) -> LinkGraph:
        """The graph with the edges of all splits, to tell which links are missing."""
        graph = self.splits["train"].graph
        edges = torch.cat([split.positives for split in self.splits.values()], 1)
        return replace(graph, positives=edges, weights=None)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Number of each node by its id."""
        return {node: number for number, node in enumerate(self.node_ids)}

    @property
    def kinds(self) -> tuple[str, str] | None:
        """Of a bipartite graph: what its two kinds of nodes are called, as their ids say."""
        if self.splits["train"].graph.first_kind is None:
            return None
        return self.node_ids[0].partition(":")[0], self.node_ids[-1].partition(":")[0]

    def to(self, device: str) -> "GraphDataset":
        """Move the data set: its tensors on `device`."""
        splits = {name: split.to(device) for name, split in self.splits.items()}
        return replace(self, splits=splits)

    def binarised(self) -> "GraphDataset":
        """Raise InputError: there is nothing to binarise."""
        raise InputError(f"{self.name} is a graph: it has no pixels to binarise")


def load(
    name: str,
    *,
    seed: int = 0,
    data_dir: str | Path | None = None,
    features: str | Path | None = None,
    bipartite: bool = False,
    plain_edges: bool = False,
) -> GraphDataset:
    """Load a graph and split its edges by `seed`: 85 % train, 5 % validation, 10 % test.

    `name` is cora, citeseer or pubmed (looked for in `data_dir` or the variable AELAB_DATA, then
    in the user's cache, then downloaded), karate (always there), or the path of an edge list or
    a matrix, which may have a table of node `features`. `bipartite` and `plain_edges` are as in
    `aelab.settings.DataSettings`.

    >>> karate = load("karate")
    >>> karate.spec, karate.split("test").positives.shape[1]
    (GraphSpec(nodes=34, features=34), 7)

    Raises:
        InputError: a file is damaged or cannot be used, or the graph cannot be split.
        MissingFileError: a file is nowhere to be found.
    """
    network = read(
        name,
        data_dir=data_dir,
        features=features,
        bipartite=bipartite,
        plain_edges=plain_edges,
    )
    return split_raw_graph(network, seed)


def read(
    name: str,
    *,
    data_dir: str | Path | None = None,
    features: str | Path | None = None,
    bipartite: bool = False,
    plain_edges: bool = False,
) -> RawGraph:
    """Read the whole graph that `load` splits."""
    if name not in NAMES:
        from aelab.data.graph_files import read_graph

        table = None if features is None else Path(features)
        return read_graph(Path(name), table, bipartite=bipartite, plain=plain_edges)
    if features is not None:
        raise InputError(f"{name} comes with its own features; a table of them needs an edge list")
    if bipartite:
        raise InputError(f"the nodes of {name} are of one kind: leave bipartite out")
    if name == "karate":
        from aelab.data.planetoid import read_karate

        return read_karate()
    from aelab.data.planetoid import read_planetoid

    return read_planetoid(name, None if data_dir is None else Path(data_dir))


def split_raw_graph(network: RawGraph, seed: int) -> GraphDataset:
    """Split the edges by `seed`, after Kipf & Welling 2016: a tenth test, a twentieth validation.

    As many negatives are drawn for each of the two, from the pairs that no edge joins, and none
    is drawn twice: no negative of one split is an edge or a negative of another.

    Raises:
        InputError: there are too few edges, or too few pairs without one.
    """
    edges, nodes = network.edges, len(network.node_ids)
    count = edges.shape[1]
    if count < FEWEST_EDGES:
        raise InputError(
            f"{network.name} has {count} different edges, too few to split into 85 % training, 5 % "
            f"validation and 10 % test; give a graph of at least {FEWEST_EDGES}"
        )
    test, validation = count // TEST_SHARE, count // VALIDATION_SHARE
    if count_pairs(nodes, network.first_kind) - count < test + validation:
        raise InputError(
            f"{network.name} joins almost every pair of its {nodes} nodes, so there are not "
            f"{test + validation} pairs without an edge to test on; give a sparser graph"
        )
    random = np.random.default_rng(seed_at(seed, "links"))
    order = torch.from_numpy(random.permutation(count))
    parts = [
        part.sort().values for part in order.split([test, validation, count - test - validation])
    ]
    positives = [edges[:, part] for part in parts]
    negatives = _non_links(network, test + validation, random).split([test, validation], 1)
    x = network.features
    if x is None:  # each node is described by itself: the sparse identity
        x = csr_matrix(
            torch.arange(nodes + 1), torch.arange(nodes), torch.ones(nodes), (nodes,) * 2
        )
    weights = network.weights
    if weights is not None:  # 1 in the mean, as the weight of a node's message to itself
        weights = weights[parts[2]] / weights[parts[2]].mean()
    graph = LinkGraph(x, positives[2], weights, network.first_kind)
    splits = {
        "train": LinkSplit(graph, positives[2], edges[:, :0]),
        "validation": LinkSplit(graph, positives[1], negatives[1]),
        "test": LinkSplit(graph, positives[0], negatives[0]),
    }
    sha256 = hashlib.sha256(f"{network.sha256} split by {seed}".encode()).hexdigest()
    return GraphDataset(
        network.name, splits, network.node_ids, sha256, network.notes, network.labels
    )


def _non_links(
    network: RawGraph, count: int, random: np.random.Generator
) -> Int64[Tensor, "2 drawn"]:
    """`count` different pairs that no edge joins, uniform; in a bipartite graph, of both kinds."""
    nodes, first = len(network.node_ids), network.first_kind
    taken = pair_keys(network.edges, nodes).numpy()
    keys = np.empty(0, dtype=np.int64)
    size = max(1024, 2 * count)
    while len(keys) < count:
        if first is None:
            pairs = np.sort(random.integers(nodes, size=(2, size)), axis=0)
        else:
            pairs = np.stack(
                [random.integers(first, size=size), random.integers(first, nodes, size)]
            )
        new = (pairs[0] * nodes + pairs[1])[pairs[0] != pairs[1]]
        keys = np.concatenate([keys, new[~np.isin(new, taken)]])
        keys = keys[np.sort(np.unique(keys, return_index=True)[1])]  # in the order drawn
    keys = keys[:count]
    return torch.from_numpy(np.stack([keys // nodes, keys % nodes]))


def load_settings(settings: DataSettings, data_dir: Path | None, seed: int) -> GraphDataset:
    """Load what the settings name, its edges split by `seed`."""
    return load(
        settings.name,
        seed=seed,
        data_dir=data_dir,
        features=settings.features,
        bipartite=settings.bipartite,
        plain_edges=settings.plain_edges,
    )
