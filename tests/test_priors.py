"""Priors against PyTorch's distributions and closed forms; one's own in a model."""

import math

import pytest
import torch
from torch import Tensor, distributions, nn

from aelab.data.input_sets import InputSplit
from aelab.data.specs import InputSpec
from aelab.evaluate.importance import importance_bound
from aelab.machine import seeded
from aelab.models.leaky import SwitchesPrior
from aelab.models.posterior import Gaussian
from aelab.models.priors.contract import Prior
from aelab.models.priors.fitted_mixture import FittedMixture
from aelab.models.priors.normal import Normal
from aelab.models.sampling import sample
from aelab.models.variational import Bound, LatentVariableModel, VariationalAutoencoder
from aelab.models.zoo import build, resolve
from aelab.settings import Recipe
from aelab.training.loop import fit

OWN = "test_priors:Shifted"


class Shifted(Prior):
    """N(m, I), the m of each number learnt.

    Args:
        code_size: Numbers in a code.
        shift: What each m starts at.
    """

    trained_with_model = True
    told = "a shifted normal distribution"

    def __init__(self, code_size: int, *, shift: float = 2.0) -> None:
        super().__init__(code_size)
        self.mean = nn.Parameter(torch.full((code_size,), shift))

    def log_prob(self, z: Tensor) -> Tensor:
        return distributions.Normal(self.mean, 1.0).log_prob(z).sum(1)

    def sample_codes(self, n: int, temperature: float = 1.0) -> Tensor:
        return self.mean + temperature * torch.randn(n, self.code_size)


