"""A study: rows × seeds → runs → one table."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path

from aelab.data.dataset import Dataset
from aelab.data.input_sets import InputDataset
from aelab.data.loading import load_settings, only_classes
from aelab.evaluate import features
from aelab.evaluate.audits import Finding, audit_data
from aelab.evaluate.samples import most_samples, reference_of
from aelab.files import InputError
from aelab.models.zoo import blueprint_of
from aelab.runs.jobs import Places, run_all
from aelab.runs.record import describe
from aelab.runs.resumable import Note, Progress, progress_in
from aelab.runs.store import Run
from aelab.runs.train import make_way, refuse_device, refuse_kind, train_run
from aelab.settings import DataSettings, RunSettings
from aelab.studies import html
from aelab.studies.answers import answers
from aelab.studies.elsewhere import on_classes
from aelab.studies.results import Results
from aelab.studies.study import Asked, Row, Study
from aelab.studies.summary import results_of
from aelab.studies.tables import caption, main_columns, write_results


def check_row(row: Row, split: str, data_dir: Path | None, seed: int) -> None:
    """Make sure that a row's model, hyperparameters and data go together.

    Raises:
        InputError: they do not; it names the row.
        MissingFileError: the data are nowhere to be found.
    """
    try:
        blueprint = blueprint_of(row.settings)
        blueprint.complete(row.settings.hyperparameters)
        data = dataset(row.settings.data, data_dir, seed)
        refuse_kind(blueprint, data)
        data.split(split)
    except InputError as error:
        raise InputError(f"row {row.name}: {error}") from error


def unfit_rows(study: Study, data_dir: Path | None, seed: int) -> dict[str, str]:
    """The rows of a study on other data that are not for these, each with its error's one line.

    Raises:
        InputError: a mistake in a row of a study on its own data, or all rows of one on others.
        MissingFileError: the data are nowhere to be found.
    """
    errors = {}
    for row in study.rows:
        try:
            check_row(row, study.split, data_dir, seed)
        except InputError as error:
            errors[row.name] = str(error).removeprefix(f"row {row.name}: ")
            if not study.elsewhere or len(errors) == len(study.rows):
                raise
    return errors


def adapted(study: Study, data_dir: Path | None, seed: int) -> Study:
    """A study on other data with its rows of one class each for the classes of these, if any."""
    first = next((row for row in study.rows if row.part_of), None)
    if not study.elsewhere or first is None:
        return study
    data = dataset(replace(first.settings.data, classes=None), data_dir, seed)
    return on_classes(study, data.classes) if isinstance(data, InputDataset) else study


@dataclass(frozen=True)
class Job:
    """One run of a study.

    >>> settings = RunSettings("vae")
    >>> Job("vae", 1, settings, Path("runs/vae/seed-1"), "test", ("bound",), data_dir=None).label
    'vae, seed 1'
    """

    row: str
    seed: int
    settings: RunSettings
    folder: Path
    split: str
    groups: tuple[str, ...]
    data_dir: Path | None
    inputs: int | None = None
    """Of the validation and of the test split, that are measured on; all unless given."""

    keep_scores: bool = True
    """Whether the run keeps what anomalies are told by; otherwise once it is asked for."""

    @property
    def data(self) -> Dataset:
        """What it is trained and measured on."""
        data = dataset(self.settings.data, self.data_dir, self.seed)
        if self.inputs is not None and isinstance(data, InputDataset):
            return data.measured_on(self.inputs)
        return data

    @property
    def is_done(self) -> bool:
        """Whether it was measured, by its files."""
        return (self.folder / "metrics.json").is_file()

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
    data = job.data
    if (told := make_way(job.folder, describe(job.settings, data))) is not None:
        on_progress(Note(told))
    run = train_run(
        job.settings,
        data,
        job.folder,
        split=job.split,
        groups=job.groups,
        keep_scores=job.keep_scores,
        on_progress=on_progress,
    )
    assert run.timings  # a damaged file is this row's failure
    return replace(run)  # without its weights, which it keeps once it has read them


def learn_features(jobs: Sequence[Job], on_progress: Callable[[Job, Note], None]) -> None:
    """Learn once, before jobs that may run at once, what the samples of all are compared in."""
    first: dict[tuple[DataSettings, int], Job] = {}
    for job in jobs:
        if "samples" in job.groups and not job.is_done:
            first.setdefault((job.settings.data, job.seed), job)
    for job in first.values():
        data = job.data
        if isinstance(data, InputDataset) and data.spec.kind == "images":
            if features.are_there(data) and not features.are_known(data):
                told = "learning the features that samples are compared by; this is done once"
                on_progress(job, Note(told))
            for split in ("validation", job.split):
                reference_of(data, split, most_samples(data, split), job.seed)


def seen(job: Job) -> Progress | None:
    """How far a run elsewhere is, by its files."""
    return None if job.is_done else progress_in(job.folder)


def forget_data() -> None:
    """Free the memory of data sets; files may be mended before the next study."""
    dataset.cache_clear()


def forget_everywhere(executor: Executor | None) -> None:
    """Free it here, and where an executor's places keep theirs."""
    forget_data()
    if isinstance(executor, Places):
        executor.everywhere(forget_data)


