"""Which model for one's own data: candidates are tried for longer and longer, the better half on.

Successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943), by thirds: all candidates are
trained for a while and held against each other on validation, the best third for three times as
long, the best of these for three times that. Every training begins anew, for its learning rate
follows the time that it has. PCA is a candidate in each round. The test split is read once, at the
end, for the chosen model and for PCA.
"""

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

from aelab.data.input_sets import InputDataset
from aelab.data.loading import load_settings, settled
from aelab.evaluate.leaks import leak_notes
from aelab.files import AelabError, InputError, read_json, write_json
from aelab.runs.lock import locked
from aelab.runs.measure import evaluate_run
from aelab.runs.resumable import Note, Progress
from aelab.runs.screen import TrainingScreen
from aelab.runs.store import Run
from aelab.runs.train import train_run
from aelab.settings import DataSettings
from aelab.studies.candidates import Candidate, candidates_for, code_size_of, settings_of
from aelab.studies.goals import Criterion, Goal, Measured, criterion_of, difference
from aelab.studies.study import Row, Study
from aelab.studies.summary import results_of
from aelab.studies.tables import write_results

FORMAT = 1
"""Of choose.json."""

THIRD = 3
"""Of the candidates of a round, one in so many goes on, for so many times as long."""

ROUNDS = 3

SHORTEST = 2.0
"""Seconds of training that tell candidates apart."""

USUAL_OVERHEAD = 3.0
"""Seconds that a trial takes besides its training, before any was measured."""

PAGE = 8.0
"""Seconds kept for the table and the page."""

GROUPS = ("reconstruction",)
"""Of metrics, that every trial is measured in besides the criterion."""

OnTrial = Callable[[str, Progress | Note | Run | str], None]


@dataclass(frozen=True)
class Trial:
    """One training of a candidate, and what it came to.

    >>> Trial("vae", 0, seconds=5.0, value=0.2).row
    'vae-round-1'
    """

    candidate: str
    round: int
    seconds: float
    """Of training, that it was given."""

    value: float | None = None
    """Of the criterion on validation; None until it is measured, and if training failed."""

    error: str = ""
    wall: float = 0.0
    """Seconds that it took in all."""

    @property
    def row(self) -> str:
        """What it is called: its folder too."""
        return f"{self.candidate}-round-{self.round + 1}"


