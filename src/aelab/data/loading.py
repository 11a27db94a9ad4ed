"""Data sets by name or path: ``load("fashion-mnist")``, ``load("photos/")``."""

import os
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from aelab.data.compressed import inner_suffix
from aelab.data.dataset import Dataset
from aelab.data.dialect import TABLE_SUFFIXES
from aelab.files import InputError
from aelab.settings import IN_MEMORY, DataSettings

# name: module and function that load it. Import paths, so that listing names imports no torch.
LOADERS = {
    "fashion-mnist": "aelab.data.idx_files:load",
    "mnist": "aelab.data.idx_files:load",
    "kmnist": "aelab.data.idx_files:load",
    "cifar10": "aelab.data.cifar:load",
    "cora": "aelab.data.graphs:load_settings",
    "citeseer": "aelab.data.graphs:load_settings",
    "pubmed": "aelab.data.graphs:load_settings",
    "karate": "aelab.data.graphs:load_settings",
    "digits": "aelab.data.digits:load",
}
EDGE_LIST = "aelab.data.graphs:load_settings"
FOLDER = "aelab.data.folders:load"
ARRAY = "aelab.data.arrays:load"
SOUND = "aelab.data.sounds:load"
TABLE = "aelab.data.table_rows:load"

FORMATS = {
    **dict.fromkeys(TABLE_SUFFIXES, TABLE),
    **dict.fromkeys((".edges", ".edgelist", ".mtx"), EDGE_LIST),
    ".npy": ARRAY,
    ".npz": ARRAY,
    ".wav": SOUND,
}
"""What loads a file, by its suffix. A table is an edge list where its rows are edges."""

USUAL_EDGES = (".txt",)
"""What is an edge list unless its rows are said to be inputs; other tables are inputs."""

MEANT_FOR = {
    "range": {ARRAY: "arrays", FOLDER: "folders of images", SOUND: "sounds"},
    "signal": {ARRAY: "arrays"},
    "volume": {ARRAY: "arrays", FOLDER: "folders of TIFF files"},
    "window": {SOUND: "sounds"},
    "columns": {TABLE: "tables of inputs"},
    "leave_out": {TABLE: "tables of inputs"},
    "label": {TABLE: "tables of inputs"},
    "impute": {TABLE: "tables of inputs"},
    "missing": {TABLE: "tables of inputs"},
    "header": {TABLE: "tables of inputs"},
    "no_header": {TABLE: "tables of inputs"},
    "decimal": {TABLE: "tables of inputs"},
    "missing_values": {TABLE: "tables of inputs"},
    "size": {FOLDER: "folders of images"},
    "grayscale": {FOLDER: "folders of images"},
    "group_by": {TABLE: "tables of inputs", FOLDER: "folders of images"},
    "split_by": {TABLE: "tables of inputs"},
}
"""Settings that mean something to some loaders only, and what these load."""

ARRAY_SUFFIXES = tuple(suffix for suffix, loader in FORMATS.items() if loader == ARRAY)


def load(
    data: object = "fashion-mnist",
    *,
    labels: object = None,
    data_dir: str | Path | None = None,
    seed: int = 0,
    **settings: Any,  # noqa: ANN401
) -> Dataset:
    """Load the data set of that name, what is at that path, or the inputs in an array or tensor.

    `data_dir` is the first folder where a named data set's files are looked for. `settings` are
    as in `aelab.settings.DataSettings`; the edges of a graph are split by `seed`. `labels` are
    the classes of the inputs of an array; files have theirs in them.

    >>> load("digits").spec.shape
    (1, 8, 8)

    Raises:
        InputError: there is no such data set, or a file or an array cannot be used.
        MissingFileError: its files are nowhere to be found.
    """
    if not isinstance(data, str | Path):
        return load_array(data, DataSettings(IN_MEMORY, **settings), labels)
    if labels is not None:
        raise InputError(f"labels are for an array in memory; {data} has its own")
    return load_settings(DataSettings(str(data), **settings), data_dir, seed=seed)


def load_array(data: object, settings: DataSettings, labels: object = None) -> Dataset:
    """The data set of an array or a data frame in memory, prepared as the settings say."""
    if is_frame(data):
        from aelab.data.table_rows import from_frame

        if labels is not None:
            raise InputError("labels are for an array; name the column of a data frame with label")
        return narrowed(from_frame(data, settings), settings)
    from aelab.data.arrays import from_memory

    refuse_meaningless(settings, ARRAY)
    return narrowed(from_memory(data, labels, settings), settings)


def is_frame(data: object) -> bool:
    """Whether data are a data frame: any that can be had as Arrow's, as pandas' and polars' can."""
    return hasattr(data, "__arrow_c_stream__")


