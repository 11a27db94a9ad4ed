"""Anomalies by denoising at several noise levels."""

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
    assert isinstance(model, NoiseConditionalAutoencoder)
    errors = []
    for sigma in model.levels(LEVELS):
        x_hat = model.reconstructed(x, torch.full((x.shape[0],), sigma, device=x.device))
        errors.append(squared_errors(x_hat, x, model.spec.peak))
    return torch.stack(errors, 1)


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
