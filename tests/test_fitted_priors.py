"""Priors that are fitted to codes, against scikit-learn, sums over grids and known densities."""

import math
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor, distributions

from aelab.files import read_tensors, write_tensors
from aelab.machine import seeded
from aelab.models.priors import fitted as shared
from aelab.models.priors.contract import Prior
from aelab.models.priors.fitted import FittedPrior
from aelab.models.priors.fitted_flow import FittedFlow
from aelab.models.priors.fitted_mixture import FittedMixture
from aelab.models.priors.two_stage import TwoStage
from aelab.models.zoo import FITTED_PRIORS, prior_named

EVERY = [FittedMixture, FittedFlow, TwoStage]
P = TypeVar("P", bound=FittedPrior)
OF_CLASSES = torch.arange(200) % 2


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "STEPS", 60)
    monkeypatch.setattr(shared, "SCORED", 20)
    monkeypatch.setattr(shared, "BATCH", 64)


def two_clusters(n: int, size: int) -> Tensor:
    """Codes whose coordinates depend on each other, of very different lengths, away from 0."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(size, size, generator=generator) * torch.logspace(0, -1, size)
    side = torch.randint(2, (n, 1), generator=generator).float()
    return torch.randn(n, size, generator=generator) @ mixing + 4 * side - 1


def gaussian(n: int, size: int) -> Tensor:
    return torch.randn(n, size, generator=torch.Generator().manual_seed(1))


def apart(n: int) -> Tensor:
    """Codes around (-5, 0) and (5, 0), in turn."""
    return gaussian(n, 2) * 0.5 + torch.tensor([[-5.0, 0.0], [5.0, 0.0]]).repeat(n // 2, 1)


def fitted(codes: Tensor, kind: type[P], labels: Tensor | None = None) -> P:
    prior = kind(codes.shape[1])
    prior.fit(codes, labels)
    return prior


def mixture(codes: Tensor, labels: Tensor | None = None) -> FittedMixture:
    return fitted(codes, FittedMixture, labels)


def drawn(prior: Prior, n: int, temperature: float = 1.0, label: int | None = None) -> Tensor:
    with seeded(0):
        if label is None:
            return prior.sample_codes(n, temperature)
        return prior.sample_class(n, label, temperature)


def test_these_are_all() -> None:
    assert {prior_named(name) for name in FITTED_PRIORS} == set(EVERY)
    assert not any(kind.trained_with_model for kind in EVERY)


# What every fitted prior keeps


@pytest.mark.parametrize("kind", EVERY)
def test_what_a_fitted_prior_keeps(kind: type[FittedPrior], tmp_path: Path) -> None:
    codes = apart(200)
    prior = fitted(codes, kind, OF_CLASSES)
    assert prior.classes == 2
    assert torch.equal(prior.shares, torch.tensor([0.5, 0.5]))
    # The same codes give the same bits, and so do a file and what was read from it.
    assert torch.equal(drawn(fitted(codes, kind, OF_CLASSES), 20), drawn(prior, 20))
    write_tensors(tmp_path / "prior", prior.tensors())
    again = kind.from_tensors(read_tensors(tmp_path / "prior"), 2)
    assert again.classes == 2
    assert torch.equal(again.log_prob(codes), prior.log_prob(codes))
    assert torch.equal(drawn(again, 20), drawn(prior, 20))
    assert torch.equal(drawn(again, 20, label=1), drawn(prior, 20, label=1))
    # A class is drawn where its codes were, all of them on both sides.
    for label, side in enumerate((-1, 1)):
        share = (drawn(prior, 500, label=label)[:, 0] * side > 0).float().mean().item()
        assert share > 0.75
    assert 0.35 < (drawn(prior, 500)[:, 0] > 0).float().mean() < 0.65
    # Below 1, codes are more alike; none leaves the range that codes had.
    spreads = [drawn(prior, 500, t, label=0).std(0).sum() for t in (1.0, 0.5, 0.0)]
    assert spreads[0] > spreads[1] > spreads[2]
    wild = drawn(prior, 500, 4.0)
    assert (wild >= codes.amin(0)).all()
    assert (wild <= codes.amax(0)).all()
    assert (wild == codes.amin(0)).any()


def test_a_component_of_no_class_is_refused() -> None:
    whole = FittedMixture(3).tensors()
    with pytest.raises(RuntimeError, match="no code can be drawn from it"):
        FittedMixture.from_tensors({**whole, "of_class": torch.tensor([458753])}, 3)


@pytest.mark.parametrize("kind", EVERY)
def test_what_does_not_fit_is_refused(kind: type[FittedPrior]) -> None:
    prior = kind(3)
    whole = prior.tensors()
    for name in whole:
        with pytest.raises(RuntimeError):
            kind.from_tensors({n: t for n, t in whole.items() if n != name}, 3)
    for other in (
        {"shares": torch.tensor(1.0)},
        {"basis": torch.ones(1, 4)},
        {"more": torch.ones(1)},
    ):
        with pytest.raises(RuntimeError):
            kind.from_tensors({**whole, **other}, 3)
    with pytest.raises(RuntimeError, match="another size than 4"):
        kind.from_tensors(whole, 4)
    for name in ("mean", "basis", "shares"):
        with pytest.raises(RuntimeError, match="are not finite"):
            kind.from_tensors({**whole, name: torch.full_like(whole[name], torch.nan)}, 3)
    for another in EVERY:
        if another is not kind:
            with pytest.raises(RuntimeError):
                another.from_tensors(whole, 3)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("n", [1, 30])
def test_codes_that_are_all_the_same_come_back(kind: type[FittedPrior], n: int) -> None:
    codes = torch.tensor([[1.0, 0.1]]).repeat(n, 1)
    prior = fitted(codes, kind)
    assert drawn(prior, 4).tolist() == codes[:1].repeat(4, 1).tolist()
    assert prior.log_prob(codes).isfinite().all()


@pytest.mark.parametrize("kind", EVERY)
def test_three_codes_are_enough(kind: type[FittedPrior]) -> None:
    codes = gaussian(3, 4)
    prior = fitted(codes, kind)
    found = drawn(prior, 50)
    assert (found >= codes.amin(0)).all()
    assert (found <= codes.amax(0)).all()
    assert prior.log_prob(codes).isfinite().all()


def test_where_a_class_has_no_code_all_are_one() -> None:
    prior = mixture(apart(200), 2 * OF_CLASSES)  # 0 and 2, and none of 1
    assert prior.classes == 0
    assert prior.shares.tolist() == [1.0]
    assert mixture(apart(200), torch.zeros(200).long()).classes == 0


@pytest.mark.parametrize("kind", [FittedMixture, FittedFlow])
def test_the_density_of_two_numbers_has_an_integral_of_one(kind: type[FittedPrior]) -> None:
    codes = apart(200) * torch.tensor([0.2, 3.0])
    prior = fitted(codes, kind, OF_CLASSES)
    x, y = torch.linspace(-4, 4, 400), torch.linspace(-20, 20, 400)
    with torch.no_grad():
        density = prior.log_prob(torch.cartesian_prod(x, y)).double().exp()
    volume = (x[1] - x[0]) * (y[1] - y[0])
    assert (density.sum() * volume).item() == pytest.approx(1, abs=0.01)


# The mixture


def test_a_mixtures_density_is_scikit_learns() -> None:
    codes = two_clusters(600, 4)
    prior = mixture(codes)
    # The linear map turns each component's mean and covariance into those of the codes.
    basis = prior.basis.double()
    covariances = prior.factors.double() @ prior.factors.double().mT
    other = GaussianMixture(len(prior.weights), covariance_type="full")
    other.weights_ = prior.weights.double().numpy()
    other.means_ = (prior.mean.double() + prior.means.double() @ basis).numpy()
    other.covariances_ = (basis.T @ covariances @ basis).numpy()
    precisions = np.linalg.inv(other.covariances_)
    other.precisions_cholesky_ = np.linalg.cholesky(precisions)
    assert len(basis) == 4
    assert len(prior.weights) > 1
    expected = torch.from_numpy(other.score_samples(codes.double().numpy()))
    torch.testing.assert_close(prior.log_prob(codes).double(), expected, rtol=1e-3, atol=1e-3)


def test_a_mixtures_density_has_an_integral_of_one() -> None:
    prior = mixture(two_clusters(500, 1) * 7)
    z = torch.linspace(-120, 120, 100_001)
    density = prior.log_prob(z[:, None]).double().exp()
    assert torch.trapezoid(density, z.double()).item() == pytest.approx(1, abs=1e-4)


def test_codes_on_a_line_have_a_density_along_it() -> None:
    along = two_clusters(500, 1)
    direction = torch.tensor([[0.6, 0.0, 0.8]])
    prior = mixture(along @ direction + torch.tensor([1.0, 2.0, 3.0]))
    assert prior.basis.shape == (1, 3)
    way = torch.linspace(-40, 40, 100_001)
    density = prior.log_prob(way[:, None] * direction + torch.tensor([1.0, 2.0, 3.0])).double()
    assert torch.trapezoid(density.exp(), way.double()).item() == pytest.approx(1, abs=1e-4)


def test_a_mixtures_codes_are_those_of_its_components() -> None:
    prior = mixture(two_clusters(600, 3))
    prior.low, prior.high = -prior.high.fill_(math.inf), prior.high  # nothing is clipped
    with seeded(0):
        codes = prior.sample_codes(40_000)
    mean = prior.mean + prior.weights @ prior.means @ prior.basis
    covariances = prior.factors @ prior.factors.mT + prior.means[:, :, None] * prior.means[:, None]
    second = (prior.weights[:, None, None] * covariances).sum(0)
    centre = prior.weights @ prior.means
    covariance = prior.basis.T @ (second - torch.outer(centre, centre)) @ prior.basis
    torch.testing.assert_close(codes.mean(0), mean, atol=0.06, rtol=0)
    torch.testing.assert_close(torch.cov(codes.T), covariance, atol=0.15, rtol=0.03)


def test_a_mixture_keeps_to_the_range_of_the_codes() -> None:
    codes = two_clusters(300, 3).relu()
    prior = mixture(codes)
    with seeded(0):
        drawn = prior.sample_codes(5000, temperature=3.0)
    assert (drawn >= codes.amin(0)).all()
    assert (drawn <= codes.amax(0)).all()
    assert (drawn == codes.amin(0)).any()


def test_components_are_as_many_as_held_out_codes_like() -> None:
    assert len(mixture(gaussian(3000, 2)).weights) <= 5
    rings = torch.tensor([[0.0, 9.0], [9.0, 0.0], [-9.0, 0.0], [0.0, -9.0]]).repeat(150, 1)
    many = mixture(gaussian(600, 2) + rings)
    assert len(many.weights) >= 4
    assert 2 <= len(mixture(apart(200)).weights) <= 10
    # Each class has its own; 19 codes of one are too few to choose by.
    labels = torch.cat([torch.zeros(581), torch.ones(19)]).long()
    both = mixture(gaussian(600, 2) + rings, labels)
    assert both.of_class.bincount().tolist() == [len(both.weights) - 1, 1]
    assert len(both.weights) >= 5
    torch.testing.assert_close(both.weights[both.of_class == 0].sum(), torch.tensor(1.0))


def test_the_density_is_the_classes_by_their_shares() -> None:
    codes, labels = apart(300), (torch.arange(300) % 6 == 0).long()
    prior = mixture(codes, labels)
    inverse = torch.linalg.pinv(prior.basis.double())
    u = (codes.double() - prior.mean) @ inverse
    density = torch.zeros(300).double()
    for share, label in zip(prior.shares, (0, 1), strict=True):
        for k in (prior.of_class == label).nonzero().flatten():
            covariance = prior.factors[k].double() @ prior.factors[k].double().T
            component = distributions.MultivariateNormal(prior.means[k].double(), covariance)
            density += share * prior.weights[k] * component.log_prob(u).exp()
    expected = density.log() - prior.basis.double().det().abs().log()
    torch.testing.assert_close(prior.log_prob(codes).double(), expected, rtol=1e-3, atol=1e-3)


def test_at_most_so_many_coordinates_are_modelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MOST_DIMENSIONS", 3)
    codes = gaussian(400, 6) * torch.tensor([6.0, 5, 4, 1, 1, 1])
    prior = mixture(codes)
    assert prior.basis.shape == (3, 6)
    spread = drawn(prior, 2000).std(0)
    torch.testing.assert_close(spread[:3], codes.std(0)[:3], rtol=0.15, atol=0)
    assert (spread[3:] < 0.5).all()


# The networks


@pytest.mark.parametrize("kind", [FittedFlow, TwoStage])
def test_training_brings_the_density_nearer(
    kind: type[FittedPrior], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = gaussian(500, 2) * 2 + 3
    monkeypatch.setattr(shared, "STEPS", 100)
    truth = distributions.Normal(3.0, 2.0).log_prob(codes).sum(1).mean().item()
    trained = fitted(codes, kind)
    with torch.no_grad():
        found = trained.log_prob(codes).mean().item()
    # A fit may be a little above the truth on its own codes, and an estimate is below.
    assert truth - 0.3 < found < truth + 0.1
    codes = drawn(trained, 3000)
    assert codes.mean(0).tolist() == pytest.approx([3, 3], abs=0.5)
    assert codes.std(0).tolist() == pytest.approx([2, 2], abs=0.5)


def test_the_second_stages_estimate_is_a_marginal_likelihood() -> None:
    # With a linear decoder and its exact posterior, every draw has the same weight.
    prior = TwoStage(1)
    slope, gamma = 0.8, 0.3
    prior.decoder = torch.nn.Linear(1, 1)
    prior.encoder = torch.nn.Linear(1, 2)
    variance = 1 / (1 + slope**2 / gamma)
    with torch.no_grad():
        prior.decoder.weight.fill_(slope)
        prior.decoder.bias.fill_(0.5)
        prior.log_gamma.fill_(math.log(gamma))
        gain = variance * slope / gamma
        prior.encoder.weight.copy_(torch.tensor([[gain], [0.0]]))
        prior.encoder.bias.copy_(torch.tensor([-gain * 0.5, math.log(variance)]))
    marginal = distributions.Normal(0.5, math.sqrt(slope**2 + gamma))
    u = torch.linspace(-4, 4, 1203)[:, None]  # not a whole number of parts
    expected = marginal.log_prob(u)
    torch.testing.assert_close(prior.log_prob(u), expected[:, 0], rtol=1e-4, atol=1e-4)
    # With another posterior it is below, and the same each time.
    with torch.no_grad():
        prior.encoder.bias += 0.3
    estimate = prior.log_prob(u)
    assert torch.equal(estimate, prior.log_prob(u))
    assert -0.1 < (estimate - expected[:, 0]).mean() < 0
    state = torch.get_rng_state()
    prior.log_prob(u)
    assert torch.equal(state, torch.get_rng_state())


def test_a_fit_that_diverges_stays_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "RATE", 1e30)
    codes = gaussian(100, 2)
    prior = fitted(codes, TwoStage)
    assert prior.log_prob(codes).isfinite().all()
    assert drawn(prior, 5).isfinite().all()
