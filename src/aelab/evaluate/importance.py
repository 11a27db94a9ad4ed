"""How likely images are under a variational model: the importance-weighted bound."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.images import Images
from aelab.evaluate.images import SEED, chunks
from aelab.files import InputError
from aelab.models.base import Posterior, VariationalAutoencoder
from aelab.randomness import seeded, set_global

SAMPLES = 5_000
"""Of z for each image; as many as in the papers."""

VALUES = 2**19
"""Numbers of the decoder's output at a time: few enough to stay in a processor's cache."""


def importance_bound(
    model: VariationalAutoencoder, images: Images, samples: int = SAMPLES
) -> tuple[float, float] | None:
    """Mean of a bound on ``-log p(x)`` over a split's images, in nats, and its standard error.

    ``-log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x)`` with K = `samples` draws z_k of
    q(z | x): Burda et al. 2016 (arXiv 1509.00519), eq. 8. With K = 1 it is minus the evidence
    lower bound; it falls towards ``-log p(x)`` as K grows. The draws of an image follow from its
    place in the split. The error is that of the mean over images, the draws' own included.

    None where the decoder is given more than z: what a side channel holds has no density, and p(x)
    none either.

    Raises:
        InputError: `samples` is less than 1.
    """
    if samples < 1:
        raise InputError(f"the number of importance samples must be 1 or more, not {samples}")
    if model.side_channel[0]:
        return None
    found: list[float] = []
    with seeded(SEED), torch.inference_mode():
        for x in chunks(images):
            posterior = model.posterior(x)
            for row in range(len(x)):
                set_global(SEED, "importance", len(found))
                weights = log_weights(model, x[row : row + 1], one_of(posterior, row), samples)
                found.append(-log_mean_exp(weights).item())
    bounds = torch.tensor(found, dtype=torch.float64)
    error = bounds.std().item() / math.sqrt(len(bounds)) if len(bounds) > 1 else math.nan
    return bounds.mean().item(), error


def one_of(posterior: Posterior, row: int) -> Posterior:
    """The posterior of one of the images."""
    return Posterior(posterior.mu[row : row + 1], posterior.log_var[row : row + 1])


def log_weights(
    model: VariationalAutoencoder,
    x: Float[Tensor, "1 *shape"],
    posterior: Posterior,
    samples: int,
) -> Float[Tensor, " samples"]:
    """``log p(x | z_k) + log p(z_k) - log q(z_k | x)`` of one image, in double precision."""
    weights = []
    std = (posterior.log_var / 2).exp()
    for part in torch.arange(samples).split(max(1, VALUES // x.numel())):
        eps = torch.randn(len(part), model.latent_dim, device=x.device)
        z = posterior.mu + std * eps
        prior_to_posterior = (posterior.log_var + eps.square() - z.square()).double().sum(1) / 2
        output = model.decoder_output(z)
        negative_log = model.likelihood.negative_log(output, x.expand_as(output))
        weights.append(prior_to_posterior - negative_log.double())
    return torch.cat(weights)


def log_mean_exp(values: Float[Tensor, " values"]) -> Float[Tensor, ""]:
    """``log (1/K) sum_k exp(values_k)``, also where the exponentials are not representable.

    >>> log_mean_exp(torch.tensor([-1000.0, -1000.0]))
    tensor(-1000.)
    """
    return values.logsumexp(0) - math.log(len(values))
