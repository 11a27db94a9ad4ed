"""Graphs with positions: message passing by relative position, and coarsening.

Everything here follows from edges and positions alone. Nothing knows of a grid; on a grid, a
GraphConvolution is the usual convolution.

Features are laid out ``[nodes, channels, batch]``, so that gathering neighbours copies long rows
and the matrix products need no transposition.
"""

import math
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from aelab.data.specs import InputSpec, SignalGraph
from aelab.models.layers import positive

Features = Float[Tensor, "nodes channels batch"]
Offsets = Literal["shared", "own", "none"]

LEAST_SHARE = 0.05
"""Shares of a kernel in a message below this are left out."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes at positions, joined by undirected edges.

    >>> len(grid_graph(2, 3))
    6
    """

    positions: Float64[Tensor, "nodes dimensions"]

    edges: Int64[Tensor, "2 edges"]
    """Source and target; every edge in both directions, each once, none from a node to itself."""

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, eq=False)
class Messages:
    """Who sends to whom, and through which of the kernels: what message passing needs to know.

    >>> heard = within(grid_graph(3), kernels=3)  # 4 from neighbours, 3 from the nodes themselves
    >>> heard.pairs.shape, heard.kernels.shape
    (torch.Size([2, 7]), torch.Size([7, 3]))
    """

    pairs: Int64[Tensor, "2 messages"]
    """Source and target of each message."""

    kernels: Float64[Tensor, "messages kernels"]
    """Share of each kernel in each message: u_k(p_source - p_target); the shares add up to 1."""

    sources: int
    targets: int


def input_graph(spec: InputSpec) -> Graph:
    """The graph that inputs of `spec` live on; unless given one, their line, pixels or volume.

    Raises:
        ValueError: the graph is no graph, or none for inputs of this shape.
    """
    if spec.graph is not None:
        return checked_graph(spec.graph, math.prod(spec.shape[1:]))
    if spec.kind == "rows":
        raise ValueError(f"inputs of shape {spec.shape} are rows and come without a graph")
    return grid_graph(*spec.shape[1:])


def checked_graph(graph: SignalGraph, nodes: int) -> Graph:
    """A given graph as tensors.

    Raises:
        ValueError: it is no graph of `nodes` nodes with edges and positions.
    """
    if len(graph.positions) != nodes:
        raise ValueError(
            f"the graph has {len(graph.positions)} positions, but an input has {nodes} nodes"
        )
    dimensions = sorted({len(position) for position in graph.positions})
    if len(dimensions) != 1 or dimensions[0] < 1:
        raise ValueError(f"the positions of the graph's nodes have {dimensions} coordinates")
    positions = torch.tensor(graph.positions, dtype=torch.float64)
    if not positions.isfinite().all():
        raise ValueError("the graph has a position that is not finite")
    for edge in graph.edges:
        if len(edge) != 2 or not all(0 <= node < nodes for node in edge):
            raise ValueError(f"the graph has the edge {edge}, but its nodes are 0 to {nodes - 1}")
    pairs = torch.tensor(graph.edges, dtype=torch.int64).reshape(-1, 2).T
    found = Graph(positions, both_ways(pairs))
    if not found.edges.numel():
        raise ValueError("the graph has no edges between different nodes")
    return found


def both_ways(pairs: Int64[Tensor, "2 pairs"]) -> Int64[Tensor, "2 edges"]:
    """Each pair in both directions, each once, sorted, none from a node to itself."""
    edges = torch.cat([pairs, pairs.flip(0)], 1)
    return each_once(edges[:, edges[0] != edges[1]])


