"""How well a model tells anomalies from normal inputs, and rivals beside it."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.evaluate.columns import Figures
from aelab.evaluate.kept import Tensors, kept
from aelab.evaluate.links import auc
from aelab.evaluate.reconstruction import SEED
from aelab.evaluate.rivals import MOST_VALUES, RIVALS, Rival
from aelab.evaluate.scoring import (
    SCORES,
    Fitted,
    Scores,
    default_score,
    latent_size,
    split_scores,
)
from aelab.evaluate.subject import Subject
from aelab.machine import permutation_at, seeded
from aelab.models.contract import Autoencoder, InputBatch

MOST_OF_A_KIND = 5_000
"""Normal inputs, and anomalies, that rivals are measured on."""

OF_DATA_ALONE = tuple(name for name in RIVALS if name != "pca")
"""Rivals that ask for no code's size: the same beside every model."""


def measure(subject: Subject) -> Figures:
    """How well the classes that were left out of training are told from the others.

    Beside it, how well the rivals do. All None where no class was left out.
    """
    model, data, split = subject.model, subject.data, subject.split
    figures: Figures = {"anomaly_auroc": anomaly_auroc(model, data, split)}
    if figures["anomaly_auroc"] is not None:
        found = rivals_of_data(data, split) | rivals_of_size(data, split, latent_size(model))
        figures |= {metric_of(name): value.item() for name, value in found.items()}
    return figures


def metric_of(rival: str) -> str:
    """The metric that has a rival's AUROC.

    >>> metric_of("isolation-forest")
    'forest_auroc'
    """
    return f"{rival.removeprefix('isolation-')}_auroc"


def anomaly_scores(model: Autoencoder, x: InputBatch, fitted: Fitted | None = None) -> Scores:
    """Score inputs by the model's own score: the higher, the less like the training inputs.

    For autoencoders `scoring.reconstruction`, for variational ones `scoring.bound`, and for those
    that are told a noise level `noise_levels.noise_level_score`, which is `fitted` to training
    inputs.
    """
    return SCORES[default_score(model)].of(model, x, fitted or {})


def anomaly_auroc(model: Autoencoder, data: InputDataset, split: str) -> float | None:
    """How often an anomaly scores above a normal input: the area under the ROC curve.

    The normal inputs are the split's, the anomalies those of the classes that were left out of
    training; None where no class was, or the split has none of them.
    """
    if not len(data.anomalies.get(split, ())):
        return None
    name = default_score(model)
    fitted = SCORES[name].fit(model, data.split("train"))
    kinds = (data.anomalies[split], data.split(split))
    return auc(*(split_scores(model, inputs, name, fitted) for inputs in kinds))


@kept
def rivals_of_data(data: InputDataset, split: str) -> Tensors:
    """The AUROC of the rivals that follow from the data alone."""
    return rival_aurocs(
        OF_DATA_ALONE, data.split("train"), data.split(split), data.anomalies[split]
    )


@kept
def rivals_of_size(data: InputDataset, split: str, code_size: int) -> Tensors:
    """The AUROC of PCA with a code of that size."""
    splits = (data.split("train"), data.split(split), data.anomalies[split])
    return rival_aurocs(("pca",), *splits, code_size)


def rival_aurocs(
    names: Sequence[str],
    train: InputSplit,
    normal: InputSplit,
    odd: InputSplit,
    code_size: int = 0,
) -> Tensors:
    """The AUROC of rivals fitted to training inputs, by name.

    Of normal inputs and of anomalies MOST_OF_A_KIND are drawn, each: an AUROC does not depend on
    how many of each there are.
    """
    rows = np.concatenate(list(flat(drawn(train, RIVALS["neighbours"].most_rows))))
    rivals = {name: RIVALS[name](SEED, code_size).fit(rows) for name in names}
    kinds = [drawn(images, MOST_OF_A_KIND) for images in (odd, normal)]
    found = [rival_scores(rivals, images) for images in kinds]
    aurocs = {name: auc(*(of[name] for of in found)) for name in names}
    return {name: torch.tensor(auroc, dtype=torch.float64) for name, auroc in aurocs.items()}


def rival_scores(rivals: dict[str, Rival], images: InputSplit) -> dict[str, Tensor]:
    """The scores of a split's inputs by each rival."""
    parts = [{name: of.scores(rows) for name, of in rivals.items()} for rows in flat(images)]
    return {
        name: torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in rivals
    }


def drawn(images: InputSplit, most: int) -> InputSplit:
    """So many inputs of a split at most, and no more values than rivals take, by a fixed seed."""
    most = min(most, max(2, MOST_VALUES // images.spec.size))
    if len(images) <= most:
        return images
    chosen = torch.zeros(len(images), dtype=torch.bool)
    chosen[permutation_at(len(images), SEED, "rivals' inputs")[:most]] = True
    return images.where(chosen.to(images.index.device))


def flat(images: InputSplit) -> Iterator[NDArray[np.float32]]:
    """The inputs of a split as rows of numbers, a chunk at a time."""
    size = max(1, MOST_VALUES // 16 // images.spec.size)
    for number, i in enumerate(torch.arange(len(images)).split(size)):
        with seeded(SEED, "rivals", number):
            x = images.batch(i)
        yield x.flatten(1).cpu().numpy()
