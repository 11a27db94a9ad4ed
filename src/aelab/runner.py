"""Training a run into its folder: scoring, the best epoch, checkpoints, what is left at the end."""

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aelab.data import Dataset
from aelab.data.graphs import GraphDataset
from aelab.evaluate import validate
from aelab.evaluate.columns import QUICK_GROUPS, Figures
from aelab.files import (
    InputError,
    read_metadata,
    read_tensors,
    write_json,
    write_tensors,
    write_text,
)
from aelab.models import build, model_class
from aelab.models.link_base import LinkModel, Model
from aelab.randomness import seeded
from aelab.runs import Run, describe, same_work
from aelab.sampling import CodeSource, fit_prior
from aelab.settings import InputSpec, RunSettings, thaw
from aelab.train import TrainState, count_steps, fit, threads


@dataclass(frozen=True)
class Progress:
    """What is told while a run is trained."""

    epoch: float
    epochs: float
    losses: Mapping[str, float]
    validation: Figures
    """Of the last whole epoch, by metric."""

    images_per_second: float
    seconds_left: float


CHECKPOINT_SECONDS = 5.0
"""A checkpoint is saved at the first end of an epoch that is so much later than the last."""

MEASURED_SHARE = 0.05
"""Of a budget of seconds, spent on measuring how fast a model trains."""

OnProgress = Callable[[Progress], None]


def train_run(
    settings: RunSettings,
    data: Dataset,
    folder: str | Path,
    *,
    split: str = "test",
    groups: Collection[str] = QUICK_GROUPS,
    start: Run | None = None,
    on_progress: OnProgress | None = None,
) -> Run:
    """Train a model into a run folder, or go on where a stopped training of it was.

    A folder that holds this very run, finished, is left as it is, but for an evaluation on
    another split, or in other groups of metrics, than it had. Training begins at the weights of the
    run `start`, if one is given: of the same model, with inputs of the same shape.

    Raises:
        AelabError: settings that the model does not take, a folder that is another run's or
            none, a loss that is not finite.
    """
    folder = Path(folder)
    data.split(split)
    refuse_device(settings.recipe.device)
    refuse_kind(settings.model, data)
    if start is not None:
        refuse_start(start, settings, data)
        settings = replace(settings, start=start.weights_sha256)
    settings = with_epochs(settings, data, folder)
    config = describe(settings, data)
    model = new_model(settings, data)
    if start is not None:
        take_weights(model, start)
    claim(folder, config)
    run = Run(folder, json.loads(json.dumps(config)))
    if not (folder / "model.safetensors").is_file():
        write_json(folder / "config.json", config)
        Training(run, model, data).go(on_progress)
    if not run.is_finished(split, groups):
        missing = set(groups) - set(run.evaluated(split).get("groups", ()))
        run.evaluate(data, split, missing or groups)
        run.draw(data, split)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return run


def new_model(settings: RunSettings, data: Dataset) -> Model:
    """The model as it is before training.

    Raises:
        InputError: it cannot be built for these data with these hyperparameters.
    """
    hyperparameters = describe(settings, data)["hyperparameters"]
    try:
        with seeded(settings.seed, "initialisation"):
            model: Model = build(settings.model, data.spec, **thaw(hyperparameters))
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"model {settings.model}: {reason}") from error
    return model


def with_epochs(settings: RunSettings, data: Dataset, folder: Path) -> RunSettings:
    """The settings with a budget of seconds turned into epochs; those of a run that is there.

    The speed is that of a few steps of a model that is thrown away, after some to warm up.
    """
    recipe = settings.recipe
    if recipe.seconds is None:
        return settings
    if (folder / "config.json").is_file():
        begun = Run.open(folder)
        if same_work(begun.config, describe(settings, data)):
            return begun.settings
    training = data.to(recipe.device).split("train")
    measured: list[tuple[int, float]] = []
    steps_per_epoch = 1
    endless = replace(recipe, epochs=1e6)
    for state in fit(new_model(settings, data), training, endless, seed=settings.seed):
        measured.append((state.step, state.seconds))
        steps_per_epoch = state.steps_per_epoch
        if measured[-1][1] - measured[0][1] >= MEASURED_SHARE * recipe.seconds:
            break
    if not measured:  # nothing to train
        return replace(settings, recipe=replace(recipe, epochs=0.0))
    (first, start), (last, end) = measured[0], measured[-1]
    steps = max(1, round(recipe.seconds * (last - first) / (end - start)))
    return replace(settings, recipe=replace(recipe, epochs=steps / steps_per_epoch))


