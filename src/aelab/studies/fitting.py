"""Defaults that fit the data: of a model that has no recipe of its own for them.

What is given wins over them. They follow from the kind, the size and the number of the training
inputs alone, so that the same command gives the same run.
"""

import math
from dataclasses import replace
from typing import Any

from aelab.data.dataset import Dataset
from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.models.blueprint import Blueprint
from aelab.models.zoo import DEFAULT_NETWORK
from aelab.settings import Recipe, RunSettings
from aelab.studies.study import has_recipe

STUDIED = "fashion-mnist"
"""The data that the packaged studies are of."""

STEPS, CONVOLVED_STEPS = 3_000, 1_500
"""Of training, at least: of dense networks, and of others, whose steps take longer."""

LEAST_BATCH, MOST_BATCH = 8, 64
BATCHES = 16
"""Of an epoch, at least, as long as a batch is not too small for it."""

FEWEST_EPOCHS = 10
PATIENCE = 0.34
"""Share of the epochs without a better validation error that ends a training."""

MOST_NUMBERS = 32
"""In a code; it is at most half as large as the input."""

CONVOLUTIONS = {
    "channels": (32, 64),
    "hidden": (256,),
    "resampling": "stride",
    "initialisation": "he",
}
"""What the studies tuned, and small data do better by than by the constructors' own."""

UNITS = 4
"""Of a sparse code, for each that is active."""


def fits_no_recipe(blueprint: Blueprint, data: Dataset, where: str | None) -> bool:
    """Whether a model's defaults follow from the data: they are one's own, or have no recipe."""
    own = where not in (None, STUDIED)
    return own and isinstance(data, InputDataset) and not has_recipe(blueprint, where)


def fitted_settings(blueprint: Blueprint, data: Dataset) -> RunSettings:
    """The settings that a model is trained with on these data, unless others are given.

    >>> from aelab.data.loading import load
    >>> from aelab.models.zoo import resolve
    >>> settings = fitted_settings(resolve("vae"), load("digits"))
    >>> settings.hyperparameters["latent_dim"], settings.recipe.batch_size, settings.recipe.epochs
    (32, 64, 131.0)
    """
    assert isinstance(data, InputDataset)
    return RunSettings(
        blueprint.name,
        fitted_hyperparameters(blueprint, size_of(data.spec)),
        recipe=fitted_recipe(Recipe(), blueprint, len(data.split("train"))),
        network=blueprint.network_name,
        prior=blueprint.prior_name,
    )


def size_of(spec: InputSpec) -> int:
    """How many values an input has; of a table with words, how many columns."""
    return spec.size if spec.columns is None else len(spec.columns.names)


def fitted_recipe(recipe: Recipe, blueprint: Blueprint, inputs: int) -> Recipe:
    """A recipe with enough steps, in batches that so many inputs fill."""
    dense = blueprint.network_name in (DEFAULT_NETWORK, None)
    batch = max(LEAST_BATCH, min(MOST_BATCH, inputs // BATCHES))
    steps = math.ceil(inputs / batch)
    epochs = max(FEWEST_EPOCHS, math.ceil((STEPS if dense else CONVOLVED_STEPS) / steps))
    patience = max(FEWEST_EPOCHS, math.ceil(PATIENCE * epochs))
    return replace(recipe, epochs=float(epochs), batch_size=batch, patience=patience)


def fitted_hyperparameters(blueprint: Blueprint, size: int) -> dict[str, Any]:
    """Hyperparameters with a code smaller than inputs of that size; dense layers start from PCA."""
    values = dict(blueprint.defaults)
    smaller = max(1, size // 2)
    if "active" in values:
        values["active"] = min(values["active"], smaller)
        values["latent_dim"] = min(values["latent_dim"], UNITS * values["active"])
    elif "latent_dim" in values:
        values["latent_dim"] = min(values["latent_dim"] or MOST_NUMBERS, MOST_NUMBERS, smaller)
    if blueprint.network_name == "dense" and values["activation"] == "relu":
        values |= {"activation": "leaky-relu", "initialisation": "pca"}
        if "activated_code" in values:  # linear: numbers that a rectifier cut off would be dead
            values["activated_code"] = False
        if values["hidden"]:
            values["decoder_hidden"] = None
    if blueprint.network_name == "convolutional":
        values |= CONVOLUTIONS
    return values
