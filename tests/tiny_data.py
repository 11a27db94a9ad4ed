"""A loader for the tests' own data set; what it loads is set by a fixture."""

from dataclasses import replace
from pathlib import Path

import pytest

from aelab.data.input_sets import InputDataset
from aelab.data.loading import LOADERS
from aelab.data.specs import InputSpec
from aelab.settings import DataSettings

DATASET: InputDataset | None = None


def named_tiny(patch: pytest.MonkeyPatch, data: InputDataset) -> InputDataset:
    """Let the data be the data set ``tiny``, which settings and commands can name."""
    tiny = replace(data, name="tiny")
    patch.setattr("tiny_data.DATASET", tiny)
    patch.setitem(LOADERS, "tiny", "tiny_data:load")
    return tiny


def load(settings: DataSettings, data_dir: Path | None, seed: int) -> InputDataset:
    assert DATASET is not None
    spec = InputSpec(DATASET.spec.shape, settings.scale)
    splits = {name: replace(images, spec=spec) for name, images in DATASET.splits.items()}
    return replace(DATASET, splits=splits)
