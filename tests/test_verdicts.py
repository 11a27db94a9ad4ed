"""What seeds support and what they do not; claims; the best of a budget."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelab.evaluate.columns import METRICS
from aelab.files import InputError
from aelab.studies.results import ResultRow, Spread, Verdict
from aelab.studies.study import Claim, Question, parse_study
from aelab.studies.verdicts import best_of, front, not_told_apart, paired, verdict


def row(
    name: str, *values: float, metric: str = "mse", code: int = 8, size: int = 100
) -> ResultRow:
    return ResultRow(
        name=name,
        model="vae",
        code_size=code,
        parameters=1,
        audits={},
        input_size=size,
        budget="",
        seeds=tuple(range(len(values))),
        train_seconds=1.0,
        metrics={metric: Spread(sum(values) / len(values), None, values)},
        published={},
    )


APART = {"a": (0.0, 1.0, 2.0, 3.0), "b": (1.0, 3.0, 5.0, 7.0)}
"""Differences of -1, -2, -3 and -4: t = -2.5 / (1.2910 / 2) = -3.873, and p = 0.0305."""


def test_paired_difference_by_hand() -> None:
    test = paired("mse", row("a", 1.0, 2.0, 3.0), row("b", 2.0, 4.0, 6.0))
    # Differences -1, -2, -3: mean -2, standard error 1/sqrt(3), t = -3.4641 with 2 degrees of
    # freedom, p = 0.0742; the interval is -2 ± 4.3027 / sqrt(3).
    assert test.difference == pytest.approx(-2)
    assert test.p == pytest.approx(0.0742, abs=1e-4)
    assert (test.low, test.high) == pytest.approx((-4.4841, 0.4841), abs=1e-4)
    assert not test.told_apart()


def test_more_is_better_turns_the_sign() -> None:
    test = paired("psnr", row("a", 3.0, 4.1, metric="psnr"), row("b", 1.0, 2.0, metric="psnr"))
    assert test.difference == pytest.approx(-2.05)


def test_a_more_distant_distribution_is_worse() -> None:
    rows = [row(name, *values, metric="frechet") for name, values in APART.items()]
    test = paired("frechet", *rows)
    assert test.difference == pytest.approx(-2.5)
    assert best("frechet", *rows).best == "a"


FIGURE = st.floats(0, 1).map(lambda value: round(value, 6))
"""As small as figures are; the square of 1e-200 would be no number above 0."""


@given(st.lists(st.tuples(FIGURE, FIGURE), min_size=2, max_size=6), st.data())
def test_seeds_with_their_values_in_any_order_are_the_same(
    pairs: list[tuple[float, float]], data: st.DataObject
) -> None:
    a, b = (row(name, *values) for name, values in zip("ab", zip(*pairs, strict=True), strict=True))
    order = data.draw(st.permutations(range(len(pairs))))
    shuffled = row("b", *(b.spread("mse").values[i] or 0.0 for i in order))
    assert paired("mse", a, replace(shuffled, seeds=tuple(order))) == paired("mse", a, b)


def test_values_of_other_seeds_are_other_pairs() -> None:
    first, second = row("a", 1.0, 2.0, 3.0), row("b", 6.0, 4.0, 2.0)
    assert paired("mse", first, second).p > 0.3  # differences of -5, -2 and 1
    second = replace(second, seeds=(2, 1, 0))  # and of -1, -2 and -3
    assert paired("mse", first, second).p == pytest.approx(0.0742, abs=1e-4)


def test_only_seeds_that_both_rows_have_are_compared() -> None:
    first, second = row("a", 1.0, 2.0, 3.0, 50.0), row("b", 70.0, 6.0, 4.0, 2.0)
    test = paired("mse", first, replace(second, seeds=(9, 2, 1, 0)))
    assert (test.difference, test.seeds) == (pytest.approx(-2), 3)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_a_row_is_not_told_apart_from_itself(values: list[float]) -> None:
    test = paired("mse", row("a", *values), row("b", *values))
    assert test.difference == 0
    assert not test.told_apart()


def test_shared_variation_does_not_hide_a_difference() -> None:
    base = np.random.default_rng(0).normal(1.0, 0.5, 5)
    steady = 0.01 + 0.001 * np.arange(5)
    rows = [row("a", *base), row("b", *(base + steady))]
    assert paired("mse", *rows).told_apart()
    assert not_told_apart(rows, "mse") == set()


def test_close_rows_are_marked_with_the_best() -> None:
    rows = [row("a", 1.0, 1.2, 1.1), row("b", 1.1, 1.1, 1.2), row("c", 9.0, 9.1, 9.3)]
    assert not_told_apart(rows, "mse") == {"a", "b"}
    assert not_told_apart([row("a", 1.0), row("b", 1.0)], "mse") == set()  # one seed says nothing


def test_a_code_that_could_copy_is_not_the_best() -> None:
    rows = [row("a", 1.0, 1.2), row("b", 1.1, 1.1), row("copy", 0.0, 0.0, code=100)]
    assert not_told_apart(rows, "mse") == {"a", "b"}


def test_the_level_is_shared_out_among_comparisons() -> None:
    # 0.05 / 2 < p = 0.0305 < 0.05: supported as the only comparison, not as one of two.
    a, b, far = (row(n, *v) for n, v in {**APART, "far": (90.0, 91.1, 92.0, 93.1)}.items())
    test = paired("mse", a, b)
    assert test.p == pytest.approx(0.0305, abs=1e-4)
    assert [test.told_apart(comparisons) for comparisons in (1, 2)] == [True, False]
    assert not_told_apart([a, b], "mse") == set()
    assert not_told_apart([a, b, far], "mse") == {"a", "b"}
    alone, both = Claim("", "mse", "a", ("b",)), Claim("", "mse", "a", ("b", "far"))
    assert verdict(alone, [a, b, far]).holds == "holds"
    assert verdict(both, [a, b, far]).holds == "is not decided"
    assert best("mse", a, b).close == ()
    assert best("mse", a, b, far).close == ("b",)


CLAIM = Claim("a is best", "mse", "a", ("b", "c"))


@pytest.mark.parametrize(
    ("a", "holds"),
    [
        ((0.1, 0.11, 0.1), "holds"),
        ((5.0, 5.1, 5.0), "does not hold"),
        ((1.0, 1.1, 1.0), "is not decided"),
    ],
)
def test_claims_are_held_against_every_other_row(a: tuple[float, ...], holds: str) -> None:
    rows = [row("a", *a), row("b", 1.1, 1.0, 1.05), row("c", 2.0, 2.1, 2.05)]
    told = verdict(CLAIM, rows)
    assert told.holds == holds
    assert "b: MSE 1.0500" in told.found
    assert "3 seeds" in told.found


def test_a_claim_about_a_row_that_failed_is_not_tested() -> None:
    assert verdict(CLAIM, [row("a", 1.0), row("b", 2.0)]).holds == "was not tested"


def test_one_seed_decides_no_claim() -> None:
    rows = [row("a", 0.1), row("b", 1.0), row("c", 2.0)]
    assert verdict(CLAIM, rows).holds == "is not decided"


def best(metric: str, *rows: ResultRow, across: bool = False) -> Verdict:
    told = best_of(Question("Which?", metric, across_code_sizes=across), rows)
    assert told is not None
    return told


def test_best_is_said_among_codes_of_the_commonest_size() -> None:
    a, b, large = row("a", 2.0), row("b", 1.0), row("large", 0.5, code=16)
    told = best("mse", a, b, large, row("mean", 0.1, code=0))
    assert (told.best, told.seeds, told.close) == ("b", 1, ())  # one seed tells nothing apart
    assert (told.code_size, told.left_out) == (8, ("large",))
    across = best("mse", a, b, large, row("copy", 0.0, code=100), across=True)
    assert (across.best, across.code_size, across.left_out) == ("large", None, ("copy",))


def test_what_a_code_carries_besides_its_numbers_cannot_win() -> None:
    side = replace(row("side", 0.1), side_channel_size=2, side_channel_bits=9.0)
    more = replace(row("more", 0.2), code_bits=8 * 32 + 1.0)
    as_many = replace(row("as many", 0.3), code_bits=8 * 32.0)
    told = best("mse", side, more, as_many, row("old", 0.4))  # which does not know its bits
    assert (told.best, told.left_out) == ("as many", ("side", "more"))


def test_no_best_without_a_commonest_size() -> None:
    two = [row("a", 2.0), row("b", 1.0)]
    tied = best("mse", *two, row("c", 2.0, code=16), row("d", 1.0, code=16))
    assert (tied.best, tied.left_out) == (None, ("b", "d", "a", "c"))
    assert best("mse", two[0], row("c", 2.0, code=16)).best is None
    assert best("mse", two[0]).best is None
    assert best_of(Question("Which?", "psnr"), two) is None  # no row has the figure


def test_of_equal_rows_the_quicker_is_best() -> None:
    assert best("mse", timed("slow", 9.0, 1.0), timed("quick", 8.0, 1.0)).best == "quick"
    like = [timed(name, seconds, 0.5, metric="probe") for name, seconds in (("a", 9.0), ("b", 8.0))]
    assert best("probe", *like).best == "b"


def timed(name: str, seconds: float, *values: float, metric: str = "mse") -> ResultRow:
    return replace(row(name, *values, metric=metric), train_seconds=seconds)


@pytest.mark.parametrize(
    ("metric", "first", "other", "seconds", "quick"),
    [
        ("mse", 4.0, 5.0, 10.0, "other"),
        ("mse", 4.0, 5.01, 10.0, None),  # more than a quarter
        ("mse", 4.0, 5.0, 10.1, None),  # more than a tenth
        ("probe", 0.5, 0.375, 10.0, "other"),  # errors of 0.5 and 0.625
        ("probe", 0.5, 0.37, 10.0, None),
        ("psnr", 20.0, 19.9, 1.0, None),  # a quarter of decibels is nothing
        ("negative_elbo_gaussian", 4.0, 4.1, 1.0, None),
    ],
)
def test_nearly_as_good_in_a_tenth_of_the_time(
    metric: str, first: float, other: float, seconds: float, quick: str | None
) -> None:
    rows = [
        timed("best", 100.0, first, metric=metric),
        timed("other", seconds, other, metric=metric),
    ]
    assert best(metric, *rows).quick == quick


def test_the_quickest_of_those_nearly_as_good_is_named() -> None:
    rows = [
        timed("best", 100.0, 4.0),
        timed("a", 9.0, 4.1),
        timed("b", 5.0, 4.9),
        timed("c", 1.0, 9.0),
    ]
    assert best("mse", *rows).quick == "b"


def test_the_front_is_of_those_that_no_other_beats() -> None:
    points = {"slow": (9.0, 1.0), "quick": (1.0, 3.0), "beaten": (9.0, 2.0), "like": (9.0, 1.0)}
    assert front(points | {"worse": (2.0, 3.0), "middle": (2.0, 2.5)}) == [
        *("quick", "middle", "slow", "like")
    ]
    assert front({}) == []


def test_intervals_are_numbers_only_with_seeds() -> None:
    assert math.isnan(paired("mse", row("a", 1.0), row("b", 2.0)).p)


def test_an_interval_has_the_direction_that_is_said() -> None:
    told = verdict(
        Claim("c", "mse", "a", ("b",)), [row("a", 1.0, 2.0, 3.0), row("b", 2.0, 4.0, 6.0)]
    )
    assert "better by 2.00000 [-0.48414 to 4.48414], p = 0.074, 3 seeds" in told.found


BETTER = {
    "less": {
        "mse",
        "pca_share",
        "noisy_mse_0.1",
        "noisy_mse_0.2",
        "noisy_mse_0.4",
        "masked_mse",
        "negative_elbo_gaussian",
        "negative_elbo_bernoulli",
        "negative_elbo_continuous_bernoulli",
        "importance_bound_gaussian",
        "importance_bound_bernoulli",
        "importance_bound_continuous_bernoulli",
        "words_wrong",
        "negative_elbo_mixed",
        "importance_bound_mixed",
        "frechet",
        "frechet_own",
        "frechet_fitted",
        "frechet_reconstructions",
        "frechet_flow",
        "frechet_two_stage",
    },
    "more": {
        "psnr",
        "ssim",
        "probe",
        "knn",
        "precision",
        "recall",
        "anomaly_auroc",
        "auc",
        "ap",
    },
    "": {
        "pca_mse",
        "pca_words_wrong",
        "reconstruction_mixed",
        "active_fraction",
        "active_units",
        "pca_probe",
        "pixel_probe",
        "pca_knn",
        "pixel_knn",
        "reconstruction_gaussian",
        "reconstruction_bernoulli",
        "reconstruction_continuous_bernoulli",
        "kl",
        "frechet_floor",
        "nearest",
        "nearest_test",
        "original_figure",
        "neighbours_auroc",
        "lof_auroc",
        "forest_auroc",
        "ocsvm_auroc",
        "pca_auroc",
    },
}


def test_every_metric_has_its_direction() -> None:
    found = {better: {n for n, m in METRICS.items() if m.better == better} for better in BETTER}
    assert found == BETTER
    assert len(METRICS) == sum(map(len, BETTER.values()))


def test_a_claim_may_hold_one_metric_against_another() -> None:
    claim = Claim("c", "frechet_fitted", "ae", ("vae",), than_metric="frechet_own")
    better = row("ae", 10.0, 11.0, 12.1, metric="frechet_fitted")
    worse = row("vae", 80.0, 83.0, 85.0, metric="frechet_own")
    decoy = {**worse.metrics, "frechet_fitted": Spread(1.0, None, (1.0, 1.0, 1.0))}
    told = verdict(claim, [better, replace(worse, metrics=decoy)])
    assert told.holds == "holds"
    assert told.found.startswith("ae: fitted 11.03; vae: own prior 82.67, better by 71.6")
    same = Claim("c", "frechet_fitted", "vae", ("vae",), than_metric="frechet_own")
    assert verdict(same, [replace(worse, metrics=decoy)]).holds == "holds"
    assert verdict(claim, [better, row("vae", 1.0, 2.0)]).holds == "was not tested"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('[claims.one]\nmetric = "mse"\n', "claim one: claim and better and than missing"),
        ('[questions.one]\nmetric = "mse"\n', "question one: question missing"),
    ],
)
def test_what_a_claim_or_a_question_lacks_is_told(table: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_study("mine", f"[rows.pca]\n{table}")
