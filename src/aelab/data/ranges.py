"""The preparation that follows from stored values: their type's range, or the range found."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from aelab.data.preparation import prepare
from aelab.data.specs import Columns, Dtype, InputSpec
from aelab.data.splits import Index, Part
from aelab.files import InputError
from aelab.settings import DataSettings

FULL: dict[torch.dtype, tuple[Dtype, float]] = {
    torch.uint8: ("uint8", 255.0),
    torch.uint16: ("uint16", 65535.0),
}
"""Types whose range counts, from 0 on."""

PART: dict[torch.dtype, int] = {torch.uint8: 1, torch.uint16: 2**14 - 1}
"""Training values up to this, and no greater ones, use a part of their type's range: bytes of
nothing but 0 and 1, as masks are, and 14 bits or fewer in 16, as cameras and scanners have."""

VALUES = 2**24
"""Values looked at in one go."""

UNLIKE = 10
"""Columns are of unlike scales where all values together range over more than so many times what
one of them does."""

MARGIN = 32
"""Of so many columns or more, the tenth that vary least is not asked: a picture's margin."""

ROUNDING, UNITS = 1e-13, 8
"""A column does not vary if its range is no more than this share of its largest value, or than so
many units in the last place."""

LARGEST = float(np.finfo(np.float32).max)

SHOWN = 8
"""Columns that a note names."""

Splits = Mapping[str, tuple[Part, Index]]
Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Extremes = tuple[Numbers, Numbers]
"""The least and the largest of each value of an example."""


def values_spec(settings: DataSettings, splits: Splits) -> tuple[InputSpec, list[str]]:
    """How values are prepared, and notes on what was found.

    Integers of 8 and 16 bits are divided by the largest there is, of their type or of the part of
    it that they use. The range of other numbers is that of the training examples: ``x = (stored -
    low) / (high - low)``; columns of features that are of unlike scales are standardised, each by
    itself. `settings.range` stands before all of that. x is times 255 `settings.scale`, unless
    standardised.

    Raises:
        InputError: the training examples are all of one value, or some value is not finite.
    """
    part, index = splits["train"]
    if settings.range is None and part.values.dtype in FULL:
        high, notes = used_range(part.values, index)
        return ranged(settings, part.values, 0.0, high), notes
    found = {split: extremes(settings.name, part.values, i) for split, (part, i) in splits.items()}
    if settings.range is None:
        spec, notes = found_range(settings, splits["train"], *found["train"])
    else:
        spec, notes = asked_range(settings, part.values, found, *settings.range)
    for lows_and_highs in found.values():
        refuse_beyond(settings.name, spec, part.values.dtype, lows_and_highs)
    return spec, notes


def ranged(
    settings: DataSettings, values: Shaped[Tensor, "n *shape"], low: float, high: float
) -> InputSpec:
    """``x = (stored - low) / (high - low)``, times 255 `settings.scale`."""
    scale, dtype = settings.scale * (255 / (high - low)), FULL.get(values.dtype, ("float32", 0))[0]
    return InputSpec(tuple(values.shape[1:]), scale, low=low, high=high, dtype=dtype)


def asked_range(
    settings: DataSettings,
    values: Shaped[Tensor, "n *shape"],
    found: Mapping[str, Extremes],
    low: float,
    high: float,
) -> tuple[InputSpec, list[str]]:
    """The preparation by a range that is given."""
    dtype, largest = FULL.get(values.dtype, ("float32", math.inf))
    if values.dtype in FULL and not 0 <= low < high <= largest:
        raise InputError(
            f"{settings.name} holds {dtype}, of 0 to {largest:g}; the range from {low:g} to "
            f"{high:g} goes beyond that"
        )
    least = min(lows.min() for lows, _ in found.values())
    most = max(highs.max() for _, highs in found.values())
    notes = [f"x counts from {low:g} to {high:g}, as asked for"]
    if least < low or most > high:
        notes.append(f"values go from {least:g} to {most:g}, beyond the range that is asked for")
    return ranged(settings, values, float(low), float(high)), notes


def used_range(values: Shaped[Tensor, "n *shape"], index: Index) -> tuple[float, list[str]]:
    """The largest value that integers of a type are divided by, and a note if it is not its own."""
    full, most = FULL[values.dtype][1], 0
    for _, some in chunks(values, index):
        most = max(most, int(some.max()))
        if most > PART[values.dtype]:
            return full, []
    if most == 0:
        return full, []
    high = 2 ** most.bit_length() - 1
    return float(high), [
        f"training values go up to {most:,} of {full:,.0f} that their type holds, and are taken "
        f"for numbers of 0 to {high:,}: x = value / {high}; --range 0 {full:g} takes the type's own"
    ]


