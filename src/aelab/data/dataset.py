"""What every data set is: named splits, a spec, and the batches that a model is trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from aelab.files import InputError

if TYPE_CHECKING:  # names of data sets are listed without torch
    from jaxtyping import Int64
    from torch import Tensor

S = TypeVar("S")


@runtime_checkable
class Dataset(Protocol):
    """Data with named splits: images, or one graph.

    >>> from aelab.data.loading import load
    >>> digits = load("digits")
    >>> isinstance(digits, Dataset), len(digits.split("test"))
    (True, 180)
    """

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
    """What a model may ask of its training data before the first step.

    >>> import torch
    >>> from aelab.data.loading import load
    >>> train: TrainingData = load("digits").split("train")
    >>> train.batch(torch.arange(5)).shape
    torch.Size([5, 1, 8, 8])
    """

    def __len__(self) -> int: ...

    def batch(self, i: "Int64[Tensor, ' batch']", /) -> Any:  # noqa: ANN401 - what its models take
        """The prepared inputs `i`."""


@dataclass(frozen=True, eq=False)
class NamedSplits(Generic[S]):
    """A name, and splits by theirs.

    >>> NamedSplits("mine", {"train": [1, 2], "test": [3]}).split("test")
    [3]
    """

    name: str
    splits: Mapping[str, S]

    def split(self, name: str) -> S:
        """The split called `name`.

        Raises:
            InputError: the data set has no such split.
        """
        if name not in self.splits:
            raise InputError(f"{self.name} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]
