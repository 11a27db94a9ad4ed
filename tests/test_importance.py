"""The importance-weighted bound against likelihoods that are known in closed form."""

import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.evaluate.importance import importance_bound, log_mean_exp, mean_and_error
from aelab.evaluate.reconstruction import mean_over
from aelab.files import InputError
from aelab.machine import seeded
from aelab.models.contract import Code, InputBatch
from aelab.models.posterior import Gaussian
from aelab.models.priors import normal as priors
from aelab.models.variational import Bound, LatentVariableModel
from aelab.models.zoo import build

SHAPE = (1, 2, 3)
VARIANCE = 0.05


class Linear(LatentVariableModel):
    """x = W z + b + noise: its marginal is N(b, W W^T + variance I).

    The posterior's mean and variances are the exact ones times `wrong`; its covariances, which
    are not 0 unless the columns of W are orthogonal, are left out.
    """

    def __init__(
        self, spec: InputSpec, w: torch.Tensor, wrong: float = 1.0, iwae_samples: int = 1
    ) -> None:
        bound = Bound(
            "gaussian-fixed", variance=VARIANCE, output="linear", iwae_samples=iwae_samples
        )
        super().__init__(spec, priors.Normal(w.shape[1]), w.shape[1], bound)
        self.w = torch.nn.Parameter(w)
        self.b = torch.full((spec.size,), 0.4)
        self.wrong = wrong

    def posterior(self, x: InputBatch) -> Gaussian:
        covariance = torch.linalg.inv(torch.eye(self.latent_dim) + self.w.T @ self.w / VARIANCE)
        mu = (x.flatten(1) - self.b) @ self.w @ covariance / VARIANCE
        variances = covariance.diagonal().expand_as(mu)
        return Gaussian(mu * self.wrong, (variances * self.wrong).log())

    def decoder_output(self, z: Code) -> InputBatch:
        return (z @ self.w.T + self.b).reshape(-1, *self.spec.shape)

    def exact(self, images: InputSplit) -> float:
        """Mean of -log p(x)."""
        x = everything(images).flatten(1).double()
        w = self.w.detach().double()
        covariance = w @ w.T + VARIANCE * torch.eye(len(w), dtype=torch.float64)
        return -MultivariateNormal(self.b.double(), covariance).log_prob(x).mean().item()


def everything(images: InputSplit) -> torch.Tensor:
    return images.batch(torch.arange(len(images)))


@pytest.fixture
def images() -> InputSplit:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (200, *SHAPE), generator=generator, dtype=torch.uint8)
    return InputSplit(pixels, torch.zeros(200).long(), torch.arange(200), InputSpec(SHAPE))


def weights(*, orthogonal: bool) -> torch.Tensor:
    w = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)) / 3
    return torch.linalg.qr(w).Q * torch.tensor([0.5, 0.2, 0.1]) if orthogonal else w


@pytest.mark.parametrize("samples", [1, 7])
def test_a_posterior_that_is_exact_gives_the_likelihood_at_once(
    images: InputSplit, samples: int
) -> None:
    model = Linear(images.spec, weights(orthogonal=True))
    bound, error = importance_bound(model, images, samples)
    assert bound == pytest.approx(model.exact(images), rel=1e-5)
    assert error > 0


