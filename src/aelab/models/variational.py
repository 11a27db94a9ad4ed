"""Variational autoencoders over any network, and what every latent-variable model shares."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from aelab.data.batch import Batch
from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.files import InputError
from aelab.models.contract import Autoencoder, Code, InputBatch, Losses, refuse_array
from aelab.models.layers import OutputActivation, output_activation, positive
from aelab.models.losses import (
    Likelihood,
    LikelihoodName,
    PerExample,
    batch_mean,
    likelihood_named,
)
from aelab.models.mixed import Mixed
from aelab.models.networks.contract import CodeLayer, Network
from aelab.models.posterior import Gaussian, Posterior
from aelab.models.priors.contract import Prior
from aelab.models.priors.given_class import GivenClass


@dataclass(frozen=True)
class Bound:
    """How the bound that is trained on is made up.

    ``E_q[-log p(x | z)] + beta KL(q(z | x) || p(z))``, or with K = `iwae_samples` above 1
    ``E_q[-log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x)]``: see `LatentVariableModel`.

    Args:
        likelihood: gaussian (one variance, fitted), gaussian-fixed, bernoulli or
            continuous-bernoulli.
        variance: The variance of gaussian-fixed; 0.5 makes it the squared error.
        beta: Weight of the KL divergence; 1 is the evidence lower bound.
        output: Output activation of the Gaussian likelihoods' mean; unless given, sigmoid for
            inputs in [0, 1] and linear for others.
        iwae_samples: Samples z of each input in a step; above 1, training is on the
            importance-weighted bound, and beta must be 1.

    >>> Bound(beta=4.0).likelihood_of(InputSpec((1, 28, 28))).name
    'gaussian'
    """

    likelihood: LikelihoodName = "gaussian"
    variance: float = 0.5
    beta: float = 1.0
    output: OutputActivation | None = None
    iwae_samples: int = 1

    def __post_init__(self) -> None:
        if not self.beta >= 0:
            raise ValueError(f"beta must be 0 or more, not {self.beta}")
        positive("iwae_samples", self.iwae_samples)
        if self.iwae_samples > 1 and self.beta != 1:
            raise ValueError(
                f"the importance-weighted bound of {self.iwae_samples} samples has no beta: leave "
                f"beta at 1, not {self.beta}, or iwae_samples at 1"
            )

    def likelihood_of(self, spec: InputSpec) -> Likelihood:
        """The likelihood of inputs of `spec`.

        Raises:
            ValueError: it is none for such inputs.
        """
        activation = output_activation(self.output, spec)
        likelihood = likelihood_named(self.likelihood, self.variance, activation)
        if spec.columns is not None and spec.columns.mixed and not likelihood.in_unit_interval:
            likelihood = Mixed(spec.columns, likelihood)
        if likelihood.in_unit_interval and not spec.in_unit_interval:
            raise ValueError(
                f"the likelihood {self.likelihood} is of inputs in [0, 1], and these lie beyond; "
                f"take gaussian"
            )
        return likelihood


class LatentVariableModel(Autoencoder):
    """A model trained on its evidence lower bound (Kingma & Welling 2014, arXiv 1312.6114).

    ``loss = E_q[-log p(x | z)] + beta KL(q(z | x) || p(z))`` with one sample of z; beta = 1
    is the bound itself. p(z) is the prior that it is trained with. A subclass gives `posterior`
    and `decoder_output`.

    With K samples z_k of the posterior, K above 1, the loss of a model in training is the
    importance-weighted bound ``E_q[-log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x)]`` (Burda,
    Grosse & Salakhutdinov 2016, arXiv 1509.00519, eq. 8): between the evidence lower bound, which
    is that of K = 1, and log p(x), and tighter with each sample. A model in evaluation mode is
    measured by the evidence lower bound, whatever it is trained on.

    >>> from aelab.models.zoo import resolve
    >>> model = resolve("vae").build(InputSpec((8,)), latent_dim=2)
    >>> isinstance(model, LatentVariableModel), sorted(model.loss(torch.zeros(4, 8)))
    (True, ['kl', 'reconstruction'])
    """

    prior: Prior

    def __init__(self, spec: InputSpec, prior: Prior, latent_dim: int, bound: Bound) -> None:
        super().__init__(spec)
        positive("latent_dim", latent_dim)
        self.prior = prior
        self.latent_dim = latent_dim
        prior.follow(self.posterior, spec.shape, spec.peak if spec.bounded else math.inf)
        self.likelihood = bound.likelihood_of(spec)
        self.beta, self.iwae_samples = bound.beta, bound.iwae_samples

    @property
    def code_size(self) -> int:
        """Latent numbers, and side numbers if the decoder is given any."""
        return self.latent_dim + self.side_channel[0]

    @abstractmethod
    def posterior(self, x: InputBatch) -> Posterior:
        """q(z | x)."""

    @abstractmethod
    def decoder_output(self, z: Code) -> InputBatch:
        """What the decoder's last layer puts out; the likelihood makes p(x | z) of it."""

    def encode(self, x: InputBatch) -> Code:
        """The posterior's mean."""
        refuse_array(x)
        return self.posterior(x).mean()

    def decode(self, z: Code) -> InputBatch:
        """The likelihood's mean."""
        return self.likelihood.mean(self.decoder_output(z))

    def bound_terms(self, x: InputBatch) -> tuple[dict[str, PerExample], PerExample]:
        """The terms of minus the evidence lower bound, in nats.

        Those of ``-log p(x | z)`` at one sample z of the posterior, by name, and
        ``KL(q(z | x) || p(z))``.
        """
        posterior = self.posterior(x)
        z = posterior.sample()
        terms = self.likelihood.terms(self.decoder_output(z), x)
        return terms, self.divergence(posterior, z)

    def bound(self, x: InputBatch) -> tuple[PerExample, PerExample]:
        """``-log p(x | z)`` as a whole, and the divergence."""
        terms, kl = self.bound_terms(x)
        return torch.stack(list(terms.values())).sum(0), kl

    @property
    def latent_prior(self) -> Prior:
        """The prior of the latent numbers alone."""
        return self.prior

    def divergence(self, posterior: Posterior, z: Code) -> PerExample:
        """``KL(q(z | x) || p(z))`` in nats, or its estimate by one sample z."""
        return posterior.kl(self.latent_prior, z)

    def importance_bound(self, x: InputBatch, samples: int) -> PerExample:
        """``-log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x)`` in nats, with K = `samples` of z."""
        posterior = self.posterior(x).repeated(samples)
        z = posterior.sample()
        output = self.decoder_output(z)
        negative_log = self.likelihood.negative_log(output, Batch.of(x).repeated(samples))
        # A few nats between weights decide, and bfloat16 rounds their sums to a nat.
        latent = z[:, : self.latent_dim].float()
        log_ratio = self.latent_prior.log_prob(latent) - posterior.log_prob(latent)
        log_weights = (log_ratio - negative_log).unflatten(0, (-1, samples))
        bound: Tensor = math.log(samples) - log_weights.logsumexp(1)
        return bound

    def loss(self, x: InputBatch) -> Losses:
        """The bound's two terms, the KL divergence times beta; or the importance-weighted bound."""
        if self.training and self.iwae_samples > 1:
            return {"importance_bound": batch_mean(self.importance_bound(x, self.iwae_samples))}
        terms, kl = self.bound_terms(x)
        means = {name: batch_mean(term) for name, term in terms.items()}
        return {**means, "kl": self.beta * batch_mean(kl)}

    def initialise(self, data: TrainingData) -> None:
        """Tell the likelihood the training inputs' variance (of up to 1,000); start the prior."""
        x = data.batch(torch.arange(min(len(data), 1000)))
        self.likelihood.initialise((x - x.mean(0)).square().mean().clamp(min=1e-4).item())
        self.prior.initialise(data)


