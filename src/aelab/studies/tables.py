"""A study's results as files, as Markdown and on the screen."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from aelab.evaluate.audits import Finding
from aelab.evaluate.columns import GROUPS, METRICS, metric_named
from aelab.files import write_json, write_text
from aelab.studies.answers import answers
from aelab.studies.cells import CLOSE, Cell, code_size, figure, number
from aelab.studies.results import ResultRow, Results
from aelab.studies.study import QUICK_INPUTS
from aelab.studies.verdicts import not_told_apart

MAIN = (
    "mse",
    "pca_share",
    "ssim",
    "noisy_mse_0.2",
    "probe",
    "kl",
    "frechet",
    "anomaly_auroc",
    "neighbours_auroc",
    "forest_auroc",
    "pca_auroc",
    "auc",
    "ap",
    "original_figure",
)
"""The metrics that a screen shows; the files have all."""

FIRST_LEFT_OUT = ("parameters", "ssim", "kl", "probe")
"""Columns that a narrow screen does without, in this order."""

SECTIONS = {**{name: group.heading for name, group in GROUPS.items()}, "": "Other"}
"""Groups of metrics and their headings."""


@dataclass(frozen=True)
class Column:
    """A cell a row, below a title and its unit.

    >>> Column("training", "s", [number(1.5, ".1f"), number(None, ".1f")]).texts
    ['1.5', '–']
    """

    title: str
    unit: str
    cells: list[Cell]
    told: str = ""
    """The unit in full."""

    @property
    def head(self) -> str:
        """The title, with its unit below it."""
        return f"{self.title}\n{self.unit}".strip()

    @property
    def texts(self) -> list[str]:
        """The cells as they are written."""
        return [cell.text for cell in self.cells]


def write_results(results: Results, folder: Path) -> None:
    """Write results.json, results.csv and results.md."""
    write_json(folder / "results.json", results.to_json())
    write_text(folder / "results.csv", as_csv(results))
    write_text(folder / "results.md", as_markdown(results))


def shown_metrics(results: Results) -> list[str]:
    """The metrics that any row has a figure for, in the order of METRICS, then any others."""
    rows = results.rows
    present = [name for row in rows for name in row.metrics if row.mean(name) is not None]
    ordered = [name for name in METRICS if name in present]
    return ordered + [name for name in dict.fromkeys(present) if name not in METRICS]


def main_columns(results: Results, left_out: Collection[str] = ()) -> list[Column]:
    """What a screen shows: each row's main figures, what was published for it, its training."""
    shown = [name for name in shown_metrics(results) if name in MAIN or name not in METRICS]
    costs = {column.title: column for column in cost_columns(results)}
    return [
        *first_columns(results),
        *([] if "parameters" in left_out else [costs["parameters"]]),
        *metric_columns(results, [name for name in shown if name not in left_out]),
        *published_columns(results),
        costs["training"],
    ]


def first_columns(results: Results) -> list[Column]:
    """The rows' names and code sizes, which every table begins with."""
    return [
        Column("row", "", [Cell(row_name(row, results)) for row in results.rows]),
        Column("code", "numbers", [code_size(row) for row in results.rows]),
    ]


def metric_columns(results: Results, names: Iterable[str]) -> list[Column]:
    """A column a metric, with a mark where the seeds do not tell a row from the best."""
    columns = []
    for name in names:
        metric = metric_named(name, results.counted)
        close = close_to_best(results, name) if metric.better else set()
        cells = [
            Cell(
                figure(name, row.spread(name)) + (CLOSE if row.name in close else ""),
                row.mean(name),
            )
            for row in results.rows
        ]
        columns.append(Column(metric.title, metric.short_unit, cells, metric.unit))
    return columns


def close_to_best(results: Results, metric: str) -> set[str]:
    """Names of the rows not told apart from the best of their budget."""
    budgets = {row.budget for row in results.rows}
    return {
        name
        for budget in budgets
        for name in not_told_apart([row for row in results.rows if row.budget == budget], metric)
    }


def published_columns(results: Results) -> list[Column]:
    """What others published, a column a metric."""
    return [
        Column(
            metric_named(name).title,
            "published",
            [number(row.published.get(name), ",.4g") for row in results.rows],
        )
        for name in dict.fromkeys(name for row in results.rows for name in row.published)
    ]


def cost_columns(results: Results) -> list[Column]:
    """What each row costs."""
    rows = results.rows
    millions = [row.multiply_adds and row.multiply_adds / 1e6 for row in rows]
    megabytes = [row.peak_memory_bytes and row.peak_memory_bytes / 1e6 for row in rows]
    return [
        Column("parameters", "", [number(row.parameters, ",") for row in rows]),
        Column("multiply-adds", "millions", [number(value, ",.2f") for value in millions]),
        Column("epochs", "", [number(row.epochs, ",.1f") for row in rows]),
        Column("training", "s", [number(row.train_seconds, ".1f") for row in rows]),
        Column("speed", "images/s", [number(row.images_per_second, ",.0f") for row in rows]),
        Column("memory", "MB", [number(value, ",.0f") for value in megabytes]),
    ]


