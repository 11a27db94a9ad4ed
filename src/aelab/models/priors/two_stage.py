"""A second variational autoencoder, of the codes of a trained model: `two-stage`."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from aelab.machine import seeded
from aelab.models.losses import kl_standard_normal, log_normal
from aelab.models.priors.contract import Labels, PerCode
from aelab.models.priors.fitted import Coordinates, LearntDensity, PerClass, one_hot

HIDDEN = 512
DRAWS = 64
"""Of w for each code, where its likelihood is estimated."""

ROWS = 500
"""Codes at a time, there."""


class TwoStage(LearntDensity):
    """A variational autoencoder of the principal coordinates of a model's codes, given the class.

    ``w ~ N(0, I)``, ``u ~ N(mu(w, c), gamma I)``, with as many w as u, gamma learnt, and
    q(w | u, c) a Gaussian: the second stage of Dai & Wipf 2019 (arXiv 1903.05789, section 4).
    Trained on the evidence lower bound. `log_density` is its importance-weighted bound with 64
    draws, the same draws each time: an estimate, too low by a little.

    Args:
        code_size: Numbers in a code.

    >>> TwoStage(2).sample_codes(3).shape
    torch.Size([3, 2])
    """

    def __init__(self, code_size: int) -> None:
        super().__init__(code_size)
        self.told = "a second variational autoencoder fitted to the codes of training inputs"
        self.build(len(self.basis), 1, {})

    def build(self, dimensions: int, classes: int, tensors: Mapping[str, Tensor]) -> None:
        """Two networks of two hidden layers."""
        context = classes if classes > 1 else 0
        self.encoder = network(dimensions + context, 2 * dimensions)
        self.decoder = network(dimensions + context, dimensions)
        self.log_gamma = nn.Parameter(torch.zeros(()))

    def posterior(self, u: Coordinates, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(w | u, c)."""
        mu, log_var = self.encoder(torch.cat([u, context], 1)).chunk(2, 1)
        return mu, log_var

    def log_likelihood(self, u: Tensor, w: Tensor, context: Tensor) -> Tensor:
        """``log N(u; mu(w, c), gamma I)``."""
        mu = self.decoder(torch.cat([w, context], -1))
        return log_normal(u, mu, self.log_gamma.expand_as(mu))

    def loss(self, u: Coordinates, labels: Labels) -> PerCode:
        """Minus the evidence lower bound."""
        context = one_hot(labels, len(self.shares))
        mu, log_var = self.posterior(u, context)
        w = mu + (log_var / 2).exp() * torch.randn_like(mu)
        return kl_standard_normal(mu, log_var).sum(1) - self.log_likelihood(u, w, context)

    @torch.no_grad()
    def log_density(self, u: Coordinates) -> PerClass:
        """``log 1/S sum_s p(u, w_s | c) / q(w_s | u, c)`` for each class c."""
        with seeded(0, "two-stage"):
            eps = torch.randn(DRAWS, 1, u.shape[1])
        found = []
        for part in u.split(ROWS):
            of_part = []
            for label in range(len(self.shares)):
                context = one_hot(torch.full((len(part),), label), len(self.shares))
                mu, log_var = self.posterior(part, context)
                w = mu + (log_var / 2).exp() * eps
                zero = torch.zeros_like(w)
                log_weights = (
                    self.log_likelihood(part, w, context.expand(DRAWS, -1, -1))
                    + log_normal(w, zero, zero)
                    - log_normal(w, mu, log_var)
                )
                of_part.append(log_weights.logsumexp(0) - math.log(DRAWS))
            found.append(torch.stack(of_part, 1))
        return torch.cat(found)

    def draw(self, labels: Labels, temperature: float) -> Coordinates:
        """``mu(T eps, c) + T sqrt(gamma) eps'``, T the temperature."""
        size = len(self.basis)
        with torch.no_grad():
            w = temperature * torch.randn(len(labels), size)
            mu: Tensor = self.decoder(torch.cat([w, one_hot(labels, len(self.shares))], 1))
            noise = temperature * (self.log_gamma / 2).exp() * torch.randn(len(labels), size)
        return mu + noise


def network(inputs: int, outputs: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, HIDDEN),
        nn.SiLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.SiLU(),
        nn.Linear(HIDDEN, outputs),
    )
