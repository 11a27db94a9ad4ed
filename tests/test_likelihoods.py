"""Likelihoods by their names: which each is, and what inputs it takes."""

import math

import pytest
import torch
from torch import nn

from aelab.data.specs import InputSpec
from aelab.models.losses import Bernoulli, ContinuousBernoulli, Gaussian, likelihood_named
from aelab.models.variational import Bound

KINDS = {
    "gaussian": (Gaussian, "gaussian"),
    "gaussian-fixed": (Gaussian, "gaussian"),
    "bernoulli": (Bernoulli, "bernoulli"),
    "continuous-bernoulli": (ContinuousBernoulli, "continuous_bernoulli"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_name_gives_its_likelihood(name: str) -> None:
    likelihood = likelihood_named(name, 0.25, nn.Sigmoid())
    kind, figures = KINDS[name]
    assert type(likelihood) is kind
    assert likelihood.name == figures


def test_the_variance_is_fitted_from_one_on_or_fixed_as_given() -> None:
    fitted = likelihood_named("gaussian", 0.25, nn.Identity())
    fixed = likelihood_named("gaussian-fixed", 0.25, nn.Identity())
    assert [name for name, _ in fitted.named_parameters()] == ["log_std"]
    assert list(fixed.parameters()) == []
    assert fitted.log_std.item() == 0
    assert fixed.log_std.item() == pytest.approx(math.log(0.5))


def test_only_a_fitted_variance_starts_from_a_tenth_of_the_inputs() -> None:
    for name, expected in (("gaussian", 0.3), ("gaussian-fixed", 0.25)):
        likelihood = likelihood_named(name, 0.25, nn.Identity())
        likelihood.initialise(3.0)
        assert (2 * likelihood.log_std).exp().item() == pytest.approx(expected)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan])
def test_a_variance_is_more_than_0(variance: float) -> None:
    with pytest.raises(ValueError, match=f"variance must be more than 0, not {variance}"):
        likelihood_named("gaussian-fixed", variance, nn.Sigmoid())


@pytest.mark.parametrize("name", KINDS)
def test_means_are_squashed_where_they_stay_between_0_and_1(name: str) -> None:
    outputs = torch.tensor([[-30.0, 30.0]])
    for activation in (nn.Sigmoid(), nn.Identity()):
        likelihood = likelihood_named(name, 0.25, activation)
        mean = likelihood.mean(outputs)
        assert likelihood.squashed is bool((mean >= 0).all() and (mean <= 1).all())


@pytest.mark.parametrize("name", KINDS)
def test_likelihoods_of_shares_refuse_inputs_beyond_1(name: str) -> None:
    bound = Bound(likelihood=name)
    assert bound.likelihood_of(InputSpec((1, 4, 4), scale=1 / 255)).name == KINDS[name][1]
    larger = InputSpec((1, 4, 4), scale=1.0)
    if "bernoulli" in name:
        with pytest.raises(ValueError, match=f"{name} is of inputs in \\[0, 1\\]"):
            bound.likelihood_of(larger)
    else:
        assert bound.likelihood_of(larger).name == "gaussian"
