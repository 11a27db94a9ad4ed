"""What `aelab train` and `aelab compare` can be asked for, on the command line and in Python.

Dataclasses whose field docstrings are the help: of the options there, of the keywords here.
"""

import math
from dataclasses import MISSING, Field, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from aelab.data.dataset import Dataset
from aelab.data.loading import load_settings, settled
from aelab.evaluate.columns import SlowGroup
from aelab.files import AelabError, InputError
from aelab.models.blueprint import Blueprint
from aelab.models.zoo import NETWORKS, PRIORS, resolve, rows_of
from aelab.settings import DataSettings, Recipe, RunSettings, seconds_of, thaw
from aelab.studies.elsewhere import on_data
from aelab.studies.study import Asked, Study, default_settings, load_study

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where the data are.

    >>> tyro.cli(DataOptions, args=["--data-dir", "data"]).data_dir.name
    'data'
    """

    data_dir: Path | None = None
    """Folder where the data's files are looked for first; $AELAB_DATA names one too."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(DataOptions):
    """What a run is evaluated on, and where it goes.

    >>> TrainOptions(seed=3).split is None
    True
    """

    split: Split | None = None
    """What it is evaluated on at the end: test unless given; of the original splits, which have
    no test split, validation."""

    seed: int = 0
    """Governs initialisation, order, noise and samples."""

    start: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """A trained run of the same model whose weights training starts from; its settings are the
    defaults of all others."""

    out: Path | None = None
    """The run's folder. Unless given, runs/MODEL/seed-SEED on the command line, and in Python a
    temporary one."""

    checkpoint_seconds: float = 30.0
    """How often a checkpoint is saved that the same command goes on from. It changes nothing in
    the result; where saving is slow, it is less often, so that it takes 2 % of the time at most."""

    track: tuple[Literal["tensorboard", "mlflow"], ...] = ()
    """Write history, settings, figures and pictures to TensorBoard (the run's folder tensorboard)
    or MLflow (MLFLOW_TRACKING_URI), too. A tracker that fails stops nothing."""

    def __post_init__(self) -> None:
        if not 0 <= self.checkpoint_seconds < math.inf:
            raise ValueError(
                f"checkpoint_seconds must be 0 or more, not {self.checkpoint_seconds:g}"
            )


@dataclass(frozen=True, kw_only=True)
class CompareOptions(DataOptions):
    """Which study, and how it is done.

    >>> CompareOptions(study="links", quick=True).chosen.name
    'links-quick'
    """

    study: Positional[str] = "default"
    """A packaged study (default, claims, original, links, likelihood, code-size,
    anomalies), adbench for detectors of anomalies on many tables, or the path of a TOML file."""

    data: str | None = None
    """Other data than the study's own, by name or path: the same rows and recipes on them, in a
    folder of their own. Rows that are not for such data fail, and the others go on. Of adbench,
    a folder with tables."""

    model: tuple[str, ...] = ()
    """Classes of your own, as module:Class, that the study's file names: no other is imported."""

    seeds: tuple[int, ...] | None = None
    """Train every row once with each of these; the table gives mean ± standard deviation, and
    marks what the seeds do not tell apart. The study's own unless given, mostly 0."""

    jobs: int | None = None
    """Rows trained at once, each in a process of its own; a row of two threads counts as two.
    The study's own unless given, mostly 1."""

    cluster: str | None = None
    """Train the rows on a Dask cluster instead: tcp://host:8786 is its scheduler; local:4 is one of
    four workers on this machine. Its workers need the same folders; see docs/scale.md."""

    quick: bool = False
    """A tenth of the training and the quickest metrics, on 2,000 inputs at most, for a look."""

    time_budget: str | None = None
    """Train every row for about so long instead of so many epochs: 60s, 2m."""

    metrics: tuple[SlowGroup, ...] = ()
    """Slow metrics besides the study's own: importance (the importance-weighted bound of
    variational models, minutes a row), samples (Fréchet distance and the like)."""

    split: Literal["validation", "test"] | None = None
    """Evaluate on this split instead of the study's; validation is for tuning."""

    device: str | None = None
    """Train every row on this device instead of its own, which is mostly cpu: cuda, mps, or auto,
    which is a GPU where there is one. The table gets a folder of its own."""

    no_report: bool = False
    """Write the table only, and no page of pictures."""

    out: Path = Path("runs")
    """Folder to write to; the study gets its own inside."""

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs must be 1 or more, not {self.jobs}")
        if self.cluster is not None:
            check_address(self.cluster)
            if self.jobs is not None:
                raise ValueError("jobs are processes on this machine: give jobs or a cluster")
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
        if self.data is not None:
            study = on_data(study, self.data)
        if self.time_budget is not None:
            study = study.within(seconds_of(self.time_budget))
        study = study.shortened() if self.quick else study
        if self.device is not None:
            study = study.on_device(self.device)
        return replace(
            study,
            split=self.split or study.split,
            seeds=self.seeds or study.seeds,
            jobs=self.jobs or study.jobs,
            groups=tuple(dict.fromkeys([*study.groups, *self.metrics])),
        )


