"""Variational autoencoders of two levels of latent numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.contract import Code, InputBatch
from aelab.models.layers import hidden_layers, linear
from aelab.models.losses import PerExample, kl_normal, sum_dimensions
from aelab.models.networks.contract import CodeLayer, Network
from aelab.models.posterior import Gaussian, Posterior
from aelab.models.priors.contract import Codes, PerCode, Prior
from aelab.models.variational import Bound, LatentVariableModel

Upper = Float[Tensor, "batch upper"]
Lower = Float[Tensor, "batch lower"]
Evidence = Float[Tensor, "_ gates"]


def split(z: Code, upper: int) -> tuple[Upper, Lower]:
    """z_2 and z_1 of codes whose first `upper` numbers are z_2."""
    return z[:, :upper], z[:, upper:]


class LowerLevel(nn.Module):
    """The lower level's numbers given the upper's: ``N(mu(u), exp(log_var(u)))``.

    ``u = G_2 [G_1 z_2, h]`` with gated layers ``G y = (W y + b) * sigmoid(V y + c)``, and mu and
    log_var two halves of a linear layer of u. The share of features h in the second layer's two
    maps is given by who has them, as `evidence`: it is found once for however many z_2.

    Args:
        upper: Numbers of the upper level.
        hidden: Units of each gated layer.
        lower: Numbers of the lower level.

    >>> LowerLevel(2, 16, 3)(torch.zeros(5, 2)).mu.shape
    torch.Size([5, 3])
    """

    def __init__(self, upper: int, hidden: int, lower: int) -> None:
        super().__init__()
        self.size = lower
        self.first = hidden_layers([upper, hidden], "gated")
        self.second = linear(hidden, 2 * hidden)
        self.gate = nn.GLU()
        self.heads = nn.Linear(hidden, 2 * lower)

    def forward(self, z_2: Upper, evidence: Evidence | None = None) -> Gaussian:
        """Of each z_2; one row of evidence serves all of them."""
        maps = self.second(self.first(z_2))
        u = self.gate(maps if evidence is None else maps + evidence)
        return single_precision(self.heads(u))


def single_precision(halves: Float[Tensor, "batch twice"]) -> Gaussian:
    """Mean and log-variance, the two halves of a layer's output.

    Divergences divide by variances: bfloat16 would round them to a nat.
    """
    mu, log_var = halves.float().chunk(2, dim=1)
    return Gaussian(mu, log_var)


class TwoLevelPrior(Prior):
    """The prior of codes of two levels: ``p(z) = p(z_2) p(z_1 | z_2)`` with ``z = [z_2, z_1]``.

    Args:
        upper: p(z_2).
        lower: p(z_1 | z_2).

    >>> from aelab.models.priors.normal import Normal
    >>> prior = TwoLevelPrior(Normal(2), LowerLevel(2, 16, 3))
    >>> prior.sample_codes(4).shape, prior.log_prob(torch.zeros(4, 5)).shape
    (torch.Size([4, 5]), torch.Size([4]))
    """

    trained_with_model: ClassVar[bool] = True

    def __init__(self, upper: Prior, lower: LowerLevel) -> None:
        super().__init__(upper.code_size + lower.size)
        self.upper, self.lower = upper, lower
        self.told = f"{upper.told} for the upper level, and p(z1 | z2) for the lower"

    def follow(self, posterior: Callable[[Any], Any], shape: tuple[int, ...], peak: float) -> None:
        """Have z_2's own prior follow q(z_2 | x)."""
        self.upper.follow(partial(upper_of, posterior), shape, peak)

    def initialise(self, data: TrainingData) -> None:
        """Start z_2's own prior."""
        self.upper.initialise(data)

    def log_prob(self, z: Codes) -> PerCode:
        """``log p(z_2) + log p(z_1 | z_2)``."""
        z_2, z_1 = split(z, self.upper.code_size)
        of_lower: Tensor = self.lower(z_2).log_prob(z_1)
        return self.upper.log_prob(z_2) + of_lower

    def sample_codes(self, n: int, temperature: float = 1.0) -> Codes:
        """z_2 of its own prior, then z_1 given it; the temperature scales either's deviation."""
        z_2 = self.upper.sample_codes(n, temperature)
        below = self.lower(z_2)
        return torch.cat([z_2, below.sample(temperature * torch.randn_like(below.mu))], 1)


