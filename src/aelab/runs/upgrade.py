"""Run folders of earlier versions, read as if they were written today.

A folder's files carry a format number. One function a step brings a config from a format to the
next, with the names and the defaults of its time; one renames the weights. A folder itself is
left as it is.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from aelab.data.loading import LOADERS
from aelab.files import InputError
from aelab.models.zoo import ZOO

FORMAT = 5
"""Of the folders that are written."""

OLDEST = 2
"""That can be read: version 0.1's."""

Config = Mapping[str, Any]


def upgraded(config: Config) -> dict[str, Any]:
    """A config of any format that is known, in today's.

    Raises:
        InputError: it is of a format that is not known.
    """
    current = dict(config)
    while (number := format_of(current)) < FORMAT:
        current = {**CONFIG_STEPS[number](current), "format": number + 1}
    return current


def format_of(config: Config) -> int:
    """The format that a config is of.

    Raises:
        InputError: it is none that is known.
    """
    number = config.get("format")
    if not isinstance(number, int) or not OLDEST <= number <= FORMAT:
        raise InputError(
            f"it is of format {number!r}, and this version reads {OLDEST} to {FORMAT}; read it "
            f"with the version that wrote it"
        )
    return number


def upgraded_weights(
    tensors: Mapping[str, Tensor], config: Config, number: int
) -> dict[str, Tensor]:
    """Tensors of a model of format `number`, by the names of today; `config` is upgraded.

    Names that no step knows stay as they are.
    """
    current = dict(tensors)
    for step in range(number, FORMAT):
        current = {WEIGHT_STEPS[step](name, config): tensor for name, tensor in current.items()}
    return current


def config_2_to_3(config: Config) -> dict[str, Any]:
    """Models became compositions: of a network, and of a prior where they are variational."""
    model, given = config["model"], dict(config["hyperparameters"])
    if model == "conv-vae-switches":  # two options that served its training are gone
        given.pop("initialisation", None)
        given.pop("straight_through", None)
    if model in ("vanilla", "multilayer"):  # `activation` was the hidden layers' and the code's
        given.setdefault("activated_code", True)
    entry = ZOO.get(model)
    variational = model in ("vae", "conv-vae", "graph-vae")
    return {
        **config,
        "network": entry and entry.network,
        "prior": "normal" if variational else None,
        "hyperparameters": given,
    }


def renames_2_to_3(config: Config) -> list[tuple[str, str]]:
    """What a weight's name began with, and what it begins with now; the first that fits."""
    given = config["hyperparameters"].get("hidden") or ()
    # An activation followed each hidden layer; of the models of links, `hidden` is one number.
    hidden = 0 if isinstance(given, int) else 2 * len(given)
    stages = [(r"(en|de)coder\.stages\.", r"network.\1coder.")]
    # The last dense layer before the code is the model's: the others are the network's.
    heads = [(rf"heads\.{hidden}\.", "heads."), (r"heads\.", "network.to_features.")]
    match config["model"]:
        case "vanilla" | "multilayer":
            last = (rf"encoder\.0\.{hidden}\.", "to_code.")
            return [last, (r"(en|de)coder\.0\.", r"network.\1coder.")]
        case "sparse":
            return [(r"encoder\.0\.", "to_code."), (r"decoder\.0\.", "network.decoder.0.")]
        case "convolutional" | "denoising":
            return [*stages, (r"from_code\.0\.", "network.from_code.0.")]
        case "vae":
            whole = (r"(coordinates|decoder)\.", r"network.\1.")
            return [whole, (r"encoder\.0\.", "network.encoder.")]
        case "conv-vae":
            return [*stages, *heads, (r"from_code\.0\.", "network.from_code.")]
        case "graph-vae":
            return [*heads, (r"(place|encoder|decoder|from_code)\.", r"network.\1.")]
    return []


def weight_2_to_3(name: str, config: Config) -> str:
    """The name of a weight, or of one of an optimiser's running averages of it."""
    found = re.fullmatch(r"(exp_avg\.|exp_avg_sq\.)?(.*)", name)
    assert found is not None  # whatever the name
    average, own = found.groups("")
    for old, new in renames_2_to_3(config):
        renamed, times = re.subn(rf"^{old}", new, own)
        if times:
            return f"{average}{renamed}"
    return name


def config_4_to_5(config: Config) -> dict[str, Any]:
    """Graphs in files came to be read with weights, kinds of nodes and more: before, plain."""
    plain = "nodes" in config["input"] and config["data"]["name"] not in LOADERS
    return {**config, "data": {"plain_edges": plain, **config["data"]}}


CONFIG_STEPS: dict[int, Callable[[Config], dict[str, Any]]] = {
    2: config_2_to_3,
    3: dict,
    4: config_4_to_5,
}
WEIGHT_STEPS: dict[int, Callable[[str, Config], str]] = {
    2: weight_2_to_3,
    3: lambda name, config: name,
    4: lambda name, config: name,
}

OLD_PRIORS = {2: "prior.safetensors", 3: "priors/mixture.safetensors"}
"""Where the fitted mixture was, by the format of the folder."""


def upgraded_prior(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a mixture of an older format, of one class, by the names of today.

    Raises:
        RuntimeError: they are no such mixture's.
    """
    if "weights" not in tensors:
        raise RuntimeError("it has no weights")
    of_class = torch.zeros(len(tensors["weights"]), dtype=torch.int64)
    return {**tensors, "shares": torch.ones(1), "of_class": of_class}
