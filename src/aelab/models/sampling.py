"""New inputs from a trained model and a prior; ways and walks through its codes."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.dataset import TrainingData
from aelab.files import InputError
from aelab.machine import permutation_at, seeded, set_global
from aelab.models.contract import Autoencoder, Code, InputBatch
from aelab.models.priors.contract import Prior

MOST_CODES = 10_000
"""Training inputs whose codes a prior is fitted to, at most."""

CHUNK = 500


def fit_prior(prior: Prior, model: Autoencoder, data: TrainingData, *, seed: int = 0) -> None:
    """Fit a prior to the codes of up to 10,000 training inputs; those not finite are left out.

    Raises:
        InputError: there is no other.
    """
    chosen = permutation_at(len(data), seed, "prior")[:MOST_CODES]
    with seeded(seed, "prior"), torch.inference_mode():
        codes = torch.cat([model.encode(data.batch(i)).cpu() for i in chosen.split(CHUNK)])
    codes = codes[codes.isfinite().all(1)]
    if not len(codes):
        raise InputError(
            "no training input has a finite code, so no prior can be fitted: the training "
            "diverged; try a lower --learning-rate, or --clip-norm 1"
        )
    prior.fit(codes, seed=seed)


def sample(
    model: Autoencoder,
    n: int,
    *,
    seed: int = 0,
    prior: Prior | None = None,
    temperature: float = 1.0,
) -> InputBatch:
    """`n` new inputs, ``decode(z)`` for codes from `prior`, or else from the model's own.

    The i-th follows from (seed, i): asking for more only adds to them. `temperature` scales the
    deviation of the prior, or that of each component of a mixture: below 1, samples are more
    alike (Kingma & Dhariwal 2018, arXiv 1807.03039, section 6).

    Raises:
        InputError: `n` is less than 1, the temperature less than 0, or the model has no prior of
            its own and none is given.
    """
    chunks = sample_chunks(model, n, seed=seed, prior=prior, temperature=temperature)
    return torch.cat(list(chunks))


def sample_chunks(
    model: Autoencoder, n: int, *, seed: int, prior: Prior | None, temperature: float
) -> Iterator[InputBatch]:
    """The same, a chunk at a time: memory does not grow with `n`.

    Raises:
        InputError: as `sample`.
    """
    if n < 1:
        raise InputError(f"the number of samples must be 1 or more, not {n}")
    if not 0 <= temperature < math.inf:
        raise InputError(f"the temperature must be a number from 0 up, not {temperature}")
    source = prior_of(model, prior)
    for i in range(0, n, CHUNK):
        with seeded(seed), torch.inference_mode():
            codes = [
                draw(source, seed, number, temperature) for number in range(i, min(i + CHUNK, n))
            ]
            x = model.decode(torch.cat(codes).to(device_of(model)))
        yield x


def draw(prior: Prior, seed: int, number: int, temperature: float) -> Code:
    """The code of one sample, by its address; the global generators are left there."""
    set_global(seed, "sample", number)
    return prior.sample_codes(1, temperature)


def prior_of(model: Autoencoder, prior: Prior | None) -> Prior:
    """What codes of a model are drawn from: the given prior, or else its own.

    Raises:
        InputError: there is neither.
    """
    found = prior or model.prior
    if found is None:
        raise InputError(f"a {type(model).__name__} has no prior; fit one with fit_prior()")
    return found


def device_of(model: Autoencoder) -> torch.device:
    """Where the model's tensors are."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def between(
    model: Autoencoder,
    first: Float[Tensor, "1 code"],
    second: Float[Tensor, "1 code"],
    shares: Float[Tensor, " steps"],
) -> Float[Tensor, "steps code"]:
    """Codes on the way from one to another: ``(1 - t) first + t second`` for each share t.

    Side numbers are no points of a line: they are those of the nearer end.
    """
    t = shares[:, None]
    z = (1 - t) * first + t * second
    latent = latent_size(model)
    z[:, latent:] = torch.where(t < 0.5, first[:, latent:], second[:, latent:])
    return z


def traversal(
    model: Autoencoder, z: Float[Tensor, "1 code"], number: int, values: Float[Tensor, " steps"]
) -> InputBatch:
    """What becomes of one code when its latent number `number` takes each of `values`."""
    codes = z.repeat(len(values), 1)
    codes[:, number] = values
    return model.decode(codes)


def latent_size(model: Autoencoder) -> int:
    """Numbers of a code without those of a side channel."""
    return model.code_size - model.side_channel[0]
