"""What a study's figures say, and how surely: paired comparisons over seeds, claims, the best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from scipy.stats import ttest_rel

from aelab.evaluate.columns import METRICS
from aelab.studies.results import ClaimVerdict, ResultRow
from aelab.studies.study import Claim, Question

LEVEL = 0.05
"""Of a test, shared out among all comparisons that are made at once (Bonferroni)."""


@dataclass(frozen=True)
class Paired:
    """The difference between two rows, seed by seed; negative where the first is better.

    >>> Paired(-0.5, -0.6, -0.4, p=0.01, seeds=5).told_apart(comparisons=2)
    True
    """

    difference: float
    low: float
    high: float
    """Of a 95 % confidence interval of the mean difference; not a number with one seed."""

    p: float
    """Of a paired t-test that there is none; not a number with one seed."""

    seeds: int

    def told_apart(self, comparisons: int = 1) -> bool:
        """Whether the difference is supported, as one of so many comparisons."""
        return self.p < LEVEL / comparisons


def paired(metric: str, first: ResultRow, second: ResultRow) -> Paired:
    """Compare two rows by a paired t-test over the seeds that both have.

    The differences are first - second where less is better, and the other way round where more
    is: so a negative one always speaks for the first.
    """
    sign = 1 if METRICS[metric].better == "less" else -1
    by_seed = [row.by_seed(metric) for row in (first, second)]
    seeds = sorted(by_seed[0].keys() & by_seed[1].keys())
    a, b = ([sign * values[seed] for seed in seeds] for values in by_seed)
    differences = [x - y for x, y in zip(a, b, strict=True)]
    only = differences[0] if differences else math.nan
    if len(differences) < 2:
        return Paired(only, math.nan, math.nan, math.nan, len(differences))
    if len(set(differences)) == 1:  # nothing varies: different for sure, or the same
        return Paired(only, only, only, 0.0 if only else 1.0, len(differences))
    test = ttest_rel(a, b)
    interval = test.confidence_interval(0.95)
    return Paired(
        mean(differences), float(interval.low), float(interval.high), float(test.pvalue), len(a)
    )


def best_first(rows: Sequence[ResultRow], metric: str) -> list[ResultRow]:
    """The rows that have the metric, the best mean first."""
    having = [(figure, row) for row in rows if (figure := row.mean(metric)) is not None]
    more = METRICS[metric].better == "more"
    return [row for _, row in sorted(having, key=lambda pair: pair[0], reverse=more)]


def not_told_apart(rows: Sequence[ResultRow], metric: str) -> set[str]:
    """Names of the rows whose difference from the best is not supported, the best included.

    Empty where nothing can be said: with one seed, or no other row.
    """
    ranked = best_first([row for row in rows if not row.overcomplete], metric)
    if len(ranked) < 2 or len(ranked[0].by_seed(metric)) < 2:
        return set()
    best, *others = ranked
    close = close_to(best, others, metric)
    return {best.name, *close} if close else set()


def close_to(best: ResultRow, others: Sequence[ResultRow], metric: str) -> list[str]:
    """Names of the other rows whose difference from the best the seeds do not support."""
    tests = {row.name: paired(metric, best, row) for row in others}
    return [name for name, test in tests.items() if not test.told_apart(len(tests))]


def answer(question: Question, rows: Sequence[ResultRow]) -> str:
    """Which row is best, how it stands to the next, and how surely.

    Unless the question is across code sizes, rows are compared where their codes have the same
    size; the largest such group is, and the others are named as left out. Baselines without
    training take part.
    """
    metric = question.metric
    having = best_first(rows, metric)
    sizes = [row.code_size for row in having]
    common = max(sizes, key=sizes.count) if sizes else 0
    all_sizes = question.across_code_sizes
    ranked = [row for row in having if all_sizes or row.code_size == common]
    left_out = [row.name for row in having if row not in ranked]
    told = "nothing: no two rows have this figure with a code of the same size"
    if len(ranked) > 1:
        best, *others = ranked
        codes = "of any size" if all_sizes else f"of {common:,} numbers"
        told = f"{best.name} ({mean_of(best, metric)}), then {others[0].name} "
        told += f"({mean_of(others[0], metric)}), codes {codes}; {certainty(metric, best, others)}"
    if left_out:
        told += f"; not {', '.join(left_out)}, for the size of their codes"
    return told


def certainty(metric: str, best: ResultRow, others: Sequence[ResultRow]) -> str:
    """How surely the best row is the best."""
    seeds = len(best.by_seed(metric))
    if seeds < 2:
        return "one seed: close figures may change places"
    if close := close_to(best, others, metric):
        return f"not told apart from {', '.join(close)} over {seeds} seeds"
    return f"ahead of every other row over {seeds} seeds (paired t-tests, {LEVEL:.0%} in all)"


def mean_of(row: ResultRow, metric: str) -> str:
    """The mean figure, with its metric's name."""
    shown = METRICS[metric]
    return f"{shown.title} {row.mean(metric):.{shown.digits}f}"


def verdict(claim: Claim, rows: Sequence[ResultRow]) -> ClaimVerdict:
    """Whether a claim holds, what was found, and how surely.

    It holds if the row is better than each of the others, and does not if it is worse than any,
    by paired t-tests over the seeds at 5 % in all; otherwise the seeds do not decide.
    """
    by_name, named = {row.name: row for row in rows}, (claim.better, *claim.than)
    title = METRICS[claim.metric].title
    lacks = [f"no {name}" for name in named if name not in by_name] or [
        f"{name} has no {title}" for name in named if not by_name[name].by_seed(claim.metric)
    ]
    if lacks:
        return ClaimVerdict(claim.claim, "was not tested", lacks[0])
    better = by_name[claim.better]
    tests = {name: paired(claim.metric, better, by_name[name]) for name in claim.than}
    apart = {name: test.told_apart(len(tests)) for name, test in tests.items()}
    if any(apart[name] and test.difference > 0 for name, test in tests.items()):
        holds = "does not hold"
    elif all(apart.values()):
        holds = "holds"
    else:
        holds = "is not decided"
    found = [f"{claim.better}: {mean_of(better, claim.metric)}"]
    for name, test in tests.items():
        found.append(
            f"{name}: {mean_of(by_name[name], claim.metric)}, {described(test, claim.metric)}"
        )
    return ClaimVerdict(claim.claim, holds, "; ".join(found))


def described(test: Paired, metric: str) -> str:
    """A paired difference in words, its interval in the direction that is said."""
    if test.seeds < 2:
        return "one seed: no test"
    digits = METRICS[metric].digits + 1
    side, sign = ("better", -1) if test.difference < 0 else ("worse", 1)
    low, high = sorted((sign * test.low, sign * test.high))
    return (
        f"{side} by {abs(test.difference):.{digits}f} "
        f"[{low:.{digits}f} to {high:.{digits}f}], p = {test.p:.2g}, {test.seeds} seeds"
    )
