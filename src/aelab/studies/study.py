"""What a study is, and how one is read from its TOML file."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from aelab.data.loading import settled
from aelab.evaluate.columns import METRICS, QUICK_GROUPS, Group
from aelab.files import InputError, MissingFileError
from aelab.models.blueprint import Blueprint
from aelab.models.zoo import refuse_unimported, rows_of
from aelab.settings import DataSettings, Recipe, RunSettings, checked

DEFAULTS = ("default", "links")
"""Their rows are the defaults of `aelab train`, their questions those of a study without any."""

QUICK_SHARE, QUICK_INPUTS = 0.1, 2_000
"""Of its epochs, that a quick study trains; and of its splits, that it measures on."""

QUICK_JOBS = 2
"""Rows that a quick study trains at once, at least, on one thread each, as measuring is."""

QUICKEST_GROUPS: tuple[Group, ...] = ("reconstruction", "bound", "samples", "links")
"""The groups of metrics that a quick study keeps: the others would take longer than training."""

STUDY_LIMIT = 2**20
"""Bytes of a study file."""

PACKAGED = files("aelab") / "studies" / "packaged"


@dataclass(frozen=True)
class Row:
    """One line of a study: what is trained, and what others published for it.

    >>> [row.name for row in class_by_class(Row("pca", RunSettings("pca")), ["cat", "dog"])]
    ['pca-cat', 'pca-dog']
    """

    name: str
    settings: RunSettings
    published: Mapping[str, float] = field(default_factory=dict)
    """Metric to figure."""

    budget: str = ""
    """What the row has in common with others, where a study has several budgets: only those are
    compared with it. In a study class by class, the class."""

    part_of: str = ""
    """The rows that are parts of one also give a row of that name, with their mean."""

    groups: tuple[str, ...] = ()
    """Of metrics, that it is measured in besides the study's."""


@dataclass(frozen=True)
class Claim:
    """That one row is better than each of others in a metric: to be tested over seeds.

    >>> claim = load_study("claims").claims[0]
    >>> claim.metric, claim.better, claim.than
    ('mse', 'switches', ('switches-gradual',))
    """

    claim: str
    metric: str
    better: str
    than: tuple[str, ...]
    than_metric: str | None = None
    """That the others are held against it by, unless it is the same."""


@dataclass(frozen=True)
class Question:
    """What is asked of the rows of a budget: which is best in a metric.

    >>> load_study("anomalies").questions[0].question
    'Which finds anomalies best?'
    """

    question: str
    metric: str
    across_code_sizes: bool = False
    """Compare all rows, because their code sizes were chosen by the metric itself."""


@dataclass(frozen=True)
class Asked:
    """What `aelab compare` was asked for, as it was written; None where an option was not given.

    >>> Asked("links", quick=True)
    Asked(study='links', quick=True, time_budget=None, seeds=None, split=None, metrics=(),
    data=None, device=None)
    """

    study: str
    """Name or file."""

    quick: bool = False
    time_budget: str | None = None
    seeds: tuple[int, ...] | None = None
    split: Literal["validation", "test"] | None = None
    metrics: tuple[Group, ...] = ()
    data: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class Study:
    """Rows that are compared in one table, all evaluated on one split.

    >>> study = load_study('default')
    >>> study.shortened().quick, study.row('pca').settings.model
    (True, 'pca')
    """

    name: str
    title: str
    split: str
    rows: tuple[Row, ...]
    quick: bool = False
    groups: tuple[Group, ...] = QUICK_GROUPS
    """Of metrics, that are measured."""

    seeds: tuple[int, ...] = (0,)
    """Those that are trained unless others are asked for."""

    jobs: int = 1
    """Rows at once, unless another number is asked for."""

    inputs: int | None = None
    """Of the validation and of the test split, that are measured on: the first so many, or all."""

    questions: tuple[Question, ...] = ()
    claims: tuple[Claim, ...] = ()

    elsewhere: bool = False
    """On other data than its own, which not all of its rows need be for."""

    def shortened(self) -> "Study":
        """The same rows, two at once: a tenth of the training, the quickest metrics, few inputs."""
        groups = tuple(group for group in self.groups if group in QUICKEST_GROUPS)
        rows = tuple(
            with_recipe(row, replace(row.settings.recipe.shortened(QUICK_SHARE), threads=1))
            for row in self.rows
        )
        return replace(
            self,
            name=f"{self.name}-quick",
            rows=rows,
            quick=True,
            groups=groups,
            jobs=max(self.jobs, QUICK_JOBS),
            inputs=QUICK_INPUTS,
        )

    def within(self, seconds: float) -> "Study":
        """The same rows, each trained for about so many seconds; those without training as is."""
        return self.trained_otherwise(f"{seconds:g}s", seconds=seconds)

    def on_device(self, device: str) -> "Study":
        """The same rows trained there, in a folder of their own; those without training as is."""
        from aelab.machine import device_named  # which imports torch

        device = device_named(device)
        return self.trained_otherwise(device, device=device)

    def trained_otherwise(self, suffix: str, **changes: Any) -> "Study":  # noqa: ANN401
        """The same rows with these parts of their recipes, where they are trained at all."""
        rows = tuple(
            with_recipe(row, replace(row.settings.recipe, **changes))
            if row.settings.recipe.epochs
            else row
            for row in self.rows
        )
        return replace(self, name=f"{self.name}-{suffix}", rows=rows)

    def row(self, name: str) -> Row | None:
        """The row of that name, if there is one."""
        return next((row for row in self.rows if row.name == name), None)


