"""What an encoder says of the latent numbers: q(z | x), an object that can be drawn from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.models.losses import PerExample, kl_standard_normal, log_normal
from aelab.models.priors.contract import Prior
from aelab.models.priors.normal import Normal

Code = Float[Tensor, "batch code"]


class Posterior(ABC):
    """q(z | x) of a batch of inputs. Nothing outside it assumes what distribution it is.

    >>> posterior = Gaussian(torch.zeros(3, 2), torch.zeros(3, 2))
    >>> posterior.sample().shape, posterior.kl(Normal(2), posterior.mean()).tolist()
    (torch.Size([3, 2]), [0.0, 0.0, 0.0])
    """

    @property
    @abstractmethod
    def noise_size(self) -> int:
        """How many standard normal numbers a sample is made of."""

    @abstractmethod
    def sample(self, noise: Float[Tensor, "_ noise"] | None = None) -> Code:
        """One z for each input: of these standard normal numbers, or of new ones.

        New ones come from the global generator; a single row of them serves every input.
        """

    @abstractmethod
    def mean(self) -> Code:
        """The code: each latent number at its mean."""

    @abstractmethod
    def log_prob(self, z: Float[Tensor, "_ code"]) -> Float[Tensor, " _"]:
        """``log q(z | x)`` in nats; of one input, z may be many."""

    def log_prob_of_each(self, z: Float[Tensor, "points code"]) -> Float[Tensor, "points batch"]:
        """``log q(z | x)`` of every z given every one of the inputs."""
        rows = range(len(self.mean()))
        return torch.stack([self.of(row).log_prob(z) for row in rows], 1)

    @abstractmethod
    def of(self, row: int) -> "Posterior":
        """The posterior of one of the inputs."""

    @abstractmethod
    def repeated(self, times: int) -> "Posterior":
        """Each input's posterior so many times, one after another: a sample has as many z of each.

        Their order is that of ``x.repeat_interleave(times, 0)``.
        """

    def kl(self, prior: Prior, z: Code) -> PerExample:
        """KL divergence from `prior`, in nats, or its estimate by one sample z.

        ``log q(z | x) - log p(z)``, where there is no closed form.
        """
        return self.log_prob(z) - prior.log_prob(z)

    def kl_of_each(self, prior: Prior) -> Float[Tensor, "batch latent"] | None:
        """The share of each latent number in `kl`, where it is a sum over them; else None."""
        return None


@dataclass(frozen=True)
class Gaussian(Posterior):
    """q(z | x) = N(mu, exp(log_var)), each latent number by itself.

    `side` are numbers that the decoder is given beside the latent ones (mostly none); they are
    no random variables, and the divergences know nothing of them.

    >>> posterior = Gaussian(torch.tensor([[1.0]]), torch.tensor([[0.0]]))
    >>> posterior.sample(torch.tensor([[2.0]])), posterior.kl(Normal(1), posterior.mean())
    (tensor([[3.]]), tensor([0.5000]))
    """

    mu: Float[Tensor, "batch latent"]
    log_var: Float[Tensor, "batch latent"]
    side: Float[Tensor, "batch side"] | None = None

    @property
    def noise_size(self) -> int:
        """One number for each latent one."""
        return self.mu.shape[1]

    def sample(self, noise: Float[Tensor, "_ noise"] | None = None) -> Code:
        """``mu + exp(log_var / 2) noise``."""
        noise = torch.randn_like(self.mu) if noise is None else noise
        return self._with_side(self.mu + (self.log_var / 2).exp() * noise)

    def mean(self) -> Code:
        """The code with each latent number at its mean."""
        return self._with_side(self.mu)

    def log_prob(self, z: Float[Tensor, "_ code"]) -> Float[Tensor, " _"]:
        """``-sum_k (log(2 pi) + log_var_k + (z_k - mu_k)^2 / exp(log_var_k)) / 2``."""
        return log_normal(z[:, : self.noise_size], self.mu, self.log_var)

    def log_prob_of_each(self, z: Float[Tensor, "points code"]) -> Float[Tensor, "points batch"]:
        """`log_prob`, all at once."""
        return log_normal(z[:, None, : self.noise_size], self.mu, self.log_var)

    def of(self, row: int) -> "Gaussian":
        """The posterior of one of the inputs."""
        one = slice(row, row + 1)
        return Gaussian(
            self.mu[one], self.log_var[one], None if self.side is None else self.side[one]
        )

    def repeated(self, times: int) -> "Gaussian":
        """Each input's posterior so many times, one after another."""
        side = None if self.side is None else self.side.repeat_interleave(times, 0)
        return Gaussian(
            self.mu.repeat_interleave(times, 0), self.log_var.repeat_interleave(times, 0), side
        )

    def kl(self, prior: Prior, z: Code) -> PerExample:
        """In closed form from N(0, I); from another prior, as any posterior's."""
        of_each = self.kl_of_each(prior)
        return super().kl(prior, z) if of_each is None else of_each.sum(1)

    def kl_of_each(self, prior: Prior) -> Float[Tensor, "batch latent"] | None:
        """``(mu^2 + exp(log_var) - 1 - log_var) / 2``, from N(0, I)."""
        if isinstance(prior, Normal):
            return kl_standard_normal(self.mu, self.log_var)
        return None

    def _with_side(self, z: Float[Tensor, "batch latent"]) -> Code:
        return z if self.side is None else torch.cat([z, self.side], 1)
