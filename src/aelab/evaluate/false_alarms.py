"""Thresholds of scores, and how surely they keep to a rate of false alarms."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from scipy.stats import binomtest
from torch import Tensor

from aelab.files import InputError

CONFIDENCE = 0.95
"""That the rate of false alarms lies in the interval that is told."""

USUAL_RATE = 0.05
"""Of false alarms, where none is asked for."""


@dataclass(frozen=True)
class Threshold:
    """A score above which inputs are called anomalies, and how many normal ones lie above it.

    >>> Threshold(0.02, above=2, of=40).told
    '2 of 40 validation inputs score higher: 5 % (0.611 to 16.9 %, with 95 % confidence)'
    """

    score: float

    above: int
    """Validation inputs that score higher."""

    of: int
    """Validation inputs in all."""

    @property
    def rate(self) -> float:
        """The share of the validation inputs that score higher."""
        return self.above / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Where the rate of false alarms lies, with 95 % confidence (Clopper & Pearson 1934)."""
        found = binomtest(self.above, self.of).proportion_ci(CONFIDENCE, method="exact")
        return float(found.low), float(found.high)

    @property
    def told(self) -> str:
        """Both in words."""
        low, high = (f"{100 * share:.3g}" for share in self.interval)
        return (
            f"{self.above:,} of {self.of:,} validation inputs score higher: "
            f"{100 * self.rate:.3g} % ({low} to {high} %, with {100 * CONFIDENCE:.0f} % confidence)"
        )


def threshold(scores: Float[Tensor, " n"], rate: float) -> Threshold:
    """The lowest threshold with at most a share `rate` of the validation inputs above it.

    A rate of 0 is the highest of their scores, and promises no more than that.

    Raises:
        InputError: the rate is no share, or of too few inputs to be kept to: 5 % takes twenty.
    """
    if not 0 <= rate < 1:
        raise InputError(f"the false-alarm rate must be from 0 up to 1, not {rate}")
    n = len(scores)
    above = math.floor(rate * n + 1e-9)
    if rate and not above:
        least = math.ceil(1000 / n) / 1000
        raise InputError(
            f"{n:,} validation inputs cannot tell a false-alarm rate of {rate:g}, which takes "
            f"{math.ceil(1 / rate - 1e-9):,}: ask for --false-alarm-rate {least:g} or more, or for "
            f"0, which is the highest of their scores"
            if n > 1
            else f"one validation input cannot tell a false-alarm rate of {rate:g}: ask for "
            f"--false-alarm-rate 0, which is its score"
        )
    limit = scores.sort(descending=True).values[above].item()
    return Threshold(limit, int((scores > limit).sum()), n)


def usual_threshold(scores: Float[Tensor, " n"]) -> Threshold:
    """The threshold of 5 % false alarms; of inputs too few to tell it, their highest score.

    >>> import torch
    >>> usual_threshold(torch.arange(20.0)).score, usual_threshold(torch.arange(19.0)).score
    (18.0, 18.0)
    """
    return threshold(scores, USUAL_RATE if len(scores) * USUAL_RATE >= 1 else 0.0)
