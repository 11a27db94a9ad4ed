"""A Gaussian mixture fitted to the codes of a trained model, `mixture`."""

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from aelab.machine import seed_at
from aelab.models.priors.contract import Codes, PerCode, Prior

MOST_DIMENSIONS = 64
COMPONENTS = 10


class Mixture(Prior):
    """A Gaussian mixture over the leading principal coordinates of a model's training codes.

    ``z = clip(m + (mu_k + T L_k eps) B)``, ``k ~ w``, eps ~ N(0, I): the rows of B are principal
    directions of the codes, as long as the codes' deviation along them, and codes are clipped to
    the range each number had in training: activations that were never negative are not drawn
    negative (fitting a mixture to an autoencoder's codes: Ghosh et al. 2020, arXiv 1903.12436,
    section 4). At most 64 principal coordinates are modelled, and only those that vary; along the
    others every sample is at the mean.

    `log_prob` is that of the unclipped mixture within the plane of B.

    Args:
        code_size: Numbers in a code.

    >>> codes = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    >>> prior = Mixture(2)
    >>> prior.fit(codes)
    >>> prior.sample_codes(3).shape, prior.log_prob(codes).shape
    (torch.Size([3, 2]), torch.Size([500]))
    """

    trained_with_model: ClassVar[bool] = False

    mean: Float[Tensor, " code"]
    basis: Float[Tensor, "dimensions code"]
    low: Float[Tensor, " code"]
    high: Float[Tensor, " code"]
    weights: Float[Tensor, " components"]
    means: Float[Tensor, "components dimensions"]
    factors: Float[Tensor, "components dimensions dimensions"]

    def __init__(self, code_size: int) -> None:
        super().__init__(code_size)
        self.told = "a Gaussian mixture fitted to the codes of training inputs"
        self.take(
            {
                "mean": torch.zeros(code_size),
                "basis": torch.eye(1, code_size),
                "low": torch.full((code_size,), -torch.inf),
                "high": torch.full((code_size,), torch.inf),
                "weights": torch.ones(1),
                "means": torch.zeros(1, 1),
                "factors": torch.ones(1, 1, 1),
            }
        )

    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Let these define it; how many dimensions and components there are follows from them."""
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], code_size: int) -> "Mixture":
        """The inverse of `tensors`.

        Raises:
            RuntimeError: they are those of another prior.
        """
        prior = cls(code_size)
        if tensors.keys() != prior.tensors().keys():
            raise RuntimeError(f"these are no tensors of a mixture: {', '.join(tensors)}")
        prior.take(tensors)
        return prior

    def log_prob(self, z: Codes) -> PerCode:
        """``log sum_k w_k N(u; mu_k, L_k L_k^T) - log |B|``, u the coordinates of z."""
        spread = self.basis.norm(dim=1)
        u = (z - self.mean) @ (self.basis / spread.square()[:, None]).T
        away = u[:, None] - self.means  # [batch, components, dimensions]
        eps = torch.linalg.solve_triangular(self.factors, away[..., None], upper=False).squeeze(-1)
        log_volume = self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        log_normal = -(eps.square() + math.log(2 * math.pi)).sum(2) / 2 - log_volume
        log_density: Tensor = (self.weights.log() + log_normal).logsumexp(1) - spread.log().sum()
        return log_density

    def sample_codes(self, n: int, temperature: float = 1.0) -> Codes:
        """`n` codes, drawn from the global generator; `temperature` is T: 0 gives the means."""
        component = self.weights.multinomial(n, replacement=True)
        eps = torch.randn(n, self.means.shape[1], device=self.means.device)
        step = (self.factors[component] @ eps[:, :, None]).squeeze(2)
        z = self.mean + (self.means[component] + temperature * step) @ self.basis
        return z.clamp(self.low, self.high)

    def fit(
        self, codes: Codes, labels: Int64[Tensor, " batch"] | None = None, *, seed: int = 0
    ) -> None:
        """Fit it to codes by expectation maximisation, from a start that `seed` decides.

        The labels are not used.
        """
        with threadpool_limits(1):  # sums depend on the number of threads in their last bits
            arrays = fit_mixture(codes.double().numpy(), seed_at(seed, "mixture") % 2**32)
        self.take({name: torch.from_numpy(array).float() for name, array in arrays.items()})


def fit_mixture(z: NDArray[np.float64], seed: int) -> dict[str, NDArray[np.float64]]:
    """The arrays of a Mixture for codes `z`, a row each."""
    from sklearn.mixture import GaussianMixture  # takes seconds, and a run opens without it

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
