"""What a page leads with: which row is best at what, as far as its rows can be compared."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aelab.report.material import Material
from aelab.runs.store import Run
from aelab.studies.results import ResultRow, Results, Verdict
from aelab.studies.study import Question
from aelab.studies.tables import figure
from aelab.studies.verdicts import answer

QUESTIONS = {
    "Reconstruction": ("mse", "squared error a pixel"),
    "Denoising": ("noisy_mse_0.2", "squared error from inputs with noise of σ = 0.2"),
    "Sampling": ("frechet", "squared Fréchet distance"),
    "Probing the code": ("probe", "accuracy of a linear probe"),
    "Predicting links": ("auc", "area under the ROC curve"),
}
"""What is asked of rows where their study asks nothing, and the metric that answers."""


@dataclass(frozen=True)
class Answer:
    """A question and what the figures say to it.

    >>> of_questions([Verdict("Which restores best?", "60s", "vae")])
    [Answer(question='Which restores best?', lines=('60s: vae.',), measure='')]
    """

    question: str
    lines: tuple[str, ...]

    measure: str = ""
    """What the figures in the lines are of."""


def answers(material: Material) -> list[Answer]:
    """What the page leads with: the study's own verdicts, or what its figures allow to say."""
    results = material.results
    if not material.is_study:
        return of_one(results.rows[0])
    claims = [
        Answer(f"Claim: {told.claim}", (f"It {told.holds}. {told.found}.",))
        for told in results.claims
    ]
    if results.verdicts:
        return of_questions(results.verdicts) + claims
    return claims or of_groups(results, material.runs)


def of_questions(verdicts: Iterable[Verdict]) -> list[Answer]:
    """The answers to the study's own questions, budget by budget."""
    lines: dict[str, list[str]] = {}
    for told in verdicts:
        budget = f"{told.budget}: " if told.budget else ""
        lines.setdefault(told.question, []).append(f"{budget}{told.answer}.")
    return [Answer(question, tuple(of_budgets)) for question, of_budgets in lines.items()]


def of_one(row: ResultRow) -> list[Answer]:
    """What a single run reached, a line a question."""
    found = []
    for question, (metric, measure) in QUESTIONS.items():
        if row.mean(metric) is not None:
            told = f"{figure(metric, row.spread(metric))}."
            if metric == "mse" and row.mean("pca_mse"):
                pca = figure("pca_mse", row.spread("pca_mse"))
                told += f" PCA with as many numbers has {pca}."
            found.append(Answer(question, (told,), measure))
    return found


def of_groups(results: Results, runs: Mapping[str, Run]) -> list[Answer]:
    """The best of each group of rows that are alike, question by question."""
    groups = like_groups(results, runs)
    found = []
    for question, (metric, measure) in QUESTIONS.items():
        asked = Question(question, metric)
        lines = tuple(
            f"{spent}: {answer(asked, rows)}."
            for (_, spent), rows in groups.items()
            if sum(row.mean(metric) is not None for row in rows) > 1
        )
        found += [Answer(question, lines, measure)] if lines else []
    quickest = tuple(filter(None, map(first_past, same_size(results))))
    if quickest:
        found.append(Answer("Per second of training", quickest, "first below PCA's error"))
    if len(groups) > 1 and all(row.input_size is not None for row in results.rows):
        told = "No best is named: code sizes and budgets differ. See aelab compare equal."
        found.append(Answer("Across these groups", (told,)))
    return found


def like_groups(
    results: Results, runs: Mapping[str, Run]
) -> dict[tuple[int, str], list[ResultRow]]:
    """Rows that may be compared, by code size and budget; none with a side channel.

    A closed form has no budget, and stands beside every row of its code size.
    """
    groups: dict[tuple[int, str], list[ResultRow]] = {}
    for rows in same_size(results):
        closed = [row for row in rows if budget(row, runs) is None]
        for row in rows:
            spent = budget(row, runs)
            if spent is not None:
                groups.setdefault((row.code_size, spent), [*closed]).append(row)
    return {alike: rows for alike, rows in groups.items() if len(rows) > 1}


def same_size(results: Results) -> list[list[ResultRow]]:
    """Rows by the size of their code; those with a side channel are left out."""
    sizes: dict[int, list[ResultRow]] = {}
    for row in sorted(results.rows, key=lambda row: row.code_size):
        if not row.side_channel_size:
            sizes.setdefault(row.code_size, []).append(row)
    return [rows for rows in sizes.values() if len(rows) > 1]


def budget(row: ResultRow, runs: Mapping[str, Run]) -> str | None:
    """What a row was given for training, in words; None for a closed form."""
    recipe = runs[row.name].settings.recipe
    if recipe.epochs == 0:
        return None
    if recipe.seconds is not None:
        return f"{recipe.seconds:g} s of training"
    return f"{recipe.epochs:g} epoch{'s' * (recipe.epochs != 1)}"


def first_past(rows: Sequence[ResultRow]) -> str:
    """Which row of a code size is below PCA's error after the least training; nothing if none."""
    trained = [row for row in rows if row.epochs]  # a closed form is no training
    better = [r for r in trained if (r.mean("mse") or math.inf) < (r.mean("pca_mse") or 0)]
    if not better:
        return ""
    quickest = min(better, key=lambda row: row.train_seconds)
    spent = f"after {quickest.train_seconds:.1f} s"
    return f"{quickest.code_size:,} numbers: {quickest.name}, {spent}."
