"""What a text file with a table in it looks like: found out from its first lines, or said.

Delimiter, decimal mark, header and encoding are found by what makes the rows below the first line
alike and their cells numbers; where that leaves two readings, the file is refused with both.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from aelab.data.compressed import opened
from aelab.data.numbers import MISSING, Cells, Decimal, Numbers, is_number, numbers_in
from aelab.files import InputError, MissingFileError

TABLE_SUFFIXES = (
    ".csv",
    ".tsv",
    ".txt",
    ".data",
    ".parquet",
    ".pq",
    ".xlsx",
)
"""Of files that hold a table; those of text may end in .gz besides."""

DELIMITERS = ("\t", ";", "|", ",", " ")
"""Tried, the first of equals taken. A blank stands for any run of blanks and tabs."""

BETWEEN = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "blanks"}

LINES, CHARACTERS = 1000, 2**20
"""Most that is looked at, the first line apart."""

LINE_LIMIT = 2**22
"""Characters of one line."""

STRONG = "\t;|"
"""Delimiters that cells seldom hold."""

MOSTLY = 0.9

FEW_COLUMNS = 3
"""With fewer, increasing whole numbers in the first line are as likely a row."""


@dataclass(frozen=True)
class Said:
    """What a user says of text files; what is not said is found out.

    >>> Said(header=True).header
    True
    """

    header: bool | None = None
    """Whether the first line has the columns' names."""

    decimal: Decimal | None = None
    missing: tuple[str, ...] = ()
    """Cells without a value, beside those known."""

    usual: Decimal | None = None
    """The decimal mark of the tables that this one belongs to, where it could have either."""


FOUND_OUT = Said()
"""Nothing said."""


@dataclass(frozen=True)
class Dialect:
    r"""How a text file is to be read.

    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile("w") as file:
    ...     print("height;weight\\n1,75;70,5", file=file, flush=True)
    ...     dialect_of(Path(file.name)).told
    'semicolons between columns, decimal comma, names in the first line'
    """

    skipped: int
    """Comment lines (# or %) and empty ones above."""

    delimiter: str
    header: bool
    names: tuple[str, ...]
    """Of the columns; empty where there is none."""

    numbers: Numbers
    encoding: str = "utf-8"

    @property
    def decimal(self) -> Decimal:
        """The decimal mark."""
        return self.numbers.decimal

    @property
    def told(self) -> str:
        """In words."""
        between = BETWEEN[self.delimiter]
        header = "names in the first line" if self.header else "no names in the first line"
        other = "" if self.encoding == "utf-8" else f", {self.encoding} text"
        return f"{between} between columns{self.numbers.told}, {header}{other}"


def dialect_of(path: Path, said: Said = FOUND_OUT) -> Dialect:
    r"""How a text file is to be read.

    Raises:
        InputError: it holds no rows, or can be read in two ways; it says which option decides.
        MissingFileError: there is no such file.
    """
    encoding, skipped, lines, comment = first_lines(path)
    if not lines:
        raise InputError(f"{path} has no rows")
    delimiter = delimiter_of(lines)
    rows = [split(line, delimiter) for line in lines]
    first, width = rows[0], common_width(rows)
    body = [row for row in rows[1:] if len(row) == width]
    if said.decimal is None:
        numbers = numbers_in(path, body or [first], commas=delimiter in STRONG, usual=said.usual)
    else:
        numbers = Numbers(said.decimal, seen=True)
    header = has_header(first, body, numbers.decimal) if said.header is None else said.header
    if not header and said.header is None and (above := commented(comment, delimiter, width)):
        return Dialect(skipped - 1, delimiter, True, above, numbers, encoding)
    names = padded(path, first, body, width) if header else tuple("" for _ in range(width))
    return Dialect(skipped, delimiter, header, names, numbers, encoding)


def commented(comment: str, delimiter: str, width: int) -> tuple[str, ...]:
    """The names in a comment just above the rows, if it has one for each column and no number."""
    cells = split(comment.lstrip("#% ").strip() if delimiter == " " else comment[1:], delimiter)
    names = tuple(cells) if len(cells) == width and any(cells) else ()
    return () if any(is_number(name, (".", ",")) for name in names) else names


def first_lines(path: Path) -> tuple[str, int, list[str], str]:
    """The encoding, how many lines come before the first row, the first rows', and a comment.

    The comment is the line just above the first row, if it is one.
    """
    try:
        with opened(path) as file:
            start = file.read(CHARACTERS + LINE_LIMIT)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist; check the path") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    encoding = encoding_of(path, start)
    text = io.StringIO(start.decode(encoding, errors="ignore").removeprefix("\ufeff"), newline=None)
    skipped, lines, characters, comment = 0, list[str](), 0, ""
    for line in text:
        if not lines and (line.startswith(("#", "%")) or not line.strip()):
            skipped += 1
            comment = line
            continue
        if line.strip():
            lines.append(line.rstrip("\n"))
            characters += len(line)
        if len(lines) > LINES or (len(lines) > 1 and characters > CHARACTERS):
            break
    whole = len(lines) < 2 or len(start) < CHARACTERS + LINE_LIMIT
    return encoding, skipped, lines if whole else lines[:-1], comment