def two_clusters(n: int, size: int) -> Tensor:
    """Codes whose coordinates depend on each other, of very different lengths, away from 0."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(size, size, generator=generator) * torch.logspace(0, -1, size)
    side = torch.randint(2, (n, 1), generator=generator).float()
    return torch.randn(n, size, generator=generator) @ mixing + 4 * side - 1


def fitted(codes: Tensor) -> FittedMixture:
    prior = FittedMixture(codes.shape[1])
    prior.fit(codes)
    return prior


# N(0, 1)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_the_normal_prior_is_pytorchs_distribution(size: int) -> None:
    z = 3 * torch.randn(20, size, generator=torch.Generator().manual_seed(0))
    expected = distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(Normal(size).log_prob(z), expected)


def test_normal_codes_are_spread_by_the_temperature() -> None:
    for temperature in (1.0, 0.5, 0.0):
        with seeded(0):
            codes = Normal(3).sample_codes(20_000, temperature)
        tolerance = 5 * temperature / math.sqrt(20_000)
        torch.testing.assert_close(codes.mean(0), torch.zeros(3), atol=tolerance, rtol=0)
        torch.testing.assert_close(
            codes.std(0), torch.full((3,), temperature), atol=tolerance, rtol=0
        )


def test_switches_are_one_of_four() -> None:
    prior = SwitchesPrior(2, 3)
    z = torch.tensor([[0.5, -1.0, 0, 3, 2]])
    expected = distributions.Normal(0.0, 1.0).log_prob(z[:, :2]).sum(1) + 3 * math.log(1 / 4)
    torch.testing.assert_close(prior.log_prob(z), expected)
    with seeded(0):
        codes = prior.sample_codes(4000)
    shares = codes[:, 2:].flatten().long().bincount() / 12_000
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.02, rtol=0)


# What every prior keeps


@pytest.mark.parametrize("prior", [Normal(3), Shifted(3, shift=4.0)])
def test_a_prior_comes_back_from_its_tensors(prior: Prior) -> None:
    again = type(prior).from_tensors(prior.tensors(), 3)
    z = two_clusters(20, 3)
    assert torch.equal(again.log_prob(z), prior.log_prob(z))
    drawn = []
    for each in (prior, again):
        with seeded(0):
            drawn.append(each.sample_codes(5))
    assert torch.equal(*drawn)


def test_tensors_of_another_prior_are_refused() -> None:
    with pytest.raises(RuntimeError, match="no tensors of a FittedMixture: 'basis'"):
        FittedMixture.from_tensors(Shifted(3).tensors(), 3)
    with pytest.raises(RuntimeError, match="Unexpected"):
        Normal.from_tensors(Shifted(3).tensors(), 3)


def test_a_prior_without_classes_draws_none() -> None:
    assert Normal(2).classes == 0
    with pytest.raises(NotImplementedError, match="a Normal knows no classes"):
        Normal(2).sample_class(3, 0)


# Divergences


def some_posterior(n: int) -> Gaussian:
    mu, log_var = torch.tensor([[0.7, -1.5]]), torch.tensor([[-1.0, 0.4]])
    return Gaussian(mu.expand(n, 2), log_var.expand(n, 2))


@pytest.mark.parametrize("prior", [Normal(2), Shifted(2), fitted(two_clusters(300, 2))])
def test_the_divergence_is_the_mean_of_a_difference_of_logarithms(prior: Prior) -> None:
    n = 100_000
    posterior = some_posterior(n)
    with seeded(0), torch.no_grad():
        z = posterior.sample()
        q = distributions.Normal(posterior.mu, (posterior.log_var / 2).exp())
        differences = q.log_prob(z).sum(1) - prior.log_prob(z)
        kl = posterior.kl(prior, z)
    error = differences.std().item() / math.sqrt(n)
    assert kl.mean().item() == pytest.approx(differences.mean().item(), abs=5 * error)
    if isinstance(prior, Normal):
        exact = distributions.kl_divergence(q, distributions.Normal(0.0, 1.0)).sum(1)
        torch.testing.assert_close(kl, exact)
        torch.testing.assert_close(posterior.kl_of_each(prior).sum(1), exact)
    else:  # by the very z that the decoder is given
        torch.testing.assert_close(kl, differences)
        assert posterior.kl_of_each(prior) is None


# A prior of one's own


def own(**hyperparameters: object) -> VariationalAutoencoder:
    with seeded(0):
        model: VariationalAutoencoder = build(
            "vae", InputSpec((1, 3, 4)), prior=OWN, latent_dim=2, hidden=(8,), **hyperparameters
        )
    return model


class Repeated:
    """One input, many times."""

    def __init__(self, n: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.rand(1, 1, 3, 4, generator=generator).repeat(n, 1, 1, 1)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, i: Tensor) -> Tensor:
        return self.x[i]


def test_its_hyperparameters_are_the_models() -> None:
    assert resolve("vae", prior=OWN).hyperparameters["shift"].help == "What each m starts at."
    assert own().prior.mean.tolist() == [2.0, 2.0]
    assert own(shift=5.0).prior.mean.tolist() == [5.0, 5.0]


def test_the_bound_has_its_divergence_and_beta_weighs_it() -> None:
    model, x = own(shift=3.0, beta=0.25), Repeated(20_000).x
    with seeded(0), torch.no_grad():
        posterior = model.posterior(x)
        q = distributions.Normal(posterior.mu[0], (posterior.log_var[0] / 2).exp())
        _, kl = model.bound(x)
    exact = distributions.kl_divergence(q, distributions.Normal(3.0, 1.0)).sum().item()
    far = distributions.kl_divergence(q, distributions.Normal(0.0, 1.0)).sum().item()
    error = kl.std().item() / math.sqrt(len(x))
    assert kl.mean().item() == pytest.approx(exact, abs=5 * error)
    assert abs(exact - far) > 50 * error
    with seeded(0), torch.no_grad():
        assert model.loss(x)["kl"].item() == pytest.approx(kl.mean().item() / 4, rel=1e-5)


def test_its_gradient_is_that_of_minus_log_p() -> None:
    model, x = own(beta=0.5), Repeated(40).x
    with seeded(0):
        z = model.posterior(x).sample()
    with seeded(0):
        model.loss(x)["kl"].backward()
    # d/dm of -log p(z) is m - z.
    torch.testing.assert_close(model.prior.mean.grad, 0.5 * (2.0 - z).mean(0).detach())


def test_it_is_trained_with_the_model() -> None:
    # Of all m, the posterior's mean has the least divergence: the two move towards each other.
    model, data = own(shift=3.0, likelihood="gaussian-fixed"), Repeated(500)
    gaps = []
    for epochs in (0, 30):
        for _ in fit(model, data, Recipe(epochs=epochs, batch_size=50, learning_rate=0.01)):
            pass
        with torch.no_grad():
            gaps.append((model.encode(data.x[:1])[0] - model.prior.mean).abs())
    assert (gaps[1] < gaps[0] / 5).all()
    assert (model.prior.mean < 3).all()


def test_new_inputs_are_drawn_from_it() -> None:
    model = own(shift=30.0)
    given: list[Tensor] = []
    decode = model.decode
    model.decode = lambda z: given.append(z) or decode(z)
    sample(model, 400)
    (codes,) = given
    assert codes.mean().item() == pytest.approx(30, abs=5 / math.sqrt(800))
    assert codes.std().item() == pytest.approx(1, abs=0.15)


class Exact(LatentVariableModel):
    """x = W z + b + noise for z from N(m, I), with its own posterior: W's columns are orthogonal.

    Its marginal is N(W m + b, W W^T + v I), and the posterior of the code is
    N(m + S W^T (x - b - W m) / v, S), where S = (I + W^T W / v)^-1.
    """

    def __init__(self, spec: InputSpec, w: Tensor, variance: float, prior: Shifted) -> None:
        bound = Bound("gaussian-fixed", variance=variance, output="linear")
        super().__init__(spec, prior, w.shape[1], bound)
        self.w, self.variance = w, variance

    def posterior(self, x: Tensor) -> Gaussian:
        m = self.prior.mean.detach()
        spread = 1 / (1 + self.w.square().sum(0) / self.variance)
        mu = m + (x.flatten(1) - 0.4 - m @ self.w.T) @ self.w * spread / self.variance
        return Gaussian(mu, spread.log().expand_as(mu))

    def decoder_output(self, z: Tensor) -> Tensor:
        return (z @ self.w.T + 0.4).reshape(-1, *self.spec.shape)


def test_importance_weights_have_it() -> None:
    generator = torch.Generator().manual_seed(0)
    spec = InputSpec((1, 2, 3))
    w = torch.linalg.qr(torch.randn(6, 2, generator=generator)).Q * torch.tensor([0.5, 0.2])
    pixels = torch.randint(256, (50, *spec.shape), generator=generator, dtype=torch.uint8)
    images = InputSplit(pixels, torch.zeros(50).long(), torch.arange(50), spec)
    model = Exact(spec, w, 0.05, Shifted(2, shift=1.5))
    marginal = distributions.MultivariateNormal(
        (1.5 * w.sum(1) + 0.4).double(), (w @ w.T + 0.05 * torch.eye(6)).double()
    )
    x = images.batch(torch.arange(50)).flatten(1).double()
    expected = -marginal.log_prob(x).mean().item()
    # The posterior is exact, so that one draw will do.
    bound, _ = importance_bound(model, images, 1)
    assert bound == pytest.approx(expected, rel=1e-5)
    with torch.no_grad():
        reconstruction, kl = model.bound(images.batch(torch.arange(50)))
    assert (reconstruction + kl).mean().item() == pytest.approx(expected, rel=1e-4)