def with_recipe(row: Row, recipe: Recipe) -> Row:
    """The same row, trained by another recipe."""
    return replace(row, settings=replace(row.settings, recipe=recipe))


def packaged_studies() -> list[str]:
    """Names of the studies that come with aelab."""
    return sorted(Path(entry.name).stem for entry in PACKAGED.iterdir() if ".toml" in entry.name)


def load_study(name: str) -> Study:
    """A packaged study by its name, or one of the user's by the path of its TOML file.

    Raises:
        MissingFileError: there is neither.
        InputError: a mistake in it, named by row and key.
    """
    packaged, path = packaged_studies(), Path(name)
    if name in packaged:
        return parse_study(name, (PACKAGED / f"{name}.toml").read_text("utf-8"))
    if name == "adbench":
        raise InputError(
            "adbench is many tables, and no study of rows on one data set: aelab compare adbench, "
            "or aelab.studies.adbench.benchmark in Python"
        )
    if not path.is_file():
        known = [*packaged, "adbench", *map(str, path.parent.glob("*.toml"))]
        near = "".join(f"; did you mean {one}?" for one in get_close_matches(name, known, 1))
        raise MissingFileError(
            f"there is no study {name!r}, as a file or among {', '.join(packaged)}, adbench{near}"
        )
    if path.stem in packaged:
        raise InputError(f"{path} has the name of a packaged study: rename it, for its runs' sake")
    if path.stat().st_size > STUDY_LIMIT:
        raise InputError(f"{path} is larger than {STUDY_LIMIT:,} bytes: not a study")
    try:
        return parse_study(path.stem, path.read_text("utf-8"))
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error


