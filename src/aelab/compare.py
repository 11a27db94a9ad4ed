"""A study: rows × seeds → runs → one table."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

from aelab.data import Dataset, load_settings, of_model, only_classes
from aelab.evaluate.columns import FACTS, METRICS
from aelab.files import InputError, MissingFileError
from aelab.models import find
from aelab.pool import run_all
from aelab.runner import Progress, make_way, refuse_kind, train_run
from aelab.runs import Run, all_hyperparameters, describe
from aelab.settings import DataSettings, Recipe, RunSettings, checked
from aelab.tables import input_size, write_results

QUICK_SHARE = 0.1
"""Of the epochs that a quick study trains."""

STUDY_LIMIT = 2**20
"""Bytes of a study file."""


@dataclass(frozen=True)
class Row:
    """One line of a study: what is trained, and what others published for it."""

    name: str
    settings: RunSettings
    published: Mapping[str, float] = field(default_factory=dict)
    """Metric to figure."""

    part_of: str = ""
    """The rows that are parts of one also give a row of that name, with their mean."""


@dataclass(frozen=True)
class Study:
    """Rows that are compared in one table, all evaluated on one split."""

    name: str
    title: str
    split: str
    rows: tuple[Row, ...]
    quick: bool = False

    def shortened(self) -> "Study":
        """The same rows with a tenth of the training."""
        rows = []
        for row in self.rows:
            recipe = replace(row.settings.recipe, epochs=QUICK_SHARE * row.settings.recipe.epochs)
            rows.append(replace(row, settings=replace(row.settings, recipe=recipe)))
        return replace(self, name=f"{self.name}-quick", rows=tuple(rows), quick=True)

    def on_split(self, split: str) -> "Study":
        """The same rows, evaluated on another split."""
        return replace(self, split=split)

    def row(self, name: str) -> Row | None:
        """The row of that name, if there is one."""
        return next((row for row in self.rows if row.name == name), None)


def packaged_studies() -> list[str]:
    """Names of the studies that come with aelab."""
    folder = files("aelab") / "studies"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if ".toml" in entry.name)


def load_study(name: str) -> Study:
    """A packaged study by its name, or one of the user's by the path of its TOML file.

    Raises:
        MissingFileError: there is neither.
        InputError: a mistake in it, named by row and key.
    """
    if name in packaged_studies():
        return parse_study(name, (files("aelab") / "studies" / f"{name}.toml").read_text("utf-8"))
    path = Path(name)
    if not path.is_file():
        raise MissingFileError(
            f"there is no study {name!r}: the packaged ones are "
            f"{', '.join(packaged_studies())}, and there is no such file"
        )
    if path.stem in packaged_studies():
        raise InputError(f"{path} has the name of a packaged study: rename it, for its runs' sake")
    if path.stat().st_size > STUDY_LIMIT:
        raise InputError(f"{path} is larger than {STUDY_LIMIT:,} bytes: not a study")
    try:
        return parse_study(path.stem, path.read_text("utf-8"))
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from error


@dataclass(frozen=True)
class StudyTable:
    """The keys of a study file."""

    rows: dict[str, dict[str, Any]]
    title: str = ""
    split: Literal["train", "validation", "test"] = "test"
    data: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    each_class: tuple[str, ...] = ()
    """Each row is trained once on each of these classes alone; the others are anomalies."""


@dataclass(frozen=True)
class RowTable:
    """The keys of a row in a study file."""

    model: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)


def parse_study(name: str, text: str) -> Study:
    """A study from its TOML text; a row's own data and recipe add to the study's.

    Raises:
        InputError: a mistake, named by row and key.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML: {error}") from error
    if not content.get("rows"):
        raise InputError("a study needs rows: a table [rows.NAME] with model = … for each")
    table = checked(StudyTable, content, "study")
    rows = [parse_row(row, values, table) for row, values in table.rows.items()]
    if table.each_class:
        rows = [part for row in rows for part in class_by_class(row, table.each_class)]
    return Study(name, table.title, table.split, tuple(rows))


