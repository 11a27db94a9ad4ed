"""How a page's figures came to be: settings, versions, data, machine, audits, and the command."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from aelab.columns import SLOW_GROUPS, metric_named
from aelab.report.material import Material
from aelab.runs import Run
from aelab.settings import thaw
from aelab.study import QUICK_SHARE, Study, default_settings, load_study, packaged_studies
from aelab.tables import Results, audited


@dataclass(frozen=True)
class Fact:
    """A name and what is known."""

    name: str
    value: str


@dataclass(frozen=True)
class Audit:
    """What an audit of a row, or of the data, found."""

    row: str
    name: str
    found: str
    clean: bool


def facts(material: Material) -> list[Fact]:
    """Data, machine and versions."""
    results, runs = material.results, list(material.runs.values())
    settings = runs[0].settings.data
    return [
        Fact("data", f"{results['data']}, {settings.splits} splits, {results['split']} split"),
        Fact("data, SHA-256", str(runs[0].config["data"]["sha256"])),
        Fact(
            "seeds",
            ", ".join(map(str, sorted({s for row in results["rows"] for s in row["seeds"]}))),
        ),
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


def audits(material: Material) -> list[Audit]:
    """The audits of the data, then of every row."""
    return [
        Audit(name, audit, told["found"], bool(told["clean"]))
        for name, audit, told in audited(material.results)
    ]


def command(material: Material) -> str:
    """The command that gives the same again."""
    return study_command(material) if material.is_study else run_command(*material.runs.values())


def study_command(material: Material) -> str:
    """`aelab compare` of the study, with the options that differ from the study's own."""
    results, name = material.results, material.results["study"]
    quick = ["--quick"] if results["quick"] else []
    name = name.removesuffix("-quick") if quick else name
    seconds = [s for run in material.runs.values() if (s := run.settings.recipe.seconds)]
    asked = [f"{(s / QUICK_SHARE if quick else s):g}s" for s in seconds]
    within = next((time for time in asked if name.endswith(f"-{time}")), "")
    timed = ["--time-budget", within] if within else []
    name = name.removesuffix(f"-{within}") if within else name
    packaged = name in packaged_studies()
    own = load_study(name) if packaged else Study(name, "", "test", ())
    words = ["aelab", "compare", name if packaged else f"{name}.toml", *quick, *timed]
    seeds = tuple(sorted({seed for row in results["rows"] for seed in row["seeds"]}))
    words += ["--seeds", *map(str, seeds)] if seeds != own.seeds else []
    words += ["--split", results["split"]] if results["split"] != own.split else []
    slow = [group for group in SLOW_GROUPS if group in groups_of(results) - set(own.groups)]
    words += ["--metrics", *slow] if slow and packaged else []
    return shlex.join(words)


def groups_of(results: Results) -> set[str]:
    """The groups of metrics that any row has."""
    return {metric_named(name).group for row in results["rows"] for name in row["metrics"]}


def run_command(run: Run) -> str:
    """`aelab train`, with the settings that are not what it would take by itself."""
    own, usual = run.settings, default_settings(run.settings.model)
    words = ["aelab", "train", own.model]
    # The epochs say what a budget of seconds came to here.
    recipe = asdict(replace(own.recipe, seconds=None))
    words += options(named(asdict(own.data)), named(asdict(usual.data)))
    words += options(thaw(own.hyperparameters), usual.hyperparameters)
    words += options(recipe, asdict(usual.recipe))
    words += options({"seed": own.seed}, {"seed": 0})
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
