"""Inputs of one's own data that are in two splits: told, for figures on them flatter."""

from pathlib import Path

from aelab.data.dataset import Dataset
from aelab.data.input_sets import InputDataset
from aelab.data.loading import FOLDER, LOADERS, TABLE, loader_of
from aelab.evaluate.audits import NEAR, exact_duplicates, near_duplicates
from aelab.files import InputError
from aelab.settings import DataSettings

QUICK_TRAINING = 20_000
"""Training images at most, for which near duplicates are looked for too."""

QUICK_PRODUCTS = 2e10
"""Of pixels, at most, that comparing every image with every training image takes: seconds."""


def leak_notes(settings: DataSettings, data: Dataset, split: str) -> list[str]:
    """How many inputs of a split are training inputs too, in a sentence; nothing if none are.

    Images are also held against near ones, where that is quick. Named data sets are as they were
    published, and studies tell it of them.
    """
    if settings.name in LOADERS or not isinstance(data, InputDataset) or split == "train":
        return []
    exact, near = exact_duplicates(data, split), 0
    work = len(data.split("train")) * len(data.split(split)) * data.spec.size
    quick = len(data.split("train")) <= QUICK_TRAINING and work <= QUICK_PRODUCTS
    if data.spec.kind == "images" and quick:
        near = max(0, near_duplicates(data, split) - exact)
    if not exact + near:
        return []
    kind = {"images": "images", "rows": "rows"}.get(data.spec.kind, "inputs")
    nearly = f", and {near:,} more nearly (MSE below {NEAR:g})" if near else ""
    return [
        f"{split} {kind} that are training {kind} too: {exact:,} of {len(data.split(split)):,} to "
        f"the byte{nearly}; figures on them look better than they are: {remedy(settings)}"
    ]


def remedy(settings: DataSettings) -> str:
    """What to do about inputs in two splits."""
    if settings.group_by is None and can_be_grouped(settings):
        return "keep what belongs together in one split with --group-by, or leave one of them out"
    return "leave one of them out"


def can_be_grouped(settings: DataSettings) -> bool:
    """Whether the data are of a kind that `group_by` is for."""
    try:
        return Path(settings.name).exists() and loader_of(settings) in (TABLE, FOLDER)
    except InputError:  # a data set that was given as an object has any name
        return False
