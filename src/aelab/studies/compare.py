"""A study: rows × seeds → runs → one table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from aelab.data.dataset import Dataset
from aelab.data.input_sets import InputDataset
from aelab.data.loading import load_settings, only_classes
from aelab.evaluate.audits import audit_data
from aelab.evaluate.columns import FACTS, METRICS, SLOW_GROUPS, metric_named
from aelab.evaluate.finite import NOT_FINITE, recorded, told
from aelab.figures import html
from aelab.files import InputError
from aelab.models.zoo import blueprint_of
from aelab.runs.jobs import run_all
from aelab.runs.record import describe
from aelab.runs.resumable import Note, Progress
from aelab.runs.store import Run
from aelab.runs.train import make_way, refuse_kind, train_run
from aelab.settings import DataSettings, RunSettings
from aelab.studies.study import Asked, Row, Study
from aelab.studies.tables import COSTS, caption, input_size, main_columns, write_results
from aelab.studies.verdicts import answer, verdict


def check_row(row: Row, split: str, data_dir: Path | None, seed: int) -> None:
    """Make sure that a row's model, hyperparameters and data go together.

    Raises:
        InputError: they do not; it names the row.
        MissingFileError: the data are nowhere to be found.
    """
    settings = row.settings
    try:
        blueprint = blueprint_of(settings)
        blueprint.complete(settings.hyperparameters)
        data = dataset(settings.data, data_dir, seed)
        refuse_kind(blueprint, data)
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
    groups: tuple[str, ...]
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


def do_job(job: Job, on_progress: Callable[[Progress | Note], None]) -> Run:
    """Train, evaluate and draw a run, unless that was done; another run there is set aside."""
    data = dataset(job.settings.data, job.data_dir, job.seed)
    if (told := make_way(job.folder, describe(job.settings, data))) is not None:
        on_progress(Note(told))
    run = train_run(
        job.settings,
        data,
        job.folder,
        split=job.split,
        groups=job.groups,
        on_progress=on_progress,
    )
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
    audits: Mapping[str, Any]
    """Of the data, by data set."""

    asked: Asked | None = None
    """Of `aelab compare`, if that trained it."""

    def as_json(self) -> dict[str, Any]:
        """The content of results.json."""
        rows = [
            row_as_json(row, runs) for row in self.study.rows if (runs := self.runs.get(row.name))
        ]
        rows += [mean_row(whole, parts) for whole, parts in self.wholes().items()]
        data = sorted({row.settings.data.name for row in self.study.rows})
        results = {
            "study": self.study.name,
            "asked": None if self.asked is None else asdict(self.asked_for(rows, self.asked)),
            "title": self.study.title,
            "quick": self.study.quick,
            "data": ", ".join(data),
            "split": self.study.split,
            "units": units(rows),
            "rows": rows,
            "verdicts": self.verdicts(rows),
            "claims": [verdict(claim, rows) for claim in self.study.claims],
            "audits": dict(self.audits),
            "errors": dict(self.errors),
        }
        return recorded(results)

    @property
    def notes(self) -> list[str]:
        """A line for each likely cause of figures that are not finite, and left empty."""
        of_runs = [note for runs in self.runs.values() for run in runs for note in run.notes]
        return of_runs + told(self.folder / "results.json", self.as_json())

    def asked_for(self, rows: Sequence[Mapping[str, Any]], asked: Asked) -> Asked:
        """What was asked, and the slow metrics that earlier commands asked for: runs keep them."""
        shown = {metric_named(name).group for row in rows for name in row["metrics"]}
        earlier = [name for name in SLOW_GROUPS if name in shown - set(self.study.groups)]
        return replace(asked, metrics=(*asked.metrics, *earlier))

    def verdicts(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        """The answers to the study's questions, budget by budget; of rows in parts, the means."""
        rows = [row for row in rows if row.get("parts")] or rows
        budgets = dict.fromkeys(row["budget"] for row in rows)
        return [
            {
                "question": question.question,
                "budget": budget,
                "answer": answer(
                    question, [shortened(row) for row in rows if row["budget"] == budget]
                ),
            }
            for question in self.study.questions
            for budget in budgets
        ]

    def wholes(self) -> dict[str, dict[str, Sequence[Run]]]:
        """The runs of each row that is in parts, part by part; only where all were finished."""
        wholes: dict[str, dict[str, Sequence[Run]]] = {}
        for row in self.study.rows:
            if row.part_of:
                wholes.setdefault(row.part_of, {})[row.name] = self.runs.get(row.name, [])
        return {whole: parts for whole, parts in wholes.items() if all(parts.values())}

    def _repr_html_(self) -> str:
        """The study in a notebook: its table, and a picture of each row's first seed."""
        results = self.as_json()
        shown = [
            f"<p>{escape(name)}</p>{html.picture(picture, name)}"
            for name, runs in self.runs.items()
            for picture in runs[0].pictures[:1]
        ]
        title = escape(results["title"] or results["study"])
        told = f"<p>{escape(caption(results))}</p>"
        table = html.table(main_columns(results)) if results["rows"] else ""
        return f"<h4>{title}</h4>{table}{told}{''.join(shown)}"


