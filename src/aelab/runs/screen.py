"""How far trainings are: shown in a terminal and in a notebook, and nowhere else."""

import math
from html import escape
from importlib import import_module
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from aelab.evaluate.columns import METRICS
from aelab.runs.resumable import Note
from aelab.runs.resumable import Progress as TrainingProgress
from aelab.runs.store import Run

MAIN = ("mse", "auc", "ap")
"""The metrics that sum a run up."""


class TrainingScreen:
    """A line for each training, on standard error of a terminal or below a notebook's cell.

    Elsewhere it is quiet, or where it is `plain`, as in a log of the command line, it prints what
    it is told to say, and a line for each end. Where it is `quiet`, it shows nothing anywhere.

    >>> screen = TrainingScreen(plain=True)
    >>> with screen.console.capture() as shown:
    ...     screen.tell("vae", Note("trained anew"))
    >>> shown.get().strip()
    'vae: trained anew'
    """

    def __init__(self, *, plain: bool = False, quiet: bool = False) -> None:
        self.console = Console(stderr=True)
        self.plain, self.quiet = plain, quiet
        self.cell = _Cell() if self.console.is_jupyter and not quiet else None
        self.progress = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "TrainingScreen":
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def tell(self, label: str, progress: TrainingProgress | Note | Run | str) -> None:
        """Show how far the training called `label` is, or that it ended in a run or an error."""
        if isinstance(progress, Note):
            self.say(f"{label}: {progress.text}")
            return
        if isinstance(progress, TrainingProgress):
            share, told = progress.epoch / progress.epochs, described(progress)
        else:
            share, told = 1.0, ended(progress)
        if self.cell is not None:
            self.cell.show(label, told)
            return
        if label not in self.tasks:
            self.tasks[label] = self.progress.add_task(label, total=1.0, told="")
        self.progress.update(self.tasks[label], completed=share, told=told)
        if not (self.console.is_terminal or isinstance(progress, TrainingProgress)):
            self.say(f"{label}: {told}")

    def say(self, line: str) -> None:
        """Print a line as it is, above any progress."""
        if self.quiet:
            return
        if self.cell is not None:
            self.cell.show(line, "")
        elif self.console.is_terminal or self.plain:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class _Cell:
    """Lines below a notebook's cell that are written over; rich's own way needs ipywidgets."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}
        ipython: Any = import_module("IPython.display")  # where there is a notebook, it is there
        self.html = ipython.HTML
        self.handle = ipython.display(self.html(""), display_id=True)

    def show(self, label: str, told: str) -> None:
        """Write the line called `label`, anew if it is there."""
        self.lines[label] = told
        text = "\n".join(f"{label} {told}".rstrip() for label, told in self.lines.items())
        self.handle.update(self.html(f"<pre>{escape(text)}</pre>"))


def ended(outcome: Run | str) -> str:
    """How a training ended, in one short text."""
    return summary(outcome) if isinstance(outcome, Run) else f"failed: {outcome}"


def summary(run: Run) -> str:
    """A finished run in one short text."""
    figures = run.metrics
    shown = [
        f"{METRICS[name].title} {figures[name]:.4f}"
        for name in MAIN
        if figures.get(name) is not None
    ]
    return f"{', '.join(shown)} | {run.timings['train_seconds']:.0f} s of training"


def described(progress: TrainingProgress) -> str:
    """Epoch, loss terms, validation error and speed in one short text."""
    epochs = f"{math.ceil(progress.epoch)}/{math.ceil(progress.epochs)}"
    losses = " ".join(f"{name} {value:.4g}" for name, value in progress.losses.items())
    shown = [
        f" | val. {METRICS[name].title} {value:.4f}"
        for name, value in progress.validation.items()
        if value is not None
    ]
    return f"epoch {epochs} | {losses}{''.join(shown)} | {progress.images_per_second:,.0f}/s"
