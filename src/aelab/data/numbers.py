"""Numbers in text: what is one, what is a gap, and which mark stands before decimals."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aelab.files import InputError

Decimal = Literal[".", ","]

MISSING = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "None", "none", "null", "NULL", "-")
"""Cells without a value."""

NUMBER = {
    ".": re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.IGNORECASE),
    ",": re.compile(r"[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.IGNORECASE),
}
"""A number, by its decimal mark."""

GROUPED = {
    ".": re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?"),
    ",": re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?"),
}
"""One with marks between thousands, by its decimal mark."""

Cells = Sequence[str]


@dataclass(frozen=True)
class Numbers:
    """How the numbers of a file are written.

    >>> Numbers(",").told, Numbers(",", "1.234.567").told
    (', decimal comma', ', points between thousands (1.234.567)')
    """

    decimal: Decimal
    example: str = ""
    """One with points that might stand between thousands, where none has a comma."""

    seen: bool = False
    """Whether the mark was said, or stands in a number."""

    @property
    def known(self) -> Decimal | None:
        """The decimal mark, if it was said or stands in a number."""
        return self.decimal if self.seen else None

    @property
    def told(self) -> str:
        """In words."""
        if not self.example:
            return ", decimal comma" if self.decimal == "," else ""
        if self.decimal == ",":
            return f", points between thousands ({self.example})"
        return (
            f", {self.example} and the like read with decimals (--decimal , reads them as "
            f"thousands)"
        )


def is_number(cell: str, marks: Sequence[Decimal] = (".",)) -> bool:
    """Whether a cell reads as a number with one of these decimal marks.

    >>> is_number("1e3"), is_number("1,5"), is_number("1,5", (",",))
    (True, False, True)
    """
    return any(NUMBER[mark].fullmatch(cell) or GROUPED[mark].fullmatch(cell) for mark in marks)


def numbers_in(
    path: Path, body: Sequence[Cells], *, commas: bool, usual: Decimal | None = None
) -> Numbers:
    """How the numbers in some rows are written; where that is open, with the `usual` mark.

    `commas` says whether a cell may have one.

    Raises:
        InputError: the numbers can be read in two ways.
    """
    cells = [cell for row in body for cell in row]
    with_comma = [cell for cell in cells if "," in cell and is_number(cell, (".", ","))]
    with_dot = [c for c in cells if "." in c and "," not in c and is_number(c, (".", ","))]
    if not with_comma:
        return with_points(body, with_dot, usual, commas=commas)
    as_decimal = [cell for cell in with_comma if not GROUPED["."].fullmatch(cell)]
    if not as_decimal:  # each may have a mark between thousands, and some must
        if any(cell.count(",") > 1 or "." in cell for cell in with_comma) or with_dot:
            return Numbers(".", seen=True)
        if usual is not None:
            return Numbers(usual, seen=True)
        raise InputError(
            f"{path}: {with_comma[0]} may be one number with decimals or a thousand times as many; "
            f"say which is the decimal mark with --decimal , or --decimal ."
        )
    dots = [cell for cell in with_dot if not GROUPED[","].fullmatch(cell)]
    if dots:
        raise InputError(
            f"{path} has numbers as {as_decimal[0]} and as {dots[0]}; say which is the decimal "
            f"mark with --decimal , or --decimal ."
        )
    return Numbers(",", seen=True)


def with_points(
    body: Sequence[Cells], with_dot: Cells, usual: Decimal | None, *, commas: bool
) -> Numbers:
    """How numbers are written of which none has a comma.

    A column of numbers of which one has two points has them between thousands. Points before three
    digits throughout may be either, in a file whose cells may have commas.
    """
    if not with_dot or not all(GROUPED[","].fullmatch(cell) for cell in with_dot):
        return Numbers(".", seen=bool(with_dot))
    for column in zip(*body, strict=True):
        twice = next((cell for cell in column if cell.count(".") > 1), "")
        if twice and all(cell in MISSING or is_number(cell, (",",)) for cell in column):
            return Numbers(",", twice, seen=True)
    if not commas:
        return Numbers(".", seen=True)
    return Numbers("," if usual == "," else ".", with_dot[0], seen=True)
