"""A whole graph as it was read, before any split."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RawGraph:
    """A whole graph as it was read, before any split.

    >>> line = torch.tensor([[0, 1], [1, 2]])
    >>> a, b = (RawGraph(name, ("x", "y", "z"), line, features=None) for name in ("a", "b"))
    >>> a.sha256 == b.sha256
    True
    """

    name: str
    node_ids: tuple[str, ...]

    edges: Int64[Tensor, "2 edges"]
    """Each undirected edge once, the smaller node first, in ascending order; no self-loops."""

    features: Float[Tensor, "nodes features"] | None
    """Dense or CSR; None where nodes have none."""

    labels: Int64[Tensor, " nodes"] | None = None
    """Class of each node, -1 where it has none; for pictures only, no model sees it."""

    notes: tuple[str, ...] = ()
    """What was found and done on reading, one sentence each, for the user."""

    weights: Float[Tensor, " edges"] | None = None
    """Of each edge, above 0; None where edges have none."""

    first_kind: int | None = None
    """Of a bipartite graph: how many nodes are of the first kind. They come first, and every
    edge joins one of them to one of the others."""

    @cached_property
    def sha256(self) -> str:
        """Of ids, edges, features, weights and kinds: of the content, whatever file it is from."""
        digest = hashlib.sha256("\0".join(self.node_ids).encode())
        weights = () if self.weights is None else (self.weights,)
        kinds = () if self.first_kind is None else (torch.tensor(self.first_kind),)
        for tensor in (self.edges, *_parts(self.features), *weights, *kinds):
            digest.update(f"{tuple(tensor.shape)}".encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
        return digest.hexdigest()


def canonical_edges(
    pairs: NDArray[np.int64], nodes: int, *, weighted: bool = False
) -> tuple[Int64[Tensor, "2 edges"], tuple[str, ...]]:
    """Bring ``[2, rows]`` pairs of nodes into a RawGraph's form, and say what was done."""
    first, second = np.minimum(*pairs), np.maximum(*pairs)
    loops = first == second
    rows = first[~loops] * nodes + second[~loops]
    keys = np.unique(rows)
    directed = len(np.unique(pairs[0][~loops] * nodes + pairs[1][~loops]))
    notes = []
    if count := int(loops.sum()):
        notes.append(f"{_rows(count)} joined a node to itself and {_were(count)} left out")
    if count := len(rows) - directed:
        done = "added to its weight" if weighted else "left out"
        notes.append(f"{_rows(count)} repeated an edge and {_were(count)} {done}")
    if both := directed - len(keys):
        some = "" if both == len(keys) else ", the others in one"
        mean = ", with the mean of both weights" if weighted else ""
        notes.append(
            f"{both:,} of {len(keys):,} edges came in both directions{some}; the graph is taken "
            f"as undirected{mean}"
        )
    edges = np.stack([keys // nodes, keys % nodes])
    return torch.from_numpy(edges), tuple(notes)


def canonical_weights(
    pairs: NDArray[np.int64], weights: NDArray[np.float64], nodes: int
) -> Float[Tensor, " edges"]:
    """Weights of the edges that `canonical_edges` makes of the same pairs.

    Those of rows that repeat an edge are added; of its two directions the mean is taken.
    """
    joins = pairs[0] != pairs[1]
    rows, place = np.unique(pairs[0][joins] * nodes + pairs[1][joins], return_inverse=True)
    sums = np.bincount(place, weights[joins], minlength=len(rows))
    ends = rows // nodes, rows % nodes
    _, place = np.unique(np.minimum(*ends) * nodes + np.maximum(*ends), return_inverse=True)
    return torch.from_numpy((np.bincount(place, sums) / np.bincount(place)).astype(np.float32))


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _parts(features: Tensor | None) -> tuple[Tensor, ...]:
    if features is None:
        return ()
    if features.layout == torch.sparse_csr:
        return features.crow_indices(), features.col_indices(), features.values()
    return (features,)
