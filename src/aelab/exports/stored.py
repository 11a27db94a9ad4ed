"""Stored values in and out of a model by operations alone, for runtimes that have no aelab.

Columns of words come as the places of their words, as `data.words` has them: a number a column.
"""

import math

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor, nn

from aelab.data.batch import Batch
from aelab.data.preparation import moments, prepare, restore, unknown
from aelab.data.specs import Block, Columns, InputSpec
from aelab.data.words import as_codes

Refused = Bool[Tensor, " batch"]
"""Inputs that aelab would take for none: not finite, a gap where none may be, or no word's place.
Their outputs are NaN."""


class StoredInputs(nn.Module):
    """From inputs as they are stored to what a model is given, as `data.preparation` has it.

    >>> spec = InputSpec((2,), 1.0, dtype="float32")
    >>> x, refused = StoredInputs(spec)(torch.tensor([[1.0, 2.0], [1.0, torch.nan]]).double())
    >>> x.x[0], refused
    (tensor([1., 2.]), tensor([False,  True]))
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec
        self.rows = None if spec.columns is None else StoredRows(spec.columns)

    def forward(
        self, stored: Shaped[Tensor, "batch *shape"], label: Int64[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch *values"], Refused]:
        """The batch, told its classes if there are any; and what of it is refused."""
        if self.rows is not None:
            x, present, refused = self.rows(stored)
        else:
            x, present = prepare(stored, self.spec), None
            refused = (~x.isfinite()).flatten(1).any(1)
        if label is not None:
            label = self.known(label)
        return Batch(x, present=present, labels=label), refused

    def known(self, label: Int64[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
        """The classes; a number that is none's is an error of whatever runs it."""
        count = len(self.spec.classes)
        numbers = torch.arange(count, device=label.device)
        return numbers[torch.where(label < 0, count, label)]  # negative places would count back


class StoredRows(nn.Module):
    """Rows of a table as numbers, a column each: standardised, and words one-hot.

    >>> columns = Columns(("cm", "eyes"), (170.0, 0.0), (10.0, 1.0), words=((), ("blue", "brown")))
    >>> x, present, refused = StoredRows(columns)(torch.tensor([[180.0, 1.0], [170.0, 2.0]]))
    >>> x, refused
    (tensor([[1., 0., 1.],
            [0., 0., 0.]]), tensor([False,  True]))
    """

    mean: Tensor
    std: Tensor
    unknown: Tensor
    last: Tensor
    has_words: Tensor

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self.columns = columns
        mean, std = moments(columns)
        counts = [len(block.words) or math.inf for block in columns.blocks]
        for name, values in {
            "mean": mean.clone(),
            "std": std.clone(),
            "unknown": unknown(columns).clone(),
            "last": torch.tensor(counts, dtype=torch.float64) - 1,
            "has_words": torch.tensor([bool(block.words) for block in columns.blocks]),
        }.items():
            self.register_buffer(name, values, persistent=False)

    def forward(
        self, stored: Float[Tensor, "batch columns"]
    ) -> tuple[Float[Tensor, "batch values"], Bool[Tensor, "batch values"] | None, Refused]:
        """x; which of its values are known, where the model is shown that; what is refused."""
        stored = stored.double()
        no_word = (stored < 0) | (stored > self.last) | (stored.floor() < stored)
        wrong = stored.isinf() | (no_word & self.has_words)
        if not self.columns.may_lack:
            wrong = wrong | stored.isnan()
        values = torch.cat([self.expanded(stored, *of) for of in enumerate(self.columns.blocks)], 1)
        missing = values.isnan()
        x = torch.where(missing, self.unknown, (values - self.mean) / self.std).float()
        return x, ~missing if self.columns.mask else None, wrong.any(1)

    def expanded(
        self, stored: Float[Tensor, "batch columns"], place: int, block: Block
    ) -> Float[Tensor, "batch values"]:
        """The values that one column gives."""
        column = stored[:, place : place + 1]
        if block.kind != "words":
            return column
        places = torch.arange(len(block.words), dtype=stored.dtype, device=stored.device)
        return torch.where(column.isnan(), column, (column == places).to(stored))


class StoredOutputs(nn.Module):
    """From what a model puts out to values as they are stored, of words the likeliest's place.

    >>> StoredOutputs(InputSpec((2,)))(torch.tensor([[0.6, 2.0]]))
    tensor([[153, 255]], dtype=torch.uint8)
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec
        if spec.columns is not None:
            mean, std = moments(spec.columns)
            self.register_buffer("mean", mean.clone(), persistent=False)
            self.register_buffer("std", std.clone(), persistent=False)

    def forward(self, x: Float[Tensor, "batch *values"]) -> Shaped[Tensor, "batch *shape"]:
        """Rounded and clipped where values are stored as whole numbers."""
        if self.spec.columns is None:
            return restore(x.double() if self.spec.dtype == "float32" else x, self.spec)
        stored = x.double() * self.std + self.mean
        return as_codes(stored, self.spec.columns) if self.spec.columns.mixed else stored
