"""Splits of data that a user brings: her own, or drawn by a fixed seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from numpy.typing import NDArray
from torch import Tensor

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.files import InputError

NAMES = ("train", "validation", "test")
ALIASES = {"val": "validation", "valid": "validation"}
ALL = "all"
"""The one part of data without splits, and the one class of data without classes."""

SEED = 0
HELD_OUT = 10  # one example in ten for validation, and one in ten for the test

Index = NDArray[np.int64]


def split_named(name: str) -> str:
    """The split that a folder or file called `name` holds; nothing if it is no split's name."""
    name = ALIASES.get(name.lower(), name.lower())
    return name if name in NAMES else ""


@dataclass(frozen=True, eq=False)
class Part:
    """Examples as they are stored: all that there are, or those of one split.

    >>> divide({ALL: Part(torch.zeros(10, 3), one_class(10))}, "mine")[1]
    '8 train, 1 validation, 1 test; validation and test drawn by a fixed seed'
    """

    values: Shaped[Tensor, "n *shape"]
    labels: Int64[Tensor, " n"]


Parts = Mapping[str, Part]
"""Of data with splits of their own, `train` and maybe `validation` and `test`; else one, ALL."""


def divide(parts: Parts, name: str) -> tuple[dict[str, tuple[Part, Index]], str]:
    """Which examples of which part each split has, and a note on what was drawn.

    A split that the data lack is drawn from `train`: stratified, one example in ten, by a fixed
    seed, whatever the run's.

    Raises:
        InputError: there are too few examples.
    """
    source = "train" if "train" in parts else ALL
    if source not in parts:
        raise InputError(f"{name} has {', '.join(parts)}, but no split train; name its part train")
    missing = [split for split in NAMES[1:] if split not in parts]
    part = parts[source]
    if len(part.values) <= len(missing):
        raise InputError(
            f"{name} holds only {len(part.values)} to train on; it takes at least "
            f"{len(missing) + 1}: one each for train, {' and '.join(missing)}"
        )
    drawn = held_out(part.labels.numpy(), missing)
    splits = {split: (part, index) for split, index in drawn.items()}
    splits |= {s: (p, np.arange(len(p.values))) for s, p in parts.items() if s != source}
    sizes = ", ".join(f"{len(splits[split][1]):,} {split}" for split in NAMES)
    how = f"; {' and '.join(missing)} drawn by a fixed seed" if missing else ", as given"
    return {split: splits[split] for split in NAMES}, f"{sizes}{how}"


def held_out(labels: NDArray[np.int64], missing: Sequence[str]) -> dict[str, Index]:
    """Draw the splits in `missing`, one example in ten each; the rest are `train`.

    Classes keep their shares, to one example: those of a class stand together in a random order,
    and every tenth is drawn.
    """
    order = np.random.default_rng(SEED).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    step = min(HELD_OUT, len(labels))
    place = np.arange(len(labels)) % step
    taken = {split: place == number * (step // 2) for number, split in enumerate(missing)}
    rest = ~np.logical_or.reduce([np.zeros(len(labels), dtype=bool), *taken.values()])
    return {split: np.sort(order[mask]) for split, mask in {"train": rest, **taken}.items()}


def assemble(
    name: str,
    splits: Mapping[str, tuple[Part, Index]],
    spec: InputSpec,
    classes: tuple[str, ...],
    sha256: str,
    notes: Sequence[str],
) -> InputDataset:
    """The data set of these splits."""
    images = {
        split: InputSplit(part.values, part.labels, torch.from_numpy(index), spec)
        for split, (part, index) in splits.items()
    }
    return InputDataset(name, images, classes, sha256, tuple(notes))


def class_numbers(of_each: NDArray[Any]) -> tuple[tuple[str, ...], Int64[Tensor, " n"]]:
    """The classes, in the order of their numbers or names, and each example's number."""
    classes, numbers = np.unique(of_each, return_inverse=True)
    return tuple(str(c) for c in classes), torch.from_numpy(numbers.astype(np.int64))


def with_classes(
    values: Mapping[str, Shaped[Tensor, "..."]], of_each: Mapping[str, NDArray[Any]]
) -> tuple[tuple[str, ...], dict[str, Part]]:
    """The classes, and the values of each part with theirs; one class where none are given."""
    if not of_each:
        return (ALL,), {part: Part(x, one_class(len(x))) for part, x in values.items()}
    classes, numbers = class_numbers(np.concatenate([of_each[part] for part in values]))
    labels = numbers.split([len(x) for x in values.values()])
    return classes, dict(zip(values, map(Part, values.values(), labels), strict=True))


def one_class(n: int) -> Int64[Tensor, " n"]:
    """Labels of examples without classes."""
    return torch.zeros(n, dtype=torch.int64)