def row_name(row: ResultRow, results: Results) -> str:
    """A row's name, with its number of seeds if others have more."""
    most = max(len(other.seeds) for other in results.rows)
    seeds = len(row.seeds)
    return row.name if seeds == most else f"{row.name} ({seeds} of {most} seeds)"


def caption(results: Results) -> str:
    """What the figures are of."""
    seeds = results.seeds
    if not seeds:
        return f"{results.data}: no row was finished."
    of_seeds = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds, mean ± std"
    text = f"{results.data}, {results.split} split, {of_seeds}."
    if any(row.overcomplete for row in results.rows):
        text += " * overcomplete: the code is no smaller than the image."
    if len(seeds) > 1:
        text += (
            " ≈ not told apart from the best of its column by paired t-tests over the seeds "
            "(5 % in all)."
        )
    if results.quick:
        text += (
            f" Quick: a tenth of the training, and {QUICK_INPUTS:,} inputs of a split at most; for "
            f"a look, not for conclusions."
        )
    return text


def as_markdown(results: Results) -> str:
    """All figures as Markdown, a table for each group of metrics."""
    told = [f"**{line.lead}** {line.text}" for line in answers(results)]
    parts = [f"# {results.heading}", *told, caption(results)]
    tables = {"Published": published_columns(results), **sections(results)}
    for heading, columns in {**tables, "Cost": cost_columns(results)}.items():
        if columns:
            parts += [f"## {heading}", markdown_table([*first_columns(results), *columns])]
    return "\n\n".join([*parts, *audit_lines(results)]) + "\n"


def sections(results: Results) -> dict[str, list[Column]]:
    """The columns of all metrics, by the heading that they stand under."""
    shown = shown_metrics(results)
    return {
        heading: metric_columns(results, [n for n in shown if metric_named(n).group == group])
        for group, heading in SECTIONS.items()
    }


def markdown_table(columns: list[Column]) -> str:
    """One table as Markdown."""
    header = [column.head.replace("\n", ", ") for column in columns]
    rows = zip(*(column.texts for column in columns), strict=True)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def audit_lines(results: Results) -> list[str]:
    """What the audits found, of the data and of every row."""
    lines = []
    for name, audit, finding in audited(results):
        mark = "" if finding.clean else "**"
        lines.append(f"- {name}, {audit}: {mark}{finding.found}{mark}")
    return ["## Audits", "\n".join(lines)] if lines else []


def audited(results: Results) -> Iterator[tuple[str, str, Finding]]:
    """What was audited, by which audit, and the finding: of the data, then of every row."""
    found = {f"the data {name}": audits for name, audits in results.audits.items()}
    found |= {row.name: row.audits for row in results.rows}
    for name, audits in found.items():
        for audit, finding in audits.items():
            yield name, audit, finding


CSV_FACTS = (
    *("row", "model", "budget", "code_size", "parameters", "multiply_adds"),
    *("train_seconds", "images_per_second", "epochs", "peak_memory_bytes"),
)


def as_csv(results: Results) -> str:
    """The table as CSV, a mean and a std column for each metric, empty where there is none."""
    names = shown_metrics(results)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    spread = [f"{name}_{part}" for name in names for part in ("mean", "std")]
    writer.writerow([*CSV_FACTS, "split", "seeds", *spread, "published", "units"])
    units = "; ".join(f"{name}: {unit}" for name, unit in results.units.items())
    for row in results.rows:
        content = row.to_json()
        values = [row.spread(name) for name in names]
        figures = [part for value in values for part in (value.mean, value.std)]
        seeds = " ".join(map(str, row.seeds))
        published = " ".join(f"{key}={value}" for key, value in row.published.items())
        facts = [content.get(name) for name in CSV_FACTS]
        writer.writerow([*facts, results.split, seeds, *figures, published, units])
    return text.getvalue()


def as_rich(results: Results, left_out: int = 0) -> Table:
    """The table for the screen, without the first few of FIRST_LEFT_OUT."""
    told = caption(results) + " The files have more columns."
    table = Table(title=results.heading, caption=told)
    columns = main_columns(results, FIRST_LEFT_OUT[:left_out])
    for place, column in enumerate(columns):
        table.add_column(column.head, justify="right" if place else "left", no_wrap=True)
    for texts in zip(*(column.texts for column in columns), strict=True):
        table.add_row(*texts)
    return table
