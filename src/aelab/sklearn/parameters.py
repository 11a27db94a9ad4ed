"""An estimator's parameters and a run's settings: one from the other."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from aelab.data.specs import InputSpec
from aelab.files import InputError
from aelab.settings import DataSettings, Recipe, RunSettings, thaw

NAMED = ("epochs", "batch_size", "learning_rate")
"""Settings of the recipe that are parameters of their own."""

OF_ARRAYS = {"pixel_scale": "scale"} | {
    name: name for name in ("range", "signal", "volume", "binarise")
}
"""Keywords for data that mean something to arrays in memory, and their settings."""


def keywords(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What `aelab.train` is asked for; what an estimator leaves open is left out.

    >>> keywords({"latent_dim": np.int64(2), "epochs": None, "hyperparameters": {"hidden": (3,)}})
    {'hidden': (3,), 'latent_dim': 2}

    Raises:
        InputError: something is asked for twice, or is not for an estimator to choose.
    """
    found: dict[str, Any] = {}
    named = {name: parameters.get(name) for name in ("latent_dim", *NAMED)}
    asked = {name: value for name, value in named.items() if value is not None}
    for group in ("hyperparameters", "options"):
        given = parameters.get(group) or {}
        if not isinstance(given, Mapping):
            raise InputError(f"{group} must be a dict, not {given!r}")
        if twice := [*(found.keys() & given), *(asked.keys() & given)]:
            raise InputError(f"{group}: {twice[0]} is given twice; leave it out here")
        found |= given
    if alien := [name for name in ("data", "out", "seed", "quiet", "start") if name in found]:
        raise InputError(f"options: {alien[0]} is not for an estimator to choose; leave it out")
    plain_ones: dict[str, Any] = plain({**found, **asked})
    return plain_ones


def plain(value: Any) -> Any:  # noqa: ANN401
    """A value without NumPy's own numbers, which searches over ranges give.

    >>> plain({"hidden": (np.int64(8), 4)})
    {'hidden': (8, 4)}
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map(plain, value))
    return value


def seed_of(random_state: Any) -> int:  # noqa: ANN401
    """A whole number as it is; of whatever else scikit-learn takes, one that is drawn.

    >>> seed_of(7)
    7
    """
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))


def parameters_of(settings: RunSettings, spec: InputSpec) -> dict[str, Any]:
    """The parameters of an estimator that would train such a run again, all written out.

    >>> found = parameters_of(RunSettings("pca", {"latent_dim": 4}), InputSpec((1, 8, 8)))
    >>> found["latent_dim"], found["hyperparameters"], found["input_shape"]
    (4, {}, (8, 8))
    """
    hyperparameters = thaw(settings.hyperparameters)
    recipe = {one.name: getattr(settings.recipe, one.name) for one in fields(Recipe)}
    usual = DataSettings()
    data = {
        keyword: getattr(settings.data, name)
        for keyword, name in OF_ARRAYS.items()
        if getattr(settings.data, name) != getattr(usual, name)
    }
    return {
        "model": settings.model,
        "network": settings.network,
        "prior": settings.prior,
        "latent_dim": hyperparameters.pop("latent_dim", None),
        **{name: recipe.pop(name) for name in NAMED},
        "hyperparameters": hyperparameters,
        "options": {**recipe, **data},
        "input_shape": shape_of(spec),
        "random_state": settings.seed,
    }


def shape_of(spec: InputSpec) -> tuple[int, ...] | None:
    """The axes that a row of an array is given as an input; None where inputs are rows.

    Of an image without colours they are height and width, as `aelab.train` takes an array.
    """
    if spec.kind == "rows":
        return None
    return spec.shape[1:] if spec.kind == "images" and spec.shape[0] == 1 else spec.shape
