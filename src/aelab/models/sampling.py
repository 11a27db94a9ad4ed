"""New images from a trained model, and a fitted prior for models that have none."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Tensor

from aelab.data.dataset import TrainingData
from aelab.files import InputError
from aelab.machine import permutation_at, seed_at, seeded, set_global
from aelab.models.base import Autoencoder, Batch, Code

MOST_DIMENSIONS = 64
MOST_CODES = 10_000
COMPONENTS = 10
CHUNK = 500


@runtime_checkable
class CodeSource(Protocol):
    """Anything that draws codes: a model with a prior of its own, or a CodePrior."""

    sampled_from: ClassVar[str]

    def sample_codes(self, n: int, temperature: float = 1.0) -> Code:
        """`n` codes, drawn from the global generator."""
        ...


@dataclass(frozen=True)
class CodePrior:
    """A Gaussian mixture over the leading principal coordinates of a model's training codes.

    ``z = clip(mean + (means_k + T factors_k eps) basis)``, ``k ~ weights``, eps ~ N(0, 1),
    clipped to the range each number had in training: activations that were never negative are
    not drawn negative (fitting a mixture to an autoencoder's codes: Ghosh et al. 2020, arXiv
    1903.12436, section 4).
    """

    sampled_from: ClassVar[str] = "a Gaussian mixture fitted to the codes of training images"

    mean: Float[Tensor, " code"]
    basis: Float[Tensor, "dimensions code"]
    low: Float[Tensor, " code"]
    high: Float[Tensor, " code"]
    weights: Float[Tensor, " components"]
    means: Float[Tensor, "components dimensions"]
    factors: Float[Tensor, "components dimensions dimensions"]

    def sample_codes(self, n: int, temperature: float = 1.0) -> Code:
        """`n` codes, drawn from the global generator; `temperature` is T: 0 gives the means."""
        component = self.weights.multinomial(n, replacement=True)
        eps = torch.randn(n, self.means.shape[1])
        step = (self.factors[component] @ eps[:, :, None]).squeeze(2)
        z = self.mean + (self.means[component] + temperature * step) @ self.basis
        return z.clamp(self.low, self.high)

    def tensors(self) -> dict[str, Tensor]:
        """All that defines it, by name."""
        return asdict(self)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "CodePrior":
        """The inverse of `tensors`."""
        return cls(**tensors)


def fit_prior(model: Autoencoder, data: TrainingData, *, seed: int = 0) -> CodePrior:
    """Fit a CodePrior to the codes of up to 10,000 training inputs.

    At most 64 principal coordinates are modelled, and only those that vary; along the others
    every sample is at the mean. Codes that are not finite are left out.

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
    with threadpool_limits(1):  # sums depend on the number of threads in their last bits
        arrays = fit_mixture(codes.double().numpy(), seed_at(seed, "mixture") % 2**32)
    return CodePrior(**{name: torch.from_numpy(a).float() for name, a in arrays.items()})


def fit_mixture(z: NDArray[np.float64], seed: int) -> dict[str, NDArray[np.float64]]:
    """The arrays of a CodePrior for codes `z`, a row each."""
    mean = z.mean(0)
    _, singular, rows = np.linalg.svd(z - mean, full_matrices=False)
    spread = np.maximum(singular / np.sqrt(len(z)), np.finfo(np.float64).tiny)
    # At least one, also of codes that are all the same.
    kept = max(1, int((spread[:MOST_DIMENSIONS] > max(1e-4 * spread[0], 1e-12)).sum()))
    basis = rows[:kept] * spread[:kept, None]  # of unit variance along each coordinate
    coordinates = (z - mean) @ (rows[:kept] / spread[:kept, None]).T
    components = min(COMPONENTS, len(np.unique(coordinates, axis=0)))
    mixture = GaussianMixture(components, reg_covar=1e-4, random_state=seed)
    mixture.fit(coordinates)
    return {
        "mean": mean,
        "basis": basis,
        "low": z.min(0),
        "high": z.max(0),
        "weights": mixture.weights_,
        "means": mixture.means_,
        "factors": np.linalg.cholesky(mixture.covariances_),
    }


def sample(
    model: Autoencoder,
    n: int,
    *,
    seed: int = 0,
    prior: CodePrior | None = None,
    temperature: float = 1.0,
) -> Batch:
    """`n` new inputs, ``decode(z)`` for codes from the model's own prior or from `prior`.

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
    model: Autoencoder, n: int, *, seed: int, prior: CodePrior | None, temperature: float
) -> Iterator[Batch]:
    """The same, a chunk at a time: memory does not grow with `n`.

    Raises:
        InputError: as `sample`.
    """
    if n < 1:
        raise InputError(f"the number of samples must be 1 or more, not {n}")
    if not 0 <= temperature < math.inf:
        raise InputError(f"the temperature must be a number from 0 up, not {temperature}")
    source = code_source(model, prior)
    for i in range(0, n, CHUNK):
        with seeded(seed), torch.inference_mode():
            codes = [
                draw(source, seed, number, temperature) for number in range(i, min(i + CHUNK, n))
            ]
            x = model.decode(torch.cat(codes).to(device_of(model)))
        yield x


def draw(source: CodeSource, seed: int, number: int, temperature: float) -> Code:
    """The code of one sample, by its address; the global generators are left there."""
    set_global(seed, "sample", number)
    return source.sample_codes(1, temperature)


def code_source(model: Autoencoder, prior: CodePrior | None) -> CodeSource:
    """What draws codes for a model: itself, or a prior fitted to its codes.

    Raises:
        InputError: the model has no prior of its own and none is given.
    """
    if isinstance(model, CodeSource):
        return model
    if prior is None:
        raise InputError(f"a {type(model).__name__} has no prior; fit one with fit_prior()")
    return prior


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
) -> Batch:
    """What becomes of one code when its latent number `number` takes each of `values`."""
    codes = z.repeat(len(values), 1)
    codes[:, number] = values
    return model.decode(codes)


def latent_size(model: Autoencoder) -> int:
    """Numbers of a code without those of a side channel."""
    return model.code_size - model.side_channel[0]
