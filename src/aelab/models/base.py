"""The contract of a model: what the loop, the protocol and the applications rely on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.layers import output_activation, positive
from aelab.models.losses import (
    UNIT_INTERVAL_ONLY,
    LikelihoodName,
    PerExample,
    batch_mean,
    kl_standard_normal,
    likelihood_named,
    squared_error,
)

Batch = Float[Tensor, "batch channels *positions"]
Code = Float[Tensor, "batch code"]
Losses = Mapping[str, Float[Tensor, ""]]


class Trainable(nn.Module, ABC):
    """What `aelab.training.loop.fit` trains."""

    @abstractmethod
    def loss(self, batch: Any, /) -> Losses:  # noqa: ANN401 - what its data yield
        """Named terms whose sum is the objective."""

    def initialise(self, data: TrainingData) -> None:
        """Set what follows from the training data in closed form; called before any step."""


class Autoencoder(Trainable):
    """A model of inputs x by codes z: ``z = encode(x)``, ``x_hat = decode(z)``.

    A subclass is built from an InputSpec and keyword hyperparameters. `encode` is
    deterministic, and `decode` needs nothing but z: what else a decoder uses belongs to the
    code and is counted in `code_size`.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec

    @property
    @abstractmethod
    def code_size(self) -> int:
        """How many numbers z has."""

    @property
    def side_channel(self) -> tuple[int, float]:
        """How many numbers of z are no latent numbers, and how many bits they hold in all."""
        return 0, 0.0

    @abstractmethod
    def encode(self, x: Batch) -> Code:
        """The code z of each input."""

    @abstractmethod
    def decode(self, z: Code) -> Batch:
        """The reconstruction x_hat from a code alone."""

    def forward(self, x: Batch) -> Batch:
        """``decode(encode(x))``."""
        return self.decode(self.encode(x))

    def loss(self, x: Batch) -> Losses:
        """Named terms whose sum is the objective; here the squared error of reconstruction."""
        return {"squared_error": batch_mean(squared_error(self(x), x))}


@dataclass(frozen=True)
class Posterior:
    """q(z | x) = N(mu, exp(log_var)), each latent number by itself.

    `side` are numbers that the decoder is given beside the latent ones (mostly none); they are
    no random variables, and the KL divergence knows nothing of them.
    """

    mu: Float[Tensor, "batch latent"]
    log_var: Float[Tensor, "batch latent"]
    side: Float[Tensor, "batch side"] | None = None

    def sample(self) -> Code:
        """``mu + exp(log_var / 2) eps``, eps drawn from the global generator."""
        return self._with_side(self.mu + (self.log_var / 2).exp() * torch.randn_like(self.mu))

    def mean(self) -> Code:
        """The code with each latent number at its mean."""
        return self._with_side(self.mu)

    def kl(self) -> PerExample:
        """KL divergence from the prior N(0, 1), in nats."""
        return kl_standard_normal(self.mu, self.log_var).sum(1)

    def _with_side(self, z: Float[Tensor, "batch latent"]) -> Code:
        return z if self.side is None else torch.cat([z, self.side], 1)


class VariationalAutoencoder(Autoencoder):
    """A latent-variable model trained on its evidence lower bound (arXiv 1312.6114).

    ``loss = E_q[-log p(x | z)] + beta KL(q(z | x) || N(0, 1))`` with one sample of z; beta = 1
    is the bound itself. A subclass gives `posterior` and `decoder_output`.
    """

    sampled_from: ClassVar[str] = "the prior N(0, 1)"
    """Where `sample_codes` draws from, for people to read."""

    def __init__(
        self,
        spec: InputSpec,
        *,
        latent_dim: int,
        likelihood: LikelihoodName,
        variance: float,
        beta: float,
        output: str | None,
    ) -> None:
        super().__init__(spec)
        positive("latent_dim", latent_dim)
        if not beta >= 0:
            raise ValueError(f"beta must be 0 or more, not {beta}")
        if likelihood in UNIT_INTERVAL_ONLY and not spec.in_unit_interval:
            raise ValueError(
                f"the likelihood {likelihood} is of inputs in [0, 1], and these lie beyond; take "
                f"gaussian"
            )
        activation = output_activation(output, spec)
        self.latent_dim = latent_dim
        self.likelihood = likelihood_named(likelihood, variance, activation)
        self.beta = beta

    @property
    def code_size(self) -> int:
        """Latent numbers, and side numbers if the decoder is given any."""
        return self.latent_dim + self.side_channel[0]

    @abstractmethod
    def posterior(self, x: Batch) -> Posterior:
        """q(z | x)."""

    @abstractmethod
    def decoder_output(self, z: Code) -> Batch:
        """What the decoder's last layer puts out; the likelihood makes p(x | z) of it."""

    def encode(self, x: Batch) -> Code:
        """The posterior's mean."""
        return self.posterior(x).mean()

    def decode(self, z: Code) -> Batch:
        """The likelihood's mean."""
        return self.likelihood.mean(self.decoder_output(z))

    def bound(self, x: Batch) -> tuple[PerExample, PerExample]:
        """The two terms of minus the evidence lower bound, in nats.

        ``-log p(x | z)`` at one sample z of the posterior, and ``KL(q(z | x) || p(z))``.
        """
        posterior = self.posterior(x)
        return self.likelihood.negative_log(
            self.decoder_output(posterior.sample()), x
        ), posterior.kl()

    def loss(self, x: Batch) -> Losses:
        """The bound's two terms, the KL divergence times beta."""
        reconstruction, kl = self.bound(x)
        return {"reconstruction": batch_mean(reconstruction), "kl": self.beta * batch_mean(kl)}

    def sample_codes(self, n: int, temperature: float = 1.0) -> Code:
        """`n` codes from the prior N(0, 1), drawn from the global generator.

        `temperature` scales its deviation: codes from N(0, temperature²).
        """
        return temperature * torch.randn(n, self.latent_dim, device=self.device)

    def sample(self, n: int) -> Batch:
        """`n` new inputs: the likelihood's means for codes drawn from the prior."""
        return self.decode(self.sample_codes(n))

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def initialise(self, data: TrainingData) -> None:
        """Tell the likelihood the variance of the training inputs (of up to 1,000)."""
        x = data.batch(torch.arange(min(len(data), 1000)))
        self.likelihood.initialise((x - x.mean(0)).square().mean().clamp(min=1e-4).item())