class VariationalAutoencoder(LatentVariableModel):
    """Variational autoencoder of a network E, D (Kingma & Welling 2014, arXiv 1312.6114).

    ``q(z | x) = N(mu(h), exp(log_var(h)))`` with ``h = E(x)`` and two halves of one linear layer,
    and ``p(x | z)`` the likelihood around D(z), which sees the latent numbers only.

    Where `spec` has classes it is conditional (Kingma, Rezende, Mohamed & Welling 2014, arXiv
    1406.5298, section 2.1; Sohn, Lee & Yan 2015): a class c, a vector e_c of which one number is
    1, is known of each input. A bias of its class is added to mu and log_var, and the decoder is
    given ``z = (u, e_c)``, u the latent numbers: what all inputs of a class share needs no latent
    number, and an input can be decoded as another class. The loss is the bound of
    ``-log p(x | c)``.

    Args:
        spec: Shape and preparation of the input.
        network: Makes features of inputs, and outputs of codes.
        latent_dim: Numbers in the code.
        prior: What codes are drawn from, and the KL divergence is from.
        bound: Likelihood and weight of the KL divergence.

    >>> from aelab.models.networks.dense import DenseNetwork
    >>> from aelab.models.priors.normal import Normal
    >>> spec = InputSpec((1, 28, 28))
    >>> model = VariationalAutoencoder(
    ...     spec, DenseNetwork(spec, 8, hidden=(64,)), latent_dim=8, prior=Normal(8), bound=Bound()
    ... )
    >>> sorted(model.loss(torch.rand(5, 1, 28, 28)))
    ['kl', 'reconstruction']
    """

    conditional: ClassVar[bool] = True

    def __init__(
        self,
        spec: InputSpec,
        network: Network,
        *,
        latent_dim: int = 32,
        prior: Prior,
        bound: Bound,
    ) -> None:
        classes = len(spec.classes)
        if classes and prior.of_posteriors:
            raise ValueError(
                f"a {type(prior).__name__} is made of posteriors of inputs without classes: with "
                f"condition, take another prior, as normal, mixture or flow"
            )
        whole = GivenClass(prior, spec.classes) if classes else prior
        super().__init__(spec, whole, latent_dim, bound)
        self.network = network
        self.heads = nn.Linear(network.features, 2 * latent_dim)
        self.of_class = nn.Linear(classes, 2 * latent_dim, bias=False) if classes else None

    @classmethod
    def decoded_size(cls, spec: InputSpec, latent_dim: int | None) -> int | None:
        """The latent numbers, and a number a class where it is told classes."""
        return latent_dim and latent_dim + len(spec.classes)

    @property
    def side_channel(self) -> tuple[int, float]:
        """The class, if it is told any: a number for each there is, and as many bits as it says."""
        classes = len(self.spec.classes)
        return (classes, math.log2(classes)) if classes else super().side_channel

    @property
    def latent_prior(self) -> Prior:
        """The prior of the latent numbers alone."""
        return self.prior.latent if isinstance(self.prior, GivenClass) else self.prior

    def prior_of_codes(self, make: Callable[[int], Prior]) -> Prior:
        """Of the latent numbers, with the class beside them if it is told any."""
        if not isinstance(self.prior, GivenClass):
            return super().prior_of_codes(make)
        return GivenClass(make(self.latent_dim), self.spec.classes, self.prior.shares)

    @torch.no_grad()
    def initialise(self, data: TrainingData) -> None:
        """Let the network start from the data; the posterior as wide as its start leaves it."""
        super().initialise(data)
        code = CodeLayer(self.heads, numbers=self.latent_dim)
        variance = self.network.initialise(data, code, squashed=self.likelihood.squashed)
        if variance is not None:
            carried = slice(self.latent_dim, self.latent_dim + len(variance))
            self.heads.weight[carried] = 0
            self.heads.bias[carried] = variance.log()

    def posterior(self, x: InputBatch) -> Gaussian:
        """Mean and log-variance are the two halves of one linear layer.

        Raises:
            InputError: classes are to be told, and `x` has no labels.
        """
        halves = self.heads(self.network.encode(x))
        if self.of_class is None:
            return Gaussian(*halves.chunk(2, dim=1))
        labels = Batch.of(x).labels
        if labels is None:
            raise InputError(
                "the model is told the class of each input, and these have none: give inputs with "
                f"classes, of {', '.join(self.spec.classes)}"
            )
        told = one_hot(labels, len(self.spec.classes)).to(halves)
        mu, log_var = (halves + self.of_class(told)).chunk(2, dim=1)
        return Gaussian(mu, log_var, side=told.to(mu))

    def decoder_output(self, z: Code) -> InputBatch:
        """The network's output for the latent numbers, and for the class behind them."""
        return self.network.decode(z)
