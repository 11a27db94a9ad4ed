"""A loader for the tests' own data set; what it loads is set by a fixture."""

from dataclasses import replace
from pathlib import Path

from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.settings import DataSettings

DATASET: InputDataset | None = None


def load(settings: DataSettings, data_dir: Path | None, seed: int) -> InputDataset:
    assert DATASET is not None
    spec = InputSpec(DATASET.spec.shape, settings.scale)
    splits = {name: replace(images, spec=spec) for name, images in DATASET.splits.items()}
    return replace(DATASET, splits=splits)
