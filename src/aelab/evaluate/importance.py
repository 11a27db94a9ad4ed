"""How likely images are under a variational model: the importance-weighted bound."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.batch import Batch
from aelab.data.input_sets import InputSplit
from aelab.evaluate.reconstruction import SEED, chunks
from aelab.evaluate.subject import Subject
from aelab.files import InputError
from aelab.machine import permutation_at, seeded, set_global
from aelab.models.posterior import Posterior
from aelab.models.variational import LatentVariableModel

SAMPLES = 5_000
"""Of z for each image; as many as in the papers."""

TIGHTENED = 500
"""Images of a split that get them, in the protocol."""

FEW = 10
"""Draws for an image that is not tightened."""

VALUES = 2**19
"""Numbers of the decoder's output at a time: few enough to stay in a processor's cache."""


def measure(subject: Subject) -> dict[str, Any]:
    """The importance-weighted bound, if the model has one, and what it was measured by."""
    model, images = subject.model, subject.inputs
    if not isinstance(model, LatentVariableModel):
        return {}
    found = importance_bound(model, images, SAMPLES, TIGHTENED)
    if found is None:
        return {}
    return {
        f"importance_bound_{model.likelihood.name}": found[0],
        "importance_error": found[1],
        "importance_samples": SAMPLES,
        "importance_images": min(TIGHTENED, len(images)),
    }


def importance_bound(
    model: LatentVariableModel,
    images: InputSplit,
    samples: int = SAMPLES,
    tightened: int | None = None,
) -> tuple[float, float] | None:
    """Mean of a bound on ``-log p(x)`` over a split's images, in nats, and its standard error.

    ``L_K = -log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x)`` with K = `samples` draws z_k of
    q(z | x): Burda et al. 2016 (arXiv 1509.00519), eq. 8. With K = 1 it is minus the evidence
    lower bound; it falls towards ``-log p(x)`` as K grows. The draws of an image follow from its
    place in the split.

    Where K draws of every image take too long, `tightened` says how many images get them, chosen
    at random: ``mean L_1 - mean (L_1 - L_K)``, the first mean over all images, with ten draws of
    each, the second over the chosen. InputSplit differ much in L_1 and little in L_1 - L_K, so that
    few hundred do. The error is that of the mean over images, the draws' own included.

    None where the decoder is given more than z: what a side channel holds has no density, and p(x)
    none either.

    Raises:
        InputError: `samples` or `tightened` is less than 1.
    """
    count = len(images) if tightened is None else min(tightened, len(images))
    if min(samples, count) < 1:
        raise InputError(
            f"importance samples, and images that get them, must be 1 or more, not {samples} "
            f"and {count}"
        )
    if model.side_channel[0]:
        return None
    chosen = set(permutation_at(len(images), SEED, "tightened")[:count].tolist())
    loose: list[float] = []
    gained: dict[int, float] = {}
    with seeded(SEED), torch.inference_mode():
        for x in chunks(images):
            posterior = model.posterior(x)
            for row in range(len(x)):
                place = len(loose)
                draws = samples if place in chosen else min(samples, FEW)
                set_global(SEED, "importance", place)
                weights = log_weights(model, x[row : row + 1], posterior.of(row), draws)
                loose.append(-weights.mean().item())
                if place in chosen:
                    gained[place] = loose[place] + log_mean_exp(weights).item()
    return mean_and_error(loose, gained)


def mean_and_error(loose: Sequence[float], gained: Mapping[int, float]) -> tuple[float, float]:
    """The mean of L_1 - g, and its standard error, where only some images' g is known.

    Of n images and m that are known, ``Var(L_1 - g) / n + Var(g) (1 / m - 1 / n)``; none for one.
    """
    every = torch.tensor(loose, dtype=torch.float64)
    gains = torch.tensor(list(gained.values()), dtype=torch.float64)
    mean = (every.mean() - gains.mean()).item()
    if len(gains) < 2:
        return mean, math.nan
    spread = (every[list(gained)] - gains).var() / len(every)
    unknown = gains.var() * (1 / len(gains) - 1 / len(every))
    return mean, (spread + unknown).sqrt().item()


def log_weights(
    model: LatentVariableModel,
    x: Float[Tensor, "1 *shape"],
    posterior: Posterior,
    samples: int,
) -> Float[Tensor, " samples"]:
    """``log p(x | z_k) + log p(z_k) - log q(z_k | x)`` of one image, in double precision."""
    weights = []
    for part in torch.arange(samples).split(max(1, VALUES // x.numel())):
        z = posterior.sample(torch.randn(len(part), posterior.noise_size, device=x.device))
        prior_to_posterior = model.prior.log_prob(z).double() - posterior.log_prob(z).double()
        output = model.decoder_output(z)
        negative_log = model.likelihood.negative_log(output, Batch.of(x).repeated(len(z)))
        weights.append(prior_to_posterior - negative_log.double())
    return torch.cat(weights)


def log_mean_exp(values: Float[Tensor, " values"]) -> Float[Tensor, ""]:
    """``log (1/K) sum_k exp(values_k)``, also where the exponentials are not representable.

    >>> log_mean_exp(torch.tensor([-1000.0, -1000.0]))
    tensor(-1000.)
    """
    return values.logsumexp(0) - math.log(len(values))
