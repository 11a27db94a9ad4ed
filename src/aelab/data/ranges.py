"""The preparation that follows from stored values: their type's range, or the range found."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Shaped
from torch import Tensor

from aelab.data.specs import Dtype, InputSpec
from aelab.data.splits import Index, Part
from aelab.files import InputError

FULL: dict[torch.dtype, tuple[Dtype, float]] = {
    torch.uint8: ("uint8", 255.0),
    torch.uint16: ("uint16", 65535.0),
}
"""Types whose whole range counts, from 0 on."""

VALUES = 2**24
"""Values looked at in one go."""


def values_spec(
    name: str, splits: Mapping[str, tuple[Part, Index]], scale: float
) -> tuple[InputSpec, list[str]]:
    """How values are prepared, and a note on a range that was found.

    Integers of 8 and 16 bits are divided by the largest there is. The range of other numbers is
    that of the training examples: ``x = (stored - low) / (high - low)``. All of it is times 255
    `scale`.

    Raises:
        InputError: the training examples are all of one value, or some value is not finite.
    """
    values = splits["train"][0].values
    shape = tuple(values.shape[1:])
    if values.dtype in FULL:
        dtype, high = FULL[values.dtype]
        return InputSpec(shape, scale * (255 / high), high=high, dtype=dtype), []
    ranges = {split: found_range(name, part.values, i) for split, (part, i) in splits.items()}
    low, high = ranges["train"]
    if low == high:
        raise InputError(f"{name}: all training values are {low:g}; there is nothing to learn")
    note = f"training values lie between {low:g} and {high:g}; x counts from the first to the last"
    spec = InputSpec(shape, scale * (255 / (high - low)), low=low, high=high, dtype="float32")
    return spec, [note]


def found_range(name: str, values: Shaped[Tensor, "n *shape"], index: Index) -> tuple[float, float]:
    """Least and largest value of the examples `index`, all of which must be finite."""
    size = max(1, math.prod(values.shape[1:]))
    low, high = math.inf, -math.inf
    for i in torch.from_numpy(index).split(max(1, VALUES // size)):
        some = values[i]
        least, largest = some.min().item(), some.max().item()
        if not math.isfinite(least + largest):
            bad = int(i[(~some.flatten(1).isfinite()).any(1).nonzero()[0, 0]])
            raise InputError(
                f"{name}: example {bad} holds a value that is not finite; leave it out"
            )
        low, high = min(low, least), max(high, largest)
    return low, high
