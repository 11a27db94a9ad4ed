"""The content of a run's config.json: all that it follows from, and whether two are the same."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_type_hints

from aelab.data.dataset import Dataset
from aelab.data.specs import Columns, GraphSpec, InputSpec, SignalGraph
from aelab.files import InputError, not_finite
from aelab.models.zoo import blueprint_of
from aelab.runs.upgrade import FORMAT
from aelab.settings import VERSION, DataSettings, Recipe, RunSettings, check_value, thaw
from aelab.training.precision import with_precision


def describe(
    settings: RunSettings, data: Dataset, origin: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content of config.json, all hyperparameters written out.

    `origin` is `describe_origin` of the run whose weights training starts from.

    Raises:
        InputError: a hyperparameter that the model does not take, or a number that is not finite.
    """
    blueprint = blueprint_of(settings)
    config = {
        "format": FORMAT,
        "model": settings.model,
        "network": blueprint.network_name,
        "prior": blueprint.prior_name,
        "hyperparameters": blueprint.complete(settings.hyperparameters),
        "input": asdict(data.spec),
        "data": {**asdict(settings.data), "sha256": data.sha256},
        "recipe": asdict(with_precision(settings.recipe, data.spec)),
        "seed": settings.seed,
        "start": settings.start,
        **({"from": origin} if origin else {}),
        "versions": {
            "python": platform.python_version(),
            "aelab": VERSION,  # of the code that runs; what is installed may be another
            **{name: version(name) for name in ("torch", "numpy", "scikit-learn")},
        },
    }
    for path, value in not_finite(config):
        raise InputError(f"{data.name}: {path} must be finite, not {value}; check the data")
    return config


def describe_origin(folder: Path, settings: RunSettings) -> dict[str, Any]:
    """What is recorded of the run that training starts from, besides its weights' SHA-256.

    With ``--from`` its settings are the defaults of all options, so a command needs them.
    """
    return {
        "folder": str(folder),
        "network": settings.network,
        "prior": settings.prior,
        "hyperparameters": dict(settings.hyperparameters),
        "data": asdict(settings.data),
        "recipe": asdict(settings.recipe),
    }


def parse_origin(config: Mapping[str, Any]) -> tuple[str, RunSettings] | None:
    """The folder and the settings of the run that training started from, if they are recorded.

    Raises:
        InputError: the config is damaged, or has fields that are not known here.
    """
    if (origin := config.get("from")) is None:
        return None
    try:
        folder, settings = origin["folder"], {"model": config["model"], "seed": 0, **origin}
    except (KeyError, TypeError) as error:
        raise damaged(error) from error
    return str(folder), parse_settings(settings)


def parse_settings(config: Mapping[str, Any]) -> RunSettings:
    """The settings in a config; a field that is younger than the config has its default.

    Raises:
        InputError: the config is damaged, or has fields that are not known here.
    """
    try:
        data = {key: value for key, value in config["data"].items() if key != "sha256"}
        settings = RunSettings(
            config["model"],
            dict(config["hyperparameters"]),
            DataSettings(**thaw(data)),
            Recipe(**config["recipe"]),
            config["seed"],
            config.get("start"),
            config.get("network"),
            config.get("prior"),
        )
        refuse_other_types(settings, settings.data, settings.recipe)
        return settings
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise damaged(error) from error


def parse_spec(config: Mapping[str, Any]) -> InputSpec | GraphSpec:
    """What the model was built from; a field that is younger than the config has its default.

    Raises:
        InputError: the config is damaged, or has fields that are not known here.
    """
    try:
        given = config["input"]
        if "nodes" in given:
            return GraphSpec(**given)
        graph = (of := given.get("graph")) and SignalGraph(
            edges=tuple(tuple(edge) for edge in of["edges"]),
            positions=tuple(tuple(position) for position in of["positions"]),
        )
        columns = (of := given.get("columns")) and Columns(
            **{**thaw(of), "words": tuple(tuple(words) for words in of.get("words", ()))}
        )
        return held(InputSpec(**{**thaw(given), "graph": graph, "columns": columns}))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise damaged(error) from error


def refuse_other_types(*parts: object) -> None:
    """Raise InputError where a field of a dataclass is of another type than it is declared with."""
    for part in parts:
        hints = get_type_hints(type(part))
        parts_of_their_own = {"graph", "columns"} if isinstance(part, InputSpec) else set()
        for name in hints.keys() - parts_of_their_own:
            check_value(name, name, getattr(part, name), hints)


def held(spec: InputSpec) -> InputSpec:
    """The spec, made sure to be of the types that its fields are declared with.

    Raises:
        InputError: a field is of another type, or the columns do not give an input's values.
    """
    refuse_other_types(spec)
    if (columns := spec.columns) is None:
        return spec
    refuse_other_types(columns)
    count = len(columns.names)
    alike = count == len(columns.mean) == len(columns.std) == len(columns.words or columns.names)
    if not (count and alike and spec.shape == (columns.size,)):
        raise InputError("its columns are not those of its inputs")
    return spec


def damaged(error: Exception) -> InputError:
    """That a config cannot be understood, and why."""
    return InputError(f"config.json is damaged or of another version ({error})")


def same_work(config: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether two configs ask for the same model from the same data.

    What they mean is compared, so a setting that is younger than `config` has its default there.
    Versions may differ, and so may the epochs that a budget of seconds came to.

    Raises:
        InputError: `config` is damaged, or has fields that are not known here.
    """
    # Before anything is imported: a folder does not decide what code runs.
    if any(config.get(part) != wanted[part] for part in ("model", "network", "prior")):
        return False
    given, asked = work(config), work(json.loads(json.dumps(wanted)))
    if asked[0].recipe.seconds is not None:
        recipe = replace(asked[0].recipe, epochs=given[0].recipe.epochs)
        asked = (replace(asked[0], recipe=recipe), *asked[1:])
    return given == asked


def work(config: Mapping[str, Any]) -> tuple[RunSettings, InputSpec | GraphSpec, str | None]:
    """All that training follows from: complete settings, the inputs, and the data's SHA-256.

    Whether edges are plain is left out, and the decimal mark that a table was read with: what they
    were read as is in the data's SHA-256 or in the means of the columns.
    """
    settings, spec = parse_settings(config), parse_spec(config)
    if isinstance(spec, InputSpec) and spec.columns is not None:
        spec = replace(spec, columns=replace(spec.columns, decimal=None))
    blueprint = blueprint_of(settings)
    settings = replace(
        settings,
        data=replace(settings.data, plain_edges=False),
        network=blueprint.network_name,
        prior=blueprint.prior_name,
        hyperparameters={**blueprint.defaults, **thaw(settings.hyperparameters)},
    )
    return settings, spec, config["data"].get("sha256")
