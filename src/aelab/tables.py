"""A study's results as files, as Markdown and on the screen; all from the content of its JSON."""

import csv
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from aelab.evaluate.columns import METRICS, metric_named
from aelab.files import write_json, write_text
from aelab.runs import Run
from aelab.settings import InputSpec

Results = Mapping[str, Any]

FIRST_LEFT_OUT = ("psnr", "active_fraction", "parameters", "noisy_mse_0.2")
"""Columns that a narrow screen does without, in this order; the files have them."""

NONE = "–"
OVERCOMPLETE = "*"


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


def columns(results: Results, left_out: Collection[str] = ()) -> dict[str, list[str]]:
    """Title to cells, the title with its unit below it."""
    rows = results["rows"]
    table = {
        "row": [row_name(row, results) for row in rows],
        "code\nnumbers": [code_size(row) for row in rows],
    }
    if "parameters" not in left_out:
        table["parameters"] = [f"{row['parameters']:,}" for row in rows]
    for name in shown_metrics(results):
        if name not in left_out:
            metric = metric_named(name)
            cells = [figure(name, row["metrics"].get(name)) for row in rows]
            table[f"{metric.title}\n{metric.short_unit}"] = cells
    for name in dict.fromkeys(name for row in rows for name in row["published"]):
        title = METRICS[name].title if name in METRICS else name
        figures = [row["published"].get(name) for row in rows]
        table[f"{title}\npublished"] = [
            NONE if value is None else f"{value:,.4g}" for value in figures
        ]
    table["training\ns"] = [f"{row['train_seconds']:.1f}" for row in rows]
    return table


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


def overcomplete(row: Mapping[str, Any]) -> bool:
    """Whether the code is no smaller than the input, and could be a copy of it."""
    return row["input_size"] is not None and bool(row["code_size"] >= row["input_size"])


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
    if results["quick"]:
        text += " Quick: a tenth of the training; for a look, not for conclusions."
    return text


def as_markdown(results: Results) -> str:
    """The table as Markdown."""
    table = columns(results)
    header = [title.replace("\n", ", ") for title in table]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *zip(*table.values(), strict=True)]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    title = results["title"] or results["study"]
    return f"# {title}\n\n{caption(results)}\n\n{body}\n"


def as_csv(results: Results) -> str:
    """The table as CSV, a mean and a std column for each metric, empty where there is none."""
    names = shown_metrics(results)
    facts = ["row", "model", "code_size", "parameters"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    spread = [f"{name}_{part}" for name in names for part in ("mean", "std")]
    writer.writerow([*facts, "split", "seeds", "train_seconds", *spread, "published", "units"])
    units = "; ".join(f"{name}: {unit}" for name, unit in results["units"].items())
    for row in results["rows"]:
        none = {"mean": None, "std": None}
        values = [row["metrics"].get(name, none) for name in names]
        figures = [value[part] for value in values for part in ("mean", "std")]
        seeds = " ".join(str(seed) for seed in row["seeds"])
        published = " ".join(f"{key}={value}" for key, value in row["published"].items())
        line = [row[fact] for fact in facts]
        writer.writerow(
            [*line, results["split"], seeds, row["train_seconds"], *figures, published, units]
        )
    return text.getvalue()


def as_rich(results: Results, left_out: int = 0) -> Table:
    """The table for the screen, without the first few of FIRST_LEFT_OUT."""
    told = caption(results) + (" The files have more columns." if left_out else "")
    table = Table(title=results["title"] or results["study"], caption=told)
    content = columns(results, FIRST_LEFT_OUT[:left_out])
    for number, title in enumerate(content):
        table.add_column(title, justify="left" if number == 0 else "right", no_wrap=True)
    for cells in zip(*content.values(), strict=True):
        table.add_row(*cells)
    return table