def found_range(
    settings: DataSettings, train: tuple[Part, Index], lows: Numbers, highs: Numbers
) -> tuple[InputSpec, list[str]]:
    """The preparation by the range of the training values, or of each of their columns."""
    name, values = settings.name, train[0].values
    low, high = float(lows.min()), float(highs.max())
    if low == high:
        raise InputError(f"{name}: all training values are {low:g}; there is nothing to learn")
    if max(-low, high) > LARGEST:
        raise InputError(
            f"{name}: training values lie between {low:g} and {high:g}, and float32 holds no more "
            f"than {LARGEST:.2g}; divide them by some number"
        )
    if values.ndim == 2 and unlike(lows, highs, varying := vary(lows, highs, values)):
        return standardised(settings, *train, varying)
    note = f"training values lie between {low:g} and {high:g}"
    return ranged(settings, values, low, high), [f"{note}; errors are in units of that range"]


def vary(lows: Numbers, highs: Numbers, values: Shaped[Tensor, "n features"]) -> Flags:
    """Which columns vary by more than rounding."""
    unit = torch.finfo(values.dtype).eps if values.is_floating_point() else 0.0
    least = max(ROUNDING, UNITS * unit) * np.maximum(np.abs(lows), np.abs(highs))
    return np.asarray(highs - lows > least)


def unlike(lows: Numbers, highs: Numbers, varying: Flags) -> bool:
    """Whether columns are of unlike scales, so that one range for all would leave some unseen.

    >>> everything = np.ones(2, dtype=bool)
    >>> unlike(np.array([0.0, 0.0]), np.array([1.0, 5.0]), everything)
    False
    >>> unlike(np.array([0.0, 100.0]), np.array([1.0, 101.0]), everything)
    True
    """
    spreads = np.sort((highs - lows)[varying])
    if not len(spreads):
        return False
    least = spreads[len(spreads) // 10 if len(spreads) >= MARGIN else 0]
    return bool(highs.max() - lows.min() > UNLIKE * least)


def standardised(
    settings: DataSettings, part: Part, index: Index, varying: Flags
) -> tuple[InputSpec, list[str]]:
    """Columns of features, each with the mean and the deviation of its training values."""
    mean = sum(some.sum(0, dtype=np.float64) for _, some in chunks(part.values, index)) / len(index)
    squares = (((some - mean) ** 2).sum(0) for _, some in chunks(part.values, index))
    std = np.where(varying, np.sqrt(sum(squares) / len(index)), 1.0)
    std = np.where(std > 0, std, 1.0)  # squares of values of 1e-200 are 0
    names = tuple(map(str, range(len(mean))))
    columns = Columns(names, tuple(mean.tolist()), tuple(std.tolist()), numbered=True)
    still = [name for name, varies in zip(names, varying, strict=True) if not varies]
    notes = [
        f"the {len(names)} columns are of unlike scales (standard deviations from "
        f"{std[varying].min():.3g} to {std[varying].max():.3g}), so that each is standardised by "
        f"itself; --range LOW HIGH takes one range for all"
    ]
    if still:
        shown = ", ".join(still[:SHOWN]) + (" and more" if len(still) > SHOWN else "")
        notes.append(f"columns that do not vary, counted from 0: {shown}")
    return InputSpec((len(names),), 1.0, dtype="float32", columns=columns), notes


def refuse_beyond(name: str, spec: InputSpec, dtype: torch.dtype, found: Extremes) -> None:
    """Raise InputError if the largest of values, prepared, is more than float32 holds."""
    if not prepare(torch.from_numpy(np.stack(found)).to(dtype), spec).isfinite().all():
        raise InputError(
            f"{name}: values go from {found[0].min():g} to {found[1].max():g}, too far beyond the "
            f"training values; leave out the examples that hold them"
        )


def extremes(name: str, values: Shaped[Tensor, "n *shape"], index: Index) -> Extremes:
    """The least and the largest of each value of an example, all of which must be finite."""
    found = []
    for i, some in chunks(values, index):
        least, largest = some.min(0), some.max(0)
        if not np.isfinite([least, largest]).all():
            wrong = ~np.isfinite(some).reshape(len(i), -1).all(1)
            raise InputError(
                f"{name}: example {i[wrong.argmax()]} holds a value that is not finite; leave it "
                f"out"
            )
        found.append((least, largest))
    lows, highs = zip(*found, strict=True)
    return np.min(lows, 0).astype(np.float64), np.max(highs, 0).astype(np.float64)


def chunks(
    values: Shaped[Tensor, "n *shape"], index: Index
) -> Iterator[tuple[Index, NDArray[Any]]]:
    """Numbers of some examples and their values, so many at a time as memory is meant for."""
    stored, size = values.numpy(), max(1, math.prod(values.shape[1:]))
    step = max(1, VALUES // size)
    for start in range(0, len(index), step):
        some = index[start : start + step]
        yield some, stored[some]