def parse_row(name: str, values: Mapping[str, Any], table: StudyTable) -> Row:
    """One row of a study."""
    where = f"row {name}"
    if Path(name).name != name or name.startswith("."):
        raise InputError(f"{where}: a row's name is a folder's name; leave out / and a leading .")
    row = checked(RowTable, {"model": name, **values}, where)
    try:
        find(row.model)
    except ValueError as error:
        raise InputError(f"{where}: model: {error}") from error
    settings = RunSettings(
        model=row.model,
        hyperparameters=row.hyperparameters,
        data=of_model(
            checked(DataSettings, {**table.data, **row.data}, f"{where}: data"), row.model
        ),
        recipe=checked(Recipe, {**table.recipe, **row.recipe}, f"{where}: recipe"),
    )
    return Row(name, settings, row.published)


def class_by_class(row: Row, classes: Sequence[str]) -> list[Row]:
    """The same row trained on each class alone."""
    return [
        Row(
            f"{row.name} {name.replace('/', ' ')}",
            replace(row.settings, data=replace(row.settings.data, classes=(name,))),
            part_of=row.name,
        )
        for name in classes
    ]


def check_row(row: Row, split: str, data_dir: Path | None, seed: int) -> None:
    """Make sure that a row's model, hyperparameters and data go together.

    Raises:
        InputError: they do not; it names the row.
        MissingFileError: the data are nowhere to be found.
    """
    settings = row.settings
    try:
        all_hyperparameters(settings)
        data = dataset(settings.data, data_dir, seed)
        refuse_kind(settings.model, data)
        data.split(split)
    except InputError as error:
        raise InputError(f"row {row.name}: {error}") from error


@dataclass(frozen=True)
class Job:
    """One run of a study."""

    row: str
    seed: int
    settings: RunSettings
    folder: Path
    split: str
    data_dir: Path | None

    @property
    def label(self) -> str:
        """How it is called on the screen."""
        return self.row if self.seed == 0 else f"{self.row}, seed {self.seed}"


@lru_cache(maxsize=2)
def dataset(settings: DataSettings, data_dir: Path | None, seed: int) -> Dataset:
    """A data set, loaded once for the rows that share it, whichever of its classes they take."""
    if settings.classes is not None:
        whole = dataset(replace(settings, classes=None), data_dir, seed)
        return only_classes(whole, settings.classes)
    return load_settings(settings, data_dir, seed=seed)


def do_job(job: Job, on_progress: Callable[[Progress], None]) -> Run:
    """Train, evaluate and draw a run, unless that was done; an edited row's old run gives way."""
    data = dataset(job.settings.data, job.data_dir, job.seed)
    make_way(job.folder, describe(job.settings, data))
    run = train_run(job.settings, data, job.folder, split=job.split, on_progress=on_progress)
    assert run.timings  # a damaged file is this row's failure
    return run


def threads_of(job: Job) -> int:
    """The processor threads that a job keeps busy."""
    return job.settings.recipe.threads


@dataclass(frozen=True)
class Result:
    """A study with the runs that it gave, by row, and what went wrong."""

    study: Study
    folder: Path
    runs: Mapping[str, Sequence[Run]]
    errors: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """The content of results.json."""
        rows = [
            row_as_json(row, runs) for row in self.study.rows if (runs := self.runs.get(row.name))
        ]
        rows += [mean_row(whole, parts) for whole, parts in self.wholes().items()]
        data = sorted({row.settings.data.name for row in self.study.rows})
        return {
            "study": self.study.name,
            "title": self.study.title,
            "quick": self.study.quick,
            "data": ", ".join(data),
            "split": self.study.split,
            "units": units(rows),
            "rows": rows,
            "errors": dict(self.errors),
        }

    def wholes(self) -> dict[str, list[Sequence[Run]]]:
        """The runs of each row that is in parts, part by part; only where all were finished."""
        wholes: dict[str, list[Sequence[Run]]] = {}
        for row in self.study.rows:
            if row.part_of:
                wholes.setdefault(row.part_of, []).append(self.runs.get(row.name, []))
        return {whole: parts for whole, parts in wholes.items() if all(parts)}

    def pictures(self) -> list[Path]:
        """The pictures of every run."""
        return [path for runs in self.runs.values() for run in runs for path in run.pictures]


