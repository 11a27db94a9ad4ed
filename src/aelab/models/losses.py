"""Likelihoods, divergences and penalties: the only place where sums and means are decided.

Every function returns one number an example, summed over the example's dimensions. The mean
over the batch is taken once, in `batch_mean`. So no loss depends on the batch size, and a
penalty weighs the same against a reconstruction whatever the batch.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli
from torch.nn import functional as F

from aelab.data.batch import Batch

PerExample = Float[Tensor, " batch"]


def sum_dimensions(values: Float[Tensor, "batch *dimensions"]) -> PerExample:
    """Sum over all dimensions but the first."""
    return values.flatten(1).sum(1)


def sum_of_known(
    terms: Float[Tensor, "batch *dimensions"], x: Float[Tensor, "batch *dimensions"]
) -> PerExample:
    """The same over those dimensions alone whose value in the batch x is known."""
    present = Batch.of(x).present
    return sum_dimensions(terms if present is None else terms * present)


def batch_mean(values: PerExample) -> Float[Tensor, ""]:
    """Mean over the examples of a batch."""
    return values.mean()


def squared_error(
    x_hat: Float[Tensor, "batch *dimensions"], x: Float[Tensor, "batch *dimensions"]
) -> PerExample:
    """Squared error ``sum_d (x_hat_d - x_d)^2``, of the values that are known."""
    return sum_of_known(F.mse_loss(x_hat, Batch.of(x).x, reduction="none"), x)


def binary_cross_entropy(
    logits: Float[Tensor, "batch *dimensions"], x: Float[Tensor, "batch *dimensions"]
) -> PerExample:
    """``-sum_d x_d log p_d + (1 - x_d) log(1 - p_d)``, p = sigmoid(logits), of known values."""
    terms = F.binary_cross_entropy_with_logits(logits, Batch.of(x).x, reduction="none")
    return sum_of_known(terms, x)


def cross_entropy(
    logits: Float[Tensor, "batch words"], x: Float[Tensor, "batch words"]
) -> PerExample:
    """``-sum_w x_w log softmax(logits)_w`` of one column: x is one-hot, or 0 where it is unknown.

    >>> cross_entropy(torch.zeros(2, 4), torch.tensor([[0.0, 1, 0, 0], [0, 0, 0, 0]]))  # log 4, 0
    tensor([1.3863, 0.0000])
    """
    return (Tensor(x) * -logits.log_softmax(1)).sum(1)


def kl_standard_normal(
    mu: Float[Tensor, "batch latent"], log_var: Float[Tensor, "batch latent"]
) -> Float[Tensor, "batch latent"]:
    """KL divergence of N(mu, exp(log_var)) from N(0, 1), in nats, each dimension by itself.

    ``(mu^2 + exp(log_var) - 1 - log_var) / 2``: Kingma & Welling 2014 (arXiv 1312.6114),
    appendix B.
    """
    return (mu.square() + log_var.exp() - 1 - log_var) / 2


def log_normal(
    z: Float[Tensor, "*n numbers"],
    mean: Float[Tensor, "*m numbers"],
    log_var: Float[Tensor, "*m numbers"],
) -> Float[Tensor, "*both"]:
    """``log N(z; mean, diag(exp(log_var)))``.

    >>> log_normal(torch.zeros(1), torch.zeros(1), torch.zeros(1))  # -log(2 pi) / 2
    tensor(-0.9189)
    """
    scaled = (z - mean).square() * (-log_var).exp()
    return -(scaled + log_var + math.log(2 * math.pi)).sum(-1) / 2


def kl_normal(
    mu: Float[Tensor, "batch latent"],
    log_var: Float[Tensor, "batch latent"],
    prior_mu: Float[Tensor, "batch latent"],
    prior_log_var: Float[Tensor, "batch latent"],
) -> Float[Tensor, "batch latent"]:
    """KL divergence of N(mu, exp(log_var)) from N(m, exp(v)), in nats, each dimension by itself.

    ``(((mu - m)^2 + exp(log_var)) / exp(v) - 1 - log_var + v) / 2``, which is that from N(0, 1) of
    both measured in the second's deviations.
    """
    scaled = (mu - prior_mu) * (-prior_log_var / 2).exp()
    return kl_standard_normal(scaled, log_var - prior_log_var)


def l1(values: Float[Tensor, "batch *dimensions"]) -> PerExample:
    """L1 norm of each example's values."""
    return sum_dimensions(values.abs())


def parameter_l1(module: nn.Module) -> Float[Tensor, ""]:
    """L1 norm of all parameters of `module`, weights and biases."""
    return torch.stack([parameter.abs().sum() for parameter in module.parameters()]).sum()


