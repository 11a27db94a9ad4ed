"""The command line's options: dataclasses whose field docstrings are the help."""

from argparse import ArgumentError, ArgumentParser
from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from aelab.data.loading import settled
from aelab.evaluate.columns import QUICK_GROUPS, Group, SlowGroup
from aelab.files import InputError
from aelab.models.blueprint import Blueprint
from aelab.models.zoo import NETWORKS, PRIORS, rows_of
from aelab.settings import DataSettings, Recipe, RunSettings, seconds_of, thaw
from aelab.studies.study import Asked, Study, default_settings, load_study

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where the data are."""

    data_dir: Path | None = None
    """Folder where the data's files are looked for first; $AELAB_DATA names one too."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(DataOptions):
    """What a run is evaluated on, and where it goes."""

    split: Split | None = None
    """What it is evaluated on at the end: test unless given; of the original splits, which have
    no test split, validation."""

    seed: int = 0
    """Governs initialisation, order, noise and samples."""

    start: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """A trained run of the same model whose weights training starts from; its settings are the
    defaults of all others."""

    out: Path | None = None
    """The run's folder; runs/MODEL/seed-SEED unless given."""


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """A trained run."""

    run: Positional[Path]
    """The run's folder."""

    model: str | None = None
    """The run's class, mypackage.mymodule:MyModel, where it is one of your own: a run's folder
    does not by itself decide what code is imported."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(FolderOptions, DataOptions):
    """A trained run and what to evaluate it on."""

    split: Split | None = None
    """Which images; those of the last evaluation unless given."""

    metrics: tuple[Group, ...] = QUICK_GROUPS
    """Groups of metrics; importance and samples take minutes."""


@dataclass(frozen=True, kw_only=True)
class ReconstructOptions(FolderOptions, DataOptions):
    """A trained run, what it restores, and where that goes."""

    data: Positional[str | None] = None
    """Inputs to restore: an image file, a folder of them, an array, or a split of a data set, as
    fashion-mnist:test. Without, a picture is drawn of images of the run's own data."""

    split: Split | None = None
    """Which images of the run's own data; those of the last evaluation unless given."""

    strict: bool = False
    """Refuse inputs of which a file would be left out."""

    side_by_side: bool = False
    """Put each image's original on its left."""

    out: Path | None = None
    """New folder for the restored inputs; or the PNG file of the picture, RUN/reconstructions.png
    unless given."""


@dataclass(frozen=True, kw_only=True)
class InputOptions(FolderOptions, DataOptions):
    """A trained run and inputs for it."""

    data: Positional[str]
    """The inputs: an image file, a folder of them, an array, or a split of a data set, as
    fashion-mnist:test."""

    strict: bool = False
    """Refuse inputs of which a file would be left out."""


@dataclass(frozen=True, kw_only=True)
class EncodeOptions(InputOptions):
    """The same, and where the codes go."""

    out: Path
    """File to write: .csv or .parquet, or .npy with the names beside it."""


@dataclass(frozen=True, kw_only=True)
class DenoiseOptions(InputOptions):
    """The same, and where what is restored goes."""

    side_by_side: bool = False
    """Put each image's original on its left."""

    out: Path
    """New folder to write to."""


@dataclass(frozen=True, kw_only=True)
class AnomaliesOptions(InputOptions):
    """The same, what counts as an anomaly, and where the scores go."""

    false_alarm_rate: float = 0.05
    """Share of the validation inputs that may score above the threshold."""

    top: int = 10
    """How many of the highest scores are drawn, with maps of their errors; 0 draws nothing."""

    out: Path
    """File to write: .csv or .parquet; the picture goes beside it, as .png."""

    def __post_init__(self) -> None:
        if self.top < 0:
            raise ValueError(f"top must be 0 or more, not {self.top}")


@dataclass(frozen=True, kw_only=True)
class SampleOptions(FolderOptions):
    """Which samples, and where they go."""

    n: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 64
    """How many."""

    seed: int | None = None
    """Which; the run's own seed unless given."""

    temperature: float = 1.0
    """Scales the deviation of what codes are drawn from: below 1, samples are more alike."""

    out: Path | None = None
    """PNG file of one picture, .npy file, or new folder; RUN/samples.png unless given."""


@dataclass(frozen=True, kw_only=True)
class InterpolateOptions(FolderOptions, DataOptions):
    """From where to where, and where the picture goes."""

    first: Positional[str]
    """An image file, or DATA:number: one of a folder, an array or a data set's split, from 0 on,
    as fashion-mnist:test:0."""

    last: Positional[str]
    """The same."""

    steps: int = 9
    """Codes on the way, both ends included."""

    out: Path | None = None
    """PNG file to write; RUN/interpolation.png unless given."""


@dataclass(frozen=True, kw_only=True)
class LinksOptions(FolderOptions, DataOptions):
    """Which links of which run, and where they go."""

    top: int = 100
    """How many of the likeliest links that the graph lacks."""

    pairs: Path | None = None
    """Edge list whose pairs are scored, instead of the missing links."""

    embeddings: Path | None = None
    """File that the nodes' codes are written to, too: .csv, or .npy with the ids beside it."""

    out: Path | None = None
    """CSV file to write; RUN/links.csv unless given."""