def each_once(pairs: Int64[Tensor, "2 pairs"]) -> Int64[Tensor, "2 distinct"]:
    """Distinct pairs, sorted."""
    base = int(pairs.max()) + 1 if pairs.numel() else 1
    keys = (pairs[0] * base + pairs[1]).unique()
    return torch.stack([keys // base, keys % base])


def grid_graph(*size: int) -> Graph:
    """The points of a grid, the last dimension first, each joined with those around it.

    On a line these are up to 2, of pixels up to 8, in a volume up to 26.

    >>> grid_graph(2, 2).edges.shape, grid_graph(5).edges.shape
    (torch.Size([2, 12]), torch.Size([2, 8]))
    """
    points = torch.cartesian_prod(*[torch.arange(side) for side in size]).reshape(-1, len(size))
    strides = torch.tensor([math.prod(size[k + 1 :]) for k in range(len(size))])
    pairs = []
    for step in product((-1, 0, 1), repeat=len(size)):
        if step > (0,) * len(size):  # each pair of opposite steps once
            target = points + torch.tensor(step)
            inside = ((target >= 0) & (target < torch.tensor(size))).all(1)
            pairs.append(torch.stack([points[inside] @ strides, target[inside] @ strides]))
    return Graph(points.double(), both_ways(torch.cat(pairs, 1)))


def coarsen(graph: Graph) -> tuple[Graph, Int64[Tensor, " nodes"]]:
    """A graph of about a quarter of the nodes, and which of its nodes each node went to.

    Nodes are joined in pairs along edges, the shortest first (heavy-edge matching, Karypis &
    Kumar 1998), and the pairs once more. A coarse node lies at the mean of its nodes'
    positions; two are neighbours where any of their nodes are. Ties go by position, so that the
    numbering of the nodes does not matter.

    >>> len(coarsen(grid_graph(28, 28))[0])
    196
    """
    pair = matching(graph)
    cluster = matching(contract(graph, pair))[pair]
    return contract(graph, cluster), cluster


def contract(graph: Graph, cluster: Int64[Tensor, " nodes"]) -> Graph:
    """The graph of clusters."""
    count = int(cluster.max()) + 1
    sums = graph.positions.new_zeros(count, graph.positions.shape[1])
    sums.index_add_(0, cluster, graph.positions)
    return Graph(sums / cluster.bincount(minlength=count)[:, None], both_ways(cluster[graph.edges]))


def matching(graph: Graph) -> Int64[Tensor, " nodes"]:
    """Which pair each node is in: shortest edges first; a node without a partner stays alone.

    Pairs are numbered in the order of their positions.
    """
    source, target = graph.edges
    lengths = (graph.positions[source] - graph.positions[target]).norm(dim=1)
    unit = max(lengths.median().item(), 1e-300) if len(lengths) else 1.0
    place = np.lexsort((graph.positions / unit).numpy().round(6).T[::-1])
    rank = np.empty_like(place)
    rank[place] = np.arange(len(graph))
    first, second = rank[source.numpy()], rank[target.numpy()]
    order = np.lexsort((second, first, (lengths / unit).numpy().round(6)))
    partner = list(range(len(graph)))
    for a, b in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if partner[a] == a and partner[b] == b:
            partner[a], partner[b] = b, a
    _, number = np.unique(np.minimum(np.arange(len(graph)), partner), return_inverse=True)
    return torch.from_numpy(number[rank])


def within(graph: Graph, kernels: int) -> Messages:
    """Every node hears from its neighbours and from itself."""
    own = torch.arange(len(graph)).repeat(2, 1)
    return messages(torch.cat([graph.edges, own], 1), graph, graph, kernels)


def upwards(fine: Graph, coarse: Graph, cluster: Int64[Tensor, " nodes"], kernels: int) -> Messages:
    """Every coarse node hears from its own nodes and from their neighbours."""
    source, target = fine.edges
    own = torch.stack([torch.arange(len(fine)), cluster])
    near = torch.stack([source, cluster[target]])
    return messages(torch.cat([own, near], 1), fine, coarse, kernels)


def downwards(
    coarse: Graph, fine: Graph, cluster: Int64[Tensor, " nodes"], kernels: int
) -> Messages:
    """The same messages as `upwards`, sent back."""
    source, target = fine.edges
    own = torch.stack([cluster, torch.arange(len(fine))])
    near = torch.stack([cluster[target], source])
    return messages(torch.cat([own, near], 1), coarse, fine, kernels)


def messages(
    pairs: Int64[Tensor, "2 pairs"], sources: Graph, targets: Graph, kernels: int
) -> Messages:
    """Messages along `pairs`, each pair once, with kernels of their relative positions."""
    positive("kernels", kernels)
    pairs = each_once(pairs)
    offsets = sources.positions[pairs[0]] - targets.positions[pairs[1]]
    shares = kernel_shares(offsets, typical_offsets(offsets, kernels))
    return Messages(pairs, shares, len(sources), len(targets))


def typical_offsets(
    offsets: Float64[Tensor, "messages dimensions"], count: int
) -> Float64[Tensor, "kernels dimensions"]:
    """Up to `count` relative positions that stand for all: every one, where they are so few.

    Otherwise farthest points, then moved to the means of those nearest to them (k-means).

    >>> typical_offsets(torch.tensor([[0.0], [1.0], [1.0], [-1.0]]).double(), 9).flatten()
    tensor([-1., 0., 1.], dtype=torch.float64)
    """
    unit = max(offsets.norm(dim=1).median().item(), offsets.abs().max().item() / 100, 1e-300)
    distinct, weight = (offsets / unit).round(decimals=6).unique(dim=0, return_counts=True)
    if len(distinct) > count:
        chosen = [int(distinct.norm(dim=1).argmin())]
        nearest = distinct.new_full((len(distinct),), math.inf)
        for _ in range(count - 1):
            nearest = nearest.minimum((distinct - distinct[chosen[-1]]).norm(dim=1))
            chosen.append(int(nearest.argmax()))
        centres = distinct[chosen]
        for _ in range(10):
            nearest_centre = torch.cdist(distinct, centres).argmin(1)
            member = F.one_hot(nearest_centre, count).double() * weight[:, None]
            members = member.sum(0)[:, None]
            centres = centres.where(members == 0, member.T @ distinct / members)
        distinct = centres
    typical: Tensor = distinct * unit
    return typical


def kernel_shares(
    offsets: Float64[Tensor, "messages dimensions"], centres: Float64[Tensor, "kernels dimensions"]
) -> Float64[Tensor, "messages kernels"]:
    """``u_k(p)``, proportional to ``exp(-|p - c_k|^2 / 2 sigma^2)``, adding up to 1.

    ``sigma`` is a third of the usual distance between neighbouring centres, so that a relative
    position at a centre has that kernel alone, and one between two centres shares theirs.
    """
    if len(centres) == 1:
        return offsets.new_ones(len(offsets), 1)
    apart = torch.cdist(centres, centres).fill_diagonal_(math.inf).amin(1).median()
    shares = (-4.5 * (torch.cdist(offsets, centres) / apart).square()).softmax(1)
    shares = shares.where(shares >= LEAST_SHARE, 0)
    return shares / shares.sum(1, keepdim=True)


class FixedProduct(torch.autograd.Function):
    """``A @ x`` for a constant sparse matrix A, given by rows and, transposed, by columns.

    Sums of weighted rows are what embedding bags are; on processors these are many times faster
    than a sparse or a dense matrix product of this shape.

    >>> swap = torch.tensor([1, 0]), torch.arange(2), torch.ones(2)
    >>> FixedProduct.apply(torch.tensor([[3.0], [4.0]]), *swap, *swap).flatten()
    tensor([4., 3.])
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *compressed: Tensor) -> Tensor:  # noqa: ANN401
        """Index, start of each row and value of A, then of A transposed."""
        ctx.save_for_backward(*compressed[3:])
        return weighted_rows(x, *compressed[:3])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """``A^T @ gradient``."""
        return weighted_rows(gradients[0], *ctx.saved_tensors), *[None] * 6


def weighted_rows(x: Tensor, index: Tensor, starts: Tensor, values: Tensor) -> Tensor:
    """Row i is the sum of ``values[m] x[index[m]]``, m from ``starts[i]`` to the next start."""
    values = values.to(x.dtype)
    rows: Tensor = F.embedding_bag(
        index, x.contiguous(), starts, mode="sum", per_sample_weights=values
    )
    return rows


class SparseProduct(nn.Module):
    """Multiplies by a constant sparse matrix; no part of what a run records.

    >>> place, weight = torch.tensor([0, 1]), torch.tensor([2.0, 5.0]).double()
    >>> SparseProduct(place, place.flip(0), weight, (2, 2))(torch.tensor([[3.0], [4.0]])).flatten()
    tensor([ 8., 15.])
    """

    def __init__(
        self,
        rows: Int64[Tensor, " values"],
        columns: Int64[Tensor, " values"],
        values: Float64[Tensor, " values"],
        shape: tuple[int, int],
    ) -> None:
        super().__init__()
        names = []
        for name, (major, minor, count) in {
            "rows": (rows, columns, shape[0]),
            "columns": (columns, rows, shape[1]),
        }.items():
            order = (major * max(shape) + minor).argsort()
            starts = torch.zeros(count, dtype=torch.int64)
            starts[1:] = major.bincount(minlength=count).cumsum(0)[:-1]
            parts = {"index": minor[order], "starts": starts, "values": values[order].float()}
            for part, tensor in parts.items():
                names.append(f"{name}_{part}")
                self.register_buffer(names[-1], tensor, persistent=False)
        self.names = names

    def forward(self, x: Float[Tensor, "columns width"]) -> Float[Tensor, "rows width"]:
        """``A @ x``."""
        buffers = [self.get_buffer(name) for name in self.names]
        product: Tensor = FixedProduct.apply(x, *buffers)  # type: ignore[no-untyped-call]
        return product


class GraphConvolution(nn.Module):
    """Message passing with a matrix for each kernel of relative positions.

    ``y_i = b + sum_j sum_k u_k(p_j - p_i) W_k x_j`` over the messages j -> i: a convolution with
    a continuous kernel, as SplineCNN's (Fey et al. 2018, arXiv 1711.08920). On a grid with as
    many kernels as there are neighbours, it is the convolution; the offset b may be one a node.

    >>> line = grid_graph(5)
    >>> layer = GraphConvolution(within(line, kernels=3), inputs=1, outputs=2)
    >>> layer(torch.zeros(5, 1, 7)).shape
    torch.Size([5, 2, 7])
    """

    def __init__(
        self, messages: Messages, inputs: int, outputs: int, offsets: Offsets = "shared"
    ) -> None:
        """The offset is shared by all nodes, or each node has its own, or there is none."""
        super().__init__()
        positive("channels", inputs, outputs)
        self.gather_first = inputs <= outputs
        self.nodes = messages.targets
        self.kernels = messages.kernels.shape[1]
        message, kernel = messages.kernels.nonzero(as_tuple=True)
        values = messages.kernels[message, kernel]
        source, target = messages.pairs[:, message]
        if self.gather_first:
            shape = (messages.targets * self.kernels, messages.sources)
            self.product = SparseProduct(target * self.kernels + kernel, source, values, shape)
        else:
            shape = (messages.targets, messages.sources * self.kernels)
            self.product = SparseProduct(target, source * self.kernels + kernel, values, shape)
        heard = values.square().sum().item() / messages.targets
        std = math.sqrt(2 / (inputs * heard))  # He et al. 2015, by what a node hears on average
        self.weight = nn.Parameter(torch.randn(self.kernels, inputs, outputs) * std)
        self.bias = None
        if offsets != "none":
            nodes = self.nodes if offsets == "own" else 1
            self.bias = nn.Parameter(torch.zeros(nodes, outputs, 1))

    def forward(
        self, x: Float[Tensor, "sources inputs batch"]
    ) -> Float[Tensor, "targets outputs batch"]:
        """Gathers first or multiplies first, whichever moves fewer channels."""
        batch = x.shape[2]
        if self.gather_first:
            heard = self.product(x.flatten(1)).reshape(self.nodes, -1, batch)
            y = torch.bmm(repeat(self.weight.permute(2, 0, 1).flatten(1), len(heard)), heard)
        else:
            sent = torch.bmm(repeat(self.weight.transpose(1, 2).flatten(0, 1), len(x)), x)
            y = self.product(sent.reshape(len(x) * self.kernels, -1))
            y = y.reshape(self.nodes, -1, batch)
        return y if self.bias is None else y + self.bias.to(y.dtype)


def repeat(matrix: Float[Tensor, "rows columns"], count: int) -> Float[Tensor, "n rows columns"]:
    """The same matrix `count` times, without copies."""
    return matrix.expand(count, -1, -1)
