"""Fully connected layers, `dense`."""

from collections.abc import Collection
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec, Kind
from aelab.models.layers import (
    DenseActivation,
    hidden_layers,
    multilayer_perceptron,
    one_of,
    positive,
)
from aelab.models.networks.contract import Code, CodeLayer, Features, InputBatch, Network
from aelab.models.networks.initialisation import (
    OFFSET,
    PrincipalCoordinates,
    components_of,
    linear_layers,
    posterior_variance,
    start_from_components,
)
from aelab.models.networks.missing import MissingValues

Initialisation = Literal["random", "pca"]


class DenseNetwork(Network):
    """Fully connected layers (Rumelhart, Hinton & Williams 1986).

    ``h = a(W_n … a(W_1 x))`` and ``y = V_m … a(V_1 z)``: an activation after each hidden layer of
    either way. Without hidden layers, h is x. A gated layer is ``(W x + b) * sigmoid(V x + c)``
    (Dauphin et al. 2017, arXiv 1612.08083); a code of activations over such layers is one of silu,
    where V is W.

    Of a table whose missing values are masked, the encoder sees what `MissingValues` shows it.

    Args:
        spec: Shape and preparation of the input.
        code_size: Numbers in the code; none makes the last hidden layer the code.
        hidden: Sizes of the encoder's hidden layers.
        decoder_hidden: Sizes of the decoder's; unless given, the encoder's backwards.
        activation: After each hidden layer; gated layers have a second map, which is their gate.
        initialisation: random, or pca: from the principal components of the training inputs.
        components: Principal components of the training inputs that the encoder sees, by a fixed
            map, or as many as an input has numbers; unless given, it sees the inputs themselves.

    >>> import torch
    >>> network = DenseNetwork(InputSpec((1, 28, 28)), 16, hidden=(64,))
    >>> network.encode(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 64])
    >>> network.decode(torch.zeros(5, 16)).shape
    torch.Size([5, 1, 28, 28])
    """

    takes: ClassVar[Collection[Kind]] = ("images", "signals", "rows")

    def __init__(
        self,
        spec: InputSpec,
        code_size: int | None,
        *,
        hidden: tuple[int, ...] = (),
        decoder_hidden: tuple[int, ...] | None = None,
        activation: DenseActivation = "relu",
        initialisation: Initialisation = "random",
        components: int | None = None,
    ) -> None:
        super().__init__(spec, code_size)
        one_of("activation", activation, DenseActivation)
        one_of("initialisation", initialisation, Initialisation)
        if initialisation == "pca" and activation in ("tanh", "gated"):
            raise ValueError(
                "initialisation pca needs an activation that leaves positive numbers as they are, "
                f"not {activation}; with {activation}, take initialisation random"
            )
        self.activation = "silu" if activation == "gated" else activation
        self.initialisation = initialisation
        size, self.coordinates = spec.size, None
        if components is not None:
            positive("components", components)
            size = min(components, spec.size)
            self.coordinates = PrincipalCoordinates(spec.size, size)
        widths = [size, *hidden]
        self.features = widths[-1]
        self.encoder = hidden_layers(widths, activation) if hidden else nn.Identity()
        masked = spec.columns is not None and spec.columns.mask
        self.shown = MissingValues(spec.columns) if spec.columns is not None and masked else None
        mirrored = hidden[::-1] if decoder_hidden is None else decoder_hidden
        self.decoder = multilayer_perceptron([self.code_size, *mirrored, spec.size], activation)

    def encode(self, x: InputBatch) -> Features:
        """The last hidden layer."""
        seen = x.flatten(1) if self.shown is None else self.shown(x)
        if self.coordinates is not None:
            seen = self.coordinates(seen)
        h: Tensor = self.encoder(seen)
        return h

    def decode(self, z: Code) -> InputBatch:
        """The last layer in the shape of an input."""
        y: Tensor = self.decoder(z)
        return y.reshape(-1, *self.spec.shape)

    def initialise(
        self, data: TrainingData, code: CodeLayer | None, *, squashed: bool
    ) -> Float[Tensor, " carried"] | None:
        """Find the components that the encoder sees, and start from PCA, if asked to.

        Where a rectifier follows the code, its numbers start above 0; where only the few largest
        are kept, each component is two of them, one for either sign.
        """
        if self.coordinates is None and self.initialisation == "random":
            return None
        size = self.code_size if code is None or code.numbers is None else code.numbers
        if code is not None and code.follows == "few largest":
            size = min(size, self.spec.size) // 2
        seen = len(self.coordinates.bias) if self.coordinates else 0
        components = components_of(data, max(seen, size))
        coordinates = self.coordinates.take(components) if self.coordinates else None
        if self.initialisation == "random":
            return None
        if code is not None and code.numbers is not None:  # the decoder is given more than these
            components = components.first(min(size, len(components)))
            coordinates = coordinates and coordinates.first(min(size, len(coordinates)))
        if code is not None and code.follows == "few largest":
            components = components.first(min(size, len(components))).signed()
            coordinates = coordinates and coordinates.first(min(size, len(coordinates))).signed()
        encoder = [*linear_layers(self.encoder), *([] if code is None else [code.layer])]
        if not encoder:  # the code is the input
            return None
        carried = start_from_components(
            components,
            encoder,
            linear_layers(self.decoder),
            offset=OFFSET if code is None or code.follows == "rectifier" else 0.0,
            squashed=squashed,
            coordinates=coordinates,
        )
        return posterior_variance(carried)
