"""The zoo: the one list of models, networks and priors, and what a name comes to.

Importing it, or listing names, imports no torch. `resolve` turns names into a Blueprint once, at
the edge; the Blueprint travels, and no other place looks a name up.
"""

import difflib
import importlib
import inspect
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aelab.files import InputError
from aelab.models.blueprint import Blueprint, ZooEntry, is_prior, keywords_of
from aelab.settings import RunSettings

if TYPE_CHECKING:
    from aelab.models.priors.contract import Prior


@dataclass(frozen=True)
class PartEntry:
    """A network or a prior of the zoo.

    >>> NETWORKS["dense"].path
    'aelab.models.networks.dense:DenseNetwork'
    """

    path: str
    summary: str


NOISE_CONDITIONAL = "aelab.models.noise_conditional:NoiseConditionalAutoencoder"
AUTOENCODER = "aelab.models.autoencoder:DeterministicAutoencoder"
VARIATIONAL = "aelab.models.variational:VariationalAutoencoder"
HIERARCHICAL = "aelab.models.hierarchical:HierarchicalVAE"
LINKS = "aelab.models.links:GraphAutoencoder"

ZOO: dict[str, ZooEntry] = {
    "vanilla": ZooEntry(
        AUTOENCODER,
        "one dense layer to the code and one back",
        "Rumelhart, Hinton & Williams 1986",
        "dense",
        {"activated_code": True, "decoder_hidden": ()},
    ),
    "multilayer": ZooEntry(
        AUTOENCODER,
        "a deeper dense encoder",
        "Hinton & Salakhutdinov 2006",
        "dense",
        {"activated_code": True, "hidden": (128,), "decoder_hidden": ()},
    ),
    "convolutional": ZooEntry(
        AUTOENCODER,
        "convolutions and pooling",
        "Masci et al. 2011",
        "convolutional",
        {"latent_dim": None, "channels": (16, 8, 8)},
    ),
    "sparse": ZooEntry(
        "aelab.models.sparse:SparseAutoencoder",
        "few active numbers in each code",
        "Makhzani & Frey 2014, arXiv 1312.5663",
        "dense",
    ),
    "denoising": ZooEntry(
        AUTOENCODER,
        "restores clean inputs from noisy ones",
        "Vincent et al. 2008",
        "convolutional",
        {"latent_dim": None, "channels": (32, 32), "noise_level": 0.2},
    ),
    "noise-conditional": ZooEntry(
        NOISE_CONDITIONAL,
        "the same at many noise levels, told which",
        "Vincent et al. 2010; Karras et al. 2022, arXiv 2206.00364",
        "dense",
        {"hidden": (256, 128)},
    ),
    "vae": ZooEntry(
        VARIATIONAL,
        "dense variational autoencoder",
        "Kingma & Welling 2014, arXiv 1312.6114",
        "dense",
        {"hidden": (500,)},
    ),
    "conv-vae": ZooEntry(
        VARIATIONAL,
        "convolutional variational autoencoder",
        "Kingma & Welling 2014, arXiv 1312.6114",
        "convolutional",
        {"hidden": (32,)},
    ),
    "hvae": ZooEntry(
        HIERARCHICAL,
        "variational, two levels of latent numbers",
        "Tomczak & Welling 2018, arXiv 1705.07120",
        "dense",
        {"hidden": (300, 300), "activation": "gated"},
    ),
    "conv-vae-switches": ZooEntry(
        "aelab.models.leaky:SwitchesVAE",
        "the same with max-pooling switches past the code",
        "Zeiler et al. 2011; the original study",
    ),
    "graph-vae": ZooEntry(
        VARIATIONAL,
        "variational, message passing on a graph",
        "Kingma & Welling 2014; Fey et al. 2018, arXiv 1711.08920",
        "graph",
    ),
    "gae": ZooEntry(
        LINKS,
        "links of one graph, by a code a node",
        "Kipf & Welling 2016, arXiv 1611.07308",
        rows="edges",
    ),
    "vgae": ZooEntry(
        LINKS,
        "the same, variational",
        "Kipf & Welling 2016, arXiv 1611.07308",
        fixed={"variational": True},
        rows="edges",
    ),
    "pca": ZooEntry(
        "aelab.models.pca:PCA",
        "principal components, the closed-form baseline",
        "Pearson 1901",
    ),
    "mean": ZooEntry(
        "aelab.models.baselines:MeanImage",
        "the mean image whatever the input, a baseline",
        "",
    ),
    "copy": ZooEntry(
        "aelab.models.baselines:Copy",
        "the input itself, a baseline",
        "",
    ),
}

