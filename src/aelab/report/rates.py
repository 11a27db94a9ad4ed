"""Rate and distortion: what codes say against what reconstructions lack and samples are worth."""

from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aelab.figures.style import BLUE, GREY, ORANGE, new_figure, styled
from aelab.studies.results import ResultRow, Results

FEWEST = 3
"""Rows of one model from which on its rate is drawn."""

DISTANCES = {
    "frechet_own": ("samples, own prior", "-", "o"),
    "frechet_fitted": ("samples, fitted prior", "--", "s"),
    "frechet_reconstructions": ("reconstructions", ":", "^"),
}


def rated(results: Results) -> dict[str, list[ResultRow]]:
    """The rows of each model that has several of different KL divergence, the lowest first."""
    known = [row for row in results.rows if row.mean("kl") is not None and row.mean("mse")]
    ordered = sorted(known, key=lambda row: (row.model, row.mean("kl") or 0.0))
    models = {model: list(rows) for model, rows in groupby(ordered, key=lambda row: row.model)}
    return {model: rows for model, rows in models.items() if len(rows) >= FEWEST}


@styled()
def rate_and_distortion(results: Results) -> Figure:
    """MSE against KL divergence, and beside it the Fréchet distances against it."""
    models = rated(results)
    told = ", ".join(
        f"{row.name} {row.mean('kl'):.1f} nats and {row.mean('mse'):.4f}"
        for rows in models.values()
        for row in rows
    )
    figure = new_figure(9.5, 4.2, f"KL divergence and MSE a pixel: {told}.")
    left, right = figure.subplots(1, 2)
    for colour, (model, rows) in zip((BLUE, ORANGE, GREY), models.items(), strict=False):
        rates = [row.mean("kl") or 0.0 for row in rows]
        left.plot(rates, [row.mean("mse") or 0.0 for row in rows], "o-", color=colour, label=model)
        for metric, (label, line, marker) in DISTANCES.items():
            points = [(rate, row.mean(metric)) for rate, row in zip(rates, rows, strict=True)]
            known = [(rate, value) for rate, value in points if value is not None]
            if known:
                right.plot(
                    *zip(*known, strict=True),
                    color=colour,
                    linestyle=line,
                    marker=marker,
                    markersize=4,
                    label=f"{model}: {label}",
                )
    finish(left, "Reconstruction", "MSE (squared error a pixel)")
    finish(right, "Samples and reconstructions", "Fréchet distance from real images")
    return figure


def finish(axes: Axes, title: str, told: str) -> None:
    """Titles and legend of a panel, whose scale starts at 0."""
    axes.set(title=title, xlabel="rate: KL divergence (nats)", ylabel=told)
    axes.set_ylim(bottom=0)
    if axes.has_data():
        axes.legend(fontsize=8)
    else:  # samples are measured only where they are asked for
        axes.set_visible(False)
