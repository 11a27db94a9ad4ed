"""A choice on the screen: what was tried, and the command that trains the chosen one again."""

import shlex
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from rich.table import Table

from aelab.data.dataset import Dataset
from aelab.models.zoo import blueprint_of
from aelab.runs.store import Run
from aelab.settings import DataSettings, Recipe, RunSettings, thaw
from aelab.studies.asked import option_name
from aelab.studies.choose import Choice
from aelab.studies.fitting import fits_no_recipe, fitted_settings
from aelab.studies.search import Trial
from aelab.studies.study import default_settings


def as_rich(choice: Choice) -> Table:
    """What was tried, round by round, the best of each first."""
    table = Table(
        title=f"Tried for {choice.purpose.goal}, codes of {choice.code_size} numbers",
        caption=f"{choice.what}, on validation",
    )
    for head in ("candidate", "round", "in all, s", "validation"):
        table.add_column(head, justify="left" if head == "candidate" else "right", no_wrap=True)
    for trial in in_order(choice):
        value = trial.error or f"{trial.value:.4g}"
        style = "bold" if trial.row == choice.best else None
        cells = (trial.candidate, str(trial.round + 1), f"{trial.wall:.1f}", value)
        table.add_row(*cells, style=style)
    return table


def in_order(choice: Choice) -> list[Trial]:
    """The trials, the last round first, in each the best first, failures last."""
    sign = 1 if choice.better == "less" else -1
    return sorted(
        choice.trials,
        key=lambda t: (-t.round, t.value is None, sign * (t.value or 0.0)),
    )


def command_of(choice: Choice, data: Dataset) -> str:
    """The command that trains the chosen model again, to the same weights.

    Only options that differ from what it would take by itself.
    """
    settings = Run.open(choice.run_folder).settings
    blueprint, name = blueprint_of(settings), settings.data.name
    usual = default_settings(blueprint, name)
    if fits_no_recipe(blueprint, data, name):
        usual = fitted_settings(blueprint, data)
    words = ["aelab", "train", settings.model, "--data", name, *differing(settings, usual)]
    return " ".join(map(shlex.quote, words))


def differing(settings: RunSettings, usual: RunSettings) -> Iterator[str]:
    """Options, for what is other than usual."""
    usual_network = blueprint_of(replace(settings, network=None)).network_name
    if settings.network is not None and settings.network != usual_network:
        yield from ("--network", settings.network)
    for name, value in thaw(settings.hyperparameters).items():
        if name not in usual.hyperparameters or usual.hyperparameters[name] != value:
            yield from option(name, value)
    recipe = replace(settings.recipe, seconds=None)
    for of, default in ((settings.data, DataSettings()), (recipe, usual.recipe)):
        for one in fields(DataSettings if of is settings.data else Recipe):
            value = getattr(of, one.name)
            if value != getattr(default, one.name) and one.name not in ("name", "rows"):
                yield from option(option_name(one), value)
    if settings.seed:
        yield from option("seed", settings.seed)


def option(name: str, value: Any) -> Iterator[str]:  # noqa: ANN401
    """An option as it is written.

    >>> list(option("hidden", (256, 128))), list(option("impute", True)), list(option("a_b", None))
    (['--hidden', '256', '128'], ['--impute'], ['--a-b', 'None'])
    """
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        yield f"--{'' if value else 'no-'}{flag}"
    elif isinstance(value, tuple):
        yield from (f"--{flag}", *map(str, value))
    else:
        yield from (f"--{flag}", f"{value:.10g}" if isinstance(value, float) else str(value))