NETWORKS: dict[str, PartEntry] = {
    "dense": PartEntry(
        "aelab.models.networks.dense:DenseNetwork", "fully connected layers, for any inputs"
    ),
    "convolutional": PartEntry(
        "aelab.models.networks.convolutional:ConvolutionalNetwork",
        "convolutions, for images and signals on a line or grid",
    ),
    "graph": PartEntry(
        "aelab.models.networks.graph:GraphNetwork",
        "message passing, for signals on a graph, a line or a grid, and images",
    ),
}

PRIORS: dict[str, PartEntry] = {
    "normal": PartEntry("aelab.models.priors.normal:Normal", "N(0, 1), trained with the model"),
    "mixture": PartEntry(
        "aelab.models.priors.mixture:Mixture", "a mixture of Gaussians, trained with the model"
    ),
    "flow": PartEntry(
        "aelab.models.priors.flow:Flow", "a normalising flow, trained with the model"
    ),
    "vamp": PartEntry(
        "aelab.models.priors.vamp:Vamp", "a mixture of the model's own posteriors, trained with it"
    ),
}
"""What a model can be trained with."""

FITTED_PRIORS: dict[str, PartEntry] = {
    "fitted-mixture": PartEntry(
        "aelab.models.priors.fitted_mixture:FittedMixture", "Gaussian mixtures, class by class"
    ),
    "fitted-flow": PartEntry(
        "aelab.models.priors.fitted_flow:FittedFlow", "a normalising flow, given the class"
    ),
    "two-stage": PartEntry(
        "aelab.models.priors.two_stage:TwoStage",
        "a second variational autoencoder, given the class",
    ),
}
"""What is fitted to the codes of a trained model."""

DEFAULT_NETWORK, DEFAULT_PRIOR = "dense", "normal"
"""Of a class of one's own that takes a network, or a prior."""

FITTED_PRIOR = "fitted-mixture"
"""What is fitted to the codes of every model."""


def rows_of(model: str) -> Literal["edges", "inputs"]:
    """What the rows of a table are to a model; a class of the zoo's is not imported for it."""
    if model in ZOO:
        return ZOO[model].rows
    return "edges" if "links" in resolve(model).takes else "inputs"


def resolve(model: str, network: str | None = None, prior: str | None = None) -> Blueprint:
    """What a model's name comes to; the network and prior are the model's own unless named.

    Each is a name of the zoo, or a class of one's own as ``module:Class``.

    Raises:
        InputError: there is no such name, a class cannot be imported or follows no contract, or
            the model takes no network, or no prior.
    """
    from aelab.models.contract import Autoencoder, LinkModel
    from aelab.models.networks.contract import Network

    entry = find(model)
    of_model = import_class("model", entry.path, (Autoencoder, LinkModel))
    of_network = of_prior = None
    if takes_network(of_model):
        network = network or entry.network or DEFAULT_NETWORK
        of_network = import_class("network", part_path("network", network, NETWORKS), (Network,))
    elif network is not None:
        raise InputError(f"{model} is no composition: it takes no network")
    if any(is_prior(hint) for hint in keywords_of(of_model).values()):
        prior = prior or DEFAULT_PRIOR
        of_prior = prior_named(prior)
        if not of_prior.trained_with_model:
            raise InputError(f"the prior {prior} is fitted to codes; no model is trained with it")
    elif prior is not None:
        raise InputError(f"{model} is trained without a prior; one is fitted to its codes")
    return Blueprint(model, entry, of_model, network, of_network, prior, of_prior)


