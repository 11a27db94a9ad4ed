"""What a training is, written where TensorBoard's and MLflow's users look.

A tracker is told what the screen is told, and reads the run's folder at the end. It stands beside
the training: where it fails, that is told in one line, and the training goes on.
"""

import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from aelab.files import InputError
from aelab.runs.resumable import Progress
from aelab.runs.store import Run


class Tracker(ABC):
    """Writes one run elsewhere: numbers by epoch, then settings, figures and pictures."""

    @abstractmethod
    def numbers(self, values: Mapping[str, float], epoch: int) -> None:
        """Write the numbers of an epoch, by name."""

    @abstractmethod
    def settings(self, run: Run, settings: Mapping[str, Any], figures: Mapping[str, float]) -> None:
        """Write what the run was asked for, and its figures."""

    @abstractmethod
    def picture(self, path: Path) -> None:
        """Write a picture of the run's."""

    @abstractmethod
    def close(self, *, finished: bool) -> None:
        """Nothing more comes: the run is finished, or was stopped."""


class TensorBoard(Tracker):
    """A file of events in the folder ``tensorboard`` of the run.

    What an earlier training into it, or a later epoch of one that was stopped, had written from
    `epoch` on counts no more.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        import_module("tensorboard")  # its absence is told better here
        module: Any = import_module("torch.utils.tensorboard")
        self.writer = module.SummaryWriter(str(folder / "tensorboard"), purge_step=epoch)

    def numbers(self, values: Mapping[str, float], epoch: int) -> None:
        """Scalars."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def settings(self, run: Run, settings: Mapping[str, Any], figures: Mapping[str, float]) -> None:
        """The whole config as text, and what the tab of hyperparameters shows."""
        config = json.dumps(run.config, indent=2, ensure_ascii=False)
        self.writer.add_text("settings", "\n".join(f"    {line}" for line in config.splitlines()))
        summary: Any = import_module("torch.utils.tensorboard.summary")
        shown = {f"figures/{name}": value for name, value in figures.items()}
        for part in summary.hparams(dict(settings), shown):
            self.writer.file_writer.add_summary(part)
        for name, value in shown.items():
            self.writer.add_scalar(name, value)

    def picture(self, path: Path) -> None:
        """An image."""
        import numpy as np
        from PIL import Image

        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self.writer.add_image(path.stem, pixels, dataformats="HWC")

    def close(self, *, finished: bool) -> None:
        """Write what is still held back."""
        self.writer.close()


class MLflow(Tracker):
    """A run of the store that MLFLOW_TRACKING_URI names, in MLFLOW_EXPERIMENT_NAME or "aelab"."""

    def __init__(self, folder: Path, epoch: int) -> None:
        mlflow: Any = import_module("mlflow")
        self.client = mlflow.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "aelab")
        found = self.client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self.client.create_experiment(name)
        tags = {"aelab.folder": str(folder.resolve())}
        run_name = "/".join(folder.resolve().parts[-2:])
        self.id = self.client.create_run(experiment, run_name=run_name, tags=tags).info.run_id

    def numbers(self, values: Mapping[str, float], epoch: int) -> None:
        """Metrics, an epoch a step."""
        for name, value in values.items():
            self.client.log_metric(self.id, name, value, step=epoch)

    def settings(self, run: Run, settings: Mapping[str, Any], figures: Mapping[str, float]) -> None:
        """Parameters, metrics, and the config as an artifact."""
        for name, value in settings.items():
            self.client.log_param(self.id, name, str(value)[:250])  # as much as every store takes
        for name, value in figures.items():
            self.client.log_metric(self.id, f"figures/{name}", value)
        self.client.log_artifact(self.id, str(run.folder / "config.json"))

    def picture(self, path: Path) -> None:
        """An artifact."""
        self.client.log_artifact(self.id, str(path))

    def close(self, *, finished: bool) -> None:
        """Set how it ended."""
        self.client.set_terminated(self.id, "FINISHED" if finished else "KILLED")


