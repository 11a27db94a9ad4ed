"""Priors that are trained with a model, against grids, PyTorch's distributions and plain loops."""

import copy
import math

import pytest
import torch
from torch import Tensor, distributions

from aelab.data.specs import Columns, InputSpec
from aelab.machine import seeded
from aelab.models.posterior import Gaussian
from aelab.models.priors.contract import Prior
from aelab.models.priors.flow import Flow
from aelab.models.priors.mixture import Mixture
from aelab.models.priors.vamp import Vamp
from aelab.models.sampling import sample
from aelab.models.variational import VariationalAutoencoder
from aelab.models.zoo import PRIORS, ZOO, build, resolve
from aelab.settings import Recipe
from aelab.training.loop import fit

LEARNT = ["mixture", "flow", "vamp"]
SPEC = InputSpec((1, 4, 4))
TABLE = InputSpec((2,), 1.0, dtype="float32", columns=Columns(("a", "b"), (0.0, 0.0), (1.0, 1.0)))


class Images:
    """Images of two kinds: bright above, or bright below."""

    def __init__(self, n: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = 0.4 * torch.rand(n, 1, 4, 4, generator=generator)
        self.x[::2, :, :2] += 0.6
        self.x[1::2, :, 2:] += 0.6

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, i: Tensor) -> Tensor:
        return self.x[i]


def model_with(prior: str, size: int = 2, **given: object) -> VariationalAutoencoder:
    if prior == "vamp":
        given.setdefault("pseudo_inputs", 7)
    with seeded(0):
        model: VariationalAutoencoder = build(
            "vae", SPEC, prior=prior, latent_dim=size, hidden=(8,), **given
        )
        for parameter in model.prior.parameters():
            if prior != "vamp":  # away from where it starts
                parameter.data += 0.02 * torch.randn(parameter.shape)
    return model


def drawn(prior: Prior, n: int, temperature: float = 1.0) -> Tensor:
    with seeded(1), torch.no_grad():
        return prior.sample_codes(n, temperature)


def test_these_are_all() -> None:
    assert set(PRIORS) == {"normal", *LEARNT}


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("name", LEARNT)
def test_samples_follow_the_density(name: str, size: int) -> None:
    prior = model_with(name, size).prior
    # A spline of one number may have peaks that are very narrow.
    axis = torch.linspace(-7, 7, {1: 100_001, 2: 201}[size])
    z = torch.cartesian_prod(*[axis] * size).reshape(-1, size)
    with torch.no_grad():
        weight = prior.log_prob(z).double().exp() * (axis[1] - axis[0]) ** size
    assert weight.sum().item() == pytest.approx(1, abs=0.01)
    mean = weight @ z.double()
    covariance = (z.double() - mean).T @ ((z.double() - mean) * weight[:, None])
    codes = drawn(prior, 20_000).double()
    torch.testing.assert_close(codes.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(codes.T).reshape(size, size), covariance, atol=0.1, rtol=0)


@pytest.mark.parametrize("name", LEARNT)
def test_below_one_codes_are_more_alike(name: str) -> None:
    prior = model_with(name).prior
    spreads = [drawn(prior, 2000, t).std(0).sum() for t in (1.0, 0.5, 0.0)]
    assert spreads[0] > spreads[1] > spreads[2]
    assert len(drawn(prior, 2000, 0.0).unique(dim=0)) <= {"flow": 1, "vamp": 7}.get(name, 50)


@pytest.mark.parametrize("kind", [Mixture, Flow])
def test_a_prior_comes_back_from_its_tensors(kind: type[Prior]) -> None:
    with seeded(0):
        prior = kind(3)
    again = kind.from_tensors(prior.tensors(), 3)
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.log_prob(z), prior.log_prob(z))
    assert torch.equal(drawn(again, 9), drawn(prior, 9))
    for wrong in (kind(2).tensors(), {**prior.tensors(), "more": torch.ones(1)}, {}):
        with pytest.raises(RuntimeError):
            kind.from_tensors(wrong, 3)


@pytest.mark.parametrize(
    ("kind", "option"),
    [(Mixture, "prior_components"), (Flow, "flow_transforms"), (Vamp, "pseudo_inputs")],
)
def test_there_must_be_one_at_least(kind: type[Prior], option: str) -> None:
    with pytest.raises(ValueError, match=option):
        kind(2, **{option: 0})


def test_the_mixture_is_pytorchs() -> None:
    prior = model_with("mixture", 3, prior_components=5).prior
    assert isinstance(prior, Mixture)
    parts = distributions.Independent(
        distributions.Normal(prior.means, (prior.log_vars / 2).exp()), 1
    )
    expected = distributions.MixtureSameFamily(
        distributions.Categorical(logits=prior.logits), parts
    )
    z = 2 * torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(prior.log_prob(z), expected.log_prob(z))


