"""The command line's options: dataclasses whose field docstrings are the help."""

import re
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from docstring_parser import parse as parse_docstring
from tyro.conf import Positional

from aelab.compare import default_settings
from aelab.data import settled
from aelab.evaluate.columns import QUICK_GROUPS, Group
from aelab.files import InputError
from aelab.models import model_class
from aelab.runs import hyperparameter_hints
from aelab.settings import DataSettings, Recipe, RunSettings
from aelab.study import Study, load_study

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where the data are."""

    data_dir: Path | None = None
    """Folder where the data's files are looked for first; $AELAB_DATA names one too."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(DataOptions):
    """What is trained on, and where the run goes."""

    data: str = "fashion-mnist"
    """Name of a data set, or the path of a folder of images, of an array (.npy, .npz), of a table
    (.csv, .tsv, .parquet), or of an edge list for the models of a graph."""

    splits: Literal["standard", "original"] = "standard"
    """standard: 55,000 training, 5,000 validation and 10,000 test images. original: 60,000
    training images and 8,000 of the test images for validation, as in the original study. Data
    by path: their own folders train, validation and test, or 80 %, 10 % and 10 %."""

    pixel_scale: float = 1 / 255
    """What a stored pixel value is multiplied by, where 255 is the largest there can be."""

    size: str | None = None
    """Resize images to this height and width, as 64 or 48x64. Unless given, images of another
    size than most are left out."""

    grayscale: bool = False
    """Turn images grey."""

    strict: bool = False
    """Refuse the data if a file of a folder, or a column of a table, would be left out."""

    impute: bool = False
    """Take a missing value of a table to be the mean of the training rows."""

    label: str | None = None
    """Column of a table with the class of each row; it is no input."""

    binarise: bool = False
    """Draw each pixel as 0 or 1 with the probability of its intensity, anew at every step."""

    features: str | None = None
    """Table of node features, of a graph given as an edge list."""

    split: Split | None = None
    """What it is evaluated on at the end: test unless given; of the original splits, which have
    no test split, validation."""

    seed: int = 0
    """Governs initialisation, order, noise and samples."""

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
    """A trained run, which images, and where the picture goes."""

    split: Split | None = None
    """Which images; those of the last evaluation unless given."""

    out: Path | None = None
    """PNG file to write; RUN/reconstructions.png unless given."""


@dataclass(frozen=True, kw_only=True)
class SampleOptions(FolderOptions):
    """Which samples, and where they go."""

    n: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 64
    """How many."""

    seed: int | None = None
    """Which; the run's own seed unless given."""

    out: Path | None = None
    """PNG file to write; RUN/samples.png unless given."""


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

    metrics: tuple[Literal["importance", "samples"], ...] = ()
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


def seconds_of(text: str) -> float:
    """A time as people write it.

    >>> seconds_of("60s"), seconds_of("2m"), seconds_of("0.5h")
    (60.0, 120.0, 1800.0)

    Raises:
        InputError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", text.strip())
    if found is None or float(found[1]) <= 0:
        raise InputError(f"a time is written 60s, 2m or 1h, not {text!r}")
    return float(found[1]) * {"h": 3600, "m": 60, "min": 60}.get(found[2], 1)


def train_options(model: str) -> type[Any]:
    """The options of ``aelab train MODEL``: the general ones, the recipe's and the model's own.

    A model that is a row of one of the studies of DEFAULTS has that row's settings for defaults.

    Raises:
        InputError: a hyperparameter has the name of a general option.
    """
    settings = default_settings(model)
    taken = {option.name for options in (TrainOptions, Recipe) for option in fields(options)}
    if clash := taken & hyperparameter_hints(model).keys():
        raise InputError(
            f"model {model}: {', '.join(sorted(clash))} is an option of aelab train already; "
            f"rename the hyperparameter"
        )
    general = TrainOptions(
        data=settings.data.name,
        splits=settings.data.splits,
        pixel_scale=settings.data.scale,
        binarise=settings.data.binarise,
    )
    defaults = settings.hyperparameters
    helps = {
        parameter.arg_name: parameter.description or ""
        for parameter in parse_docstring(model_class(model).__doc__ or "").params
    }
    own = [
        (
            name,
            Annotated[hint, tyro.conf.arg(help=helps.get(name, "").replace("\n", " "))],
            field(default=defaults[name]) if name in defaults else field(),
        )
        for name, hint in hyperparameter_hints(model).items()
    ]
    return make_dataclass(
        "Train",
        [
            ("run", TrainOptions, field(default=general)),
            ("recipe", Recipe, field(default=settings.recipe)),
            *own,
        ],
        frozen=True,
        kw_only=True,
    )


def training(model: str, asked: Any) -> tuple[RunSettings, TrainOptions]:  # noqa: ANN401
    """What `train_options` was filled with, as a run's settings and the rest."""
    options: TrainOptions = asked.run
    hyperparameters = {name: getattr(asked, name) for name in hyperparameter_hints(model)}
    data = DataSettings(
        name=options.data,
        splits=options.splits,
        scale=options.pixel_scale,
        features=options.features,
        size=options.size,
        grayscale=options.grayscale,
        strict=options.strict,
        impute=options.impute,
        label=options.label,
        binarise=options.binarise,
    )
    data = settled(data, model)
    return RunSettings(model, hyperparameters, data, asked.recipe, options.seed), options
