"""Which rows give the least error for what they cost: against training time, against samples."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aelab.figures.names import name_points
from aelab.figures.style import BLACK, BLUE, GREY, ORANGE, new_figure, styled
from aelab.files import InputError
from aelab.report.scores import is_variational, std_of
from aelab.studies.cells import code_size
from aelab.studies.results import ResultRow, Results
from aelab.studies.verdicts import comparable, front

MOST_NAMED = 20
"""Rows up to which each is named; with more, those on the front."""

KINDS = {"PCA": BLACK, "autoencoder": BLUE, "variational autoencoder": ORANGE}


def compared(results: Results) -> list[ResultRow]:
    """The rows that may be on a front: those with an error and codes of the common size."""
    return comparable([row for row in results.rows if row.mean("mse") is not None])


def kind_of(row: ResultRow) -> str:
    """Which of KINDS a row is."""
    if row.model == "pca":
        return "PCA"
    return "variational autoencoder" if is_variational(row) else "autoencoder"


@styled()
def error_against_time(results: Results) -> Figure:
    """MSE against the seconds of training, with the front."""
    figure, axes, names = drawn(
        results, lambda row: max(row.train_seconds, 0.1), "seconds of training"
    )
    axes.set(title="Error against training time", xlabel="training (s)", xscale="log")
    axes.xaxis.set_major_formatter("{x:g}")
    names()
    return figure


@styled()
def error_against_samples(results: Results) -> Figure:
    """MSE against the samples' Fréchet distance, with the front and that of real images."""
    figure, axes, names = drawn(
        results, lambda row: row.mean("frechet"), "the samples' Fréchet distance"
    )
    axes.set(title="Error against samples", xlabel="samples' Fréchet distance from real images")
    axes.set_xlim(left=0)
    floors = [of for row in results.rows if (of := row.mean("frechet_floor")) is not None]
    if floors:
        axes.axvline(float(np.mean(floors)), color=GREY, linewidth=1, linestyle=":")
        axes.set_xlabel(f"{axes.get_xlabel()} (dotted: other real images)")
    names()
    return figure


def drawn(
    results: Results, cost: Callable[[ResultRow], float | None], told: str
) -> tuple[Figure, Axes, Callable[[], None]]:
    """MSE against a cost, a point a row, and the line of the front; and what writes the names.

    Names are written when the axes have their scale.
    """
    points = {
        row.name: (at, error)
        for row in results.rows
        if row.code_size and not row.overcomplete
        if (at := cost(row)) is not None and (error := row.mean("mse")) is not None
    }
    like = {row.name: points[row.name] for row in compared(results) if row.name in points}
    if len(like) < 2:
        raise InputError(f"fewer than two rows with codes of one size have {told}")
    best = front(like)
    listed = ", ".join(f"{name} {y:.4f} at {x:,.1f}" for name, (x, y) in points.items())
    text = f"MSE against {told}: {listed}. On the front: {', '.join(best)}."
    figure = new_figure(7.5, 4.6, text)
    axes = figure.subplots()
    corners = stairs([points[name] for name in best])
    axes.plot(*zip(*corners, strict=True), color=GREY, linewidth=1.2, linestyle="--", zorder=1)
    rows = {row.name: row for row in results.rows if row.name in points}
    for name, (x, y) in points.items():
        colour = KINDS[kind_of(rows[name])] if name in like else GREY
        axes.errorbar(x, y, std_of(rows[name], "mse") or None, color=colour, capsize=3, linewidth=1)
        mark = Line2D([x], [y], color=colour, marker="o" if name in like else "x", markersize=7)
        mark.set(markerfacecolor=colour if name in best else "white", markeredgewidth=1.6)
        axes.add_line(mark)
    axes.set_ylabel(results.error_label)
    axes.margins(x=0.12, y=0.12)
    kinds = {kind_of(rows[name]) for name in like}
    axes.legend(handles=legend(kinds, len(like) < len(points)), fontsize=8)
    named = {
        name if name in like else f"{name} ({code_size(rows[name]).text})": point
        for name, point in points.items()
        if len(points) <= MOST_NAMED or name in best
    }
    return figure, axes, lambda: name_points(figure, axes, named, [corners], best)


def stairs(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of a front: from each point level to the next one's cost, and down to it.

    >>> stairs([(1, 9), (3, 4)])
    [(1, 9), (3, 9), (3, 4)]
    """
    corners = points[:1]
    for x, y in points[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return corners


def legend(kinds: set[str], others: bool) -> list[Artist]:
    """What colours, marks and the line stand for."""

    def mark(label: str, colour: str = GREY, **how: Any) -> Artist:  # noqa: ANN401 - matplotlib's
        return Line2D([], [], color=colour, label=label, **{"marker": "o", "linestyle": "", **how})

    marks = [mark(kind, colour) for kind, colour in KINDS.items() if kind in kinds]
    marks.append(mark("the front: none is better in both", marker="", linestyle="--"))
    marks.append(mark("another is better in both", markerfacecolor="white"))
    return marks + [mark("another size of code", marker="x")] * others
