"""The contract of a prior: what codes are drawn from, and how likely a code is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from jaxtyping import Float, Int64
from torch import Tensor, nn

from aelab.data.dataset import TrainingData

Codes = Float[Tensor, "batch code"]
PerCode = Float[Tensor, " batch"]
Labels = Int64[Tensor, " batch"]


class Prior(nn.Module, ABC):
    """p(z) of codes of `code_size` numbers.

    A prior is trained with a model, then its parameters are the model's and its `log_prob` stands
    in the bound; or it is fitted to the codes of a trained model. It is built from the size of
    the code and keyword hyperparameters.

    >>> from aelab.models.priors.normal import Normal
    >>> prior = Normal(2)
    >>> prior.sample_codes(3).shape
    torch.Size([3, 2])
    """

    trained_with_model: ClassVar[bool]
    """Whether a model can be trained with it; otherwise it is fitted afterwards."""

    of_posteriors: ClassVar[bool] = False
    """Whether it is made of the model's q(z | x): inputs that a model can be asked of alone."""

    told: str
    """Where its codes come from, for people to read."""

    class_names: tuple[str, ...] = ()
    """Of the classes that codes can be asked of."""

    def __init__(self, code_size: int) -> None:
        super().__init__()
        self.code_size = code_size

    @property
    def classes(self) -> int:
        """How many classes codes can be asked of; 0, if it knows none."""
        return 0

    @abstractmethod
    def log_prob(self, z: Codes) -> PerCode:
        """``log p(z)`` of each code, in nats."""

    @abstractmethod
    def sample_codes(self, n: int, temperature: float = 1.0) -> Codes:
        """`n` codes, drawn from the global generator.

        `temperature` scales the deviation of what is drawn: below 1, codes are more alike.
        """

    def sample_class(self, n: int, label: int, temperature: float = 1.0) -> Codes:
        """The same, of one of `classes`."""
        raise NotImplementedError(f"a {type(self).__name__} knows no classes")

    def log_prob_of_classes(self, z: Codes) -> Float[Tensor, "batch classes"]:
        """``log p(z | c)`` of each code given each of `classes`, in nats."""
        raise NotImplementedError(f"a {type(self).__name__} knows no classes")

    def follow(self, posterior: Callable[[Any], Any], shape: tuple[int, ...], peak: float) -> None:
        """Hear of the model that it is trained with: its q(z | x), and its inputs' shape and peak.

        The peak is infinite where inputs have no bounds. Only a prior made of posteriors listens.
        """

    def initialise(self, data: TrainingData) -> None:
        """Set what follows from the training data, before the first step with a model."""

    def fit(self, codes: Codes, labels: Labels | None = None, *, seed: int = 0) -> None:
        """Fit it to codes, and their labels where there are classes; here there is nothing to."""

    def tensors(self) -> dict[str, Tensor]:
        """All that defines it, by name."""
        return dict(self.state_dict())

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], code_size: int) -> "Prior":
        """The inverse of `tensors`.

        Raises:
            RuntimeError: they are those of another prior.
        """
        prior = cls(code_size)
        prior.load_state_dict(dict(tensors))
        return prior
