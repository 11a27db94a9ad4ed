"""Starts before the first step: principal components for dense layers, He's scale for convolutions.

A network that begins at PCA's reconstruction need not learn what is linear (for one linear layer,
that is where training ends: Baldi & Hornik 1989). A layer's first n units hold the whitened
coordinates ``u_k = w_k . (x - m) / s_k``: m is the mean of the inputs, w_k their k-th principal
component, s_k its standard deviation. Where a rectifier follows, OFFSET is added, so that it leaves
nearly all of them as they are. A layer's other units keep their random weights.

Random weights of He's scale (He et al. 2015, arXiv 1502.01852, section 2.2) keep the size of what
passes through rectifiers; PyTorch's own, of a sixth of that variance, let it fade.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from aelab.data.dataset import TrainingData
from aelab.models.pca import in_chunks, principal_components

LAST_SCALE = 0.3
"""Of the output layer's weights, so that training begins near the inputs' mean."""

INPUTS = 5000
"""Training inputs that the components are found from, at most, evenly spaced."""

MEAN_INPUTS = 500
"""Training inputs whose mean an output starts at."""

OFFSET = 2.0
"""Standard deviations that a carried coordinate stands above zero."""

SMALLEST = 1e-3
"""Components of a smaller share of the largest one's deviation are not carried: they are noise."""

LEAST_POSTERIOR = 1e-4
"""Variance of a whitened coordinate's posterior, at least, where the components leave nothing."""

DARKEST, LEAST_SLOPE = 0.03, 0.1
"""Of a sigmoid output: means are at least so far from 0 and 1, its slope is taken to be so much."""


Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d | Transposed


@dataclass(frozen=True)
class Components:
    """Mean, principal components and their standard deviations.

    >>> both = Components(torch.zeros(2), torch.eye(2), std=torch.tensor([3.0, 1.0]), residual=0.0)
    >>> both.first(1).std, both.first(1).residual
    (tensor([3.]), 0.5)
    """

    mean: Float[Tensor, " size"]
    directions: Float[Tensor, "n size"]
    std: Float[Tensor, " n"]
    residual: float
    """Mean variance of a value of the input that the components leave."""

    def __len__(self) -> int:
        return len(self.std)

    def first(self, n: int) -> "Components":
        """The `n` largest."""
        dropped = self.std[n:].square().sum().item() / len(self.mean)
        return replace(
            self,
            directions=self.directions[:n],
            std=self.std[:n],
            residual=self.residual + dropped,
        )

    def signed(self) -> "Components":
        """Each twice, once with the opposite sign, and not whitened.

        A rectifier without an offset splits a coordinate in such a pair, of which one is 0.
        """
        directions = torch.cat([self.directions, -self.directions])
        return replace(self, directions=directions, std=torch.ones_like(directions[:, 0]))


@dataclass(frozen=True)
class Sample:
    """Some of the training inputs, evenly spaced.

    >>> from aelab.data.loading import load
    >>> train = load("digits").split("train")
    >>> Sample(train, evenly_spaced(len(train), 100)).batch(torch.arange(5)).shape
    torch.Size([5, 1, 8, 8])
    """

    data: TrainingData
    index: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, i: Int64[Tensor, " batch"]) -> Float[Tensor, "batch *shape"]:
        """The prepared inputs `i` of these."""
        x: Tensor = self.data.batch(self.index[i])
        return x


def evenly_spaced(n: int, most: int) -> Int64[Tensor, " some"]:
    """Numbers from 0 to n - 1, up to `most` of them.

    >>> evenly_spaced(10, 4).tolist(), evenly_spaced(2, 4).tolist()
    ([0, 3, 6, 9], [0, 1])
    """
    return torch.linspace(0, n - 1, min(n, most)).long()


def components_of(data: TrainingData, n: int) -> Components:
    """Up to `n` components, those that a sample of the training inputs has."""
    sample = Sample(data, evenly_spaced(len(data), INPUTS))
    size = sample.batch(torch.arange(1)).numel()
    mean, directions = principal_components(sample, min(n, size, len(sample)))
    along, whole = torch.zeros_like(directions[:, 0]), torch.zeros_like(mean[0])
    for i in in_chunks(sample):
        centred = sample.batch(i).flatten(1) - mean
        along += (centred @ directions.T).square().sum(0)
        whole += centred.square().sum()
    std = (along / len(sample)).sqrt()
    some = int((std > SMALLEST * std.max()).sum())
    left = whole / len(sample) - std[:some].square().sum()
    return Components(mean, directions[:some], std[:some], left.clamp(min=0).item() / len(mean))


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    """The linear layers of a network, in the order of their use."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


@torch.no_grad()
def set_units(
    layer: nn.Linear, weight: Float[Tensor, "n inputs"], bias: Float[Tensor, " n"]
) -> None:
    """Give a layer's first n units biases, and weights for its first inputs only."""
    n, inputs = weight.shape
    layer.weight[:n] = 0
    layer.weight[:n, :inputs] = weight
    layer.bias[:n] = bias


def carry(layer: nn.Linear, n: int, change: float) -> None:
    """The first `n` units are the first n inputs, raised by `change`."""
    device = layer.weight.device
    set_units(layer, torch.eye(n, device=device), torch.full((n,), change, device=device))


