"""Convolutional autoencoders: `convolutional` and, with noise on its inputs, `denoising`."""

import torch
from torch import nn

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.base import Autoencoder, Batch, Code, Losses
from aelab.models.initialisation import (
    CONVOLUTIONAL,
    ConvolutionalInitialisation,
    check_initialisation,
    start_at_he_scale,
)
from aelab.models.layers import (
    Activation,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    NoiseKind,
    OutputActivation,
    Resampling,
    activation_named,
    corrupt,
    deepened,
    output_activation,
    positive,
)
from aelab.models.losses import batch_mean, squared_error


class ConvolutionalAutoencoder(Autoencoder):
    """Autoencoder of convolutions (Masci et al. 2011), trained on clean or on noisy inputs.

    ``z = E(x)``, ``x_hat = D(z)``. With `noise_level` above 0 it is a denoising autoencoder
    (Vincent et al. 2008): the loss is ``|D(E(corrupt(x))) - x|^2``, so the code of a noisy
    input must say what the clean one was. Only the loss corrupts; `encode` takes x as it is.

    Args:
        spec: Shape and preparation of the input.
        channels: Channels of each stage; each stage halves height and width.
        deepen: Add stages, as wide as the last, while the feature map is larger than 7×7.
        resampling: How a stage halves: pool (convolution, then max-pooling; nearest up-sampling
            in the decoder) or stride (strided and transposed convolutions).
        latent_dim: Numbers in the code, by a dense layer from and to the last feature map; none
            makes that feature map the code.
        activation: After each convolution.
        output: Output activation; unless given, sigmoid for inputs in [0, 1] and linear for others.
        noise: Kind of noise in training: gaussian, masking or salt-and-pepper.
        noise_level: Standard deviation of Gaussian noise as a share of the pixels' range, or
            share of pixels masked or replaced; 0 trains without noise.
        initialisation: random (PyTorch's own), or he: He's scale, the output at the inputs' mean.
    """

    def __init__(
        self,
        spec: InputSpec,
        *,
        channels: tuple[int, ...] = (16, 8, 8),
        deepen: bool = True,
        resampling: Resampling = "pool",
        latent_dim: int | None = None,
        activation: Activation = "relu",
        output: OutputActivation | None = None,
        noise: NoiseKind = "gaussian",
        noise_level: float = 0.0,
        initialisation: ConvolutionalInitialisation = "random",
    ) -> None:
        super().__init__(spec)
        check_initialisation(initialisation, CONVOLUTIONAL)
        self.initialisation = initialisation
        if not noise_level >= 0:
            raise ValueError(f"noise_level must be 0 or more, not {noise_level}")
        self.noise: NoiseKind = noise
        self.noise_level = noise_level
        if deepen:
            channels = deepened(channels, spec.image_shape)
        self.encoder = ConvolutionalEncoder(spec.image_shape, channels, resampling, activation)
        self.features = self.encoder.out_shape
        self.to_code: nn.Module = nn.Identity()
        self.from_code: nn.Module = nn.Identity()
        self._code_size = self.encoder.out_size
        if latent_dim is not None:
            positive("latent_dim", latent_dim)
            self.to_code = nn.Linear(self.encoder.out_size, latent_dim)
            self.from_code = nn.Sequential(
                nn.Linear(latent_dim, self.encoder.out_size), activation_named(activation)
            )
            self._code_size = latent_dim
        self.decoder = ConvolutionalDecoder(
            self.encoder, (spec.shape[0], *channels), resampling, activation
        )
        self.output = output_activation(output, spec)

    @property
    def code_size(self) -> int:
        """`latent_dim`, or the size of the last feature map."""
        return self._code_size

    def initialise(self, data: TrainingData) -> None:
        """Start at He's scale, if asked to."""
        if self.initialisation == "he":
            start_at_he_scale(self, data, squashed=isinstance(self.output, nn.Sigmoid))

    def encode(self, x: Batch) -> Code:
        """The last feature map, flat, or its dense projection."""
        z: torch.Tensor = self.to_code(self.encoder(x).flatten(1))
        return z

    def decode(self, z: Code) -> Batch:
        """Mirror of `encode`, of exactly the input's size."""
        features = self.from_code(z).unflatten(1, self.features)
        x_hat: torch.Tensor = self.output(self.decoder(features))
        return x_hat

    def loss(self, x: Batch) -> Losses:
        """Squared error against the clean input."""
        noisy = x
        if self.noise_level > 0:
            noisy = corrupt(x, self.noise, self.noise_level, self.spec.peak)
        return {"squared_error": batch_mean(squared_error(self(noisy), x))}
