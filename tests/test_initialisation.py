"""Starts from the principal components: what the first layers hold, held against PCA itself."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn import decomposition

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.files import InputError
from aelab.machine import seeded
from aelab.models.contract import Autoencoder
from aelab.models.networks.initialisation import Transposed, components_of
from aelab.models.variational import LatentVariableModel
from aelab.models.zoo import build, resolve
from aelab.settings import Recipe
from aelab.training.loop import fit

RANK = 3


@pytest.fixture(scope="module")
def low_rank() -> InputSplit:
    """Images of rank 3, whose coordinates lie within 2 standard deviations."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(20, RANK, generator=generator)).Q.T
    signs = torch.randint(2, (400, RANK), generator=generator) * 2 - 1
    sizes = 0.6 + 0.4 * torch.rand(400, RANK, generator=generator)
    coordinates = signs * sizes * torch.tensor([0.5, 0.4, 0.3])
    values = (0.5 + coordinates @ directions).reshape(-1, 1, 4, 5)
    spec = InputSpec((1, 4, 5), scale=1.0, high=1.0, dtype="float32")
    return InputSplit(values, torch.zeros(400, dtype=torch.long), torch.arange(400), spec)


def started(name: str, images: InputSplit, **arguments: object) -> Autoencoder:
    with seeded(0):
        model: Autoencoder = build(name, images.spec, initialisation="pca", **arguments)
    model.initialise(images)
    return model.eval()


@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "elu"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vanilla", {"latent_dim": RANK}),
        ("vanilla", {"latent_dim": 30}),
        ("multilayer", {"latent_dim": RANK, "hidden": (16, 8), "decoder_hidden": (12,)}),
        ("vae", {"latent_dim": RANK}),
        ("vae", {"latent_dim": 8, "hidden": (32, 16)}),
        ("vae", {"latent_dim": RANK, "hidden": ()}),
        ("vae", {"latent_dim": RANK, "components": RANK}),
        ("vae", {"latent_dim": 8, "hidden": (32, 16), "components": 10}),
        ("sparse", {"latent_dim": 2 * RANK, "active": RANK}),
    ],
)
def test_what_is_linear_is_there_before_the_first_step(
    low_rank: InputSplit, name: str, arguments: dict[str, object], activation: str
) -> None:
    if name == "sparse" and activation != "relu":
        return  # the pairs rely on a rectifier
    model = started(name, low_rank, output="linear", activation=activation, **arguments)
    x = low_rank.batch(torch.arange(len(low_rank)))
    with torch.no_grad():
        torch.testing.assert_close(model(x), x, rtol=0, atol=1e-4)


def test_components_are_scikit_learns(low_rank: InputSplit) -> None:
    found = components_of(low_rank, 2)
    x = low_rank.batch(torch.arange(len(low_rank))).flatten(1).numpy()
    expected = decomposition.PCA(2).fit(x)
    overlap = np.abs(found.directions.numpy() @ expected.components_.T)
    np.testing.assert_allclose(overlap, np.eye(2), atol=1e-3)
    variance = expected.explained_variance_ * (len(x) - 1) / len(x)
    np.testing.assert_allclose(found.std.square().numpy(), variance, rtol=1e-4)
    left = np.var(x, axis=0).sum() - variance.sum()
    assert found.residual == pytest.approx(left / x.shape[1], rel=1e-3)


def test_the_first_components_leave_what_the_others_held(low_rank: InputSplit) -> None:
    expected, found = components_of(low_rank, 1), components_of(low_rank, RANK).first(1)
    torch.testing.assert_close(found.std, expected.std)
    assert found.residual == pytest.approx(expected.residual, rel=1e-3)


def test_an_encoder_sees_scikit_learns_coordinates(low_rank: InputSplit) -> None:
    model = build("vae", low_rank.spec, components=5)  # more than the images have
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    model.initialise(low_rank)
    x = low_rank.batch(torch.arange(len(low_rank))).flatten(1)
    seen = model.network.coordinates(x).numpy()
    expected = decomposition.PCA(RANK).fit_transform(x.numpy())
    expected *= np.sign((expected * seen[:, :RANK]).sum(0))  # the sign of a component is free
    np.testing.assert_allclose(
        seen[:, :RANK] * expected.std(0).mean(), expected, atol=2e-3, err_msg="coordinates"
    )
    assert not seen[:, RANK:].any()
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed <= {"likelihood.log_std"}  # the weights stay random


@pytest.mark.parametrize("hidden", [(), (12,)])
def test_no_more_is_carried_than_an_encoder_sees(
    low_rank: InputSplit, hidden: tuple[int, ...]
) -> None:
    model = started("vae", low_rank, latent_dim=4, components=2, hidden=hidden, output="linear")
    x = low_rank.batch(torch.arange(len(low_rank)))
    expected = decomposition.PCA(2).fit(x.flatten(1).numpy())
    scores = expected.transform(x.flatten(1).numpy())
    with torch.no_grad():
        z = model.encode(x)[:, :2].numpy()
    z *= np.sign((z * scores).sum(0))  # the sign of a component is free
    np.testing.assert_allclose(z, scores / scores.std(0), atol=1e-3)


