"""Tables that users bring: text with a delimiter, or Parquet; each complaint names its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute  # type: ignore[import-untyped]
import pyarrow.csv  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
from numpy.typing import NDArray

from aelab.data.compressed import text_source
from aelab.data.dialect import delimiter_of, first_lines, rows_between_tabs, split
from aelab.data.numbers import MISSING
from aelab.data.workbooks import read_workbook
from aelab.files import InputError, MissingFileError

SHOWN = 3  # names in a message
IS_TABLE = " (a table of inputs is read with --rows inputs)"
"""What is said of a file that is no edge list."""

Ids = NDArray[Any]
"""Node ids, as NumPy has text."""


@dataclass(frozen=True)
class Layout:
    """What a text file looks like, judged by its first line that is no comment.

    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile("w") as file:
    ...     print("height;weight", file=file, flush=True)
    ...     layout_of(Path(file.name))
    Layout(skipped=0, delimiter=';', cells=('height', 'weight'), encoding='utf-8')
    """

    skipped: int
    """Comment lines (# or %) and empty ones above."""

    delimiter: str
    """Nothing, where runs of blanks stand between cells."""

    cells: tuple[str, ...]
    encoding: str


def layout_of(path: Path) -> Layout:
    """Look at the first lines that are no comments.

    Raises:
        InputError: there are none.
        MissingFileError: there is no such file.
    """
    encoding, skipped, lines, _ = first_lines(path)
    if not lines:
        raise InputError(f"{path} has no rows")
    delimiter = delimiter_of(lines)
    if delimiter == " " and '"' not in "".join(lines):  # ids may be quoted, with blanks in them
        return Layout(skipped, "", tuple(lines[0].split()), encoding)
    return Layout(skipped, delimiter, tuple(split(lines[0], delimiter)), encoding)


def read_text(
    path: Path, layout: Layout, places: Sequence[int], kind: pyarrow.DataType, *, skip: bool
) -> pyarrow.Table:
    """Read some columns: the first as text, the others as `kind`; named 1, 2, … by their place."""
    names = [f"{i + 1}" for i in range(len(layout.cells))]
    used = [names[i] for i in places]
    text = pyarrow.string()
    how = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(used[1:], kind) | {used[0]: text},
        include_columns=used,
        null_values=[""] if kind == text else list(MISSING),
        strings_can_be_null=kind == text,
    )
    return _read_csv(path, layout, names, how, skip=skip)


def _read_csv(
    path: Path, layout: Layout, names: Sequence[str], how: pyarrow.csv.ConvertOptions, *, skip: bool
) -> pyarrow.Table:
    """Read a text file, its columns called `names`; its first line is left out to `skip` it."""
    above, source, delimiter = layout.skipped + skip, text_source(path), layout.delimiter
    if not delimiter:
        source = BytesIO(b"".join(rows_between_tabs(path, above)))
        above, delimiter = 0, "\t"
    rows = pyarrow.csv.ReadOptions(column_names=names, skip_rows=above, encoding=layout.encoding)
    cells = pyarrow.csv.ParseOptions(delimiter=delimiter)
    try:
        return pyarrow.csv.read_csv(source, rows, cells, how)
    except (pyarrow.ArrowInvalid, UnicodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as a table: {reason}; mend that row") from error


def read_parquet(path: Path, label: str | None) -> pyarrow.Table:
    """Read a Parquet file, and nothing from the names of its folders."""
    table = pyarrow.parquet.read_table(path, partitioning=None)
    table.validate(full=True)  # that text is in UTF-8
    _ = table.column_names  # and the columns' names
    return table


COLUMNAR: dict[str, tuple[str, Callable[[Path, str | None], pyarrow.Table]]] = {
    ".parquet": ("Parquet", read_parquet),
    ".pq": ("Parquet", read_parquet),
    ".xlsx": ("a workbook", read_workbook),
}
"""Files of columns with types, by suffix: what they are called, and what reads one, given the
column that has its classes."""


def is_columnar(path: Path) -> bool:
    """Whether a file has columns with types, by its suffix; all others are text."""
    return path.suffix.lower() in COLUMNAR


def read_columnar(path: Path, label: str | None = None) -> pyarrow.Table:
    """Read a file of columns with types; a `label` of words may have any word, such as none."""
    kind, read = COLUMNAR[path.suffix.lower()]
    try:
        return read(path, label)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist; check the path") from error
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is damaged or not {kind} ({reason})") from error


def as_text(column: pyarrow.ChunkedArray) -> Ids:
    """Text as NumPy has it."""
    return np.asarray(column.to_numpy(), dtype=np.str_)


def as_ids(path: Path, name: str, column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Node ids as text; they must be text or whole numbers."""
    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        return as_ids(path, name, column.cast(kind.value_type))
    if pyarrow.types.is_integer(kind):
        return column.cast(pyarrow.string())
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return trimmed(column.cast(pyarrow.string()))
    raise InputError(
        f"{path}: the column {name!r} holds {kind}; node ids must be text or whole "
        f"numbers{IS_TABLE}"
    )


def trimmed(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Ids without blanks around them; one of blanks alone is missing."""
    trimmed = pyarrow.compute.utf8_trim_whitespace(column)
    empty = pyarrow.compute.equal(trimmed, "")
    return pyarrow.compute.if_else(empty, pyarrow.scalar(None, pyarrow.string()), trimmed)


def without_blanks(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Text without blanks around it; other columns as they are."""
    kind = column.type.value_type if pyarrow.types.is_dictionary(column.type) else column.type
    text = pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)
    return trimmed(column.cast(pyarrow.string())) if text else column


def as_numbers(path: Path, name: str, column: pyarrow.ChunkedArray) -> NDArray[np.float32]:
    """Values of a column of finite numbers."""
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
    """Raise InputError if a value is missing, naming the first row without one."""
    if column.null_count:
        row = first_missing(column)
        more = f", and in {column.null_count - 1:,} more" if column.null_count > 1 else ""
        raise InputError(
            f"{path}: the value in row {row} of the column {name!r} is missing{more}; fill it in, "
            f"or leave the row out"
        )


def first_missing(column: pyarrow.ChunkedArray) -> int:
    """The first row without a value, counted from 1."""
    return int(pyarrow.compute.index(column.is_null(), True).as_py()) + 1


def listed(names: Sequence[str]) -> str:
    """The first few of some names."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