def load_object(data: object, chosen: Mapping[str, Any]) -> tuple[Dataset, DataSettings]:
    """The data set of an array, or that is one already, and the settings that are recorded of it.

    `chosen` are the settings that were asked for.

    Raises:
        InputError: it is neither an array nor a data set, or is loaded, and a setting too late.
    """
    if not isinstance(data, Dataset):
        settings = DataSettings(IN_MEMORY, **chosen)
        return load_array(data, settings), settings
    if late := chosen.keys() - {"classes", "binarise", "condition"}:
        raise InputError(
            f"{data.name} is loaded already; give {', '.join(sorted(late))} to aelab.load_data"
        )
    settings = DataSettings(data.name, **chosen)
    return narrowed(data, settings), settings


def load_settings(
    settings: DataSettings, data_dir: str | Path | None = None, *, seed: int = 0
) -> Dataset:
    """Load what the settings name, as `load` does."""
    place = LOADERS.get(settings.name) or loader_of(settings)
    refuse_meaningless(settings, place)
    module, function = place.split(":")
    loader = getattr(import_module(module), function)
    folder = None if data_dir is None else Path(data_dir)
    dataset: Dataset = loader(settings, folder, seed)
    return narrowed(dataset, settings)


def refuse_meaningless(settings: DataSettings, loader: str) -> None:
    """Raise InputError for a setting that the data would not heed, or two ways to split."""
    if settings.group_by is not None and settings.split_by is not None:
        raise InputError("group-by draws whole groups, and split-by cuts an order: leave one out")
    for name, loaders in MEANT_FOR.items():
        if getattr(settings, name) and loader not in loaders:
            raise InputError(
                f"{name.replace('_', '-')} is for {' and '.join(loaders.values())}, which "
                f"{settings.name} is not: leave it out"
            )


def narrowed(data: Dataset, settings: DataSettings) -> Dataset:
    """The data with the settings' classes only, or telling them; binarised if they say so."""
    if settings.classes is not None:
        data = only_classes(data, settings.classes)
    if settings.condition is not None:
        data = with_classes(data, settings.label)
    return data.binarised() if settings.binarise else data


def with_classes(data: Dataset, label: str | None) -> Dataset:
    """The data, whose models are told the class of each input; of a table, in column `label`."""
    from aelab.data.input_sets import InputDataset

    if not isinstance(data, InputDataset):
        raise InputError(f"{data.name} is a graph, whose nodes have no classes to tell a model")
    return data.with_classes(label)


def only_classes(data: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The images of these classes, the others set aside as anomalies."""
    from aelab.data.input_sets import InputDataset

    if not isinstance(data, InputDataset):
        raise InputError(f"{data.name} is no set of images: it has no classes to choose from")
    return data.only(classes)


def settled(settings: DataSettings, kind: Literal["edges", "inputs"]) -> DataSettings:
    """The settings to record: paths from wherever one stands, and what a table's rows are.

    `kind` is what the model takes, for rows that are not said to be either.
    """
    if settings.name in LOADERS:
        return settings
    name, features = absolute(settings.name), settings.features and absolute(settings.features)
    rows = settings.rows
    either = (*TABLE_SUFFIXES, *([".npy"] if kind == "edges" else []))
    if rows is None and inner_suffix(Path(name)) in either:
        rows = kind
    return replace(settings, name=name, features=features, rows=rows)


def absolute(path: str) -> str:
    """A path from wherever one stands; what is no file's or folder's is left as it is."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def loader_of(settings: DataSettings) -> str:
    """Module and function that load the path in `settings`, by its suffix or what is in it."""
    if settings.name == IN_MEMORY:
        raise InputError("the data were an array in memory, and are in no file: give the array")
    path = Path(settings.name)
    suffix = inner_suffix(path)
    if path.is_dir():
        return loader_of_folder(path)
    if suffix in FORMATS:
        loader = FORMATS[suffix]
        if settings.rows == "edges" and suffix == ".npy":
            return EDGE_LIST
        graph = settings.bipartite or settings.plain_edges or settings.features is not None
        rows = settings.rows or ("edges" if graph or suffix in USUAL_EDGES else "inputs")
        return EDGE_LIST if loader == TABLE and rows == "edges" else loader
    close = get_close_matches(settings.name, LOADERS, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    if path.is_file():
        meant = "; for a file of an image or a sound, give the folder that it is in"
    raise InputError(
        f"no data set {settings.name!r} (there is {', '.join(LOADERS)}, or the path of a folder of "
        f"images or sounds, of an array ending in {', '.join(ARRAY_SUFFIXES)}, or of a table or a "
        f"graph ending in {', '.join(s for s in FORMATS if s not in ARRAY_SUFFIXES)}, as text "
        f"packed with .gz or not){meant}"
    )


def loader_of_folder(folder: Path) -> str:
    """What loads a folder: of arrays, with a table called train, or of images or sounds."""
    if any(folder.glob("*.npy")):
        return ARRAY
    if any(inner_suffix(path) in TABLE_SUFFIXES for path in folder.glob("train.*")):
        return TABLE
    return SOUND if holds_sounds(folder) else FOLDER


def holds_sounds(folder: Path) -> bool:
    """Whether most files below a folder are sounds."""
    suffixes = [Path(name).suffix.lower() for *_, names in os.walk(folder) for name in names]
    return 2 * suffixes.count(".wav") > len(suffixes)
