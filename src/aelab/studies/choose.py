"""Which model for one's own data: the best of a search, and how it does on the test split.

PCA is a candidate. The test split is read once, at the end, for the chosen model and for PCA.
"""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from aelab.data.input_sets import InputDataset
from aelab.data.loading import load_object, load_settings, settled
from aelab.evaluate.leaks import leak_notes
from aelab.files import AelabError, InputError
from aelab.runs import kept_scores
from aelab.runs.lock import locked
from aelab.runs.measure import evaluate_run
from aelab.runs.screen import TrainingScreen
from aelab.runs.store import Run
from aelab.settings import DataSettings
from aelab.studies.candidates import Candidate, candidates_for, code_size_of
from aelab.studies.goals import UNLABELLED, Measured, criterion_of, difference
from aelab.studies.results import Spread
from aelab.studies.results import Verdict as Answer
from aelab.studies.search import (
    GROUPS,
    PAGE,
    ROUNDS,
    SHORTEST,
    THIRD,
    USUAL_OVERHEAD,
    OnTrial,
    Purpose,
    Search,
    Trial,
)
from aelab.studies.study import Row, Study
from aelab.studies.summary import results_of
from aelab.studies.tables import write_results


@dataclass(frozen=True)
class Verdict:
    """How the chosen model and PCA do on the test split.

    >>> Verdict(0.2, 0.3, -0.1, 0.02).sure
    True
    """

    chosen: float
    pca: float
    gap: float
    """Chosen less PCA's."""

    half: float | None
    """Half of the 95 % interval of the gap."""

    @property
    def sure(self) -> bool:
        """Whether the two are told apart."""
        return self.half is not None and abs(self.gap) > self.half


@dataclass(frozen=True)
class Choice:
    """The model that was chosen, and all that was tried.

    >>> choice = Choice(Path("out"), Purpose("codes", 60.0), 8, "accuracy", "more", (), "pca", None)
    >>> choice.run_folder.name
    'chosen'
    """

    folder: Path
    purpose: Purpose
    code_size: int
    what: str
    """The criterion, in words."""

    better: Literal["less", "more"]
    trials: tuple[Trial, ...]
    best: str
    """The row of the chosen trial."""

    verdict: Verdict | None

    @property
    def run_folder(self) -> Path:
        """The chosen run, ready for every verb."""
        return self.folder / "chosen"

    @property
    def answer(self) -> str:
        """The choice in a sentence, with how sure it is."""
        return f"For {self.purpose.goal} {self.advice}."

    @property
    def advice(self) -> str:
        """What to take, as the sentence goes on."""
        name, verdict = self.best.rpartition("-round-")[0], self.verdict
        assert verdict is not None
        figure = f"{self.what} {verdict.chosen:.4g} on the test split"
        told = f"take {name}: {figure}"
        if name == "pca":
            return f"{told}; nothing that was trained did better on validation"
        beside = f"{told}, and PCA's with as many numbers ({self.code_size}) {verdict.pca:.4g}"
        if verdict.half is None:
            return f"{beside}; one training each, so differences of a few per cent say nothing"
        apart = "" if verdict.sure else ": the two are not told apart"
        return f"{beside} (difference {verdict.gap:+.3g} ± {verdict.half:.2g}, 95 %){apart}"


def choose(
    data: InputDataset,
    told: DataSettings,
    purpose: Purpose,
    folder: Path,
    *,
    on_trial: OnTrial | None = None,
) -> Choice:
    """Find the model for these data and this goal within a budget, and leave it in ``chosen``.

    Raises:
        InputError: the data cannot have the goal, the budget is too short, or the folder is another
            search's.
        AelabError: every candidate failed.
    """
    criterion = criterion_of(purpose.goal, data)
    code_size = code_size_of(data, purpose.latent_dim)
    entrants = list(candidates_for(data, purpose.goal))
    shortest = PAGE + 3 * USUAL_OVERHEAD + SHORTEST * ROUNDS
    if purpose.budget < shortest:
        raise InputError(
            f"a budget of {purpose.budget:g} s is too short for one candidate: give "
            f"{math.ceil(shortest)}s or more"
        )
    search = Search(
        folder, data, told, purpose, criterion, code_size, on_trial or (lambda *_: None)
    )
    with locked(folder):
        search.restore()
        return found(search, entrants)