def check_address(cluster: str) -> None:
    """Raise ValueError unless it is ``local:N``, or a scheduler's address.

    >>> check_address("local:4")
    >>> check_address("tls://head.example:8786")
    >>> check_address("head.example")
    Traceback (most recent call last):
    ...
    ValueError: cluster must be local:N for N workers here, or a scheduler's tcp://host:8786, not
    'head.example'
    """
    scheme, _, rest = cluster.partition(":")
    here = scheme == "local" and rest.isdecimal() and int(rest) > 0
    port = rest.rpartition(":")[2]
    if not here and not (scheme in ("tcp", "tls") and rest.startswith("//") and port.isdecimal()):
        raise ValueError(
            f"cluster must be local:N for N workers here, or a scheduler's tcp://host:8786, not "
            f"{cluster!r}"
        )


def training_options(
    model: str,
    start: RunSettings | None = None,
    network: str | None = None,
    prior: str | None = None,
    data: str | None = None,
) -> tuple[Blueprint, type[Any]]:
    """What a model's name comes to, and the options that training it has.

    `start` are the settings of the run that training starts from: its defaults, if the model is
    the same. `network`, `prior` and `data` are the ones asked for.

    Raises:
        InputError: there is no such model, network or prior, or they do not go together.
    """
    if start is None or start.model != model:
        blueprint = resolve(model, network, prior)
        return blueprint, train_options(blueprint, data=data)
    blueprint = resolve(model, network or start.network, prior or start.prior)
    return blueprint, train_options(blueprint, start)


def settings_of_earlier(model: str, folder: Path) -> RunSettings | None:
    """The settings of a run of `model` in `folder`, if an earlier version wrote it.

    Defaults were others then, and the command that trained it goes on to mean what it meant.
    """
    from aelab.runs.record import parse_origin  # these import torch, which help does without
    from aelab.runs.store import Run
    from aelab.runs.upgrade import FORMAT

    try:
        run = Run.open(folder)
    except AelabError:  # there is none, or none that can be read: for others to tell
        return None
    earlier = run.found_format < FORMAT and run.config["model"] == model
    return run.settings if earlier and parse_origin(run.config) is None else None


def train_options(
    blueprint: Blueprint, start: RunSettings | None = None, data: str | None = None
) -> type[Any]:
    """The options of ``aelab train MODEL``: the general ones, the data's, the recipe's, its own.

    The defaults are the settings `start` of the run that training starts from; failing that, of
    the model's row in one of the studies of DEFAULTS, if that is of the same `data`.

    Raises:
        InputError: a hyperparameter has the name of another option.
    """
    settings = start or default_settings(blueprint, data)
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
            field(default=defaults.get(name, MISSING)),
        )
        for name, one in blueprint.hyperparameters.items()
    ]
    return make_dataclass(
        "Train",
        [
            ("run", told(TrainOptions), field(default=TrainOptions())),
            ("data", told(DataSettings), field(default=settings.data)),
            ("recipe", told(Recipe), field(default=settings.recipe)),
            *parts(blueprint),
            *own,
        ],
        frozen=True,
        kw_only=True,
    )


def load_asked(blueprint: Blueprint, asked: Any) -> Dataset:  # noqa: ANN401
    """The data that `train_options` was filled with, split by the seed that it was."""
    settings, options = training(blueprint, asked)
    return load_settings(settings.data, options.data_dir, seed=settings.seed)


def fitted_options(blueprint: Blueprint, data: Dataset, where: str | None) -> type[Any] | None:
    """The same options with defaults that fit the data, if no study has a recipe for them."""
    from aelab.studies.fitting import fits_no_recipe, fitted_settings  # these import torch

    if not fits_no_recipe(blueprint, data, where):
        return None
    return train_options(blueprint, fitted_settings(blueprint, data))


GENERAL = (TrainOptions, DataSettings, Recipe)
"""The options of `aelab train` that every model has."""


def told(options: type[Any]) -> Any:  # noqa: ANN401 - the class, annotated
    """A group of options whose help is the first paragraph of its docstring, and no example."""
    return Annotated[options, tyro.conf.arg(help=(options.__doc__ or "").split("\n\n")[0])]


def option_name(option: Field[Any]) -> str:
    """What an option is called where it is given, if that is not its field's name."""
    return {"name": "data", "scale": "pixel_scale"}.get(option.name, option.name)


def parts(blueprint: Blueprint) -> list[tuple[str, Any, Any]]:
    """The options that choose a composition's network and prior."""
    chosen = [
        ("network", blueprint.network_name, NETWORKS, "What features and outputs are made with"),
        ("prior", blueprint.prior_name, PRIORS, "What the model is trained with"),
    ]
    found = []
    for part, name, known, told in chosen:
        own = f"mypackage.mymodule:My{part.title()}"
        text = f"{told}: {', '.join(known)}, or {own}. Its own options follow from it."
        if name is not None:
            arg = tyro.conf.arg(help=text)
            found.append((part, Annotated[str, arg], field(default=name)))
    return found


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