class Likelihood(nn.Module, ABC):
    """p(x | z) of independent dimensions, given what a decoder's last layer puts out.

    >>> likelihood = likelihood_named("bernoulli", 0.5, nn.Identity())
    >>> likelihood.mean(torch.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """

    name: str
    """Figures under likelihoods of different names are not compared."""

    squashed: bool = True
    """The mean is a sigmoid of the output, or nearly."""

    in_unit_interval: ClassVar[bool] = False
    """It is one of inputs in [0, 1] only."""

    @abstractmethod
    def mean(self, output: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        """Mean of the likelihood, x_hat."""

    @abstractmethod
    def negative_log(
        self, output: Float[Tensor, "batch *shape"], x: Float[Tensor, "batch *shape"]
    ) -> PerExample:
        """``-log p(x | z)`` in nats."""

    def terms(
        self, output: Float[Tensor, "batch *shape"], x: Float[Tensor, "batch *shape"]
    ) -> dict[str, PerExample]:
        """What `negative_log` is the sum of, by name."""
        return {"reconstruction": self.negative_log(output, x)}

    def initialise(self, variance: float) -> None:
        """Start from the variance of the training inputs, where there is a variance to fit."""


class Gaussian(Likelihood):
    """N(x_hat, variance): one variance for all dimensions, fitted or fixed.

    ``-log p = (D log(2 pi variance) + |x - x_hat|^2 / variance) / 2``. Fitting the variance
    weighs reconstruction against KL by likelihood (Rybkin et al. 2021, arXiv 2006.13202,
    section 3); a variance of 1/2 makes the negative log-likelihood the squared error and a
    constant.

    >>> likelihood = Gaussian(0.5, nn.Identity())
    >>> x = torch.zeros(1, 2)
    >>> # the squared error, and a constant: log pi
    >>> likelihood.negative_log(x + 3, x) - likelihood.negative_log(x, x)
    tensor([18.])
    """

    name = "gaussian"

    def __init__(self, variance: float | None, activation: nn.Module) -> None:
        """`variance` None is fitted, as a parameter, starting from 1."""
        super().__init__()
        if variance is not None and not variance > 0:
            raise ValueError(f"variance must be more than 0, not {variance}")
        self.activation = activation
        self.squashed = isinstance(activation, nn.Sigmoid)
        self.fitted = variance is None
        log_std = torch.tensor(0.0 if variance is None else 0.5 * math.log(variance))
        if self.fitted:
            self.log_std = nn.Parameter(log_std)
        else:
            self.register_buffer("log_std", log_std, persistent=False)

    def mean(self, output: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        """``activation(output)``."""
        mean: Tensor = self.activation(output)
        return mean

    def negative_log(
        self, output: Float[Tensor, "batch *shape"], x: Float[Tensor, "batch *shape"]
    ) -> PerExample:
        """As in the class's docstring; a density's, so it may be negative."""
        present = Batch.of(x).present
        dimensions = x[0].numel() if present is None else present.flatten(1).sum(1)
        constant = dimensions * (0.5 * math.log(2 * math.pi) + self.log_std)
        return squared_error(self.mean(output), x) * (-2 * self.log_std).exp() / 2 + constant

    def initialise(self, variance: float) -> None:
        """Start a fitted variance from a tenth of the inputs' own: what a code explains soon."""
        if self.fitted:
            with torch.no_grad():
                self.log_std.fill_(0.5 * math.log(variance / 10))


class Bernoulli(Likelihood):
    """Independent coins with logits `output`; x in [0, 1] is read as a share of heads.

    ``-log p = -sum_d x_d log p_d + (1 - x_d) log(1 - p_d)``, p = sigmoid(output). A proper
    likelihood for pixels of 0 or 1 only; for grey ones it is the usual stand-in.

    >>> Bernoulli().negative_log(torch.zeros(1, 2), torch.ones(1, 2))  # 2 log 2
    tensor([1.3863])
    """

    name = "bernoulli"
    in_unit_interval = True

    def mean(self, output: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        """``sigmoid(output)``."""
        return output.sigmoid()

    def negative_log(
        self, output: Float[Tensor, "batch *shape"], x: Float[Tensor, "batch *shape"]
    ) -> PerExample:
        """Binary cross-entropy summed over the dimensions."""
        return binary_cross_entropy(output, x)


class ContinuousBernoulli(Likelihood):
    """The density on [0, 1] proportional to ``p^x (1-p)^(1-x)``, p = sigmoid(output).

    The Bernoulli's cross-entropy with the normalising constant that makes it a density
    (Loaiza-Ganem & Cunningham 2019, arXiv 1907.06845). Its mean is not p.

    >>> likelihood = ContinuousBernoulli()
    >>> # uniform on [0, 1] where p is one half
    >>> likelihood.negative_log(torch.zeros(1, 2), torch.ones(1, 2)).abs() < 1e-4
    tensor([True])
    """

    name = "continuous_bernoulli"
    in_unit_interval = True

    def mean(self, output: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        """Mean of the density."""
        return TorchContinuousBernoulli(logits=output, validate_args=False).mean

    def negative_log(
        self, output: Float[Tensor, "batch *shape"], x: Float[Tensor, "batch *shape"]
    ) -> PerExample:
        """A density's, so it may be negative."""
        density = TorchContinuousBernoulli(logits=output, validate_args=False)
        log_density: Tensor = density.log_prob(x)
        return -sum_dimensions(log_density)


LIKELIHOODS: dict[str, Callable[[float, nn.Module], Likelihood]] = {
    "gaussian": lambda variance, activation: Gaussian(None, activation),
    "gaussian-fixed": Gaussian,
    "bernoulli": lambda variance, activation: Bernoulli(),
    "continuous-bernoulli": lambda variance, activation: ContinuousBernoulli(),
}
"""Each is made of a variance, which `gaussian-fixed` alone asks for, and the output activation."""

if TYPE_CHECKING:
    LikelihoodName = str
else:  # its choices, on the command line and in files, are the table's
    LikelihoodName = Literal[tuple(LIKELIHOODS)]


def likelihood_named(name: LikelihoodName, variance: float, activation: nn.Module) -> Likelihood:
    """The likelihood called `name`, with the decoder's output activation.

    `variance` belongs to ``gaussian-fixed``; `activation` makes the Gaussians' mean.
    """
    if name not in LIKELIHOODS:
        raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}, not {name!r}")
    return LIKELIHOODS[name](variance, activation)
