"""What mutants got past: small properties that no other test pins."""

import pytest

from aelab.studies.verdicts import Paired, described


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (-0.25, "better by 0.25000 [0.12500 to 0.37500], p = 0.012, 3 seeds"),
        (0.25, "worse by 0.25000 [0.12500 to 0.37500], p = 0.012, 3 seeds"),
    ],
)
def test_a_difference_is_said_as_better_or_worse(difference: float, said: str) -> None:
    low, high = sorted((difference / 2, difference * 3 / 2))
    assert described(Paired(difference, low, high, 0.0123, seeds=3), "mse") == said


def test_one_seed_is_no_test() -> None:
    nan = float("nan")
    assert described(Paired(-0.25, nan, nan, nan, seeds=1), "mse") == "one seed: no test"
