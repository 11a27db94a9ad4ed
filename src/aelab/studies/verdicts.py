"""What a study's figures say, and how surely: paired comparisons over seeds, claims, the best."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from scipy.stats import ttest_rel

from aelab.evaluate.columns import METRICS
from aelab.models.contract import NUMBER_BITS
from aelab.studies.results import ClaimVerdict, ResultRow, Verdict
from aelab.studies.study import Claim, Question

LEVEL = 0.05
"""Of a test, shared out among all comparisons that are made at once (Bonferroni)."""

NEARLY, TENTH = 1.25, 0.1
"""What is nearly as good as the best: at most a quarter more error, in a tenth of its training."""


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
    """The rows that have the metric, the best mean first; of equal ones, the quicker."""
    having = [(figure, row) for row in rows if (figure := row.mean(metric)) is not None]
    more = METRICS[metric].better == "more"
    sign = -1 if more else 1
    return [r for _, r in sorted(having, key=lambda pair: (sign * pair[0], pair[1].train_seconds))]


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


def comparable(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The rows among which a best may be named: their codes have one size, and take no more bits.

    It is the size that more rows have than any other; none, where there is no such size. A code
    with a side channel, or as large as the input, takes no part.
    """
    rows = [row for row in rows if not row.overcomplete and not row.side_channel_size]
    commonest = Counter(row.code_size for row in rows).most_common(2)
    if len({count for _, count in commonest}) < len(commonest) or not rows:
        return []
    size = commonest[0][0]
    bits = NUMBER_BITS * size
    return [row for row in rows if row.code_size == size and (row.code_bits or bits) <= bits]


def best_of(question: Question, rows: Sequence[ResultRow], budget: str = "") -> Verdict | None:
    """Which row is best in the question's metric, not yet in words; None where no row has it.

    Rows are compared where they are `comparable`, unless the question is across code sizes. Those
    without a code, as the mean image, take no part.
    """
    metric = question.metric
    having = [row for row in best_first(rows, metric) if row.code_size]
    if not having:
        return None
    compared = comparable(having)
    if question.across_code_sizes:
        compared = [row for row in having if not row.overcomplete]
    asked = Verdict(question.question, budget, "", metric)
    if len(compared) < 2:
        return replace(asked, left_out=tuple(row.name for row in having))
    best, *others = compared
    seeds = len(best.by_seed(metric))
    return replace(
        asked,
        best=best.name,
        seeds=seeds,
        close=tuple(close_to(best, others, metric)) if seeds > 1 else (),
        quick=quick_one(best, others, metric),
        code_size=None if question.across_code_sizes else best.code_size,
        left_out=tuple(row.name for row in having if row not in compared),
    )


def quick_one(best: ResultRow, others: Sequence[ResultRow], metric: str) -> str | None:
    """The row of least training that is nearly as good after a tenth of the best's, if one is."""
    quick = [
        row
        for row in others
        if row.train_seconds <= TENTH * best.train_seconds and nearly(metric, row, best)
    ]
    return min(quick, key=lambda row: row.train_seconds).name if quick else None


def nearly(metric: str, row: ResultRow, best: ResultRow) -> bool:
    """Whether a row's error is at most a quarter above the best's.

    What a share, such as an accuracy, lacks to 1 is its error.
    """
    if not has_zero(metric):
        return False
    errors = [of.mean(metric) or 0.0 for of in (row, best)]
    if METRICS[metric].better == "more":
        errors = [1 - share for share in errors]
    return errors[0] <= NEARLY * errors[1]


def has_zero(metric: str) -> bool:
    """Whether a quarter more error makes sense: not in nats and decibels."""
    return METRICS[metric].short_unit not in ("nats", "dB")


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names of the points that no other beats in one of two costs at no loss in the other.

    Ordered by the first; of points that are equal in both, all.

    >>> front({"slow": (9.0, 1.0), "quick": (1.0, 2.0), "beaten": (2.0, 2.0)})
    ['quick', 'slow']
    """

    def beaten(a: float, b: float) -> bool:
        return any(x <= a and y <= b and (x, y) != (a, b) for x, y in points.values())

    return sorted((name for name in points if not beaten(*points[name])), key=points.__getitem__)


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
    if lacks := [f"no {name}" for name in named if name not in by_name]:
        return ClaimVerdict(claim.claim, "was not tested", lacks[0])
    better = by_name[claim.better]
    others = {name: by_name[name].under(claim.than_metric, claim.metric) for name in claim.than}
    title = METRICS[claim.metric].title
    pairs = [(claim.better, better), *others.items()]
    if lacks := [f"{name} has no {title}" for name, row in pairs if not row.by_seed(claim.metric)]:
        return ClaimVerdict(claim.claim, "was not tested", lacks[0])
    tests = {name: paired(claim.metric, better, row) for name, row in others.items()}
    apart = {name: test.told_apart(len(tests)) for name, test in tests.items()}
    if any(apart[name] and test.difference > 0 for name, test in tests.items()):
        holds = "does not hold"
    elif all(apart.values()):
        holds = "holds"
    else:
        holds = "is not decided"
    found = [f"{claim.better}: {mean_of(better, claim.metric)}"]
    theirs = claim.than_metric or claim.metric
    for name, test in tests.items():
        found.append(f"{name}: {mean_of(by_name[name], theirs)}, {described(test, claim.metric)}")
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
