"""Convolutions over one, two or three dimensions, `convolutional`."""

import math
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec, Kind
from aelab.models.layers import (
    Activation,
    activation_named,
    multilayer_perceptron,
    one_of,
    positive,
)
from aelab.models.networks.contract import Code, CodeLayer, Features, InputBatch, Network
from aelab.models.networks.initialisation import start_at_he_scale, weighted_layers

Resampling = Literal["pool", "stride"]
Initialisation = Literal["random", "he"]

Map = Float[Tensor, "batch channels *positions"]

LARGEST_LAST_MAP = 7
"""Height or width, whichever is less, of a feature map that is not halved any more."""

# By the number of dimensions that they go over.
CONVOLUTIONS: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
POOLINGS: tuple[Any, ...] = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


class ConvolutionalNetwork(Network):
    """Stages of convolutions that halve the input, and as many that double it (Masci et al. 2011).

    ``h = a(W … E_n(… E_1(x)))`` and ``y = D_1(… D_n(V z))``. A stage E is a convolution, an
    activation and a halving of every dimension, a stage D its mirror, of exactly the same sizes;
    between the last feature map and the code are dense layers.

    Args:
        spec: Shape and preparation of the input: an image, or a signal on a line or grid.
        code_size: Numbers in the code; none makes the last feature map the code.
        channels: Channels of each stage; each stage halves height and width.
        deepen: Add stages, as wide as the last, while the feature map is larger than 7×7.
        hidden: Sizes of dense layers between feature map and code; the decoder's are the same
            backwards.
        resampling: How a stage halves: pool (convolution, then max-pooling; nearest up-sampling
            in the decoder) or stride (strided and transposed convolutions).
        activation: After each convolution and dense layer.
        initialisation: random (PyTorch's own), or he: He's scale, the output at the inputs' mean.

    >>> import torch
    >>> network = ConvolutionalNetwork(InputSpec((1, 28, 28)), 16, channels=(8, 4))
    >>> network.encode(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 196])
    >>> network.decode(torch.zeros(5, 16)).shape
    torch.Size([5, 1, 28, 28])
    >>> of_signals = ConvolutionalNetwork(InputSpec((2, 100)), 16, channels=(8,))
    >>> of_signals.decode(torch.zeros(5, 16)).shape
    torch.Size([5, 2, 100])
    """

    takes: ClassVar[Collection[Kind]] = ("images", "signals")

    def __init__(
        self,
        spec: InputSpec,
        code_size: int | None,
        *,
        channels: tuple[int, ...] = (32, 32, 32),
        deepen: bool = True,
        hidden: tuple[int, ...] = (),
        resampling: Resampling = "pool",
        activation: Activation = "relu",
        initialisation: Initialisation = "random",
    ) -> None:
        super().__init__(spec, code_size)
        one_of("initialisation", initialisation, Initialisation)
        one_of("resampling", resampling, Resampling)
        if spec.graph is not None or not 1 <= len(spec.shape) - 1 <= 3:
            raise ValueError(
                f"convolutions go over one to three dimensions, not over inputs of shape "
                f"{spec.shape}{' on a graph' if spec.graph else ''}; take the network "
                f"{'graph' if spec.graph else 'dense'}"
            )
        if not channels:
            raise ValueError("channels must name at least one stage")
        positive("channels", *channels)
        self.activation, self.initialisation = activation, initialisation
        if deepen:
            channels = deepened(channels, spec.shape)
        sizes = halved(spec.shape[1:], len(channels))
        widths = (spec.shape[0], *channels)
        self.map_shape = (channels[-1], *sizes[-1])
        map_size = math.prod(self.map_shape)
        self.encoder = encoder_stages(widths, len(sizes[0]), resampling, activation)
        self.to_features: nn.Module = nn.Identity()
        self.from_code: nn.Module = nn.Identity()
        if hidden:
            layers = multilayer_perceptron([map_size, *hidden], activation)
            self.to_features = layers.append(activation_named(activation))
        self.features = [map_size, *hidden][-1]
        if code_size is not None or hidden:
            layers = multilayer_perceptron([self.code_size, *hidden[::-1], map_size], activation)
            self.from_code = layers.append(activation_named(activation))
        self.decoder = decoder_stages(widths, sizes, resampling, activation)

    def encode(self, x: InputBatch) -> Features:
        """The last feature map, flat, or the last dense layer."""
        h: Tensor = self.to_features(self.encoder(x).flatten(1))
        return h

    def decode(self, z: Code) -> InputBatch:
        """Mirror of `encode`, of exactly the input's size."""
        y: Tensor = self.decoder(self.from_code(z).unflatten(1, self.map_shape))
        return y

    def initialise(
        self, data: TrainingData, code: CodeLayer | None, *, squashed: bool
    ) -> Float[Tensor, " carried"] | None:
        """Start at He's scale, if asked to."""
        if self.initialisation == "he":
            before = weighted_layers(self.encoder, self.to_features)
            between = [] if code is None else [code.layer]
            after = weighted_layers(self.from_code, self.decoder)
            start_at_he_scale([*before, *between, *after], data, squashed=squashed)
        return None


