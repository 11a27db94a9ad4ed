"""What a page is made of: a study's table, the run that stands for each row, and the data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aelab.data.dataset import Dataset
from aelab.files import AelabError, InputError, MissingFileError, read_json
from aelab.runs.store import Run
from aelab.studies.compare import dataset
from aelab.studies.results import ResultRow, Results
from aelab.studies.summary import single_row, units


@dataclass(frozen=True)
class Material:
    """A run, or a study, to be shown.

    >>> from aelab.api import train
    >>> run = train("mean", "digits")
    >>> material = gather(run.folder)
    >>> material.is_study, list(material.runs), material.data.name
    (False, ['mean'], 'digits')
    """

    folder: Path
    is_study: bool
    results: Results
    """Of a run, of one row."""

    runs: Mapping[str, Run]
    """The run that stands for each row in pictures: its first seed."""

    data: Dataset | None
    """None where they cannot be had: then no figure is drawn that needs them."""

    data_run: Run | None = None
    """Whose settings say where the data are; None where they came from memory."""

    left_out: tuple[str, ...] = ()
    """What is not shown and why, a line each."""


def gather(
    folder: str | Path, data_dir: str | Path | None = None, data: Dataset | None = None
) -> Material:
    """Find out what there is to show in a folder.

    `data` are a run's own, where they are in memory; otherwise its settings say where they are.
    """
    folder, where = Path(folder), None if data_dir is None else Path(data_dir)
    if (folder / "config.json").is_file():
        return of_run(folder, where, data)
    if (folder / "results.json").is_file():
        return of_study(folder, where)
    raise MissingFileError(
        f"{folder} is neither a run nor a study: it has no config.json and no results.json"
    )


def of_run(folder: Path, data_dir: Path | None, data: Dataset | None) -> Material:
    """A single run, as a study of one row."""
    run = Run.open(folder)
    left_out: tuple[str, ...] = ()
    data_run = run if data is None else None
    if data is None:
        data, left_out = found_data(run, data_dir)
    else:
        data = run.prepared(data)
    refuse_unfinished(run, data)
    row = single_row(run)
    results = Results(
        study=row.name,
        title=row.name,
        quick=False,
        data=run.settings.data.name if data is None else data.name,
        split=run.metrics["split"],
        units=units([row]),
        rows=(row,),
    )
    return Material(folder, False, results, {row.name: run}, data, data_run, left_out)


def found_data(run: Run, data_dir: Path | None) -> tuple[Dataset | None, tuple[str, ...]]:
    """What a run was trained on; where it cannot be had, a line that says what that costs."""
    settings = run.settings
    try:
        data = run.prepared(dataset(settings.data, data_dir, settings.seed))
        run.refuse_other(data)
        return data, ()
    except AelabError as error:
        return None, (f"Figures that are drawn of the data, which cannot be had: {error}",)


def of_study(folder: Path, data_dir: Path | None) -> Material:
    """A study, with those of its rows whose runs are there."""
    results = read_results(folder / "results.json")
    left_out = [f"Row {label} failed: {error}" for label, error in results.errors.items()]
    found: dict[str, Run] = {}
    # Of rows in parts the page has the means; in pictures, the first part stands for each.
    wholes = [row for row in results.rows if row.parts]
    for row in wholes or results.rows:
        for seed in row.seeds:
            try:
                run = run_of_row(folder, row, seed)
            except AelabError as error:
                left_out.append(f"Row {row.name}, seed {seed}: {error}")
            else:
                found.setdefault(row.name, run)
    if not found:
        raise InputError(f"{folder} has no row with a run: {'; '.join(left_out) or 'no rows'}")
    run = next(iter(found.values()))
    data, without = found_data(run, data_dir)
    left_out += without
    runs: dict[str, Run] = {}
    for name, run in found.items():
        try:
            refuse_unfinished(run, data)
        except AelabError as error:
            left_out.append(f"Row {name}: {error}")
        else:
            runs[name] = run
    if not runs:
        raise InputError(f"{folder} has no row that can be shown: {'; '.join(left_out)}")
    rows = tuple(row for row in results.rows if row.name in runs)
    results = replace(results, rows=rows)
    return Material(folder, True, results, runs, data, run, tuple(left_out))


def read_results(path: Path) -> Results:
    """The content of a study's results.json; InputError, if it is none of a study's."""
    content = read_json(path)
    try:
        return Results.from_json(content)
    except InputError as error:
        told = f"{path} is no table of a study ({error}); write it anew with `aelab compare`"
        raise InputError(told) from error


def run_of_row(folder: Path, row: ResultRow, seed: int) -> Run:
    """The run of a row and seed; AelabError, if it is missing, unfinished or of another model."""
    name = (*(row.parts or ()), row.name)[0]
    if Path(name).name != name:
        raise InputError(f"{name!r} is no name of a row")
    run = Run.open(folder / name / f"seed-{seed}")
    if run.settings.model != row.model:
        raise InputError(f"{run.folder} is a run of {run.settings.model}, not of {row.model}")
    if not (run.folder / "model.safetensors").is_file():
        raise InputError(f"{run.folder} is not finished")
    return run


def refuse_unfinished(run: Run, data: Dataset | None) -> None:
    """Raise AelabError unless a run is trained and evaluated, on these data and undamaged."""
    if data is not None:
        run.refuse_other(data)
    assert run.model is not None  # reads the weights
    assert run.metrics  # and what was measured
    assert run.timings
