"""Ranks and tests against the worked example of Demšar 2006, section 3.2.3."""

import math

import pytest

from aelab.studies.ranks import critical_difference, ranking

# Its table 6: the AUC of four versions of C4.5 on fourteen data sets.
AUC = {
    "C4.5": [
        *(0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661),
        *(0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957),
    ],
    "C4.5+m": [
        *(0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668),
        *(0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978),
    ],
    "C4.5+cf": [
        *(0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609),
        *(0.563, 0.866, 1.000, 0.965, 0.614, 0.97501, 0.946),  # 0.975 in print, but ranked before
    ],
    "C4.5+m+cf": [
        *(0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685),
        *(0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970),
    ],
}


def test_ranks_and_critical_difference_are_those_of_the_paper() -> None:
    found = ranking(AUC)
    expected = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert found.ranks == pytest.approx(expected, abs=5e-4)
    assert list(found.ranks) == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert found.p is not None
    assert found.p < 0.05  # its chi² of 9.28 with 3 degrees of freedom has 0.026
    assert set(found.close) == set(AUC)  # in the paper, too, none differs at this level


def test_only_what_is_beyond_the_critical_difference_is_told_apart() -> None:
    """Of three methods on twelve data sets it is 2.343 sqrt(3 4 / (6 12)) = 0.957."""
    found = ranking({"a": [3.0] * 12, "b": [1.0] * 3 + [2.0] * 9, "c": [2.0] * 3 + [1.0] * 9})
    assert found.ranks == pytest.approx({"a": 1.0, "b": 2.25, "c": 2.75})
    assert found.critical_difference == pytest.approx(0.957, abs=1e-3)
    assert found.close == ("a",)
    near = ranking({"a": [3.0] * 8 + [2.0] * 4, "b": [2.0] * 8 + [3.0] * 4, "c": [1.0] * 12})
    assert near.close == ("a", "b")


@pytest.mark.parametrize(
    ("methods", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (8, 3.031), (10, 3.164)]
)
def test_the_quantiles_are_those_of_the_paper(methods: int, q: float) -> None:
    """Its table 5 (a); with N = k (k + 1) / 6 data sets the critical difference is q."""
    scale = math.sqrt(methods * (methods + 1) / 6)
    assert critical_difference(methods, 1) / scale == pytest.approx(q, abs=1.1e-3)


def test_methods_that_are_alike_are_not_told_apart() -> None:
    found = ranking({"a": [0.5, 0.6], "b": [0.5, 0.6], "c": [0.5, 0.6]})
    assert found.p == 1.0
    assert found.close == ("a", "b", "c")
    assert set(found.ranks.values()) == {2.0}
