"""Adjacency matrices: tables as wide as long, and arrays of that shape.

Nodes without names are numbered from 0.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow  # type: ignore[import-untyped]
from numpy.typing import NDArray

from aelab.data.edge_columns import UNNAMED
from aelab.data.edge_list import told_kinds, told_weights
from aelab.data.found_edges import FoundEdges, with_kind
from aelab.data.numbers import is_number
from aelab.data.table_files import Ids, Layout, as_text, layout_of, read_text, trimmed
from aelab.files import InputError, MissingFileError

FEWEST_NODES = 7  # fewer have not the edges that a split needs, and a narrow table is a list
ROW_COLUMN = ("row", "column")


def read_square_table(path: Path, *, bipartite: bool = False) -> FoundEdges | None:
    """Read the graph of a text table that is an adjacency matrix; None, if it is not square.

    Names may stand in the first row, or there and in the first column.

    Raises:
        InputError: it is square, and its values are not 0 and 1 or counts.
    """
    layout = layout_of(path)
    if len(layout.cells) < FEWEST_NODES:
        return None
    lines = read_text(path, layout, [0], pyarrow.string(), skip=False).num_rows
    header = not all(map(is_number, layout.cells)) or _counts_columns(layout, lines)
    named = header and lines == len(layout.cells)
    if lines - header != len(layout.cells) - named:
        return None
    try:
        table = read_text(path, layout, range(len(layout.cells)), pyarrow.float64(), skip=header)
        first = table.column(0)
        columns = [*([] if named else [first.cast(pyarrow.float64())]), *table.columns[1:]]
    except (InputError, pyarrow.ArrowInvalid):  # cells that are no numbers
        return None
    names = np.array(layout.cells[1 if named else 0 :] if header else numbers_from(0, len(columns)))
    if len(np.unique(names)) < len(names):
        raise InputError(
            f"{path} is as wide as long, as an adjacency matrix, but two of its columns have the "
            f"same name; rename one"
        )
    if named and not np.array_equal(as_text(trimmed(first)), names):
        _refuse_other_names(path, as_text(trimmed(first)), names)
    matrix = np.stack([column.to_numpy() for column in columns], 1)
    return edges_of_matrix(path, matrix, names, bipartite=bipartite)


def read_array(path: Path, *, bipartite: bool = False) -> FoundEdges:
    """Read the graph of an adjacency matrix in an ``.npy`` file."""
    from aelab.data.arrays import open_array

    if not path.is_file():
        raise MissingFileError(f"{path} does not exist; check the path")
    matrix = open_array(path, str(path))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "buif":
        raise InputError(
            f"{path} holds {matrix.dtype} of the shape {matrix.shape}; a graph in an array is an "
            f"adjacency matrix, numbers of the shape [nodes, nodes] (an array of inputs is for "
            f"models of inputs)"
        )
    names = np.array(numbers_from(0, len(matrix)))
    return edges_of_matrix(path, matrix, names, bipartite=bipartite)


def edges_of_matrix(
    path: Path, matrix: NDArray[Any], names: Ids, *, bipartite: bool = False
) -> FoundEdges:
    """Edges where a square matrix is not 0; what is more than 1 is a weight.

    Raises:
        InputError: a value is no whole number from 0.
    """
    place = matrix.nonzero()
    values = matrix[place]
    _refuse_no_counts(path, place, values, names)
    if not bipartite and np.array_equal(matrix, matrix.T):
        upper = place[0] <= place[1]
        place, values = (place[0][upper], place[1][upper]), values[upper]
    pairs = names[place[0]], names[place[1]]
    told = f"{len(names):,} x {len(names):,} whole numbers were read as an adjacency matrix"
    return found_in_matrix(pairs, values, (names, names), told, bipartite=bipartite)


def found_in_matrix(
    pairs: tuple[Ids, Ids],
    values: NDArray[Any],
    ids: tuple[Ids, Ids],
    told: str,
    *,
    bipartite: bool,
) -> FoundEdges:
    """The edges with what there is to say of a matrix of them."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
    weights = None if low == high else values.astype(np.float64)
    notes = [f"{told}, nodes {ids[0][0]} to {ids[0][-1]}"]
    if weights is not None:
        notes.append(told_weights("what is not 0", low, high))
    if not bipartite:
        return FoundEdges(np.stack(pairs), weights, ids[0], notes=tuple(notes))
    kinds = ROW_COLUMN
    own = [with_kind(kind, of) for kind, of in zip(kinds, pairs, strict=True)]
    nodes = [with_kind(kind, of) for kind, of in zip(kinds, ids, strict=True)]
    notes.append(told_kinds(kinds, str(nodes[0][0]), str(nodes[1][0])))
    return FoundEdges(np.stack(own), weights, np.concatenate(nodes), kinds, tuple(notes))


def _counts_columns(layout: Layout, lines: int) -> bool:
    """Whether the first line numbers the columns, as pandas does where they have no names."""
    first, rest = layout.cells[0], [*layout.cells[1:]]
    if lines == len(layout.cells) and first.lower() in UNNAMED:
        return rest == numbers_from(0, len(rest)) or rest == numbers_from(1, len(rest))
    own = [*layout.cells]
    return lines == len(own) + 1 and own in (numbers_from(0, len(own)), numbers_from(1, len(own)))


def numbers_from(first: int, count: int) -> list[str]:
    """Ids of nodes that have none."""
    return [str(first + number) for number in range(count)]


def _refuse_other_names(path: Path, rows: Ids, columns: Ids) -> None:
    place = int((rows != columns).argmax())
    raise InputError(
        f"{path} is as wide as long, but its row {place + 1} is called {str(rows[place])!r} and "
        f"its column {place + 1} {str(columns[place])!r}; in an adjacency matrix, rows and columns "
        f"are the same nodes in the same order"
    )


def _refuse_no_counts(path: Path, place: Any, values: NDArray[Any], names: Ids) -> None:  # noqa: ANN401
    """Raise InputError if a value that is not 0 is no count."""
    with np.errstate(invalid="ignore"):  # of infinity
        bad = ~((values > 0) & (values == np.floor(values)) & np.isfinite(values))
    if bad.any():
        first = int(bad.argmax())
        row, column = (str(names[ends[first]]) for ends in place)
        raise InputError(
            f"{path} is as wide as long, but no adjacency matrix of 0 and 1, or of counts: row "
            f"{row!r}, column {column!r} is {values[first]:g}; set what is above a threshold to 1 "
            f"and all else to 0, or list the edges with a column called weight (a table of inputs "
            f"is read with --rows inputs)"
        )
