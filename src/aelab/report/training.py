"""The figure of a run's training: the loss a step and its terms, train and validation an epoch."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from aelab.evaluate.columns import METRICS
from aelab.figures.style import BLUE, COLOURS, GREY, ORANGE, new_figure, styled
from aelab.files import JSON_LIMIT, InputError, read_tensors
from aelab.runs.store import Run

SMOOTHED = 40
"""A running mean goes over this share of all steps."""

Series = NDArray[np.float64]


@styled()
def training_curves(run: Run, *, name: str | None = None) -> Figure:
    """The loss at every step and its terms, and both losses at the end of every epoch."""
    name = name or run.settings.model
    epochs, steps = epochs_of(run), steps_of(run)
    if not epochs:
        raise InputError(f"{run.folder}: nothing was trained step by step")
    panels = {"the loss at every step": np.sum(list(steps.values()), 0)} if steps else {}
    if len(steps) > 1:
        panels |= {f"its term {term.replace('_', ' ')}": values for term, values in steps.items()}
    count = len(panels) + 1
    figure = new_figure(max(7.2, 3.2 * count), 2.9, told(name, epochs, steps))
    axes = figure.subplots(1, count, squeeze=False)[0]
    for panel, (title, values), colour in zip(axes, panels.items(), COLOURS, strict=False):
        by_step(panel, title, values, colour)
    by_epoch(axes[-1], epochs)
    figure.suptitle(f"{name}: training")
    return figure


def by_step(axes: Axes, title: str, values: Series, colour: str) -> None:
    """A loss at every step, with a running mean."""
    x = np.arange(1, len(values) + 1)
    window = max(1, len(values) // SMOOTHED)
    axes.plot(x, values, color=colour, alpha=0.3, linewidth=0.6)
    mean = np.convolve(values, np.ones(window) / window, "valid")
    axes.plot(x[window - 1 :], mean, color=colour, linewidth=1.6)
    low, high = np.quantile(values, (0.0, 0.97))
    room = 0.08 * (high - low) or 1.0
    axes.set(title=title, xlabel="step", ylabel="loss (a batch's mean)")
    axes.set_ylim(low - room, high + room)  # the first few steps would flatten the rest


def by_epoch(axes: Axes, epochs: list[Mapping[str, Any]]) -> None:
    """The mean loss of each epoch, and the loss on validation after it."""
    x = [epoch["epoch"] for epoch in epochs]
    marker = "o" if len(x) < 40 else ""
    train = [sum(epoch["losses"].values()) for epoch in epochs]
    metric = validated_by(epochs)
    if metric is None:
        validation = [epoch["validation_loss"] for epoch in epochs]
        axes.plot(x, train, color=BLUE, marker=marker, markersize=4, label="training")
        axes.set(title="training and validation", ylabel="loss (mean of an epoch)")
    else:
        validation = [epoch["validation"][metric] for epoch in epochs]
        title = METRICS[metric].title
        axes.set(title=f"{title} on validation", ylabel=title)
    axes.plot(x, validation, color=ORANGE, marker=marker, markersize=4, label="validation")
    best = np.nan_to_num([epoch["validation_loss"] for epoch in epochs], nan=np.inf).argmin()
    axes.axvline(x[best], color=GREY, linestyle=":", label="best epoch")
    axes.set(xlabel="epoch", xlim=(0, 1.05 * max(x)))
    axes.legend()


def validated_by(epochs: list[Mapping[str, Any]]) -> str | None:
    """The metric that epochs of a link model are chosen by; None where that is the loss."""
    return "auc" if "auc" in epochs[0]["validation"] else None


def told(name: str, epochs: list[Mapping[str, Any]], steps: Mapping[str, Series]) -> str:
    """The figure in words."""
    first, last = epochs[0], epochs[-1]
    text = f"{name}: training over {last['epoch']:g} epochs"
    text += f" and {len(next(iter(steps.values()))):,} steps" if steps else ""
    metric = validated_by(epochs)
    if metric is not None:
        before, after = (epoch["validation"][metric] for epoch in (first, last))
        return f"{text}; {METRICS[metric].title} on validation from {before:.3f} to {after:.3f}."
    before, after = (epoch["validation_loss"] for epoch in (first, last))
    return f"{text}; validation loss from {before:.4g} to {after:.4g}."


def epochs_of(run: Run) -> list[Mapping[str, Any]]:
    """What the run's history says of each epoch; nothing, where it has none."""
    path = run.folder / "history.jsonl"
    if not path.is_file():
        return []
    if path.stat().st_size > JSON_LIMIT:
        raise InputError(f"{path} is larger than {JSON_LIMIT:,} bytes: no history of aelab's")
    try:
        epochs = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for epoch in epochs:
            epoch["validation_loss"] = number(epoch["validation_loss"])
            epoch["validation"] = {name: number(of) for name, of in epoch["validation"].items()}
            float(epoch["epoch"] + sum(epoch["losses"].values()))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error})") from error
    return epochs


def number(figure: float | None) -> float:
    """A figure of the history; one that was not finite is empty there, and no number here."""
    return math.nan if figure is None else float(figure)


def steps_of(run: Run) -> dict[str, Series]:
    """Each loss term at every step; nothing of a run that has no record of them."""
    path = run.folder / "steps.safetensors"
    if not path.is_file():
        return {}
    return {name: values.double().numpy() for name, values in read_tensors(path).items()}
