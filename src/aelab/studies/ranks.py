"""Several methods on many data sets: their mean ranks, and which of them differ (Demšar 2006)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range

LEVEL = 0.05
"""Of both tests."""


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of methods over data sets, 1 the best.

    >>> ranking({"a": [0.9, 0.8, 0.7], "b": [0.6, 0.5, 0.8], "c": [0.1, 0.2, 0.3]}).ranks["a"]
    1.3333333333333333
    """

    ranks: Mapping[str, float]
    """The best first."""

    data_sets: int
    p: float | None
    """Of Friedman's test that all methods are alike; None for fewer than three, which it is not
    made for."""

    critical_difference: float
    """Between two mean ranks, from which on two methods differ by Nemenyi's test."""

    @property
    def close(self) -> tuple[str, ...]:
        """The methods that are not told apart from the best, the best included.

        All of them, where Friedman's test finds no difference.
        """
        names = list(self.ranks)
        if self.p is not None and self.p >= LEVEL:
            return tuple(names)
        limit = self.ranks[names[0]] + self.critical_difference
        return tuple(name for name in names if self.ranks[name] < limit)


def ranking(figures: Mapping[str, Sequence[float]]) -> Ranking:
    """Rank methods by their figures, more being better, on the same data sets in the same order.

    Equal figures share the mean of their ranks. Methods differ by Nemenyi's test where their mean
    ranks differ by ``q sqrt(k (k + 1) / (6 N))`` or more, q the quantile of the studentised range
    of k methods over √2, N the number of data sets (Demšar 2006, JMLR 7, section 3.2.2).
    """
    of_each = np.array(list(figures.values()), dtype=np.float64)
    methods, data_sets = of_each.shape
    means = rankdata(-of_each, axis=0).mean(1)
    ranks = {name: float(mean) for name, mean in zip(figures, means, strict=True)}
    p = None
    if methods > 2 and data_sets > 1:
        alike = (of_each == of_each[0]).all()
        p = 1.0 if alike else float(friedmanchisquare(*of_each).pvalue)
    return Ranking(
        dict(sorted(ranks.items(), key=lambda item: item[1])),
        data_sets,
        p,
        critical_difference(methods, data_sets),
    )


def critical_difference(methods: int, data_sets: int) -> float:
    """Of mean ranks, by Nemenyi's test at LEVEL.

    >>> round(critical_difference(4, 14), 2)
    1.25
    """
    if methods < 2:
        return 0.0
    q = float(studentized_range.ppf(1 - LEVEL, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * data_sets))
