"""The first sheet of a workbook (.xlsx) as a table."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow  # type: ignore[import-untyped]

from aelab.data.dialect import has_header
from aelab.data.numbers import MISSING, is_number
from aelab.files import InputError

MOST_UNPACKED = 2**30
"""Bytes that the parts of a workbook may have in all."""


def read_workbook(path: Path, label: str | None = None) -> pyarrow.Table:
    """Read the cells of the first sheet: columns of numbers as such, and all others as text.

    A `label` of words may have any word, such as none.

    Raises:
        InputError: openpyxl is not installed, or it is no workbook, or one without rows.
    """
    try:
        from openpyxl import load_workbook  # type: ignore[import-untyped]
    except ImportError as error:
        raise InputError(
            f"{path}: reading workbooks takes openpyxl: install aelab[excel], or save the sheet "
            f"as CSV"
        ) from error
    try:
        with zipfile.ZipFile(path) as parts:
            size = sum(part.file_size for part in parts.infolist())
        if size > MOST_UNPACKED:
            raise InputError(
                f"{path} unpacks to {size:,} bytes, more than any sheet; save it as CSV"
            )
        book = load_workbook(path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        rows = [row for row in sheet.iter_rows(values_only=True) if any(c is not None for c in row)]
    except (InputError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # whatever openpyxl and the parser of XML raise on what is none
        reason = str(error) or type(error).__name__
        raise InputError(f"{path} is damaged or no workbook ({reason})") from error
    table = as_table(rows, label) if rows else None
    if table is None or not table.num_rows:
        raise InputError(f"{path}: its first sheet has no rows")
    return table


def as_table(rows: Sequence[Sequence[Any]], label: str | None = None) -> pyarrow.Table:
    """A table of rows of cells; its names are the first row's, if that is a header.

    >>> as_table([("cm", "city"), (170, "Oslo"), (None, "Delft")]).to_pydict()
    {'cm': [170.0, None], 'city': ['Oslo', 'Delft']}
    """
    width = max(map(len, rows))
    cells = [[*row, *[None] * (width - len(row))] for row in rows]
    texts = [["" if cell is None else str(cell) for cell in row] for row in cells]
    header = has_header(texts[0], texts[1:], ".")
    names = texts[0] if header else [str(place + 1) for place in range(width)]
    columns = [
        column_of([row[place] for row in cells[header:]], is_label=name == label)
        for place, name in enumerate(names)
    ]
    return pyarrow.Table.from_arrays(columns, names=names)


def column_of(cells: Sequence[Any], *, is_label: bool) -> pyarrow.Array:
    """A column of numbers, where all its cells are numbers or missing; else one of text."""
    known = [cell for cell in cells if cell is not None and str(cell).strip() not in MISSING]
    if len(known) == len(cells) and all(isinstance(cell, bool | int) for cell in known):
        return pyarrow.array([int(cell) for cell in known], pyarrow.int64())
    words = [None if cell is None else str(cell).strip() for cell in cells]
    texts = [None if text in MISSING else text for text in words]
    if all(isinstance(cell, bool | int | float) or is_number(str(cell)) for cell in known):
        numbers = [None if text is None else number_of(text) for text in texts]
        return pyarrow.array(numbers, pyarrow.float64())
    return pyarrow.array([w or None for w in words] if is_label else texts, pyarrow.string())


def number_of(text: str) -> float:
    """A number, of text that is one; True is 1."""
    return float({"True": "1", "False": "0"}.get(text, text).replace(",", ""))
