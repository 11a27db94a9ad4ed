"""A table's columns, and which of them are inputs: what each is left out for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute  # type: ignore[import-untyped]

from aelab.data.dialect import FOUND_OUT, Said
from aelab.data.numbers import Decimal, is_number
from aelab.data.table_files import is_columnar, listed, read_columnar
from aelab.data.text_tables import read_text_table
from aelab.files import InputError

IDENTIFIERS = ("id", "index", "idx", "row", "no", "nr", "number", "rowid", "row_id", "unnamed: 0")
"""Names, in small letters, of columns that may do no more than count the rows."""

NUMBER = r"^\s*[-+]?[\d.]+([eE][-+]?\d+)?\s*$"


@dataclass(frozen=True)
class ColumnsWanted:
    """Which columns of a table a user wants.

    >>> ColumnsWanted(leave_out=("date",)).label is None
    True
    """

    columns: tuple[str, ...] | None = None
    """The only inputs, in this order; unless given, all that can be."""

    leave_out: tuple[str, ...] = ()
    label: str | None = None
    """The column with each row's class; it is no input."""

    by: str | None = None
    """The column that decides the splits; it is no input unless `columns` names it."""

    said: Said = FOUND_OUT

    gaps: bool = False
    """Whether a column that is asked for may have no value at all."""


@dataclass(frozen=True)
class Chosen:
    """A table, and which of its columns are inputs.

    >>> table = pyarrow.table({"id": [1, 2], "cm": [170.0, 180.0]})
    >>> chosen(Path("people.csv"), table, ColumnsWanted()).inputs
    ('cm',)
    """

    table: pyarrow.Table
    inputs: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    """The other columns, with why."""

    told: str = ""
    """How it was read, where that was found out."""

    decimal: Decimal | None = None
    """Of a text's numbers, if any has one."""


def read_columns(path: Path, wanted: ColumnsWanted) -> Chosen:
    """Read a table, and choose its inputs.

    Raises:
        InputError: it cannot be read, a column that is asked for is missing or holds no numbers,
            two have the same name, or none holds numbers.
        MissingFileError: there is no such file.
    """
    if is_columnar(path):
        return chosen(path, read_columnar(path, wanted.label), wanted)
    table, dialect = read_text_table(path, wanted.said, wanted.label)
    return replace(chosen(path, table, wanted, dialect.told), decimal=dialect.numbers.known)


def frame_columns(frame: object, where: str, wanted: ColumnsWanted) -> Chosen:
    """The same of a data frame in memory.

    Raises:
        InputError: as `read_columns`.
    """
    try:
        table = pyarrow.table(frame)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{where} cannot be read as a data frame ({reason})") from error
    return chosen(where, table, wanted)


def chosen(path: Path | str, table: pyarrow.Table, wanted: ColumnsWanted, told: str = "") -> Chosen:
    """The inputs among a table's columns."""
    table, left_out = named_ones(without_marks(table, wanted.said.missing))
    if len(set(table.column_names)) < len(table.column_names):
        twice = next(n for n in table.column_names if table.column_names.count(n) > 1)
        raise InputError(f"{path}: two columns have the same name, {twice!r}; rename one")
    aside = [name for name in (wanted.label, wanted.by) if name is not None]
    for name in (*(wanted.columns or ()), *wanted.leave_out, *aside):
        refuse_absent(path, name, table.column_names)
    if twice := set(wanted.columns or ()) & set(wanted.leave_out):
        raise InputError(f"columns and leave-out both name {sorted(twice)[0]!r}; decide")
    if wanted.columns is None:
        reasons = {name: reason(name, table[name]) for name in table.column_names}
        reasons |= dict.fromkeys(wanted.leave_out, "as asked")
        reasons = {name: why for name, why in reasons.items() if name not in aside}
    else:
        reasons = {
            name: "" if wanted.gaps and is_empty(table[name]) else no_numbers(table[name])
            for name in wanted.columns
        }
    if wanted.label is not None:
        reasons.pop(wanted.label, None)
    others = [f"{name} ({why})" for name, why in reasons.items() if why]
    inputs = tuple(name for name, why in reasons.items() if not why)
    if others and (wanted.columns is not None or not inputs):
        raise InputError(f"{path}: columns that hold no numbers: {listed(others)}")
    if not table.num_rows or not inputs:
        raise InputError(f"{path} holds no rows of numbers")
    return Chosen(table, inputs, (*left_out, *others), told)


