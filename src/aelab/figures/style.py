"""How figures look, how they become files, and the curves that a run of a link model leaves."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from aelab.data.graphs import GraphDataset
from aelab.evaluate.links import auc, average_precision, precision_recall, roc, split_scores
from aelab.files import atomic_path
from aelab.models.contract import LinkModel

DPI = 120

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, BLACK = "#CC79A7", "#56B4E9", "#F0E442", "#000000"
COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK, YELLOW)
"""Okabe and Ito's palette, told apart also by the colour-blind."""

DASHES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*<>"
GREY = "#777777"

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.hashsalt": "aelab",
}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's own defaults and STYLE, whatever the user's are, so the bytes are the same."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def new_figure(width: float, height: float, told: str) -> Figure:
    """An empty figure of so many inches; its label tells in words and figures what it shows."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    figure.set_label(told)
    return figure


def line_styles() -> Iterator[dict[str, Any]]:
    """Colour, dashes and marker of one line after another, without end."""
    for number, (colour, marker) in enumerate(zip(cycle(COLOURS), cycle(MARKERS), strict=False)):
        dashes = DASHES[number // len(COLOURS) % len(DASHES)]
        yield {"color": colour, "linestyle": dashes, "marker": marker}


@styled()
def link_curves(models: Mapping[str, LinkModel], data: GraphDataset, split: str) -> Figure:
    """ROC and precision-recall curves of a split's links against as many non-links, by model."""
    scores = {name: split_scores(model, data, split) for name, model in models.items()}
    areas = {name: (auc(*both), average_precision(*both)) for name, both in scores.items()}
    told = "; ".join(f"{name}: AUC {a:.3f}, AP {p:.3f}" for name, (a, p) in areas.items())
    figure = new_figure(9, 4.8, f"ROC and precision-recall curves on {data.name}. {told}.")
    left, right = figure.subplots(1, 2)
    for (name, both), line in zip(scores.items(), line_styles(), strict=False):
        line["marker"] = ""
        area, precision = areas[name]
        left.plot(*zip(*roc(*both), strict=True), label=f"{name} {area:.3f}", **line)
        curve = zip(*precision_recall(*both), strict=True)
        right.step(*curve, where="post", label=f"{name} {precision:.3f}", **line)
    left.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="chance")
    right.axhline(0.5, color=GREY, linestyle="--", linewidth=1, label="chance")
    left.set(
        title="ROC, and the area below it",
        xlabel="non-links taken for links (share)",
        ylabel="links found (share)",
    )
    right.set(
        title="Precision-recall, and average precision",
        xlabel="recall: links found (share)",
        ylabel="precision: links among those found (share)",
    )
    for axes, place in ((left, "lower right"), (right, "lower left")):
        axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
        axes.legend(loc=place)
    count = len(next(iter(scores.values()))[0])
    figure.suptitle(f"{data.name}: {count:,} {split} links, as many non-links")
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG of at most 256 colours; the same figure gives the same bytes."""
    with styled():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    picture = Image.fromarray(pixels).convert("RGB")
    content = io.BytesIO()
    few = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(content, format="PNG")
    return content.getvalue()


def webp(png: bytes) -> bytes:
    """A picture without loss in a fourth fewer bytes, which browsers read."""
    content = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").save(content, format="WebP", lossless=True, quality=90, method=4)
    return content.getvalue()


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; the path."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(figure))
    return path
