"""Edge lists: CSV, TSV, text with another delimiter, or Parquet, with a row for each edge.

Ids are compared as text, so 7 and 07 are two nodes. A text file's first line is a header if it
names columns that edge lists are known by (source and target, user and item, …), or begins with a
column without a name, as pandas writes its index, or if its first two cells are not numbers while
all others in their columns are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute  # type: ignore[import-untyped]
from numpy.typing import NDArray

from aelab.data.edge_columns import (
    DIRECTIONS,
    UNNAMED,
    WEIGHTS,
    Roles,
    is_row_id,
    kinds_of_header,
    lowered,
    plain_roles,
    roles_by_name,
    weight_by_name,
)
from aelab.data.edge_index import counts, counts_from_start, is_index
from aelab.data.found_edges import FoundEdges, Kinds, with_kind
from aelab.data.numbers import is_number
from aelab.data.table_files import (
    IS_TABLE,
    Layout,
    as_ids,
    as_text,
    is_columnar,
    layout_of,
    read_columnar,
    read_text,
    refuse_missing,
    trimmed,
)
from aelab.files import InputError

MOST_WEIGHT = 1e30  # of float32 there is more, but not of its sums
EARLIEST_TIME = 1e8  # seconds after 1970 are more, and are no weights
DECIMALS = r"^[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?$"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"

UNSURE = (
    "the first column counts the rows, and is taken for nodes: if it only numbers the rows, leave "
    "it out, or call the columns of nodes source and target in a first line"
)


@dataclass(frozen=True)
class Rows:
    """The columns of an edge list that are read, by their places."""

    names: Sequence[str]
    """Of all columns; without a header, their numbers from 1."""

    roles: Roles
    columns: Mapping[int, pyarrow.ChunkedArray]
    notes: tuple[str, ...] = ()


def read_edges(path: Path, *, plain: bool = False, bipartite: bool = False) -> FoundEdges:
    """Read the ids of both ends of each edge, and what else its row says.

    The ends stand in columns called source and target (any case; or src and dst, user and item,
    …), or else in the first two. A column called weight (or value, count, …) is read; without a
    header, a third column of numbers. With `plain`, only the ends are.

    Raises:
        InputError: the file cannot be used; it names the place and the remedy.
        MissingFileError: there is no such file.
    """
    rows = (_columnar_rows if is_columnar(path) else _text_rows)(path, plain)
    roles, names = rows.roles, rows.names
    ends = _ends(path, rows)
    notes = [*rows.notes]
    if not plain:
        for name, column in zip((names[roles.first], names[roles.second]), ends, strict=True):
            _refuse_decimals(path, name, column)
    pairs = np.stack([as_text(column) for column in ends])
    weights, more = (None, []) if plain else _weights(path, rows)
    notes += [*more, *_left_out(rows, plain=plain, told=bool(more))]
    kinds = roles.kinds
    if bipartite and kinds is None:
        kinds = kinds_of_header(names[roles.first], names[roles.second])
    if kinds is not None:
        pairs = np.stack([with_kind(kind, ids) for kind, ids in zip(kinds, pairs, strict=True)])
        notes.append(told_kinds(kinds, str(pairs[0, 0]), str(pairs[1, 0])))
    elif not plain and (lowered(names[roles.first]), lowered(names[roles.second])) in DIRECTIONS:
        notes.append(
            f"edges from {names[roles.first]} to {names[roles.second]} are taken as undirected"
        )
    return without_zeros(FoundEdges(pairs, weights, None, kinds, tuple(notes)))


def without_zeros(found: FoundEdges) -> FoundEdges:
    """The edges whose weight is above 0, of the same nodes; no weights, where all are equal."""
    if found.weights is None:
        return found
    kept = found.weights > 0
    left = found.weights[kept]
    weights = left if len(np.unique(left)) > 1 else None
    if kept.all():
        return replace(found, weights=weights)
    told = f"a weight of 0 is no edge: rows left out for it: {(~kept).sum():,}"
    return replace(
        found,
        pairs=found.pairs[:, kept],
        weights=weights,
        nodes=found.ids,
        notes=(*found.notes, told),
    )


def read_pairs(path: Path, kinds: Kinds | None = None) -> list[tuple[str, str]]:
    """Read pairs of ids. Of a bipartite graph, columns called by its `kinds` lack them in ids."""
    try:
        rows = (_columnar_rows if is_columnar(path) else _text_rows)(path, plain=kinds is None)
    except InputError as error:  # pairs are of a run, whose kind is settled
        raise InputError(str(error).replace(IS_TABLE, "")) from error
    first, second = rows.roles.first, rows.roles.second
    own = rows.roles.kinds or kinds_of_header(rows.names[first], rows.names[second])
    ends = [as_text(column) for column in _ends(path, rows)]
    if kinds is not None and own in (kinds, kinds[::-1]):
        ends = [
            ids if np.char.startswith(ids, f"{kind}:").all() else with_kind(kind, ids)
            for kind, ids in zip(own, ends, strict=True)
        ]
    return list(zip(*(ids.tolist() for ids in ends), strict=True))


def told_kinds(kinds: Kinds, first: str, second: str) -> str:
    """That a graph is bipartite, with the ids of a node of each kind."""
    return (
        f"the nodes are of two kinds, {kinds[0]} and {kinds[1]}, called {first!r}, {second!r} and "
        f"so on; links are scored and looked for between the kinds only"
    )


def _text_rows(path: Path, plain: bool) -> Rows:
    layout = layout_of(path)
    cells = layout.cells
    if len(cells) < 2:
        raise InputError(
            f"{path}: its first line has one column, {cells[0][:40]!r}; an edge list has two, with "
            f"a tab, comma, semicolon or space between them{IS_TABLE}"
        )
    roles = plain_roles(cells) if plain else roles_by_name(cells)
    if roles is not None:
        columns = _text_columns(path, layout, roles, skip=True)
        if roles.kinds is None or not _holds_its_name(roles, cells, columns):
            return Rows(cells, roles, columns)
    wide = len(cells) > 2 and not plain
    roles = Roles(weight=2 if wide else None)
    columns = _text_columns(path, layout, roles, skip=False)
    if wide and (indexed := _indexed_rows(path, layout, columns)) is not None:
        return indexed
    if wide and lowered(cells[0]) in UNNAMED:
        raise InputError(
            f"{path} is no edge list: its first line begins with a column without a name, and "
            f"names no two columns of nodes; call them source and target{IS_TABLE}"
        )
    if not _is_header(cells[:2], [columns[0], columns[1]]):
        unsure = wide and counts_from_start(columns[0]) and _are_whole(columns[2])
        return Rows(numbered(cells), roles, columns, (UNSURE,) if unsure else ())
    columns = {place: column.slice(1) for place, column in columns.items()}
    if roles.weight is not None and lowered(cells[roles.weight]) not in WEIGHTS:
        roles = replace(roles, weight=None)
    note = f"the first line, {cells[0]!r} and {cells[1]!r}, was taken as a header"
    return Rows(cells, roles, columns, (note,))


def _indexed_rows(
    path: Path, layout: Layout, columns: Mapping[int, pyarrow.ChunkedArray]
) -> Rows | None:
    """The rows of a list whose first column numbers them, before the ends; None of all others."""
    cells = layout.cells
    header = is_row_id(cells[0]) or _is_header(cells[:2], [columns[0], columns[1]])
    weight = weight_by_name(cells, (1, 2)) if header else min(3, len(cells))
    first = [columns[place].slice(header) for place in range(3)]
    names = cells if header else numbered(cells)
    if (header and weight_by_name(cells, (0, 1)) == 2) or not is_index(names[0], first):
        return None
    roles = Roles(1, 2, weight if weight != len(cells) else None, index=0)
    told = f"the first line, {cells[0]!r} and {cells[1]!r}, was taken as a header"
    read = _text_columns(path, layout, roles, skip=header)
    return Rows(names, roles, read, (told,) if header else ())


def numbered(cells: Sequence[str]) -> list[str]:
    """What columns without names are called."""
    return [f"{place + 1}" for place in range(len(cells))]


def _text_columns(
    path: Path, layout: Layout, roles: Roles, *, skip: bool
) -> dict[int, pyarrow.ChunkedArray]:
    table = read_text(path, layout, roles.places, pyarrow.string(), skip=skip)
    return dict(zip(roles.places, map(trimmed, table.columns), strict=True))


def _holds_its_name(
    roles: Roles, cells: Sequence[str], columns: Mapping[int, pyarrow.ChunkedArray]
) -> bool:
    """Whether a kind of node stands again below it: then words are the nodes, and no header."""
    return any(
        pyarrow.compute.any(pyarrow.compute.equal(column, cells[end])).as_py()
        for end in (roles.first, roles.second)
        for column in (columns[roles.first], columns[roles.second])
    )


def _columnar_rows(path: Path, plain: bool) -> Rows:
    table = read_columnar(path)
    names = table.column_names
    if len(names) < 2:
        raise InputError(f"{path} has {len(names)} column(s); an edge list has two")
    roles = plain_roles(names) if plain else roles_by_name(names)
    if roles is None:
        roles = Roles(weight=None if plain else weight_by_name(names, (0, 1)))
        if len(names) > 2 and roles.weight != 2 and not plain and _is_index(table):
            roles = Roles(1, 2, weight_by_name(names, (1, 2)), index=0)
    columns = {place: table.column(place) for place in roles.places}
    for place in (roles.first, roles.second):
        columns[place] = as_ids(path, names[place], columns[place])
    return Rows(names, roles, columns)


def _is_index(table: pyarrow.Table) -> bool:
    """Whether the first of three columns with types numbers the rows, before the ends."""
    columns = table.columns[:3]
    if any(pyarrow.types.is_floating(column.type) for column in columns):
        return False
    try:
        texts = [column.cast(pyarrow.string()) for column in columns]
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        return False
    return is_index(table.column_names[0], texts)


def _ends(path: Path, rows: Rows) -> list[pyarrow.ChunkedArray]:
    """The ids of both ends, none of them missing."""
    places = (rows.roles.first, rows.roles.second)
    for place in places:
        refuse_missing(path, rows.names[place], rows.columns[place])
    if not len(rows.columns[places[0]]):
        raise InputError(f"{path} holds no edges; give a row with two node ids for each edge")
    return [rows.columns[place] for place in places]


def _refuse_decimals(path: Path, name: str, column: pyarrow.ChunkedArray) -> None:
    """Raise InputError if a column is of numbers, and one of them has decimals.

    Its first cell may be its name, for a header is not known by numbers with decimals below it.
    """
    rest = column.slice(1) if len(column) > 1 else column
    decimal = pyarrow.compute.match_substring_regex(rest, DECIMALS)
    if not pyarrow.compute.any(decimal).as_py():
        return
    if not pyarrow.compute.all(pyarrow.compute.match_substring_regex(rest, NUMBER)).as_py():
        return
    found = rest[int(pyarrow.compute.index(decimal, True).as_py())].as_py()
    raise InputError(
        f"{path} is no edge list: the column {name!r} holds {found}, and numbers with decimals are "
        f"no names of nodes; if its rows are inputs, train a model of inputs (--rows inputs), and "
        f"if these are names, --plain-edges takes them for such"
    )


def _weights(path: Path, rows: Rows) -> tuple[NDArray[np.float64] | None, list[str]]:
    """The weight of each row, and what there is to say of it."""
    place = rows.roles.weight
    if place is None:
        return None, []
    name, column = rows.names[place], rows.columns[place]
    try:
        column = column.cast(pyarrow.float64())
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        named = lowered(name) in WEIGHTS
        told = f"the column {name!r} holds other than numbers, and was not taken for weights"
        return None, [told] if named else []
    if column.null_count == len(column):
        return None, []
    refuse_missing(path, name, column)
    weights: NDArray[np.float64] = column.to_numpy()
    bad = ~((weights >= 0) & (weights <= MOST_WEIGHT))
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{path}: row {row + 1} of the column {name!r} is {weights[row]:g}; weights of edges "
            f"must be finite, and 0 or more (--plain-edges reads the edges without weights)"
        )
    low, high = float(weights.min()), float(weights.max())
    if low == high > 0:
        return None, [f"the column {name!r} is {low:g} throughout: edges have no weight here"]
    if low >= EARLIEST_TIME and lowered(name) not in WEIGHTS:
        return None, [f"the column {name!r} looks like times, and was not taken for weights"]
    return weights, [told_weights(f"the column {name!r}", low, high)]


def told_weights(where: str, low: float, high: float) -> str:
    """That there are weights, and what they are used for."""
    return (
        f"{where} was read as weights, from {low:g} to {high:g}: messages along an edge are "
        f"weighted by them, and only whether there is an edge is predicted"
    )


def _left_out(rows: Rows, *, plain: bool, told: bool) -> list[str]:
    """What is said of columns that are not used; of that of the weights, unless it is `told`."""
    roles, names = rows.roles, rows.names
    used = {roles.first, roles.second} | ({roles.weight} if told else set())
    notes, index = [], roles.index
    if index is not None and (why := _numbers_rows(names[index], rows.columns[index])):
        used.add(index)
        notes.append(f"the first column {why}: it was left out")
    others = [
        name or f"number {place + 1}" for place, name in enumerate(names) if place not in used
    ]
    if not others:
        return notes
    if plain:
        ends = f"{names[roles.first]} and {names[roles.second]}"
        return [f"only the columns {ends} were read, of {len(names)}"]
    unless = "" if told else "; a column of weights must be called weight"
    some = ", ".join(map(repr, others[:3])) + (" and others" if len(others) > 3 else "")
    return [*notes, f"columns not read: {some}{unless}"]


def _numbers_rows(name: str, column: pyarrow.ChunkedArray) -> str:
    """How a column numbers the rows, in words; nothing if it does not."""
    if lowered(name) in UNNAMED:
        return "has no name and counts the rows" if counts(column) else ""
    if not is_row_id(name):
        return "counts the rows (--plain-edges takes the first two for nodes)"
    different = len(column.unique()) == len(column)
    return f"is called {name!r} and has another value in each row" if different else ""


def _is_header(cells: Sequence[str], columns: list[pyarrow.ChunkedArray]) -> bool:
    """Neither cell of the first line is a number, and every other cell of its column is."""
    if len(columns[0]) < 2 or any(map(is_number, cells)):
        return False
    rest = pyarrow.chunked_array([c for column in columns for c in column.slice(1).chunks])
    return _are_whole(rest)


def _are_whole(column: pyarrow.ChunkedArray) -> bool:
    """Whether all cells are whole numbers."""
    whole = pyarrow.compute.match_substring_regex(column, r"^[+-]?\d+$")
    return bool(pyarrow.compute.all(whole).as_py())
