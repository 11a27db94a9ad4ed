"""Edges as they stand in a file, and the order in which their nodes are numbered."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aelab.data.table_files import Ids

Kinds = tuple[str, str]
"""What the two kinds of nodes of a bipartite graph are called."""

WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, eq=False)
class FoundEdges:
    """Edges as they stand in a file, before nodes are numbered.

    >>> FoundEdges(np.array([["Ann", "Bob"], ["Bob", "Zoe"]])).ids
    array(['Ann', 'Bob', 'Zoe'], dtype='<U3')
    """

    pairs: Ids
    """The ids of both ends, ``[2, rows]``; in a bipartite graph ``kind:id``."""

    weights: NDArray[np.float64] | None = None
    """One a row, above 0; None where edges have none."""

    nodes: Ids | None = None
    """All ids, where the file names also nodes without an edge."""

    kinds: Kinds | None = None
    """Of a bipartite graph: what the first ends are, and what the second."""

    notes: tuple[str, ...] = ()
    """What was found and done on reading, one sentence each, for the user."""

    @property
    def ids(self) -> Ids:
        """Each node's id once."""
        return np.unique(self.pairs if self.nodes is None else self.nodes)


def with_kind(kind: str, ids: Ids) -> Ids:
    """Ids that say their nodes' kind, so that user 1 and item 1 are two nodes.

    >>> with_kind("user", np.array(["1", "7"])).tolist()
    ['user:1', 'user:7']
    """
    return np.char.add(f"{kind}:", ids)


def in_order(ids: Ids, kinds: Kinds | None) -> tuple[Ids, int | None]:
    """Different ids as nodes are numbered, and of a bipartite graph how many the first kind has.

    By value, where all are whole numbers; else as text. The first kind goes before the second;
    an id of neither is left out.
    """
    if kinds is None:
        return ids[_numeric_order(ids)], None
    parts = [ids[np.char.startswith(ids, f"{kind}:")] for kind in kinds]
    bare = [
        np.char.replace(part, f"{kind}:", "", count=1)
        for kind, part in zip(kinds, parts, strict=True)
    ]
    ordered = [part[_numeric_order(own)] for part, own in zip(parts, bare, strict=True)]
    return np.concatenate(ordered), len(parts[0])


def _numeric_order(ids: Ids) -> NDArray[np.int64]:
    """Order of the ids: by value, where all are whole numbers; else as text."""
    if all(WHOLE_NUMBER.fullmatch(i) for i in ids.tolist()):
        order = sorted(range(len(ids)), key=lambda i: (int(ids[i]), str(ids[i])))
        return np.array(order, dtype=np.int64)
    return np.argsort(ids)