@dataclass(frozen=True, kw_only=True)
class ReportOptions(DataOptions):
    """What is shown, and where the page goes."""

    folder: Positional[Path]
    """The folder of a run or of a study."""

    classes: tuple[str, ...] = ()
    """The classes shown in reconstructions; all unless some are named."""

    model: str | None = None
    """The class, mypackage.mymodule:MyModel, of runs whose model is one of your own."""

    out: Path | None = None
    """Folder for report.html and its figures; the run's or study's own unless given."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions(DataOptions):
    """Which study, and how it is done."""

    study: Positional[str] = "default"
    """A packaged study (default, equal, claims, original, links, likelihood, code-size,
    anomalies) or the path of a TOML file."""

    seeds: tuple[int, ...] | None = None
    """Train every row once with each of these; the table gives mean ± standard deviation, and
    marks what the seeds do not tell apart. The study's own unless given, mostly 0."""

    jobs: int | None = None
    """Rows trained at once, each in a process of its own; a row of two threads counts as two.
    The study's own unless given, mostly 1."""

    quick: bool = False
    """A tenth of the training and the quickest metrics, for a look."""

    time_budget: str | None = None
    """Train every row for about so long instead of so many epochs: 60s, 2m."""

    metrics: tuple[SlowGroup, ...] = ()
    """Slow metrics besides the study's own: importance (the importance-weighted bound of
    variational models, minutes a row), samples (Fréchet distance and the like)."""

    split: Literal["validation", "test"] | None = None
    """Evaluate on this split instead of the study's; validation is for tuning."""

    no_report: bool = False
    """Write the table only, and no page of pictures."""

    out: Path = Path("runs")
    """Folder to write to; the study gets its own inside."""

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs must be 1 or more, not {self.jobs}")
        if self.seeds is not None and not 0 < len(set(self.seeds)) == len(self.seeds):
            raise ValueError("seeds must be one or more different numbers")
        if self.time_budget is not None:
            seconds_of(self.time_budget)

    @property
    def asked(self) -> Asked:
        """What results.json records of it."""
        return Asked(**{option.name: getattr(self, option.name) for option in fields(Asked)})

    @property
    def chosen(self) -> Study:
        """The study as it was asked for."""
        study = load_study(self.study)
        if self.time_budget is not None:
            study = study.within(seconds_of(self.time_budget))
        study = study.shortened() if self.quick else study
        groups: tuple[Group, ...] = (
            *study.groups,
            *(name for name in self.metrics if name not in study.groups),
        )
        return replace(
            study,
            split=self.split or study.split,
            seeds=self.seeds or study.seeds,
            jobs=self.jobs or study.jobs,
            groups=tuple(dict.fromkeys(groups)),
        )


@dataclass(frozen=True)
class Named:
    """What decides which options there are, and their defaults: looked for before all others."""

    start: Path | None = None
    """The run that ``--from`` names."""

    network: str | None = None
    prior: str | None = None


def named(arguments: Sequence[str]) -> Named:
    """What ``--from``, ``--network`` and ``--prior`` name."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--from", type=Path, dest="start")
    parser.add_argument("--network")
    parser.add_argument("--prior")
    try:
        return Named(**vars(parser.parse_known_args(arguments)[0]))
    except ArgumentError:  # for the real parser to tell
        return Named()


def train_options(blueprint: Blueprint, start: RunSettings | None = None) -> type[Any]:
    """The options of ``aelab train MODEL``: the general ones, the data's, the recipe's, its own.

    The defaults are the settings `start` of the run that training starts from; failing that, of
    the model's row in one of the studies of DEFAULTS.

    Raises:
        InputError: a hyperparameter has the name of another option.
    """
    settings = start or default_settings(blueprint)
    taken = {option_name(option) for of in GENERAL for option in fields(of)} | {"network", "prior"}
    if clash := taken & blueprint.hyperparameters.keys():
        raise InputError(
            f"model {blueprint.name}: {', '.join(sorted(clash))} is an option of aelab train "
            f"already; rename the hyperparameter"
        )
    # A run may be older than one of its model's hyperparameters.
    defaults = {**blueprint.defaults, **thaw(settings.hyperparameters)}
    own = [
        (
            name,
            Annotated[one.type, tyro.conf.arg(help=one.help.replace("\n", " "))],
            field(default=defaults[name]) if name in defaults else field(),
        )
        for name, one in blueprint.hyperparameters.items()
    ]
    return make_dataclass(
        "Train",
        [
            ("run", TrainOptions, field(default=TrainOptions())),
            ("data", DataSettings, field(default=settings.data)),
            ("recipe", Recipe, field(default=settings.recipe)),
            *parts(blueprint),
            *own,
        ],
        frozen=True,
        kw_only=True,
    )


GENERAL = (TrainOptions, DataSettings, Recipe)
"""The options of `aelab train` that every model has."""


def option_name(option: Field[Any]) -> str:
    """What an option is called where it is given, if that is not its field's name."""
    return {"name": "data", "scale": "pixel_scale"}.get(option.name, option.name)


def parts(blueprint: Blueprint) -> list[tuple[str, Any, Any]]:
    """The options that choose a composition's network and prior."""
    chosen = [
        ("network", blueprint.network_name, NETWORKS, "What features and outputs are made with"),
        ("prior", blueprint.prior_name, PRIORS, "What the model is trained with"),
    ]
    return [
        (
            part,
            Annotated[
                str,
                tyro.conf.arg(
                    help=f"{told}: {', '.join(known)}, or mypackage.mymodule:My{part.title()}. "
                    f"Its own options follow from it."
                ),
            ],
            field(default=name),
        )
        for part, name, known, told in chosen
        if name is not None
    ]


def training(blueprint: Blueprint, asked: Any) -> tuple[RunSettings, TrainOptions]:  # noqa: ANN401
    """What `train_options` was filled with, as a run's settings and the rest."""
    options: TrainOptions = asked.run
    settings = RunSettings(
        blueprint.name,
        {name: getattr(asked, name) for name in blueprint.hyperparameters},
        settled(asked.data, rows_of(blueprint.name)),
        asked.recipe,
        options.seed,
        network=blueprint.network_name,
        prior=blueprint.prior_name,
    )
    return settings, options