def deepened(channels: tuple[int, ...], shape: Sequence[int]) -> tuple[int, ...]:
    """As many stages more, as wide as the last, as bring an input's shortest side to 7 or less.

    >>> deepened((32, 64), (1, 28, 28)), deepened((32, 64), (3, 128, 128))
    ((32, 64), (32, 64, 64, 64, 64))
    """
    shortest = min(shape[1:]) >> len(channels)
    while shortest > LARGEST_LAST_MAP:
        channels += channels[-1:]
        shortest //= 2
    return channels


def halved(size: Sequence[int], times: int) -> list[tuple[int, ...]]:
    """The sizes of an input and of each stage's map, odd ones rounded down.

    >>> halved((28, 28), 3)
    [(28, 28), (14, 14), (7, 7), (3, 3)]

    Raises:
        ValueError: nothing is left of it.
    """
    sizes = [tuple(side >> stage for side in size) for stage in range(times + 1)]
    if min(sizes[-1]) < 1:
        raise ValueError(
            f"{times} halvings leave nothing of an input of {'×'.join(map(str, size))}; "
            f"give fewer channels"
        )
    return sizes


def encoder_stages(
    widths: Sequence[int], dimensions: int, resampling: Resampling, activation: str
) -> nn.Sequential:
    """Stages that halve.

    ``pool``: 3×3 'same' convolution, activation, 2×2 max-pooling (an odd size is rounded down).
    ``stride``: 4×4 convolution of stride 2 (rounded down too), activation.
    """
    convolution, pooling = CONVOLUTIONS[dimensions - 1], POOLINGS[dimensions - 1]
    stages = nn.Sequential()
    for inputs, outputs in pairwise(widths):
        if resampling == "pool":
            layers = [convolution(inputs, outputs, 3, padding=1), activation_named(activation)]
            stages.append(nn.Sequential(*layers, pooling(2)))
        else:
            strided = convolution(inputs, outputs, 4, stride=2, padding=1)
            stages.append(nn.Sequential(strided, activation_named(activation)))
    return stages


def decoder_stages(
    widths: Sequence[int],
    sizes: Sequence[tuple[int, ...]],
    resampling: Resampling,
    activation: str,
) -> nn.Sequential:
    """The mirror of `encoder_stages`, up to exactly the size of its input.

    ``pool``: 3×3 'same' convolution, activation and nearest up-sampling a stage, then an output
    convolution. ``stride``: a 4×4 transposed convolution of stride 2 a stage, with an activation
    after each but the last.
    """
    widths, sizes = widths[::-1], sizes[::-1]
    convolution = CONVOLUTIONS[len(sizes[0]) - 1]
    stages: list[nn.Module] = []
    if resampling == "pool":
        # The first stage keeps the width, so that a convolution precedes each up-sampling.
        for inputs, outputs, size in zip(
            [widths[0], *widths], widths[:-1], sizes[1:], strict=False
        ):
            stages += [
                convolution(inputs, outputs, 3, padding=1),
                activation_named(activation),
                nn.Upsample(size),
            ]
        return nn.Sequential(*stages, convolution(widths[-2], widths[-1], 3, padding=1))
    for (inputs, outputs), (small, large) in zip(pairwise(widths), pairwise(sizes), strict=True):
        odd = tuple(b - 2 * a for a, b in zip(small, large, strict=True))
        stages += [transposed(inputs, outputs, odd), activation_named(activation)]
    return nn.Sequential(*stages[:-1])


def transposed(inputs: int, outputs: int, odd: tuple[int, ...]) -> nn.Module:
    """A transposed convolution of stride 2: twice the size, and one more where it is odd."""
    if len(odd) == 2:
        return UpConvolution(inputs, outputs, odd)
    of_dimensions = nn.ConvTranspose1d if len(odd) == 1 else nn.ConvTranspose3d
    return of_dimensions(inputs, outputs, 4, 2, padding=1, output_padding=odd)  # type: ignore[arg-type]


class UpConvolution(nn.ConvTranspose2d):
    """A 4×4 transposed convolution of stride 2: twice as many rows and columns, and those of `odd`.

    A single channel is put out as a matrix product and a sum of what overlaps: the same numbers,
    for which PyTorch's own takes twice as long.

    >>> import torch
    >>> UpConvolution(4, 1, odd=(0, 1))(torch.zeros(2, 4, 7, 7)).shape
    torch.Size([2, 1, 14, 15])
    """

    def __init__(self, inputs: int, outputs: int, odd: tuple[int, int]) -> None:
        super().__init__(inputs, outputs, 4, 2, padding=1, output_padding=odd)

    def forward(
        self,
        input: Float[Tensor, "batch inputs rows columns"],
        output_size: list[int] | None = None,
    ) -> Float[Tensor, "batch outputs height width"]:
        """As the base class; `output_size` is for it alone."""
        if self.out_channels > 1 or output_size is not None:
            return super().forward(input, output_size)
        assert self.bias is not None
        patches = input.permute(0, 2, 3, 1).flatten(1, 2) @ self.weight.flatten(1)
        height, width = input.shape[2:]
        size = (2 * height + self.output_padding[0], 2 * width + self.output_padding[1])
        return F.fold(patches.mT, size, 4, padding=1, stride=2) + self.bias[:, None, None]