# The mixture of posteriors


def test_vamp_is_the_mean_of_posteriors() -> None:
    model = model_with("vamp")
    assert isinstance(model.prior, Vamp)
    z = torch.randn(11, 2, generator=torch.Generator().manual_seed(0))
    density = torch.zeros(11).double()
    with torch.no_grad():
        for u in model.prior.pseudo_inputs:
            for i in range(11):
                posterior = model.posterior(u[None])
                density[i] += posterior.log_prob(z[i : i + 1]).double().exp()[0] / 7
        found = model.prior.log_prob(z)
    torch.testing.assert_close(found.double(), density.log(), rtol=1e-4, atol=1e-4)


def test_log_prob_of_each_is_that_of_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    mu, log_var, z = (torch.randn(n, 3, generator=generator) for n in (4, 4, 6))
    posterior = Gaussian(mu, log_var, side=torch.ones(4, 2))
    found = posterior.log_prob_of_each(torch.cat([z, torch.zeros(6, 2)], 1))
    assert found.shape == (6, 4)
    for j in range(4):
        one = distributions.Normal(mu[j], (log_var[j] / 2).exp())
        torch.testing.assert_close(found[:, j], one.log_prob(z).sum(1))


def test_pseudo_inputs_start_at_training_inputs_and_stay_in_range() -> None:
    model, data = model_with("vamp"), Images(5)  # fewer than the pseudo-inputs
    prior = model.prior
    assert isinstance(prior, Vamp)
    model.initialise(data)
    distances = torch.cdist(prior.pseudo_inputs.flatten(1), data.x.flatten(1))
    assert (distances.amin(1) < 0.1).all()
    assert set(distances.argmin(1).tolist()) == set(range(5))
    with torch.no_grad():
        prior.pseudo_inputs[0] = 7.0
        prior.pseudo_inputs[1] = -7.0
    assert prior.inputs()[0].unique().tolist() == [1.0]
    assert prior.inputs()[1].unique().tolist() == [0.0]
    free = build("vae", TABLE, prior="vamp", latent_dim=2, pseudo_inputs=2)
    with torch.no_grad():
        free.prior.pseudo_inputs.fill_(-7.0)
    assert free.prior.inputs().unique().tolist() == [-7.0]


def test_a_copys_prior_asks_the_copy() -> None:
    model = model_with("vamp")
    copied = copy.deepcopy(model)
    z = torch.zeros(1, 2)
    before = model.prior.log_prob(z).item()
    assert copied.prior.log_prob(z).item() == before
    with torch.no_grad():
        copied.heads.bias += 1
    assert model.prior.log_prob(z).item() == before
    assert copied.prior.log_prob(z).item() != before
    assert copied.prior.posterior_of.__self__ is copied


# In a model


@pytest.mark.parametrize("name", LEARNT)
def test_it_is_trained_with_the_model(name: str) -> None:
    model, data = model_with(name), Images(64)
    model.initialise(data)
    start = {n: p.detach().clone() for n, p in model.prior.named_parameters()}
    assert start
    with seeded(0):
        before = sum(model.loss(data.x).values())
    before.backward()
    for parameter_name, parameter in model.prior.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all()
    assert any(p.grad.abs().sum() > 0 for p in model.prior.parameters())
    model.zero_grad()
    for _ in fit(model, data, Recipe(epochs=15, batch_size=16, learning_rate=0.01)):
        pass
    with seeded(0), torch.no_grad():
        after = sum(model.loss(data.x).values())
    assert after < before - 1
    moved = [n for n, p in model.prior.named_parameters() if not torch.equal(p, start[n])]
    assert moved
    # It comes back with the model's own tensors.
    again = model_with(name)
    again.load_state_dict(model.state_dict())
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.prior.log_prob(z), model.prior.log_prob(z))
    assert torch.equal(sample(again, 3), sample(model, 3))


COMPOSED = [name for name in ZOO if resolve(name).prior_name and ZOO[name].rows == "inputs"]


@pytest.mark.parametrize("network", ["dense", "convolutional", "graph"])
@pytest.mark.parametrize("prior", LEARNT)
def test_every_network_with_every_prior(network: str, prior: str) -> None:
    spec = InputSpec((1, 12, 12))
    options = {"pseudo_inputs": 3} if prior == "vamp" else {}
    for name in COMPOSED:
        if resolve(name).network_name != network:
            continue
        model = build(name, spec, prior=prior, network=network, latent_dim=3, **options)
        x = torch.rand(2, 1, 12, 12)
        losses = model.loss(x)
        assert all(math.isfinite(term.item()) for term in losses.values())
        assert sample(model, 2).shape == x.shape
        sum(losses.values()).backward()
        assert any(p.grad is not None for p in model.prior.parameters())
