"""A table with its gaps filled in, and all else as it was written."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute  # type: ignore[import-untyped]
from jaxtyping import Bool, Float
from torch import Tensor

from aelab.apps.streams import TABLES
from aelab.data.compressed import inner_suffix, opened
from aelab.data.dialect import Dialect
from aelab.files import atomic_path

DELIMITERS = {".csv": ",", ".tsv": "\t"}
"""Of text that is written, by suffix, where the table had another suffix."""

ENDS = "\r\n"


@dataclass(frozen=True, eq=False)
class Filling:
    """What is put into the gaps of a table.

    >>> import torch
    >>> filling = Filling(torch.tensor([[1.5, 2.0]]), torch.tensor([[True, False]]), (0, 2))
    >>> filling.texts(0, ",")
    {0: '1,5'}
    """

    values: Float[Tensor, "rows inputs"]
    """Numbers, and of words their places among these."""

    missing: Bool[Tensor, "rows inputs"]
    """Which of the values take a gap's place."""

    places: tuple[int, ...]
    """Of the inputs, among the columns of the table."""

    words: tuple[tuple[str, ...], ...] = ()
    """Of each input, none of numbers; nothing at all where all are."""

    def texts(self, row: int, decimal: str) -> dict[int, str]:
        """What the gaps of a row become, by their places, as text."""
        gaps = self.missing[row].nonzero().flatten().tolist()
        return {self.places[i]: self.text(row, i, decimal) for i in gaps}

    def text(self, row: int, i: int, decimal: str) -> str:
        """What one gap becomes."""
        value = float(self.values[row, i])
        if self.words and self.words[i]:
            return self.words[i][int(value)]
        return f"{value:.9g}".replace(".", decimal)


def write_columns(table: pyarrow.Table, filling: Filling, out: Path) -> None:
    """Write columns with types; those without a gap keep theirs."""
    words = filling.words or ((),) * len(filling.places)
    for place, values, gaps, of_column in zip(
        filling.places, filling.values.T, filling.missing.T, words, strict=True
    ):
        if gaps.any():
            name = table.column_names[place]
            column = pyarrow.array(values.numpy())
            if of_column:
                column = with_words(table[name], column, gaps, of_column)
            elif pyarrow.types.is_integer(table[name].type) and (values == values.round()).all():
                column = column.cast(table[name].type)
            table = table.set_column(place, name, column)
    writer_class = TABLES[out.suffix.lower()]
    with atomic_path(out) as temporary, writer_class(str(temporary), table.schema) as writer:
        writer.write_table(table)


def with_words(
    column: pyarrow.ChunkedArray, codes: pyarrow.Array, gaps: Tensor, words: Sequence[str]
) -> pyarrow.ChunkedArray:
    """A column of words, or of false and true, with a word in each of its gaps."""
    filled = pyarrow.array(list(words)).take(codes.cast(pyarrow.int64()))
    kind = column.type if pyarrow.types.is_boolean(column.type) else pyarrow.string()
    return pyarrow.compute.if_else(
        pyarrow.array(gaps.numpy()), filled.cast(kind), column.cast(kind)
    )


def write_lines(path: Path, dialect: Dialect, filling: Filling, out: Path) -> None:
    """Write the text table at `path` to `out`, cell by cell as it was written, but for the gaps.

    A file of the same suffix is the same to the byte in all else; one of another has the delimiter
    that belongs to its suffix.

    Raises:
        InputError: `out` cannot be written.
    """
    with opened(path) as file, atomic_path(out) as temporary:
        lines = io.TextIOWrapper(file, dialect.encoding, "surrogateescape", newline="")
        filled = with_fillings(lines, dialect, filling)
        with temporary.open("w", -1, dialect.encoding, "surrogateescape", newline="") as written:
            if out.suffix.lower() == inner_suffix(path):
                written.writelines(filled)
            else:
                rows = csv.writer(written, delimiter=DELIMITERS[out.suffix.lower()])
                rows.writerows(as_cells(filled, dialect))


def with_fillings(lines: Iterator[str], dialect: Dialect, filling: Filling) -> Iterator[str]:
    """The lines of a text table, with what is put into the gaps of its rows."""
    yield from islice(lines, dialect.skipped + dialect.header)
    row = 0
    for line in lines:
        if is_empty(line, dialect):
            yield line
        else:
            texts = filling.texts(row, dialect.decimal)
            yield with_cells(line, texts, dialect.delimiter) if texts else line
            row += 1


def is_empty(line: str, dialect: Dialect) -> bool:
    """Whether a line is no row."""
    return not (line.strip() if dialect.delimiter == " " else line.strip(ENDS))


def with_cells(line: str, texts: dict[int, str], delimiter: str) -> str:
    """A line with other cells at some places.

    >>> with_cells("7;NA;'b'", {1: "1,5"}, ";")
    "7;1,5;'b'"
    """
    spans = cells_of(line.rstrip(ENDS), delimiter)
    for place in sorted(texts, reverse=True):
        start, end = spans[place]
        text = f'"{texts[place]}"' if delimiter in texts[place] else texts[place]
        line = f"{line[:start]}{text}{line[end:]}"
    return line


def cells_of(line: str, delimiter: str) -> list[tuple[int, int]]:
    """Where the cells of a line begin and end, the quotes around them included.

    >>> cells_of('1,"a, b",', ",")
    [(0, 1), (2, 8), (9, 9)]
    """
    if delimiter == " ":
        return [found.span() for found in re.finditer(r"\S+", line, re.ASCII)]
    cell = re.compile(rf'(?:"(?:[^"]|"")*"?)?[^{re.escape(delimiter)}]*')
    spans, start = list[tuple[int, int]](), 0
    while start <= len(line):
        found = cell.match(line, start)
        end = found.end() if found else len(line)
        spans.append((start, end))
        start = end + 1
    return spans


def as_cells(lines: Iterator[str], dialect: Dialect) -> Iterator[Sequence[str]]:
    """The names and the cells of a text table, for another delimiter; comments are left out."""
    if dialect.header:
        yield dialect.names
    for line in islice(lines, dialect.skipped + dialect.header, None):
        if not is_empty(line, dialect):
            bare, blanks = line.rstrip(ENDS), dialect.delimiter == " "
            yield bare.split() if blanks else next(csv.reader([bare], delimiter=dialect.delimiter))
