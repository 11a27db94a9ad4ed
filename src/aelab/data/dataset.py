"""What every data set is: named splits, a spec, and the batches that a model is trained on."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Int64
from torch import Tensor


@runtime_checkable
class Dataset(Protocol):
    """Data with named splits: images, or one graph."""

    @property
    def name(self) -> str:
        """What the data are called."""

    @property
    def sha256(self) -> str:
        """Of the stored content."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found and done on reading, one sentence each, for the user."""

    @property
    def spec(self) -> Any:  # noqa: ANN401
        """What a model of these data is built from."""

    def split(self, name: str, /) -> "TrainingData":
        """The split called `name`."""

    def to(self, device: str, /) -> "Dataset":
        """The same data on `device`."""

    def binarised(self) -> "Dataset":
        """The same data, each pixel drawn as 0 or 1 anew each time; or an InputError."""


@runtime_checkable
class TrainingData(Protocol):
    """What a model may ask of its training data before the first step."""

    def __len__(self) -> int: ...

    def batch(self, i: Int64[Tensor, " batch"], /) -> Any:  # noqa: ANN401 - what its models take
        """The prepared inputs `i`."""