def refuse_kind(model: str, data: Dataset) -> None:
    """Raise InputError if a model of images meets a graph, or the other way round."""
    if issubclass(model_class(model), LinkModel) == isinstance(data, GraphDataset):
        return
    wanted, given = (
        ("images", "a graph") if isinstance(data, GraphDataset) else ("a graph", "images")
    )
    raise InputError(f"{model} is a model of {wanted}, and {data.name} is {given}; see --data")


def refuse_start(start: Run, settings: RunSettings, data: Dataset) -> None:
    """Raise InputError unless training can go on from `start` with these settings and data."""
    if start.settings.model != settings.model:
        raise InputError(f"{start.folder} is a {start.settings.model}, not a {settings.model}")
    if not list(start.model.parameters()):
        raise InputError(f"{start.folder}: a {settings.model} has no weights to train on from")
    if isinstance(start.spec, InputSpec) and described(start.spec) != described(data.spec):
        raise InputError(
            f"{start.folder} takes {described(start.spec)}; {data.name} has {described(data.spec)}"
        )


def described(spec: InputSpec) -> str:
    """Shape and range of the inputs of a model."""
    values = f"from 0 to {spec.peak:.4g}" if spec.bounded else "standardised"
    return f"inputs of shape {'×'.join(map(str, spec.shape))}, {values}"


def take_weights(model: Model, start: Run) -> None:
    """Give the model the weights of `start`.

    Raises:
        InputError: they are of other shapes.
    """
    try:
        model.load_state_dict(start.model.state_dict())
    except RuntimeError as error:
        asked, given = (dict(of.named_parameters()) for of in (model, start.model))
        other = [n for n in asked if n not in given or asked[n].shape != given[n].shape]
        raise InputError(
            f"{start.folder} has weights of other shapes ({', '.join(other[:3])}): use its "
            f"hyperparameters, and inputs of the same shape"
        ) from error


def refuse_device(device: str) -> None:
    """Raise InputError if there is no such device here."""
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {device!r} cannot be used ({reason}); try cpu") from error


def claim(folder: Path, config: Mapping[str, Any]) -> None:
    """Make sure that `folder` is this run's to write in.

    Raises:
        InputError: it holds another run, or something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder; name another with --out")
    if not folder.exists() or all(path.name.startswith(".") for path in folder.iterdir()):
        return
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds other files; name a new folder with --out")
    if not same_work(Run.open(folder).config, config):
        raise InputError(
            f"{folder} holds a run with other settings or data; name another folder with "
            f"--out, or remove this one"
        )


def make_way(folder: Path, config: Mapping[str, Any]) -> None:
    """Remove an older run from a study's own folder, if its settings or data were others."""
    path = folder / "config.json"
    if not path.is_file():
        return
    try:
        stays = same_work(Run.open(folder).config, config)
    except InputError:
        stays = False
    if not stays:
        shutil.rmtree(folder)


def forget_peak_memory() -> bool:
    """Start the process's peak of resident memory anew; whether the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_memory() -> int:
    """Peak of the process's resident memory in bytes since it was last forgotten."""
    status = Path("/proc/self/status").read_text()
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)


