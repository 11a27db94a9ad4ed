"""From stored values to inputs x and back, as an InputSpec says."""

from functools import lru_cache

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from aelab.data.specs import Columns, InputSpec

DTYPES = {"uint8": torch.uint8, "uint16": torch.uint16, "float32": torch.float32}


def prepare(
    stored: Shaped[Tensor, "batch *shape"], spec: InputSpec
) -> Float[Tensor, "batch *shape"]:
    """``x = scale * (stored - low)``; of a table's rows, ``x = (stored - mean) / std``.

    A missing value of a table, NaN, is taken to be the mean; none of the words, where these are
    one-hot; and halfway between false and true.
    """
    if spec.columns is None:
        values = stored.to(torch.promote_types(stored.dtype, torch.float32), copy=True)
        if spec.low:
            values -= spec.low
        values *= spec.scale
        return values.float()
    mean, std = moments(spec.columns)
    x = (stored.double() - mean.to(stored.device)) / std.to(stored.device)
    if not spec.columns.mixed:
        return x.nan_to_num(nan=0.0).float()
    return torch.where(x.isnan(), unknown(spec.columns).to(x.device), x).float()


def restore(x: Float[Tensor, "batch *shape"], spec: InputSpec) -> Shaped[Tensor, "batch *shape"]:
    """The inverse of `prepare`: values as they are stored, of their type.

    Integers are rounded, and clipped to the range from `low` to `high`.
    """
    if spec.columns is not None:
        mean, std = moments(spec.columns)
        return x.double() * std.to(x.device) + mean.to(x.device)
    stored = x / spec.scale + spec.low
    if spec.dtype == "float32":
        return stored
    return stored.round().clamp(spec.low, spec.high).to(DTYPES[spec.dtype])


@lru_cache(maxsize=8)
def moments(columns: Columns) -> tuple[Float[Tensor, " features"], Float[Tensor, " features"]]:
    """Mean and standard deviation of each value of an input, in double precision."""
    both = torch.tensor([columns.mean, columns.std], dtype=torch.float64)
    if columns.mixed:
        widths = torch.tensor([block.stop - block.start for block in columns.blocks])
        both = both.repeat_interleave(widths, 1)
    return both[0], both[1]


@lru_cache(maxsize=8)
def unknown(columns: Columns) -> Float[Tensor, " features"]:
    """What each value of an input is taken to be where its column's is missing."""
    values = torch.zeros(columns.size, dtype=torch.float64)
    for block in columns.blocks:
        if block.kind == "boolean":
            values[block.values] = 0.5
    return values
