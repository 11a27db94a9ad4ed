"""The figure of a run's validation scores: what its threshold for anomalies follows from."""

from matplotlib.figure import Figure

from aelab.evaluate.false_alarms import usual_threshold
from aelab.evaluate.scoring import SCORES, default_score
from aelab.figures.style import BLUE, ORANGE, new_figure, styled
from aelab.runs.kept_scores import VALIDATION, place, read
from aelab.runs.store import Run

BINS = 40

WIDEST = 3.0
"""Times the threshold that the scale goes to, at most; what lies beyond is in the last bar."""


def has_scores(run: Run) -> bool:
    """Whether a run keeps scores, as those of graphs and of earlier versions do not."""
    return place(run).is_file()


@styled()
def validation_scores(run: Run, *, name: str | None = None) -> Figure:
    """How many validation inputs have which score, and the threshold with 5 % of them above it."""
    name = name or run.settings.model
    score = default_score(run.autoencoder)
    scores = read(run)[f"{score}/{VALIDATION}"]
    limit = usual_threshold(scores)
    told = f"Scores by {score} above {limit.score:.4g} are anomalies; {limit.told}."
    figure = new_figure(7.2, 2.9, told)
    axes = figure.subplots()
    most = limit.score + (WIDEST - 1) * abs(limit.score)
    axes.hist(scores.clamp(max=most).numpy(), bins=BINS, color=BLUE)
    axes.axvline(limit.score, color=ORANGE, label=f"threshold {limit.score:.4g}")
    axes.set(xlabel=SCORES[score].told, ylabel="validation inputs")
    axes.legend()
    figure.suptitle(f"{name}: scores of anomalies")
    return figure
