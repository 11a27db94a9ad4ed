"""The content of a run's config.json: all that it follows from, and whether two are the same."""

import inspect
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, get_type_hints

from aelab.data import Dataset
from aelab.files import InputError
from aelab.models import find, model_class
from aelab.settings import RunSettings, check_value, thaw, with_precision

FORMAT = 2
"""Of a run folder; a folder of another format is trained again."""


def describe(settings: RunSettings, data: Dataset) -> dict[str, Any]:
    """The content of config.json, all hyperparameters written out."""
    return {
        "format": FORMAT,
        "model": settings.model,
        "hyperparameters": all_hyperparameters(settings),
        "input": asdict(data.spec),
        "data": {**asdict(settings.data), "sha256": data.sha256},
        "recipe": asdict(with_precision(settings.recipe, data.spec)),
        "seed": settings.seed,
        "start": settings.start,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("aelab", "torch", "numpy", "scikit-learn")},
        },
    }


def all_hyperparameters(settings: RunSettings) -> dict[str, Any]:
    """The constructor's defaults, the variant's arguments and the given ones, in this order.

    Raises:
        InputError: one that the model does not have, or of another type, or one missing.
    """
    hints = hyperparameter_hints(settings.model)
    values = {**model_defaults(settings.model), **thaw(settings.hyperparameters)}
    for name, value in values.items():
        check_value(f"model {settings.model}: {name}", name, value, hints)
    if missing := hints.keys() - values.keys():
        raise InputError(f"model {settings.model} needs {', '.join(sorted(missing))}")
    return values


def hyperparameter_hints(model: str) -> dict[str, Any]:
    """The keyword arguments of a model's constructor and their types."""
    constructor = model_class(model).__init__
    hints = get_type_hints(constructor)
    return {
        name: hints.get(name, Any)
        for name, parameter in inspect.signature(constructor).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def model_defaults(model: str) -> dict[str, Any]:
    """The constructor's defaults, with those of this variant of the zoo in their place."""
    parameters = inspect.signature(model_class(model).__init__).parameters.values()
    own = {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty
    }
    return {**own, **find(model).fixed}


def same_work(config: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether two configs ask for the same model from the same data.

    Versions may differ, and so may the epochs that a budget of seconds came to. A hyperparameter
    that is younger than `config` has its default there.
    """
    as_json = json.loads(json.dumps(wanted))
    if as_json["recipe"]["seconds"] is not None:
        as_json["recipe"]["epochs"] = config.get("recipe", {}).get("epochs")
    given = config.get("hyperparameters")
    if config.get("model") == wanted["model"] and isinstance(given, Mapping):
        defaults = json.loads(json.dumps(model_defaults(wanted["model"])))
        config = {**config, "hyperparameters": {**defaults, **given}}
    return all(config.get(key) == as_json[key] for key in as_json if key != "versions")
