"""Figures of a study's table: each is drawn from its results alone."""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from aelab.evaluate.metrics import psnr
from aelab.figures.style import BLACK, BLUE, GREY, ORANGE, line_styles, new_figure, styled
from aelab.files import InputError
from aelab.models.variational import LatentVariableModel
from aelab.models.zoo import ZOO, resolve
from aelab.studies.cells import code_size
from aelab.studies.results import ResultRow, Results

NOISY = "noisy_mse_"
FEWEST_SIZES = 3
"""Code sizes of one model from which on error is drawn against size."""


def std_of(row: ResultRow, metric: str) -> float:
    """The standard deviation over a row's seeds; 0 for one seed."""
    return row.spread(metric).std or 0.0


def is_variational(row: ResultRow) -> bool:
    """Whether a row's model is a variational one."""
    if row.model not in ZOO:
        return "kl" in row.metrics
    return "kl" in row.metrics or issubclass(resolve(row.model).model, LatentVariableModel)


@styled()
def comparison(results: Results) -> Figure:
    """The error of every autoencoder and of every variational one, on one scale, with PCA's."""
    rows = [row for row in results.rows if row.mean("mse") is not None]
    if not rows:
        raise InputError("no row has an MSE to compare")
    parts = {
        "Autoencoders": [row for row in rows if not is_variational(row)],
        "Variational autoencoders": [row for row in rows if is_variational(row)],
    }
    parts = {title: part for title, part in parts.items() if part}
    listed = ", ".join(f"{row.name} {row.mean('mse'):.4f}" for row in rows)
    widest = max(map(len, parts.values()))
    highest = max(row.mean("mse") or 0.0 for row in rows)
    figure = new_figure(max(7.0, 0.75 * len(rows) + 1.5), 4.4, f"MSE: {listed}.")
    ratios = [max(len(part), 0.6 * widest) for part in parts.values()]
    panels = figure.subplots(1, len(parts), sharey=True, squeeze=False, width_ratios=ratios)[0]
    for axes, (title, part), colour in zip(panels, parts.items(), (BLUE, ORANGE), strict=False):
        bars(axes, part, colour, highest)
        axes.set_title(title)
        axes.grid(axis="x", visible=False)
    panels[0].set_ylabel(results.error_label)
    panels[0].legend(handles=legend_of(rows), loc="upper left", fontsize=8)
    figure.supxlabel("row, and numbers in its code", fontsize=9)
    return figure


def legend_of(rows: Sequence[ResultRow]) -> list[Artist]:
    """What the marks of the comparison stand for, as far as there are any."""
    handles: list[Artist] = [Line2D([], [], color=BLACK, linewidth=2, label="PCA, as many numbers")]
    if any(std_of(row, "mse") for row in rows):
        seeds = max(len(row.seeds) for row in rows)
        label = f"± standard deviation, {seeds} seeds"
        handles.append(Line2D([], [], color=BLACK, linewidth=1, marker="_", label=label))
    if any(row.overcomplete for row in rows):
        label = "* a code no smaller than the image"
        handles.append(Patch(facecolor=GREY, edgecolor="white", hatch="//", label=label))
    return handles


def bars(axes: Axes, rows: Sequence[ResultRow], colour: str, highest: float) -> None:
    """A bar a row with its error bar, and a line where PCA of its code size stands."""
    places = np.arange(len(rows))
    means = [row.mean("mse") or 0.0 for row in rows]
    deviations = [std_of(row, "mse") for row in rows]
    drawn: BarContainer = axes.bar(places, means, color=colour, width=0.7)
    if any(deviations):
        axes.errorbar(places, means, deviations, fmt="none", ecolor=BLACK, capsize=3, linewidth=1)
    for place, row, patch, top in zip(places, rows, drawn.patches, means, strict=True):
        pca = row.mean("pca_mse")
        above = top + std_of(row, "mse")
        if pca is not None:
            axes.hlines(pca, place - 0.42, place + 0.42, color=BLACK, linewidth=2)
            above = pca if above < pca < above + 0.08 * highest else above
        if row.overcomplete:
            patch.set(hatch="//", edgecolor="white")
        axes.annotate(
            f"{top:.4f}", (place, above), (0, 3), textcoords="offset points", ha="center", size=7.5
        )
    names = [f"{row.name}\n{code_size(row).text}" for row in rows]
    axes.set_xticks(places, names, rotation=40, ha="right", rotation_mode="anchor")
    axes.margins(y=0.2)


