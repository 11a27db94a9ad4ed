"""A graph as a model of its links sees it, and the sparse matrices that it is made of."""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

Pairs = Int64[Tensor, "2 pairs"]


@dataclass(frozen=True, eq=False)
class LinkGraph:
    """An undirected graph as a link model sees it: what it may know, and nothing else.

    Messages pass along `positives` and no other edge, and those are also all that a training
    negative is held against: a held-out edge is nowhere in here.

    >>> graph = LinkGraph(torch.eye(3), torch.tensor([[0], [1]]))
    >>> graph.nodes, graph.is_link(torch.tensor([[1, 0], [0, 2]])).tolist()
    (3, [True, False])
    """

    x: Float[Tensor, "nodes features"]
    """Features of each node, dense or CSR. A node without features is described by itself: x is
    the sparse identity, and a layer's weights become one learned vector a node."""

    positives: Int64[Tensor, "2 edges"]
    """Each known edge once, the smaller node first; no self-loops."""

    weights: Float[Tensor, " edges"] | None = None
    """Of each known edge, 1 in the mean: what messages along it weigh. None, and they weigh 1."""

    first_kind: int | None = None
    """Of a bipartite graph: how many nodes are of the first kind. They come first, and only
    pairs of a node of each kind are asked about."""

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.x.shape[0]

    @cached_property
    def edge_index(self) -> Int64[Tensor, "2 messages"]:
        """The known edges in both directions, as PyTorch Geometric's layers want them."""
        return torch.cat([self.positives, self.positives.flip(0)], 1)

    @cached_property
    def propagation(self) -> Float[Tensor, "nodes nodes"]:
        """``D^-1/2 (A + I) D^-1/2``, sparse: what PyTorch Geometric's GCNConv multiplies with."""
        return normalised_adjacency(self.edge_index, self.nodes, self.weights)

    @property
    def pairs(self) -> int:
        """How many pairs of nodes there could be an edge between."""
        return count_pairs(self.nodes, self.first_kind)

    @cached_property
    def keys(self) -> Int64[Tensor, " edges"]:
        """The known edges as sorted numbers, to look pairs up in."""
        return pair_keys(self.positives, self.nodes).sort().values

    def is_link(self, pairs: Pairs) -> Bool[Tensor, " pairs"]:
        """Which of the pairs, in either direction, are known edges."""
        keys = pair_keys(pairs, self.nodes)
        if not len(self.keys):
            return torch.zeros_like(keys, dtype=torch.bool)
        place = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        return self.keys[place] == keys

    def draw_non_links(self, n: int) -> Pairs:
        """`n` pairs of nodes that no known edge joins, uniform, from the global generator.

        In a bipartite graph, pairs of a node of each kind.

        Raises:
            ValueError: every pair of nodes is joined.
        """
        if self.positives.shape[1] >= self.pairs:
            raise ValueError("every pair of nodes is joined: there are no negatives to draw")
        pairs = self._draw_pairs(n)
        while True:
            refused = self.is_link(pairs) | (pairs[0] == pairs[1])
            count = int(refused.sum())
            if not count:
                return pairs
            pairs[:, refused] = self._draw_pairs(count)

    def _draw_pairs(self, n: int) -> Pairs:
        device = self.positives.device
        if self.first_kind is None:
            return torch.randint(self.nodes, (2, n), device=device)
        first = torch.randint(self.first_kind, (n,), device=device)
        return torch.stack([first, torch.randint(self.first_kind, self.nodes, (n,), device=device)])

    def to(self, device: str | torch.device) -> "LinkGraph":
        """Move the graph: its tensors on `device`."""
        weights = None if self.weights is None else self.weights.to(device)
        return replace(
            self, x=self.x.to(device), positives=self.positives.to(device), weights=weights
        )


def count_pairs(nodes: int, first_kind: int | None) -> int:
    """Pairs of different nodes; of a bipartite graph, of a node of each kind.

    >>> count_pairs(5, None), count_pairs(5, first_kind=2)
    (10, 6)
    """
    return nodes * (nodes - 1) // 2 if first_kind is None else first_kind * (nodes - first_kind)


def pair_keys(pairs: Pairs, nodes: int) -> Int64[Tensor, " pairs"]:
    """One number a pair, the same for both directions.

    >>> pair_keys(torch.tensor([[0, 2], [2, 0]]), nodes=3)
    tensor([2, 2])
    """
    return pairs.min(0).values * nodes + pairs.max(0).values


def sparse_matrix(
    index: Int64[Tensor, "2 entries"], values: Float[Tensor, " entries"], shape: tuple[int, int]
) -> Float[Tensor, "rows columns"]:
    """A CSR matrix with `values` at ``(index[0], index[1])``, each place at most once."""
    order = torch.argsort(index[0] * shape[1] + index[1])
    rows, columns = index[:, order]
    counts = torch.bincount(rows, minlength=shape[0])
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return csr_matrix(starts, columns, values[order], shape)


def csr_matrix(
    starts: Int64[Tensor, " starts"],
    columns: Int64[Tensor, " entries"],
    values: Float[Tensor, " entries"],
    shape: tuple[int, int],
) -> Float[Tensor, "rows columns"]:
    """A CSR matrix of its three parts, without PyTorch's remark that such matrices are new."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=True)


def normalised_adjacency(
    edge_index: Int64[Tensor, "2 messages"],
    nodes: int,
    weights: Float[Tensor, " edges"] | None = None,
) -> Float[Tensor, "nodes nodes"]:
    """``D^-1/2 (A + I) D^-1/2`` of edges in both directions, D the row sums of A + I.

    `edge_index` has all edges in one direction, and then in the other; their `weights`, once
    each, are the entries of A, and otherwise 1.

    >>> normalised_adjacency(torch.tensor([[0, 1], [1, 0]]), nodes=3).to_dense()
    tensor([[0.5000, 0.5000, 0.0000],
            [0.5000, 0.5000, 0.0000],
            [0.0000, 0.0000, 1.0000]])
    """
    with warnings.catch_warnings():  # its import uses what PyTorch has deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch_geometric.nn.conv.gcn_conv import gcn_norm  # type: ignore[import-untyped]

    given = None if weights is None else weights.repeat(2)
    index, values = gcn_norm(edge_index, given, nodes, dtype=torch.float32)
    return sparse_matrix(index, values, (nodes, nodes))
