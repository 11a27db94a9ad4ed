"""Figures with axes, as PNG files."""

from pathlib import Path

from matplotlib.figure import Figure

from aelab.data.graphs import GraphDataset
from aelab.evaluate.links import auc, average_precision, precision_recall, roc, split_scores
from aelab.files import atomic_path
from aelab.models.link_base import LinkModel

COLOUR = "#0072B2"
"""Blue of Okabe and Ito's palette, told apart also by the colour-blind."""


def link_curves(model: LinkModel, data: GraphDataset, split: str) -> Figure:
    """ROC and precision-recall curves of a split's links against as many non-links."""
    scores = split_scores(model, data, split)
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(*zip(*roc(*scores), strict=True), color=COLOUR)
    left.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="chance")
    left.set(
        title=f"ROC, area {auc(*scores):.3f}",
        xlabel="non-links taken for links (share)",
        ylabel="links found (share)",
    )
    left.legend(loc="lower right")
    right.step(*zip(*precision_recall(*scores), strict=True), where="post", color=COLOUR)
    right.axhline(0.5, color="grey", linestyle="--", linewidth=1, label="chance")
    right.set(
        title=f"Precision-recall, average precision {average_precision(*scores):.3f}",
        xlabel="recall: links found (share)",
        ylabel="precision: links among those found (share)",
    )
    right.legend(loc="lower left")
    for axes in (left, right):
        axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    figure.suptitle(f"{data.name}: {len(scores[0]):,} {split} links, as many non-links")
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; the path. The same figure gives the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
    return path
