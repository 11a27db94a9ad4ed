"""Losses against closed forms, numerical integrals and PyTorch's distributions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.distributions import Normal, kl_divergence

from aelab.models.losses import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    batch_mean,
    kl_standard_normal,
    l1,
    parameter_l1,
    squared_error,
)

NUMBERS = st.floats(-3, 3, width=32)


@given(NUMBERS, NUMBERS)
def test_kl_is_that_of_two_gaussians(mu: float, log_var: float) -> None:
    expected = kl_divergence(Normal(mu, math.exp(log_var / 2)), Normal(0.0, 1.0))
    ours = kl_standard_normal(torch.tensor([[mu]]), torch.tensor([[log_var]]))
    torch.testing.assert_close(ours, expected.reshape(1, 1), rtol=1e-4, atol=1e-5)
    assert ours >= -1e-6


@pytest.mark.parametrize("variance", [0.01, 0.5, 2.0])
def test_gaussian_is_the_density(variance: float) -> None:
    x, output = torch.rand(5, 3, 4), torch.randn(5, 3, 4)
    likelihood = Gaussian(variance, nn.Sigmoid())
    expected = -Normal(output.sigmoid(), math.sqrt(variance)).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(likelihood.negative_log(output, x), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(likelihood.mean(output), output.sigmoid())


def test_variance_of_a_half_makes_the_squared_error_and_a_constant() -> None:
    x, output = torch.rand(5, 7), torch.randn(5, 7)
    constant = 7 / 2 * math.log(math.pi)
    ours = Gaussian(0.5, nn.Identity()).negative_log(output, x) - constant
    torch.testing.assert_close(ours, squared_error(output, x))


def test_best_fitted_variance_is_the_squared_error() -> None:
    x, output = torch.rand(50, 7), torch.randn(50, 7) * 0.1
    likelihood = Gaussian(None, nn.Identity())
    optimizer = torch.optim.LBFGS(likelihood.parameters(), max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = batch_mean(likelihood.negative_log(output, x))
        loss.backward()
        return loss

    optimizer.step(closure)
    variance = (2 * likelihood.log_std).exp().item()
    assert variance == pytest.approx((x - output).square().mean().item(), rel=1e-3)


def test_bernoulli_is_the_cross_entropy() -> None:
    x, output = torch.rand(4, 6), torch.randn(4, 6)
    p = output.sigmoid()
    expected = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1)
    torch.testing.assert_close(Bernoulli().negative_log(output, x), expected)


@pytest.mark.parametrize("logit", [-4.0, -0.5, 0.0, 1e-3, 2.0, 6.0])
def test_continuous_bernoulli_is_a_density_with_its_mean(logit: float) -> None:
    grid = torch.linspace(0, 1, 20_001, dtype=torch.float64)[:, None]
    output = torch.full_like(grid, logit)
    density = (-ContinuousBernoulli().negative_log(output, grid)).exp().numpy()
    grid_numbers = grid[:, 0].numpy()
    assert np.trapezoid(density, grid_numbers) == pytest.approx(1, abs=1e-6)
    mean = np.trapezoid(density * grid_numbers, grid_numbers)
    assert ContinuousBernoulli().mean(output)[0, 0].item() == pytest.approx(mean, abs=1e-5)


def test_norms() -> None:
    values = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    assert l1(values).tolist() == [3.0, 3.0]
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0]]))
        layer.bias.fill_(-0.5)
    assert parameter_l1(layer).item() == 3.5


@given(st.integers(1, 100))
def test_a_loss_is_the_mean_over_examples(n: int) -> None:
    x, x_hat = torch.rand(1, 3, 5), torch.rand(1, 3, 5)
    many = squared_error(x_hat.expand(n, -1, -1), x.expand(n, -1, -1))
    torch.testing.assert_close(batch_mean(many), batch_mean(squared_error(x_hat, x)))
