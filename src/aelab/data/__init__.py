"""The data sets, by name: ``load("fashion-mnist")``."""

from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aelab.files import InputError
from aelab.settings import DataSettings

if TYPE_CHECKING:
    import aelab.data.images

# name: module and function that load it. Import paths, so that listing names imports no torch.
LOADERS = {
    "fashion-mnist": "aelab.data.fashion_mnist:load",
}


def load(
    name: str = "fashion-mnist",
    *,
    data_dir: str | Path | None = None,
    splits: Literal["standard", "original"] = "standard",
    scale: float = 1 / 255,
) -> "aelab.data.images.ImageDataset":
    """Load the data set called `name`, split and prepared as `aelab.settings.DataSettings` says.

    `data_dir` is the first folder where its files are looked for.

    Raises:
        InputError: there is no such data set, or a file of it is damaged.
        MissingFileError: its files are nowhere to be found.
    """
    return load_settings(DataSettings(name=name, splits=splits, scale=scale), data_dir)


def load_settings(
    settings: DataSettings, data_dir: str | Path | None = None
) -> "aelab.data.images.ImageDataset":
    """Load as `load` does, from settings in one piece."""
    if settings.name not in LOADERS:
        close = get_close_matches(settings.name, LOADERS, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"no data set {settings.name!r} (there is {', '.join(LOADERS)}){meant}")
    module, function = LOADERS[settings.name].split(":")
    loader = getattr(import_module(module), function)
    dataset: aelab.data.images.ImageDataset = loader(
        settings, None if data_dir is None else Path(data_dir)
    )
    return dataset