def machine() -> str:
    """The processor's name, how many there are, and the system, for people to read."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} processors, {platform.system()}"


class Training:
    """One training into a run's folder. Its files give the same bytes however often it stops."""

    def __init__(self, run: Run, model: Model, data: Dataset) -> None:
        self.run, self.model = run, model
        self.settings = run.settings
        self.recipe = self.settings.recipe
        self.data = data.to(self.recipe.device)
        self.checkpoint = run.folder / "checkpoint" / "state.safetensors"
        self.state = TrainState()
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.saved = time.monotonic()
        self.peak_memory: int | None = None
        if self.checkpoint.is_file():
            self.restore()

    def go(self, on_progress: OnProgress | None) -> None:
        """Train to the end; leave the weights that are kept, the prior, and the timings."""
        forgotten = forget_peak_memory()
        states = fit(
            self.model,
            self.data.split("train"),
            self.recipe,
            seed=self.settings.seed,
            state=self.state,
            initialise=self.settings.start is None,
        )
        while not self.out_of_patience() and (state := next(states, None)) is not None:
            if state.epoch_ended:
                self.end_epoch()
            if on_progress is not None:
                on_progress(self.progress())
        self.peak_memory = peak_memory() if forgotten else None
        self.write_history()
        if self.recipe.keep == "best" and self.best:
            self.model.load_state_dict(self.best)
        self.model.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.model.eval()
        if not isinstance(self.model, CodeSource | LinkModel):
            with threads(self.recipe.threads):
                training = self.data.to("cpu").split("train")
                prior = fit_prior(self.model, training, seed=self.settings.seed)
            write_tensors(self.run.folder / "prior.safetensors", prior.tensors())
        write_tensors(self.run.folder / "steps.safetensors", self.state.trace)
        write_json(self.run.folder / "timings.json", self.timings())
        # The weights come last: where they are, training is over.
        write_tensors(self.run.folder / "model.safetensors", self.model.state_dict())

    def timings(self) -> dict[str, float | str | None]:
        """What the training cost; nothing else depends on it."""
        state = self.state
        seen = state.step * self.recipe.batch_size
        steps_per_epoch, _ = count_steps(len(self.data.split("train")), self.recipe)
        return {
            "train_seconds": state.seconds,
            "images_per_second": seen / state.seconds if state.seconds else None,
            "epochs": state.step / steps_per_epoch,
            "peak_memory_bytes": self.peak_memory,
            "machine": machine(),
        }

    def end_epoch(self) -> None:
        """Score the epoch on validation, keep it if it is the best, and save where we are."""
        with threads(self.recipe.threads):
            validation = validate(self.model, self.data)
        losses = [past["validation_loss"] for past in self.history]
        if not losses or validation.loss < min(losses):
            self.best = {name: t.clone() for name, t in self.model.state_dict().items()}
        self.history.append(
            {
                "epoch": self.state.epoch,
                "losses": self.state.losses,
                "validation_loss": validation.loss,
                "validation": validation.shown,
            }
        )
        # When it is saved changes nothing in what comes out; short epochs need not all be.
        if time.monotonic() - self.saved >= CHECKPOINT_SECONDS:
            self.save()
            self.saved = time.monotonic()

    def write_history(self) -> None:
        """Write history.jsonl, an epoch a line."""
        lines = "".join(json.dumps(past) + "\n" for past in self.history)
        write_text(self.run.folder / "history.jsonl", lines)

    def out_of_patience(self) -> bool:
        """No better epoch for as many epochs as the recipe allows."""
        if self.recipe.patience is None or not self.history:
            return False
        losses = [past["validation_loss"] for past in self.history]
        return len(losses) - 1 - losses.index(min(losses)) >= self.recipe.patience

    def save(self) -> None:
        """Write all that going on needs, in one file, and the history so far."""
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
            "step": self.state.step,
            "seconds": self.state.seconds,
            "history": self.history,
        }
        write_tensors(self.checkpoint, tensors, {"progress": json.dumps(progress)})

    def restore(self) -> None:
        """Take up what `save` wrote.

        Raises:
            InputError: the checkpoint is not this run's.
        """
        names = ("model", "best", "moments", "trace")
        groups: dict[str, dict[str, Tensor]] = {name: {} for name in names}
        try:
            progress = json.loads(read_metadata(self.checkpoint)["progress"])
            for key, tensor in read_tensors(self.checkpoint).items():
                group, _, name = key.partition("/")
                groups[group][name] = tensor
            self.model.load_state_dict(groups["model"])
            self.best, self.history = groups["best"], progress["history"]
            self.state = TrainState(
                step=progress["step"],
                trace=groups["trace"],
                seconds=progress["seconds"],
                moments=groups["moments"],
            )
        except (KeyError, ValueError, RuntimeError) as error:
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
