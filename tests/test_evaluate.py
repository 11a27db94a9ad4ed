"""The protocol's figures against ones computed plainly; samples by address."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from aelab.data.images import ImageDataset
from aelab.evaluate import evaluate
from aelab.evaluate.images import original_figure, pca_mse
from aelab.files import InputError
from aelab.metrics import psnr, squared_errors
from aelab.models import build
from aelab.randomness import seeded
from aelab.sampling import fit_prior, sample
from aelab.settings import InputSpec


def everything(data: ImageDataset, split: str) -> torch.Tensor:
    images = data.split(split)
    return images.batch(torch.arange(len(images)))


def test_mse_and_psnr_are_those_of_the_reconstruction(slice_of_fashion: ImageDataset) -> None:
    model = build("vanilla", slice_of_fashion.spec)
    x = everything(slice_of_fashion, "test")
    mse = (model(x) - x).square().mean().item()
    metrics = evaluate(model, slice_of_fashion, "test")
    assert metrics["mse"] == pytest.approx(mse, rel=1e-5)
    assert metrics["psnr"] == pytest.approx(10 * math.log10(1 / mse), rel=1e-5)
    assert metrics["code_size"] == 64
    assert metrics["parameters"] == 101_200


def test_mse_is_on_a_scale_of_one_whatever_the_preparation(blobs: ImageDataset) -> None:
    raw_spec = InputSpec(blobs.spec.shape, scale=1.0)
    raw = replace(blobs, splits={n: replace(s, spec=raw_spec) for n, s in blobs.splits.items()})
    with seeded(0):
        model = build("vanilla", raw_spec, output="linear")
    x = everything(raw, "test")
    mse = (model(x) - x).square().mean().item()
    assert evaluate(model, raw, "test")["mse"] == pytest.approx(mse / 255**2, rel=1e-5)
    assert original_figure(model, raw.split("test"), 1) == pytest.approx(mse, rel=1e-5)
    with pytest.raises(ValueError, match="the model takes inputs of"):
        evaluate(model, blobs, "test")


def test_noise_is_the_same_for_every_model(slice_of_fashion: ImageDataset) -> None:
    pca = build("pca", slice_of_fashion.spec, latent_dim=784)
    pca.initialise(slice_of_fashion.split("train"))
    metrics = evaluate(pca, slice_of_fashion, "test")
    # All components copy the input: the error is that of the clipped noise itself.
    assert metrics["mse"] == pytest.approx(0, abs=1e-6)
    assert metrics["noisy_mse_0.2"] == pytest.approx(0.0255, abs=0.002)
    assert metrics["noisy_mse_0.2"] == evaluate(pca, slice_of_fashion, "test")["noisy_mse_0.2"]
    assert metrics["pca_mse"] is None  # overcomplete


def test_pca_baseline_is_scikit_learns(slice_of_fashion: ImageDataset) -> None:
    train = everything(slice_of_fashion, "train").flatten(1).double().numpy()
    test = everything(slice_of_fashion, "test").flatten(1).double().numpy()
    for size in (2, 32):
        reference = PCA(size, svd_solver="full").fit(train)
        error = np.square(reference.inverse_transform(reference.transform(test)) - test).mean()
        assert pca_mse(slice_of_fashion, "test", size) == pytest.approx(error, rel=1e-4)


def test_active_counts_numbers_that_are_not_zero(slice_of_fashion: ImageDataset) -> None:
    model = build("sparse", slice_of_fashion.spec, active=3)
    z = model.encode(everything(slice_of_fashion, "test"))
    expected = (z != 0).sum(1).float().mean().item()
    assert evaluate(model, slice_of_fashion, "test")["active_fraction"] == pytest.approx(
        expected / 64
    )
    assert expected <= 3


def test_bound_has_two_terms(slice_of_fashion: ImageDataset) -> None:
    model = build("vae", slice_of_fashion.spec, likelihood="bernoulli", beta=0.1)
    x = everything(slice_of_fashion, "test")
    posterior = model.posterior(x)
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(posterior.mu, (posterior.log_var / 2).exp()),
        torch.distributions.Normal(0.0, 1.0),
    )
    metrics = evaluate(model, slice_of_fashion, "test")
    assert metrics["kl"] == pytest.approx(kl.sum(1).mean().item(), rel=1e-4)
    assert "reconstruction_gaussian" not in metrics
    with seeded(1):
        sampled = model.bound(x)[0].mean().item()
    assert metrics["reconstruction_bernoulli"] == pytest.approx(sampled, rel=0.01)


def test_original_figure_of_a_vae_is_its_batch_loss(slice_of_fashion: ImageDataset) -> None:
    model = build("vae", slice_of_fashion.spec, likelihood="gaussian-fixed", beta=1 / 125)
    x = everything(slice_of_fashion, "test")[:125]
    with seeded(0):
        terms = model.loss(x)
    constant = 784 / 2 * math.log(math.pi)
    expected = 125 * (sum(terms.values()) - constant)
    ours = original_figure(
        model,
        replace(slice_of_fashion.split("test"), index=slice_of_fashion.split("test").index[:125]),
        125,
    )
    assert ours == pytest.approx(expected.item(), rel=0.01)


@given(st.floats(1e-6, 1.0))
def test_psnr_is_decibels(mse: float) -> None:
    assert 10 ** (-psnr(mse) / 10) == pytest.approx(mse)


def test_errors_are_shares_of_the_peak() -> None:
    x, x_hat = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 10.0)
    assert squared_errors(x_hat, x, peak=100.0).tolist() == pytest.approx([0.01, 0.01])


def test_perfect_reconstruction_has_no_finite_psnr() -> None:
    assert psnr(0.0) == math.inf


@pytest.mark.parametrize("name", ["vanilla", "vae", "conv-vae-switches", "pca"])
def test_samples_follow_from_seed_and_index(slice_of_fashion: ImageDataset, name: str) -> None:
    with seeded(0):
        model = build(name, slice_of_fashion.spec)
    model.initialise(slice_of_fashion.split("train"))
    prior = (
        None
        if name in ("vae", "conv-vae-switches")
        else fit_prior(model, slice_of_fashion.split("train"))
    )
    many = sample(model, 5, seed=1, prior=prior)
    assert many.shape == (5, 1, 28, 28)
    torch.testing.assert_close(sample(model, 2, seed=1, prior=prior), many[:2])
    assert not torch.allclose(sample(model, 2, seed=2, prior=prior), many[:2])
    assert not torch.allclose(many[0], many[1])


def test_fitted_prior_matches_the_codes_moments(slice_of_fashion: ImageDataset) -> None:
    model = build("pca", slice_of_fashion.spec, latent_dim=8)
    train = slice_of_fashion.split("train")
    model.initialise(train)
    prior = fit_prior(model, train)
    codes = model.encode(everything(slice_of_fashion, "train"))
    with seeded(0):
        drawn = prior.sample_codes(20_000)
    assert (drawn >= codes.min(0).values - 1e-4).all()
    assert (drawn <= codes.max(0).values + 1e-4).all()
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), atol=0.25, rtol=0)
    torch.testing.assert_close(drawn.std(0), codes.std(0), atol=0, rtol=0.1)


def test_codes_that_never_vary_are_sampled_as_they_are(blobs: ImageDataset) -> None:
    model = build("vanilla", blobs.spec, latent_dim=8)
    with torch.no_grad():
        model.encoder[0][0].weight[:3] = 0
        model.encoder[0][0].bias[:3] = torch.tensor([-1.0, 0.5, 2.0])
    prior = fit_prior(model, blobs.split("train"))
    with seeded(0):
        drawn = prior.sample_codes(10)
    expected = torch.tensor([0.0, 0.5, 2.0]).expand(10, 3)
    torch.testing.assert_close(drawn[:, :3], expected)


def test_a_model_without_prior_cannot_sample(blobs: ImageDataset) -> None:
    with pytest.raises(ValueError, match="has no prior"):
        sample(build("vanilla", blobs.spec), 1)


def test_temperature_scales_the_deviation_of_a_prior(blobs: ImageDataset) -> None:
    model = build("vanilla", blobs.spec, latent_dim=6)
    prior = fit_prior(model, blobs.split("train"))
    assert torch.equal(
        sample(model, 5, prior=prior), sample(model, 5, prior=prior, temperature=1.0)
    )
    vae = build("vae", blobs.spec, latent_dim=4)
    with seeded(0):
        whole = vae.sample_codes(50)
    with seeded(0):
        half = vae.sample_codes(50, temperature=0.5)
    assert torch.equal(half, whole / 2)
    assert torch.equal(sample(vae, 1, temperature=0.0), vae.decode(torch.zeros(1, 4)))
    # Of a mixture, the components' own deviations: at 0, only their means are left.
    with seeded(0):
        codes = prior.sample_codes(200, temperature=0.0)
    means = (prior.mean + prior.means @ prior.basis).clamp(prior.low, prior.high)
    assert torch.cdist(codes, means).min(1).values.max() < 1e-4
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="temperature must be a number from 0 up"):
            sample(vae, 1, temperature=wrong)
