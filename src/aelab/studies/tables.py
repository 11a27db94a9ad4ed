"""A study's results as files, as Markdown and on the screen; all from the content of its JSON."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from aelab.data.specs import InputSpec
from aelab.evaluate.columns import GROUPS, METRICS, metric_named
from aelab.files import write_json, write_text
from aelab.runs.store import Run
from aelab.studies.verdicts import not_told_apart, overcomplete

Results = Mapping[str, Any]

MAIN = (
    "mse",
    "pca_share",
    "ssim",
    "noisy_mse_0.2",
    "probe",
    "kl",
    "frechet",
    "anomaly_auroc",
    "auc",
    "ap",
    "original_figure",
)
"""The metrics that a screen shows; the files have all."""

FIRST_LEFT_OUT = ("parameters", "ssim", "kl", "probe")
"""Columns that a narrow screen does without, in this order."""

SECTIONS = {**{name: group.heading for name, group in GROUPS.items()}, "": "Other"}
"""Groups of metrics and their headings."""

COSTS = ("train_seconds", "images_per_second", "epochs", "peak_memory_bytes")
"""What a training cost, beside the figures."""

NONE = "–"
OVERCOMPLETE = "*"
CLOSE = " ≈"
"""Marks figures that are not told apart from the best of their column."""


def write_results(results: Results, folder: Path) -> None:
    """Write results.json, results.csv and results.md."""
    write_json(folder / "results.json", results)
    write_text(folder / "results.csv", as_csv(results))
    write_text(folder / "results.md", as_markdown(results))


def shown_metrics(results: Results) -> list[str]:
    """The metrics that any row has a figure for, in the order of METRICS, then any others."""
    present = [
        name
        for row in results["rows"]
        for name, value in row["metrics"].items()
        if value["mean"] is not None
    ]
    ordered = [name for name in METRICS if name in present]
    return ordered + [name for name in dict.fromkeys(present) if name not in METRICS]


Columns = dict[str, list[str]]
"""Title, with its unit below it, to the rows' cells."""


def main_columns(results: Results, left_out: Collection[str] = ()) -> Columns:
    """What a screen shows: each row's main figures, what was published for it, its training."""
    rows = results["rows"]
    table = first_columns(results)
    if "parameters" not in left_out:
        table["parameters"] = [f"{row['parameters']:,}" for row in rows]
    shown = [name for name in shown_metrics(results) if name in MAIN or name not in METRICS]
    table |= metric_columns(results, [name for name in shown if name not in left_out])
    return {**table, **published_columns(results), "training\ns": seconds(results)}


def first_columns(results: Results) -> Columns:
    """The rows' names and code sizes, which every table begins with."""
    rows = results["rows"]
    return {
        "row": [row_name(row, results) for row in rows],
        "code\nnumbers": [code_size(row) for row in rows],
    }


def metric_columns(results: Results, names: Iterable[str]) -> Columns:
    """A column a metric, with a mark where the seeds do not tell a row from the best."""
    rows = results["rows"]
    table = {}
    for name in names:
        metric = metric_named(name)
        close = close_to_best(results, name) if metric.better else set()
        table[f"{metric.title}\n{metric.short_unit}"] = [
            figure(name, row["metrics"].get(name)) + (CLOSE if row["row"] in close else "")
            for row in rows
        ]
    return table


def close_to_best(results: Results, metric: str) -> set[str]:
    """Names of the rows not told apart from the best of their budget."""
    rows = results["rows"]
    budgets = {row["budget"] for row in rows}
    return {
        name
        for budget in budgets
        for name in not_told_apart([row for row in rows if row["budget"] == budget], metric)
    }


def published_columns(results: Results) -> Columns:
    """What others published, a column a metric."""
    rows = results["rows"]
    table = {}
    for name in dict.fromkeys(name for row in rows for name in row["published"]):
        title = METRICS[name].title if name in METRICS else name
        figures = [row["published"].get(name) for row in rows]
        table[f"{title}\npublished"] = [NONE if f is None else f"{f:,.4g}" for f in figures]
    return table


def seconds(results: Results) -> list[str]:
    """How long each row was trained."""
    return [f"{row['train_seconds']:.1f}" for row in results["rows"]]


def cost_columns(results: Results) -> Columns:
    """What each row costs."""
    rows = results["rows"]

    def cells(name: str, scale: float, digits: int) -> list[str]:
        values = [row.get(name) for row in rows]
        return [NONE if value is None else f"{value / scale:,.{digits}f}" for value in values]

    return {
        **first_columns(results),
        "parameters": [f"{row['parameters']:,}" for row in rows],
        "multiply-adds\nmillions": cells("multiply_adds", 1e6, 2),
        "epochs": cells("epochs", 1, 1),
        "training\ns": seconds(results),
        "speed\nimages/s": cells("images_per_second", 1, 0),
        "memory\nMB": cells("peak_memory_bytes", 1e6, 0),
    }


def row_name(row: Mapping[str, Any], results: Results) -> str:
    """A row's name, with its number of seeds if others have more."""
    most = max(len(other["seeds"]) for other in results["rows"])
    seeds = len(row["seeds"])
    return row["row"] if seeds == most else f"{row['row']} ({seeds} of {most} seeds)"


