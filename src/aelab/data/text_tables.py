"""Text tables into columns with types, as their dialect says; each complaint names its place."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute  # type: ignore[import-untyped]
import pyarrow.csv  # type: ignore[import-untyped]

from aelab.data.compressed import opened, text_source
from aelab.data.dialect import FOUND_OUT, Dialect, Said, dialect_of, rows_between_tabs
from aelab.data.numbers import GROUPED, MISSING, NUMBER, Decimal
from aelab.files import InputError

BLOCK = 2**20
"""Bytes that are looked through for quotes at a time: far faster than lines."""

BAD_COLUMN = re.compile(r"In CSV column #(\d+)")


def read_text_table(
    path: Path, said: Said = FOUND_OUT, label: str | None = None
) -> tuple[pyarrow.Table, Dialect]:
    """All columns of a text table, of the kinds that their cells have, and how it was read.

    Columns are called by their names, or else by their numbers from 1 on; where others have
    names, the empty string is that of a column without one. A `label` of words may have any word,
    such as none: of the marks of a gap, only those that are said are such there.

    Raises:
        InputError: it cannot be read.
        MissingFileError: there is no such file.
    """
    dialect = dialect_of(path, said)
    names = (
        dialect.names if dialect.header else tuple(str(i + 1) for i in range(len(dialect.names)))
    )
    places = [str(i) for i in range(len(names))]  # names may be missing, or come twice
    table = converted(path, dialect, places, with_blanks(*MISSING, *said.missing))
    refuse_swallowed(path, dialect, table.num_rows)
    columns = [as_numbers_if_all_are(column, dialect.decimal) for column in table.columns]
    place = names.index(label) if label in names else None
    if place is not None and columns[place].null_count and is_text(columns[place]):
        columns[place] = words(path, dialect, places, place, with_blanks("", *said.missing))
    return pyarrow.Table.from_arrays(columns, names=list(names)), dialect


def with_blanks(*marks: str) -> list[str]:
    """Marks of a gap, also with a blank on either side."""
    return list(dict.fromkeys(f"{a}{m}{b}" for m in marks for a in ("", " ") for b in ("", " ")))


def is_text(column: pyarrow.ChunkedArray) -> bool:
    """Whether a column holds words."""
    return bool(pyarrow.types.is_string(column.type))


def words(
    path: Path, dialect: Dialect, places: Sequence[str], place: int, missing: Sequence[str]
) -> pyarrow.ChunkedArray:
    """One column as text."""
    how = pyarrow.csv.ConvertOptions(
        column_types={places[place]: pyarrow.string()},
        include_columns=[places[place]],
        null_values=list(missing),
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    return parsed(path, dialect, places, how)[0]


def converted(
    path: Path, dialect: Dialect, places: Sequence[str], missing: Sequence[str]
) -> pyarrow.Table:
    """The columns by their places; one whose kind changes further down is read as text."""
    kinds: dict[str, pyarrow.DataType] = {}
    while True:
        how = pyarrow.csv.ConvertOptions(
            column_types=kinds,
            null_values=list(missing),
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            decimal_point=dialect.decimal,
        )
        try:
            return parsed(path, dialect, places, how)
        except (pyarrow.ArrowInvalid, UnicodeError) as error:
            reason = " ".join(str(error).split())
            found = BAD_COLUMN.search(reason)
            place = found and places[int(found[1])]
            if place is None or kinds.get(place) == pyarrow.string():
                refuse_swallowed(path, dialect, rows=0)
                raise InputError(
                    f"{path} cannot be read as a table: {reason}; mend that row"
                ) from error
            # Whole numbers first, and a number with decimals or a word below.
            kinds[place] = pyarrow.string() if place in kinds else pyarrow.float64()


def parsed(
    path: Path, dialect: Dialect, places: Sequence[str], how: pyarrow.csv.ConvertOptions
) -> pyarrow.Table:
    """The columns by their places, converted so."""
    if dialect.delimiter == " ":
        text = io.BytesIO(b"".join(rows_between_tabs(path, dialect.skipped + dialect.header)))
        rows = pyarrow.csv.ReadOptions(column_names=list(places))
        cells = pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False)
        return pyarrow.csv.read_csv(text, rows, cells, how)
    rows = pyarrow.csv.ReadOptions(
        column_names=list(places),
        skip_rows=dialect.skipped + dialect.header,
        encoding=dialect.encoding,
    )
    cells = pyarrow.csv.ParseOptions(delimiter=dialect.delimiter)
    return pyarrow.csv.read_csv(text_source(path), rows, cells, how)


def refuse_swallowed(path: Path, dialect: Dialect, rows: int) -> None:
    """Raise InputError if a quote that was left open took the lines below it into its cell."""
    if dialect.delimiter == " ":
        return
    lines, opening = -dialect.skipped - dialect.header, 0
    with opened(path) as file:
        if not any(b'"' in block for block in iter(lambda: file.read(BLOCK), b"")):
            return
        file.seek(0)
        for number, line in enumerate(file, 1):
            lines += number <= dialect.skipped or bool(line.strip())
            opening = opening or (number if line.count(b'"') % 2 else 0)
    if rows < lines and opening:
        raise InputError(
            f"{path}: the quote in line {opening} is open at its end, and would take the lines "
            f"below into its cell; close it: a cell is in one line"
        )


def as_numbers_if_all_are(column: pyarrow.ChunkedArray, decimal: Decimal) -> pyarrow.ChunkedArray:
    """A column of text that are all numbers with marks between thousands, as numbers."""
    if not is_text(column) or column.null_count == len(column):
        return column
    trimmed = pyarrow.compute.utf8_trim_whitespace(column)
    pattern = f"^({NUMBER[decimal].pattern}|{GROUPED[decimal].pattern})$"
    whole = pyarrow.compute.match_substring_regex(trimmed, pattern, ignore_case=True)
    if not pyarrow.compute.all(whole).as_py():
        return column
    thousands = "," if decimal == "." else "."
    plain = pyarrow.compute.replace_substring(trimmed, thousands, "")
    return pyarrow.compute.replace_substring(plain, decimal, ".").cast(pyarrow.float64())
