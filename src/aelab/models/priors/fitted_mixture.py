"""Gaussian mixtures fitted to the codes of a trained model, `fitted-mixture`."""

import math
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from aelab.machine import seed_at
from aelab.models.priors.contract import Labels
from aelab.models.priors.fitted import Coordinates, FittedPrior, PerClass, held_out

COMPONENTS = (1, 2, 5, 10, 20, 50, 100)
"""Numbers of components that are tried."""

ALWAYS_TRIED = 5
"""Up to so many; more as long as each is better. From a bad start, two may miss two clusters."""

LEAST_CODES = 20
"""Codes of a class without which nothing is chosen: it gets one Gaussian of independent numbers."""

ITERATIONS, TOLERANCE = 50, 1e-2
"""Most steps, and what the mean log-likelihood must gain in one, in nats, for another. A tenth of
it gains 0.05 nats in all and takes half as long again."""


class FittedMixture(FittedPrior):
    """A Gaussian mixture over the principal coordinates of a model's codes, for each class.

    ``p(u | c) = sum_k w_ck N(mu_ck, L_ck L_ck^T)``, by expectation maximisation, with full
    covariances (Ghosh et al. 2020, arXiv 1903.12436, section 4, whose ten components are here as
    many as make codes of the class that were held out the likeliest; or, where codes are few, one
    Gaussian of independent coordinates).

    Args:
        code_size: Numbers in a code.

    >>> codes = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    >>> prior = FittedMixture(2)
    >>> prior.fit(codes, torch.arange(500) % 2)
    >>> prior.sample_class(3, label=1).shape, prior.log_prob(codes).shape
    (torch.Size([3, 2]), torch.Size([500]))
    """

    weights: Float[Tensor, " components"]
    """Within its class."""

    means: Float[Tensor, "components dimensions"]
    factors: Float[Tensor, "components dimensions dimensions"]
    of_class: Int64[Tensor, " components"]

    def __init__(self, code_size: int) -> None:
        super().__init__(code_size)
        self.told = "a Gaussian mixture fitted to the codes of training inputs"
        self.build(len(self.basis), 1, {})

    def build(self, dimensions: int, classes: int, tensors: Mapping[str, Tensor]) -> None:
        """One standard normal component a class, or as many as the tensors have."""
        n = len(tensors["weights"]) if tensors else classes
        self._place(
            {
                "weights": torch.ones(n),
                "means": torch.zeros(n, dimensions),
                "factors": torch.eye(dimensions).repeat(n, 1, 1),
                "of_class": torch.arange(n) % classes,
            }
        )

    def log_density(self, u: Coordinates) -> PerClass:
        """``log sum_k w_ck N(u; mu_ck, L_ck L_ck^T)`` for each class c."""
        found = []
        for weight, mean, factor in zip(self.weights, self.means, self.factors, strict=True):
            eps = torch.linalg.solve_triangular(factor, (u - mean).T, upper=False)
            log_normal = -(eps.square() + math.log(2 * math.pi)).sum(0) / 2
            found.append(weight.log() + log_normal - factor.diagonal().log().sum())
        joint = torch.stack(found, 1)
        of_each = [joint[:, self.of_class == c] for c in range(len(self.shares))]
        return torch.stack([joint.logsumexp(1) for joint in of_each], 1)

    def draw(self, labels: Labels, temperature: float) -> Coordinates:
        """One u of each label's class; the temperature 0 gives the means of components."""
        every = torch.zeros(len(self.shares), len(self.weights))
        every[self.of_class, torch.arange(len(self.weights))] = self.weights
        component = every[labels].multinomial(1).squeeze(1)
        eps = torch.randn(len(labels), self.means.shape[1])
        step = torch.einsum("nij,nj->ni", self.factors[component], eps)
        return self.means[component] + temperature * step

    def fit_coordinates(self, u: Coordinates, labels: Labels, seed: int) -> None:
        """A mixture for each class, each from a start that `seed` decides."""
        from sklearn.exceptions import ConvergenceWarning

        points = [u[labels == label].numpy() for label in range(len(self.shares))]
        with (
            threadpool_limits(1),  # sums depend on the number of threads in their last bits
            warnings.catch_warnings(),
            ThreadPoolExecutor(torch.get_num_threads()) as pool,  # classes know nothing of others
        ):
            warnings.simplefilter("ignore", ConvergenceWarning)  # its last step is near enough
            arrays = list(pool.map(partial(best_mixture, seed=seed), points))
        found = [
            {name: torch.from_numpy(value).float() for name, value in mixture.items()}
            | {"of_class": torch.full((len(mixture["weights"]),), label)}
            for label, mixture in enumerate(arrays)
        ]
        self._place({name: torch.cat([each[name] for each in found]) for name in found[0]})


def best_mixture(u: NDArray[np.float32], seed: int) -> dict[str, NDArray[Any]]:
    """Weights, means and Cholesky factors of the mixture that fits points best."""
    chosen, scored = (part.numpy() for part in held_out(len(u), seed))
    best, highest = None, -math.inf
    for mixture in mixtures(u[chosen], seed):
        score = mixture.score(u[scored]) if len(u) >= LEAST_CODES else 0.0
        if score > highest:
            best, highest = mixture, score
        elif mixture.n_components > ALWAYS_TRIED:
            break
    assert best is not None
    covariances = best.covariances_
    if best.covariance_type == "diag":
        covariances = np.stack([np.diag(variance) for variance in covariances])
    factors = np.linalg.cholesky(covariances)
    return {"weights": best.weights_, "means": best.means_, "factors": factors}


def mixtures(u: NDArray[np.float32], seed: int) -> Iterator[Any]:
    """Mixtures fitted to points, from the simplest to the richest that so many points allow."""
    from sklearn.mixture import GaussianMixture  # takes seconds, and a run opens without it

    for kind, components in [("diag", 1), *(("full", n) for n in COMPONENTS)]:
        if components > max(1, len(np.unique(u, axis=0)) // 2):
            return
        mixture = GaussianMixture(
            components,
            covariance_type=kind,
            reg_covar=1e-4,
            tol=TOLERANCE,
            max_iter=ITERATIONS,
            init_params="k-means++",
            random_state=seed_at(seed, "mixture") % 2**32,
        )
        # Of one point there is no variance; twice the same one has none, too, and no error.
        yield mixture.fit(u if len(u) > 1 else np.repeat(u, 2, axis=0))
