"""A first column of an edge list that is no end of an edge: an index, or an id of each row."""

from collections.abc import Sequence

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute  # type: ignore[import-untyped]

from aelab.data.edge_columns import is_row_id

COMMON = 1 / 3
"""Least share of the ids in two columns that are in both, where both are ends of edges."""


def is_index(name: str, columns: Sequence[pyarrow.ChunkedArray]) -> bool:
    """Whether the first of three columns numbers the rows, and the others are the ends of edges.

    It counts the rows, or has a name that says so and another value in each; the others have ids
    in common. A tree's nodes count up as well, and may be followed by weights: these have not.
    """
    first, *ends = columns
    named = is_row_id(name) and len(first) > 1 and len(first.unique()) == len(first)
    return (named or counts_from_start(first)) and are_ends(*ends)


def are_ends(first: pyarrow.ChunkedArray, second: pyarrow.ChunkedArray) -> bool:
    """Whether two columns hold ids of one set of nodes."""
    if not pyarrow.types.is_string(first.type) or not pyarrow.types.is_string(second.type):
        return False
    ids, others = (set(column.unique().to_pylist()) for column in (first, second))
    return len(ids & others) >= COMMON * len(ids | others)


def counts_from_start(column: pyarrow.ChunkedArray) -> bool:
    """Whether a column counts the rows, from 0 or 1 on."""
    return len(column) > 1 and counts(column) and str(column[0].as_py()) in ("0", "1")


def counts(column: pyarrow.ChunkedArray) -> bool:
    """Whether a column counts the rows, from whatever number."""
    try:
        numbers = column.cast(pyarrow.int64()).to_numpy()
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        return False
    return not column.null_count and bool((np.diff(numbers) == 1).all())
