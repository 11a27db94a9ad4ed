"""Anomalies by denoising at several noise levels."""

from collections.abc import Iterator

import torch
from jaxtyping import Float64
from torch import Tensor

from aelab.data.input_sets import InputSplit
from aelab.evaluate.metrics import squared_errors
from aelab.evaluate.reconstruction import chunks
from aelab.models.contract import Autoencoder, InputBatch
from aelab.models.noise_conditional import NoiseConditionalAutoencoder

LEVELS = 4
"""Noise levels that a score is summed over."""

Errors = Float64[Tensor, "batch levels"]
Parts = Float64[Tensor, "batch *shape"]
Scores = Float64[Tensor, " batch"]


def noise_conditional_only(model: Autoencoder) -> str:
    """Only a model that is told a noise level can be told several."""
    return "" if isinstance(model, NoiseConditionalAutoencoder) else "it is told no noise level"


def noise_level_errors(model: Autoencoder, x: InputBatch) -> Errors:
    """How far clean inputs are moved that are said to be noisy: a squared error for each level.

    ``e_k(x) = |x_hat(x, sigma_k) - x|^2 / d``, as a share of the range of x, d the numbers of x.
    The best answer to an input with noise of sigma is the mean of the clean inputs that it can come
    from: so ``x_hat(x, sigma) - x`` points to where training inputs lie, and is ``sigma^2`` times
    the gradient of the logarithm of their density at that scale (Vincent 2011; as a measure of
    anomalies, after Livernoche et al. 2024, arXiv 2305.18593).
    """
    moved = [squared_errors(x_hat, x, model.spec.peak) for x_hat in restored(model, x)]
    return torch.stack(moved, 1)


def restored(model: Autoencoder, x: InputBatch) -> Iterator[InputBatch]:
    """What is made of inputs that are said to have noise of each level."""
    assert isinstance(model, NoiseConditionalAutoencoder)
    for sigma in model.levels(LEVELS):
        yield model.reconstructed(x, torch.full((x.shape[0],), sigma, device=x.device))


def mean_errors(model: Autoencoder, train: InputSplit) -> dict[str, Tensor]:
    """The mean over training inputs of the error at each level."""
    with torch.inference_mode():
        parts = [noise_level_errors(model, x).cpu() for x in chunks(train)]
    return {"mean": torch.cat(parts).mean(0)}


def noise_level_score(model: Autoencoder, x: InputBatch, fitted: dict[str, Tensor]) -> Scores:
    """The errors at all levels, each relative to its mean over the training inputs, summed.

    ``s(x) = sum_k e_k(x) / mean_i e_k(x_i)``: so each level counts as much as another, and training
    inputs score LEVELS on average.
    """
    errors = noise_level_errors(model, x)
    score: Tensor = (errors / fitted["mean"].to(errors)).sum(1)
    return score


def noise_level_parts(model: Autoencoder, x: InputBatch, fitted: dict[str, Tensor]) -> Parts:
    """The part of each value in `noise_level_score`, which is their mean."""
    moved = ((x_hat - x).double() / model.spec.peak for x_hat in restored(model, x))
    means = fitted["mean"].tolist()
    parts = [error.square() / mean for error, mean in zip(moved, means, strict=True)]
    return torch.stack(parts).sum(0)
