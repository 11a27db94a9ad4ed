"""What every model of the zoo keeps to, over every network and every kind of data that it takes."""

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import torch as safetensors
from torch import Tensor, nn

import aelab
from aelab.data.batch import Batch
from aelab.data.link_graph import LinkGraph
from aelab.data.specs import GraphSpec, InputSpec, SignalGraph
from aelab.files import InputError
from aelab.machine import seeded
from aelab.models.contract import Autoencoder, LinkModel
from aelab.models.networks.contract import Network
from aelab.models.priors.normal import Normal
from aelab.models.sampling import sample
from aelab.models.zoo import NETWORKS, ZOO, build, resolve

RING = SignalGraph(
    tuple((i, (i + 1) % 9) for i in range(9)),
    tuple((float(i % 3), float(i // 3)) for i in range(9)),
)
DATA = {
    "images 28x28": InputSpec((1, 28, 28)),
    "images 12x10": InputSpec((3, 12, 10)),
    "signals on a line": InputSpec((2, 50)),
    "signals in a volume": InputSpec((1, 8, 8, 9)),
    "signals on a graph": InputSpec((2, 9), graph=RING),
    "rows": InputSpec((7,)),
}
OWN = "test_contract:TwoLayers"
TAKEN = {  # written out, so that a network that forgets a kind of data is noticed
    "dense": set(DATA),
    "convolutional": set(DATA) - {"signals on a graph", "rows"},
    "graph": set(DATA) - {"rows"},
    OWN: {"images 28x28", "images 12x10", "rows"},
}
TAKEN_WITHOUT_NETWORK = {"conv-vae-switches": {"images 28x28"}}
LINKS = [name for name in ZOO if "links" in resolve(name).takes]
COMPOSED = [name for name in ZOO if resolve(name).network is not None]
WHOLE = [name for name in ZOO if name not in (*LINKS, *COMPOSED)]

EVERY = [*product(COMPOSED, TAKEN, DATA), *product(WHOLE, [None], DATA)]


class TwoLayers(Network):
    """A network that is not in the zoo.

    Args:
        spec: Shape and preparation of the input.
        code_size: Numbers in the code.
        width: Features.
    """

    takes = ("images", "rows")
    activation = "tanh"

    def __init__(self, spec: InputSpec, code_size: int | None, *, width: int = 12) -> None:
        super().__init__(spec, code_size)
        self.features = width
        self.there, self.back = nn.Linear(spec.size, width), nn.Linear(self.code_size, spec.size)

    def encode(self, x: Tensor) -> Tensor:
        h: Tensor = self.there(x.flatten(1)).tanh()
        return h

    def decode(self, z: Tensor) -> Tensor:
        y: Tensor = self.back(z)
        return y.reshape(-1, *self.spec.shape)


class Inputs:
    """Random inputs of a spec, each with a label."""

    def __init__(self, spec: InputSpec, n: int = 4) -> None:
        self.x = torch.rand(n, *spec.shape, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, i: Tensor) -> Batch:
        return Batch(self.x[i], labels=i % 3)


def takes(model: str, network: str | None, data: str) -> bool:
    if network is None:
        return data in TAKEN_WITHOUT_NETWORK.get(model, DATA)
    return data in TAKEN[network]


def sizes(model: str) -> dict[str, Any]:
    return {"latent_dim": 5} if model == "pca" else {}  # no more than a row has numbers


def new(model: str, network: str | None, data: str) -> Autoencoder:
    spec = DATA[data]
    with seeded(0):
        built: Autoencoder = build(model, spec, network=network, **sizes(model))
        built.initialise(Inputs(spec))
    return built


ready = cache(new)
"""The same model for each test: none of them changes it."""

FITTING = [case for case in EVERY if takes(*case)]
over_all = pytest.mark.parametrize(("model", "network", "data"), FITTING)


@over_all
def test_the_loss_is_finite_and_every_parameter_has_a_gradient(
    model: str, network: str | None, data: str
) -> None:
    built = ready(model, network, data)
    with seeded(0):
        terms = built.loss(Inputs(DATA[data]).x)
    assert terms
    assert all(term.shape == () and term.isfinite() for term in terms.values())
    parameters = dict(built.named_parameters())
    if parameters:
        loss = torch.stack(list(terms.values())).sum()
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        for name, gradient in zip(parameters, gradients, strict=True):
            assert gradient.isfinite().all(), name
            assert gradient.any(), name


@over_all
def test_a_code_is_all_that_a_reconstruction_needs(
    model: str, network: str | None, data: str
) -> None:
    built, x = ready(model, network, data), Inputs(DATA[data]).x
    with torch.no_grad():
        z = built.encode(x)
        assert z.shape == (len(x), built.code_size)
        assert torch.equal(built.encode(x), z)
        x_hat = built.decode(z)
        assert x_hat.shape == x.shape
        assert torch.equal(built(x), x_hat)
        with seeded(99):
            fresh = build(model, DATA[data], network=network, **sizes(model))
        fresh.load_state_dict(safetensors.load(safetensors.save(built.state_dict())))
        # It has seen no input: nothing but the code tells it what to decode.
        assert torch.equal(fresh.decode(z), x_hat)
        assert torch.equal(fresh.encode(x), z)


@over_all
def test_labels_beside_the_inputs_change_nothing(
    model: str, network: str | None, data: str
) -> None:
    built, inputs = ready(model, network, data), Inputs(DATA[data])
    batch = inputs.batch(torch.arange(len(inputs)))
    with torch.no_grad():
        assert torch.equal(built.encode(batch), built.encode(inputs.x))
        losses = []
        for given in (batch, inputs.x):
            with seeded(0):
                losses.append(built.loss(given))
    assert losses[0].keys() == losses[1].keys()
    for name, term in losses[0].items():
        assert torch.equal(term, losses[1][name]), name
    assert type(built(batch)) is Tensor


@over_all
def test_a_prior_is_of_the_models_codes(model: str, network: str | None, data: str) -> None:
    built = ready(model, network, data)
    if built.prior is None:
        with pytest.raises(InputError, match="has no prior; fit one"):
            sample(built, 1)
        return
    codes = built.prior.sample_codes(3)
    assert codes.shape == (3, built.code_size)
    assert built.prior.log_prob(codes).isfinite().all()
    assert sample(built, 3).shape == (3, *DATA[data].shape)


@pytest.mark.parametrize(("model", "network", "data"), [c for c in EVERY if not takes(*c)])
def test_what_does_not_fit_is_refused_in_one_line(
    model: str, network: str | None, data: str
) -> None:
    with pytest.raises(ValueError, match=r"is for|go over|takes images") as refused:
        new(model, network, data)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("model", LINKS)
def test_models_of_links_take_no_inputs(model: str, data: str) -> None:
    with pytest.raises(InputError, match=f"{model} is for links, and these data are"):
        build(model, DATA[data])


@pytest.mark.parametrize("model", [*COMPOSED, *WHOLE])
def test_models_of_inputs_take_no_links(model: str) -> None:
    with pytest.raises(InputError, match="and these data are links"):
        build(model, GraphSpec(34, 34))


# Links of one graph


@pytest.fixture(scope="module")
def ring() -> LinkGraph:
    features = torch.rand(9, 4, generator=torch.Generator().manual_seed(0))
    return LinkGraph(features, torch.tensor(RING.edges).sort(1).values.T)


@pytest.mark.parametrize("model", LINKS)
def test_models_of_links_keep_to_the_same(model: str, ring: LinkGraph) -> None:
    spec = GraphSpec(*ring.x.shape)
    with seeded(0):
        built: LinkModel = build(model, spec)
        terms = built.loss(ring)
    assert all(term.shape == () and term.isfinite() for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    z = built.encode(ring)
    assert z.shape == (spec.nodes, built.code_size)
    assert torch.equal(built.encode(ring), z)
    pairs = ring.positives
    logits = built.decode(z, pairs)
    assert torch.equal(built(ring, pairs), logits)
    with seeded(99):
        fresh: LinkModel = build(model, spec)
    fresh.load_state_dict(safetensors.load(safetensors.save(built.state_dict())))
    assert torch.equal(fresh.decode(z, pairs), logits)
    assert torch.equal(fresh.encode(ring), z)


# Names and parts


def test_every_network_of_the_zoo_is_held_to_it() -> None:
    assert set(TAKEN) == {*NETWORKS, OWN}


def test_a_network_of_ones_own_has_its_hyperparameters_among_the_models() -> None:
    spec = DATA["rows"]
    blueprint = resolve("vae", network=OWN)
    assert blueprint.hyperparameters["width"].help == "Features."
    assert blueprint.hyperparameters["width"].part == "network"
    assert "hidden" not in blueprint.defaults  # what the zoo's vae has for its own network
    model = blueprint.build(spec, width=3, latent_dim=2)
    assert model.network.there.out_features == model.network.features == 3
    assert model.code_size == 2
    with pytest.raises(TypeError, match="vae has no hyperparameter hidden"):
        blueprint.build(spec, hidden=(4,))


class Unsized(Autoencoder):
    """A model with a prior that calls the size of its code by another name."""

    def __init__(self, spec: InputSpec, *, width: int = 3, prior: Normal) -> None:
        super().__init__(spec)
        self.width, self.prior = width, prior


def test_a_model_with_a_prior_must_say_how_large_its_code_is() -> None:
    blueprint = resolve(f"{Unsized.__module__}:Unsized")
    with pytest.raises(InputError, match="give the model a hyperparameter latent_dim"):
        blueprint.build(DATA["rows"])


class Flat(Autoencoder):
    """A model that decodes to rows, whatever the inputs are, and may call its code too large."""

    def __init__(self, spec: InputSpec, *, told: int = 2) -> None:
        super().__init__(spec)
        self.told, self.layer = told, nn.Linear(spec.size, 2)

    @property
    def code_size(self) -> int:
        return self.told

    def encode(self, x: Tensor) -> Tensor:
        z: Tensor = self.layer(x.flatten(1))
        return z

    def decode(self, z: Tensor) -> Tensor:
        return z @ self.layer.weight


def test_a_class_of_ones_own_must_give_codes_and_inputs(tmp_path: Path) -> None:
    flat = f"{Flat.__module__}:Flat"
    with pytest.raises(
        InputError, match=r"Flat: decode gives the shape \(2, 64\) for 2 codes, and"
    ):
        aelab.train(flat, "digits", epochs=1, out=tmp_path / "run")
    with pytest.raises(InputError, match=r"shape \(2, 2\), and code_size says \(2, 3\)"):
        aelab.train(flat, "digits", told=3, epochs=1, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_another_network_has_its_own_defaults_and_the_model_keeps_its() -> None:
    own, other = resolve("denoising").defaults, resolve("denoising", network="graph").defaults
    assert (own["channels"], other["channels"]) == ((32, 32), (32, 64))
    assert own["noise_level"] == other["noise_level"] == 0.2
    assert own["latent_dim"] is other["latent_dim"] is None
    assert resolve("vae").defaults["hidden"] == (500,)
    assert resolve("vae", network="convolutional").defaults["hidden"] == ()


@pytest.mark.parametrize("model", ["vanilla", "sparse"])
def test_a_layer_of_activations_has_the_networks(model: str) -> None:
    built = build(model, DATA["rows"], network=OWN, latent_dim=64)
    x = Inputs(DATA["rows"]).x
    h = (x @ built.network.there.weight.T + built.network.there.bias).tanh()
    expected = (h @ built.to_code.weight.T + built.to_code.bias).tanh()
    if model == "sparse":
        kept = expected >= expected.sort(descending=True).values[:, 15:16]
        expected = expected.where(kept, 0)
    torch.testing.assert_close(built.encode(x), expected)


class Clashing(TwoLayers):
    """A network with a hyperparameter that a variational model's bound has too."""

    def __init__(self, spec: InputSpec, code_size: int | None, *, beta: float = 1.0) -> None:
        super().__init__(spec, code_size)


def test_a_hyperparameter_of_two_parts_is_refused() -> None:
    said = "model vae: beta is a hyperparameter of its bound and of its network; rename one"
    with pytest.raises(InputError, match=said):
        build("vae", DATA["rows"], network="test_contract:Clashing")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"network": "dens"}, "no network 'dens': did you mean 'dense'"),
        ({"network": "pathlib:Path"}, "pathlib:Path is no subclass of .*Network"),
        ({"network": "nowhere:Net"}, "network 'nowhere:Net' cannot be imported"),
        ({"prior": "norml"}, "no prior 'norml': did you mean 'normal'"),
        ({"prior": "pathlib:Path"}, "pathlib:Path is no subclass of .*Prior"),
        (
            {"prior": "fitted-mixture"},
            "the prior fitted-mixture is fitted to codes; no model is trained",
        ),
    ],
)
def test_a_part_that_cannot_be_is_refused(arguments: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        resolve("vae", **arguments)


def test_a_part_that_a_model_does_not_take_is_refused() -> None:
    with pytest.raises(InputError, match="pca is no composition: it takes no network"):
        resolve("pca", network="dense")
    with pytest.raises(InputError, match="vanilla is trained without a prior"):
        resolve("vanilla", prior="normal")
