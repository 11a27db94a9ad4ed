"""What a model is given at a time: inputs, and what else is known of them."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


class Batch(Tensor):
    """Inputs x of some examples, and where the data have them, a mask, labels, a noise level.

    A batch is the tensor of its inputs, as a parameter of a network is the tensor of its values:
    every operation takes it, and gives plain tensors. So a model that needs the inputs alone
    needs to know nothing of batches, and takes a plain tensor as well.

    Args:
        x: The inputs ``[batch, ...]``, prepared.
        present: True where a value of x is known; None where all are.
        labels: Class number of each example.
        noise_level: Standard deviation of the noise in each example, in units of x.

    >>> batch = Batch(torch.zeros(2, 3), labels=torch.tensor([4, 1]))
    >>> batch.shape, batch.labels
    (torch.Size([2, 3]), tensor([4, 1]))
    >>> type(batch + 1).__name__
    'Tensor'
    """

    # As torch.nn.Parameter has it: what is computed from a batch is no batch.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    present: Bool[Tensor, "batch *shape"] | None
    labels: Int64[Tensor, " batch"] | None
    noise_level: Float[Tensor, " batch"] | None

    @staticmethod
    def __new__(
        cls: type["Batch"],
        x: Float[Tensor, "batch *shape"],
        *,
        present: Bool[Tensor, "batch *shape"] | None = None,
        labels: Int64[Tensor, " batch"] | None = None,
        noise_level: Float[Tensor, " batch"] | None = None,
    ) -> "Batch":
        """The inputs themselves, not a copy."""
        batch = traced(x) if isinstance(x, FakeTensor) else x.as_subclass(cls)
        batch.present, batch.labels, batch.noise_level = present, labels, noise_level
        return batch

    @classmethod
    def of(cls, x: Tensor) -> "Batch":
        """`x` if it is a batch, or else a batch of these inputs, of which nothing more is known."""
        return x if isinstance(x, cls) else cls(x)

    @property
    def x(self) -> Tensor:
        """The inputs, as a plain tensor."""
        if isinstance(self, FakeTensor):
            return alias(self)
        return self.as_subclass(Tensor)

    def at(self, i: "Tensor | slice") -> "Batch":
        """The examples `i`, and what is known of them.

        >>> Batch(torch.zeros(2, 3), labels=torch.tensor([4, 1])).at(torch.tensor([1])).labels
        tensor([1])
        """
        present, labels, noise_level = (
            None if known is None else known[i]
            for known in (self.present, self.labels, self.noise_level)
        )
        return Batch(self.x[i], present=present, labels=labels, noise_level=noise_level)

    def repeated(self, times: int) -> "Batch":
        """Each example so many times, one after another.

        >>> Batch(torch.zeros(2, 3), labels=torch.tensor([4, 1])).repeated(2).labels
        tensor([4, 4, 1, 1])
        """
        return self.at(torch.arange(self.shape[0], device=self.device).repeat_interleave(times))

    def with_inputs(self, x: Float[Tensor, "batch *shape"]) -> "Batch":
        """Other inputs, of which the same is known.

        >>> clean = Batch(torch.zeros(1, 2), labels=torch.tensor([3]))
        >>> clean.with_inputs(clean + 1).labels
        tensor([3])
        """
        return Batch(x, present=self.present, labels=self.labels, noise_level=self.noise_level)


class TracedBatch(Batch, FakeTensor):
    """A batch in `torch.export`, which follows what is done with tensors that hold no values.

    >>> from torch._subclasses.fake_tensor import FakeTensorMode
    >>> with FakeTensorMode():
    ...     isinstance(Batch(torch.zeros(2, 3)), TracedBatch)
    True
    """


def traced(x: FakeTensor) -> TracedBatch:
    """A tensor that is followed, as a batch."""
    # Its class is changed in place, for PyTorch makes no subclass of a tensor that it follows.
    batch = alias(x)
    batch.__class__ = TracedBatch
    assert isinstance(batch, TracedBatch)
    return batch


def alias(x: Tensor) -> Tensor:
    """The same values as another tensor, by an operation that is followed."""
    found: Tensor = torch.ops.aten.alias.default(x)
    return found
