"""A search for a model under way: trials, what they came to, and how much time is left.

Successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943), by thirds: all candidates are
trained for a while and held against each other on validation, the best third for three times as
long, the best of these for three times that. Every training begins anew, for its learning rate
follows the time that it has.
"""

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median

from aelab.data.input_sets import InputDataset
from aelab.files import AelabError, InputError, WriteError, read_json, write_json
from aelab.runs.resumable import Note, Progress
from aelab.runs.store import Run
from aelab.runs.train import train_run
from aelab.settings import DataSettings, checked
from aelab.studies.candidates import Candidate, settings_of
from aelab.studies.goals import Criterion, Goal

FORMAT = 1
"""Of choose.json."""

THIRD = 3
"""Of the candidates of a round, one in so many goes on, for so many times as long."""

ROUNDS = 3

SHORTEST = 2.0
"""Seconds of training that tell candidates apart."""

USUAL_OVERHEAD = 3.0
"""Seconds that a trial takes besides its training, before any was measured."""

PAGE, PICTURES = 10.0, 6.0
"""Seconds kept for the start, the table and the page; and for more on the page of images."""

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
class Purpose:
    """What a model is chosen for, and within what.

    >>> Purpose("reconstruction", budget=600.0).seed
    0
    """

    goal: Goal
    budget: float
    """Seconds of wall time."""

    latent_dim: int | None = None
    seed: int = 0


@dataclass
class Search:
    """A search under way: what was tried, kept in ``choose.json`` after each trial.

    It goes on where it stopped: trials that are finished count with the time that they took, and a
    training goes on from its checkpoint.
    """

    folder: Path
    data: InputDataset
    told: DataSettings
    purpose: Purpose
    criterion: Criterion
    code_size: int
    on_trial: OnTrial
    trials: list[Trial] = field(default_factory=list)
    spent: float = 0.0
    """Seconds, of this process and of those before."""

    def run_of(self, trial: Trial) -> Path:
        """Its folder, as a study has it."""
        return self.folder / trial.row / f"seed-{self.purpose.seed}"

    def save(self) -> None:
        """Write what is known so far."""
        write_json(
            self.folder / "choose.json",
            {
                "format": FORMAT,
                "purpose": asdict(self.purpose),
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
                and found["purpose"] == asdict(self.purpose)
                and found["sha256"] == self.data.sha256
                and found["data"] == json.loads(json.dumps(asdict(self.told)))
            )
            trials = [checked(Trial, of, "trials") for of in found["trials"]]
            spent = float(found["spent"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
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
        measured = [trial for trial in self.trials if trial.value is not None]
        known = [trial.wall - trial.seconds for trial in measured if trial.seconds]
        if known:
            return max(0.2, median(known))
        return max([USUAL_OVERHEAD, *(trial.wall for trial in measured)])  # PCA's, if any

    def left(self) -> float:
        """Seconds of the budget that trials still have."""
        kept = PAGE + (PICTURES if self.data.spec.kind == "images" else 0) + 2 * self.overhead()
        return self.purpose.budget - self.spent - kept

    def round(self, number: int, entrants: list[Candidate]) -> list[Trial]:
        """Try each of some candidates for an equal share of what this round has.

        Those for whom no time is left are not tried; where there is enough for one alone, it is the
        first.
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
                    seconds = end - self.spent - self.overhead()  # the first has it all
                if trained and seconds < SHORTEST:
                    if any(trial.seconds for trial in self.trials):
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
            seed=self.purpose.seed,
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
                keep_scores=False,  # the chosen run alone needs them
                on_progress=tell,
            )
            value = self.criterion.measure(run, self.data, "validation").value
            outcome: Run | str = run
            if not math.isfinite(value):
                value, error = None, f"its {self.criterion.what} is no number"
                outcome = error
        except WriteError:  # nothing that the candidate could be blamed for
            self.spent = before + time.monotonic() - begun
            with suppress(WriteError):
                self.save()
            raise
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