def blueprint_of(settings: RunSettings) -> Blueprint:
    """What the names in a run's settings come to.

    Raises:
        InputError: as `resolve`.
    """
    return resolve(settings.model, settings.network, settings.prior)


def refuse_unimported(settings: RunSettings, place: object) -> None:
    """Raise InputError if a run or a study names a class that nobody here has imported.

    Files may come from anywhere; importing what they name would run whatever that does.
    """
    known = {**ZOO, **NETWORKS, **PRIORS}
    for path in (settings.model, settings.network, settings.prior):
        module = (path or "").partition(":")[0]
        if path is not None and path not in known and ":" in path and module not in sys.modules:
            raise InputError(
                f"{place} names the class {path}; if you trust it, import {module} first (on the "
                f"command line: --model {path})"
            )


def find(model: str) -> ZooEntry:
    """The zoo's entry of that name, or one for a class given as ``module:Class``.

    Raises:
        InputError: there is no such name.
    """
    if model in ZOO:
        return ZOO[model]
    if ":" in model:
        return ZooEntry(model, "a class of your own", model)
    raise InputError(
        f"there is no model {model!r}: {close_to(model, ZOO)}The zoo has {', '.join(ZOO)}; "
        f"a class of your own is written mypackage.mymodule:MyModel"
    )


def prior_named(name: str) -> "type[Prior]":
    """The class of a prior.

    Raises:
        InputError: there is no such name, or the class cannot be imported or is no prior.
    """
    from aelab.models.priors.contract import Prior

    known = PRIORS | FITTED_PRIORS
    found: type[Prior] = import_class("prior", part_path("prior", name, known), (Prior,))
    return found


def part_path(kind: str, name: str, known: Mapping[str, PartEntry]) -> str:
    """``module:Class`` of a network or a prior.

    Raises:
        InputError: there is no such name.
    """
    if name in known:
        return known[name].path
    if ":" in name:
        return name
    raise InputError(
        f"there is no {kind} {name!r}: {close_to(name, known)}There are {', '.join(known)}; "
        f"a class of your own is written mypackage.mymodule:My{kind.title()}"
    )


def close_to(name: str, known: Collection[str]) -> str:
    """A hint at what may have been meant."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def import_class(kind: str, path: str, contracts: tuple[type, ...]) -> Any:  # noqa: ANN401
    """The class at ``module:Class``.

    Raises:
        InputError: it cannot be imported, or follows none of the contracts.
    """
    module_name, _, class_name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # whatever the user's own module raises
        raise InputError(
            f"{kind} {path!r} cannot be imported ({type(error).__name__}: {error}); is its folder "
            f"on PYTHONPATH?"
        ) from error
    if not (isinstance(found, type) and issubclass(found, contracts)):
        named = " nor of ".join(f"{one.__module__}.{one.__name__}" for one in contracts)
        raise InputError(f"{path} is no subclass of {named}")
    return found


def takes_network(model: type[Any]) -> bool:
    """Whether a model is a composition: its constructor takes a network."""
    return "network" in inspect.signature(model.__init__).parameters


def build(
    model: str,
    spec: Any,  # noqa: ANN401
    *,
    network: str | None = None,
    prior: str | None = None,
    **hyperparameters: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401 - either contract
    """A model of the zoo, or of a class of one's own, for data of `spec`.

    `spec` is an InputSpec, or a GraphSpec for the models that predict links.

    >>> from aelab.data.specs import InputSpec
    >>> build("vanilla", InputSpec((1, 28, 28)), latent_dim=16).code_size
    16
    >>> build("vae", InputSpec((1, 28, 28)), network="convolutional", channels=(8, 8)).code_size
    32

    Raises:
        ValueError: an unknown name, data of a kind that the model is not for, or a hyperparameter
            out of range.
        TypeError: a hyperparameter that the model does not have.
    """
    return resolve(model, network, prior).build(spec, **hyperparameters)
