"""What is shown on a terminal: how far work is, tables, a run."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from aelab.data.specs import GraphSpec, InputSpec
from aelab.evaluate.columns import METRICS, metric_named
from aelab.models.zoo import ZOO, resolve
from aelab.studies.cells import code_size, figure
from aelab.studies.summary import single_row

if TYPE_CHECKING:
    from aelab.api import TrainedRun


@contextmanager
def counting(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress line for `total` inputs, on standard error; quiet where that is no terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(verb, total=total)
        yield lambda count: bar.advance(task, count)


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


def print_run(run: "TrainedRun") -> None:
    """A run's figures, and where it lies."""
    console = Console(highlight=False)
    row, split = single_row(run), run.metrics["split"]
    table = Table(title=f"{row.model}, {split} split, seed {run.settings.seed}")
    table.add_column("metric")
    table.add_column("figure", justify="right")
    table.add_column("unit")
    table.add_row("code size", code_size(row).text, "numbers")
    table.add_row("parameters", f"{row.parameters:,}", "")
    for name in sorted(row.metrics, key=[*METRICS, *row.metrics].index):
        if row.mean(name) is not None:
            metric = metric_named(name, row.counted)
            title = f"{metric.title}, {metric.short_unit}"
            table.add_row(title, figure(name, row.spread(name)), metric.unit)
    table.add_row("training", f"{row.train_seconds:.1f}", "s")
    console.print(table)
    for picture in run.pictures:
        print(picture)
    print(f"The run: {run.folder}")