def named_ones(table: pyarrow.Table) -> tuple[pyarrow.Table, list[str]]:
    """A table without its empty columns, and without its index, where these have no name.

    Others without a name are called by their place. A Parquet file says itself which columns are
    the index that pandas wrote.
    """
    names, kept, empty, told = list[str](), list[int](), 0, list[str]()
    index = set(pandas_index(table))
    for place, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if name.startswith("__index_level_") or (name in index and counts_rows(column)):
            told.append(f"{name} (pandas' index)")
        elif name:
            names.append(name)
            kept.append(place)
        elif column.null_count == len(column):
            empty += 1
        elif place == 0 and counts_up(column):
            told.append("the first column (it has no name and counts up, as an index)")
        elif place == 0 and names_rows(column):
            told.append("the first column (it has no name and names the rows)")
        else:
            names.append(f"column {place + 1}")
            kept.append(place)
    if empty:
        told.append(f"{empty} empty column{'s' if empty > 1 else ''} without a name")
    return table.select(kept).rename_columns(names), told


def without_marks(table: pyarrow.Table, marks: Sequence[str]) -> pyarrow.Table:
    """A table whose cells that stand for a missing value are missing: numbers by their value."""
    numbers = [float(mark.replace(",", "")) for mark in marks if is_number(mark)]
    for place, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        kind = column.type
        if numbers and (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)):
            found = pyarrow.compute.is_in(column.cast(pyarrow.float64()), pyarrow.array(numbers))
        elif marks and pyarrow.types.is_string(kind):
            found = pyarrow.compute.is_in(column, pyarrow.array(marks))
        else:
            continue
        if pyarrow.compute.any(found).as_py():
            gap = pyarrow.scalar(None, kind)
            table = table.set_column(place, name, pyarrow.compute.if_else(found, gap, column))
    return table


def is_empty(column: pyarrow.ChunkedArray) -> bool:
    """Whether a column has no value."""
    return bool(column.null_count == len(column))


def pandas_index(table: pyarrow.Table) -> list[str]:
    """The columns that a Parquet file of pandas' says are its index."""
    known = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in known if isinstance(name, str)]


def reason(name: str, column: pyarrow.ChunkedArray) -> str:
    """Why a column that nobody asked for is no input; nothing if it is one."""
    if name.strip().lower() in IDENTIFIERS and counts_rows(column):
        return "it counts the rows"
    return no_numbers(column)


def counts_rows(column: pyarrow.ChunkedArray) -> bool:
    """Whether a column holds the rows' numbers, from 0 or 1 on."""
    first, last = (column[0].as_py(), column[-1].as_py()) if len(column) else (None, None)
    return first in (0, 1) and counts_up(column) and last - first == len(column) - 1


def counts_up(column: pyarrow.ChunkedArray) -> bool:
    """Whether a column holds whole numbers that increase from row to row."""
    if not pyarrow.types.is_integer(column.type) or column.null_count or len(column) < 2:
        return False
    return bool((np.diff(column.to_numpy()) > 0).all())


def names_rows(column: pyarrow.ChunkedArray) -> bool:
    """Whether a column of text has another word in each row."""
    if not pyarrow.types.is_string(column.type) or column.null_count:
        return False
    return len(pyarrow.compute.unique(column)) == len(column)


def refuse_absent(path: Path | str, name: str, present: Sequence[str]) -> None:
    """Raise InputError if a table lacks a column."""
    if name not in present:
        close = get_close_matches(name, present, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else f"; it has {listed(present)}"
        raise InputError(f"{path} has no column {name!r}{meant}")


def no_numbers(column: pyarrow.ChunkedArray) -> str:
    """Why a column is no input; nothing if it is one."""
    kind = column.type
    numeric = pyarrow.types.is_boolean(kind) or pyarrow.types.is_decimal(kind)
    if numeric or pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind):
        return "no value" if column.null_count == len(column) else ""
    if column.null_count == len(column):
        return "empty"
    if pyarrow.types.is_dictionary(kind) or pyarrow.types.is_large_string(kind):
        return no_numbers(column.cast(pyarrow.string()))
    if not pyarrow.types.is_string(kind):
        return str(kind)
    number = pyarrow.compute.match_substring_regex(column, NUMBER)
    row = pyarrow.compute.index(number, False).as_py()
    return f"{column[row].as_py()!r} in row {row + 1}" if row >= 0 else str(kind)
