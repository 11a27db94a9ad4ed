"""Arrays that users bring: in memory, or as ``.npy``, ``.npz``, or a folder of ``.npy`` files.

An ``.npz`` file and a folder of ``.npy`` files are read alike, by the names of the arrays: ``x``,
or ``x_train`` (or ``train``) with ``x_validation`` (``x_val``) and ``x_test`` if they are there;
classes in ``y``, or ``y_train`` and so on. Large arrays stay in their files.
"""

import hashlib
import lzma
import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from aelab.data import cache
from aelab.data.axes import (
    Asked,
    asked_for,
    described_shape,
    fitting_axes,
    place,
    refuse_shape,
    told_guess,
    usual_axes,
)
from aelab.data.input_sets import InputDataset
from aelab.data.ranges import values_spec
from aelab.data.splits import ALL, assemble, divide, split_named, with_classes
from aelab.files import InputError, MissingFileError, atomic_path
from aelab.settings import IN_MEMORY, DataSettings

MEMORY = DataSettings(IN_MEMORY)


def load(settings: DataSettings, data_dir: Path | None = None, seed: int = 0) -> InputDataset:
    """Load arrays, split by their names or by a fixed seed."""
    root = Path(settings.name)
    files = array_files(root)
    inputs, targets = roles(root, files)

    def read(name: str) -> NDArray[Any]:
        return open_array(files[name], f"{root}: {name}")

    asked = asked_for(settings)
    arrays = {part: read(name) for part, name in inputs.items()}
    values = {
        part: as_inputs(array, f"{root}: {inputs[part]}", asked=asked)
        for part, array in arrays.items()
    }
    shapes = {tuple(tensor.shape[1:]) for tensor in values.values()}
    if len(shapes) > 1 or len({tensor.dtype for tensor in values.values()}) > 1:
        raise InputError(f"{root}: the splits' arrays are of different shapes or types; {shapes}")
    labels = {p: read(name) for p, name in targets.items()}
    digests = cache.hashes(list(files.values()), root)
    sha256 = cache.key_of(dict(zip(files, digests, strict=True)))
    told = told_guess(next(iter(arrays.values())).shape[1:], asked)
    return from_values(settings, values, labels, sha256, told)


def from_memory(x: object, labels: object = None, settings: DataSettings = MEMORY) -> InputDataset:
    """The data set of an array or a tensor, split by a fixed seed as an ``.npy`` file is.

    `x` is as in `as_inputs`; `labels` are the class of each input, numbers or names. The values
    are not copied: to change them later is to change the data set.

    >>> from_memory(np.arange(800, dtype=np.uint8).reshape(50, 4, 4)).notes
    ('50 images of 4×4 with 1 channel, uint8; no classes; 40 train, 5 validation, 5 test;
    validation and test drawn by a fixed seed',)

    Raises:
        InputError: it is neither, or is no array of inputs, or the labels are not one for each.
    """
    array = as_array(x, "data")
    asked = asked_for(settings)
    values = {ALL: as_inputs(array, "data", asked=asked)}
    of_each = {} if labels is None else {ALL: np.asarray(labels)}
    told = repr((array.dtype.str, array.shape, [part.tolist() for part in of_each.values()]))
    digest = hashlib.sha256(told.encode())
    digest.update(np.ascontiguousarray(array).data)
    guess = told_guess(array.shape[1:], asked)
    return from_values(settings, values, of_each, digest.hexdigest(), guess)


def from_values(
    settings: DataSettings,
    values: Mapping[str, Shaped[Tensor, "..."]],
    labels: Mapping[str, NDArray[Any]],
    sha256: str,
    told: Sequence[str],
) -> InputDataset:
    """The data set of inputs as they are stored, part by part, with their classes if any."""
    classes, parts = with_classes(values, one_for_each(settings.name, labels, values))
    splits, drawn = divide(parts, settings.name)
    spec, prepared = values_spec(settings, splits)
    count = sum(len(tensor) for tensor in values.values())
    many = f"{len(classes)} classes" if len(classes) > 1 else "no classes"
    described = f"{count:,} {described_shape(spec.shape)}, {spec.dtype}; {many}; {drawn}"
    return assemble(settings.name, splits, spec, classes, sha256, [described, *told, *prepared])


def array_files(root: Path) -> dict[str, Path]:
    """The ``.npy`` files of an array, an archive of arrays, or a folder of arrays, by name."""
    if root.is_dir():
        return {path.stem: path for path in sorted(root.glob("*.npy"))}
    if not root.is_file():
        raise MissingFileError(f"{root} does not exist; check the path")
    return UNPACKERS[root.suffix.lower()](root)


def unpacked(archive: Path) -> dict[str, Path]:
    """The arrays of an ``.npz`` file, each in a file of the cache."""
    key = cache.hashes([archive], archive)[0]
    files = {}
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [info for info in zipped.infolist() if info.filename.endswith(".npy")]
            for number, info in enumerate(members):
                path = cache.folder() / f"{cache.key_of(key, number)}.npy"
                if not path.is_file():
                    _unpack(archive, zipped, info, path)
                files[info.filename.removesuffix(".npy")] = path
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise InputError(f"{archive} is damaged or no .npz file ({error})") from error
    except OSError as error:
        raise InputError(f"cannot read {archive}: {error.strerror or error}") from error
    return files


