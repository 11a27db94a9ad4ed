"""What a study's verdicts come to in sentences: the first thing that is read of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aelab.evaluate.columns import GROUPS, METRICS, worded
from aelab.studies.cells import OVERCOMPLETE, code_size, figure
from aelab.studies.results import ResultRow, Results, Verdict
from aelab.studies.study import usual_questions
from aelab.studies.verdicts import has_zero

PHRASES = {
    "mse": "squared error {} a pixel",
    "noisy_mse_0.2": "squared error {} a pixel from images with noise of 0.2",
    "frechet": "Fréchet distance {} from real images",
    "probe": "accuracy {} of a linear classifier on its codes",
    "anomaly_auroc": "area under the ROC curve {}",
}
"""A figure in a sentence; of other metrics, the title and the figure."""

PCA = {"mse": "pca_mse", "probe": "pca_probe", "knn": "pca_knn"}
"""Metrics that every row has of PCA too, for a code of as many numbers."""

BESIDE = {
    "frechet": {
        "frechet_reconstructions": "its reconstructions",
        "frechet_floor": "other real images",
    },
    "probe": {"pixel_probe": "the pixels"},
}
"""What else stands beside a figure, and in what words."""


@dataclass(frozen=True)
class Line:
    """A sentence or two, and what they are about.

    >>> Line("Denoises best:", "denoising.").lead
    'Denoises best:'
    """

    lead: str
    text: str


def answers(results: Results) -> list[Line]:
    """What to say of a study first: who is best at what, on what that rests, which claims hold."""
    leads: dict[str, list[str]] = {}
    for told in results.verdicts:
        budget = f"{told.budget}: " if told.budget else ""
        leads.setdefault(f"{budget}{told.answer}.", []).append(told.question)
    lines = [Line(lead(", ".join(asked)), text) for text, asked in leads.items()]
    lines += notes(results)
    for claim in results.claims:
        lines.append(Line(f"Claim: {claim.claim}.", f"It {claim.holds}: {claim.found}."))
    return lines


def answers_of_one(row: ResultRow) -> list[Line]:
    """What a single run reached, a line for each of the usual questions."""
    return [
        Line(
            f"{GROUPS[METRICS[asked.metric].group].heading}:", f"{reached(asked.metric, row, [])}."
        )
        for asked in usual_questions()
        if row.mean(asked.metric) is not None
    ]


def lead(question: str) -> str:
    """A question as a sentence begins with it.

    >>> lead("Which is best?"), lead("Reconstructs best")
    ('Which is best?', 'Reconstructs best:')
    """
    return question if question.endswith("?") else f"{question}:"


def in_words(told: Verdict, rows: Sequence[ResultRow]) -> str:
    """A verdict on these rows as a sentence, without its full stop."""
    by_name = {row.name: row for row in rows}
    if told.best is None or told.metric is None:
        only = told.left_out[0] if len(told.left_out) == 1 else ""
        why = f"only {only} has this figure" if only else "the rows' codes differ in size"
        return f"no best is named: {why}"
    best = by_name[told.best]
    text = f"{best.name}, {reached(told.metric, best, rows)}, {seconds(best)} of training"
    if told.quick is not None:
        quick = by_name[told.quick]
        like = figure(told.metric, quick.spread(told.metric))
        text += f"; {quick.name} is nearly as good ({like}) after {seconds(quick)}"
    if told.close:
        text += f"; {told.seeds} seeds do not tell {best.name} apart from {', '.join(told.close)}"
    elif told.seeds and told.seeds > 1:
        text += f"; {told.seeds} seeds tell it apart from every other row"
    return text


def reached(metric: str, row: ResultRow, rows: Sequence[ResultRow]) -> str:
    """A row's figure, and beside it what it must be held against."""
    others = {}
    if (pca := pca_of(metric, row, rows)) is not None:
        others[f"PCA with {row.code_size:,} numbers"] = pca.spread(metric)
    elif row.model != "pca":
        others[f"PCA with {row.code_size:,} numbers"] = row.spread(PCA.get(metric, ""))
    others |= {
        worded(words, row.counted): row.spread(name)
        for name, words in BESIDE.get(metric, {}).items()
    }
    told = [f"{words}: {figure(metric, of)}" for words, of in others.items() if of.mean is not None]
    phrase = worded(PHRASES.get(metric, f"{METRICS[metric].title} {{}}"), row.counted)
    text = phrase.format(figure(metric, row.spread(metric)))
    return text + (f" ({'; '.join(told)})" if told else "")


def pca_of(metric: str, row: ResultRow, rows: Sequence[ResultRow]) -> ResultRow | None:
    """The row of PCA with as large a code, if there is one beside the row."""
    like = [of for of in rows if of.model == "pca" and of.code_size == row.code_size]
    return next((of for of in like if of is not row and of.mean(metric) is not None), None)


def seconds(row: ResultRow) -> str:
    """How long a row's training took."""
    taken = row.train_seconds
    if taken < 0.1:
        return "less than 0.1 s"
    return f"{taken:,.0f} s" if taken >= 10 else f"{taken:.1f} s"


def notes(results: Results) -> Iterator[Line]:
    """On what the verdicts rest: seeds, sizes of codes, and what nearly means."""
    named = [told for told in results.verdicts if told.best is not None]
    if not named:
        return
    if any(told.quick for told in named):
        text = "an error at most a quarter larger, after at most a tenth of the training time."
        yield Line("Nearly as good:", text)
    elif any(has_zero(told.metric or "") for told in named):
        text = "nothing is nearly as good (an error at most a quarter larger)."
        yield Line("In a tenth of the time:", text)
    if any(told.seeds == 1 for told in named):
        text = "only one seed was run, and rows with close figures may change places."
        yield Line("How sure:", f"{text} Add --seeds 0 1 2 to see which differences hold.")
    else:
        yield Line("How sure:", "paired t-tests over the seeds, at 5 % in all for each answer.")
    sizes = {row.name: f" ({code_size(row).text.rstrip(OVERCOMPLETE)})" for row in results.rows}
    for size in sorted({told.code_size for told in named if told.code_size is not None}):
        names = [name for told in named if told.code_size == size for name in told.left_out]
        others = ", ".join(f"{name}{sizes.get(name, '')}" for name in dict.fromkeys(names))
        left_out = f"; left out, for their codes are larger or smaller: {others}" if others else ""
        yield Line("Compared:", f"codes of {size:,} numbers{left_out}.")
