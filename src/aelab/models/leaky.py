"""The original study's convolutional VAE, whose decoder sees more than the code: the leaky network.

It stands here for the audit that exposes it. Its samples and its figures are not what they seem.
"""

import math
from collections.abc import Collection, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from aelab.data.specs import InputSpec, Kind
from aelab.models.contract import Code, InputBatch
from aelab.models.layers import Activation, activation_named
from aelab.models.losses import PerExample
from aelab.models.posterior import Gaussian
from aelab.models.priors.contract import Codes, PerCode, Prior
from aelab.models.priors.normal import Normal
from aelab.models.variational import Bound, LatentVariableModel

FeatureMap = Float[Tensor, "batch features rows columns"]
Pooled = Float[Tensor, "batch features half_rows half_columns"]
Switches = Int64[Tensor, "batch features half_rows half_columns"]
"""Which of its 2×2 window's four each maximum was, 0 to 3, row by row."""

OfOnePooling = Int64[Tensor, "batch _ _ _"]
"""The same where there are several poolings, each of a size of its own."""


class SwitchesPrior(Prior):
    """N(0, I) for the latent numbers; the switches behind them uniform, for no prior is theirs.

    ``z = (u, s)``, ``u ~ N(0, I)`` and each ``s_i`` one of 0, 1, 2, 3.

    Args:
        latent_dim: Latent numbers in a code.
        switches: Switches in a code.

    >>> SwitchesPrior(2, 3).sample_codes(1).shape
    torch.Size([1, 5])
    """

    trained_with_model = True

    def __init__(self, latent_dim: int, switches: int) -> None:
        super().__init__(latent_dim + switches)
        self.told = "the prior N(0, 1), and its switches at random, for no prior is theirs"
        self.latent, self.switches = Normal(latent_dim), switches

    def log_prob(self, z: Codes) -> PerCode:
        """Of the latent numbers as N(0, I) has it, and -log 4 a switch."""
        latent = z[:, : self.latent.code_size]
        return self.latent.log_prob(latent) - self.switches * math.log(4)

    def sample_codes(self, n: int, temperature: float = 1.0) -> Codes:
        """Latent numbers from N(0, temperature²), switches uniform over the four places."""
        device = self.latent.origin.device
        switches = torch.randint(4, (n, self.switches), device=device)
        return torch.cat([self.latent.sample_codes(n, temperature), switches.float()], 1)


