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

    @cached_property
    def sha256(self) -> str:
        """Of ids, edges and features: of the content, whatever file it came from."""
        digest = hashlib.sha256("\0".join(self.node_ids).encode())
        for tensor in (self.edges, *_parts(self.features)):
            digest.update(f"{tuple(tensor.shape)}".encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
        return digest.hexdigest()


def canonical_edges(
    pairs: NDArray[np.int64], nodes: int
) -> tuple[Int64[Tensor, "2 edges"], tuple[str, ...]]:
    """Bring ``[2, rows]`` pairs of nodes into a RawGraph's form, and say what was dropped."""
    first, second = np.minimum(*pairs), np.maximum(*pairs)
    loops = first == second
    rows = first[~loops] * nodes + second[~loops]
    keys = np.unique(rows)
    directed = len(np.unique(pairs[0][~loops] * nodes + pairs[1][~loops]))
    notes = []
    repeated = len(rows) - directed
    for count, told in ((loops.sum(), "joined a node to itself"), (repeated, "repeated an edge")):
        if count:
            some, were = ("1 row", "was") if count == 1 else (f"{count:,} rows", "were")
            notes.append(f"{some} {told} and {were} left out")
    if directed > len(keys):
        both = directed - len(keys)
        notes.append(
            f"{both:,} of {len(keys):,} edges came in both directions; "
            f"the graph is taken as undirected"
        )
    edges = np.stack([keys // nodes, keys % nodes])
    return torch.from_numpy(edges), tuple(notes)


def _parts(features: Tensor | None) -> tuple[Tensor, ...]:
    if features is None:
        return ()
    if features.layout == torch.sparse_csr:
        return features.crow_indices(), features.col_indices(), features.values()
    return (features,)