@dataclass(frozen=True)
class Result:
    """A study with the runs that it gave, by row, and what went wrong.

    >>> from aelab.studies.study import load_study
    >>> study = load_study("links")
    >>> Result(study, Path("runs/links"), {}, {"vgae": "out of memory"}, {}).results.errors
    {'vgae': 'out of memory'}
    """

    study: Study
    folder: Path
    runs: Mapping[str, Sequence[Run]]
    errors: Mapping[str, str]
    audits: Mapping[str, Mapping[str, Finding]]
    """Of the data, by data set."""

    asked: Asked | None = None
    """Of `aelab compare`, if that trained it."""

    @property
    def results(self) -> Results:
        """What the runs come to, as they are now."""
        return results_of(
            self.study, self.runs, errors=self.errors, audits=self.audits, asked=self.asked
        )

    @property
    def notes(self) -> list[str]:
        """A line for each likely cause of figures that are not finite, and left empty."""
        return [note for runs in self.runs.values() for run in runs for note in run.notes]

    def _repr_html_(self) -> str:
        """The study in a notebook: its answers, its table, a picture of each row's first seed."""
        results = self.results
        shown = [
            f"<p>{escape(name)}</p>{html.picture(picture, name)}"
            for name, runs in self.runs.items()
            for picture in runs[0].pictures[:1]
        ]
        columns = {column.head: column.texts for column in main_columns(results)}
        table = html.table(columns) if results.rows else ""
        told = [f"<p><b>{escape(of.lead)}</b> {escape(of.text)}</p>" for of in answers(results)]
        return (
            f"<h4>{escape(results.heading)}</h4>{''.join(told)}{table}<p>{escape(caption(results))}</p>"
            + ("".join(shown))
        )


def compare(
    study: Study,
    *,
    out: str | Path = "runs",
    seeds: Sequence[int] | None = None,
    jobs: int | None = None,
    data_dir: str | Path | None = None,
    asked: Asked | None = None,
    executor: Executor | None = None,
    on_progress: Callable[[Job, Progress | Note | Run | str], None] | None = None,
) -> Result:
    """Train all rows of a study, each with every seed, and write its table.

    Seeds and jobs are the study's own unless given. Finished runs are taken as they are; one with
    other settings is renamed, and never removed. `jobs` runs are trained at once, where one of two
    threads counts as two. A row that fails is told in the result, and the others go on.
    `on_progress` is called with each job's progress and notes, and when it ends with its run or
    the error's one line. What was `asked` on the command line is recorded with the table.

    An `executor` of concurrent.futures, for instance `runs.cluster`'s, is given all runs at once,
    and decides itself where and how many. Its workers need the same folders and data, and a process
    each while they train, for PyTorch's random numbers are a process's own. Their progress is read
    from the runs' checkpoints.

    Raises:
        AelabError: the data or a device cannot be had, or nothing can be written.
    """
    forget_everywhere(executor)  # after a study that was broken off
    seeds, jobs = seeds or study.seeds, jobs or study.jobs
    folder = Path(out) / study.name
    where = Path(data_dir) if data_dir is not None else None
    study = adapted(study, where, seeds[0])
    # Mistakes are better told before any training.
    errors = unfit_rows(study, where, seeds[0])
    for device in {row.settings.recipe.device for row in study.rows}:
        refuse_device(device)
    fit = [row for row in study.rows if row.name not in errors]
    work = [
        Job(
            row.name,
            seed,
            replace(row.settings, seed=seed),
            folder / row.name / f"seed-{seed}",
            study.split,
            (*study.groups, *row.groups),
            where,
            study.inputs,
            keep_scores=not study.quick,
        )
        for row in fit
        for seed in seeds
    ]
    runs: dict[str, list[Run]] = {}
    tell = on_progress or (lambda job, progress: None)
    if executor is None:
        learn_features(work, tell)
    for job, outcome in run_all(
        do_job, work, jobs, tell, lambda job: job.settings.recipe.threads, executor, seen
    ):
        tell(job, outcome)
        if isinstance(outcome, Run):
            runs.setdefault(job.row, []).append(outcome)
        else:
            errors[job.label] = outcome
    for of_row in runs.values():
        of_row.sort(key=lambda run: run.settings.seed)
    audits = audits_of_data(replace(study, rows=tuple(fit)), where, seeds[0])
    forget_everywhere(executor)  # the caller's memory is its own again
    result = Result(study, folder, runs, errors, audits, asked)
    write_results(result.results, folder)
    return result


def audits_of_data(study: Study, data_dir: Path | None, seed: int) -> dict[str, dict[str, Finding]]:
    """What the audits find in each data set of images of a study; in a quick one, nothing."""
    audits: dict[str, dict[str, Finding]] = {}
    if study.quick:
        return audits
    for settings in dict.fromkeys(replace(row.settings.data, classes=None) for row in study.rows):
        data = dataset(settings, data_dir, seed)
        if isinstance(data, InputDataset) and data.name not in audits:
            audits[data.name] = audit_data(data, study.split)
    return audits