@styled()
def errors_by_class(results: Results) -> Figure:
    """The error of every row on each class, a shade and a number a cell."""
    by_class = {row.name: row.by_class for row in results.rows if row.by_class}
    if not by_class:
        raise InputError("no row has its error by class")
    # An error that is not finite is empty.
    known = {c for of in by_class.values() for c, error in of.items() if error is not None}
    classes = [c for c in next(iter(by_class.values())) if c in known]
    if not classes:
        raise InputError("no row has a finite error on any class")
    errors = np.array([[of.get(c) for c in classes] for of in by_class.values()], np.float64)
    hardest = classes[int(np.nanargmax(np.nanmean(errors, 0)))]
    figure = new_figure(
        2.6 + 0.75 * len(classes),
        1.5 + 0.33 * len(by_class),
        f"MSE of {len(by_class)} rows on each of {len(classes)} classes; from "
        f"{np.nanmin(errors):.4f} to {np.nanmax(errors):.4f}; the hardest class on average is "
        f"{hardest}.",
    )
    axes = figure.subplots()
    shades = axes.imshow(errors, cmap="cividis", vmin=0, aspect="auto")
    dark = float(np.nanmax(errors)) * 0.55
    for i, j in np.ndindex(errors.shape):
        ink = "black" if errors[i, j] > dark else "white"
        text = f"{1000 * errors[i, j]:.1f}"
        axes.text(j, i, text, ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(classes)), classes, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(by_class)), list(by_class))
    axes.grid(visible=False)
    axes.set_title("MSE by class, in thousandths")
    figure.colorbar(shades, ax=axes, label="MSE", pad=0.01)
    return figure


@styled()
def psnr_against_noise(results: Results) -> Figure:
    """PSNR of every row's reconstructions against the noise on its inputs."""
    rows = {row.name: of for row in results.rows if len(of := noise_levels(row)) > 1}
    if not rows:
        raise InputError("no row has been evaluated on noisy images")
    told = []
    figure = new_figure(8, 4.6, "")
    axes = figure.subplots()
    for (name, points), style in zip(rows.items(), line_styles(), strict=False):
        decibels = [psnr(error) for error in points.values()]
        axes.plot(list(points), decibels, label=name, markersize=5, **style)
        told.append(f"{name} {decibels[-1]:.1f}")
    axes.set(
        title="How well clean images are restored from noisy ones",
        xlabel="σ of the noise on the input (share of the pixels' range)",
        ylabel="PSNR against the clean image (dB)",
    )
    levels = sorted(set().union(*rows.values()))
    axes.set_xticks(levels)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.set_label(f"PSNR against noise; in dB at σ = {levels[-1]:g}: {', '.join(told)}.")
    return figure


def noise_levels(row: ResultRow) -> dict[float, float]:
    """Noise on the inputs to the MSE against the clean images; 0 for none, the plain MSE."""
    noisy = [name for name in row.metrics if name.startswith(NOISY)]
    errors = {float(name.removeprefix(NOISY)): row.mean(name) for name in noisy}
    errors[0.0] = row.mean("mse")
    return {level: error for level, error in sorted(errors.items()) if error}


def sizes_by_model(results: Results) -> dict[str, list[ResultRow]]:
    """Models to their rows, smallest code first, of those that come in several code sizes."""
    found: dict[str, list[ResultRow]] = {}
    for row in results.rows:
        if row.mean("mse") is not None and not row.side_channel_size:
            found.setdefault(row.model, []).append(row)
    several = {
        model: sorted(rows, key=lambda row: row.code_size)
        for model, rows in found.items()
        if len({row.code_size for row in rows}) >= FEWEST_SIZES
    }
    return several if any(model != "pca" for model in several) else {}


ERROR_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


@styled()
def error_against_size(results: Results) -> Figure:
    """MSE against the code's size, a line a model, with PCA's."""
    models = sizes_by_model(results)
    if not models:
        raise InputError(f"no model has rows of {FEWEST_SIZES} code sizes")
    figure = new_figure(7.5, 4.6, "")
    axes = figure.subplots()
    found = {row.code_size: row.mean("pca_mse") for row in results.rows}
    baseline = {size: error for size, error in sorted(found.items()) if error is not None}
    axes.plot(list(baseline), list(baseline.values()), color=BLACK, linewidth=2.5, label="pca")
    told = []
    models.pop("pca", None)
    for (model, rows), style in zip(models.items(), line_styles(), strict=False):
        sizes = [row.code_size for row in rows]
        errors = [row.mean("mse") or 0.0 for row in rows]
        deviations = [std_of(row, "mse") for row in rows]
        spread = deviations if any(deviations) else None
        axes.errorbar(sizes, errors, spread, label=model, capsize=3, **style)
        first, last = (f"{errors[at]:.4f} at {sizes[at]}" for at in (0, -1))
        told.append(f"{model} from {first} to {last}")
    axes.set(xscale="log", yscale="log", title="Error against the size of the code")
    axes.set(xlabel="numbers in the code", ylabel=results.error_label)
    axes.set_xticks(list(baseline), list(map(str, baseline)))
    low, high = axes.get_ylim()
    ticks = [tick for tick in ERROR_TICKS if low <= tick <= high]
    axes.set_yticks(ticks, list(map(str, ticks)))
    axes.minorticks_off()
    axes.legend()
    figure.set_label(f"MSE against code size: {'; '.join(told)}.")
    return figure