class SwitchesVAE(LatentVariableModel):
    """The original study's convolutional VAE, whose decoder reuses the max-pooling's switches.

    ``x_hat = D(z, s)``: unpadded convolutions of 3×3, 4×4 and 2×2, 2×2 max-pooling after the
    first two, a dense layer; the decoder mirrors them with transposed convolutions and un-pooling
    (Zeiler et al. 2011). Where each maximum stood, s, is handed past the latent code. Here it is
    appended to the code, as it must be for ``decode(z)`` to need nothing else, and is counted in
    its size. New codes draw their switches uniformly, since the model says nothing of them.

    Args:
        spec: Shape and preparation of the input; at least 16 pixels high and wide.
        latent_dim: Latent numbers in the code.
        channels: Channels of the three convolutions.
        hidden: Size of the dense layer between feature map and code.
        activation: After each convolution; the dense layers have none, as in the original.
        bound: Likelihood and weight of the KL divergence.

    >>> model = SwitchesVAE(InputSpec((1, 28, 28)), bound=Bound())
    >>> model.code_size, model.side_channel
    (6240, (6208, 12416.0))
    """

    takes: ClassVar[Collection[Kind]] = ["images"]

    def __init__(
        self,
        spec: InputSpec,
        *,
        latent_dim: int = 32,
        channels: tuple[int, int, int] = (32, 32, 32),
        hidden: int = 32,
        activation: Activation = "relu",
        bound: Bound,
    ) -> None:
        image_channels, height, width = spec.image_shape
        if min(height, width) < 16:
            raise ValueError(
                f"conv-vae-switches takes images of 16×16 pixels or more, not {height}×{width}"
            )
        before_pools = [(height - 2, width - 2)]
        pooled = tuple(n // 2 for n in before_pools[0])
        before_pools.append((pooled[0] - 3, pooled[1] - 3))
        last = tuple(n // 2 - 1 for n in before_pools[1])
        switch_shapes = [
            (c, rows // 2, columns // 2)
            for c, (rows, columns) in zip(channels[:2], before_pools, strict=True)
        ]
        switches = sum(math.prod(shape) for shape in switch_shapes)
        super().__init__(spec, SwitchesPrior(latent_dim, switches), latent_dim, bound)
        self.before_pools, self.switch_shapes = before_pools, switch_shapes
        first, second, third = channels
        self.features = (third, last[0], last[1])
        size = math.prod(self.features)
        self.activation = activation_named(activation)
        self.conv = nn.ModuleList(
            [
                nn.Conv2d(image_channels, first, 3),
                nn.Conv2d(first, second, 4),
                nn.Conv2d(second, third, 2),
            ]
        )
        self.to_hidden = nn.Linear(size, hidden)
        self.heads = nn.Linear(hidden, 2 * latent_dim)
        self.from_code = nn.Linear(latent_dim, size)
        self.transposed = nn.ModuleList(
            [
                nn.ConvTranspose2d(third, second, 2),
                nn.ConvTranspose2d(second, first, 4),
                nn.ConvTranspose2d(first, image_channels, 3),
            ]
        )

    @property
    def side_channel(self) -> tuple[int, float]:
        """The switches: as many numbers, two bits each."""
        switches = sum(math.prod(shape) for shape in self.switch_shapes)
        return switches, 2.0 * switches

    def encoded(self, x: InputBatch) -> tuple[Gaussian, list[OfOnePooling]]:
        """The latent numbers' posterior, and the switches of the two poolings."""
        maps, switches = x, []
        for convolution in self.conv[:2]:
            maps, where = pool(self.activation(convolution(maps)))
            switches.append(where)
        last: Tensor = self.activation(self.conv[2](maps))
        mu, log_var = self.heads(self.to_hidden(last.flatten(1))).chunk(2, dim=1)
        return Gaussian(mu, log_var), switches

    def decoded(self, latent: Code, switches: Sequence[OfOnePooling]) -> InputBatch:
        """The decoder, whose output the likelihood takes."""
        maps: Tensor = self.from_code(latent).unflatten(1, self.features)
        stages = zip(self.transposed, switches[::-1], self.before_pools[::-1], strict=False)
        for layer, where, size in stages:
            # An odd size lost its last row or column in pooling; the transposed convolution has it.
            maps = unpool(self.activation(layer(maps)), where, size)
        output: Tensor = self.transposed[-1](maps)
        return output

    def posterior(self, x: InputBatch) -> Gaussian:
        """The latent numbers' posterior, with the switches beside it."""
        posterior, switches = self.encoded(x)
        side = torch.cat([some.flatten(1) for some in switches], 1).to(posterior.mu.dtype)
        return Gaussian(posterior.mu, posterior.log_var, side)

    @property
    def latent_prior(self) -> Prior:
        """N(0, I): the KL divergence knows nothing of the switches."""
        assert isinstance(self.prior, SwitchesPrior)
        return self.prior.latent

    def bound_terms(self, x: InputBatch) -> tuple[dict[str, PerExample], PerExample]:
        """As the base class has it, without writing the switches into a code and reading them."""
        posterior, switches = self.encoded(x)
        z = posterior.sample()
        terms = self.likelihood.terms(self.decoded(z, switches), x)
        return terms, self.divergence(posterior, z)

    def decoder_output(self, z: Code) -> InputBatch:
        """Un-pools by the switches that follow the latent numbers in z."""
        latent, numbers = z[:, : self.latent_dim], z[:, self.latent_dim :].long()
        flat = numbers.split([math.prod(shape) for shape in self.switch_shapes], dim=1)
        switches = [
            some.unflatten(1, shape) for some, shape in zip(flat, self.switch_shapes, strict=True)
        ]
        return self.decoded(latent, switches)


def pool(maps: FeatureMap) -> tuple[Pooled, Switches]:
    """2×2 max-pooling (an odd size loses its last row or column), and where the maxima stood.

    >>> pool(torch.tensor([[[[0.0, 3.0], [1.0, 2.0]]]]))
    (tensor([[[[3.]]]]), tensor([[[[1]]]]))
    """
    values, places = F.max_pool2d(maps, 2, return_indices=True)
    width = maps.shape[3]
    place = places - corners(places, width)  # 0 or 1, `width` more in the second row
    return values, torch.where(place > 1, place - (width - 2), place)


def unpool(values: Pooled, switches: Switches, size: tuple[int, int]) -> FeatureMap:
    """Each value at its place in maps of that height and width, 0 elsewhere.

    >>> unpool(torch.tensor([[[[3.0]]]]), torch.tensor([[[[1]]]]), (2, 2))
    tensor([[[[0., 3.],
              [0., 0.]]]])
    """
    further = torch.tensor([0, 1, size[1], size[1] + 1], device=switches.device)
    places = corners(switches, size[1]) + further[switches]
    return F.max_unpool2d(values, places, 2, output_size=[*values.shape[:2], *size])  # type: ignore[arg-type]


def corners(windows: Tensor, width: int) -> Int64[Tensor, "half_rows half_columns"]:
    """Index of each window's first place in a map of that width."""
    rows = 2 * torch.arange(windows.shape[2], device=windows.device)[:, None]
    return rows * width + 2 * torch.arange(windows.shape[3], device=windows.device)
