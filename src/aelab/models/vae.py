"""Variational autoencoder of fully connected layers: `vae`."""

import torch
from torch import nn

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.base import Batch, Code, Posterior, VariationalAutoencoder
from aelab.models.initialisation import (
    DENSE,
    DenseInitialisation,
    PrincipalCoordinates,
    check_initialisation,
    components_of,
    linear_layers,
    set_posterior_variance,
    start_from_components,
)
from aelab.models.layers import (
    Activation,
    OutputActivation,
    activation_named,
    multilayer_perceptron,
    positive,
)
from aelab.models.losses import LikelihoodName


class DenseVAE(VariationalAutoencoder):
    """Variational autoencoder (Kingma & Welling 2014, arXiv 1312.6114, appendix C).

    ``q(z | x) = N(mu(h), exp(log_var(h)))`` with ``h`` the encoder's last hidden layer, and
    ``p(x | z)`` the likelihood around the decoder's output.

    Args:
        spec: Shape and preparation of the input.
        latent_dim: Numbers in the code.
        hidden: Sizes of the encoder's hidden layers; the decoder's are the same backwards.
        activation: After each hidden layer.
        output: Output activation of the Gaussian likelihoods' mean; unless given, sigmoid for
            inputs in [0, 1] and linear for others.
        likelihood: gaussian (one variance, fitted), gaussian-fixed, bernoulli or
            continuous-bernoulli.
        variance: The variance of gaussian-fixed; 0.5 makes it the squared error.
        beta: Weight of the KL divergence; 1 is the evidence lower bound.
        initialisation: random, or pca: from the principal components of the training inputs.
        components: Principal components of the training inputs that the encoder sees, by a fixed
            map, or as many as an input has numbers; unless given, it sees the inputs themselves.
    """

    def __init__(
        self,
        spec: InputSpec,
        *,
        latent_dim: int = 32,
        hidden: tuple[int, ...] = (500,),
        activation: Activation = "relu",
        output: OutputActivation | None = None,
        likelihood: LikelihoodName = "gaussian",
        variance: float = 0.5,
        beta: float = 1.0,
        initialisation: DenseInitialisation = "random",
        components: int | None = None,
    ) -> None:
        super().__init__(
            spec,
            latent_dim=latent_dim,
            likelihood=likelihood,
            variance=variance,
            beta=beta,
            output=output,
        )
        check_initialisation(initialisation, DENSE, activation)
        self.initialisation = initialisation
        size, self.coordinates = spec.size, None
        if components is not None:
            positive("components", components)
            size = min(components, spec.size)
            self.coordinates = PrincipalCoordinates(spec.size, size)
        widths = [size, *hidden]
        self.encoder = nn.Sequential(
            multilayer_perceptron(widths, activation),
            activation_named(activation) if hidden else nn.Identity(),
        )
        self.heads = nn.Linear(widths[-1], 2 * latent_dim)
        self.decoder = multilayer_perceptron([latent_dim, *hidden[::-1], spec.size], activation)

    def initialise(self, data: TrainingData) -> None:
        """Find the components that the encoder sees; start from PCA, if asked to.

        That is from its decoder, and from the posterior of probabilistic PCA.
        """
        super().initialise(data)
        if self.coordinates is None and self.initialisation == "random":
            return
        seen = len(self.coordinates.bias) if self.coordinates else 0
        components = components_of(data, max(seen, self.latent_dim))
        coordinates = self.coordinates.take(components) if self.coordinates else None
        if self.initialisation == "pca":
            carried = start_from_components(
                components,
                [*linear_layers(self.encoder), self.heads],
                linear_layers(self.decoder),
                offset=0.0,
                squashed=self.likelihood.squashed,
                coordinates=coordinates,
            )
            set_posterior_variance(self.heads, carried)

    def posterior(self, x: Batch) -> Posterior:
        """Mean and log-variance are the two halves of one linear layer."""
        flat = x.flatten(1)
        seen = flat if self.coordinates is None else self.coordinates(flat)
        mu, log_var = self.heads(self.encoder(seen)).chunk(2, dim=1)
        return Posterior(mu, log_var)

    def decoder_output(self, z: Code) -> Batch:
        """The decoder's last layer in the shape of an input."""
        output: torch.Tensor = self.decoder(z)
        return output.reshape(-1, *self.spec.shape)
