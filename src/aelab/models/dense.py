"""Autoencoders of fully connected layers: `vanilla` and `multilayer`."""

import torch
from torch import nn

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.base import Autoencoder, Batch, Code
from aelab.models.initialisation import (
    DENSE,
    OFFSET,
    DenseInitialisation,
    check_initialisation,
    components_of,
    linear_layers,
    start_from_components,
)
from aelab.models.layers import (
    Activation,
    OutputActivation,
    activation_named,
    multilayer_perceptron,
    output_activation,
    positive,
)


class DenseAutoencoder(Autoencoder):
    """Fully connected autoencoder (Rumelhart, Hinton & Williams 1986).

    ``z = a(W_n … a(W_1 x))``, ``x_hat = g(V z)``: an activation after every layer of the
    encoder, its last included, so that the code is a layer of activations; the decoder is
    linear up to its output activation, unless it is given hidden layers.

    Args:
        spec: Shape and preparation of the input.
        latent_dim: Numbers in the code.
        hidden: Sizes of the encoder's layers before the code.
        decoder_hidden: Sizes of the decoder's layers after the code.
        activation: After each hidden layer and the code.
        output: Output activation; unless given, sigmoid for inputs in [0, 1] and linear for others.
        initialisation: random, or pca: from the principal components of the training inputs.
    """

    def __init__(
        self,
        spec: InputSpec,
        *,
        latent_dim: int = 64,
        hidden: tuple[int, ...] = (),
        decoder_hidden: tuple[int, ...] = (),
        activation: Activation = "relu",
        output: OutputActivation | None = None,
        initialisation: DenseInitialisation = "random",
    ) -> None:
        super().__init__(spec)
        positive("latent_dim", latent_dim)
        check_initialisation(initialisation, DENSE, activation)
        self.initialisation = initialisation
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            multilayer_perceptron([spec.size, *hidden, latent_dim], activation),
            activation_named(activation),
        )
        self.decoder = nn.Sequential(
            multilayer_perceptron([latent_dim, *decoder_hidden, spec.size], activation),
            output_activation(output, spec),
        )

    @property
    def code_size(self) -> int:
        """`latent_dim`."""
        return self.latent_dim

    def initialise(self, data: TrainingData) -> None:
        """Start from the principal components, if asked to."""
        if self.initialisation == "pca":
            start_from_components(
                components_of(data, self.latent_dim),
                linear_layers(self.encoder),
                linear_layers(self.decoder),
                offset=OFFSET,
                squashed=isinstance(self.decoder[-1], nn.Sigmoid),
            )

    def encode(self, x: Batch) -> Code:
        """Activations of the code layer."""
        z: torch.Tensor = self.encoder(x.flatten(1))
        return z

    def decode(self, z: Code) -> Batch:
        """The decoder's output in the shape of an input."""
        x_hat: torch.Tensor = self.decoder(z)
        return x_hat.reshape(-1, *self.spec.shape)
