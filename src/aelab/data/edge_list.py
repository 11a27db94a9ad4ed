"""A user's own graph: an edge list, and maybe a table of node features.

Both are CSV, TSV, text with another delimiter, or Parquet. Ids are compared as text, so 7 and 07
are two nodes. Nodes are numbered in the order of their ids (by value, where all are whole
numbers): the order of the rows changes nothing.

A text file's first line is a header if it names two columns that edge lists are known by
(source and target, from and to, …), or if its first two cells are not numbers while all others in
their columns are. A table of features has a header if a cell after the first is not a number.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute  # type: ignore[import-untyped]
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from aelab.data.raw_graph import RawGraph, canonical_edges
from aelab.data.table_files import (
    Ids,
    as_ids,
    as_numbers,
    as_text,
    is_columnar,
    is_number,
    layout_of,
    listed,
    read_columnar,
    read_text,
    refuse_missing,
    trimmed,
)
from aelab.files import InputError

ENDS = (
    ("source", "target"),
    ("src", "dst"),
    ("from", "to"),
    ("u", "v"),
    ("node1", "node2"),
    ("node_1", "node_2"),
    ("id_1", "id_2"),
)
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


def read_edge_list(path: Path, features: Path | None = None) -> RawGraph:
    """Read the graph in an edge list, with the node features in a table if there is one.

    The two ends of an edge stand in columns called source and target (any case; or src and dst,
    from and to, …), or else in the first two; other columns are left out. A table of features
    has the node's id in its first column and numbers in all others, which are scaled to mean 0
    and variance 1; its nodes without an edge are isolated nodes of the graph.

    Raises:
        InputError: a file cannot be used; it names the file, the place and the remedy.
        MissingFileError: there is no such file.
    """
    pairs, notes = read_pairs(path)
    ids = np.unique(pairs)
    x = None
    if features is not None:
        table_ids, values = read_features(features)
        unknown = np.setdiff1d(ids, table_ids)
        if len(unknown):
            raise InputError(
                f"{features} has no row for {_some(unknown)}, which {path} joins by edges; add the "
                f"row, or leave the edges out"
            )
        ids, first = np.unique(table_ids, return_index=True)
        x, more = standardised(values[first])
        notes = [*notes, *more]
    order = _numeric_order(ids)
    edges, dropped = canonical_edges(np.argsort(order)[np.searchsorted(ids, pairs)], len(ids))
    notes += dropped
    isolated = len(ids) - len(edges.unique())
    if isolated:
        notes.append(f"{isolated:,} of {len(ids):,} nodes have no edge to another node")
    node_ids = tuple(ids[order].tolist())
    return RawGraph(path.stem, node_ids, edges, None if x is None else x[order], notes=tuple(notes))


def read_pairs(path: Path) -> tuple[Ids, list[str]]:
    """Read the ids at the two ends of each row, ``[2, rows]``, and what there is to say."""
    names, columns, notes = (_columnar_ends if is_columnar(path) else _text_ends)(path)
    for name, column in zip(names, columns, strict=True):
        refuse_missing(path, name, column)
    if not len(columns[0]):
        raise InputError(f"{path} holds no edges; give a row with two node ids for each edge")
    return np.stack([as_text(column) for column in columns]), notes


def read_features(path: Path) -> tuple[Ids, NDArray[np.float32]]:
    """Read ids ``[rows]`` and features ``[rows, features]`` of a table."""
    table = read_columnar(path) if is_columnar(path) else _feature_text(path)
    if table.num_columns < 2:
        raise InputError(
            f"{path} has {table.num_columns} column(s); the first must be the node's id, and the "
            f"others its features"
        )
    for name, column in zip(table.column_names, table.columns, strict=True):
        refuse_missing(path, name, column)
    ids = as_text(as_ids(path, table.column_names[0], table.column(0)))
    known, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"{path} has more than one row for {_some(known[counts > 1])}; keep one")
    columns = [as_numbers(path, name, table[name]) for name in table.column_names[1:]]
    return ids, np.stack(columns, 1)


def standardised(
    values: NDArray[np.float32],
) -> tuple[Float[Tensor, "nodes features"], tuple[str, ...]]:
    """Scale each column to mean 0 and variance 1; a constant column becomes 0, and is told."""
    wide = values.astype(np.float64)
    deviation = wide.std(0)
    constant = deviation <= 1e-9 * np.abs(wide).max(0)
    scaled = (wide - wide.mean(0)) / np.where(constant, 1, deviation) * ~constant
    notes = [f"{values.shape[1]:,} feature columns were scaled to mean 0 and variance 1"]
    if constant.any():
        notes.append(f"{constant.sum():,} of them hold one value only, and tell nothing")
    return torch.from_numpy(scaled.astype(np.float32)), tuple(notes)


Ends = tuple[list[str], list[pyarrow.ChunkedArray], list[str]]


def _text_ends(path: Path) -> Ends:
    layout = layout_of(path)
    if len(layout.cells) < 2:
        raise InputError(
            f"{path}: its first line has one column, {layout.cells[0][:40]!r}; an edge list has "
            f"two, with a tab, comma, semicolon or space between them"
        )
    known = _known_ends(layout.cells)
    first, second = known or (0, 1)
    table = read_text(path, layout, [first, second], pyarrow.string(), skip=known is not None)
    columns = [trimmed(table.column(0)), trimmed(table.column(1))]
    cells = layout.cells[first], layout.cells[second]
    notes = _other_columns(len(layout.cells), *(cells if known else ("the first", "the second")))
    if known is None and _is_header(cells, columns):
        columns = [column.slice(1) for column in columns]
        notes.append(f"the first line, {cells[0]!r} and {cells[1]!r}, was taken as a header")
    return list(cells) if known else ["1", "2"], columns, notes


def _columnar_ends(path: Path) -> Ends:
    table = read_columnar(path)
    if table.num_columns < 2:
        raise InputError(f"{path} has {table.num_columns} column(s); an edge list has two")
    ends = _known_ends(table.column_names) or (0, 1)
    names = [table.column_names[i] for i in ends]
    columns = [as_ids(path, name, table.column(i)) for name, i in zip(names, ends, strict=True)]
    return names, columns, _other_columns(table.num_columns, *names)


def _other_columns(count: int, first: str, second: str) -> list[str]:
    told = f"only the columns {first} and {second} were read, of {count}: edges have no weight here"
    return [told] if count > 2 else []


def _known_ends(cells: Sequence[str]) -> tuple[int, int] | None:
    """Places of the two columns by the names that edge lists are known by."""
    names = [cell.strip().lower() for cell in cells]
    for first, second in ENDS:
        if names.count(first) == 1 == names.count(second):
            return names.index(first), names.index(second)
    return None


def _is_header(cells: tuple[str, str], columns: list[pyarrow.ChunkedArray]) -> bool:
    """Neither cell of the first line is a number, and every other cell of its column is."""
    if len(columns[0]) < 2 or any(map(is_number, cells)):
        return False
    rest = pyarrow.chunked_array([c for column in columns for c in column.slice(1).chunks])
    whole = pyarrow.compute.match_substring_regex(rest, r"^[+-]?\d+$")
    return bool(pyarrow.compute.all(whole).as_py())


def _feature_text(path: Path) -> pyarrow.Table:
    layout = layout_of(path)
    cells = layout.cells
    header = len(cells) > 1 and not all(is_number(cell) or not cell for cell in cells[1:])
    table = read_text(path, layout, range(len(cells)), pyarrow.float64(), skip=header)
    if not header:
        return table.rename_columns([str(i + 1) for i in range(len(cells))])
    if len(set(cells)) < len(cells):
        raise InputError(f"{path}: two columns have the same name; rename one")
    if not table.num_rows:
        raise InputError(f"{path} holds no rows; is a feature of its first line no number?")
    return table.rename_columns(list(cells))


def _some(ids: Ids) -> str:
    return f"the node{'s' if len(ids) > 1 else ''} {listed(list(map(repr, ids.tolist())))}"


def _numeric_order(ids: Ids) -> NDArray[np.int64]:
    """Order of the ids: by value, where all are whole numbers; else as text."""
    if all(WHOLE_NUMBER.fullmatch(i) for i in ids.tolist()):
        return np.array(sorted(range(len(ids)), key=lambda i: (int(ids[i]), str(ids[i]))))
    return np.arange(len(ids))
