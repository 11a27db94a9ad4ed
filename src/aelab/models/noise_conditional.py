"""The denoising autoencoder that is told how noisy its input is, over any network."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aelab.data.batch import Batch
from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.contract import Autoencoder, Code, InputBatch, Losses, refuse_array
from aelab.models.layers import OutputActivation, positive
from aelab.models.losses import batch_mean
from aelab.models.mixed import Output
from aelab.models.networks.contract import CodeLayer, Network

Levels = Float[Tensor, " batch"]
WithLevels = Float[Tensor, "batch one_more *positions"]


class NoiseConditionalAutoencoder(Autoencoder):
    """Denoising autoencoder that is told its noise level, and so can be trained at many.

    ``z = W E(x~, log(sigma / peak))``, ``x_hat = g(D(z))`` with ``x~ = x + sigma eps``, eps from
    N(0, I); the loss is ``|x_hat - x|^2``, with log(sigma) uniform between two bounds (denoising:
    Vincent et al. 2010, JMLR 11; told the logarithm of its noise level: Karras et al. 2022, arXiv
    2206.00364). A network of rows is given the logarithm as one more column, and others as one more
    channel that is the same everywhere (Zhang et al. 2018, arXiv 1710.04026); what it decodes for
    that is left out.

    The noise level of an input is `Batch.noise_level`. What is not told it is taken to be clean,
    which is the lowest one.

    Args:
        spec: Shape and preparation of the input.
        network: Makes features of inputs with their noise level, and outputs of codes.
        latent_dim: Numbers in the code.
        output: Output activation; unless given, sigmoid for inputs in [0, 1] and linear for others.
        lowest_noise: Standard deviation of the least noise in training, as a share of the inputs'
            range; of standardised columns, in standard deviations.
        highest_noise: The same of the most noise.

    >>> from aelab.models.networks.dense import DenseNetwork
    >>> spec = InputSpec((8,))
    >>> seen = NoiseConditionalAutoencoder.network_spec(spec)
    >>> model = NoiseConditionalAutoencoder(spec, DenseNetwork(seen, 2), latent_dim=2)
    >>> model.reconstructed(torch.zeros(5, 8), torch.full((5,), 0.5)).shape
    torch.Size([5, 8])
    """

    def __init__(
        self,
        spec: InputSpec,
        network: Network,
        *,
        latent_dim: int = 32,
        output: OutputActivation | None = None,
        lowest_noise: float = 0.05,
        highest_noise: float = 2.0,
    ) -> None:
        super().__init__(spec)
        positive("latent_dim", latent_dim)
        if not 0 < lowest_noise < highest_noise < math.inf:
            raise ValueError(
                f"lowest_noise must be above 0 and below highest_noise, not {lowest_noise} and "
                f"{highest_noise}"
            )
        self.lowest_noise, self.highest_noise = lowest_noise, highest_noise
        self.network = network
        self.to_code = nn.Linear(network.features, latent_dim)
        self.output = Output(spec, output)

    @classmethod
    def network_spec(cls, spec: InputSpec) -> InputSpec:
        """One more column, or channel, for the noise level."""
        return replace(spec, shape=(spec.shape[0] + 1, *spec.shape[1:]), columns=None)

    @property
    def code_size(self) -> int:
        """`latent_dim`."""
        return self.network.code_size

    def initialise(self, data: TrainingData) -> None:
        """Let the network start from the data."""
        code = CodeLayer(self.to_code)
        self.network.initialise(WithLevel(data, self), code, squashed=self.output.squashed)

    def encode(self, x: InputBatch) -> Code:
        """The code of inputs with their noise levels."""
        refuse_array(x)
        known = Batch.of(x)
        sigma = known.noise_level
        if sigma is None:
            sigma = torch.full((x.shape[0],), self.lowest_noise * self.spec.peak, device=x.device)
        z: Tensor = self.to_code(self.network.encode(self.with_levels(known.x, sigma)))
        return z

    def decode(self, z: Code) -> InputBatch:
        """The network's output but for the noise level, activated."""
        x_hat: Tensor = self.output(self.network.decode(z)[:, :-1])
        return x_hat

    def reconstructed(self, x: InputBatch, sigma: Levels) -> InputBatch:
        """What is made of inputs said to have noise of the levels sigma, in units of x."""
        x_hat: Tensor = self(Batch(Batch.of(x).x, noise_level=sigma))
        return x_hat

    def with_levels(self, x: InputBatch, sigma: Levels) -> WithLevels:
        """What the network is given: inputs, and the logarithms of their levels."""
        told = (sigma / self.spec.peak).log().reshape(-1, *[1] * (x.dim() - 1))
        return torch.cat([x, told.expand(-1, 1, *x.shape[2:])], 1)

    def drawn_levels(self, x: Tensor) -> Levels:
        """Noise levels sigma for these inputs, log-uniform between the bounds."""
        low, high = math.log(self.lowest_noise), math.log(self.highest_noise)
        sigma: Tensor = (
            low + (high - low) * torch.rand(len(x), device=x.device)
        ).exp() * self.spec.peak
        return sigma

    def levels(self, count: int) -> list[float]:
        """So many noise levels between the bounds, evenly spaced by their logarithms.

        >>> from aelab.models.zoo import build
        >>> model = build("noise-conditional", InputSpec((8,)), latent_dim=2)
        >>> [round(sigma, 2) for sigma in model.levels(4)]
        [0.1, 0.22, 0.46, 0.96]
        """
        ratio = self.highest_noise / self.lowest_noise
        shares = [self.lowest_noise * ratio ** (k / (count + 1)) for k in range(1, count + 1)]
        return [share * self.spec.peak for share in shares]

    def loss(self, x: InputBatch) -> Losses:
        """Errors against the clean input, each at a noise level of its own.

        Noisy inputs with bounds are clipped to them, as `layers.corrupt` does.
        """
        clean = Batch.of(x).x
        sigma = self.drawn_levels(clean)
        noise = sigma.reshape(-1, *[1] * (clean.dim() - 1)) * torch.randn_like(clean)
        noisy = clean + noise
        if self.spec.bounded:
            noisy = noisy.clamp(0, self.spec.peak)
        y = self.network.decode(self.encode(Batch(noisy, noise_level=sigma)))[:, :-1]
        return {name: batch_mean(error) for name, error in self.output.errors(y, x).items()}


@dataclass(frozen=True, eq=False)
class WithLevel:
    """Training data as the network of a model that is told noise levels sees them.

    >>> from aelab.data.loading import load
    >>> from aelab.models.zoo import build
    >>> digits = load("digits")
    >>> model = build("noise-conditional", digits.spec)
    >>> WithLevel(digits.split("train"), model).batch(torch.arange(5)).shape
    torch.Size([5, 2, 8, 8])
    """

    data: TrainingData
    model: NoiseConditionalAutoencoder

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, i: Int64[Tensor, " batch"]) -> Float[Tensor, "batch *shape"]:
        """The inputs `i`, said to have the noise level in the middle."""
        x = Batch.of(self.data.batch(i)).x
        (middle,) = self.model.levels(1)
        return self.model.with_levels(x, torch.full((len(x),), middle, device=x.device))
