"""Splits of data that a user brings: her own, drawn by a fixed seed, or cut from an order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
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


@dataclass(frozen=True, eq=False)
class By:
    """What decides the splits besides chance: groups that stay whole, or an order.

    >>> by = By("column year", {ALL: np.arange(2001, 2011)}, ordered=True)
    >>> divide({ALL: Part(torch.zeros(10, 3), one_class(10))}, "mine", by)[1]
    '8 train, 1 validation, 1 test; in the order of column year: train up to 2008, validation from
    2009 to 2009, test from 2010'
    """

    what: str
    """In words."""

    of_each: Mapping[str, NDArray[Any]]
    """The group, or the place in the order, of each example of each part."""

    ordered: bool = False


def divide(
    parts: Parts, name: str, by: By | None = None
) -> tuple[dict[str, tuple[Part, Index]], str]:
    """Which examples of which part each split has, and a note on what was drawn.

    A split that the data lack is drawn from `train`: stratified, one example in ten, by a fixed
    seed, whatever the run's. By groups, whole ones are drawn; by an order, the last are taken.

    Raises:
        InputError: there are too few examples or groups, a group is in two of the data's own
            splits, or there is nothing to cut from an order.
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
    if by is None:
        drawn = held_out(part.labels.numpy(), missing)
        told = f"; {' and '.join(missing)} drawn by a fixed seed" if missing else ", as given"
    elif by.ordered:
        drawn, told = cut(by, source, missing, name)
    else:
        drawn, told = whole_groups(by, source, missing, name)
    splits = {split: (part, index) for split, index in drawn.items()}
    splits |= {s: (p, np.arange(len(p.values))) for s, p in parts.items() if s != source}
    sizes = ", ".join(f"{len(splits[split][1]):,} {split}" for split in NAMES)
    return {split: splits[split] for split in NAMES}, f"{sizes}{told}"


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


def whole_groups(
    by: By, source: str, missing: Sequence[str], name: str
) -> tuple[dict[str, Index], str]:
    """Draw the splits in `missing` in whole groups, about one example in ten each; and a note."""
    groups, group, sizes = np.unique(by.of_each[source], return_inverse=True, return_counts=True)
    if len(groups) <= len(missing):
        raise InputError(
            f"{name} has only {len(groups)} group{'s' if len(groups) > 1 else ''} by {by.what}; it "
            f"takes at least {len(missing) + 1}: one each for train, {' and '.join(missing)}"
        )
    taken = draw_groups(sizes, missing)
    index = {split: np.flatnonzero(np.isin(group, of)) for split, of in taken.items()}
    names = {split: set(map(str, groups[of])) for split, of in taken.items()}
    others = {split: set(map(str, np.unique(of))) for split, of in by.of_each.items()}
    names |= {split: of for split, of in others.items() if split != source}
    for one, other in combinations(NAMES, 2):
        if shared := names[one] & names[other]:
            raise InputError(
                f"{name}: by {by.what}, the group {min(shared)!r} is in {one} and in {other}; mend "
                f"these splits, or leave {other} out to have it drawn"
            )
    counted = ", ".join(f"{len(names[split]):,} {split}" for split in NAMES)
    how = f", {' and '.join(missing)} drawn whole by a fixed seed" if missing else ", as given"
    return index, f"; groups by {by.what}: {counted}{how}"


def draw_groups(sizes: Index, missing: Sequence[str]) -> dict[str, Index]:
    """The groups of each split, of groups of these sizes.

    In a random order, each is taken that brings a split nearer to a tenth of the examples; the
    smallest, if none does. One at least is left for each split to come, and for `train`.
    """
    remaining = list(np.random.default_rng(SEED).permutation(len(sizes)))
    target = sizes.sum() / HELD_OUT
    taken: dict[str, Index] = {}
    for needed, split in zip(range(len(missing), 0, -1), missing, strict=True):
        chosen, total = [], 0
        for group in list(remaining):
            nearer = abs(total + sizes[group] - target) < abs(total - target)
            if nearer and len(remaining) > needed:
                chosen.append(group)
                remaining.remove(group)
                total += sizes[group]
        if not chosen:
            chosen = [min(remaining, key=lambda group: sizes[group])]
            remaining.remove(chosen[0])
        taken[split] = np.array(chosen)
    return {"train": np.array(remaining), **taken}


def cut(by: By, source: str, missing: Sequence[str], name: str) -> tuple[dict[str, Index], str]:
    """Cut the splits in `missing` off the end of an order, a tenth each; and a note."""
    if not missing:
        raise InputError(f"{name} has splits of its own: leave split-by out")
    values = by.of_each[source]
    order = np.argsort(values, kind="stable")
    tenth = max(1, len(order) // HELD_OUT)
    cuts = [len(order) - tenth * number for number in range(len(missing), 0, -1)]
    index = dict(zip(("train", *missing), np.split(order, cuts), strict=True))
    borders = []
    for split, rows in index.items():
        first, last = (told_place(values[row]) for row in (rows[0], rows[-1]))
        whole = {"train": f"up to {last}", missing[-1]: f"from {first}"}
        borders.append(f"{split} {whole.get(split, f'from {first} to {last}')}")
    told = f"; in the order of {by.what}: {', '.join(borders)}"
    if any(values[order[at - 1]] == values[order[at]] for at in cuts):
        told += "; equal ones stand on both sides of a border, in the order of the rows"
    return {split: np.sort(rows) for split, rows in index.items()}, told


def told_place(value: object) -> str:
    """A place in an order, for people.

    >>> told_place(np.datetime64("2026-03-01T00:00:00", "ns")), told_place(np.float64(2.5))
    ('2026-03-01', '2.5')
    """
    if isinstance(value, np.datetime64):
        return str(np.datetime_as_string(value, unit="auto"))
    return str(value)


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
