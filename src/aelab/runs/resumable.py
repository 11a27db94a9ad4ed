"""One training into a run's folder: scoring, the best epoch, checkpoints, what it cost."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aelab.data.dataset import Dataset
from aelab.data.input_sets import InputDataset
from aelab.evaluate.columns import Figures
from aelab.evaluate.finite import recorded
from aelab.evaluate.protocol import validate
from aelab.files import (
    AelabError,
    InputError,
    read_metadata,
    read_tensors,
    write_json,
    write_tensors,
    write_text,
)
from aelab.machine import forget_peak_memory, machine, peak_memory, threads
from aelab.models.contract import Autoencoder, Model
from aelab.models.zoo import FITTED_PRIOR
from aelab.runs.priors import Priors
from aelab.runs.store import Run
from aelab.runs.upgrade import FORMAT, OLDEST, upgraded_weights
from aelab.training.loop import TrainState, count_steps, fit, refuse_lost_weights
from aelab.training.processes import ALONE, Processes


@dataclass(frozen=True)
class Progress:
    """What is told while a run is trained.

    >>> from aelab.runs.screen import described
    >>> described(Progress(1.5, 3, {"mse": 0.02}, {"mse": 0.03}, 900, 60))
    'epoch 2/3 | mse 0.02 | val. MSE 0.0300 | 900/s'
    """

    epoch: float
    epochs: float
    losses: Mapping[str, float]
    validation: Figures
    """Of the last whole epoch, by metric."""

    images_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Note:
    """A line for the user about what is done with files.

    >>> Note("the older run is kept as seed-0.set-aside").text
    'the older run is kept as seed-0.set-aside'
    """

    text: str


CHECKPOINT_SECONDS = 30.0
"""A checkpoint is saved where training is so much further than at the last, in an epoch or after
one."""

LARGEST_SHARE = 0.02
"""Of the time, that checkpoints may take: where one takes long, the next is later."""

OnProgress = Callable[[Progress], None]


def checkpoint_in(folder: Path) -> Path:
    """The checkpoint of the run in a folder, where one was saved."""
    return folder / "checkpoint" / "state.safetensors"


def progress_in(folder: Path) -> Progress | None:
    """How far a training was at its last checkpoint, by its files alone; None without one."""
    try:
        return Progress(**json.loads(read_metadata(checkpoint_in(folder))["progress"])["shown"])
    except (AelabError, KeyError, TypeError, ValueError):  # for others to tell
        return None


class Training:
    """One training into a run's folder. Its files give the same bytes however often it stops.

    >>> from aelab.api import train
    >>> run = train("mean", "digits")
    >>> before = run.weights_sha256
    >>> Training(run, run.model, run.own_data()).go(on_progress=None)
    >>> run.weights_sha256 == before
    True
    """

    def __init__(
        self,
        run: Run,
        model: Model,
        data: Dataset,
        *,
        checkpoint_seconds: float | None = None,
        refuse_lost: Callable[[], None] = lambda: None,
        processes: Processes = ALONE,
    ) -> None:
        """`refuse_lost` raises an error if the folder is no longer ours to write in.

        Of several `processes` this is the first.
        """
        self.processes = processes
        self.run, self.model = run, model
        self.checkpoint_seconds = checkpoint_seconds
        self.refuse_lost = refuse_lost
        self.settings = run.settings
        self.recipe = self.settings.recipe
        self.given, self.data = data, data.to(self.recipe.device)
        self.checkpoint = checkpoint_in(run.folder)
        self.state = TrainState()
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.saved = time.monotonic()
        self.save_seconds = 0.0
        if self.checkpoint.is_file():
            self.restore()

    def go(self, on_progress: OnProgress | None) -> None:
        """Train to the end; leave the weights that are kept, a fitted prior, and the timings."""
        forgotten = forget_peak_memory()
        data = self.given
        self.processes.told(self.recipe.epochs)
        states = fit(
            self.model,
            self.data.split("train"),
            self.recipe,
            seed=self.settings.seed,
            state=self.state,
            initialise=self.settings.start is None,
            first=data.split("train"),
            processes=self.processes,
        )
        while not self.out_of_patience() and (state := next(states, None)) is not None:
            if state.epoch_ended:
                self.end_epoch()
            if self.save_is_due():
                self.save()
            if on_progress is not None:
                on_progress(self.progress())
        states.close()
        peak = peak_memory() if forgotten else None
        self.refuse_lost()
        self.write_history()
        if self.recipe.keep == "best" and self.best:
            self.model.load_state_dict(self.best)
        self.model.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.model.eval()
        refuse_lost_weights(self.model, self.recipe)
        if isinstance(self.model, Autoencoder) and self.model.code_size:
            priors = Priors(self.run.folder, self.settings, self.model, FORMAT)
            assert isinstance(data, InputDataset)
            priors.fit(FITTED_PRIOR, data)
        write_tensors(self.run.folder / "steps.safetensors", self.state.trace)
        write_json(self.run.folder / "timings.json", recorded(self.timings(peak)))
        self.refuse_lost()  # fitting a prior may have taken long
        # The weights come last: where they are, training is over.
        write_tensors(self.run.folder / "model.safetensors", self.model.state_dict())

    def timings(self, peak: int | None) -> dict[str, float | str | None]:
        """What the training cost; nothing else depends on it."""
        state = self.state
        seen = state.step * self.recipe.batch_size
        steps_per_epoch, _ = count_steps(len(self.data.split("train")), self.recipe)
        return {
            "train_seconds": state.seconds,
            "images_per_second": seen / state.seconds if state.seconds else None,
            "epochs": state.step / steps_per_epoch,
            "peak_memory_bytes": peak,
            "machine": machine(self.recipe.device),
        }

    def end_epoch(self) -> None:
        """Score the epoch on validation, and keep it if it is the best."""
        with threads(self.recipe.threads):
            validation = validate(self.model, self.data)
        epoch = {
            "epoch": self.state.epoch,
            "losses": self.state.losses,
            "validation_loss": validation.loss,
            "validation": validation.shown,
        }
        self.history.append(recorded(epoch))
        *others, last = self.validation_losses()
        if not others or last < min(others):
            self.best = {name: t.clone() for name, t in self.model.state_dict().items()}

    def save_is_due(self) -> bool:
        """Whether the last checkpoint is old enough. When it is saved changes nothing else."""
        pause = self.checkpoint_seconds
        pause = CHECKPOINT_SECONDS if pause is None else pause
        if pause:
            pause = max(pause, self.save_seconds * (1 / LARGEST_SHARE - 1))
        return time.monotonic() - self.saved >= pause

    def write_history(self) -> None:
        """Write history.jsonl, an epoch a line."""
        lines = "".join(json.dumps(past, allow_nan=False) + "\n" for past in self.history)
        write_text(self.run.folder / "history.jsonl", lines)

    def out_of_patience(self) -> bool:
        """No better epoch for as many epochs as the recipe allows."""
        if self.recipe.patience is None or not self.history:
            return False
        losses = self.validation_losses()
        return len(losses) - 1 - losses.index(min(losses)) >= self.recipe.patience

    def validation_losses(self) -> list[float]:
        """Of every epoch so far; one that is not finite is the worst there can be."""
        losses = [past["validation_loss"] for past in self.history]
        return [math.inf if loss is None else loss for loss in losses]

    def save(self) -> None:
        """Write all that going on needs, in one file, and the history so far."""
        begun = time.monotonic()
        self.refuse_lost()
        self.write_history()
        groups = {
            "model": self.model.state_dict(),
            "best": self.best,
            "moments": self.state.moments,
            "trace": self.state.trace,
        }
        tensors = {
            f"{group}/{name}": tensor
            for group, named in groups.items()
            for name, tensor in named.items()
        }
        progress = {
            "shown": asdict(self.progress()),
            "format": FORMAT,
            "step": self.state.step,
            "seconds": self.state.seconds,
            "history": self.history,
        }
        write_tensors(self.checkpoint, tensors, {"progress": json.dumps(progress)})
        self.saved = time.monotonic()
        self.save_seconds = self.saved - begun

    def restore(self) -> None:
        """Take up what `save` wrote.

        Raises:
            InputError: the checkpoint is not this run's.
        """
        names = ("model", "best", "moments", "trace")
        groups: dict[str, dict[str, Tensor]] = {name: {} for name in names}
        try:
            progress = json.loads(read_metadata(self.checkpoint)["progress"])
            version = progress.get("format", OLDEST)
            for key, tensor in read_tensors(self.checkpoint).items():
                group, _, name = key.partition("/")
                groups[group][name] = tensor
            for group in ("model", "best", "moments"):
                groups[group] = upgraded_weights(groups[group], self.run.config, version)
            refuse_unfitting(progress, groups, dict(self.model.named_parameters()))
            for group in ("best", "model") if groups["best"] else ("model",):
                self.model.load_state_dict(groups[group])
            self.best, self.history = groups["best"], progress["history"]
            self.state = TrainState(
                step=progress["step"],
                trace=groups["trace"],
                seconds=progress["seconds"],
                moments=groups["moments"],
            )
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{self.checkpoint} is damaged ({error}); remove {self.run.folder} to begin anew"
            ) from error

    def progress(self) -> Progress:
        """How far we are."""
        state = self.state
        rate = state.step / state.seconds if state.seconds else 0.0
        return Progress(
            epoch=state.epoch,
            epochs=self.recipe.epochs,
            losses=state.losses,
            validation=self.history[-1]["validation"] if self.history else {},
            images_per_second=rate * self.recipe.batch_size,
            seconds_left=(state.steps - state.step) / rate if rate else 0.0,
        )


def refuse_unfitting(
    progress: Mapping[str, Any],
    groups: Mapping[str, Mapping[str, Tensor]],
    parameters: Mapping[str, Tensor],
) -> None:
    """Raise ValueError or KeyError unless training can go on from what a checkpoint holds."""
    step, seconds, history = (progress[name] for name in ("step", "seconds", "history"))
    if not (type(step) is int and step > 0 and type(seconds) is float and 0 <= seconds < math.inf):
        raise ValueError(f"its step is {step!r}, its seconds are {seconds!r}")
    for past in history:
        loss = past["validation_loss"]
        if not (loss is None or type(loss) is float) or not isinstance(past["validation"], dict):
            raise ValueError(f"its history has the validation loss {loss!r}")
    for name, trace in groups["trace"].items():
        if trace.shape != (step,):
            raise ValueError(f"its loss term {name} is not of {step} steps")
    for name, parameter in parameters.items():
        for kind in ("exp_avg", "exp_avg_sq"):
            if groups["moments"][f"{kind}.{name}"].shape != parameter.shape:
                raise ValueError(f"its {kind} of {name} has another shape")