TRACKERS: dict[str, type[TensorBoard | MLflow]] = {"tensorboard": TensorBoard, "mlflow": MLflow}


class Trackers:
    """All trackers of one training; what fails is told by `say`, in a line, and left out.

    >>> with Trackers([], Path("run"), print) as trackers:
    ...     trackers.tell(Progress(1.0, 2.0, {"mse": 0.1}, {"mse": 0.2}, 900, 60))
    """

    def __init__(self, names: Sequence[str], folder: Path, say: Callable[[str], None]) -> None:
        self.names, self.folder, self.say = list(names), folder, say
        self.open: dict[str, Tracker] = {}
        self.told: set[int] = set()

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name, tracker in list(self.open.items()):
            with self.forgiven(name):
                tracker.close(finished=error is None)

    def tell(self, progress: Progress) -> None:
        """Write the numbers of an epoch that has ended."""
        epoch = math.floor(progress.epoch)
        if epoch < 1 or epoch in self.told or not progress.validation:
            return
        self.write_epoch(epoch, progress.losses, progress.validation)

    def write_epoch(
        self, epoch: int, losses: Mapping[str, Any], validation: Mapping[str, Any]
    ) -> None:
        """Write one epoch's numbers to all."""
        self.told.add(epoch)
        values = {
            **{f"train/{name}": value for name, value in plain(losses).items()},
            **{f"validation/{name}": value for name, value in plain(validation).items()},
        }
        for name, tracker in self.each(epoch):
            with self.forgiven(name):
                tracker.numbers(values, epoch)

    def finish(self, run: Run) -> None:
        """Write the epochs that nobody told of, and what the run's folder holds by now."""
        history = (run.folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
        for number, past in enumerate(map(json.loads, history), start=1):
            if number not in self.told:
                self.write_epoch(number, past["losses"], past["validation"])
        for name, tracker in self.each(1):
            with self.forgiven(name):
                tracker.settings(run, flat_settings(run), plain(run.metrics))
                for path in filter(Path.is_file, run.pictures):
                    tracker.picture(path)

    def each(self, epoch: int) -> Iterator[tuple[str, Tracker]]:
        """The trackers that still work, opened when the first is to be written."""
        for name in list(self.names):
            if name not in self.open:
                with self.forgiven(name):
                    self.open[name] = TRACKERS[name](self.folder, epoch)
            if name in self.open:
                yield name, self.open[name]

    @contextmanager
    def forgiven(self, name: str) -> Iterator[None]:
        """Tell in a line what went wrong inside, and do without this tracker from now on."""
        try:
            yield
        except Exception as error:  # whatever it is, the training is worth more
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self.say(f"{name} failed, and nothing more is written there: {lines[0]}")
            with suppress(Exception):  # it may not even be able to end
                self.open.pop(name).close(finished=False)
            self.names = [one for one in self.names if one != name]


def refuse_absent(names: Sequence[str]) -> None:
    """Raise InputError, before any training, if a tracker's package is not installed."""
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise InputError(f"--track {name} needs {name}: pip install 'aelab[{name}]'") from error


def plain(values: Mapping[str, Any]) -> dict[str, float]:
    """The entries that are numbers.

    >>> plain({"mse": 0.5, "by_class": {}, "n": 3, "clean": True, "lost": None})
    {'mse': 0.5, 'n': 3.0}
    """
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def flat_settings(run: Run) -> dict[str, str | float | bool]:
    """Model, hyperparameters, data and recipe, a plain value each; what is not set is left out."""
    config = run.config
    groups = {
        "": {key: config.get(key) for key in ("model", "network", "prior", "seed")},
        "hyperparameters/": config["hyperparameters"],
        "data/": config["data"],
        "recipe/": config["recipe"],
    }
    found = {
        f"{group}{key}": value
        for group, values in groups.items()
        for key, value in values.items()
        if value is not None
    }
    return {
        key: value if isinstance(value, str | int | float) else json.dumps(value)
        for key, value in found.items()
    }