def upper_of(posterior: Callable[[Any], "TwoLevels"], x: InputBatch) -> Gaussian:
    """q(z_2 | x) of a posterior of both levels."""
    return posterior(x).upper


@dataclass(frozen=True)
class TwoLevels(Posterior):
    """q(z | x) = q(z_2 | x) q(z_1 | x, z_2) with ``z = [z_2, z_1]``, either a Gaussian.

    >>> upper = Gaussian(torch.zeros(4, 2), torch.zeros(4, 2))
    >>> posterior = TwoLevels(upper, LowerLevel(2, 16, 3), torch.zeros(4, 32))
    >>> posterior.sample().shape, posterior.noise_size
    (torch.Size([4, 5]), 5)
    """

    upper: Gaussian
    """q(z_2 | x)."""

    lower: LowerLevel
    """q(z_1 | x, z_2), given evidence."""

    evidence: Evidence
    """What x tells the lower level."""

    def below(self, z_2: Upper) -> Gaussian:
        """q(z_1 | x, z_2)."""
        below: Gaussian = self.lower(z_2, self.evidence)
        return below

    @property
    def noise_size(self) -> int:
        """One number for each latent one, the upper level's first."""
        return self.upper.noise_size + self.lower.size

    def sample(self, noise: Float[Tensor, "_ noise"] | None = None) -> Code:
        """z_2 of the upper level, then z_1 given it."""
        mu = self.upper.mu
        if noise is None:
            noise = torch.randn(len(mu), self.noise_size, dtype=mu.dtype, device=mu.device)
        of_upper, of_lower = split(noise, mu.shape[1])
        z_2 = self.upper.sample(of_upper)
        return torch.cat([z_2, self.below(z_2).sample(of_lower)], 1)

    def mean(self) -> Code:
        """The upper level at its mean, and the lower at its mean given that."""
        z_2 = self.upper.mean()
        return torch.cat([z_2, self.below(z_2).mean()], 1)

    def log_prob(self, z: Float[Tensor, "_ code"]) -> Float[Tensor, " _"]:
        """``log q(z_2 | x) + log q(z_1 | x, z_2)``."""
        z_2, z_1 = split(z, self.upper.noise_size)
        return self.upper.log_prob(z_2) + self.below(z_2).log_prob(z_1)

    def of(self, row: int) -> "TwoLevels":
        """The posterior of one of the inputs."""
        return TwoLevels(self.upper.of(row), self.lower, self.evidence[row : row + 1])

    def repeated(self, times: int) -> "TwoLevels":
        """Each input's posterior so many times, one after another."""
        evidence = self.evidence.repeat_interleave(times, 0)
        return TwoLevels(self.upper.repeated(times), self.lower, evidence)

    def kl(self, prior: Prior, z: Code) -> PerExample:
        """``KL(q(z_2 | x) || p(z_2)) + KL(q(z_1 | x, z_2) || p(z_1 | z_2))`` at the z_2 of z.

        The second term is in closed form, and the first where it has one: of an estimate by one
        sample, what is left to chance is little more than z_2. From a prior of one level, as any
        posterior's.
        """
        if not isinstance(prior, TwoLevelPrior):
            return super().kl(prior, z)
        z_2, _ = split(z, prior.upper.code_size)
        q, p = self.below(z_2), prior.lower(z_2)
        return self.upper.kl(prior.upper, z_2) + sum_dimensions(
            kl_normal(q.mu, q.log_var, p.mu, p.log_var)
        )


