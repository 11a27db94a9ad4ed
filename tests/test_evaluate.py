"""The protocol's figures against ones computed plainly; samples by address."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

import aelab
from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.evaluate.audits import audit_data, audit_dead_code, audit_side_channel
from aelab.evaluate.codes import accuracies, active_units
from aelab.evaluate.metrics import psnr, squared_errors
from aelab.evaluate.protocol import evaluate
from aelab.evaluate.reconstruction import multiply_adds, original_figure, pca_mse
from aelab.files import InputError
from aelab.machine import seeded
from aelab.models.contract import Autoencoder
from aelab.models.priors.fitted_mixture import FittedMixture
from aelab.models.sampling import fit_prior, sample
from aelab.models.zoo import build
from aelab.runs.measure import evaluate_run


def everything(data: InputDataset, split: str) -> torch.Tensor:
    images = data.split(split)
    return images.batch(torch.arange(len(images)))


def test_mse_and_psnr_are_those_of_the_reconstruction(slice_of_fashion: InputDataset) -> None:
    model = build("vanilla", slice_of_fashion.spec)
    x = everything(slice_of_fashion, "test")
    mse = (model(x) - x).square().mean().item()
    metrics = evaluate(model, slice_of_fashion, "test")
    assert metrics["mse"] == pytest.approx(mse, rel=1e-5)
    assert metrics["psnr"] == pytest.approx(10 * math.log10(1 / mse), rel=1e-5)
    assert (metrics["code_size"], metrics["code_bits"]) == (64, 64 * 32)
    assert metrics["parameters"] == 101_200


def test_mse_is_on_a_scale_of_one_whatever_the_preparation(blobs: InputDataset) -> None:
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


def test_all_components_keep_the_noise(slice_of_fashion: InputDataset) -> None:
    pca = build("pca", slice_of_fashion.spec, latent_dim=784)
    pca.initialise(slice_of_fashion.split("train"))
    groups = ("reconstruction", "robustness")
    metrics = evaluate(pca, slice_of_fashion, "test", groups)
    # All components copy the input: the error is that of the clipped noise itself.
    assert metrics["mse"] == pytest.approx(0, abs=1e-6)
    copied = evaluate(build("copy", slice_of_fashion.spec), slice_of_fashion, "test", groups)
    for level in (0.1, 0.2, 0.4):
        name = f"noisy_mse_{level}"
        assert metrics[name] == pytest.approx(copied[name], rel=1e-4)
    assert metrics["pca_mse"] is None  # overcomplete


def test_pca_baseline_is_scikit_learns(slice_of_fashion: InputDataset) -> None:
    train = everything(slice_of_fashion, "train").flatten(1).double().numpy()
    test = everything(slice_of_fashion, "test").flatten(1).double().numpy()
    reference = PCA(32, svd_solver="full").fit(train)
    for size in (2, 32):
        axes, centred = reference.components_[:size], test - reference.mean_
        error = np.square(centred @ axes.T @ axes - centred).mean()
        assert pca_mse(slice_of_fashion, "test", size) == pytest.approx(error, rel=1e-4)


def test_active_counts_numbers_that_are_not_zero(slice_of_fashion: InputDataset) -> None:
    model = build("sparse", slice_of_fashion.spec, active=3)
    z = model.encode(everything(slice_of_fashion, "test"))
    expected = (z != 0).sum(1).float().mean().item()
    assert evaluate(model, slice_of_fashion, "test")["active_fraction"] == pytest.approx(
        expected / 64
    )
    assert expected <= 3


def test_a_sparse_code_is_held_against_a_pca_of_as_many_bits(
    slice_of_fashion: InputDataset,
) -> None:
    model = build("sparse", slice_of_fashion.spec, active=3)
    # 3 numbers of 32 bits, and which of C(64, 3) = 41,664 they are: 111.3 bits, so 4 numbers.
    metrics = evaluate(model, slice_of_fashion, "test", ["reconstruction"])
    assert metrics["pca_mse"] == pca_mse(slice_of_fashion, "test", 4)


def test_bound_has_two_terms(slice_of_fashion: InputDataset) -> None:
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


def test_original_figure_of_a_vae_is_its_batch_loss(slice_of_fashion: InputDataset) -> None:
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


def fitted(model: Autoencoder, data: InputDataset) -> FittedMixture:
    """The prior that is fitted to a model without one of its own."""
    prior = FittedMixture(model.code_size)
    fit_prior(prior, model, data.split("train"))
    return prior


@pytest.mark.parametrize("name", ["vanilla", "vae", "pca"])
def test_samples_follow_from_seed_and_index(slice_of_fashion: InputDataset, name: str) -> None:
    with seeded(0):
        model = build(name, slice_of_fashion.spec)
    model.initialise(slice_of_fashion.split("train"))
    prior = None if name == "vae" else fitted(model, slice_of_fashion)
    many = sample(model, 5, seed=1, prior=prior)
    assert many.shape == (5, 1, 28, 28)
    torch.testing.assert_close(sample(model, 2, seed=1, prior=prior), many[:2])
    assert not torch.allclose(sample(model, 2, seed=2, prior=prior), many[:2])
    assert not torch.allclose(many[0], many[1])


def test_fitted_prior_matches_the_codes_moments(slice_of_fashion: InputDataset) -> None:
    model = build("pca", slice_of_fashion.spec, latent_dim=8)
    model.initialise(slice_of_fashion.split("train"))
    prior = fitted(model, slice_of_fashion)
    codes = model.encode(everything(slice_of_fashion, "train"))
    with seeded(0):
        drawn = prior.sample_codes(20_000)
    assert (drawn >= codes.min(0).values - 1e-4).all()
    assert (drawn <= codes.max(0).values + 1e-4).all()
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), atol=0.25, rtol=0)
    torch.testing.assert_close(drawn.std(0), codes.std(0), atol=0, rtol=0.1)


def test_codes_that_never_vary_are_sampled_as_they_are(blobs: InputDataset) -> None:
    model = build("vanilla", blobs.spec, latent_dim=8)
    with torch.no_grad():
        first = model.to_code
        first.weight[:3] = 0
        first.bias[:3] = torch.tensor([-1.0, 0.5, 2.0])
    prior = fitted(model, blobs)
    with seeded(0):
        drawn = prior.sample_codes(10)
    expected = torch.tensor([0.0, 0.5, 2.0]).expand(10, 3)
    torch.testing.assert_close(drawn[:, :3], expected)


def test_a_model_without_prior_cannot_sample(blobs: InputDataset) -> None:
    with pytest.raises(ValueError, match="has no prior"):
        sample(build("vanilla", blobs.spec), 1)


def test_temperature_scales_the_deviation_of_a_prior(blobs: InputDataset) -> None:
    model = build("vanilla", blobs.spec, latent_dim=6)
    prior = fitted(model, blobs)
    assert torch.equal(
        sample(model, 5, prior=prior), sample(model, 5, prior=prior, temperature=1.0)
    )
    vae = build("vae", blobs.spec, latent_dim=4)
    with seeded(0):
        whole = vae.prior.sample_codes(50)
    with seeded(0):
        half = vae.prior.sample_codes(50, temperature=0.5)
    assert torch.equal(half, whole / 2)
    assert torch.equal(sample(vae, 1, temperature=0.0), vae.decode(torch.zeros(1, 4)))
    # Of a mixture, the components' own deviations: at 0, only their means are left.
    with seeded(0):
        codes = prior.sample_codes(200, temperature=0.0)
    means = (prior.mean + prior.means @ prior.basis).clamp(prior.low, prior.high)
    assert (codes[:, None] - means).abs().amax(2).amin(1).max() < 1e-6
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="temperature must be a number from 0 up"):
            sample(vae, 1, temperature=wrong)


class Stash(Autoencoder):
    """A cheat: the decoder returns the last input, ``x_hat = x``, whatever the code."""

    code_size = 1

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        self.last = x
        return x.flatten(1)[:, :1]

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return getattr(self, "last", torch.zeros(len(z), *self.spec.shape))


def test_a_decoder_that_remembers_its_input_is_exposed(blobs: InputDataset) -> None:
    x = everything(blobs, "test")
    assert not audit_side_channel(Stash(blobs.spec), x).clean
    assert audit_side_channel(build("vanilla", blobs.spec), x).clean


def test_switches_are_exposed_by_swapping_them(slice_of_fashion: InputDataset) -> None:
    with seeded(0):
        model = build("conv-vae-switches", slice_of_fashion.spec)
    x = everything(slice_of_fashion, "test")[:50]
    finding = audit_side_channel(model, x)
    assert not finding.clean
    assert 0 < finding.figures["share_of_side"] < 1
    assert finding.figures["mse"] == pytest.approx((model(x) - x).square().mean().item())
    with torch.no_grad():  # a decoder that is deaf to the latent numbers follows the switches only
        model.from_code.weight.zero_()
    assert audit_side_channel(model, x).figures["share_of_side"] == pytest.approx(1)


def test_dead_numbers_are_counted(slice_of_fashion: InputDataset) -> None:
    vanilla, vae = build("vanilla", slice_of_fashion.spec), build("vae", slice_of_fashion.spec)
    codes = torch.randn(100, 64, generator=torch.Generator().manual_seed(0))
    codes[:, :3] = 0
    assert audit_dead_code(vanilla, codes).figures == {"dead": 3}
    assert not audit_dead_code(vanilla, codes).clean
    codes[:, 3:5] *= 0.05  # a variance of 0.0025: alive, but collapsed to a standard normal prior
    assert audit_dead_code(vae, codes).figures == {"dead": 5}
    assert active_units(codes) == 59


def test_data_audit_counts_training_images_in_the_test(slice_of_fashion: InputDataset) -> None:
    leaky = replace(
        slice_of_fashion,
        splits={
            **slice_of_fashion.splits,
            "test": replace(
                slice_of_fashion.split("test"), index=slice_of_fashion.split("train").index[:7]
            ),
        },
    )
    assert audit_data(leaky, "test")["duplicates"].figures == {"exact": 7, "near": 7}
    train = leaky.split("train")
    pixels = train.values.clone()
    pixels[train.index[0], 0, 14, 14] ^= 8  # one pixel a little different: near, not the same
    almost = replace(leaky, splits={**leaky.splits, "train": replace(train, values=pixels)})
    assert audit_data(almost, "test")["duplicates"].figures == {"exact": 6, "near": 7}
    findings = audit_data(slice_of_fashion, "test")
    assert findings["pixels"].clean
    assert "uint8" in findings["pixels"].found


def test_classes_are_told_from_codes_that_say_them() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(3, (400,), generator=generator)
    z = 0.3 * torch.randn(400, 2, generator=generator)
    angle = 2 * math.pi * y / 3
    z += torch.stack([angle.cos(), angle.sin()], 1)
    probe, knn = accuracies(z[:300], y[:300], z[300:], y[300:])
    assert probe > 0.95
    assert knn > 0.95
    noise = torch.randn(400, 2, generator=generator)
    assert max(accuracies(noise[:300], y[:300], noise[300:], y[300:])) < 0.5
    assert accuracies(z, torch.zeros_like(y), z, y) == (None, None)


def test_probes_of_pca_are_those_of_its_codes(slice_of_fashion: InputDataset) -> None:
    model = build("pca", slice_of_fashion.spec, latent_dim=8)
    model.initialise(slice_of_fashion.split("train"))
    metrics = evaluate(model, slice_of_fashion, "test")
    assert metrics["probe"] == pytest.approx(metrics["pca_probe"], abs=0.01)
    assert metrics["knn"] == pytest.approx(metrics["pca_knn"], abs=0.01)
    assert metrics["pca_share"] == pytest.approx(1, abs=1e-4)
    assert metrics["pixel_knn"] > 0.6


def test_classes_and_the_worst_make_up_the_error(slice_of_fashion: InputDataset) -> None:
    model = build("vanilla", slice_of_fashion.spec)
    x = everything(slice_of_fashion, "test")
    errors = (model(x) - x).square().flatten(1).mean(1)
    metrics = evaluate(model, slice_of_fashion, "test", ("reconstruction",))
    labels = slice_of_fashion.split("test").classes_of(torch.arange(len(x)))
    shoes = errors[labels == 7].mean().item()
    assert metrics["by_class"]["Sneaker"] == pytest.approx(shoes, rel=1e-5)
    found = [image["index"] for image in metrics["worst"]]
    assert found == errors.sort(descending=True).indices[:16].tolist()
    assert "noisy_mse_0.2" not in metrics


def test_a_copy_is_as_noisy_as_its_input(slice_of_fashion: InputDataset) -> None:
    metrics = evaluate(build("copy", slice_of_fashion.spec), slice_of_fashion, "test")
    x = everything(slice_of_fashion, "test")
    assert metrics["mse"] == 0
    assert metrics["psnr"] is None
    assert metrics["ssim"] == pytest.approx(1)
    # A quarter of the pixels at 0 leaves a quarter of their squares.
    assert metrics["masked_mse"] == pytest.approx(x.square().mean().item() / 4, rel=0.02)
    noise = [metrics[f"noisy_mse_{level}"] for level in (0.1, 0.2, 0.4)]
    assert noise == sorted(noise)
    assert noise[0] < 0.1**2  # less than its variance, for it is clipped


def test_the_mean_image_has_the_error_of_the_variance(slice_of_fashion: InputDataset) -> None:
    model = build("mean", slice_of_fashion.spec)
    model.initialise(slice_of_fashion.split("train"))
    centre = everything(slice_of_fashion, "train").mean(0)
    expected = (everything(slice_of_fashion, "test") - centre).square().mean().item()
    metrics = evaluate(model, slice_of_fashion, "test")
    assert metrics["mse"] == pytest.approx(expected, rel=1e-5)
    assert metrics["pca_share"] == pytest.approx(1, rel=1e-4)
    assert metrics["noisy_mse_0.4"] == metrics["mse"]
    assert metrics["code_size"] == 0
    assert "probe" not in metrics


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vanilla", 2 * 784 * 64),
        ("pca", 2 * 784 * 64),
        ("vae", 2 * (784 * 500 + 500 * 32) + 500 * 32),
        # 3×3 convolutions at 28, 14 and 7; back at 3, 7 and 14, and the last at 28.
        (
            "convolutional",
            9 * (16 * 784 + 128 * 196 + 64 * 49 + 64 * 9 + 64 * 49 + 128 * 196 + 16 * 784),
        ),
        ("copy", 0),
    ],
)
def test_multiply_adds_by_hand(slice_of_fashion: InputDataset, name: str, expected: int) -> None:
    model = build(name, slice_of_fashion.spec)
    assert multiply_adds(model, slice_of_fashion.split("test")) == expected


@pytest.mark.slow
def test_slow_groups_are_measured_when_asked_for(
    slice_of_fashion: InputDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    with seeded(0):
        model = build("vae", slice_of_fashion.spec, latent_dim=2, hidden=(16,))
    test = slice_of_fashion.split("test")
    few = {**slice_of_fashion.splits, "test": replace(test, index=test.index[:20])}
    data = replace(slice_of_fashion, splits=few)
    metrics = evaluate(model, data, "test", ("bound", "importance", "samples"))
    # More samples make a tighter bound.
    bound = metrics["importance_bound_gaussian"]
    assert bound < metrics["negative_elbo_gaussian"]
    assert metrics["importance_samples"] == 5000
    assert metrics["frechet"] > metrics["frechet_floor"]
    assert "mse" not in metrics


def test_figures_of_some_inputs_are_not_added_to_those_of_all(tmp_path: Path) -> None:
    run = aelab.train("pca", "digits", latent_dim=2, out=tmp_path / "run")
    digits = aelab.load_data("digits")
    assert isinstance(digits, InputDataset)
    assert run.metrics["inputs"] == 180
    found = evaluate_run(run, digits.measured_on(30), "test", ["robustness"])
    assert found["inputs"] == 30
    assert "mse" not in found
    assert found["groups"] == ["robustness"]
