"""What a run's own figures say of its training, in words: what fell short, and what to try."""

import json
from pathlib import Path
from typing import Any

from aelab.models.zoo import ZOO
from aelab.runs.store import Run

COLLAPSED = 0.05
"""Nats: a code of less says nothing of its input."""

LAST, GAINED = 0.1, 0.05
"""Share of the epochs at the end, and of the error, that a finished training gains less in."""

FEWEST_EPOCHS = 10
"""From which on it can be told whether the error was still falling."""

BASELINES = ("pca", "mean", "copy")


def advice(run: Run) -> list[str]:
    """A line for each thing that fell short, the gravest first, with what to try.

    Its error beside that of the mean input and of PCA with as many numbers; a code that says
    nothing; an error that was still falling when training ended.
    """
    if run.settings.model in BASELINES or not run.settings.recipe.epochs:
        return []
    metrics = run.metrics
    error, mean, pca = (metrics.get(name) for name in ("mse", "mean_mse", "pca_mse"))
    found = []
    if error is not None and mean is not None and error >= mean:
        found.append(
            f"its error, {error:.4g}, is not below that of the mean input, {mean:.4g}: it has "
            f"learnt nothing; try a lower --learning-rate, more --epochs, or another model"
        )
    elif error is not None and pca is not None and error > pca:
        found.append(
            f"PCA with as many numbers does better ({pca:.4g}, and this {error:.4g}): try more "
            f"--epochs{options_of(run)}, or take pca"
        )
    wrong, pca_wrong = metrics.get("words_wrong"), metrics.get("pca_words_wrong")
    if wrong is not None and pca_wrong is not None and wrong > pca_wrong:
        found.append(
            f"PCA with as many numbers restores words better ({pca_wrong:.3f} of them wrong, and "
            f"this {wrong:.3f}): try more --epochs{options_of(run)}"
        )
    if (kl := metrics.get("kl")) is not None and kl < COLLAPSED:
        found.append(
            f"its codes say nothing of their inputs (KL {kl:.2g} nats): try a lower --beta, as 0.1"
        )
    if still_falling(run.folder / "history.jsonl"):
        found.append(
            "its validation error was still falling when training ended: try more --epochs"
        )
    return [f"{run.folder}: {line}" for line in found]


def options_of(run: Run) -> str:
    """Options of a model that may bring it below PCA, as far as it has them."""
    values = run.settings.hyperparameters
    known = run.settings.model in ZOO
    tried = []
    if known and "hidden" in values:
        tried.append("wider --hidden layers")
    if values.get("initialisation") == "random" and values.get("activation") == "leaky-relu":
        tried.append("--initialisation pca")
    return "".join(f", {one}" for one in tried)


def still_falling(path: Path) -> bool:
    """Whether the last tenth of the epochs brought a twentieth of the error or more."""
    errors = [error for line in lines_of(path) if (error := error_of(line)) is not None]
    if len(errors) < FEWEST_EPOCHS:
        return False
    before = min(errors[: -max(1, round(LAST * len(errors)))])
    return min(errors) < (1 - GAINED) * before


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The epochs of a history."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def error_of(epoch: dict[str, Any]) -> float | None:
    """The squared error of an epoch on validation, if it has one."""
    found = (epoch.get("validation") or {}).get("mse")
    return None if found is None else float(found)