def test_one_that_is_not_exact_comes_near_with_samples(images: InputSplit) -> None:
    model = Linear(images.spec, weights(orthogonal=False), wrong=0.9)
    exact = model.exact(images)
    bounds = [importance_bound(model, images, samples)[0] for samples in (1, 10, 100, 3000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > exact + 0.1
    assert bounds[-1] == pytest.approx(exact, abs=0.01)


def test_one_sample_is_the_evidence_lower_bound(images: InputSplit) -> None:
    model = Linear(images.spec, weights(orthogonal=False), wrong=0.9)
    with torch.no_grad():
        x = everything(images)
        posterior = model.posterior(x)
        q = Normal(posterior.mu, (posterior.log_var / 2).exp())
        kl = kl_divergence(q, Normal(0.0, 1.0)).sum(1)
        # E |x - W z - b|^2 = |x - W mu - b|^2 + sum_i variance_i |w_i|^2
        gap = (x - model.decoder_output(posterior.mu)).flatten(1).square().sum(1)
        gap = gap + (q.variance * model.w.square().sum(0)).sum(1)
        log_p = -gap / (2 * VARIANCE) - 3 * math.log(2 * math.pi * VARIANCE)
    expected = (kl - log_p).mean().item()
    repeated = replace(images, index=images.index.repeat(5))
    bound, error = importance_bound(model, repeated, 1)
    assert bound == pytest.approx(expected, abs=0.1)
    sampled = mean_over(repeated, lambda x: torch.stack(model.bound(x)).sum(0))
    assert sampled == pytest.approx(expected, abs=0.1)
    assert error < 0.2


def test_error_is_the_standard_error_over_images(images: InputSplit) -> None:
    model = Linear(images.spec, weights(orthogonal=True))
    alone = [
        importance_bound(model, replace(images, index=images.index[i : i + 1]), 1)[0]
        for i in range(200)
    ]
    expected = torch.tensor(alone).std().item() / math.sqrt(200)
    assert importance_bound(model, images, 1)[1] == pytest.approx(expected, rel=1e-4)


def test_some_images_tell_how_far_the_bound_falls(images: InputSplit) -> None:
    exact = Linear(images.spec, weights(orthogonal=True))
    # No image gains anything by samples of an exact posterior.
    assert importance_bound(exact, images, 50, tightened=3)[0] == pytest.approx(
        exact.exact(images), rel=1e-5
    )
    model = Linear(images.spec, weights(orthogonal=False), wrong=0.9)
    whole, error = importance_bound(model, images, 300)
    some, larger = importance_bound(model, images, 300, tightened=60)
    none, _ = importance_bound(model, images, 1)
    assert abs(some - whole) < abs(none - whole) / 3
    assert larger == pytest.approx(error, rel=0.4)
    assert importance_bound(model, images, 300, tightened=10**6) == (whole, error)


def test_mean_and_error_by_hand() -> None:
    # L_1 = 1, 2, 6 and gains of 0.5 and 1.5 for the first and last: L_1 - g is 0.5 and 4.5.
    mean, error = mean_and_error([1.0, 2.0, 6.0], {0: 0.5, 2: 1.5})
    assert mean == pytest.approx(3 - 1)
    assert error == pytest.approx(math.sqrt(8 / 3 + 0.5 * (1 / 2 - 1 / 3)))
    assert math.isnan(mean_and_error([1.0, 2.0], {1: 0.5})[1])


# Training on it


def objective(model: LatentVariableModel, x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """The sum of a model's loss terms."""
    with seeded(seed):
        return torch.stack(list(model.loss(x).values())).sum()


def test_one_sample_of_the_objective_is_the_evidence_lower_bound(images: InputSplit) -> None:
    # Of an exact posterior any sample gives the likelihood.
    exact = Linear(images.spec, weights(orthogonal=True))
    bound = exact.importance_bound(everything(images), 1).mean().item()
    assert bound == pytest.approx(exact.exact(images), rel=1e-4)
    model = Linear(images.spec, weights(orthogonal=False), wrong=0.9)
    x = everything(images).repeat(100, 1, 1, 1)
    bounds = []
    for bound in (lambda: model.importance_bound(x, 1), lambda: sum(model.bound(x))):
        with seeded(0):
            bounds.append(bound().mean().item())
    assert bounds[0] == pytest.approx(bounds[1], abs=0.05)


def test_the_objective_rises_from_the_lower_bound_to_the_likelihood(images: InputSplit) -> None:
    x = everything(images).repeat(10, 1, 1, 1)
    w = weights(orthogonal=False)
    with torch.no_grad():
        losses = [
            objective(Linear(images.spec, w, 0.9, samples), x).item() for samples in (1, 3, 30, 500)
        ]
    exact = Linear(images.spec, w).exact(images)
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > exact + 0.1
    assert losses[-1] == pytest.approx(exact, abs=0.01)


def test_each_inputs_samples_are_its_own(images: InputSplit) -> None:
    model = Linear(images.spec, weights(orthogonal=False), wrong=0.9)
    x = everything(images)[:3]
    with seeded(0), torch.no_grad():
        bound = model.importance_bound(x, 4)
    with seeded(0), torch.no_grad():
        noise = torch.randn(3 * 4, 3)
        for row in range(3):
            posterior = model.posterior(x[row : row + 1])
            z = posterior.sample(noise[4 * row : 4 * row + 4])
            output = model.decoder_output(z)
            of_prior = Normal(0.0, 1.0).log_prob(z).sum(1)
            of_posterior = Normal(posterior.mu, (posterior.log_var / 2).exp()).log_prob(z).sum(1)
            log_p = -model.likelihood.negative_log(output, x[row].expand_as(output))
            weights_of_row = (of_prior + log_p - of_posterior).exp()
            assert bound[row].item() == pytest.approx(-weights_of_row.mean().log().item(), rel=1e-4)


def test_the_gradient_is_of_samples_by_their_weights(images: InputSplit) -> None:
    # d L_K = sum_k w_k d(-log weight_k), the w_k shares of the weights: Burda et al., eq. 13.
    model = Linear(images.spec, weights(orthogonal=False), wrong=0.9, iwae_samples=5)
    x = everything(images)[:1]
    (gradient,) = torch.autograd.grad(objective(model, x), model.w)
    with seeded(0):
        z = model.posterior(x).repeated(5).sample()
    single = torch.stack(
        [
            model.likelihood.negative_log(model.decoder_output(z[k : k + 1]), x)
            - model.prior.log_prob(z[k : k + 1])
            + model.posterior(x).log_prob(z[k : k + 1])
            for k in range(5)
        ]
    ).squeeze(1)
    shares = (-single).softmax(0).detach()
    (expected,) = torch.autograd.grad((shares * single).sum(), model.w)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["vae", "hvae", "conv-vae", "graph-vae", "conv-vae-switches"])
def test_models_train_on_it_and_are_validated_by_the_lower_bound(name: str) -> None:
    x = torch.rand(6, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    models = []
    for samples in (1, 4):
        with seeded(0):
            models.append(build(name, InputSpec((1, 20, 20)), iwae_samples=samples))
    plain, model = models
    with seeded(0):
        terms = model.loss(x)
    assert terms.keys() == {"importance_bound"}
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(terms["importance_bound"], list(parameters.values()))
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert gradient.isfinite().all(), parameter
        assert gradient.any(), parameter
    assert objective(model.eval(), x) == objective(plain, x)


def test_weights_are_summed_in_single_precision(images: InputSplit) -> None:
    x = torch.rand(50, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    with seeded(0):
        model = build("vae", InputSpec((1, 12, 12)), likelihood="bernoulli", latent_dim=64)
    with torch.no_grad():
        exact = objective(model, x)
        with seeded(0), torch.autocast("cpu", torch.bfloat16):
            bound = model.importance_bound(x, 1)
    assert bound.dtype == torch.float32
    assert bound.mean().item() == pytest.approx(exact.item(), rel=0.01)


def test_an_objective_that_cannot_be_is_refused() -> None:
    said = "the importance-weighted bound of 5 samples has no beta: leave beta at 1, not 0.5"
    with pytest.raises(ValueError, match=said) as refused:
        Bound(beta=0.5, iwae_samples=5)
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="iwae_samples must be 1 or more, not 0"):
        Bound(iwae_samples=0)


# Of models of the zoo


@pytest.mark.parametrize("name", ["vae", "hvae", "conv-vae", "graph-vae"])
def test_same_draws_each_time_in_any_portions(
    blobs: InputDataset, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with seeded(0):
        model = build(name, blobs.spec, likelihood="bernoulli")
    test = blobs.split("test")
    first = importance_bound(model, test, 20)
    torch.rand(5)
    assert importance_bound(model, test, 20) == first
    fewer = replace(test, index=test.index[:3])
    assert importance_bound(model, fewer, 20)[0] != first[0]
    monkeypatch.setattr("aelab.evaluate.importance.VALUES", 3 * 120)
    assert importance_bound(model, test, 20) == pytest.approx(first, rel=1e-5)


def test_side_channels_have_no_likelihood(slice_of_fashion: InputDataset) -> None:
    model = build("conv-vae-switches", slice_of_fashion.spec)
    assert importance_bound(model, slice_of_fashion.split("test"), 2) is None


def test_at_least_one_sample_and_image(images: InputSplit) -> None:
    model = Linear(images.spec, weights(orthogonal=True))
    with pytest.raises(InputError, match="must be 1 or more, not 0 and 200"):
        importance_bound(model, images, 0)
    with pytest.raises(InputError, match="must be 1 or more, not 5 and 0"):
        importance_bound(model, images, 5, tightened=0)


def test_mean_of_exponentials_by_hand() -> None:
    values = torch.tensor([1.0, 2.0, 4.0]).log()
    assert log_mean_exp(values).item() == pytest.approx(math.log(7 / 3))
    low = torch.tensor([-2000.0, -2000.0 + math.log(3)], dtype=torch.float64)
    assert log_mean_exp(low).item() == pytest.approx(-2000 + math.log(2))
