"""Every figure of the protocol against a plain formula over the whole split at once.

The model is imperfect, the inputs go from 0 to 2, and no split is a multiple of the chunks in
which the protocol goes through it.
"""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.evaluate.codes import accuracies, active_units
from aelab.evaluate.protocol import evaluate, validate
from aelab.evaluate.reconstruction import mean_over, original_figure
from aelab.machine import seeded
from aelab.models.contract import Autoencoder, Code, InputBatch
from aelab.models.zoo import build

LOW, HIGH, SCALE = 20, 220, 0.01
PEAK = 2.0
SHAPE = (2, 13, 16)
SIZES = {"train": 130, "validation": 130, "test": 150}
LEVELS = {"noisy_mse_0.1": 0.1, "noisy_mse_0.2": 0.2, "noisy_mse_0.4": 0.4}
CORRUPTED = (*LEVELS, "masked_mse")


def dataset(pixels: torch.Tensor, labels: torch.Tensor) -> InputDataset:
    """A data set of these images, the splits one after another."""
    spec = InputSpec(tuple(pixels.shape[1:]), scale=SCALE, low=LOW, high=HIGH)
    indices = torch.arange(len(pixels)).split(list(SIZES.values()))
    splits = {
        name: InputSplit(pixels, labels, index, spec)
        for name, index in zip(SIZES, indices, strict=True)
    }
    return InputDataset("made up", splits, ("a", "b", "c"), sha256="made up")


@pytest.fixture(scope="module")
def waves() -> InputDataset:
    """Noisy waves of three widths; the contrast grows over each split, and so do the errors."""
    generator = torch.Generator().manual_seed(0)
    n = sum(SIZES.values())
    labels = torch.randint(3, (n,), generator=generator)
    contrast = torch.cat([torch.linspace(0.1, 1, size) for size in SIZES.values()])
    phases = 6.28 * torch.rand(n, 2, 1, 1, generator=generator)
    ways = torch.arange(13.0)[:, None] * 0.4 + torch.arange(16.0)
    waves = torch.sin(ways * (0.2 + 0.15 * labels[:, None, None, None]) + phases)
    waves = waves + 0.4 * torch.randn(n, *SHAPE, generator=generator)
    pixels = 120 + 65 * contrast[:, None, None, None] * waves
    return dataset(pixels.round().clamp(LOW, HIGH).to(torch.uint8), labels)


@pytest.fixture(scope="module")
def grey() -> InputDataset:
    """Images halfway between the least and the largest value: what noise was added shows."""
    n = sum(SIZES.values())
    return dataset(torch.full((n, *SHAPE), 120, dtype=torch.uint8), torch.arange(n) % 3)


class Coarse(Autoencoder):
    """A model that is far from perfect: it keeps the means of 4×5 fields."""

    code_size = 2 * 4 * 5

    def encode(self, x: InputBatch) -> Code:
        return F.adaptive_avg_pool2d(x, (4, 5)).flatten(1)

    def decode(self, z: Code) -> InputBatch:
        return F.interpolate(z.unflatten(1, (2, 4, 5)), SHAPE[1:])


def inputs(data: InputDataset, split: str) -> torch.Tensor:
    """All inputs of a split at once, from the stored values."""
    images = data.splits[split]
    return (images.values[images.index].float() - LOW) * SCALE


def rows(x: torch.Tensor) -> NDArray[np.float64]:
    """Inputs in double precision, a row each."""
    return x.detach().flatten(1).double().numpy()


def errors(x_hat: torch.Tensor, x: torch.Tensor) -> NDArray[np.float64]:
    """Mean squared error of each image on a scale of [0, 1]."""
    error: NDArray[np.float64] = np.square((rows(x_hat) - rows(x)) / PEAK).mean(1)
    return error


def built(name: str, data: InputDataset, **arguments: object) -> Autoencoder:
    with seeded(1):
        model = build(name, data.spec, **arguments)
    if name == "pca":
        model.initialise(data.split("train"))
    return model