def shortened(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row under its name without the budget, where that is said already."""
    return {**row, "row": row["row"].removesuffix(f"-{row['budget']}")}


def row_as_json(row: Row, runs: Sequence[Run]) -> dict[str, Any]:
    """One row's figures over its seeds."""
    every = [run.metrics for run in runs]
    names = [name for name in every[0] if name not in FACTS]
    return {
        "row": row.name,
        "model": row.settings.model,
        **{
            fact: every[0][fact]
            for fact in FACTS
            if fact in every[0] and fact not in ("split", NOT_FINITE)
        },
        "input_size": input_size(runs[0]),
        "budget": row.budget,
        "seeds": [run.settings.seed for run in runs],
        **{name: mean_of(name, runs) for name in COSTS},
        "metrics": {name: spread([metrics.get(name) for metrics in every]) for name in names},
        "published": dict(row.published),
        "audits": every[0].get("audits", {}),
    }


def mean_row(whole: str, parts: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """One row for a row in parts: the mean over them seed by seed, and its spread over seeds."""
    every = [run for runs in parts.values() for run in runs]
    by_seed = [{run.settings.seed: run for run in runs} for runs in parts.values()]
    seeds = sorted(set.intersection(*(set(runs) for runs in by_seed)))
    first = row_as_json(Row(whole, every[0].settings), next(iter(parts.values())))

    def over_parts(name: str, seed: int) -> float | None:
        found = [runs[seed].metrics.get(name) for runs in by_seed]
        figures = [figure for figure in found if figure is not None]
        return mean(figures) if len(figures) == len(found) else None

    return {
        **{key: value for key, value in first.items() if key not in ("by_class", "worst")},
        "row": f"{whole}, mean of {len(parts)}",
        "parts": list(parts),
        "budget": "",
        "seeds": seeds,
        **{name: mean_of(name, every) for name in COSTS},
        "metrics": {
            name: spread([over_parts(name, seed) for seed in seeds]) for name in first["metrics"]
        },
        "audits": {},
    }


def mean_of(name: str, runs: Sequence[Run]) -> float | None:
    """Mean over seeds of what a training cost, if all of them know."""
    values = [run.timings[name] for run in runs if run.timings.get(name) is not None]
    return mean(values) if len(values) == len(runs) else None


def units(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The unit of each metric that there is."""
    names = dict.fromkeys(name for row in rows for name in row["metrics"])
    known = {name: METRICS[name].unit for name in names if name in METRICS}
    return {**known, "train_seconds": "seconds of training, without evaluation"}


def spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds; none of the latter for a single one."""
    numbers = [value for value in values if value is not None]
    return {
        "mean": mean(numbers) if numbers else None,
        "std": stdev(numbers) if len(numbers) > 1 else None,
        "values": list(values),
    }


def compare(
    study: Study,
    *,
    out: str | Path = "runs",
    seeds: Sequence[int] | None = None,
    jobs: int | None = None,
    data_dir: str | Path | None = None,
    asked: Asked | None = None,
    on_progress: Callable[[Job, Progress | Note | Run | str], None] | None = None,
) -> Result:
    """Train all rows of a study, each with every seed, and write its table.

    Seeds and jobs are the study's own unless given. Runs that are finished are taken as they are.
    `jobs` of them are trained at once, where one of two threads counts as two, for threads that
    share a processor wait on each other. A row that fails is told in the result, and the others
    go on. A run that was there with other settings is renamed, and never removed. `on_progress`
    is called with each job's progress and notes, and when it ends with its run or the error's one
    line. What was `asked` on the command line is recorded with the table.

    Raises:
        AelabError: the data cannot be had, or nothing can be written.
    """
    seeds, jobs = seeds or study.seeds, jobs or study.jobs
    folder = Path(out) / study.name
    where = Path(data_dir) if data_dir is not None else None
    work = [
        Job(
            row.name,
            seed,
            replace(row.settings, seed=seed),
            folder / row.name / f"seed-{seed}",
            study.split,
            study.groups,
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
    result = Result(study, folder, runs, errors, audits_of_data(study, where, seeds[0]), asked)
    write_results(result.as_json(), folder)
    return result


def audits_of_data(study: Study, data_dir: Path | None, seed: int) -> dict[str, Any]:
    """What the audits find in each data set of images of a study; in a quick one, nothing."""
    audits: dict[str, Any] = {}
    if study.quick:
        return audits
    for settings in dict.fromkeys(replace(row.settings.data, classes=None) for row in study.rows):
        data = dataset(settings, data_dir, seed)
        if isinstance(data, InputDataset) and data.name not in audits:
            audits[data.name] = audit_data(data, study.split)
    return audits