def found(search: Search, entrants: list[Candidate]) -> Choice:
    """The rounds, and what they come to."""
    pca, *others = entrants
    for number in range(ROUNDS):
        done = search.round(number, [pca, *others] if number == 0 else others)
        by_name = {one.name: one for one in entrants}
        going_on = [t for t in search.ranked(done) if t.candidate != pca.name]
        others = [by_name[t.candidate] for t in going_on[: math.ceil(len(others) / THIRD)]]
    ranked = search.ranked(search.trials)
    if search.criterion is UNLABELLED:  # PCA, which leaves noise and finds few anomalies, is last
        ranked.sort(key=lambda trial: trial.candidate == pca.name)
    if not ranked:
        raise AelabError(f"every candidate failed: {search.trials[0].error}")
    return concluded(search, ranked)


def concluded(search: Search, ranked: list[Trial]) -> Choice:
    """The choice, with the test split read, and the table written."""
    folder, data, criterion = search.folder, search.data, search.criterion
    best = ranked[0]
    pca = next((trial for trial in ranked if trial.candidate == "pca"), None)
    kept = folder / "chosen"
    if not (kept / "metrics.json").is_file():
        shutil.rmtree(kept, ignore_errors=True)
        partial = folder / "chosen.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(search.run_of(best), partial)
        run = Run.open(partial)
        kept_scores.keep_all(run, data)
        evaluate_run(run, data, "test")
        partial.rename(kept)
    verdict = None
    if pca is not None:
        measured = criterion.measure(Run.open(kept), data, "test")
        of_pca = criterion.measure(Run.open(search.run_of(pca)), data, "test")
        verdict = verdict_of(measured, of_pca, len(data.split("test")))
    choice = Choice(
        folder,
        search.purpose,
        search.code_size,
        criterion.what,
        criterion.better,
        tuple(search.trials),
        best.row,
        verdict,
    )
    write_table(search, ranked, choice)
    search.save()
    return choice


def verdict_of(chosen: Measured, pca: Measured, inputs: int) -> Verdict:
    """Both figures on the test split, and how sure their difference is."""
    return Verdict(chosen.value, pca.value, *difference(chosen, pca, inputs))


def write_table(search: Search, ranked: list[Trial], choice: Choice) -> None:
    """What was tried, as a study on validation: its table and what a page is made of."""
    purpose, runs = search.purpose, {t.row: [Run.open(search.run_of(t))] for t in ranked}
    rows = tuple(Row(row, of_row[0].settings) for row, of_row in runs.items())
    best = ranked[0].candidate
    study = Study(
        search.folder.name,
        f"For {purpose.goal} take {best}: what was tried, on validation",
        "validation",
        rows,
        groups=GROUPS,
        seeds=(purpose.seed,),
    )
    errors = {trial.row: trial.error for trial in search.trials if trial.error}
    found = results_of(study, runs, errors=errors, audits={}, asked=None)
    name, values = f"for {purpose.goal}", {trial.row: trial.value for trial in ranked}
    told = replace(
        found,
        rows=tuple(
            replace(row, metrics={**row.metrics, name: Spread.of([values[row.name]])})
            for row in found.rows
        ),
        units={**found.units, name: search.criterion.what},
        verdicts=(Answer(f"For {purpose.goal}", "", choice.advice),),
    )
    write_results(told, search.folder)


def chosen_by(
    source: object,
    settings: Mapping[str, Any],
    purpose: Purpose,
    folder: Path,
    data_dir: Path | None = None,
    *,
    plain: bool,
) -> tuple[Choice, InputDataset]:
    """Load the data, and choose, with progress on the screen.

    `source` is a name, a path, or data in memory; `settings` are those of data that are given.

    Raises:
        AelabError: as `choose`, or the data cannot be had or are a graph.
    """
    if isinstance(source, str):
        told = settled(DataSettings(source, **settings), "inputs")
        data = load_settings(told, data_dir, seed=purpose.seed)
    else:
        data, told = load_object(source, settings)
    if not isinstance(data, InputDataset):
        raise InputError(f"{told.name} is a graph; aelab choose is for images, signals and tables")
    with TrainingScreen(plain=plain) as screen:
        for note in (*data.notes, *leak_notes(told, data, "test")):
            screen.say(f"{data.name}: {note}")
        return choose(data, told, purpose, folder, on_trial=screen.tell), data


def usual_folder(data: str, goal: str) -> Path:
    """Where a choice goes unless another folder is named.

    >>> usual_folder("tables/customers.csv", "codes").as_posix()
    'runs/choose-customers-for-codes'
    """
    return Path("runs") / f"choose-{Path(data).stem}-for-{goal}"