def _unpack(archive: Path, zipped: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if info.file_size > free:
        raise InputError(
            f"{archive}: {info.filename} unpacks to {info.file_size:,} bytes, and {path.parent} "
            f"has room for {free:,}"
        )
    with zipped.open(info) as packed, atomic_path(path) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(packed, file, 2**20)


HEADER_LIMIT = 1_000
"""Characters of a file's head, which has 128 for any array of numbers; NumPy takes seconds for
some of 7,000."""

UNPACKERS: dict[str, Callable[[Path], dict[str, Path]]] = {
    ".npy": lambda path: {"x": path},
    ".npz": unpacked,
}
"""By suffix, what gives the arrays in a file by name, each as the path of an ``.npy`` file."""


def roles(root: Path, files: Mapping[str, Path]) -> tuple[dict[str, str], dict[str, str]]:
    """Which array holds the inputs of each part, and which the classes, by their names."""
    found = {role: name for name in files if (role := role_of(name))}
    inputs = {part: name for (kind, part), name in found.items() if kind == "x"}
    targets = {part: name for (kind, part), name in found.items() if kind == "y"}
    if len(files) == 1 and not inputs:
        inputs = {ALL: next(iter(files))}
    if len(inputs) > 1:
        inputs.pop(ALL, None)
    if not inputs:
        raise InputError(
            f"{root} holds the arrays {', '.join(files) or '(none)'}; name the inputs x, or "
            f"x_train, x_validation and x_test, and their classes y, or y_train and so on"
        )
    return inputs, targets


def role_of(name: str) -> tuple[str, str] | None:
    """Whether an array holds inputs (x) or classes (y), and of which part, by its name.

    >>> role_of("x_val"), role_of("y"), role_of("train"), role_of("weights")
    (('x', 'validation'), ('y', 'all'), ('x', 'train'), None)
    """
    kind, _, split = name.lower().rpartition("_")
    if not kind and split in ("x", "y"):
        return split, ALL
    part = split_named(split)
    return (kind or "x", part) if part and kind in ("", "x", "y") else None


def open_array(path: Path, where: str) -> NDArray[Any]:
    """An array in its file, nothing read but its head."""
    try:
        return np.lib.format.open_memmap(path, mode="r", max_header_size=HEADER_LIMIT)
    except (ValueError, EOFError, TypeError, SyntaxError, TokenError, OverflowError) as error:
        text = " ".join(str(error).split())
        if "max_header_size" in text:  # where NumPy advises to trust the file
            text = f"its head has more than {HEADER_LIMIT:,} characters"
        raise InputError(f"{where} is damaged or no array ({text})") from error
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror or error}") from error


def as_array(x: object, where: str) -> NDArray[Any]:
    """A NumPy array, or a tensor as one."""
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        # NumPy has no bfloat16; as float32 nothing of it is lost.
        return np.asarray((x.float() if x.dtype == torch.bfloat16 else x).numpy())
    if not isinstance(x, np.ndarray):
        raise InputError(f"{where} must be a NumPy array or a torch tensor, not {type(x).__name__}")
    return x


def as_inputs(
    array: NDArray[Any],
    where: str,
    like: tuple[int, ...] | None = None,
    asked: Asked = "images",
) -> Shaped[Tensor, "n *shape"]:
    """Inputs of an array: ``[n, channels, *positions]`` or ``[n, features]``.

    They are brought to the shape `like` if they can be, and otherwise read as is usual for what is
    `asked` for; see `axes.usual_axes`.

    Raises:
        InputError: it is of another shape, or of values that are no numbers.
    """
    if array.dtype.kind not in "buif" or array.dtype.itemsize > 8:
        raise InputError(f"{where} holds {array.dtype}; inputs are numbers")
    shape = array.shape[1:]
    axes = fitting_axes(shape, like) if like and shape else None
    axes = axes or usual_axes(shape, asked)
    if axes is None or 0 in array.shape:
        refuse_shape(where, array.shape, asked)
    if array.dtype in (np.uint32, np.uint64):  # which PyTorch hardly knows
        array = array.astype(np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(step < 0 for step in array.strides):  # which PyTorch has not
        array = np.ascontiguousarray(array)
    return place(cache.as_tensor(array), axes)


def one_for_each(
    name: str, of_parts: Mapping[str, NDArray[Any]], values: Mapping[str, Shaped[Tensor, "..."]]
) -> dict[str, NDArray[Any]]:
    """The classes of each part, made sure to be one for each input; none where none are given."""
    if not of_parts:
        return {}
    found = {}
    for part, tensor in values.items():
        if part not in of_parts:
            raise InputError(f"{name} has classes, but none for the split {part}; add y_{part}")
        labels = of_parts[part]
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        if labels.shape != (len(tensor),) or labels.dtype.kind not in "biuUS":
            raise InputError(
                f"{name}: y holds {labels.dtype} of the shape {labels.shape}; classes are "
                f"{len(tensor):,} whole numbers or names, one for each input"
            )
        found[part] = labels
    return found
