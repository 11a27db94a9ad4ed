"""What each family of models promises beyond the contract, which test_contract.py holds."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import decomposition
from torch.nn import functional as F

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.files import InputError
from aelab.machine import seeded
from aelab.models.contract import Autoencoder
from aelab.models.layers import corrupt
from aelab.models.leaky import pool, unpool
from aelab.models.networks.convolutional import ConvolutionalNetwork
from aelab.models.pca import principal_components
from aelab.models.sampling import sample
from aelab.models.variational import LatentVariableModel
from aelab.models.zoo import ZOO, build, resolve

SHAPES = [(1, 28, 28), (3, 8, 8), (2, 9, 13), (3, 33, 17), (5, 16, 64)]
IMAGE_MODELS = [name for name in ZOO if "images" in resolve(name).takes]
SMALLEST = {"conv-vae-switches": 16}


def built(name: str, shape: tuple[int, int, int] = (1, 28, 28), **arguments: object) -> Autoencoder:
    with seeded(0):
        return build(name, InputSpec(shape), **arguments)


def inputs(shape: tuple[int, int, int], n: int = 6) -> torch.Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_any_shape_comes_back_exactly(name: str, shape: tuple[int, int, int]) -> None:
    if min(shape[1:]) < SMALLEST.get(name, 8):
        with pytest.raises(ValueError, match="16×16"):
            built(name, shape)
        return
    model = built(name, shape)
    x = inputs(shape)
    z = model.encode(x)
    assert z.shape == (len(x), model.code_size)
    assert model.decode(z).shape == x.shape


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_an_example_is_treated_by_itself(name: str) -> None:
    model = built(name)
    x = inputs((1, 28, 28))
    alone = torch.cat([model(x[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(model(x), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_loss_does_not_depend_on_the_batch_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without noise, the loss of a batch is the mean of its examples' losses.
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    model = built(name)
    x = inputs((1, 28, 28), n=100)
    together = sum(model.loss(x).values())
    one_by_one = torch.stack([sum(model.loss(x[i : i + 1]).values()) for i in range(100)]).mean()
    torch.testing.assert_close(together, one_by_one, rtol=1e-4, atol=1e-3)


VARIATIONAL = [n for n in IMAGE_MODELS if issubclass(resolve(n).model, LatentVariableModel)]


@pytest.mark.parametrize("name", VARIATIONAL)
@pytest.mark.parametrize(
    "likelihood", ["gaussian", "gaussian-fixed", "bernoulli", "continuous-bernoulli"]
)
def test_variational_models_take_every_likelihood(name: str, likelihood: str) -> None:
    model = built(name, likelihood=likelihood)
    x = inputs((1, 28, 28))
    assert all(term.isfinite() for term in model.loss(x).values())
    assert model(x).min() >= 0
    assert model(x).max() <= 1
    assert sample(model, 3).shape == (3, 1, 28, 28)


@pytest.mark.parametrize("name", VARIATIONAL)
def test_beta_scales_the_kl_term_and_nothing_else(name: str) -> None:
    x = inputs((1, 28, 28))
    losses = []
    for beta in (1.0, 0.25):
        model = built(name, beta=beta)
        with seeded(3):
            losses.append(model.loss(x))
    assert torch.equal(losses[0]["reconstruction"], losses[1]["reconstruction"])
    torch.testing.assert_close(losses[1]["kl"], losses[0]["kl"] / 4)


def test_fitted_variance_starts_from_the_data(blobs: InputDataset) -> None:
    model = build("vae", blobs.spec)
    model.initialise(blobs.split("train"))
    x = blobs.split("train").batch(torch.arange(120))
    expected = (x - x.mean(0)).square().mean() / 10
    torch.testing.assert_close((2 * model.likelihood.log_std).exp().detach(), expected)


@pytest.mark.parametrize("resampling", ["pool", "stride"])
@pytest.mark.parametrize("name", ["convolutional", "denoising", "conv-vae"])
def test_convolutions_halve_either_way_at_odd_sizes(name: str, resampling: str) -> None:
    model = built(name, (2, 29, 19), resampling=resampling)
    x = inputs((2, 29, 19))
    assert model(x).shape == x.shape


@pytest.mark.parametrize(("size", "last"), [(8, 4), (28, 7), (64, 4), (128, 4), (130, 4)])
@pytest.mark.parametrize("name", ["convolutional", "conv-vae"])
def test_depth_follows_the_size_of_the_image(name: str, size: int, last: int) -> None:
    channels = (8,) if size == 8 else (8, 16)
    model = built(name, (3, size, size), channels=channels, latent_dim=5)
    assert isinstance(model.network, ConvolutionalNetwork)
    assert model.network.map_shape == (channels[-1], last, last)
    x = inputs((3, size, size), n=2)
    assert model(x).shape == x.shape
    shallow = built(name, (3, size, size), channels=channels, latent_dim=5, deepen=False)
    assert len(shallow.network.encoder) == len(channels)


@pytest.mark.parametrize("name", ["vanilla", "sparse", "convolutional", "vae", "graph-vae"])
def test_the_output_reaches_all_inputs_unless_given(name: str) -> None:
    x = 1000 * inputs((1, 12, 12)) - 500
    with torch.random.fork_rng():
        torch.manual_seed(0)
        within = build(name, InputSpec((1, 12, 12)))(x)
        beyond = build(name, InputSpec((1, 12, 12), scale=1.0))(x)
        asked = build(name, InputSpec((1, 12, 12), scale=1.0), output="sigmoid")(x)
    assert 0 <= within.min() <= within.max() <= 1
    assert beyond.min() < 0
    assert 0 <= asked.min() <= asked.max() <= 1


def test_original_layer_sizes() -> None:
    parameters = {n: sum(p.numel() for p in built(n).parameters()) for n in IMAGE_MODELS}
    assert parameters["vanilla"] == 784 * 64 + 64 + 64 * 784 + 784
    assert parameters["multilayer"] == 784 * 128 + 128 + 128 * 64 + 64 + 64 * 784 + 784
    conv = [(1, 16), (16, 8), (8, 8), (8, 8), (8, 8), (8, 16), (16, 1)]
    assert parameters["convolutional"] == sum(9 * i * o + o for i, o in conv)
    conv = [(1, 32), (32, 32), (32, 32), (32, 32), (32, 1)]
    assert parameters["denoising"] == sum(9 * i * o + o for i, o in conv)
    dense = [(784, 500), (500, 64), (32, 500), (500, 784)]
    assert parameters["vae"] == sum(i * o + o for i, o in dense) + 1  # and the variance
    switches = built("conv-vae-switches")
    assert switches.side_channel == (32 * 13 * 13 + 32 * 5 * 5, 2 * 6208)
    assert switches.code_size == 32 + 6208
    assert built("denoising").code_size == 1568
    assert built("convolutional").code_size == 72


def test_top_k_keeps_the_k_largest() -> None:
    model = built("sparse", sparsity="top-k", active=5)
    x = inputs((1, 28, 28), n=20)
    activations = model.to_code(x.flatten(1)).relu()
    z = model.encode(x)
    assert (z.count_nonzero(1) <= 5).all()
    for row, kept in zip(activations, z, strict=True):
        expected = torch.where(row >= row.sort(descending=True).values[4], row, 0)
        assert torch.equal(kept, expected)


def test_l1_penalties_are_those_norms() -> None:
    x = inputs((1, 28, 28))
    on_codes = built("sparse", sparsity="l1-activations", weight=0.5)
    norm = on_codes.encode(x).abs().sum(1).mean()
    torch.testing.assert_close(on_codes.loss(x)["sparsity"], 0.5 * norm)
    on_weights = built("sparse", sparsity="l1-parameters", weight=0.5)
    norm = sum(p.abs().sum() for p in on_weights.parameters())
    torch.testing.assert_close(on_weights.loss(x)["sparsity"], 0.5 * norm)
    assert "sparsity" not in built("sparse", sparsity="top-k").loss(x)


@pytest.mark.parametrize("kind", ["gaussian", "masking", "salt-and-pepper"])
def test_denoising_loss_is_against_the_clean_input(kind: str) -> None:
    spec = InputSpec((1, 28, 28), scale=2 / 255)  # from 0 to 2
    with seeded(0):
        model = build("denoising", spec, noise=kind, noise_level=0.5)
    x = 2 * inputs((1, 28, 28))
    given: list[torch.Tensor] = []
    encode = model.encode
    model.encode = lambda x: given.append(x) or encode(x)
    loss = model.loss(x)["squared_error"]
    (noisy,) = given
    to_clean = (model.decode(encode(noisy)) - x).square().flatten(1).sum(1).mean()
    torch.testing.assert_close(loss, to_clean)
    changed = noisy != x
    assert changed.float().mean() > 0.4
    # Against the noisy input it would be another number.
    to_noisy = (model.decode(encode(noisy)) - noisy).square().flatten(1).sum(1).mean()
    assert (to_noisy / to_clean - 1).abs() > 0.05
    with seeded(0):
        expected = corrupt(x, kind, 0.5, peak=2.0)
    with seeded(0):
        model.loss(x)
    assert torch.equal(given[-1], expected)


def test_only_the_loss_of_a_denoiser_corrupts() -> None:
    noisy, clean = built("denoising", noise_level=0.5), built("denoising", noise_level=0.0)
    x = inputs((1, 28, 28))
    assert torch.equal(noisy(x), clean(x))
    torch.testing.assert_close(
        clean.loss(x)["squared_error"], (clean(x) - x).square().flatten(1).sum(1).mean()
    )


def test_switches_put_each_maximum_back_in_its_place() -> None:
    generator = torch.Generator().manual_seed(0)
    for height, width in [(6, 8), (5, 7), (13, 4)]:
        x = torch.rand(2, 3, height, width, generator=generator)
        pooled, switches = pool(x)
        restored = unpool(pooled, switches, (height, width))
        assert switches.min() >= 0
        assert switches.max() <= 3
        kept = restored != 0
        assert torch.equal(restored[kept], x[kept])
        again, _ = pool(restored)
        assert torch.equal(again, pooled)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_unpooling_and_its_gradient_are_pytorchs(layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, 7, 10, generator=generator).to(memory_format=layout)
    wanted = torch.rand(2, 3, 7, 10, generator=generator)
    values = torch.rand(2, 3, 3, 5, generator=generator).to(memory_format=layout)
    _, index = F.max_pool2d(x, 2, return_indices=True)
    _, switches = pool(x)
    maps, gradients = [], []
    for unpooled in (
        lambda v: F.max_unpool2d(v, index, [2, 2], output_size=[7, 10]),
        lambda v: unpool(v, switches, (7, 10)),
    ):
        leaf = values.clone().requires_grad_()
        maps.append(unpooled(leaf))
        (gradient,) = torch.autograd.grad((maps[-1] * wanted).sum(), leaf)
        gradients.append(gradient)
    assert torch.equal(*maps)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 33, 17)])
def test_the_bound_is_that_of_a_code_with_its_switches(shape: tuple[int, int, int]) -> None:
    model = built("conv-vae-switches", shape)
    x = inputs(shape)
    bounds = []
    for bound in (model.bound, lambda x: LatentVariableModel.bound(model, x)):
        with seeded(0):
            bounds.append(bound(x))
    assert torch.equal(torch.stack(bounds[0]), torch.stack(bounds[1]))


def test_switches_of_another_image_change_the_picture() -> None:
    model = built("conv-vae-switches")
    a, b = model.encode(inputs((1, 28, 28)))[:2]
    crossed = torch.cat([a[:32], b[32:]])
    pictures = model.decode(torch.stack([a, crossed]))
    assert not torch.equal(pictures[0], pictures[1])


class Rows:
    """Inputs of one channel and one row, from a matrix."""

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix

    def __len__(self) -> int:
        return len(self.matrix)

    def batch(self, i: torch.Tensor) -> torch.Tensor:
        return self.matrix[i][:, None, None, :]


def test_pca_is_scikit_learns(slice_of_fashion: InputDataset) -> None:
    train = slice_of_fashion.split("train")
    model = build("pca", slice_of_fashion.spec, latent_dim=20)
    model.initialise(train)
    x = slice_of_fashion.split("test").batch(torch.arange(50))
    everything = train.batch(torch.arange(500)).flatten(1).double().numpy()
    reference = decomposition.PCA(20, svd_solver="full").fit(everything)
    flat = x.flatten(1).double().numpy()
    expected = reference.inverse_transform(reference.transform(flat))
    torch.testing.assert_close(
        model(x).flatten(1).double(), torch.from_numpy(expected), rtol=0, atol=1e-4
    )
    eye = torch.eye(20)
    torch.testing.assert_close(model.components @ model.components.T, eye, atol=1e-5, rtol=0)


def test_wide_inputs_get_the_same_components(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    scales = 0.7 ** torch.arange(40)
    mixing = torch.linalg.qr(torch.randn(40, 40, generator=generator)).Q
    data = Rows(torch.randn(500, 40, generator=generator) * scales @ mixing)
    exact_mean, exact = principal_components(data, 6)
    monkeypatch.setattr("aelab.models.pca.EXACT_SIZE", 39)
    mean, iterated = principal_components(data, 6)
    torch.testing.assert_close(mean, exact_mean)
    torch.testing.assert_close(iterated, exact, atol=2e-3, rtol=0)


def test_wide_noise_gets_components_nearly_as_good() -> None:
    # White noise has the flattest spectrum: subspace iteration takes long to find its directions.
    data = Rows(torch.randn(100, 4100, generator=torch.Generator().manual_seed(0)))
    mean, components = principal_components(data, 5)
    torch.testing.assert_close(components @ components.T, torch.eye(5), atol=1e-5, rtol=0)
    reference = decomposition.PCA(5, svd_solver="full").fit(data.matrix.numpy())
    explained = ((data.matrix - mean) @ components.T).var(0).sum().item()
    assert explained > 0.95 * reference.explained_variance_.sum()


def test_few_inputs_get_the_same_components(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    data = Rows(torch.randn(30, 100, generator=generator) * 0.9 ** torch.arange(100))
    mean, components = principal_components(data, 29)
    monkeypatch.setattr("aelab.models.pca.FEW", 0)
    whole_mean, from_covariance = principal_components(data, 29)
    assert torch.equal(mean, whole_mean)
    torch.testing.assert_close(components, from_covariance, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("vanilla", {"latent_dim": 0}, "latent_dim must be 1 or more"),
        ("sparse", {"active": 65}, "active must be between 1 and latent_dim 64"),
        ("sparse", {"weight": -1.0}, "weight must be 0 or more"),
        ("convolutional", {"channels": (4,) * 5}, "5 halvings leave nothing of an input of 28×28"),
        ("denoising", {"noise_level": -0.1}, "noise_level must be 0 or more"),
        ("vae", {"beta": -1.0}, "beta must be 0 or more"),
        ("vae", {"likelihood": "gaussian-fixed", "variance": 0.0}, "variance must be more than 0"),
        ("pca", {"latent_dim": 785}, "latent_dim must be at most the size of an input, 784"),
    ],
)
def test_hyperparameters_out_of_range_are_named(
    name: str, arguments: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        built(name, **arguments)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vanila", "did you mean 'vanilla'"),
        ("nowhere.at.all:Model", "cannot be imported"),
        ("aelab.models.pca:Nothing", "cannot be imported"),
        ("pathlib:Path", "no subclass of"),
        ("os:system", "no subclass of"),
    ],
)
def test_unknown_models_are_refused(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        build(name, InputSpec((1, 8, 8)))


def test_a_model_that_is_given_an_array_names_the_runs_way() -> None:
    for name in IMAGE_MODELS:
        model = built(name, (1, 16, 16))
        encode = inspect.unwrap(type(model).encode)  # without the check of types under test
        with pytest.raises(InputError, match=r"not ndarray; run\.encode\(x\) takes arrays"):
            encode(model, np.zeros((2, 1, 16, 16), np.float32))


def test_images_know_their_split(blobs: InputDataset) -> None:
    test: InputSplit = blobs.split("test")
    assert len(test) == 40
    x = test.batch(torch.tensor([0, 39]))
    torch.testing.assert_close(x, test.values[[160, 199]].float() / 255)
    assert torch.equal(test.classes_of(torch.tensor([3])), test.labels[163:164])
    with pytest.raises(ValueError, match="no split 'nothing'"):
        blobs.split("nothing")


OWN = (Path(__file__).parents[1] / "docs" / "own.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["aelab.models.base", "aelab.models.contract"])
def test_the_documents_own_model_keeps_to_the_contract_under_either_name(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n(# my_models.py\n.*?class Mine.*?)```", OWN, re.DOTALL)
    assert code is not None
    name = f"mine_of_{module.rpartition('.')[2]}"
    imported = re.sub(r"from aelab\.models\.\w+ import", f"from {module} import", code[1])
    assert f"from {module} import Autoencoder" in imported
    (tmp_path / f"{name}.py").write_text(imported)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = build(f"{name}:Mine", InputSpec((1, 28, 28)), width=8)
    x = inputs((1, 28, 28))
    assert isinstance(model, Autoencoder)
    assert model.code_size == 8
    assert torch.equal(model(x), model.decode(model.encode(x)))
    expected = (model(x) - x).square().flatten(1).sum(1).mean()
    torch.testing.assert_close(model.loss(x)["squared_error"], expected)
