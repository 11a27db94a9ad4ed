"""Inputs that are unlike what a run was trained on, with their scores and pictures."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pyarrow  # type: ignore[import-untyped]
import torch
from jaxtyping import Float, Float64
from PIL.Image import Image
from torch import Tensor

from aelab.apps.explain import (
    ErrorsOf,
    explained,
    explaining,
    maps_path,
    share_columns,
    told_columns,
)
from aelab.apps.streams import OnDone, chunks, names_and_labels, table, text_columns, using
from aelab.apps.truth import Truth, agreement, decided
from aelab.data.dataset import Dataset
from aelab.data.inputs import Inputs
from aelab.evaluate.false_alarms import Threshold, threshold
from aelab.evaluate.scoring import SCORES, Fitted, score_named
from aelab.figures import grids
from aelab.files import InputError
from aelab.runs.kept_scores import kept_scores
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

    score: str = "reconstruction"
    """The name of the score, of `evaluate.scoring.SCORES`."""

    limit: Threshold | None = None
    """The threshold, and how surely it keeps to the rate of false alarms."""

    truth: Truth | None = None
    """How well the scores agree with labels, where these tell which inputs are anomalies."""

    maps: Path | None = None
    """The file with the shares of positions, where they are asked for and inputs are no rows."""

    reasons: tuple[str, ...] = ()
    """A line for each of the highest: its columns with the largest shares, if asked for."""

    notes: tuple[str, ...] = ()
    """What could not be told, and why."""


def find_anomalies(
    run: Run,
    inputs: Inputs,
    data: Dataset | Callable[[], Dataset] | None,
    path: str | Path,
    *,
    false_alarm_rate: float = 0.05,
    score: str | None = None,
    explain: bool = False,
    anomaly_classes: Sequence[str] | None = None,
    top: int = 10,
    on_done: OnDone | None = None,
) -> Found:
    """Score each input, and write name, label (where there are classes), score and anomaly.

    As CSV or Parquet by the suffix of `path`, in the order of the inputs. The score is one of
    `evaluate.scoring.SCORES`, the model's own unless one is named. The threshold comes from the
    run's validation inputs: a share `false_alarm_rate` of them, at most, lies above. Their scores
    are in the run's folder; `data`, what the run was trained on or what gives it, is asked for
    where they are not, and for the rivals that stand beside the model where labels tell which
    inputs are anomalies: those of `anomaly_classes`, unless that goes without saying.

    With `explain`, the share of each column in a row's score is written, too, or, of images and
    signals, that of each position to ``PATH.shares.npy``. They are shares of the squared error
    of reconstruction: for a variational model, of the bound's reconstruction term alone.

    Raises:
        InputError: the run is no model of such inputs, `data` are not its own, the rate is more
            than so few validation inputs can tell, the model has no such score or it cannot be
            explained, classes are not there, or `path` cannot be written.
    """
    path = Path(path)
    if isinstance(data, Dataset):
        run.refuse_other(data)
    own = own_data(run, data)
    kinds, note = decided(inputs, run.settings.data.classes, anomaly_classes)
    name = score_named(score, run.autoencoder)
    kept = kept_scores(run, name, own)
    limit = threshold(kept.validation, false_alarm_rate)
    reason = explained(name, run.autoencoder, kept.fitted) if explain else None
    scores = write_scores(run, inputs, path, (name, kept.fitted), limit, reason, on_done)
    highest = tuple(scores.argsort(descending=True, stable=True)[:top].tolist())
    spec = run.autoencoder.spec
    reasons = []
    if reason is not None and spec.kind == "rows":
        reasons = told_columns(run, inputs, highest, reason)
    return Found(
        limit.score,
        int((scores > limit.score).sum()),
        highest,
        name,
        limit,
        None if kinds is None else agreement(run, inputs, kinds, scores, limit.score, own),
        maps_path(path, spec) if explain else None,
        tuple(reasons),
        (note,) if note else (),
    )


def own_data(run: Run, data: Dataset | Callable[[], Dataset] | None) -> Callable[[], Dataset]:
    """What gives the run's own data."""
    if isinstance(data, Dataset):
        return lambda: data
    if data is not None:
        return data

    def nothing() -> Dataset:
        raise InputError(f"{run.folder}: what it was trained on was not given")

    return nothing


def write_scores(
    run: Run,
    inputs: Inputs,
    path: Path,
    score: tuple[str, Fitted],
    limit: Threshold,
    reason: ErrorsOf | None,
    on_done: OnDone | None,
) -> Float64[Tensor, " n"]:
    """Write the table of scores, and return them."""
    (name, fitted), spec = score, run.autoencoder.spec
    columns = {"score": pyarrow.float64(), "anomaly": pyarrow.bool_()}
    columns |= {} if reason is None else share_columns(spec)
    scores = []
    with (
        using(run) as model,
        table(path, {**text_columns(inputs), **columns}) as rows,
        nullcontext() if reason is None else explaining(reason, spec, len(inputs), path) as shares,
    ):
        for numbers in chunks(inputs, on_done):
            x = inputs.batch(numbers)
            scores.append(SCORES[name].finite(model, x, fitted))
            rows(
                {
                    **names_and_labels(inputs, numbers),
                    "score": scores[-1].numpy(),
                    "anomaly": (scores[-1] > limit.score).numpy(),
                    **(shares(model, x) if shares is not None else {}),
                }
            )
    return torch.cat(scores)


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
