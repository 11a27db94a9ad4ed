"""Sparse autoencoder: few active numbers in each code, or small weights."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.contract import NUMBER_BITS, Autoencoder, Code, InputBatch, Losses, refuse_array
from aelab.models.layers import (
    OutputActivation,
    activation_named,
    one_of,
    positive,
)
from aelab.models.losses import batch_mean, l1, parameter_l1
from aelab.models.mixed import Output
from aelab.models.networks.contract import CodeLayer, Network

Sparsity = Literal["top-k", "l1-activations", "l1-parameters"]


class SparseAutoencoder(Autoencoder):
    """Autoencoder of a network E, D whose code is sparse.

    ``z = S(a(W E(x) + b))``, ``x_hat = g(D(z))``, where ``S`` and the penalty are:

    - ``top-k``: S keeps the k largest activations of an example and sets the others to 0, no
      penalty (Makhzani & Frey 2014, arXiv 1312.5663);
    - ``l1-activations``: S is the identity, penalty ``weight |z|_1``;
    - ``l1-parameters``: S is the identity, penalty ``weight |theta|_1`` over all weights and
      biases. It makes weights sparse and not codes; it is what the original study did.

    Args:
        spec: Shape and preparation of the input.
        network: Makes features of inputs, and outputs of codes; its activation is the code's.
        latent_dim: Numbers in the code.
        sparsity: What is made sparse: top-k, l1-activations or l1-parameters.
        active: How many activations top-k keeps.
        weight: Weight of an L1 penalty against the squared error summed over an input.
        output: Output activation; unless given, sigmoid for inputs in [0, 1] and linear for others.

    >>> from aelab.models.networks.dense import DenseNetwork
    >>> spec = InputSpec((1, 28, 28))
    >>> model = SparseAutoencoder(spec, DenseNetwork(spec, 64), latent_dim=64, active=4)
    >>> int(model.encode(torch.rand(1, 1, 28, 28)).count_nonzero()) <= 4
    True
    """

    def __init__(
        self,
        spec: InputSpec,
        network: Network,
        *,
        latent_dim: int = 64,
        sparsity: Sparsity = "top-k",
        active: int = 16,
        weight: float = 0.0784,
        output: OutputActivation | None = None,
    ) -> None:
        super().__init__(spec)
        positive("latent_dim", latent_dim)
        one_of("sparsity", sparsity, Sparsity)
        if not 1 <= active <= latent_dim:
            raise ValueError(f"active must be between 1 and latent_dim {latent_dim}, not {active}")
        if not weight >= 0:
            raise ValueError(f"weight must be 0 or more, not {weight}")
        self.sparsity, self.active, self.weight = sparsity, active, weight
        self.network = network
        self.to_code = nn.Linear(network.features, latent_dim)
        self.activate = activation_named(network.activation)
        self.output = Output(spec, output)

    @property
    def code_size(self) -> int:
        """`latent_dim`, however few of them are active."""
        return self.network.code_size

    @property
    def code_bits(self) -> float:
        """Those of the active numbers, and which of all they are."""
        if self.sparsity != "top-k":
            return super().code_bits
        return NUMBER_BITS * self.active + math.log2(math.comb(self.code_size, self.active))

    def initialise(self, data: TrainingData) -> None:
        """Let the network start from the data; a component takes two numbers, one a sign."""
        code = CodeLayer(self.to_code, "few largest")
        self.network.initialise(data, code, squashed=self.output.squashed)

    def encode(self, x: InputBatch) -> Code:
        """The activations, of which top-k keeps only the k largest."""
        refuse_array(x)
        return self.admissible(self.activate(self.to_code(self.network.encode(x))))

    def admissible(self, z: Code) -> Code:
        """Of each code the k largest numbers, the others 0; with an L1 penalty z itself."""
        if self.sparsity == "top-k":
            kept = z.topk(self.active, dim=1)
            z = torch.zeros_like(z).scatter(1, kept.indices, kept.values)
        return z

    def decode(self, z: Code) -> InputBatch:
        """The network's output, activated."""
        x_hat: Tensor = self.output(self.network.decode(z))
        return x_hat

    def loss(self, x: InputBatch) -> Losses:
        """The errors and, for the L1 kinds, the penalty."""
        z = self.encode(x)
        errors = self.output.errors(self.network.decode(z), x)
        terms = {name: batch_mean(error) for name, error in errors.items()}
        if self.sparsity == "l1-activations":
            terms["sparsity"] = self.weight * batch_mean(l1(z))
        elif self.sparsity == "l1-parameters":
            terms["sparsity"] = self.weight * parameter_l1(self)
        return terms