@dataclass(frozen=True)
class StudyTable:
    """The keys of a study file.

    >>> checked(StudyTable, {"rows": {"vae": {}}, "seeds": [0, 1]}, "study").seeds
    (0, 1)
    """

    rows: dict[str, dict[str, Any]]
    title: str = ""
    split: Literal["train", "validation", "test"] = "test"
    metrics: tuple[Group, ...] = QUICK_GROUPS
    seeds: tuple[int, ...] = (0,)
    jobs: int = 1
    data: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    budgets: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Recipes that every row is trained by, once by each; a row adds to them."""

    each_class: tuple[str, ...] = ()
    """Every row is trained on each of these classes alone; the others are anomalies."""

    questions: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class RowTable:
    """The keys of a row in a study file.

    >>> checked(RowTable, {"model": "vae", "recipe": {"epochs": 2}}, "row vae").recipe
    {'epochs': 2}
    """

    model: str
    network: str | None = None
    prior: str | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)
    metrics: tuple[Group, ...] = ()


def parse_study(name: str, text: str) -> Study:
    """A study from its TOML text; a row's own data and recipe add to the study's.

    Raises:
        InputError: a mistake, named by row and key.
    """
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers too long, brackets too deep
        raise InputError(f"not TOML: {error}") from error
    if not content.get("rows"):
        raise InputError("a study needs rows: a table [rows.NAME] with model = … for each")
    table = checked(StudyTable, content, "study")
    rows = tuple(
        parse_row(row, values, table, budget)
        for budget in table.budgets or [""]
        for row, values in table.rows.items()
    )
    parts = tuple(part for row in rows for part in class_by_class(row, table.each_class))
    questions = [checked(Question, of, f"question {key}") for key, of in table.questions.items()]
    claims = [checked(Claim, of, f"claim {key}") for key, of in table.claims.items()]
    study = Study(
        name,
        table.title,
        table.split,
        parts or rows,
        groups=table.metrics,
        seeds=table.seeds,
        jobs=table.jobs,
        questions=tuple(questions),
        claims=tuple(claims),
    )
    refuse_unknown_names(study)
    return study


def parse_row(name: str, values: Mapping[str, Any], table: StudyTable, budget: str) -> Row:
    """One row of a study, under one of its budgets if it has any."""
    where = f"row {name}"
    if Path(name).name != name or name.startswith("."):
        raise InputError(f"{where}: a row's name is a folder's name; leave out / and a leading .")
    row = checked(RowTable, {"model": name, **values}, where)
    refuse_unimported(RunSettings(row.model, network=row.network, prior=row.prior), where)
    try:
        rows = rows_of(row.model)
    except InputError as error:
        raise InputError(f"{where}: model: {error}") from error
    recipe = {**table.recipe, **row.recipe, **table.budgets.get(budget, {})}
    data = checked(DataSettings, {**table.data, **row.data}, f"{where}: data")
    settings = RunSettings(
        row.model,
        row.hyperparameters,
        settled(data, rows),
        checked(Recipe, recipe, f"{where}: recipe"),
        network=row.network,
        prior=row.prior,
    )
    named = f"{name}-{budget}" if budget else name
    return Row(named, settings, row.published, budget, groups=row.metrics)


def class_by_class(row: Row, classes: Sequence[str]) -> list[Row]:
    """The same row trained on each class alone."""
    return [
        Row(
            f"{row.name}-{name.replace('/', '-')}",
            replace(row.settings, data=replace(row.settings.data, classes=(name,))),
            budget=name,
            part_of=row.name,
        )
        for name in classes
    ]


def refuse_unknown_names(study: Study) -> None:
    """Raise InputError if a question or a claim names a metric or a row that is not there."""
    asked = [question.metric for question in study.questions]
    for metric in asked + [claim.metric for claim in study.claims]:
        if metric not in METRICS or not METRICS[metric].better:
            raise InputError(f"{metric!r} is no metric in which one row is better")
    for claim in study.claims:
        for row in (claim.better, *claim.than):
            if study.row(row) is None:
                raise InputError(f"the claim {claim.claim!r} names no row of the study: {row!r}")


@cache
def usual_studies() -> tuple[Study, ...]:
    """The studies DEFAULTS, which are parsed once: every training looks its model up in them."""
    return tuple(load_study(name) for name in DEFAULTS)


def usual_questions() -> tuple[Question, ...]:
    """The questions of the studies DEFAULTS."""
    return tuple(question for study in usual_studies() for question in study.questions)


def default_settings(blueprint: Blueprint, data: str | None = None) -> RunSettings:
    """What `aelab train` trains a model with: the settings of its row in the studies DEFAULTS.

    A row's recipe was chosen for the data of its study, and is not that of other `data`, the
    name or path of what is trained on; the models of links have one for every graph. What a row
    chose for its own network is left out with another one. Of a model without such a row, the
    constructors' and the recipe's own.
    """
    recipes = recipes_of(blueprint, data)
    settings = recipes[0] if recipes else RunSettings(blueprint.name)
    network = settings.network or blueprint.entry.network
    own = blueprint.fitting(settings.hyperparameters, network)
    return replace(
        settings,
        network=blueprint.network_name,
        prior=blueprint.prior_name,
        hyperparameters={**blueprint.defaults, **own},
    )


def has_recipe(blueprint: Blueprint, data: str | None) -> bool:
    """Whether a model has a row in the studies DEFAULTS that was made for such data."""
    return bool(recipes_of(blueprint, data))


def recipes_of(blueprint: Blueprint, data: str | None) -> list[RunSettings]:
    """The settings of a model's rows in the studies DEFAULTS, as far as they are of such data."""
    rows = (study.row(blueprint.name) for study in usual_studies())
    every = data is None or "links" in blueprint.takes
    return [row.settings for row in rows if row and (every or row.settings.data.name == data)]
