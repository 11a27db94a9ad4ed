"""The autoencoder that is told its noise level, against what is known in closed form."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from aelab.apps.restore import denoise
from aelab.data.batch import Batch
from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.inputs import of_memory
from aelab.data.preparation import restore
from aelab.data.specs import Columns, InputSpec
from aelab.machine import seeded
from aelab.models.layers import corrupt
from aelab.models.noise_conditional import NoiseConditionalAutoencoder
from aelab.models.zoo import build
from aelab.runs.train import train_run
from aelab.settings import Recipe, RunSettings
from aelab.training.loop import fit

ROWS = InputSpec(
    (2,), 1.0, dtype="float32", columns=Columns(("a", "b"), mean=(0.0, 0.0), std=(1.0, 1.0))
)


class Gaussians:
    """Pairs of two independent numbers from N(0, 1)."""

    def __len__(self) -> int:
        return 8192

    def batch(self, i: torch.Tensor) -> Batch:
        return Batch(torch.randn(8192, 2, generator=torch.Generator().manual_seed(0))[i])


@pytest.fixture(scope="module")
def trained() -> NoiseConditionalAutoencoder:
    with seeded(0):
        model: NoiseConditionalAutoencoder = build(
            "noise-conditional", ROWS, latent_dim=2, hidden=(32,), activation="silu"
        )
    for _ in fit(model, Gaussians(), Recipe(epochs=25, batch_size=256, learning_rate=1e-2)):
        pass
    return model


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0, 2.0])
def test_of_gaussian_rows_it_learns_to_shrink_by_wieners_factor(
    trained: NoiseConditionalAutoencoder, sigma: float
) -> None:
    """E[x | x~] = x~ / (1 + sigma²) for x from N(0, 1) and x~ = x + sigma eps."""
    generator = torch.Generator().manual_seed(1)
    noisy = math.sqrt(1 + sigma**2) * torch.randn(1000, 2, generator=generator)
    with torch.no_grad():
        x_hat = trained.reconstructed(noisy, torch.full((1000,), sigma))
    wrong = (x_hat - noisy / (1 + sigma**2)).square().mean().sqrt()
    assert wrong < 0.1  # of 0.98 to 0.45, the sizes of E[x | x~]


def test_it_takes_what_it_is_not_told_of_to_be_clean(trained: NoiseConditionalAutoencoder) -> None:
    x = torch.randn(3, 2)
    with torch.no_grad():
        assert torch.equal(trained(x), trained.reconstructed(x, torch.full((3,), 0.05)))
        assert not torch.equal(trained(x), trained.reconstructed(x, torch.full((3,), 1.0)))


def test_the_network_is_given_the_inputs_and_the_logarithm_of_the_level() -> None:
    """Of images with a range of 2, as one more channel; sigma is a share of the range."""
    model = build("noise-conditional", InputSpec((1, 2, 2), scale=2 / 255), latent_dim=3)
    x = torch.rand(2, 1, 2, 2)
    given = model.with_levels(x, torch.tensor([2.0, 1.0]))  # 1 and 1/2 of the range
    assert torch.equal(given[:, :1], x)
    torch.testing.assert_close(given[:, 1, 0, 0], torch.tensor([0.0, -math.log(2)]))
    assert (given[:, 1] == given[:, 1, :1, :1]).all()


def test_it_starts_from_principal_components_if_asked_to() -> None:
    """Inputs of rank 2 are then restored by two numbers before any step."""
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(200, 2, generator=generator) @ torch.randn(2, 5, generator=generator)
    columns = Columns(tuple("abcde"), mean=(0.0,) * 5, std=(1.0,) * 5)
    spec = InputSpec((5,), 1.0, dtype="float32", columns=columns)
    with seeded(0):
        model = build(
            "noise-conditional",
            spec,
            latent_dim=2,
            hidden=(16,),
            activation="leaky-relu",
            initialisation="pca",
        )
    split = InputSplit(plane, torch.zeros(200, dtype=torch.long), torch.arange(200), spec)
    model.initialise(split)
    x = split.batch(torch.arange(200)).x
    with torch.no_grad():
        error = (model(x) - x).square().mean()
    assert error < 0.05 * x.square().mean()


def test_levels_are_drawn_evenly_by_their_logarithms() -> None:
    model = build("noise-conditional", ROWS, lowest_noise=0.01, highest_noise=1.0)
    with seeded(0):
        drawn = model.drawn_levels(torch.empty(20_000, 1))
    assert drawn.min() >= 0.01
    assert drawn.max() <= 1.0
    shares = [(drawn < 10**-k).float().mean().item() for k in (1.5, 1, 0.5)]
    assert shares == pytest.approx([0.25, 0.5, 0.75], abs=0.015)


def test_gaussian_noise_of_a_batch_is_known_and_other_noise_is_not() -> None:
    x = Batch(torch.rand(4, 3), labels=torch.arange(4))
    noisy = Batch.of(corrupt(x, "gaussian", 0.2, peak=2.0))
    assert noisy.noise_level is not None
    assert noisy.noise_level.tolist() == pytest.approx([0.4] * 4)
    assert noisy.labels is x.labels
    assert Batch.of(corrupt(x, "masking", 0.2, peak=2.0)).noise_level is None
    assert x.noise_level is None


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (0.1, math.inf)])
def test_bounds_that_are_none_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="lowest_noise must be above 0 and below highest_noise"):
        build("noise-conditional", ROWS, lowest_noise=low, highest_noise=high)


def test_files_do_not_say_how_noisy_they_are(blobs: InputDataset, tmp_path: Path) -> None:
    settings = RunSettings(
        "noise-conditional", {"latent_dim": 3, "hidden": (8,)}, recipe=Recipe(epochs=1)
    )
    run = train_run(settings, blobs, tmp_path / "run")
    assert (tmp_path / "run" / "reconstructions.png").is_file()
    inputs = of_memory(np.zeros((2, *blobs.spec.shape), np.uint8), blobs.spec)
    for level in (None, 0.01, 3.0):
        with pytest.raises(ValueError, match=r"give --noise-level from 0.05 to 2"):
            denoise(run, inputs, tmp_path / "out", noise_level=level)
        assert not (tmp_path / "out").exists()
    denoise(run, inputs, tmp_path / "out", noise_level=0.5)
    (path,) = (tmp_path / "out").iterdir()
    model = run.autoencoder
    assert isinstance(model, NoiseConditionalAutoencoder)
    with torch.no_grad():
        x = torch.zeros(2, *blobs.spec.shape)
        expected = restore(model.reconstructed(x, torch.full((2,), 0.5)), blobs.spec)
    np.testing.assert_array_equal(np.load(path).reshape(expected.shape), expected.numpy())


def test_who_is_told_no_noise_level_takes_none(blobs: InputDataset, tmp_path: Path) -> None:
    settings = RunSettings("denoising", {"latent_dim": 3}, recipe=Recipe(epochs=1))
    run = train_run(settings, blobs, tmp_path / "run")
    inputs = of_memory(np.zeros((2, *blobs.spec.shape), np.uint8), blobs.spec)
    with pytest.raises(ValueError, match="is told no noise level: leave --noise-level out"):
        denoise(run, inputs, tmp_path / "out", noise_level=0.5)