# Reconstruction


def test_error_psnr_and_share_by_one_formula(waves: InputDataset) -> None:
    model = Coarse(waves.spec)
    x = inputs(waves, "test")
    of_each = errors(model(x), x)
    mse = of_each.mean()
    metrics = evaluate(model, waves, "test", ("reconstruction",))
    assert metrics["mse"] == pytest.approx(mse, rel=1e-5)
    raw = np.square(rows(model(x)) - rows(x)).mean()
    assert metrics["psnr"] == pytest.approx(10 * math.log10(PEAK**2 / raw), rel=1e-5)
    pca = PCA(Coarse.code_size, svd_solver="full").fit(rows(inputs(waves, "train")))
    restored = torch.from_numpy(pca.inverse_transform(pca.transform(rows(x))))
    reference = errors(restored, x).mean()
    assert metrics["pca_mse"] == pytest.approx(reference, rel=1e-4)
    assert metrics["pca_share"] == pytest.approx(mse / reference, rel=1e-4)
    assert metrics["pca_share"] > 1.2  # a model worse than PCA has a share above 1
    labels = waves.split("test").labels[-SIZES["test"] :].numpy()
    for number, name in enumerate("abc"):
        assert metrics["by_class"][name] == pytest.approx(of_each[labels == number].mean())
    worst = np.argsort(-of_each)[:16].tolist()
    assert [image["index"] for image in metrics["worst"]] == worst
    assert original_figure(model, waves.split("test"), 1) == pytest.approx(raw, rel=1e-5)


def ssim_by_hand(x_hat: torch.Tensor, x: torch.Tensor) -> float:
    """Wang et al. 2004, equations 13 to 17; beyond its edges an image is mirrored."""
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    a, b = x_hat.double().numpy(), x.double().numpy()

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = gaussian_filter(
            values, sigma=1.5, radius=5, mode="mirror", axes=(2, 3)
        )
        return found

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    luminance = (2 * ma * mb + c1) / (ma**2 + mb**2 + c1)
    return float((luminance * (2 * cov + c2) / (va + vb + c2)).mean())


def test_ssim_is_that_of_its_paper(waves: InputDataset) -> None:
    model = Coarse(waves.spec)
    x = inputs(waves, "test")
    expected = ssim_by_hand(model(x), x)
    assert 0.2 < expected < 0.8
    ssim = evaluate(model, waves, "test", ("reconstruction",))["ssim"]
    assert ssim == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("width", "there"), [(10, False), (11, True)])
def test_images_below_the_window_have_no_ssim(waves: InputDataset, width: int, there: bool) -> None:
    pixels = waves.split("train").values[..., :width]
    data = dataset(pixels, waves.split("train").labels)
    metrics = evaluate(built("copy", data), data, "test", ("reconstruction",))
    assert metrics.get("ssim") == (pytest.approx(1) if there else None)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vanilla", {"latent_dim": 5}),
        ("sparse", {"latent_dim": 5, "active": 2, "sparsity": "l1-parameters", "weight": 3.0}),
    ],
)
def test_validation_is_a_mean_over_images(
    waves: InputDataset, name: str, arguments: dict[str, object]
) -> None:
    model = built(name, waves, **arguments)
    x = inputs(waves, "validation")
    squares = np.square(rows(model(x)) - rows(x)).sum(1)
    # Chunks of 100 and 30 images, weighed alike, would give another number.
    assert abs((squares[:100].mean() + squares[100:].mean()) / 2 / squares.mean() - 1) > 0.03
    penalty = 0.0
    if name == "sparse":
        penalty = 3.0 * sum(p.abs().sum().item() for p in model.parameters())
    validation = validate(model, waves)
    assert validation.loss == pytest.approx(squares.mean() + penalty, rel=1e-5)
    assert validation.shown["mse"] == pytest.approx(errors(model(x), x).mean(), rel=1e-5)


