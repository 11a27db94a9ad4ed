"""Sparse autoencoder: few active numbers in each code, or small weights."""

from typing import Literal

import torch
from torch import nn

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.base import Autoencoder, Batch, Code, Losses
from aelab.models.initialisation import (
    DENSE,
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
    output_activation,
    positive,
)
from aelab.models.losses import batch_mean, l1, parameter_l1, squared_error

Sparsity = Literal["top-k", "l1-activations", "l1-parameters"]


class SparseAutoencoder(Autoencoder):
    """One hidden layer whose activations are sparse.

    ``z = S(a(W x + b))``, ``x_hat = g(V z + c)``, where ``S`` and the penalty are:

    - ``top-k``: S keeps the k largest activations of an example and sets the others to 0, no
      penalty (Makhzani & Frey 2014, arXiv 1312.5663);
    - ``l1-activations``: S is the identity, penalty ``weight |z|_1``;
    - ``l1-parameters``: S is the identity, penalty ``weight |theta|_1`` over all weights and
      biases. It makes weights sparse and not codes; it is what the original study did.

    Args:
        spec: Shape and preparation of the input.
        latent_dim: Numbers in the code.
        sparsity: What is made sparse: top-k, l1-activations or l1-parameters.
        active: How many activations top-k keeps.
        weight: Weight of an L1 penalty against the squared error summed over an input.
        activation: After the hidden layer.
        output: Output activation; unless given, sigmoid for inputs in [0, 1] and linear for others.
        initialisation: random, or pca: each principal component of the training inputs is two of
            the numbers, one for either sign.
    """

    def __init__(
        self,
        spec: InputSpec,
        *,
        latent_dim: int = 64,
        sparsity: Sparsity = "top-k",
        active: int = 16,
        weight: float = 0.0784,
        activation: Activation = "relu",
        output: OutputActivation | None = None,
        initialisation: DenseInitialisation = "random",
    ) -> None:
        super().__init__(spec)
        check_initialisation(initialisation, DENSE, activation)
        self.initialisation = initialisation
        positive("latent_dim", latent_dim)
        if sparsity not in ("top-k", "l1-activations", "l1-parameters"):
            raise ValueError(
                f"sparsity must be top-k, l1-activations or l1-parameters, not {sparsity!r}"
            )
        if not 1 <= active <= latent_dim:
            raise ValueError(f"active must be between 1 and latent_dim {latent_dim}, not {active}")
        if not weight >= 0:
            raise ValueError(f"weight must be 0 or more, not {weight}")
        self.latent_dim, self.sparsity = latent_dim, sparsity
        self.active, self.weight = active, weight
        self.encoder = nn.Sequential(nn.Linear(spec.size, latent_dim), activation_named(activation))
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, spec.size), output_activation(output, spec)
        )

    @property
    def code_size(self) -> int:
        """`latent_dim`, however few of them are active."""
        return self.latent_dim

    def initialise(self, data: TrainingData) -> None:
        """Start from the principal components, if asked to."""
        if self.initialisation == "pca":
            most = min(self.latent_dim, self.spec.size)
            start_from_components(
                components_of(data, most // 2).signed(),
                linear_layers(self.encoder),
                linear_layers(self.decoder),
                offset=0.0,
                squashed=isinstance(self.decoder[-1], nn.Sigmoid),
            )

    def encode(self, x: Batch) -> Code:
        """The activations, of which top-k keeps only the k largest."""
        z: torch.Tensor = self.encoder(x.flatten(1))
        if self.sparsity == "top-k":
            kept = z.topk(self.active, dim=1)
            z = torch.zeros_like(z).scatter(1, kept.indices, kept.values)
        return z

    def decode(self, z: Code) -> Batch:
        """The decoder's output in the shape of an input."""
        x_hat: torch.Tensor = self.decoder(z)
        return x_hat.reshape(-1, *self.spec.shape)

    def loss(self, x: Batch) -> Losses:
        """The squared error and, for the L1 kinds, the penalty."""
        z = self.encode(x)
        terms = {"squared_error": batch_mean(squared_error(self.decode(z), x))}
        if self.sparsity == "l1-activations":
            terms["sparsity"] = self.weight * batch_mean(l1(z))
        elif self.sparsity == "l1-parameters":
            terms["sparsity"] = self.weight * parameter_l1(self)
        return terms
