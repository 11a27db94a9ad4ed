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
from aelab.data.specs import InputSpec
from aelab.data.table_files import is_columnar, listed, read_columnar
from aelab.data.text_tables import read_text_table
from aelab.data.words import NUMBER, first_that, holds_words, is_numeric, no_input
from aelab.files import InputError

IDENTIFIERS = ("id", "index", "idx", "row", "no", "nr", "number", "rowid", "row_id", "unnamed: 0")
"""Names, in small letters, of columns that may do no more than count the rows."""


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

    label_may_lack: bool = False
    """Whether a table may be without the label, or without one in some row: then it has none."""

    by: str | None = None
    """The column that decides the splits; it is no input unless `columns` names it."""

    said: Said = FOUND_OUT

    gaps: bool = False
    """Whether a column that is asked for may have no value at all."""

    words: frozenset[str] | None = None
    """Which of `columns` hold words, where a run knows; found out unless given."""


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

    words: frozenset[str] = frozenset()
    """The inputs that hold words, or false and true."""

    told: str = ""
    """How it was read, where that was found out."""

    label: str | None = None
    """The column with each row's class, if it is there."""

    decimal: Decimal | None = None
    """Of a text's numbers, if any has one."""


def wanted_by(spec: InputSpec) -> ColumnsWanted:
    """The columns of a table that a run takes, and which of them hold words."""
    columns = spec.columns
    if columns is None or columns.numbered:
        return ColumnsWanted()
    words = frozenset(block.name for block in columns.blocks if block.words)
    return ColumnsWanted(columns.names, label=columns.label, words=words)


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
    label = wanted.label
    if wanted.label_may_lack and label not in table.column_names:
        label = None
    aside = [name for name in (label, wanted.by) if name is not None]
    for name in (*(wanted.columns or ()), *wanted.leave_out, *aside):
        refuse_absent(path, name, table.column_names)
    if twice := set(wanted.columns or ()) & set(wanted.leave_out):
        raise InputError(f"columns and leave-out both name {sorted(twice)[0]!r}; decide")
    if wanted.columns is None:
        reasons = {name: reason(name, table[name]) for name in table.column_names}
        reasons |= dict.fromkeys(wanted.leave_out, "as asked")
        reasons = {name: why for name, why in reasons.items() if name not in aside}
    else:
        reasons = {name: refusal(name, table[name], wanted) for name in wanted.columns}
    if label is not None:
        reasons.pop(label, None)
    others = [f"{name} ({why})" for name, why in reasons.items() if why]
    inputs = tuple(name for name, why in reasons.items() if not why)
    if others and (wanted.columns is not None or not inputs):
        raise InputError(f"{path}: columns that can be no inputs: {listed(others)}")
    if not table.num_rows or not inputs:
        raise InputError(f"{path} holds no rows that can be inputs")
    words = wanted.words
    if words is None:
        words = frozenset(name for name in inputs if holds_words(table[name].type))
    return Chosen(table, inputs, (*left_out, *others), words, told=told, label=label)


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
    try:
        told = table.schema.pandas_metadata
    except ValueError:  # no JSON: whoever wrote it, it was not pandas
        return []
    known = told.get("index_columns") if isinstance(told, dict) else None
    return [name for name in known if isinstance(name, str)] if isinstance(known, list) else []


def reason(name: str, column: pyarrow.ChunkedArray) -> str:
    """Why a column that nobody asked for is no input; nothing if it is one."""
    if is_called_id(name) and counts_rows(column):
        return "it counts the rows"
    if is_called_id(name) and names_rows(column):
        return "it has another value in each row"
    return no_input_of_kind(column, asked=False)


def refusal(name: str, column: pyarrow.ChunkedArray, wanted: ColumnsWanted) -> str:
    """Why a column that is asked for is no input; nothing if it is one."""
    if wanted.gaps and is_empty(column):
        return ""
    if wanted.words is None:
        return no_input_of_kind(column, asked=True)
    if name in wanted.words:  # numbers may be words, as 1 and 2 of a class
        fits = holds_words(column.type) or is_numeric(column.type) or is_empty(column)
        return "" if fits else f"{column.type}, and in training words"
    if holds_words(column.type) and not is_empty(column):
        return f"{first_that(column, NUMBER)}, and in training numbers"
    return no_input_of_kind(column, asked=True)


def is_called_id(name: str) -> bool:
    """Whether a column's name says that its values tell rows apart and nothing else.

    >>> is_called_id("Patient_ID"), is_called_id("PassengerId"), is_called_id("humid")
    (True, True, False)
    """
    small = name.strip().lower()
    ends = name.strip().endswith(("Id", "ID")) or small.endswith(("_id", " id", "-id"))
    return small in IDENTIFIERS or ends


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
    """Whether a column of text or whole numbers has another value in each row."""
    kind = column.type
    names = pyarrow.types.is_string(kind) or pyarrow.types.is_integer(kind)
    if not names or column.null_count or len(column) < 2:
        return False
    return len(pyarrow.compute.unique(column)) == len(column)


def refuse_absent(path: Path | str, name: str, present: Sequence[str]) -> None:
    """Raise InputError if a table lacks a column."""
    if name not in present:
        close = get_close_matches(name, present, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else f"; it has {listed(present)}"
        raise InputError(f"{path} has no column {name!r}{meant}")


def no_input_of_kind(column: pyarrow.ChunkedArray, *, asked: bool) -> str:
    """Why a column is no input by what it holds; nothing if it is one."""
    kind = column.type
    if is_empty(column):
        return "no value" if is_numeric(kind) or pyarrow.types.is_boolean(kind) else "empty"
    if is_numeric(kind):
        return ""
    if holds_words(kind):
        return no_input(column, asked=asked)
    return "dates" if pyarrow.types.is_date(kind) or pyarrow.types.is_timestamp(kind) else str(kind)
