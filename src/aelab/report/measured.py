"""How a page's figures came to be: settings, versions, data, machine, audits, and the command."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from aelab.models.zoo import resolve
from aelab.report.material import Material
from aelab.runs.record import parse_origin
from aelab.runs.store import Run
from aelab.settings import IN_MEMORY, thaw, usual_split
from aelab.studies.study import Asked, default_settings

UNRECORDED_STUDY = (
    "The command that gave this study was not recorded: it was trained from Python, or by an "
    "earlier version of aelab."
)


@dataclass(frozen=True)
class Fact:
    """A name and what is known."""

    name: str
    value: str


def facts(material: Material) -> list[Fact]:
    """Data, machine and versions."""
    results, runs = material.results, list(material.runs.values())
    settings = runs[0].settings.data
    return [
        Fact("data", f"{results.data}, {settings.splits} splits, {results.split} split"),
        Fact("data, SHA-256", str(runs[0].config["data"]["sha256"])),
        Fact("seeds", ", ".join(map(str, results.seeds))),
        Fact("machine", several(str(run.timings.get("machine") or "not recorded") for run in runs)),
        Fact("versions", several(versions(run) for run in runs)),
        Fact("in pictures", f"the first seed of each row: {shown_seeds(material)}"),
    ]


def several(values: Iterable[str]) -> str:
    """Different values, each once."""
    return "; ".join(dict.fromkeys(values))


def versions(run: Run) -> str:
    """What a run was trained with."""
    return ", ".join(f"{name} {version}" for name, version in run.config["versions"].items())


def shown_seeds(material: Material) -> str:
    """The seeds of the runs that are drawn."""
    return several(f"seed {run.settings.seed}" for run in material.runs.values())


def settings_of(run: Run) -> dict[str, str]:
    """A run's hyperparameters and recipe, and what its training took, each in one line."""
    timings = run.timings
    cost = [f"{timings['train_seconds']:.1f} s"]
    if speed := timings.get("images_per_second"):
        cost.append(f"{speed:,.0f} images/s")
    if peak := timings.get("peak_memory_bytes"):
        cost.append(f"{peak / 2**20:,.0f} MiB at most")
    settings = run.settings
    return {
        "model": settings.model,
        "hyperparameters": listed(settings.hyperparameters),
        "recipe": listed(asdict(settings.recipe)),
        "training": ", ".join(cost),
    }


def listed(values: Mapping[str, Any]) -> str:
    """Names and values in one line, without those that are not set."""
    told = {name.replace("_", " "): value for name, value in values.items() if value is not None}
    return ", ".join(f"{name} {plain(value)}" for name, value in told.items())


def plain(value: object) -> str:
    """A setting's value as one would write it.

    >>> plain([32, 64]), plain(0.003), plain(True)
    ('32 64', '0.003', 'yes')
    """
    if isinstance(value, list | tuple):
        return " ".join(map(plain, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def command(material: Material) -> str:
    """The command that gives the same again; nothing where it is not recorded."""
    if material.is_study:
        return study_command(material)
    (run,) = material.runs.values()
    return "" if run.settings.data.name == IN_MEMORY else run_command(run)


def unrecorded(material: Material) -> str:
    """A line on what the command lacks because it is not recorded; nothing if that is nothing."""
    if material.is_study:
        return "" if material.results.asked else UNRECORDED_STUDY
    (run,) = material.runs.values()
    if run.settings.data.name == IN_MEMORY:
        return "The data were an array in memory, so no command gives the same run."
    if run.settings.start is None or parse_origin(run.config) is not None:
        return ""
    return (
        f"Training started from the weights of another run, with the SHA-256 {run.settings.start}. "
        f"Its folder was not recorded, so this command does not give the same run."
    )


def study_command(material: Material) -> str:
    """`aelab compare`, as it was asked for."""
    if (asked := material.results.asked) is None:
        return ""
    given = options(asdict(asked), asdict(Asked(asked.study)))
    return shlex.join(["aelab", "compare", asked.study, *given])


def run_command(run: Run) -> str:
    """`aelab train`, with the settings that are not what it would take by itself."""
    own, model = run.settings, run.settings.model
    words = ["aelab", "train", model]
    usual = default_settings(resolve(model))
    origin = parse_origin(run.config)
    if origin is not None:
        folder, usual = origin
        words += ["--from", folder]
    # The epochs say what a budget of seconds came to here.
    recipe = asdict(replace(own.recipe, seconds=None))
    words += options(
        {"network": own.network, "prior": own.prior},
        {"network": usual.network, "prior": usual.prior},
    )
    words += options(named(asdict(own.data)), named(asdict(usual.data)))
    if own.network != usual.network and origin is None:  # then the defaults are others
        usual = default_settings(run.blueprint)
    usual_model = {**run.blueprint.defaults, **thaw(usual.hyperparameters)}
    words += options(thaw(own.hyperparameters), usual_model)
    words += options(recipe, asdict(usual.recipe))
    words += options({"seed": own.seed}, {"seed": 0})
    words += options({"split": run.metrics["split"]}, {"split": usual_split(own.data.splits)})
    return shlex.join(words)


def named(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data's settings by the names of their options; `rows` follows from the model."""
    names = {"name": "data", "scale": "pixel_scale"}
    return {names.get(name, name): value for name, value in data.items() if name != "rows"}


def options(values: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    """Settings that are not as usual, as options of the command line.

    >>> options({"hidden": (64, 32), "shuffle": False, "beta": 1.0}, {"shuffle": True, "beta": 1.0})
    ['--hidden', '64', '32', '--no-shuffle']
    """
    words: list[str] = []
    for name, value in values.items():
        flag = name.replace("_", "-")
        if name in usual and usual[name] == value:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            words += [f"--{flag}", *map(str, value)]
        else:
            words += [f"--{flag}", str(value)]
    return words