def test_a_mean_over_a_split_is_one_over_its_images(waves: InputDataset) -> None:
    x = inputs(waves, "test")
    brightness = mean_over(waves.split("test"), lambda x: x.flatten(1).sum(1))
    assert brightness == pytest.approx(rows(x).sum(1).mean(), rel=1e-6)


def test_the_bounds_divergence_is_a_mean_over_images(waves: InputDataset) -> None:
    model = built("vae", waves, latent_dim=3, hidden=(8,))
    posterior = model.posterior(inputs(waves, "test"))
    mu, variance = rows(posterior.mu), np.exp(rows(posterior.log_var))
    kl = ((mu**2 + variance - np.log(variance) - 1) / 2).sum(1).mean()
    metrics = evaluate(model, waves, "test", ("bound",))
    assert metrics["kl"] == pytest.approx(kl, rel=1e-4)
    reconstruction = metrics["reconstruction_gaussian"]
    assert metrics["negative_elbo_gaussian"] == pytest.approx(reconstruction + kl, rel=1e-5)


# Robustness


def given(
    model: Autoencoder, data: InputDataset
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """What a model is given to encode for each figure, over the whole split; and its figures."""
    seen: list[torch.Tensor] = []
    encode = model.encode

    def watched(x: InputBatch) -> Code:
        seen.append(x.clone())
        return encode(x)

    model.encode = watched
    metrics = evaluate(model, data, "test", ("reconstruction", "robustness", "bound"))
    model.encode = encode
    asked = ("mse", *CORRUPTED)
    chunks = [x for x in seen if len(x) > 1]  # a single image is the one whose cost is counted
    parts = {name: torch.cat(chunks[i :: len(asked)]) for i, name in enumerate(asked)}
    assert torch.allclose(parts["mse"], inputs(data, "test"))
    return parts, metrics


def test_errors_from_corrupted_inputs_are_to_the_clean_ones(waves: InputDataset) -> None:
    model = Coarse(waves.spec)
    parts, metrics = given(model, waves)
    x = inputs(waves, "test")
    for name in CORRUPTED:
        assert metrics[name] == pytest.approx(errors(model(parts[name]), x).mean(), rel=1e-5)


def test_noise_has_the_level_of_its_name(grey: InputDataset) -> None:
    parts, metrics = given(built("copy", grey), grey)
    clean = rows(inputs(grey, "test"))
    for name, level in LEVELS.items():
        noise = (rows(parts[name]) - clean) / PEAK
        assert noise.mean() == pytest.approx(0, abs=0.01)
        # Of a normal distribution, 68.3 % lies within one standard deviation of the mean, and
        # clipping at half the range does not change that.
        assert (np.abs(noise) < level).mean() == pytest.approx(0.6827, abs=0.01)
        assert np.abs(noise).max() <= 0.5 + 1e-6
        # E[min(|n|, 1/2)²] of n ~ N(0, level²).
        a = 0.5 / level
        beyond = math.erfc(a / math.sqrt(2))
        density = math.exp(-(a**2) / 2) / math.sqrt(2 * math.pi)
        expected = level**2 * (1 - beyond - 2 * a * density) + beyond / 4
        assert metrics[name] == pytest.approx(expected, rel=0.03)
    masked = rows(parts["masked_mse"])
    assert (masked == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert np.array_equal(masked[masked != 0], clean[masked != 0])
    assert metrics["masked_mse"] == pytest.approx(0.25 * 0.25, rel=0.03)


def test_models_of_every_class_are_given_the_same_noise(grey: InputDataset) -> None:
    models = [
        Coarse(grey.spec),
        built("vanilla", grey, latent_dim=7),
        built("vae", grey, latent_dim=3, hidden=(8,)),  # draws noise of its own for the bound
        built("denoising", grey, noise_level=0.3),
        built("copy", grey),
    ]
    first, *others = (given(model, grey)[0] for model in models)
    for parts in others:
        for name in CORRUPTED:
            assert torch.equal(parts[name], first[name]), name


def test_every_image_has_noise_of_its_own(grey: InputDataset) -> None:
    parts, _ = given(built("copy", grey), grey)
    for name in CORRUPTED:
        # Chunks of 100 and 50: were their noise the same, images 100 on would be images 0 on.
        assert len(np.unique(rows(parts[name]), axis=0)) == SIZES["test"], name


# Codes


def test_classes_are_told_from_codes_as_scikit_learn_tells_them(waves: InputDataset) -> None:
    model = Coarse(waves.spec)
    train, test = inputs(waves, "train"), inputs(waves, "test")
    y_train, y = (waves.split(name).classes.numpy() for name in ("train", "test"))
    pca = PCA(Coarse.code_size, svd_solver="full").fit(rows(train))
    codes = {
        "": (rows(model.encode(train)), rows(model.encode(test))),
        "pixel_": (rows(train), rows(test)),
        "pca_": (pca.transform(rows(train)), pca.transform(rows(test))),
    }
    metrics = evaluate(model, waves, "test", ("code",))
    for prefix, (z_train, z) in codes.items():
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        # Solvers that stop a little earlier or later may differ on an image or two of 150.
        expected = probe.fit(z_train, y_train).score(z, y)
        assert metrics[f"{prefix}probe"] == pytest.approx(expected, abs=0.015)
        voters = KNeighborsClassifier(5).fit(z_train, y_train)
        assert metrics[f"{prefix}knn"] == pytest.approx(voters.score(z, y), abs=0.008)
    assert 0.4 < metrics["knn"] < 0.98


def test_shifted_test_codes_lower_the_probe() -> None:
    y = torch.arange(200) % 2
    generator = torch.Generator().manual_seed(0)
    z = 0.1 * torch.randn(200, 1, generator=generator) + 2.0 * y[:, None]
    assert accuracies(z, y, z, y) == (1.0, 1.0)
    # Test codes are standardised by the training codes, not by themselves: moved or stretched,
    # they are all taken for the class on that side.
    assert accuracies(z, y, z + 5, y) == (0.5, 0.5)
    assert accuracies(z, y, z / 10, y) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("order", "voted"),
    [
        ([1, 1, 0, 0, 0, 1, 1, 1], 0),  # one, three and seven neighbours would say 1
        ([0, 0, 1, 1, 1, 0, 0, 0], 1),
        ([0, 1, 1], 1),  # of fewer than five, all vote
    ],
)
def test_five_neighbours_vote(order: list[int], voted: int) -> None:
    z = torch.arange(1.0, len(order) + 1)[:, None]
    _, knn = accuracies(z, torch.tensor(order), torch.zeros(1, 1), torch.tensor([voted]))
    assert knn == 1.0


def test_units_are_active_above_a_variance_of_a_hundredth() -> None:
    signs = torch.where(torch.arange(10_000) % 2 == 0, 1.0, -1.0)
    variances = torch.tensor([0.0, 0.001, 0.009, 0.011, 0.05, 0.09, 1.0])
    means = signs[:, None] * variances.sqrt() + torch.arange(7.0)  # the means do not count
    assert active_units(means) == 4


# Parameters


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        # The mean and a row for each component, though found in closed form.
        ("pca", {"latent_dim": 8}, 416 * (1 + 8)),
        ("mean", {}, 416),
        ("copy", {}, 0),
        ("vanilla", {"latent_dim": 8}, 416 * 8 + 8 + 8 * 416 + 416),
    ],
)
def test_numbers_found_in_closed_form_are_parameters(
    waves: InputDataset, name: str, arguments: dict[str, object], expected: int
) -> None:
    model = built(name, waves, **arguments)
    assert evaluate(model, waves, "test", ())["parameters"] == expected