def encoding_of(path: Path, start: bytes) -> str:
    """UTF-8, UTF-16 by its mark, or else Windows' own."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in start:
        raise InputError(f"{path} is no text: it holds zero bytes; is its suffix right?")
    try:
        # A character may be cut at the end.
        start[: start.rfind(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        return "windows-1252"
    return "utf-8"


def split(line: str, delimiter: str) -> list[str]:
    """The cells of a line, without blanks around them."""
    if delimiter == " ":
        return line.split()
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:  # a cell of more characters than it reads
        return [cell.strip() for cell in line.split(delimiter)]


def common_width(rows: Sequence[Cells]) -> int:
    """How many cells most rows have; of a header alone, its own."""
    return Counter(len(row) for row in rows[1:] or rows).most_common(1)[0][0]


def delimiter_of(lines: Sequence[str]) -> str:
    """The delimiter that makes the most rows alike, and the most cells numbers."""
    scores: dict[str, tuple[bool, bool, bool, float, float]] = {}
    for delimiter in DELIMITERS:
        rows = [split(line, delimiter) for line in lines]
        width = common_width(rows)
        if width < 2:
            continue
        body = [row for row in rows[1:] or rows if len(row) == width]
        alike = len(body) / len(rows[1:] or rows)
        marks: Sequence[Decimal] = (".",) if delimiter == "," else (".", ",")
        cells = [cell for row in body for cell in row]
        numbers = sum(cell in MISSING or is_number(cell, marks) for cell in cells) / len(cells)
        others = sum(any(other in cell for other in STRONG if other != delimiter) for cell in cells)
        scores[delimiter] = (
            alike >= MOSTLY,
            others <= (1 - MOSTLY) * len(cells),  # of which any would divide these cells again
            delimiter != " " or numbers == 1,  # words have blanks in them
            numbers,
            alike,
        )
    return max(scores, key=lambda delimiter: scores[delimiter]) if scores else ","


def has_header(first: Cells, body: Sequence[Cells], decimal: Decimal) -> bool:
    """Whether the first line has names: it is unlike the rows below it.

    A word above numbers is a name, and so is a number that no cell below needs: whole numbers
    that increase from cell to cell, above rows that do not. Where all is words, names are words
    that do not come again.
    """
    numeric = [cell in MISSING or is_number(cell, (decimal,)) for cell in first]
    if not body:
        return not all(numeric)
    shifted = len(body[0]) - len(first) == 1  # names of the rows stand before the others
    columns = [
        [row[place + shifted] for row in body]
        for place in range(min(len(first), len(body[0]) - shifted))
    ]
    numbers = [
        all(cell in MISSING or is_number(cell, (decimal,)) for cell in column)
        and not all(cell in MISSING for cell in column)
        for column in columns
    ]
    if any(of_rows and not own for own, of_rows in zip(numeric, numbers, strict=False)):
        return True
    over = [place for place, of_rows in enumerate(numbers) if of_rows]
    if any(first[place] for place in over):
        above = [first[place] for place in over]
        rows = ([row[place + shifted] for place in over] for row in body)
        return counts_up(above) and not any(map(counts_up, rows))
    return len(set(first)) == len(first) and all(
        cell not in column for cell, column in zip(first, columns, strict=False)
    )


def counts_up(cells: Cells) -> bool:
    """Whether cells are increasing whole numbers, but for one without a number at the start.

    >>> counts_up(["", "400", "410", "420"]), counts_up(["1", "3", "2"])
    (True, False)
    """
    cells = cells[1:] if cells and not cells[0] else cells
    if len(cells) < FEW_COLUMNS or not all(re.fullmatch(r"-?\d{1,18}", cell) for cell in cells):
        return False
    return all(int(a) < int(b) for a, b in pairwise(cells))


def padded(path: Path, first: Cells, body: Sequence[Cells], width: int) -> tuple[str, ...]:
    """The names in the first line, as many as there are columns: nothing where one is missing.

    Raises:
        InputError: rows have more cells than there are names, and neither are the last empty, nor
            does the first name the rows, as R has it.
    """
    missing = width - len(first)
    if missing <= 0 or not any(any(row[len(first) :]) for row in body):
        return (*first, *("" for _ in range(missing)))
    rows = [row[0] for row in body]
    named = len(set(rows)) == len(rows) and not any(is_number(cell, (".", ",")) for cell in rows)
    counted = rows == [str(place + 1) for place in range(len(rows))]
    if missing == 1 and (named or counted):
        return ("", *first)
    raise InputError(
        f"{path}: the first line has {len(first)} cells and the rows below it have {width}: name "
        f"every column, or quote cells that hold the delimiter"
    )


def rows_between_tabs(path: Path, above: int) -> Iterator[bytes]:
    """The rows of a file below its first lines, with one tab for each run of blanks."""
    with opened(path) as file:
        for line in islice(file, above, None):
            if line.strip():
                yield b"\t".join(line.split()) + b"\n"
