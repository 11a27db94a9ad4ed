"""What a page is made of: a study's table, the run that stands for each row, and the data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aelab.data.dataset import Dataset
from aelab.files import AelabError, InputError, MissingFileError, read_json
from aelab.runs.store import Run
from aelab.studies.compare import dataset, row_as_json, units
from aelab.studies.study import Row
from aelab.studies.tables import Results

RESULTS_KEYS = {
    *("study", "title", "quick", "data", "split", "units", "rows"),
    *("verdicts", "claims", "audits", "errors"),
}
ROW_KEYS = {
    *("row", "model", "budget", "code_size", "parameters", "input_size", "seeds", "train_seconds"),
    *("metrics", "published", "audits"),
}


@dataclass(frozen=True)
class Material:
    """A run, or a study, to be shown."""

    folder: Path
    is_study: bool
    results: Results
    """The content of results.json; of a run, one row of the same form."""

    runs: Mapping[str, Run]
    """The run that stands for each row in pictures: its first seed."""

    data: Dataset
    left_out: tuple[str, ...] = field(default=())
    """What is not shown and why, a line each."""


def gather(
    folder: str | Path, data_dir: str | Path | None = None, data: Dataset | None = None
) -> Material:
    """Find out what there is to show in a folder.

    `data` are a run's own, where they are in memory; otherwise its settings say where they are.

    Raises:
        MissingFileError: the folder is neither a run's nor a study's, or its data are nowhere.
        InputError: it is damaged, half-finished, or of other data than there are now.
    """
    folder, where = Path(folder), None if data_dir is None else Path(data_dir)
    if (folder / "config.json").is_file():
        return of_run(folder, where, data)
    if (folder / "results.json").is_file():
        return of_study(folder, where)
    raise MissingFileError(
        f"{folder} is neither a run nor a study: it has no config.json and no results.json"
    )


def of_run(folder: Path, data_dir: Path | None, data: Dataset | None = None) -> Material:
    """A single run, as a study of one row."""
    run = Run.open(folder)
    if data is None:
        data = dataset(run.settings.data, data_dir, run.settings.seed)
    refuse_unfinished(run, data)
    row = row_as_json(Row(run.settings.model, run.settings), [run])
    results = {
        "study": run.settings.model,
        "title": run.settings.model,
        "quick": False,
        "data": data.name,
        "split": run.metrics["split"],
        "units": units([row]),
        "rows": [row],
        "verdicts": [],
        "claims": [],
        "audits": {},
        "errors": {},
    }
    return Material(folder, False, results, {run.settings.model: run}, data)


def of_study(folder: Path, data_dir: Path | None) -> Material:
    """A study, with those of its rows whose runs are there."""
    results = read_results(folder / "results.json")
    left_out = [f"Row {label} failed: {error}" for label, error in results["errors"].items()]
    found: dict[str, Run] = {}
    # Of rows in parts the page has the means; in pictures, the first part stands for each.
    wholes = [row for row in results["rows"] if row.get("parts")]
    for row in wholes or results["rows"]:
        for seed in row["seeds"]:
            try:
                run = run_of_row(folder, row, seed)
            except AelabError as error:
                left_out.append(f"Row {row['row']}, seed {seed}: {error}")
            else:
                found.setdefault(row["row"], run)
    if not found:
        raise InputError(f"{folder} has no row with a run: {'; '.join(left_out) or 'no rows'}")
    first = next(iter(found.values())).settings
    data = dataset(first.data, data_dir, first.seed)
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
    rows = [row for row in results["rows"] if row["row"] in runs]
    return Material(folder, True, {**results, "rows": rows}, runs, data, tuple(left_out))


def read_results(path: Path) -> dict[str, Any]:
    """The content of a study's results.json.

    Raises:
        InputError: it is none of a study's.
    """
    results = read_json(path)
    rows = results.get("rows") if isinstance(results, dict) else None
    if (
        not isinstance(rows, list)
        or not results.keys() >= RESULTS_KEYS
        or not all(isinstance(row, dict) and row.keys() >= ROW_KEYS for row in rows)
        or not is_record(results.get("asked"))
    ):
        raise InputError(f"{path} is no table of a study; write it anew with `aelab compare`")
    return dict(results)


def is_record(asked: object) -> bool:
    """Whether it can be what `aelab compare` was asked for; None, where it is not recorded."""
    return asked is None or (isinstance(asked, dict) and "study" in asked)


def run_of_row(folder: Path, row: Mapping[str, Any], seed: int) -> Run:
    """The run of a row and seed.

    Raises:
        AelabError: it is missing, unfinished, damaged or of another model.
    """
    name = str([*row.get("parts", ()), row["row"]][0])
    if Path(name).name != name:
        raise InputError(f"{name!r} is no name of a row")
    run = Run.open(folder / name / f"seed-{seed}")
    if run.settings.model != row["model"]:
        raise InputError(f"{run.folder} is a run of {run.settings.model}, not of {row['model']}")
    if not (run.folder / "model.safetensors").is_file():
        raise InputError(f"{run.folder} is not finished")
    return run


def refuse_unfinished(run: Run, data: Dataset) -> None:
    """Make sure that a run is trained and evaluated, and on these data.

    Raises:
        AelabError: it is not, or it is damaged.
    """
    run.refuse_other(data)
    assert run.model is not None  # reads the weights
    assert run.metrics  # and what was measured
    assert run.timings