@dataclass(frozen=True)
class Asked:
    """What a choice is made for, and within what.

    >>> Asked("reconstruction", budget=600.0).seed
    0
    """

    goal: Goal
    budget: float
    """Seconds of wall time."""

    latent_dim: int | None = None
    seed: int = 0


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

    >>> choice = Choice(Path("out"), Asked("codes", 60.0), 8, "accuracy", "more", (), "pca", None)
    >>> choice.run_folder.name
    'chosen'
    """

    folder: Path
    asked: Asked
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
        name, verdict = self.best.rpartition("-round-")[0], self.verdict
        assert verdict is not None
        told = (
            f"For {self.asked.goal} take {name}: {self.what} {verdict.chosen:.4g} on the test split"
        )
        if name == "pca":
            return f"{told}; nothing that was trained did better on validation."
        beside = f"{told}, and PCA's with as many numbers ({self.code_size}) {verdict.pca:.4g}"
        if verdict.half is None:
            return f"{beside}; one training each, so differences of a few per cent say nothing."
        apart = "" if verdict.sure else ": the two are not told apart"
        return f"{beside} (difference {verdict.gap:+.3g} ± {verdict.half:.2g}, 95 %){apart}."


@dataclass
class Search:
    """A search under way: what was tried, kept in ``choose.json`` after each trial.

    It goes on where it stopped: trials that are finished count with the time that they took, and a
    training goes on from its checkpoint.
    """

    folder: Path
    data: InputDataset
    told: DataSettings
    asked: Asked
    criterion: Criterion
    code_size: int
    on_trial: OnTrial
    trials: list[Trial] = field(default_factory=list)
    spent: float = 0.0
    """Seconds, of this process and of those before."""

    def run_of(self, trial: Trial) -> Path:
        """Its folder, as a study has it."""
        return self.folder / trial.row / f"seed-{self.asked.seed}"

    def save(self) -> None:
        """Write what is known so far."""
        write_json(
            self.folder / "choose.json",
            {
                "format": FORMAT,
                "asked": asdict(self.asked),
                "data": asdict(self.told),
                "sha256": self.data.sha256,
                "code_size": self.code_size,
                "spent": self.spent,
                "trials": [asdict(trial) for trial in self.trials],
            },
        )

    def restore(self) -> None:
        """Take up what an earlier process left.

        Raises:
            InputError: the folder holds something else, or another search.
        """
        path = self.folder / "choose.json"
        if not path.is_file():
            others = [one for one in self.folder.iterdir() if not one.name.startswith(".")]
            if others:
                raise InputError(f"{self.folder} holds other files; name a new folder with --out")
            return
        found = read_json(path)
        try:
            same = (
                found["format"] == FORMAT
                and found["asked"] == asdict(self.asked)
                and found["sha256"] == self.data.sha256
                and found["data"] == json.loads(json.dumps(asdict(self.told)))
            )
            trials = [Trial(**of) for of in found["trials"]]
            spent = float(found["spent"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} is damaged ({error}); name a new folder with --out"
            ) from error
        if not same:
            raise InputError(
                f"{self.folder} holds a choice for other data, or another goal, budget, code size "
                f"or seed; name a new folder with --out"
            )
        self.trials, self.spent = trials, spent

    def overhead(self) -> float:
        """Seconds that a trial takes besides its training."""
        known = [t.wall - t.seconds for t in self.trials if t.value is not None and t.seconds]
        return max(0.2, median(known)) if known else USUAL_OVERHEAD

    def left(self) -> float:
        """Seconds of the budget that trials still have."""
        return self.asked.budget - self.spent - PAGE - 2 * self.overhead()

    def round(self, number: int, entrants: list[Candidate]) -> list[Trial]:
        """Try each of some candidates for an equal share of what this round has.

        Those for whom no time is left are not tried.
        """
        rounds_left = ROUNDS - number
        end = self.spent + self.left() / rounds_left
        done: list[Trial] = []
        for place, candidate in enumerate(entrants):
            known = next(
                (t for t in self.trials if (t.candidate, t.round) == (candidate.name, number)), None
            )
            if known is not None and (known.value is not None or known.error):
                done.append(known)
                continue
            share = (end - self.spent) / (len(entrants) - place)
            seconds = share - self.overhead()
            trained = candidate.model != "pca"
            if known is None:
                if trained and seconds < SHORTEST:
                    if any(trial.seconds for trial in done):
                        continue
                    seconds = SHORTEST
                known = Trial(candidate.name, number, round(seconds, 1) if trained else 0.0)
                self.trials.append(known)
                self.save()
            done.append(self.do(candidate, known))
        return done

    def do(self, candidate: Candidate, trial: Trial) -> Trial:
        """Train and measure one."""
        begun, before = time.monotonic(), self.spent
        settings = settings_of(
            candidate,
            self.data,
            self.told,
            code_size=self.code_size,
            seconds=trial.seconds,
            seed=self.asked.seed,
        )

        def tell(progress: Progress | Note) -> None:
            self.spent = before + time.monotonic() - begun
            self.on_trial(trial.row, progress)

        value, error = None, ""
        try:
            run = train_run(
                settings,
                self.data,
                self.run_of(trial),
                split="validation",
                groups=GROUPS,
                on_progress=tell,
            )
            value = self.criterion.measure(run, self.data, "validation").value
            outcome: Run | str = run
            if not math.isfinite(value):
                value, error = None, f"its {self.criterion.what} is no number"
                outcome = error
        except AelabError as failure:
            error = outcome = str(failure)
        except BaseException:  # stopped: what this training took counts when it goes on
            self.spent = before + time.monotonic() - begun
            self.save()
            raise
        self.spent = before + time.monotonic() - begun
        finished = replace(trial, value=value, error=error, wall=trial.wall + self.spent - before)
        self.trials[self.trials.index(trial)] = finished
        self.save()
        self.on_trial(trial.row, outcome)
        return finished

    def ranked(self, trials: list[Trial]) -> list[Trial]:
        """Those that were measured, the best first."""
        measured = [trial for trial in trials if trial.value is not None]
        return sorted(measured, key=lambda trial: self.criterion.loss(trial.value or 0.0))


def choose(
    data: InputDataset,
    told: DataSettings,
    asked: Asked,
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
    criterion = criterion_of(asked.goal, data)
    code_size = code_size_of(data, asked.latent_dim)
    entrants = list(candidates_for(data, asked.goal))
    shortest = PAGE + 3 * USUAL_OVERHEAD + SHORTEST * ROUNDS
    if asked.budget < shortest:
        raise InputError(
            f"a budget of {asked.budget:g} s is too short for one candidate: give {shortest:.0f}s "
            f"or more"
        )
    search = Search(folder, data, told, asked, criterion, code_size, on_trial or (lambda *_: None))
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
        evaluate_run(Run.open(partial), data, "test")
        partial.rename(kept)
    verdict = None
    if pca is not None:
        measured = criterion.measure(Run.open(kept), data, "test")
        of_pca = criterion.measure(Run.open(search.run_of(pca)), data, "test")
        verdict = verdict_of(measured, of_pca, len(data.split("test")))
    write_table(search, ranked)
    search.save()
    return Choice(
        folder,
        search.asked,
        search.code_size,
        criterion.what,
        criterion.better,
        tuple(search.trials),
        best.row,
        verdict,
    )


def verdict_of(chosen: Measured, pca: Measured, inputs: int) -> Verdict:
    """Both figures on the test split, and how sure their difference is."""
    return Verdict(chosen.value, pca.value, *difference(chosen, pca, inputs))


def write_table(search: Search, ranked: list[Trial]) -> None:
    """What was tried, as a study on validation: its table and what a page is made of."""
    runs = {trial.row: [Run.open(search.run_of(trial))] for trial in ranked}
    rows = tuple(
        Row(trial.row, runs[trial.row][0].settings, budget=f"round-{trial.round + 1}")
        for trial in ranked
    )
    study = Study(
        search.folder.name,
        f"Which model for {search.asked.goal}: what was tried, on validation",
        "validation",
        rows,
        groups=GROUPS,
        seeds=(search.asked.seed,),
    )
    errors: dict[str, Any] = {t.row: t.error for t in search.trials if t.error}
    write_results(results_of(study, runs, errors=errors, audits={}, asked=None), search.folder)


def chosen_by(
    told: DataSettings, asked: Asked, folder: Path, data_dir: Path | None = None, *, plain: bool
) -> tuple[Choice, InputDataset]:
    """Load the data, and choose, with progress on the screen.

    Raises:
        AelabError: as `choose`, or the data cannot be had or are a graph.
    """
    told = settled(told, "inputs")
    data = load_settings(told, data_dir, seed=asked.seed)
    if not isinstance(data, InputDataset):
        raise InputError(f"{told.name} is a graph; aelab choose is for images, signals and tables")
    with TrainingScreen(plain=plain) as screen:
        for note in (*data.notes, *leak_notes(told, data, "test")):
            screen.say(f"{data.name}: {note}")
        return choose(data, told, asked, folder, on_trial=screen.tell), data
