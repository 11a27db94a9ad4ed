"""Tables that users bring: text with a delimiter, or Parquet; each complaint names its place."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute  # type: ignore[import-untyped]
import pyarrow.csv  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
from numpy.typing import NDArray

from aelab.files import InputError, MissingFileError

DELIMITERS = "\t,; "  # the first of these that the first line has
MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL"]
LINE_LIMIT = 2**22  # characters of a first line

Ids = NDArray[Any]
"""Node ids, as NumPy has text."""


@dataclass(frozen=True)
class Layout:
    """What a text file looks like, judged by its first line that is no comment."""

    skipped: int
    """Comment lines (# or %) above."""

    delimiter: str
    cells: tuple[str, ...]


def layout_of(path: Path) -> Layout:
    """Look at the first line that is no comment.

    Raises:
        InputError: there is none, or it is no text.
        MissingFileError: there is no such file.
    """
    skipped, line = 0, ""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            while (line := file.readline(LINE_LIMIT)) and line.startswith(("#", "%")):
                skipped += 1
            beginning = [line, *islice(file, 1)] if line.strip() else []
    except FileNotFoundError as error:
        raise MissingFileError(
            f"{path} does not exist; give cora, citeseer, pubmed, karate, or the path of a file"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8, or as Parquet with the "
            f"suffix .parquet"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if not beginning:
        raise InputError(f"{path} begins with no rows")
    text = line.rstrip("\r\n")
    delimiter = next((d for d in DELIMITERS if d in text.strip()), ",")
    return Layout(
        skipped, delimiter, tuple(c.strip() for c in next(csv.reader([text], delimiter=delimiter)))
    )


def read_text(
    path: Path, layout: Layout, places: Sequence[int], kind: pyarrow.DataType, *, skip: bool
) -> pyarrow.Table:
    """Read some columns: the first as text, the others as `kind`; named 1, 2, … by their place.

    Raises:
        InputError: a row has another number of cells, or a value is not of its kind.
    """
    names = [f"{i + 1}" for i in range(len(layout.cells))]
    used = [names[i] for i in places]
    missing = [""] if kind == pyarrow.string() else MISSING
    try:
        return pyarrow.csv.read_csv(
            path,
            pyarrow.csv.ReadOptions(column_names=names, skip_rows=layout.skipped + skip),
            pyarrow.csv.ParseOptions(delimiter=layout.delimiter),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(used[1:], kind) | {used[0]: pyarrow.string()},
                include_columns=used,
                null_values=missing,
                strings_can_be_null=kind == pyarrow.string(),
            ),
        )
    except pyarrow.ArrowInvalid as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as a table: {reason}; mend that row") from error


def read_parquet(path: Path) -> pyarrow.Table:
    """Read a Parquet file, and nothing from the names of its folders."""
    return pyarrow.parquet.read_table(path, partitioning=None)


COLUMNAR: dict[str, tuple[str, Callable[[Path], pyarrow.Table]]] = {
    ".parquet": ("Parquet", read_parquet),
    ".pq": ("Parquet", read_parquet),
}
"""Files of columns with types, by suffix: what they are called, and what reads one."""


def is_columnar(path: Path) -> bool:
    """Whether a file has columns with types, by its suffix; all others are text."""
    return path.suffix.lower() in COLUMNAR


def read_columnar(path: Path) -> pyarrow.Table:
    """Read a file of columns with types.

    Raises:
        InputError: it is damaged or of another kind.
        MissingFileError: there is no such file.
    """
    kind, read = COLUMNAR[path.suffix.lower()]
    try:
        return read(path)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist; check the path") from error
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is damaged or not {kind} ({reason})") from error


def read_table(path: Path) -> pyarrow.Table:
    """Read all columns, of the kinds that they seem to be; a first line of names, if there is one.

    Raises:
        InputError: it is damaged, or two columns have the same name.
        MissingFileError: there is no such file.
    """
    table = read_columnar(path) if is_columnar(path) else _guessed(path)
    if len(set(table.column_names)) < len(table.column_names):
        raise InputError(f"{path}: two columns have the same name; rename one")
    return table


def _guessed(path: Path) -> pyarrow.Table:
    layout = layout_of(path)
    header = not all(is_number(cell) or not cell for cell in layout.cells)
    names = layout.cells if header else [f"{i + 1}" for i in range(len(layout.cells))]
    try:
        return pyarrow.csv.read_csv(
            path,
            pyarrow.csv.ReadOptions(column_names=names, skip_rows=layout.skipped + header),
            pyarrow.csv.ParseOptions(delimiter=layout.delimiter),
            pyarrow.csv.ConvertOptions(null_values=MISSING, strings_can_be_null=True),
        )
    except pyarrow.ArrowInvalid as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as a table: {reason}; mend that row") from error


def as_text(column: pyarrow.ChunkedArray) -> Ids:
    """Text as NumPy has it."""
    return np.asarray(column.to_numpy(), dtype=np.str_)


def as_ids(path: Path, name: str, column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Node ids as text.

    Raises:
        InputError: they are neither text nor whole numbers.
    """
    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        return as_ids(path, name, column.cast(kind.value_type))
    if pyarrow.types.is_integer(kind):
        return column.cast(pyarrow.string())
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return trimmed(column.cast(pyarrow.string()))
    raise InputError(
        f"{path}: the column {name!r} holds {kind}; node ids must be text or whole numbers"
    )


def trimmed(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Ids without blanks around them; one of blanks alone is missing."""
    trimmed = pyarrow.compute.utf8_trim_whitespace(column)
    empty = pyarrow.compute.equal(trimmed, "")
    return pyarrow.compute.if_else(empty, pyarrow.scalar(None, pyarrow.string()), trimmed)


def as_numbers(path: Path, name: str, column: pyarrow.ChunkedArray) -> NDArray[np.float32]:
    """Values of a column of numbers.

    Raises:
        InputError: they are no numbers, or one is not finite.
    """
    kind = column.type
    if pyarrow.types.is_boolean(kind):
        column = column.cast(pyarrow.int8())
    elif not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)):
        raise InputError(
            f"{path}: the column {name!r} holds {kind}; features must be numbers: turn it into "
            f"numbers, or leave it out"
        )
    values: NDArray[np.float32] = column.to_numpy().astype(np.float32)
    bad = ~np.isfinite(values)
    if bad.any():
        raise InputError(
            f"{path}: row {int(bad.argmax()) + 1} of the column {name!r} is not a finite number "
            f"({column[int(bad.argmax())].as_py()}); fill it in, or leave the column out"
        )
    return values


def refuse_missing(path: Path, name: str, column: pyarrow.ChunkedArray) -> None:
    """Refuse a column with a missing value.

    Raises:
        InputError: naming the first row without one.
    """
    if column.null_count:
        row = pyarrow.compute.index(pyarrow.compute.is_null(column), True).as_py() + 1
        more = f", and in {column.null_count - 1:,} more" if column.null_count > 1 else ""
        raise InputError(
            f"{path}: the value in row {row} of the column {name!r} is missing{more}; fill it in, "
            f"or leave the row out"
        )


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number.

    >>> is_number("1e3"), is_number("one")
    (True, False)
    """
    try:
        float(cell)
    except ValueError:
        return False
    return True
