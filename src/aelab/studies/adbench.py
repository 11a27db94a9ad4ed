"""`aelab compare adbench`: detectors of anomalies on many tables, beside what was published.

Each table is split as `data.adbench` has it: once as published, where small tables are resampled,
and once without that. Larger tables are the same either way, and done once. What is done is kept
in outcomes.jsonl, a line each, and not done again.
"""

import csv
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

from aelab.data.adbench import Table, read_table, sha256_of, split_halves, table_paths
from aelab.files import InputError, write_text
from aelab.machine import threads
from aelab.runs.jobs import run_all
from aelab.studies.detectors import (
    BATCH,
    DETECTORS,
    LEARNING_RATE,
    STEPS,
    scores,
)

NAME = "adbench"
SEEDS = (0, 1, 2)
JOBS = 2
QUICK_STEPS = STEPS // 10

OUTCOMES = "outcomes.jsonl"
"""The file of what is done."""

PUBLISHED = "Livernoche et al. 2024, arXiv 2305.18593; means of five seeds, github.com/vicliv/DTE"
"""Where the published figures are from, which adbench-published.csv has."""


@dataclass(frozen=True)
class Job:
    """One detector on one table.

    >>> Job(Path("14_glass.npz"), "", "pca", seed=1, resampled=True).label
    '14_glass resampled, pca, seed 1'
    """

    path: Path
    sha256: str
    """Of the table's file."""

    detector: str
    seed: int
    resampled: bool
    steps: int = STEPS

    @property
    def label(self) -> str:
        """How it is called on the screen."""
        how = " resampled" if self.resampled else ""
        return f"{self.path.stem}{how}, {self.detector}, seed {self.seed}"

    @property
    def key(self) -> str:
        """Of what its outcome follows from: the table's content, the detector, and its recipe."""
        facts = (self.sha256, self.detector, self.seed, self.resampled, recipe_told(self))
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Outcome:
    """What a detector came to on a table.

    >>> Outcome("", "14_glass", "pca", 0, False, 0.9, 0.3, 0.1, 0.0).auroc
    0.9
    """

    key: str
    """Of the job that it is of."""

    table: str
    detector: str
    seed: int
    resampled: bool
    auroc: float
    average_precision: float
    seconds: float
    """Of fitting and scoring."""

    seen: float
    """Share of the normal test rows that the detector was fitted to."""


def recipe_told(job: Job) -> tuple[object, ...]:
    """What a job's detector is trained by; of a rival nothing."""
    detector = DETECTORS[job.detector]
    code = (detector.most, detector.share)
    if detector.model is None:
        return code if job.detector == "pca" else ()
    hyperparameters = sorted(detector.hyperparameters.items())
    return (job.steps, BATCH, LEARNING_RATE, code, detector.model, hyperparameters)


@lru_cache(maxsize=1)
def table_at(path: Path) -> Table:
    """A table, read once for the jobs on it."""
    return read_table(path)


def do_job(job: Job, tell: Callable[[str], None]) -> Outcome:
    """Fit a detector, and score the test rows."""
    tell("begins")
    halves = split_halves(table_at(job.path), job.seed, resampled=job.resampled)
    start = time.perf_counter()
    with threads(1), threadpool_limits(1):
        found = scores(job.detector, halves, job.seed, job.steps)
    return Outcome(
        job.key,
        job.path.stem,
        job.detector,
        job.seed,
        job.resampled,
        float(roc_auc_score(halves.anomaly, found)),
        float(average_precision_score(halves.anomaly, found)),
        round(time.perf_counter() - start, 2),
        round(halves.seen, 4),
    )


@dataclass(frozen=True)
class TableFacts:
    """A table, as results tell of it.

    >>> TableFacts("14_glass", rows=214, columns=7, anomalies=9, small=True).rows
    214
    """

    name: str
    rows: int
    columns: int
    anomalies: int
    small: bool
    """It has fewer than 1,000 rows."""


def benchmark(
    folder: Path,
    *,
    data: Path | None = None,
    data_dir: Path | None = None,
    seeds: Sequence[int] = SEEDS,
    jobs: int = JOBS,
    quick: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[list[TableFacts], list[Outcome], dict[str, str]]:
    """Do what is not done yet: the tables, the outcomes of all jobs, and the errors of some.

    `data` is a folder of tables; see `data.adbench.table_paths` for where they are looked for
    otherwise. `tell` is given a line for each job that ends.

    Raises:
        AelabError: there are no tables, or one cannot be used.
    """
    table_at.cache_clear()  # files may be others since
    tables, work = [], []
    for path in table_paths(data, data_dir):
        table = read_table(path)  # mistakes are better told before any training
        rows, columns = table.x.shape
        anomalies = int(table.anomaly.sum())
        tables.append(TableFacts(path.stem, rows, columns, anomalies, table.small))
        sha256 = sha256_of(path)
        work += [
            Job(path, sha256, name, seed, resampled, QUICK_STEPS if quick else STEPS)
            for seed in seeds
            for resampled in ([True, False] if table.small else [False])
            for name in DETECTORS
        ]
    kept = {outcome.key: outcome for outcome in kept_outcomes(folder / OUTCOMES)}
    missing = [job for job in work if job.key not in kept]
    tell(f"{len(tables)} tables, {len(work) - len(missing)} of {len(work)} fits are done")
    errors = {}
    for number, (job, outcome) in enumerate(run_all(do_job, missing, jobs), 1):
        if isinstance(outcome, str):
            errors[job.label] = outcome
            tell(f"{number}/{len(missing)} {job.label}: failed: {outcome}")
            continue
        keep(folder / OUTCOMES, outcome)
        kept[job.key] = outcome
        tell(
            f"{number}/{len(missing)} {job.label}: AUROC {100 * outcome.auroc:.1f} %, "
            f"{outcome.seconds:.1f} s"
        )
    return tables, [kept[job.key] for job in work if job.key in kept], errors


def kept_outcomes(path: Path) -> Iterator[Outcome]:
    """The outcomes in a file, if it is there; a last line that was broken off is left out.

    Raises:
        InputError: another line is damaged.
    """
    if not path.is_file():
        return
    lines = path.read_text("utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            if line:
                yield Outcome(**json.loads(line))
        except (ValueError, TypeError) as error:
            if number == len(lines):  # no end of the line: it was being written
                return
            raise InputError(
                f"{path}, line {number} is damaged ({error}); remove the line, and it is done anew"
            ) from error


def keep(path: Path, outcome: Outcome) -> None:
    """Add an outcome to the file, whole, behind what was whole there."""
    if not path.is_file():
        write_text(path, "")
    try:
        with path.open("rb+") as file:
            content = file.read()
            file.seek(content.rfind(b"\n") + 1)
            file.truncate()
            file.write(json.dumps(asdict(outcome)).encode() + b"\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


@cache
def published() -> dict[str, dict[str, float]]:
    """The published AUROC in % by table and detector."""
    text = (files("aelab") / "studies" / "packaged" / "adbench-published.csv").read_text("utf-8")
    return {
        row.pop("set"): {name: float(value) for name, value in row.items()}
        for row in csv.DictReader(text.splitlines())
    }
