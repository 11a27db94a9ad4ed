"""How a figure and the size of a code are written."""

from dataclasses import dataclass

from aelab.evaluate.columns import metric_named
from aelab.models.contract import NUMBER_BITS
from aelab.studies.results import ResultRow, Spread

NONE = "–"
OVERCOMPLETE = "*"
FINE = 3
"""Digits of a metric whose smallest figures are told, too."""

CLOSE = " ≈"
"""Marks figures that are not told apart from the best of their column."""


@dataclass(frozen=True)
class Cell:
    """What stands in a table, and the number that a column is sorted by; none of what is none.

    >>> number(1234.5, ",.1f")
    Cell(text='1,234.5', number=1234.5)
    """

    text: str
    number: float | None = None


def number(value: float | None, form: str) -> Cell:
    """A cell with a number written in a form; with NONE, where there is none."""
    return Cell(NONE if value is None else format(value, form), value)


def code_size(row: ResultRow) -> Cell:
    """How many numbers a code has: the latent ones, a side channel's bits, * if overcomplete.

    And the bits that it takes, where they are not those of so many numbers.
    """
    latent = row.code_size - (row.side_channel_size or 0)
    bits = ""
    if row.side_channel_bits:
        bits = f" + {row.side_channel_bits:,.0f} bits"
    elif row.code_bits not in (None, NUMBER_BITS * latent):
        bits = f" in {row.code_bits:,.0f} bits"
    return Cell(f"{latent:,}{bits}{OVERCOMPLETE if row.overcomplete else ''}", latent)


def figure(name: str, value: Spread) -> str:
    """Mean, and standard deviation if there is one, to the metric's digits, or two that tell.

    >>> [figure("mse", Spread.of([error])) for error in (0.0123456, 0.000123456)]
    ['0.0123', '0.00012']
    """
    if value.mean is None:
        return NONE
    digits = metric_named(name).digits
    if value.mean >= 10 and digits > 1:
        digits = 1
    form = f",.{digits}f"
    if digits >= FINE and 0 < abs(value.mean) < 10 ** (1 - digits):
        form = ".2g"
    text = format(value.mean, form)
    return text if value.std is None else f"{text} ± {format(value.std, form)}"
