"""What a code knows: classes told from it, numbers in use; beside pixels and PCA."""

import math
import warnings

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.evaluate.columns import Figures
from aelab.evaluate.kept import Tensors, kept
from aelab.evaluate.reconstruction import Codes, chunks, fitted_components
from aelab.machine import threads
from aelab.models.contract import Autoencoder
from aelab.models.pca import PCA
from aelab.models.variational import LatentVariableModel

NEIGHBOURS = 5
MOST_VALUES = 2**28
"""Of training inputs that classifiers are fitted to as they are: 1 GB. Codes are smaller."""

PROBE_STEPS = 100
"""Of the logistic regression's solver, at most."""

LARGE = 1e15
"""The square of larger numbers, summed over some, may be beyond single precision."""

ACTIVE_VARIANCE = 0.01
"""Of a latent number's posterior mean over the data, above which it is in use (Burda et al. 2016,
arXiv 1509.00519, section 5.2)."""

Labels = Int64[Tensor, " images"]


def latent_codes(model: Autoencoder, images: InputSplit) -> Codes:
    """The latent numbers of every code of a split, without a side channel."""
    latent = model.code_size - model.side_channel[0]
    with torch.inference_mode():
        return torch.cat([model.encode(x)[:, :latent].cpu() for x in chunks(images)])


def code_figures(model: Autoencoder, data: InputDataset, split: str, codes: Codes) -> Figures:
    """How well classes are told from `codes`, the split's latent numbers; and how many are in use.

    Classifiers are fitted on the training split's codes. Beside them stand the same on the
    pixels and on as many principal components. Without classes, or without a code, None.
    """
    figures: Figures = {"active_fraction": None}
    if codes.shape[1]:
        figures["active_fraction"] = codes.count_nonzero().item() / codes.numel()
    if isinstance(model, LatentVariableModel):
        figures["active_units"] = active_units(codes) if len(codes) > 1 else None
    if len(data.classes) < 2 or not codes.shape[1]:
        return figures
    training, images = data.split("train"), data.split(split)
    affordable = len(training) * data.spec.size <= MOST_VALUES
    beside: dict[str, Tensors] = {"pixel": {}}
    if affordable:
        beside["pixel"] = pixel_accuracies(data, split)
        if codes.shape[1] < data.spec.size:
            beside["pca"] = pca_accuracies(data, split, codes.shape[1])
    if affordable and torch.equal(codes, flat(images)):  # a copy: of the pixels it is known
        own = beside["pixel"]
    elif isinstance(model, PCA) and "pca" in beside:
        own = beside["pca"]
    else:
        z_train = latent_codes(model, training)
        own = as_tensors(accuracies(z_train, training.classes, codes, images.classes))
    for name in ("probe", "knn"):
        figures[name] = item(own, name)
        figures |= {f"{other}_{name}": item(found, name) for other, found in beside.items()}
    return figures


def item(tensors: Tensors, name: str) -> float | None:
    """One of the numbers, if it is there."""
    return tensors[name].item() if name in tensors else None


def active_units(means: Codes) -> int:
    """Latent numbers whose posterior mean varies over the data by more than ACTIVE_VARIANCE."""
    return int((means.double().var(0) > ACTIVE_VARIANCE).sum())


def accuracies(
    z_train: Float[Tensor, "training code"],
    y_train: Int64[Tensor, " training"],
    z: Codes,
    y: Labels,
) -> tuple[float | None, float | None]:
    """Share of `z` given their classes by logistic regression, and by their nearest neighbours.

    Logistic regression on codes standardised by the training codes, with scikit-learn's own
    penalty; the vote of the five nearest training codes by Euclidean distance, as they are. Of
    codes that are not finite, neither is a number.
    """
    if len(y_train.unique()) < 2:
        return None, None
    if not (z_train.isfinite().all() and z.isfinite().all()):
        return math.nan, math.nan
    arrays = z_train.numpy(), y_train.numpy(), z.numpy(), y.numpy()
    with threadpool_limits(1):  # sums depend on the number of threads in their last bits
        probe = probe_accuracy(*arrays)
    return probe, knn_accuracy(*arrays)  # neighbours do not


Array = NDArray[np.float32]
Classes = NDArray[np.int64]


def probe_accuracy(z_train: Array, y_train: Classes, z: Array, y: Classes) -> float:
    """Accuracy of logistic regression (Alain & Bengio 2016, arXiv 1610.01644: a linear probe)."""
    # In double precision where single would overflow.
    precision = np.float64 if max(np.abs(z_train).max(), np.abs(z).max()) > LARGE else np.float32
    mean = z_train.mean(0, precision)
    std = np.maximum(z_train.std(0, precision), 1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe = LogisticRegression(max_iter=PROBE_STEPS).fit((z_train - mean) / std, y_train)
    return float(probe.score((z - mean) / std, y))


def knn_accuracy(z_train: Array, y_train: Classes, z: Array, y: Classes) -> float:
    """Accuracy of the vote of the nearest training codes."""
    neighbours = min(NEIGHBOURS, len(z_train))
    voters = KNeighborsClassifier(neighbours, algorithm="brute").fit(z_train, y_train)
    return float(voters.score(z, y))


@kept
def pixel_accuracies(data: InputDataset, split: str) -> Tensors:
    """The same of the pixels themselves."""
    training, images = data.split("train"), data.split(split)
    return as_tensors(accuracies(flat(training), training.classes, flat(images), images.classes))


@kept
def pca_accuracies(data: InputDataset, split: str, n: int) -> Tensors:
    """The same of `n` principal components."""
    training, images = data.split("train"), data.split(split)
    mean, basis = fitted_components(data, n)
    with threads(1):
        z_train, z = ((flat(part) - mean) @ basis.T for part in (training, images))
    return as_tensors(accuracies(z_train, training.classes, z, images.classes))


def as_tensors(told: tuple[float | None, float | None]) -> Tensors:
    """Both accuracies, if there are any."""
    return {
        name: torch.tensor(value, dtype=torch.float64)
        for name, value in zip(("probe", "knn"), told, strict=True)
        if value is not None
    }


def flat(images: InputSplit) -> Codes:
    """The inputs of a split, a row each."""
    return torch.cat([x.flatten(1) for x in chunks(images)])
