"""Which of several priors of a model is best, on the validation split."""

import math
from collections.abc import Mapping

import torch

from aelab.data.input_sets import InputDataset
from aelab.evaluate.samples import frechet_of, most_samples, reference_of
from aelab.machine import seeded
from aelab.models.contract import Autoencoder
from aelab.models.priors.contract import Prior
from aelab.models.sampling import CHUNK, code_of

CODES = 1_000
"""Of validation inputs, that a likelihood is the mean over."""


def validation_distances(
    model: Autoencoder, priors: Mapping[str, Prior], data: InputDataset, seed: int
) -> dict[str, float]:
    """The Fréchet distance to validation images of samples from each prior.

    Nothing, where there are no images, or no classes to learn features from; infinite, where
    samples are not finite.
    """
    if model.spec.kind != "images":
        return {}
    count = most_samples(data, "validation")
    reference = reference_of(data, "validation", count, seed)
    if reference.network is None:
        return {}
    found = {name: frechet_of(model, p, reference, count, seed) for name, p in priors.items()}
    return {name: value if math.isfinite(value) else 1e30 for name, value in found.items()}


def validation_likelihoods(
    model: Autoencoder, priors: Mapping[str, Prior], data: InputDataset, seed: int
) -> dict[str, float]:
    """Mean log-likelihood under each prior of the codes of (at most 1,000) validation inputs."""
    inputs = data.split("validation")
    with seeded(seed, "choice"), torch.inference_mode():
        chosen = torch.arange(min(CODES, len(inputs)))
        z = torch.cat([code_of(model, inputs.batch(i)) for i in chosen.split(CHUNK)])
        means = {name: prior.log_prob(z).mean().item() for name, prior in priors.items()}
    return {name: value if math.isfinite(value) else -1e30 for name, value in means.items()}
