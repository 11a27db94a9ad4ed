"""The contract of a network: x -> features h, code z -> outputs y."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec, Kind
from aelab.models.layers import Activation, positive

InputBatch = Float[Tensor, "batch channels *positions"]
Features = Float[Tensor, "batch features"]
Code = Float[Tensor, "batch code"]


@dataclass(frozen=True)
class CodeLayer:
    """What a model makes its code of features with, for a network that starts from the data.

    >>> CodeLayer(nn.Linear(64, 2), "rectifier").follows
    'rectifier'
    """

    layer: nn.Linear
    """From features to the code; a variational model's has the log-variances behind."""

    follows: Literal["nothing", "rectifier", "few largest"] = "nothing"
    """What is done with what it puts out: a rectifier cuts off what is below 0, or all but the few
    largest are set to 0."""

    numbers: int | None = None
    """How many of the numbers that the network decodes it makes; all of them unless given."""


class Network(nn.Module, ABC):
    """A network knows the shape of the data, and nothing of losses.

    A subclass is built from an InputSpec, the size of the code and keyword hyperparameters; it
    sets `features`. Where the size of the code is None, its features are the code.

    >>> class Halves(Network):
    ...     takes = {"rows"}
    ...     def __init__(self, spec, code_size):
    ...         super().__init__(spec, code_size)
    ...         self.features = spec.size // 2
    ...         self.back = nn.Linear(self.code_size, spec.size)
    ...     def encode(self, x):
    ...         return x[:, : self.features]
    ...     def decode(self, z):
    ...         return self.back(z)
    >>> Halves(InputSpec((8,)), code_size=None).code_size
    4
    """

    takes: ClassVar[Collection[Kind]]
    """The kinds of data that it is made for."""

    features: int
    """How many numbers `encode` gives."""

    activation: Activation = "relu"
    """After its hidden layers; and after the code, of a model whose code is a layer of
    activations."""

    def __init__(self, spec: InputSpec, code_size: int | None) -> None:
        super().__init__()
        if code_size is not None:
            positive("latent_dim", code_size)  # what a model's user calls it
        self.spec = spec
        self._code_size = code_size

    @property
    def code_size(self) -> int:
        """How many numbers `decode` takes."""
        return self.features if self._code_size is None else self._code_size

    @abstractmethod
    def encode(self, x: InputBatch) -> Features:
        """The features h of each input."""

    @abstractmethod
    def decode(self, z: Code) -> InputBatch:
        """What the likelihood's mean is made of, of an input's shape, without an activation."""

    def initialise(
        self, data: TrainingData, code: CodeLayer | None, *, squashed: bool
    ) -> Float[Tensor, " carried"] | None:
        """Start from the training data, if the network has a way to.

        `code` is the model's layer between features and code, which takes part; `squashed` says
        that a sigmoid follows the output. Where the first numbers of the code start as whitened
        principal coordinates, the variance that the reconstruction leaves of each of them.
        """
        return None
