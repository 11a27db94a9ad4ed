"""Two levels of latent numbers against PyTorch's distributions and a model known in closed form."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributions, nn

from aelab import api
from aelab.data.input_sets import InputSplit
from aelab.data.specs import InputSpec
from aelab.evaluate.importance import importance_bound
from aelab.machine import seeded
from aelab.models.hierarchical import HierarchicalVAE, LowerLevel, TwoLevelPrior, TwoLevels
from aelab.models.losses import kl_normal
from aelab.models.networks.contract import Network
from aelab.models.networks.dense import DenseNetwork
from aelab.models.posterior import Gaussian
from aelab.models.priors.contract import Prior
from aelab.models.priors.normal import Normal
from aelab.models.variational import Bound
from aelab.models.zoo import build
from test_priors import Shifted

UPPER, LOWER = 2, 3


def spread(level: LowerLevel) -> LowerLevel:
    """The same level, with weights large enough that z_2 matters."""
    with torch.no_grad():
        for parameter in level.parameters():
            parameter.mul_(1.5)
    return level


@pytest.fixture
def prior() -> TwoLevelPrior:
    with seeded(1):
        return TwoLevelPrior(Normal(UPPER), spread(LowerLevel(UPPER, 8, LOWER)))


@pytest.fixture
def posterior() -> TwoLevels:
    with seeded(2):
        upper = Gaussian(torch.randn(4, UPPER), torch.randn(4, UPPER))
        return TwoLevels(upper, spread(LowerLevel(UPPER, 8, LOWER)), torch.randn(4, 16))


def normal(of: Gaussian) -> distributions.Normal:
    return distributions.Normal(of.mu, (of.log_var / 2).exp())


def test_a_lower_level_by_hand() -> None:
    with seeded(0):
        level, z_2, evidence = LowerLevel(2, 5, 3), torch.randn(4, 2), torch.randn(4, 10)
    w, v = level.first[0].weight.chunk(2)
    b, c = level.first[0].bias.chunk(2)
    t = (z_2 @ w.T + b) * (z_2 @ v.T + c).sigmoid()
    maps = t @ level.second.weight.T + level.second.bias + evidence
    heads = (maps[:, :5] * maps[:, 5:].sigmoid()) @ level.heads.weight.T + level.heads.bias
    found = level(z_2, evidence)
    torch.testing.assert_close(torch.cat([found.mu, found.log_var], 1), heads)


# The prior


def test_a_priors_density_is_that_of_both_levels(prior: TwoLevelPrior) -> None:
    z = torch.randn(20, UPPER + LOWER, generator=torch.Generator().manual_seed(0))
    z_2, z_1 = z[:, :UPPER], z[:, UPPER:]
    expected = distributions.Normal(0.0, 1.0).log_prob(z_2).sum(1)
    expected = expected + normal(prior.lower(z_2)).log_prob(z_1).sum(1)
    torch.testing.assert_close(prior.log_prob(z), expected)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_codes_are_drawn_level_by_level(prior: TwoLevelPrior, temperature: float) -> None:
    with seeded(0), torch.no_grad():
        z = prior.sample_codes(20_000, temperature)
        below = prior.lower(z[:, :UPPER])
    assert z.shape == (20_000, UPPER + LOWER)
    tolerance = 5 / math.sqrt(20_000)
    deviations = torch.full((UPPER,), temperature)
    torch.testing.assert_close(z[:, :UPPER].std(0), deviations, atol=tolerance, rtol=0)
    eps = (z[:, UPPER:] - below.mu) / (below.log_var / 2).exp()
    torch.testing.assert_close(eps.mean(0), torch.zeros(LOWER), atol=tolerance, rtol=0)
    torch.testing.assert_close(
        eps.std(0), torch.full((LOWER,), temperature), atol=tolerance, rtol=0
    )


def test_its_upper_level_is_any_prior() -> None:
    with seeded(0):
        prior = TwoLevelPrior(Shifted(UPPER, shift=7.0), LowerLevel(UPPER, 8, LOWER))
        z = prior.sample_codes(1000)
    assert z[:, :UPPER].mean().item() == pytest.approx(7, abs=0.2)
    assert "a shifted normal distribution for the upper level" in prior.told
    expected = prior.upper.log_prob(z[:, :UPPER]) + prior.lower(z[:, :UPPER]).log_prob(z[:, UPPER:])
    torch.testing.assert_close(prior.log_prob(z), expected)


# The posterior


def test_a_sample_is_of_the_given_noise(posterior: TwoLevels) -> None:
    noise = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    z = posterior.sample(noise)
    upper = posterior.upper
    z_2 = upper.mu + (upper.log_var / 2).exp() * noise[:, :UPPER]
    below = posterior.lower(z_2, posterior.evidence)
    torch.testing.assert_close(z[:, :UPPER], z_2)
    torch.testing.assert_close(
        z[:, UPPER:], below.mu + (below.log_var / 2).exp() * noise[:, UPPER:]
    )
    expected = normal(upper).log_prob(z_2).sum(1) + normal(below).log_prob(z[:, UPPER:]).sum(1)
    torch.testing.assert_close(posterior.log_prob(z), expected)
    assert torch.equal(posterior.sample(torch.zeros(1, 5)), posterior.mean())


def test_new_noise_is_drawn_once_for_each_input(posterior: TwoLevels) -> None:
    with seeded(0):
        z = posterior.sample()
    with seeded(0):
        assert torch.equal(z, posterior.sample(torch.randn(4, 5)))


def test_one_input_by_itself_and_each_several_times(posterior: TwoLevels) -> None:
    noise = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    one = posterior.of(2)
    z = one.sample(noise)
    threefold = posterior.repeated(3)
    for row in range(6):
        alone = one.sample(noise[row : row + 1])
        torch.testing.assert_close(z[row : row + 1], alone)
        torch.testing.assert_close(one.log_prob(z)[row : row + 1], one.log_prob(alone))
    many = threefold.sample(torch.cat([torch.zeros(6, 5), noise]))
    torch.testing.assert_close(many[6:9], z[:3])
    torch.testing.assert_close(many[:3], posterior.mean()[:1].expand(3, -1))
    torch.testing.assert_close(threefold.log_prob(many)[6:9], one.log_prob(z[:3]))


def test_the_divergence_of_two_normals_is_pytorchs() -> None:
    generator = torch.Generator().manual_seed(0)
    mu, log_var, m, v = torch.randn(4, 5, 3, generator=generator)
    p, q = (normal(Gaussian(mean, width)) for mean, width in ((m, v), (mu, log_var)))
    torch.testing.assert_close(kl_normal(mu, log_var, m, v), distributions.kl_divergence(q, p))


@pytest.mark.parametrize("upper", [Normal(UPPER), Shifted(UPPER)])
def test_the_divergence_is_the_mean_of_a_difference_of_logarithms(
    posterior: TwoLevels, prior: TwoLevelPrior, upper: Prior
) -> None:
    prior.upper = upper
    n = 50_000
    one = posterior.of(1).repeated(n)
    with seeded(0), torch.no_grad():
        z = one.sample()
        differences = one.log_prob(z) - prior.log_prob(z)
        kl = one.kl(prior, z)
    error = differences.std().item() / math.sqrt(n)
    assert kl.mean().item() == pytest.approx(differences.mean().item(), abs=5 * error)
    assert kl.std() < differences.std()
    single = one.kl(Normal(UPPER + LOWER), z)  # of one level, by the sample
    torch.testing.assert_close(single, one.log_prob(z) - Normal(UPPER + LOWER).log_prob(z))


# A model that is known in closed form: x = u z_1 + w z_2 + b + noise, z_1 = a z_2 + s eps

A, S, VARIANCE, SIZE = 0.7, 0.5, 0.05, 6


class LinearDecoder(Network):
    """Gives the inputs as features, and linear outputs of both levels."""

    takes = ("rows",)

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(spec, 2)
        self.features = spec.size
        self.maps = torch.randn(2, SIZE, generator=torch.Generator().manual_seed(3)) / 2

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        return z @ self.maps + 0.4


class LinearLevel(LowerLevel):
    """N(a z_2 + evidence, exp(log_var))."""

    def __init__(self, a: float, log_var: float) -> None:
        super().__init__(1, 1, 1)
        self.a, self.log_var = a, log_var

    def forward(self, z_2: Tensor, evidence: Tensor | None = None) -> Gaussian:
        mu = self.a * z_2 + (0 if evidence is None else evidence)
        return Gaussian(mu, torch.full_like(mu, self.log_var))


def known(wrong: float = 1.0) -> tuple[HierarchicalVAE, distributions.MultivariateNormal]:
    """A model with its exact posterior, or one of another variance; and its marginal."""
    spec = InputSpec((SIZE,))
    bound = Bound("gaussian-fixed", variance=VARIANCE, output="linear")
    model = HierarchicalVAE(
        spec, LinearDecoder(spec), latent_dim=2, level_hidden=1, prior=Normal(1), bound=bound
    )
    w, u = model.network.maps
    model.prior.lower = LinearLevel(A, 2 * math.log(S))
    # q(z_1 | x, z_2): of prior a z_2 and s^2, and x - b - w z_2 = u z_1 + noise.
    of_lower = 1 / (1 / S**2 + (u @ u).item() / VARIANCE)
    model.lower = LinearLevel(
        of_lower * (A / S**2 - (u @ w).item() / VARIANCE), math.log(of_lower * wrong)
    )
    model.evidence = nn.Linear(SIZE, 1)
    # q(z_2 | x): x - b = (a u + w) z_2 + N(0, s^2 u u^T + v I).
    left = torch.linalg.inv(S**2 * torch.outer(u, u) + VARIANCE * torch.eye(SIZE))
    along = A * u + w
    of_upper = 1 / (1 + (along @ left @ along).item())
    with torch.no_grad():
        for layer, row in (
            (model.evidence, of_lower * u / VARIANCE),
            (model.mu, of_upper * left @ along),
        ):
            layer.weight.copy_(row[None])
            layer.bias.copy_(-(row.sum() * 0.4))
        model.log_var.weight.zero_()
        model.log_var.bias.fill_(math.log(of_upper * wrong))
    covariance = torch.outer(along, along) + S**2 * torch.outer(u, u) + VARIANCE * torch.eye(SIZE)
    mean = torch.full((SIZE,), 0.4)
    return model, distributions.MultivariateNormal(mean.double(), covariance.double())


@pytest.fixture
def rows() -> InputSplit:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(256, (60, SIZE), generator=generator, dtype=torch.uint8)
    return InputSplit(values, torch.zeros(60).long(), torch.arange(60), InputSpec((SIZE,)))


def test_an_exact_posterior_gives_the_likelihood_by_any_sample(rows: InputSplit) -> None:
    model, marginal = known()
    x = rows.batch(torch.arange(60))
    expected = -marginal.log_prob(x.double()).mean().item()
    assert importance_bound(model, rows, 1)[0] == pytest.approx(expected, rel=1e-4)
    with torch.no_grad():
        assert model.importance_bound(x, 2).mean().item() == pytest.approx(expected, rel=1e-4)
        reconstruction, kl = model.bound(x.repeat(300, 1))
    assert (reconstruction + kl).mean().item() == pytest.approx(expected, abs=0.05)


def test_one_that_is_not_exact_comes_near_with_samples(rows: InputSplit) -> None:
    model, marginal = known(wrong=2.5)
    x = rows.batch(torch.arange(60))
    expected = -marginal.log_prob(x.double()).mean().item()
    bounds = [importance_bound(model, rows, samples)[0] for samples in (1, 10, 1000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > expected + 0.05
    assert bounds[-1] == pytest.approx(expected, abs=0.01)


# In the zoo


def test_half_of_a_codes_numbers_are_each_levels() -> None:
    model = build("hvae", InputSpec((7,)), latent_dim=5)
    assert (model.code_size, model.prior.code_size) == (5, 5)
    assert (model.prior.upper.code_size, model.lower.size, model.prior.lower.size) == (2, 3, 3)
    assert model.network.code_size == 5


def test_a_code_needs_a_number_for_each_level() -> None:
    with pytest.raises(ValueError, match="latent_dim must be 2 or more, one a level, not 1"):
        build("hvae", InputSpec((7,)), latent_dim=1)
    spec = InputSpec((7,))
    with pytest.raises(ValueError, match="of fewer numbers than latent_dim 4, not 4"):
        HierarchicalVAE(spec, DenseNetwork(spec, 4), latent_dim=4, prior=Normal(4), bound=Bound())
    with pytest.raises(ValueError, match="layer sizes must be 1 or more"):
        build("hvae", spec, level_hidden=0)


def test_another_prior_is_the_upper_levels_and_is_trained() -> None:
    x = torch.rand(9, 7, generator=torch.Generator().manual_seed(0))
    with seeded(0):
        model = build("hvae", InputSpec((7,)), latent_dim=4, prior="test_priors:Shifted")
        model.loss(x)["kl"].backward()
    assert model.prior.upper.mean.shape == (2,)
    assert model.prior.upper.mean.grad.all()


def test_principal_components_start_in_the_upper_level() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 3, generator=generator) @ torch.randn(3, 12, generator=generator)

    class Rows:
        def __len__(self) -> int:
            return len(x)

        def batch(self, i: Tensor) -> Tensor:
            return x[i]

    with seeded(0):
        model = build(
            "hvae", InputSpec((12,)), latent_dim=6, activation="relu", initialisation="pca"
        )
        model.initialise(Rows())
    with torch.no_grad():
        posterior = model.posterior(x)
    assert torch.allclose(posterior.upper.mu.std(0), torch.ones(3), atol=0.05)
    covariance = torch.cov(posterior.upper.mu.T)
    assert (covariance - covariance.diagonal().diag()).abs().max() < 0.05
    assert (posterior.upper.log_var < -5).all()  # three components leave nothing


@pytest.mark.parametrize("samples", [1, 3])
def test_bfloat16_leaves_the_divergence_in_single_precision(samples: int) -> None:
    x = torch.rand(50, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    with seeded(0):
        model = build("hvae", InputSpec((1, 12, 12)), likelihood="bernoulli", iwae_samples=samples)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        posterior = model.posterior(x)
        z = posterior.sample()
        assert posterior.kl(model.prior, z).dtype == torch.float32
        assert all(term.dtype == torch.float32 for term in model.loss(x).values())


SMALL = {"latent_dim": 6, "hidden": [12], "level_hidden": 10, "likelihood": "bernoulli"}


def test_a_run_from_training_to_its_page(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aelab.evaluate.importance.SAMPLES", 20)
    run = api.train("hvae", "digits", epochs=2, iwae_samples=2, out="run", **SMALL)
    metrics = run.evaluate(metrics=["reconstruction", "bound", "code", "importance"])
    assert metrics["code_size"] == 6
    assert metrics["importance_bound_bernoulli"] < metrics["negative_elbo_bernoulli"]
    assert 0 <= metrics["active_units"] <= 6
    assert run.sample(3).shape == (3, 1, 8, 8)
    assert run.encode(run.reconstruct(run.sample(2))).shape == (2, 6)
    assert "p(z1 | z2)" in run.priors.named("own").told
    assert run.report().is_file()
    config = json.loads(Path("run/config.json").read_text())
    assert config["hyperparameters"]["iwae_samples"] == 2
    assert config["hyperparameters"]["level_hidden"] == 10
