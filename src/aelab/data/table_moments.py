"""What the columns of a table become, by the training rows: standardised, or one-hot."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from aelab.data.specs import Columns
from aelab.data.splits import Index, Part
from aelab.data.table_files import listed
from aelab.data.words import Words, occurring, one_hot, recoded, told_unseen
from aelab.files import InputError
from aelab.settings import DataSettings

ROUNDING, SINGLE_ROUNDING = 1e-13, 5e-7
"""Of a column's largest value: a range below the first is the rounding of a constant, and so is one
below the second of a few different values: numbers that once were of single precision."""

FEW_VALUES = 5

FARTHEST = 1e15
"""Standard deviations from the mean: the squares of more have no sum in single precision."""

LOST = 1e-6
"""Of a column's deviation: where the middle half of its values is closer together than that, the
others cannot be told apart by a model, for a float32 has seven digits."""


def with_training_words(
    splits: Mapping[str, tuple[Part, Index]], names: Sequence[str], words: Words
) -> tuple[dict[str, tuple[Part, Index]], Words, list[str]]:
    """The splits by the words of the training rows alone, these, and a note on each other word.

    No model is trained on a word that only the other rows have: there it is missing.
    """
    if not any(words):
        return dict(splits), words, []
    part, index = splits["train"]
    trained = occurring(part.values[torch.from_numpy(index)], words)
    if trained == words:
        return dict(splits), words, []
    parts = {id(p): p for p, _ in splits.values()}
    known = {key: replace(p, values=recoded(p.values, words, trained)) for key, p in parts.items()}
    told = []
    for place, (name, before, after) in enumerate(zip(names, words, trained, strict=True)):
        if before != after:
            counts = {
                split: int(
                    (known[id(p)].values[i, place].isnan() & ~p.values[i, place].isnan()).sum()
                )
                for split, (p, i) in splits.items()
            }
            told.append(told_unseen(counts, set(before) - set(after), name))
    return {split: (known[id(p)], i) for split, (p, i) in splits.items()}, trained, told


def standardise(
    splits: Mapping[str, tuple[Part, Index]],
    names: tuple[str, ...],
    words: Words,
    settings: DataSettings,
) -> tuple[Columns, dict[str, tuple[Part, Index]], list[str]]:
    """Mean and standard deviation of each column over the training rows, and the columns that vary.

    Of words, which are made one-hot, these are 0 and 1.

    Raises:
        InputError: a column has no value in the training rows, or a value so far from the others
            that these would all be one; or no column varies.
    """
    part, index = splits["train"]
    values = part.values[torch.from_numpy(index)].numpy()
    means, deviations = moments_of(settings.name, names, values, index)
    for place, of_column in enumerate(words):
        if of_column:
            means[place], deviations[place] = 0.0, float(len(of_column) > 1)
    for split in splits.keys() - {"train"}:
        refuse_beyond(settings.name, names, splits[split], means, deviations)
    constant = [name for name, d in zip(names, deviations, strict=True) if d == 0]
    kept = [place for place, name in enumerate(names) if name not in constant]
    if not kept:
        raise InputError(f"{settings.name}: no column varies in the training rows")
    mean, std = (tuple(float(of[i]) for i in kept) for of in (means, deviations))
    some = tuple(words[i] for i in kept)
    columns = Columns(
        tuple(names[i] for i in kept),
        mean,
        std,
        settings.impute,
        words=some if any(some) else (),
        mask=settings.missing == "mask",
    )
    if not constant and not columns.mixed:
        return columns, dict(splits), []
    parts = {id(p): p for p, _ in splits.values()}
    made = {key: replace(p, values=one_hot(p.values[:, kept], columns)) for key, p in parts.items()}
    return columns, {split: (made[id(p)], i) for split, (p, i) in splits.items()}, constant


def told_words(columns: Columns) -> list[str]:
    """A sentence on the columns of words, and their words, if there are any."""
    told = [f"{block.name} ({listed(block.words)})" for block in columns.blocks if block.words]
    return [f"columns of words: {listed(told)}; one value a word"] if told else []


def moments_of(
    where: str, names: Sequence[str], values: NDArray[np.float64], rows: Index
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column's known values; 0, where they do not vary."""
    with np.errstate(over="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without a value are told below
        means, deviations = np.nanmean(values, 0), np.nanstd(values, 0)
    for place, name in enumerate(names):
        known = ~np.isnan(values[:, place])
        if not known.any():
            raise InputError(f"{where}: no value in any training row: {name}")
        column = values[known, place]
        largest = float(np.abs(column).max()) or 1.0
        scaled = column / largest
        if not np.isfinite(deviations[place]):  # squares of values of 1e200 have no float
            means[place], deviations[place] = scaled.mean() * largest, scaled.std() * largest
        extent = np.ptp(scaled)
        rounded = extent <= SINGLE_ROUNDING and len(np.unique(scaled)) <= FEW_VALUES
        if extent <= ROUNDING or rounded:
            deviations[place] = 0
        else:
            refuse_far(where, name, column, deviations[place], rows[known])
    return means, deviations


def refuse_beyond(
    where: str,
    names: Sequence[str],
    split: tuple[Part, Index],
    means: NDArray[np.float64],
    deviations: NDArray[np.float64],
) -> None:
    """Raise InputError if a row that is held out has a value that no model's arithmetic holds."""
    part, index = split
    for place, name in enumerate(names):
        column = part.values[torch.from_numpy(index), place].numpy()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            beyond = np.abs(column - means[place]) / deviations[place] > FARTHEST
        if deviations[place] and beyond.any():
            far = int(beyond.argmax())
            raise InputError(
                f"{where}: {column[far]:g} in row {index[far] + 1} of the column {name} is beyond "
                f"any arithmetic beside the others; mend it, leave the row out, or the column with "
                f"--leave-out {name}"
            )


def refuse_far(
    where: str, name: str, column: NDArray[np.float64], deviation: float, rows: Index
) -> None:
    """Raise InputError if a value makes a column so wide that its others would all be one."""
    low, middle, high = np.quantile(column, (0.25, 0.5, 0.75))
    if 0 < high - low < LOST * deviation:
        far = int(np.abs(column - middle).argmax())
        raise InputError(
            f"{where}: {column[far]:g} in row {rows[far] + 1} of the column {name} is so far from "
            f"the others that a model could not tell these apart; mend it, leave the row out, or "
            f"the column with --leave-out {name}"
        )
