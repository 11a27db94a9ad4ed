"""What a page leads with: which row is best at what, as far as its rows can be compared."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aelab.evaluate.columns import METRICS
from aelab.report.material import Material
from aelab.report.scores import mean_of, std_of
from aelab.runs import Run
from aelab.tables import Results, figure

Row = Mapping[str, Any]

QUESTIONS = {
    "Reconstruction": ("mse", "MSE"),
    "Denoising": ("noisy_mse_0.2", "MSE from inputs with noise of σ = 0.2"),
    "Sampling": ("frechet", "Fréchet distance"),
    "Probing the code": ("probe", "accuracy of a linear probe"),
    "Predicting links": ("auc", "AUC"),
}
"""What is asked of a study, the metric that answers, and its name."""


@dataclass(frozen=True)
class Answer:
    """A question and what the figures say to it."""

    question: str
    lines: tuple[str, ...]

    measure: str = ""
    """What the figures in the lines are of."""


def answers(material: Material) -> list[Answer]:
    """What the page leads with: the study's own verdicts, or what its figures allow to say."""
    results = material.results
    if verdicts := results.get("verdicts"):
        return [Answer(str(one["question"]), (str(one["answer"]),)) for one in verdicts]
    if not material.is_study:
        return of_one(results["rows"][0])
    groups = like_groups(results, material.runs)
    found = [
        Answer(question, lines, measure)
        for question, (metric, measure) in QUESTIONS.items()
        if (lines := told(best(name, rows, metric) for name, rows in groups.items()))
    ]
    quickest = told(first_past(name, rows) for name, rows in same_size(results).items())
    if quickest:
        found.append(Answer("Per second of training", quickest, "first below PCA's MSE"))
    if len(groups) > 1 and all(row["input_size"] is not None for row in results["rows"]):
        found.append(
            Answer(
                "Across these groups",
                (
                    "No best is named: code sizes and budgets differ. The study that holds both "
                    "equal is aelab compare equal.",
                ),
            )
        )
    return found


def of_one(row: Row) -> list[Answer]:
    """What a single run reached, a line a question."""
    found = []
    for question, (metric, measure) in QUESTIONS.items():
        if mean_of(row, metric) is not None:
            told = f"{shown(row, metric)}.{against_pca(row) * (metric == 'mse')}"
            found.append(Answer(question, (told,), measure))
    return found


def told(lines: Iterable[str]) -> tuple[str, ...]:
    """The lines that say anything."""
    return tuple(filter(None, lines))


def against_pca(row: Row) -> str:
    """A row's error beside that of PCA with as many numbers."""
    own, pca = mean_of(row, "mse"), mean_of(row, "pca_mse")
    if not own or not pca:
        return ""
    return f" PCA with as many numbers has {figure('pca_mse', {'mean': pca, 'std': None})}."


def like_groups(results: Results, runs: Mapping[str, Run]) -> dict[str, list[Row]]:
    """Rows that may be compared: of the same code size and budget, without a side channel.

    A closed form has no budget, and stands beside every row of its code size.
    """
    sizes = same_size(results)
    groups: dict[str, list[Row]] = {}
    for size, rows in sizes.items():
        closed = [row for row in rows if budget(row, runs) is None]
        for row in rows:
            spent = budget(row, runs)
            if spent is not None:
                groups.setdefault(f"{size} and {spent}", [*closed]).append(row)
    return {name: rows for name, rows in groups.items() if len(rows) > 1}


def same_size(results: Results) -> dict[str, list[Row]]:
    """Rows by the size of their code; those with a side channel are left out."""
    sizes: dict[str, list[Row]] = {}
    for row in sorted(results["rows"], key=lambda row: int(row["code_size"])):
        if not row.get("side_channel_size"):
            sizes.setdefault(f"{row['code_size']:,} numbers", []).append(row)
    return {name: rows for name, rows in sizes.items() if len(rows) > 1}


def budget(row: Row, runs: Mapping[str, Run]) -> str | None:
    """What a row was given for training, in words; None for a closed form."""
    recipe = runs[row["row"]].settings.recipe
    if recipe.epochs == 0:
        return None
    if recipe.seconds is not None:
        return f"{recipe.seconds:g} s of training"
    return f"{recipe.epochs:g} epoch{'s' * (recipe.epochs != 1)}"


def best(group: str, rows: Sequence[Row], metric: str) -> str:
    """Which row of a group is best by a metric; nothing where fewer than two have it."""
    sign = 1 if METRICS[metric].better == "less" else -1
    scored = [(sign * mean, row) for row in rows if (mean := mean_of(row, metric)) is not None]
    if len(scored) < 2:
        return ""
    (_, first), (_, second) = sorted(scored, key=lambda pair: pair[0])[:2]
    text = (
        f"With {group}: {first['row']}, {shown(first, metric)}; "
        f"then {second['row']}, {shown(second, metric)}"
    )
    return f"{text}{doubt(first, second, metric)}."


def doubt(first: Row, second: Row, metric: str) -> str:
    """What speaks against the order of two rows."""
    if min(len(first["seeds"]), len(second["seeds"])) < 2:
        return " (one seed)"
    difference = abs((mean_of(first, metric) or 0.0) - (mean_of(second, metric) or 0.0))
    if difference < math.hypot(std_of(first, metric), std_of(second, metric)):
        return " (they differ by less than their seeds do)"
    return ""


def first_past(group: str, rows: Sequence[Row]) -> str:
    """Which row of a code size is below PCA's error after the least training."""
    better = [
        row
        for row in rows
        if row["train_seconds"]
        and (mean_of(row, "mse") or math.inf) < (mean_of(row, "pca_mse") or 0)
    ]
    if not better:
        return ""
    quickest = min(better, key=lambda row: float(row["train_seconds"]))
    return f"With {group}: {quickest['row']}, after {quickest['train_seconds']:.1f} s."


def shown(row: Row, metric: str) -> str:
    """A row's figure as the table has it."""
    return figure(metric, row["metrics"][metric])