class HierarchicalVAE(LatentVariableModel):
    """Variational autoencoder of a network E, D with two levels of latent numbers.

    ``p(x, z_1, z_2) = p(x | z_1, z_2) p(z_1 | z_2) p(z_2)`` and ``q(z_1 | x, z_2) q(z_2 | x)``
    (Tomczak & Welling 2018, arXiv 1705.07120, section 4; Norouzi et al. 2020, arXiv 2004.04795):
    ``q(z_2 | x) = N(mu(h), exp(log_var(h)))`` with ``h = E(x)``; the lower level's distributions
    are Gaussians behind two gated layers each, of z_2, and of h too in the posterior; p(x | z) is
    the likelihood around D(z).

    The code is ``z = [z_2, z_1]``, and `latent_dim` counts both: of 32 numbers 16 are the upper
    level's, of an odd number one more is the lower's. The prior that it is given is that of z_2;
    its own, p(z_2) p(z_1 | z_2), is what codes are drawn from.

    Args:
        spec: Shape and preparation of the input.
        network: Makes features of inputs, and outputs of codes.
        latent_dim: Numbers in the code, half of them on each level.
        level_hidden: Units of each gated layer between the levels.
        prior: What z_2 is drawn from.
        bound: Likelihood and weight of the KL divergence.

    >>> from aelab.models.networks.dense import DenseNetwork
    >>> from aelab.models.priors.normal import Normal
    >>> spec = InputSpec((1, 28, 28))
    >>> network = DenseNetwork(spec, 8, hidden=(64,), activation="gated")
    >>> model = HierarchicalVAE(spec, network, latent_dim=8, prior=Normal(4), bound=Bound())
    >>> model.code_size, model.prior.sample_codes(2).shape
    (8, torch.Size([2, 8]))
    >>> sorted(model.loss(torch.rand(5, 1, 28, 28)))
    ['kl', 'reconstruction']
    """

    def __init__(
        self,
        spec: InputSpec,
        network: Network,
        *,
        latent_dim: int = 32,
        level_hidden: int = 300,
        prior: Prior,
        bound: Bound,
    ) -> None:
        if latent_dim < 2:
            raise ValueError(f"latent_dim must be 2 or more, one a level, not {latent_dim}")
        upper, lower = prior.code_size, latent_dim - prior.code_size
        if lower < 1:
            raise ValueError(
                f"the prior is the upper level's: of fewer numbers than latent_dim {latent_dim}, "
                f"not {upper}"
            )
        levels = TwoLevelPrior(prior, LowerLevel(upper, level_hidden, lower))
        super().__init__(spec, levels, latent_dim, bound)
        self.network = network
        self.mu = nn.Linear(network.features, upper)
        self.log_var = nn.Linear(network.features, upper)
        self.evidence = nn.Linear(network.features, 2 * level_hidden, bias=False)
        self.lower = LowerLevel(upper, level_hidden, lower)

    @classmethod
    def prior_size(cls, latent_dim: int) -> int:
        """Half of them: the prior is the upper level's."""
        return latent_dim // 2

    @torch.no_grad()
    def initialise(self, data: TrainingData) -> None:
        """Let the network start from the data, the upper level as wide as its start leaves it."""
        super().initialise(data)
        code = CodeLayer(self.mu)
        variance = self.network.initialise(data, code, squashed=self.likelihood.squashed)
        if variance is not None:
            self.log_var.weight[: len(variance)] = 0
            self.log_var.bias[: len(variance)] = variance.log()

    def posterior(self, x: InputBatch) -> TwoLevels:
        """Both levels', the upper's mean and log-variance each a linear layer of the features."""
        h = self.network.encode(x)
        upper = single_precision(torch.cat([self.mu(h), self.log_var(h)], 1))
        return TwoLevels(upper, self.lower, self.evidence(h))

    def decoder_output(self, z: Code) -> InputBatch:
        """The network's output for the numbers of both levels."""
        return self.network.decode(z)