def row_as_json(row: Row, runs: Sequence[Run]) -> dict[str, Any]:
    """One row's figures over its seeds."""
    every = [run.metrics for run in runs]
    names = [name for name in every[0] if name not in FACTS]
    return {
        "row": row.name,
        "model": row.settings.model,
        **{fact: every[0][fact] for fact in FACTS if fact in every[0] and fact != "split"},
        "input_size": input_size(runs[0]),
        "seeds": [run.settings.seed for run in runs],
        "train_seconds": mean(run.timings["train_seconds"] for run in runs),
        "metrics": {name: spread([metrics[name] for metrics in every]) for name in names},
        "published": dict(row.published),
    }


def mean_row(whole: str, parts: Sequence[Sequence[Run]]) -> dict[str, Any]:
    """One row for a row in parts: the mean over them seed by seed, and its spread over seeds."""
    by_seed = [{run.settings.seed: run for run in runs} for runs in parts]
    seeds = sorted(set.intersection(*(set(runs) for runs in by_seed)))
    first = row_as_json(Row(whole, parts[0][0].settings), parts[0])

    def over_parts(name: str, seed: int) -> float | None:
        figures = [runs[seed].metrics[name] for runs in by_seed]
        return None if None in figures else mean(figures)

    return {
        **first,
        "row": f"{whole}, mean of {len(parts)}",
        "parts": len(parts),
        "seeds": seeds,
        "train_seconds": mean(run.timings["train_seconds"] for runs in parts for run in runs),
        "metrics": {
            name: spread([over_parts(name, seed) for seed in seeds]) for name in first["metrics"]
        },
    }


def units(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The unit of each metric that there is."""
    names = dict.fromkeys(name for row in rows for name in row["metrics"])
    known = {name: METRICS[name].unit for name in names if name in METRICS}
    return {**known, "train_seconds": "seconds of training, without evaluation"}


def spread(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean and sample standard deviation over seeds; none of the latter for a single one."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return {"mean": None, "std": None}
    return {"mean": mean(numbers), "std": stdev(numbers) if len(numbers) > 1 else None}


def compare(
    study: Study,
    *,
    out: str | Path = "runs",
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    data_dir: str | Path | None = None,
    on_progress: Callable[[Job, Progress | Run | str], None] | None = None,
) -> Result:
    """Train all rows of a study, each with every seed, and write its table.

    Runs that are finished are taken as they are. `jobs` of them are trained at once, where one of
    two threads counts as two, for threads that share a processor wait on each other. A row that
    fails is told in the result, and the others go on. `on_progress` is called with each job's
    progress, and when it ends with its run or the error's one line.

    Raises:
        AelabError: the data cannot be had, or nothing can be written.
    """
    folder = Path(out) / study.name
    where = Path(data_dir) if data_dir is not None else None
    work = [
        Job(
            row.name,
            seed,
            replace(row.settings, seed=seed),
            folder / row.name / f"seed-{seed}",
            study.split,
            where,
        )
        for row in study.rows
        for seed in seeds
    ]
    for row in study.rows:  # mistakes are better told before any training
        check_row(row, study.split, where, seeds[0])
    runs: dict[str, list[Run]] = {}
    errors: dict[str, str] = {}
    tell = on_progress or (lambda job, progress: None)
    for job, outcome in run_all(do_job, work, jobs, tell, size=threads_of):
        tell(job, outcome)
        if isinstance(outcome, Run):
            runs.setdefault(job.row, []).append(outcome)
        else:
            errors[job.label] = outcome
    for of_row in runs.values():
        of_row.sort(key=lambda run: run.settings.seed)
    result = Result(study, folder, runs, errors)
    write_results(result.as_json(), folder)
    return result
