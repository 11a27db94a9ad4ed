"""How a page's figures came to be: settings, versions, data, machine, audits, and the command."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from aelab.models.zoo import refuse_unimported, resolve
from aelab.report.material import Material
from aelab.runs.record import parse_origin
from aelab.runs.store import Run
from aelab.settings import IN_MEMORY, DataSettings, RunSettings, thaw, usual_split
from aelab.studies.asked import option_name
from aelab.studies.study import Asked, default_settings

UNRECORDED_STUDY = (
    "The command that gave this study was not recorded: it was trained from Python, or by an "
    "earlier version of aelab."
)


def facts(material: Material) -> dict[str, str]:
    """Data, machine and versions."""
    results, runs = material.results, list(material.runs.values())
    splits = runs[0].settings.data.splits
    seeds = several(f"seed {run.settings.seed}" for run in runs)
    return {
        "data": f"{results.data}, {splits} splits, {results.split} split",
        "data, SHA-256": str(runs[0].config["data"]["sha256"]),
        "seeds": ", ".join(map(str, results.seeds)),
        "machine": several(str(run.timings.get("machine") or "not recorded") for run in runs),
        "versions": several(
            ", ".join(f"{name} {version}" for name, version in run.config["versions"].items())
            for run in runs
        ),
        "in pictures": f"the first seed of each row: {seeds}",
    }


def several(values: Iterable[str]) -> str:
    """Different values, each once."""
    return "; ".join(dict.fromkeys(values))


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
    return ", ".join(
        f"{name.replace('_', ' ')} {plain(value)}"
        for name, value in values.items()
        if value is not None
    )


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
        asked = material.results.asked
        if asked is None:
            return ""
        given = options(asdict(asked), asdict(Asked(asked.study)))
        return shlex.join(["aelab", "compare", asked.study, *given])
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


def run_command(run: Run) -> str:
    """`aelab train`, with the settings that are not what it would take by itself."""
    own = run.settings
    # The epochs say what a budget of seconds came to here.
    own = replace(own, recipe=replace(own.recipe, seconds=None))
    words = ["aelab", "train", own.model]
    refuse_unimported(own, run.folder)
    usual = default_settings(resolve(own.model), own.data.name)
    if (origin := parse_origin(run.config)) is not None:
        folder, usual = origin
        words += ["--from", folder]
    hyperparameters = usual.hyperparameters
    if own.network != usual.network and origin is None:  # then the defaults are others
        hyperparameters = default_settings(run.blueprint, run.settings.data.name).hyperparameters
    usual = replace(usual, seed=0, hyperparameters={**run.blueprint.defaults, **hyperparameters})
    words += options(
        by_option(own, run.metrics["split"]), by_option(usual, usual_split(own.data.splits))
    )
    return shlex.join(words)


def by_option(settings: RunSettings, split: str) -> dict[str, Any]:
    """A run's settings by the names of their options; the data's `rows` follow from the model."""
    data = {option_name(of): getattr(settings.data, of.name) for of in fields(DataSettings)}
    del data["rows"]
    return {
        "network": settings.network,
        "prior": settings.prior,
        **data,
        **thaw(settings.hyperparameters),
        **asdict(settings.recipe),
        "seed": settings.seed,
        "split": split,
    }


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