def test_components_are_no_more_than_an_input_has_numbers(low_rank: InputSplit) -> None:
    model = started("vae", low_rank, latent_dim=RANK, components=128, output="linear")
    assert model.network.coordinates.weight.shape == (20, 20)
    x = low_rank.batch(torch.arange(len(low_rank)))
    with torch.no_grad():
        torch.testing.assert_close(model(x), x, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="components must be 1 or more, not 0"):
        build("vae", low_rank.spec, components=0)


def test_the_posterior_starts_as_probabilistic_pcas(low_rank: InputSplit) -> None:
    model = started("vae", low_rank, latent_dim=2, output="linear")
    assert isinstance(model, LatentVariableModel)
    x = low_rank.batch(torch.arange(len(low_rank)))
    posterior = model.posterior(x)
    # Of whitened coordinates the means have variance 1; the variance is sigma² / eigenvalue.
    torch.testing.assert_close(
        posterior.mu.std(0, correction=0), torch.ones(2), rtol=1e-3, atol=1e-3
    )
    values = torch.linalg.eigvalsh(torch.cov(x.flatten(1).T, correction=0)).flip(0)
    noise = values[2:].sum() / 20
    torch.testing.assert_close(posterior.log_var[0].exp(), noise / values[:2], rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("name", ["vanilla", "multilayer", "sparse", "vae"])
def test_with_a_sigmoid_it_starts_near_pca_and_goes_on_from_there(
    slice_of_fashion: InputDataset, name: str
) -> None:
    images = slice_of_fashion.split("train")
    x = images.batch(torch.arange(len(images)))
    model = started(name, images)
    mean_error = (x - x.mean(0)).square().mean()

    def error() -> float:
        with torch.no_grad():
            return (model(x) - x).square().mean().item()

    at_first = error()
    assert at_first < mean_error / 3
    list(fit(model, images, Recipe(epochs=2, learning_rate=1e-3), initialise=False))
    assert error() < at_first


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("convolutional", {"resampling": "stride", "latent_dim": 16}),
        ("convolutional", {"resampling": "pool"}),
        ("conv-vae", {"resampling": "stride", "hidden": ()}),
    ],
)
def test_at_hes_scale_the_output_starts_at_the_inputs_mean(
    slice_of_fashion: InputDataset, name: str, arguments: dict[str, object]
) -> None:
    images = slice_of_fashion.split("train")
    x = images.batch(torch.arange(200))
    with seeded(0):
        model: Autoencoder = build(name, images.spec, initialisation="he", **arguments)
        model.initialise(images)
    with torch.no_grad():
        x_hat = model(x)
    assert x_hat.mean().item() == pytest.approx(x.mean().item(), abs=0.06)
    assert (x_hat - x_hat.mean(0)).std().item() > 1e-3  # what is encoded reaches the output
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.weight.numel() > 500:
            fan_in = layer.weight[0].numel()
            scale = layer.weight.square().mean().item() * fan_in
            assert scale == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize("size", [(128,), (32, 32), (16, 16, 16)], ids=str)
def test_hes_scale_keeps_the_size_of_what_passes_through_strided_convolutions(
    size: tuple[int, ...],
) -> None:
    spec = InputSpec((8, *size), scale=1.0, low=-4.0, high=4.0, dtype="float32")
    x = torch.randn(64, 8, *size, generator=torch.Generator().manual_seed(0))
    images = InputSplit(x + spec.low, torch.zeros(64, dtype=torch.long), torch.arange(64), spec)
    with seeded(0):
        model = build(
            "convolutional", spec, channels=(32, 64, 64), resampling="stride", deepen=False,
            initialisation="he",
        )  # fmt: skip
        model.initialise(images)
    sizes = []
    for stage in (*model.network.encoder, *model.network.decoder):
        if isinstance(stage, torch.nn.Sequential | Transposed):
            stage.register_forward_hook(lambda _, __, y: sizes.append(y.square().mean().item()))
    with torch.no_grad():
        model(x)
    assert len(sizes) == 6
    for before, after in pairwise(sizes[:-1]):  # the last is made smaller
        assert 0.3 < after / before < 3


def test_constant_and_few_inputs_leave_the_rest_as_it_is(low_rank: InputSplit) -> None:
    few = replace(low_rank, index=low_rank.index[:2])
    same = replace(low_rank, index=torch.zeros(5, dtype=torch.long))
    for images in (few, same):
        x = images.batch(torch.arange(len(images)))
        model = started("vanilla", images, latent_dim=16, output="linear")
        assert torch.isfinite(model(x)).all()
    torch.testing.assert_close(model(x), x, rtol=0, atol=1e-4)  # the mean is known at least


@pytest.mark.parametrize("name", ["vanilla", "sparse", "vae"])
def test_a_start_that_cannot_be_is_refused(name: str) -> None:
    spec = InputSpec((1, 4, 5))
    with pytest.raises(InputError, match=r"initialisation must be .*not 'best'"):
        resolve(name).complete({"initialisation": "best"})
    with pytest.raises(ValueError, match="not tanh"):
        build(name, spec, initialisation="pca", activation="tanh")
