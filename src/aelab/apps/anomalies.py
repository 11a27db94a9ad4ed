"""Inputs that are unlike what a run was trained on, with their scores and pictures."""

import math
from dataclasses import dataclass
from pathlib import Path

import pyarrow  # type: ignore[import-untyped]
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from aelab.apps.streams import OnDone, chunks, names_and_labels, table, text_columns, using
from aelab.data.dataset import Dataset
from aelab.data.input_sets import InputDataset
from aelab.data.inputs import Inputs
from aelab.evaluate.anomaly import finite_scores, split_scores
from aelab.figures import grids
from aelab.files import InputError
from aelab.models.contract import Autoencoder
from aelab.runs.store import Run


@dataclass(frozen=True)
class Found:
    """What a search for anomalies came to.

    >>> Found(threshold=0.02, anomalies=1, highest=(7, 3)).highest[0]  # the least like the others
    7
    """

    threshold: float
    """An anomaly scores above it."""

    anomalies: int
    """How many inputs are."""

    highest: tuple[int, ...]
    """Numbers of the inputs that score highest, first the highest, anomalies or not."""


def find_anomalies(
    run: Run,
    inputs: Inputs,
    data: Dataset,
    path: str | Path,
    *,
    false_alarm_rate: float = 0.05,
    top: int = 10,
    on_done: OnDone | None = None,
) -> Found:
    """Score each input, and write name, label (where there are classes), score and anomaly.

    As CSV or Parquet by the suffix of `path`, in the order of the inputs; see
    `evaluate.anomaly.finite_scores` for the score. The threshold comes from `data`, what the run
    was trained on: a share `false_alarm_rate` of its validation inputs, at most, lies above.

    Raises:
        InputError: the run is no model of such inputs, `data` are not its own, or `path` cannot
            be written.
    """
    with using(run) as model:
        limit = threshold(run, model, data, false_alarm_rate)
        best = torch.empty(0, dtype=torch.float64)
        highest = torch.empty(0, dtype=torch.long)
        anomalies = 0
        columns = {"score": pyarrow.float64(), "anomaly": pyarrow.bool_()}
        with table(Path(path), {**text_columns(inputs), **columns}) as rows:
            for numbers in chunks(inputs, on_done):
                scores = finite_scores(model, inputs.batch(numbers))
                found = scores > limit
                rows(
                    {
                        **names_and_labels(inputs, numbers),
                        "score": scores.numpy(),
                        "anomaly": found.numpy(),
                    }
                )
                anomalies += int(found.sum())
                best, highest = torch.cat([best, scores]), torch.cat([highest, numbers])
                order = best.argsort(descending=True, stable=True)[:top]
                best, highest = best[order], highest[order]
    return Found(limit, anomalies, tuple(highest.tolist()))


def threshold(run: Run, model: Autoencoder, data: Dataset, false_alarm_rate: float) -> float:
    """The score above which at most a share `false_alarm_rate` of the validation inputs lies.

    Raises:
        InputError: the rate is no share, or the data are not the run's own.
    """
    if not 0 <= false_alarm_rate < 1:
        raise InputError(f"the false-alarm rate must be from 0 up to 1, not {false_alarm_rate}")
    run.refuse_other(data)
    assert isinstance(data, InputDataset)
    scores = split_scores(model, data.split("validation"))
    above = math.floor(false_alarm_rate * len(scores) + 1e-9)
    return scores.sort(descending=True).values[above].item()


def error_maps(run: Run, inputs: Inputs, numbers: tuple[int, ...]) -> Image:
    """A picture of these inputs: each with its reconstruction and where that is wrong.

    The third of each row is the squared error of a pixel, over its channels, as a share of the
    largest in the picture: white.

    Raises:
        InputError: the inputs are no images.
    """
    with using(run) as model:
        if model.spec.kind != "images":
            raise InputError(f"{run.folder}: its inputs are no images; there is nothing to draw")
        x = inputs.batch(torch.tensor(numbers))
        x_hat = model(x)
    shown = torch.stack([x, x_hat, error_map(x_hat - x) * model.spec.peak], 1)
    names = [short(inputs.names[number]) for number in numbers]
    heads = ("input", "restored", "error")
    return grids.grid(list(shown), model.spec, names, heads)


def error_map(
    error: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch channels height width"]:
    """Mean squared error over the channels, as a share of the largest, in each channel."""
    squared = error.square().mean(1, keepdim=True)
    return (squared / squared.max().clamp(min=1e-12)).expand_as(error)


def short(name: str, letters: int = 14) -> str:
    """A name's last letters, as many as there is room for in a picture.

    >>> short("a/long/way/down/to/a/file.png")
    '…/to/a/file.png'
    """
    return name if len(name) <= letters else f"…{name[-letters:]}"