class PrincipalCoordinates(nn.Module):
    """Coordinates along the training inputs' first principal components, a fixed linear map.

    ``y = W (x - m) / s``: m is the mean of the inputs, the rows of W are their components, s is the
    mean deviation of the coordinates. A layer of h units costs ``size n + n h`` products an input
    behind it instead of ``size h``, and none for the fixed map's gradient. And it learns in fewer
    steps: Adam scales every weight by itself, which helps most where the inputs' covariance is
    diagonal (as in SOAP, Vyas et al. 2024, arXiv 2409.11321). Whitened ones learn more slowly.

    >>> PrincipalCoordinates(3, 2)(torch.tensor([[1.0, 2.0, 3.0]]))  # before it has components
    tensor([[1., 2.]])
    """

    weight: Float[Tensor, "n size"]
    bias: Float[Tensor, " n"]

    def __init__(self, size: int, n: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(n, size))
        self.register_buffer("bias", torch.zeros(n))

    def forward(self, x: Float[Tensor, "batch size"]) -> Float[Tensor, "batch n"]:
        """The coordinates y."""
        return F.linear(x, self.weight, self.bias)

    def take(self, components: Components) -> Components:
        """Let these be the components, as far as there are any; what they are as coordinates."""
        n = min(len(self.bias), len(components))
        first, scale = components.first(n), components.std[:n].mean()
        self.weight.zero_()
        self.weight[:n] = first.directions / scale
        self.bias.copy_(-self.weight @ components.mean)
        axes = torch.eye(n, len(self.bias), device=scale.device)
        return Components(torch.zeros_like(self.bias), axes, first.std / scale, residual=0.0)


def start_from_components(
    components: Components,
    encoder: Sequence[nn.Linear],
    decoder: Sequence[nn.Linear],
    *,
    offset: float,
    squashed: bool,
    coordinates: Components | None = None,
) -> Components:
    """Make a network reconstruct as PCA does, with those components that fit all its layers.

    Returns them. `offset` is what the coordinates in the code are raised by, `squashed` says that a
    sigmoid follows, `coordinates` are the components as the encoder sees them, unless it sees the
    inputs themselves.
    """
    seen = components if coordinates is None else coordinates
    widths = [decoder[0].in_features, *(layer.out_features for layer in (*encoder, *decoder))]
    n = min(len(seen), *widths)
    carried = components.first(n)
    encode_components(encoder, seen.first(n), offset)
    decode_components(decoder, carried, offset, squashed=squashed)
    return carried


def encode_components(layers: Sequence[nn.Linear], components: Components, offset: float) -> None:
    """Make the first units of the last of `layers` the whitened coordinates, raised by `offset`.

    An activation is taken to follow each layer but the last.
    """
    offsets = [*[OFFSET] * (len(layers) - 1), offset]
    weight = components.directions / components.std[:, None]
    set_units(layers[0], weight, offsets[0] - weight @ components.mean)
    for layer, before, after in zip(layers[1:], offsets, offsets[1:], strict=False):
        carry(layer, len(components), after - before)


def decode_components(
    layers: Sequence[nn.Linear], components: Components, offset: float, *, squashed: bool
) -> None:
    """Make `layers` put out ``m + sum_k u_k s_k w_k``, given ``u + offset`` as their first inputs.

    An activation is taken to follow each layer but the last. With a sigmoid after that
    (`squashed`), the same to first order around the mean.
    """
    *inner, last = layers
    for layer in inner:
        carry(layer, len(components), OFFSET - offset)
        offset = OFFSET
    weight = components.directions * components.std[:, None]
    mean = components.mean
    if squashed:
        mean = mean.clamp(DARKEST, 1 - DARKEST)
        weight = weight / (mean * (1 - mean)).clamp(min=LEAST_SLOPE)
        mean = torch.logit(mean)
    set_units(last, weight.T, mean - offset * weight.sum(0))


def posterior_variance(components: Components) -> Float[Tensor, " n"]:
    """What the reconstruction leaves of each whitened coordinate: the posterior variance of PCA.

    ``v / s_k^2``, v the mean variance that the components leave (probabilistic PCA: Tipping &
    Bishop 1999, section 3.3: sigma^2 M^-1, where M is the diagonal of the eigenvalues s_k^2).
    """
    return (components.residual / components.std.square()).clamp(LEAST_POSTERIOR, 1)


@torch.no_grad()
def start_at_he_scale(layers: Sequence[nn.Module], data: TrainingData, *, squashed: bool) -> None:
    """Draw the weights of `layers` from normal distributions of He's scale, their biases 0.

    Variance 2 / n before a rectifier and 1 / n in linear layers, n the inputs that a number is the
    sum of; a strided transposed convolution has a stride-th of its kernel in each direction. The
    last layer, which the output is taken to be, is smaller, with a bias at the inputs' mean.
    """
    for layer in layers:
        assert isinstance(layer, nn.Linear | Convolution)
        inputs = float(layer.weight[0].numel())
        if isinstance(layer, Transposed):
            inputs = layer.weight[:, 0].numel() / math.prod(layer.stride)
        gain = 1 if isinstance(layer, nn.Linear) else 2
        layer.weight.normal_(0, (gain / inputs) ** 0.5)
        assert layer.bias is not None
        layer.bias.zero_()
    last = layers[-1]
    assert isinstance(last, Convolution)
    assert last.bias is not None
    last.weight.mul_(LAST_SCALE)
    mean = data.batch(evenly_spaced(len(data), MEAN_INPUTS)).mean()
    last.bias.fill_(near_logit(mean) if squashed else mean)


def weighted_layers(*modules: nn.Module) -> list[nn.Module]:
    """The linear layers and convolutions of modules, in the order of their use."""
    return [m for of in modules for m in of.modules() if isinstance(m, nn.Linear | Convolution)]


def near_logit(x: Tensor) -> Tensor:
    """What a sigmoid makes x of, or nearly: it never gets to 0 and 1."""
    return x.clamp(DARKEST, 1 - DARKEST).logit()
