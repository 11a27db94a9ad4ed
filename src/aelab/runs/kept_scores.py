"""What a run keeps to tell anomalies by: the scores of its validation inputs.

They lie in ``anomaly_scores.safetensors``, and with them what a score takes of the training
inputs. So a run tells anomalies on a machine that has none of the data.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from aelab.data.dataset import Dataset
from aelab.data.input_sets import InputDataset, InputSplit
from aelab.evaluate.kept import Tensors, digest
from aelab.evaluate.reconstruction import SEED
from aelab.evaluate.scoring import SCORES, Fitted, Scores, nothing, scores_of, split_scores
from aelab.files import AelabError, InputError, read_metadata, read_tensors, write_tensors
from aelab.machine import permutation_at, threads
from aelab.models.contract import Autoencoder
from aelab.runs.store import Run

FILE = "anomaly_scores.safetensors"

VALIDATION = "validation"
"""The last part of a tensor's name, which begins with the score's."""

MOST_SCORED = 20_000
"""Validation inputs that are scored, drawn by a fixed seed where there are more."""


@dataclass(frozen=True)
class KeptScores:
    """The validation scores of a run by one score, and what that score takes beside the model.

    >>> len(KeptScores(torch.tensor([0.1, 0.3], dtype=torch.float64), fitted={}).validation)
    2
    """

    validation: Scores
    fitted: Fitted


def place(run: Run) -> Path:
    """Where they are, or will be."""
    return run.folder / FILE


def keep_all(run: Run, data: Dataset) -> None:
    """Keep those of every score that the model has and its arithmetic holds."""
    if not (isinstance(run.model, Autoencoder) and isinstance(data, InputDataset)):
        return
    kept: Tensors = {}
    for name in scores_of(run.model):
        with suppress(InputError):  # codes that are not finite have no distance
            kept |= computed(run, name, data)
    write(run, kept)


def kept_scores(run: Run, name: str, data: Callable[[], Dataset]) -> KeptScores:
    """Those of one score: as they were kept, or else from the run's own data, and kept now.

    Raises:
        InputError: the file is damaged or of another model; or nothing was kept, and the data are
            nowhere to be found or not the run's own.
    """
    tensors = read(run)
    if f"{name}/{VALIDATION}" not in tensors:
        own = own_data(
            run,
            data,
            otherwise=f"{run.folder} keeps no such scores of its validation inputs, and the data "
            "that it was trained on cannot be had",
        )
        tensors |= computed(run, name, own)
        with suppress(InputError):  # a folder that may not be written to serves as well
            write(run, tensors)
    of_score = {
        key.removeprefix(f"{name}/"): value
        for key, value in tensors.items()
        if key.startswith(f"{name}/")
    }
    return KeptScores(of_score.pop(VALIDATION), of_score)


def own_data(run: Run, data: Callable[[], Dataset], otherwise: str) -> InputDataset:
    """What the run was trained on.

    Raises:
        InputError: it is nowhere to be found, or others by now; `otherwise` says what it is for.
    """
    try:
        own = data()
        run.refuse_other(own)
    except AelabError as error:
        raise InputError(f"{otherwise}: {error}") from error
    assert isinstance(own, InputDataset)
    return own


def fitted(run: Run, name: str, data: Callable[[], Dataset]) -> Fitted:
    """What a score takes beside the model; most take nothing, and need no data."""
    return {} if SCORES[name].fit is nothing else kept_scores(run, name, data).fitted


def computed(run: Run, name: str, data: InputDataset) -> Tensors:
    """What is kept of one score."""
    model = run.autoencoder
    with threads(run.settings.recipe.threads):
        of_training = SCORES[name].fit(model, data.split("train"))
        validation = split_scores(model, some(data.split("validation")), name, of_training)
    own = {VALIDATION: validation, **of_training}
    return {f"{name}/{key}": value for key, value in own.items()}


def some(images: InputSplit) -> InputSplit:
    """The inputs of a split, MOST_SCORED at most."""
    if len(images) <= MOST_SCORED:
        return images
    chosen = torch.zeros(len(images), dtype=torch.bool)
    chosen[permutation_at(len(images), SEED, "validation scores")[:MOST_SCORED]] = True
    return images.where(chosen)


def write(run: Run, tensors: Tensors) -> None:
    """Write the file, which says what it holds and of which weights."""
    facts = {"sha256": digest(tensors), "weights": run.weights_sha256}
    write_tensors(place(run), tensors, facts)


def read(run: Run) -> dict[str, Tensor]:
    """All that is kept; nothing of a run that kept nothing.

    Raises:
        InputError: the file is damaged, or of another model.
    """
    path = place(run)
    if not path.exists():
        return {}
    again = "remove it, and it is made anew from the data that the run was trained on"
    try:
        tensors, facts = read_tensors(path), read_metadata(path)
    except AelabError as error:
        raise InputError(f"{path} is damaged; {again}") from error
    if facts.get("sha256") != digest(tensors):
        raise InputError(f"{path} is not as it was written; {again}")
    if facts.get("weights") != run.weights_sha256:
        raise InputError(f"{path} is of other weights than the run's; {again}")
    return tensors
