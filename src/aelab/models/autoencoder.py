"""The plain autoencoder over any network, trained on clean or on noisy inputs."""

from torch import Tensor, nn

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.contract import Autoencoder, Code, InputBatch, Losses, refuse_array
from aelab.models.layers import (
    NoiseKind,
    OutputActivation,
    activation_named,
    corrupt,
    one_of,
    positive,
)
from aelab.models.losses import batch_mean
from aelab.models.mixed import Output
from aelab.models.networks.contract import CodeLayer, Network


class DeterministicAutoencoder(Autoencoder):
    """Autoencoder of a network E, D, trained on the error of reconstruction.

    ``z = a(W E(x))``, ``x_hat = g(D(z))`` (Rumelhart, Hinton & Williams 1986): W is a dense layer
    to the code, a an activation or nothing. The error is the squared one, and of a table's words
    their cross-entropy. With `noise_level` above 0 it is a denoising autoencoder (Vincent et al.
    2008): the loss is ``|x_hat(corrupt(x)) - x|^2``, so the code of a noisy input must say what the
    clean one was. Only the loss corrupts; `encode` takes x as it is.

    Args:
        spec: Shape and preparation of the input.
        network: Makes features of inputs, and outputs of codes.
        latent_dim: Numbers in the code; none makes the network's features the code.
        activated_code: The code is a layer of activations, the network's; otherwise it is linear.
        output: Output activation; unless given, sigmoid for inputs in [0, 1] and linear for others.
        noise: Kind of noise in training: gaussian, masking or salt-and-pepper.
        noise_level: Standard deviation of Gaussian noise as a share of the inputs' range, or
            share of values masked or replaced; 0 trains without noise.

    >>> import torch
    >>> from aelab.models.networks.dense import DenseNetwork
    >>> spec = InputSpec((1, 28, 28))
    >>> model = DeterministicAutoencoder(spec, DenseNetwork(spec, 64), latent_dim=64)
    >>> model.code_size, model(torch.zeros(5, 1, 28, 28)).shape
    (64, torch.Size([5, 1, 28, 28]))
    """

    def __init__(
        self,
        spec: InputSpec,
        network: Network,
        *,
        latent_dim: int | None = 64,
        activated_code: bool = False,
        output: OutputActivation | None = None,
        noise: NoiseKind = "gaussian",
        noise_level: float = 0.0,
    ) -> None:
        super().__init__(spec)
        one_of("noise", noise, NoiseKind)
        if not noise_level >= 0:
            raise ValueError(f"noise_level must be 0 or more, not {noise_level}")
        if noise == "salt-and-pepper" and not spec.bounded:
            raise ValueError(
                "salt-and-pepper noise is of inputs with bounds, and standardised ones have none; "
                "take gaussian or masking"
            )
        self.noise: NoiseKind = noise
        self.noise_level = noise_level
        self.activated_code = activated_code
        self.network = network
        self.to_code: nn.Linear | None = None
        if latent_dim is not None:
            positive("latent_dim", latent_dim)
            self.to_code = nn.Linear(network.features, latent_dim)
        self.activate = activation_named(network.activation) if activated_code else nn.Identity()
        self.output = Output(spec, output)

    @property
    def code_size(self) -> int:
        """`latent_dim`, or the network's features."""
        return self.network.code_size

    def initialise(self, data: TrainingData) -> None:
        """Let the network start from the data."""
        code = None
        if self.to_code is not None:
            code = CodeLayer(self.to_code, "rectifier" if self.activated_code else "nothing")
        self.network.initialise(data, code, squashed=self.output.squashed)

    def encode(self, x: InputBatch) -> Code:
        """The dense layer's numbers, or the network's features."""
        refuse_array(x)
        h = self.network.encode(x)
        z: Tensor = self.activate(h if self.to_code is None else self.to_code(h))
        return z

    def decode(self, z: Code) -> InputBatch:
        """The network's output, activated."""
        x_hat: Tensor = self.output(self.network.decode(z))
        return x_hat

    def loss(self, x: InputBatch) -> Losses:
        """Errors against the clean input."""
        given = x
        if self.noise_level > 0:
            given = corrupt(
                x, self.noise, self.noise_level, self.spec.peak, bounded=self.spec.bounded
            )
        errors = self.output.errors(self.network.decode(self.encode(given)), x)
        return {name: batch_mean(error) for name, error in errors.items()}
