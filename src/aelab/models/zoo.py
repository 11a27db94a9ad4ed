"""The zoo: the one list of models. Importing it, or listing names, imports no torch."""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aelab.files import InputError

if TYPE_CHECKING:
    from aelab.models.link_base import Model


@dataclass(frozen=True)
class ZooEntry:
    """A model of the zoo: a class, and the arguments that make this variant of it."""

    path: str
    """``module:Class``."""

    summary: str
    source: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of this variant that differ from the class's."""


ZOO: dict[str, ZooEntry] = {
    "vanilla": ZooEntry(
        "aelab.models.dense:DenseAutoencoder",
        "one dense layer to the code and one back",
        "Rumelhart, Hinton & Williams 1986",
    ),
    "multilayer": ZooEntry(
        "aelab.models.dense:DenseAutoencoder",
        "a deeper dense encoder",
        "Hinton & Salakhutdinov 2006",
        {"hidden": (128,)},
    ),
    "convolutional": ZooEntry(
        "aelab.models.convolutional:ConvolutionalAutoencoder",
        "convolutions and pooling",
        "Masci et al. 2011",
    ),
    "sparse": ZooEntry(
        "aelab.models.sparse:SparseAutoencoder",
        "few active numbers in each code",
        "Makhzani & Frey 2014, arXiv 1312.5663",
    ),
    "denoising": ZooEntry(
        "aelab.models.convolutional:ConvolutionalAutoencoder",
        "restores clean images from noisy ones",
        "Vincent et al. 2008",
        {"channels": (32, 32), "noise_level": 0.2},
    ),
    "vae": ZooEntry(
        "aelab.models.vae:DenseVAE",
        "dense variational autoencoder",
        "Kingma & Welling 2014, arXiv 1312.6114",
    ),
    "conv-vae": ZooEntry(
        "aelab.models.conv_vae:ConvolutionalVAE",
        "convolutional variational autoencoder",
        "Kingma & Welling 2014, arXiv 1312.6114",
    ),
    "conv-vae-switches": ZooEntry(
        "aelab.models.conv_vae:SwitchesVAE",
        "the same with max-pooling switches past the code",
        "Zeiler et al. 2011; the original study",
    ),
    "graph-vae": ZooEntry(
        "aelab.models.graph_vae:GraphVAE",
        "variational, message passing on a graph",
        "Kingma & Welling 2014; Fey et al. 2018, arXiv 1711.08920",
    ),
    "gae": ZooEntry(
        "aelab.models.links:GraphAutoencoder",
        "links of one graph, by a code a node",
        "Kipf & Welling 2016, arXiv 1611.07308",
    ),
    "vgae": ZooEntry(
        "aelab.models.links:GraphAutoencoder",
        "the same, variational",
        "Kipf & Welling 2016, arXiv 1611.07308",
        {"variational": True},
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


def find(model: str) -> ZooEntry:
    """The zoo's entry of that name, or one for a class given as ``module:Class``.

    Raises:
        InputError: there is no such name.
    """
    if model in ZOO:
        return ZOO[model]
    if ":" in model:
        return ZooEntry(model, "a class of your own", model)
    close = difflib.get_close_matches(model, ZOO, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise InputError(
        f"there is no model {model!r}: {hint}The zoo has {', '.join(ZOO)}; "
        f"a class of your own is written mypackage.mymodule:MyModel"
    )


def model_class(model: str) -> "type[Model]":
    """The class behind a name of the zoo or a ``module:Class``.

    Raises:
        InputError: it cannot be imported, or follows neither contract.
    """
    from aelab.models.link_base import Model

    path = find(model).path
    module_name, _, class_name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # whatever the user's own module raises
        raise InputError(
            f"model {path!r} cannot be imported ({type(error).__name__}: {error}); is its folder "
            f"on PYTHONPATH?"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise InputError(
            f"{path} is no subclass of aelab.models.base.Autoencoder, nor of "
            f"aelab.models.link_base.LinkModel"
        )
    return found


def rows_of(model: str) -> Literal["edges", "inputs"]:
    """What the rows of a table are to a model."""
    from aelab.models.link_base import LinkModel

    return "edges" if issubclass(model_class(model), LinkModel) else "inputs"


def build(model: str, spec: Any, **hyperparameters: Any) -> Any:  # noqa: ANN401 - either contract
    """A model of the zoo, or of a class of one's own, for data of `spec`.

    `spec` is an InputSpec, or a GraphSpec for the models that predict links.

    >>> from aelab.settings import InputSpec
    >>> build("vanilla", InputSpec((1, 28, 28)), latent_dim=16).code_size
    16

    Raises:
        ValueError: an unknown name, or a hyperparameter out of range.
        TypeError: a hyperparameter that the model does not have.
    """
    return model_class(model)(spec, **{**find(model).fixed, **hyperparameters})
