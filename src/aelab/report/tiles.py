"""Rows of small images in one figure: each row with its label, each image with its note."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import matplotlib
import numpy as np
import torch
from jaxtyping import Int64
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.evaluate.reconstruction import SEED
from aelab.figures.grids import as_picture, to_bytes
from aelab.figures.style import DPI, styled
from aelab.machine import seeded, threads
from aelab.models.contract import InputBatch
from aelab.runs.store import Run

Runs = Mapping[str, Run]
"""Name of a row to the run that stands for it."""

Tiles = NDArray[np.uint8]
"""``[n, height, width, 3]``, red, green and blue."""

TILE = 56
"""Pixels that a tile is enlarged to, at least."""

GAP, NOTE, HEAD, MARGIN = 4, 15, 17, 10
SMALL, TITLE = 7.5, 10.5  # points
MOST_ERROR = 0.5
"""An absolute error of this share of the pixels' range, and more, has the lightest colour."""

ERRORS = "magma"


@dataclass(frozen=True)
class TileRow:
    """One row of images.

    >>> row = TileRow("original", np.zeros((2, 8, 8, 3), np.uint8), notes=["0", "1"])
    >>> mosaic("Digits", [row], told="Two digits.").get_label()
    'Two digits.'
    """

    label: str
    tiles: Tiles

    notes: Sequence[str] = ()
    """Below each image."""

    apart: bool = False
    """With a gap above, for a group begins here."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute without gradients and on one thread, for the same bits everywhere."""
    with threads(1), threadpool_limits(1), torch.no_grad():
        yield


def told_runs(runs: Runs, several: str = "every model") -> str:
    """Whose pictures they are, of several or of the only run, by name.

    >>> told_runs({"vae": None})
    'vae'
    """
    return several if len(runs) > 1 else next(iter(runs))


def inputs(run: Run, data: InputDataset, split: str, i: Int64[Tensor, " batch"]) -> InputBatch:
    """Images `i` of a split, prepared as the run's model takes them."""
    images = replace(data.split(split), spec=run.autoencoder.spec)
    with seeded(SEED, "picture"):
        return images.batch(i)


def chosen(
    data: InputDataset, split: str, classes: Sequence[str] = (), per_class: int = 1
) -> dict[str, Int64[Tensor, " images"]]:
    """The first images of each class of a split; of all classes unless some are named.

    Raises:
        InputError: there is no class of a name.
    """
    data.refuse_unknown(classes)
    labels = data.split(split).classes
    found = {
        name: (labels == data.classes.index(name)).nonzero().flatten()[:per_class]
        for name in classes or data.classes
    }
    return {name: members for name, members in found.items() if len(members)}


def as_tiles(x: InputBatch, spec: InputSpec) -> Tiles:
    """Inputs or reconstructions as pictures."""
    return np.stack([np.asarray(as_picture(stored)) for stored in to_bytes(x.cpu(), spec)])


def error_tiles(x_hat: InputBatch, x: InputBatch, spec: InputSpec) -> Tiles:
    """|x_hat - x| a pixel, the mean over channels, in the colours of ERRORS."""
    error = ((x_hat - x).abs() / spec.peak).mean(1).clamp(0, MOST_ERROR) / MOST_ERROR
    return coloured(error.numpy())


def coloured(values: NDArray[np.float32]) -> Tiles:
    """Numbers from 0 to 1 in the colours of ERRORS."""
    return np.ascontiguousarray(matplotlib.colormaps[ERRORS](values, bytes=True)[..., :3])


@styled()
def mosaic(
    title: str,
    rows: Sequence[TileRow],
    told: str,
    *,
    heads: Sequence[str] = (),
    group: int = 0,
    errors: bool = False,
) -> Figure:
    """One figure of rows of images.

    `heads` stand above the columns; a wider gap follows every `group` of them; with `errors`
    there is a scale of what error which colour stands for.
    """
    height, width = rows[0].tiles.shape[1:3]
    zoom = max(1, -(-TILE // max(height, width)))
    height, width = zoom * height, zoom * width
    columns = max(len(row.tiles) for row in rows)
    heads = [broken(head, width) for head in heads]
    left = 2 * MARGIN + max(text_width(line) for row in rows for line in row.label.splitlines())
    xs = [left + c * (width + GAP) + 2 * GAP * (c // (group or columns)) for c in range(columns)]
    lines = max((head.count("\n") + 1 for head in heads), default=0)
    ys, bottom = row_places(rows, height, top=30 + HEAD * lines)
    right = max(xs[-1] + width, MARGIN + text_width(title, TITLE, "bold")) + MARGIN
    canvas = np.full((bottom + (24 if errors else 0) + MARGIN, round(right), 3), 255, np.uint8)
    for row, y in zip(rows, ys, strict=True):
        for tile, x in zip(row.tiles, xs, strict=False):
            big = tile.repeat(zoom, 0).repeat(zoom, 1)
            canvas[y : y + height, round(x) : round(x) + width] = big
    if errors:
        ramp = coloured(np.linspace(0, 1, 160, dtype=np.float32))
        canvas[bottom + 8 : bottom + 20, round(left) : round(left) + 160] = ramp
    figure = empty_canvas(canvas, told)
    write = figure.axes[0].text
    write(MARGIN, 14, title, fontsize=TITLE, weight="bold", va="center")
    for head, x in zip(heads, xs, strict=False):
        write(x + width / 2, ys[0] - 3, head, fontsize=SMALL, ha="center", va="bottom")
    for row, y in zip(rows, ys, strict=True):
        write(MARGIN, y + height / 2, row.label, fontsize=SMALL, va="center", linespacing=1.3)
        for note, x in zip(row.notes, xs, strict=False):
            at = (x + width / 2, y + height + 7)
            write(*at, note, fontsize=SMALL - 1, ha="center", va="center", color="#444444")
    if errors:
        scale = f"|error|: black 0, white {MOST_ERROR:g} of the pixels' range and more"
        write(left + 168, bottom + 14, scale, fontsize=SMALL, va="center")
    return figure


def broken(head: str, width: int) -> str:
    """A head on two lines, where it is wider than its column."""
    return head if text_width(head) < width else head.replace("/", "/\n", 1).replace(" ", "\n", 1)


def row_places(rows: Sequence[TileRow], height: int, top: int) -> tuple[list[int], int]:
    """Where each row begins, and where the last ends."""
    ys, y = [], top
    for row in rows:
        y += 2 * GAP if row.apart else 0
        ys.append(y)
        y += height + GAP + (NOTE if row.notes else 0)
    return ys, y


def empty_canvas(canvas: Tiles, told: str) -> Figure:
    """A figure of exactly these pixels, whose axes count in them."""
    height, width = canvas.shape[:2]
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.set_label(told)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(canvas, extent=(0, width, height, 0), interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    return figure


def text_width(text: str, points: float = SMALL, weight: str = "normal") -> float:
    """Pixels that a line of text takes, with a little to spare."""
    font = FontProperties(size=points, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) * DPI / 72 * 1.1