def code_size(row: Mapping[str, Any]) -> str:
    """How many numbers a code has: the latent ones, a side channel's bits, * if overcomplete."""
    latent = row["code_size"] - row.get("side_channel_size", 0)
    bits = row.get("side_channel_bits", 0)
    side = f" + {bits:,.0f} bits" if bits else ""
    return f"{latent:,}{side}{OVERCOMPLETE if overcomplete(row) else ''}"


def input_size(run: Run) -> int | None:
    """Numbers of an input; of a graph, whose nodes have codes and not the whole, None."""
    return run.spec.size if isinstance(run.spec, InputSpec) else None


def figure(name: str, value: Mapping[str, float | None] | None) -> str:
    """Mean, and standard deviation if there is one, to the metric's digits."""
    if value is None or value["mean"] is None:
        return NONE
    digits = METRICS[name].digits if name in METRICS else 4
    if value["mean"] >= 10 and digits > 1:
        digits = 1
    text = f"{value['mean']:,.{digits}f}"
    return text if value["std"] is None else f"{text} ± {value['std']:,.{digits}f}"


def caption(results: Results) -> str:
    """What the figures are of."""
    seeds = sorted({seed for row in results["rows"] for seed in row["seeds"]})
    if not seeds:
        return f"{results['data']}: no row was finished."
    of_seeds = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds, mean ± std"
    text = f"{results['data']}, {results['split']} split, {of_seeds}."
    if any(overcomplete(row) for row in results["rows"]):
        text += " * overcomplete: the code is no smaller than the image."
    if len(seeds) > 1:
        text += (
            " ≈ not told apart from the best of its column by paired t-tests over the seeds "
            "(5 % in all)."
        )
    if results["quick"]:
        text += " Quick: a tenth of the training; for a look, not for conclusions."
    return text


def as_markdown(results: Results) -> str:
    """All figures as Markdown, a table for each group of metrics."""
    title = results["title"] or results["study"]
    parts = [f"# {title}", caption(results), *findings(results)]
    if published := published_columns(results):
        parts += ["## Published", markdown_table({**first_columns(results), **published})]
    shown = shown_metrics(results)
    for group, heading in SECTIONS.items():
        names = [name for name in shown if metric_named(name).group == group]
        if names:
            table = {**first_columns(results), **metric_columns(results, names)}
            parts += [f"## {heading}", markdown_table(table)]
    parts += ["## Cost", markdown_table(cost_columns(results)), *audit_lines(results)]
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Columns) -> str:
    """One table as Markdown."""
    header = [title.replace("\n", ", ") for title in table]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *zip(*table.values(), strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def findings(results: Results) -> list[str]:
    """The answers to the study's questions and the verdicts on its claims, a paragraph each."""
    answers = [
        f"**{told['question']}**{' ' + told['budget'] + ':' if told['budget'] else ''} "
        f"{told['answer']}."
        for told in results["verdicts"]
    ]
    claims = [
        f"**Claim: {told['claim']}.** It {told['holds']}: {told['found']}."
        for told in results["claims"]
    ]
    return answers + claims


def audit_lines(results: Results) -> list[str]:
    """What the audits found, of the data and of every row."""
    lines = []
    for name, audit, told in audited(results):
        mark = "" if told["clean"] else "**"
        lines.append(f"- {name}, {audit}: {mark}{told['found']}{mark}")
    return ["## Audits", "\n".join(lines)] if lines else []


def audited(results: Results) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """What was audited, by which audit, and the finding: of the data, then of every row."""
    found = {f"the data {name}": audits for name, audits in results["audits"].items()}
    found |= {row["row"]: row["audits"] for row in results["rows"]}
    for name, audits in found.items():
        for audit, told in audits.items():
            yield name, audit, told


def as_csv(results: Results) -> str:
    """The table as CSV, a mean and a std column for each metric, empty where there is none."""
    names = shown_metrics(results)
    facts = ["row", "model", "budget", "code_size", "parameters", "multiply_adds", *COSTS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    spread = [f"{name}_{part}" for name in names for part in ("mean", "std")]
    writer.writerow([*facts, "split", "seeds", *spread, "published", "units"])
    units = "; ".join(f"{name}: {unit}" for name, unit in results["units"].items())
    for row in results["rows"]:
        none = {"mean": None, "std": None}
        values = [row["metrics"].get(name, none) for name in names]
        figures = [value[part] for value in values for part in ("mean", "std")]
        seeds = " ".join(str(seed) for seed in row["seeds"])
        published = " ".join(f"{key}={value}" for key, value in row["published"].items())
        line = [row.get(fact) for fact in facts]
        writer.writerow([*line, results["split"], seeds, *figures, published, units])
    return text.getvalue()


def as_rich(results: Results, left_out: int = 0) -> Table:
    """The table for the screen, without the first few of FIRST_LEFT_OUT."""
    told = caption(results) + " The files have more columns."
    table = Table(title=results["title"] or results["study"], caption=told)
    content = main_columns(results, FIRST_LEFT_OUT[:left_out])
    for number, title in enumerate(content):
        table.add_column(title, justify="left" if number == 0 else "right", no_wrap=True)
    for cells in zip(*content.values(), strict=True):
        table.add_row(*cells)
    return table
