"""What is shown on a terminal while work goes on; a plain line for each end elsewhere."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from aelab.data.specs import GraphSpec, InputSpec
from aelab.evaluate.columns import FACTS, METRICS, metric_named
from aelab.models.zoo import ZOO, resolve
from aelab.runs.resumable import Note
from aelab.runs.resumable import Progress as TrainingProgress
from aelab.runs.store import Run
from aelab.studies.study import Study
from aelab.studies.tables import code_size, figure, input_size

MAIN = ("mse", "auc", "ap")
"""The metrics that sum a run up."""


class TrainingScreen:
    """A progress line for each training, on standard error; quiet where that is no terminal."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            disable=not self.console.is_terminal,
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

    def announce(self, study: Study) -> None:
        """Say what is about to be trained."""
        seeds = len(study.seeds)
        told = f"{study.name}: {len(study.rows)} rows × {seeds} seed{'s' if seeds > 1 else ''}"
        self.console.print(told, highlight=False)

    def tell(self, label: str, progress: TrainingProgress | Note | Run | str) -> None:
        """Show how far the training called `label` is, or that it ended in a run or an error."""
        if isinstance(progress, Note):
            self.print_line(f"{label}: {progress.text}")
            return
        if label not in self.tasks:
            self.tasks[label] = self.progress.add_task(label, total=1.0, told="")
        if isinstance(progress, TrainingProgress):
            share = progress.epoch / progress.epochs
            self.progress.update(self.tasks[label], completed=share, told=described(progress))
            return
        ended = f"failed: {progress}" if isinstance(progress, str) else summary(progress)
        self.progress.update(self.tasks[label], completed=1.0, told=ended)
        if not self.console.is_terminal:
            self.print_line(f"{label}: {ended}")

    def print_line(self, line: str) -> None:
        """Print a line as it is, above any progress."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def counting(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress line for `total` inputs, on standard error; quiet where that is no terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(verb, total=total)
        yield lambda count: bar.advance(task, count)


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


def print_table(make: Callable[[int], Table], console: Console) -> None:
    """Print ``make(k)`` with the least number k of columns left out that fits the terminal.

    Where the output is no terminal, all columns at their full width.
    """
    if not console.is_terminal:
        table = make(0)
        unlimited = console.options.update(max_width=sys.maxsize)  # by itself, cut to the console
        console.width = max(200, console.measure(table, options=unlimited).maximum)
        console.print(table)
        return
    left_out = 0
    while left_out < 4 and console.measure(make(left_out)).minimum > console.width:
        left_out += 1
    console.print(make(left_out))


def zoo_table() -> Table:
    """All models, at their defaults, for images of 28×28 grey pixels."""
    table = Table(
        caption="Code size and parameters at the defaults, for 28×28 grey images; of gae and vgae "
        "a node's code, for Cora."
    )
    for title in ("model", "code", "parameters", "what it is", "source"):
        table.add_column(title, justify="right" if title in ("code", "parameters") else "left")
    for name, entry in ZOO.items():
        blueprint = resolve(name)
        links = "links" in blueprint.takes
        model = blueprint.build(GraphSpec(2708, 1433) if links else InputSpec((1, 28, 28)))
        parameters = sum(tensor.numel() for tensor in model.state_dict().values())
        table.add_row(name, f"{model.code_size:,}", f"{parameters:,}", entry.summary, entry.source)
    return table


def print_run(run: Run) -> None:
    """A run's figures, and where it lies."""
    console = Console(highlight=False)
    metrics = run.metrics
    table = Table(title=f"{run.settings.model}, {metrics['split']} split, seed {run.settings.seed}")
    table.add_column("metric")
    table.add_column("figure", justify="right")
    table.add_column("unit")
    table.add_row("code size", code_size({**metrics, "input_size": input_size(run)}), "numbers")
    table.add_row("parameters", f"{metrics['parameters']:,}", "")
    for name in sorted(metrics, key=[*METRICS, *metrics].index):
        if name not in FACTS and metrics[name] is not None:
            metric = metric_named(name)
            title = f"{metric.title}, {metric.short_unit}"
            table.add_row(title, figure(name, {"mean": metrics[name], "std": None}), metric.unit)
    table.add_row("training", f"{run.timings['train_seconds']:.1f}", "s")
    console.print(table)
    for picture in run.pictures:
        print(picture)
    print(f"The run: {run.folder}")
