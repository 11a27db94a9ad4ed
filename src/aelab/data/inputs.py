"""Inputs for a trained run: whatever its owner brings, prepared as the run's own were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from numpy.typing import NDArray
from torch import Tensor

from aelab.data.arrays import array_files, as_array, as_inputs, open_array, roles
from aelab.data.axes import described_shape
from aelab.data.compressed import inner_suffix
from aelab.data.dialect import FOUND_OUT, TABLE_SUFFIXES, Said
from aelab.data.folders import (
    MASKS,
    Skipped,
    classes_of,
    is_of_defects,
    list_files,
    read_pictures,
    refuse_or_tell,
)
from aelab.data.image_files import VOLUME_AXES, Kind, Wanted
from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.loading import ARRAY_SUFFIXES, LOADERS, is_frame, load_settings
from aelab.data.ranges import FULL, extremes, refuse_beyond
from aelab.data.sounds import SoundKind, read_sounds
from aelab.data.specs import InputSpec
from aelab.data.splits import class_numbers, one_class
from aelab.data.table_columns import frame_columns, wanted_by
from aelab.data.table_rows import OF_RUN, Rows, as_rows, read_rows, refuse_bad
from aelab.data.words import one_hot, recoded, refuse_unseen
from aelab.files import InputError, MissingFileError
from aelab.settings import DataSettings

TESTED = "test/"
"""Of a folder for finding defects: where the images are that hold them."""


@dataclass(frozen=True, eq=False)
class RowNumbers(Sequence[str]):
    """The names of examples that have none: their numbers, from 0 on.

    >>> names = RowNumbers(5)
    >>> names[1], names[3:]
    ('1', ['3', '4'])
    """

    n: int

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: Any) -> Any:  # noqa: ANN401 - a name for an int, names for a slice
        numbers = range(self.n)[i]
        return str(numbers) if isinstance(numbers, int) else list(map(str, numbers))


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of any number, read as they are asked for: ``inputs.batch(i)``.

    >>> inputs = of_memory(np.array([[0, 255], [51, 102]], np.uint8), InputSpec((2,)))
    >>> inputs.names[1], inputs.batch(torch.tensor([1])).x
    ('1', tensor([[0.2000, 0.4000]]))
    """

    split: InputSplit
    names: Sequence[str]
    """Of each input: a file's path in its folder, with /, or a row's number from 0 on."""

    labels: Int64[Tensor, " n"] | None = None
    classes: tuple[str, ...] = ()
    skipped: Skipped = ()
    """Files that were left out, and why."""

    paths: Sequence[Path] | None = None
    """Of inputs that are image files."""

    array: Path | None = None
    """Of inputs in an array: its .npy file, unpacked if need be."""

    table: Path | None = None
    """Of inputs that are the rows of a table: its file."""

    title: str = "inputs"
    """What an array of outputs is called, without a suffix."""

    notes: tuple[str, ...] = ()
    """What was found on opening, one sentence each."""

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, i: Int64[Tensor, " batch"]) -> Float[Tensor, "batch *shape"]:
        """The prepared inputs `i`, float32."""
        return self.split.batch(i)


def open_inputs(
    path: str | Path,
    spec: InputSpec,
    *,
    strict: bool = False,
    data_dir: str | Path | None = None,
    said: Said = FOUND_OUT,
    label: str | None = None,
    label_may_lack: bool = False,
) -> Inputs:
    """Open inputs for a model built from `spec`, and prepare them as it says.

    `path` is an image or sound file, a folder of them, an array, a table, or a split of a named
    data set (``fashion-mnist:test``). Folders train, validation and test are no splits here, but
    classes; masks in a folder for finding defects are no inputs. What is `said` of text tables
    need not be found out; `label` is a table's column with the class of each row, if it has to be
    there or is.

    Raises:
        InputError: the inputs are of another shape or type than the run takes, or something is
            left out and `strict` is set.
        MissingFileError: there is no such file or folder.
    """
    name, _, split = str(path).rpartition(":")
    if label is None and (name in LOADERS or str(path) in LOADERS):
        return of_data_set(name, split, spec, data_dir)
    path = Path(path)
    if not path.exists():
        raise MissingFileError(f"{path} does not exist; check the path")
    if label and not label_may_lack and inner_suffix(path) not in TABLE_SUFFIXES:
        raise InputError(f"{path} is no table, and has no column {label!r}: leave label out")
    if path.suffix.lower() in ARRAY_SUFFIXES:
        inputs = of_array(path, spec)
    elif inner_suffix(path) in TABLE_SUFFIXES:
        inputs = of_table(path, spec, said, label, label_may_lack=label_may_lack)
    elif spec.rate is not None:
        inputs = of_sounds(path, spec, spec.rate, strict=strict)
    else:
        inputs = of_pictures(path, spec, strict=strict)
    return told_classes(str(path), inputs, spec)


def told_classes(where: str, inputs: Inputs, spec: InputSpec) -> Inputs:
    """The inputs with the run's own numbers of their classes, if its model is told these.

    Raises:
        InputError: it is, and they have none, or one that the run does not know.
    """
    if not spec.classes:
        return inputs
    if inputs.labels is None:
        raise InputError(
            f"{where} has no classes, and the run's model is told the class of each input "
            f"({', '.join(spec.classes)}): give folders called so, an .npz archive with y, a table "
            f"with the label's column, or labels beside an array"
        )
    if unknown := [name for name in inputs.classes if name not in spec.classes]:
        raise InputError(
            f"{where} has the class {unknown[0]!r}; the run knows {', '.join(spec.classes)}"
        )
    own = torch.tensor([spec.classes.index(name) for name in inputs.classes])
    labels = own[inputs.labels]
    split = replace(inputs.split, labels=labels, index=torch.arange(len(labels)))
    return replace(inputs, split=split, labels=labels, classes=spec.classes)


def of_data_set(
    name: str, split: str, spec: InputSpec, data_dir: str | Path | None = None
) -> Inputs:
    """A split of a named data set."""
    if not name:
        raise InputError(f"name a split, as {split}:test")
    data = load_settings(DataSettings(name), data_dir)
    if not isinstance(data, InputDataset):
        raise InputError(f"{name} is a graph; the run takes {described_shape(spec.shape)}")
    images = data.split(split)
    refuse_other(f"{name}:{split}", images.spec.shape, images.spec.dtype, spec)
    if (images.spec.low, images.spec.high) != (spec.low, spec.high):
        raise InputError(f"{name} has values of another range than the run was trained on")
    return Inputs(
        replace(images, spec=spec),
        RowNumbers(len(images)),
        images.labels[images.index],
        data.classes,
        title=f"{name}-{split}",
    )


def of_array(path: Path, spec: InputSpec) -> Inputs:
    """The inputs of an array; of an archive, those called x."""
    files = array_files(path)
    inputs, targets = roles(path, files)
    if len(inputs) > 1:
        raise InputError(f"{path} holds {', '.join(inputs.values())}; give one as an .npy file")
    name = next(iter(inputs.values()))
    values = as_inputs(open_array(files[name], str(path)), str(path), like=spec.shape)
    found = replace(of_values(str(path), values, spec), array=files[name], title=path.stem)
    target = targets.get(next(iter(inputs)))
    return found if target is None else labelled(found, open_array(files[target], str(path)), path)


def of_memory(x: object, spec: InputSpec, where: str = "x", labels: object | None = None) -> Inputs:
    """The inputs of an array or a tensor of stored values, a batch of them and not one alone.

    `labels` are the class of each, where the model is told it.
    """
    if is_frame(x):
        inputs = of_frame(x, spec, where)
    elif spec.columns is not None and spec.columns.mixed:
        raise InputError(f"{where} is an array; the run takes words too: give a data frame")
    else:
        array = as_array(x, where)
        refuse_single(array.shape, spec, where)
        inputs = of_values(where, as_inputs(array, where, like=spec.shape), spec)
    if labels is not None:
        inputs = labelled(inputs, np.asarray(labels), where)
    return told_classes(where, inputs, spec)


def labelled(inputs: Inputs, of_each: NDArray[Any], where: str | Path) -> Inputs:
    """The inputs with the class of each, a number or a name.

    Raises:
        InputError: there is not one for each.
    """
    if of_each.shape != (len(inputs),):
        raise InputError(
            f"{where}: {len(inputs):,} inputs and labels of shape {of_each.shape}; give one each"
        )
    classes, numbers = class_numbers(of_each)
    return replace(inputs, labels=numbers, classes=classes)


def refuse_single(shape: tuple[int, ...], spec: InputSpec, where: str) -> None:
    """Raise InputError for the shape of one input without a batch axis.

    Where an input has one channel, ``[1, height, width]`` is a batch of one: it gives the same.
    """
    channels, *positions = spec.shape
    single = {spec.shape, (*positions, channels), *([tuple(positions)] if channels == 1 else [])}
    if shape in single and not (channels == 1 and shape == spec.shape):
        raise InputError(
            f"{where} has the shape {shape}, of one input without a batch axis; give {where}[None]"
        )


def of_values(where: str, values: Shaped[Tensor, "n *shape"], spec: InputSpec) -> Inputs:
    """Inputs as they are stored, made sure to be such as the run takes."""
    dtype = FULL.get(values.dtype, ("float32", 0.0))[0]
    refuse_other(where, tuple(values.shape[1:]), dtype, spec)
    if values.is_floating_point():  # what is not finite is refused
        may_lack = spec.columns is not None and spec.columns.may_lack
        known = torch.where(values.isnan(), 0.0, values) if may_lack else values
        found = extremes(where, known, np.arange(len(values)))
        refuse_beyond(where, spec, values.dtype, found)
    images = InputSplit(values, one_class(len(values)), torch.arange(len(values)), spec)
    return Inputs(images, RowNumbers(len(values)))


def of_table(
    path: Path, spec: InputSpec, said: Said, label: str | None = None, *, label_may_lack: bool
) -> Inputs:
    """The rows of a table, by the columns that the run was trained on, in whatever order.

    Those of a run that was trained on an array have no names: they are taken in their order.

    Raises:
        InputError: a column is missing, or the run's model is told the class by another than
            `label`.
    """
    usual = spec.columns.decimal if spec.columns else None
    wanted = wanted_by(spec)
    if None not in (wanted.label, label) and wanted.label != label:
        raise InputError(
            f"the run's model is told the class by {wanted.label!r}: label cannot be {label!r}"
        )
    said = replace(said, usual=said.usual or usual)
    may_lack = label_may_lack and not wanted.label
    wanted = replace(wanted, label=label or wanted.label, label_may_lack=may_lack, said=said)
    return replace(of_rows(path, read_rows(path, wanted), spec), table=path)


def of_frame(frame: object, spec: InputSpec, where: str) -> Inputs:
    """The rows of a data frame, by the columns that the run was trained on."""
    if spec.columns is None:
        raise InputError(f"{where} is a data frame; the run takes {described_shape(spec.shape)}")
    wanted = wanted_by(spec)
    return of_rows(where, as_rows(where, frame_columns(frame, where, wanted), wanted), spec)


def of_rows(where: Path | str, rows: Rows, spec: InputSpec) -> Inputs:
    """Rows of a table, made sure to be such as the run takes.

    Raises:
        InputError: one has a word that no training row had, or they are not like the run's.
    """
    columns = spec.columns
    may_lack = columns is not None and columns.may_lack
    refuse_bad(where, rows, may_lack=may_lack, mend=OF_RUN)
    values = rows.values
    if columns is not None and columns.mixed:
        known = recoded(values, rows.words_of_each, columns.words)
        refuse_unseen(where, values, known, rows.words_of_each, columns)
        values = one_hot(known, columns)
    found = of_values(str(where), values, spec)
    return found if rows.of_each is None else labelled(found, rows.of_each, where)


def of_pictures(path: Path, spec: InputSpec, *, strict: bool) -> Inputs:
    """The images or volumes of a folder, or one."""
    stacked = len(spec.shape) == VOLUME_AXES
    if spec.kind != "images" and not stacked:
        raise InputError(f"the run takes {described_shape(spec.shape)}, and {path} is a folder")
    height_and_width = spec.image_shape[1:] if spec.resized else None
    wanted = Wanted(height_and_width, spec.grayscale, stacked)
    kind = Kind(spec.shape, spec.dtype)
    files, masks = without_masks(list_files(path))
    pictures = read_pictures(path, files, wanted, like=kind)
    if not pictures.names:
        name, why = pictures.skipped[0]
        raise InputError(f"{path} holds nothing that the run takes ({kind}): {name} {why}")
    refuse_or_tell(path, pictures.skipped, strict=strict)
    count = len(pictures.names)
    folder = path if path.is_dir() else path.parent
    classes, labels = classes_of(pictures.names)
    return Inputs(
        InputSplit(pictures.values, labels, torch.arange(count), spec),
        pictures.names,
        labels if len(classes) > 1 else None,
        classes if len(classes) > 1 else (),
        pictures.skipped,
        None if stacked else [folder / name for name in pictures.names],
        title=path.stem,
        notes=(f"{masks:,} masks in {MASKS} are left out",) if masks else (),
    )


def without_masks(files: Mapping[str, Path]) -> tuple[dict[str, Path], int]:
    """The files of a folder without the masks of one for finding defects, and how many these are.

    >>> without_masks({"test/hole/0.png": Path("0.png"), "ground_truth/hole/0.png": Path("m.png")})
    ({'test/hole/0.png': PosixPath('0.png')}, 1)
    """
    kept = {name: path for name, path in files.items() if not name.startswith(MASKS)}
    of_defects = any(name.startswith(TESTED) for name in kept)
    return (kept, len(files) - len(kept)) if of_defects else (dict(files), 0)


def tested_alone(inputs: Inputs) -> Inputs:
    """The test images of a folder for finding defects, by kind of defect; other inputs as given."""
    if inputs.paths is None or not is_of_defects(inputs.names):
        return inputs
    of_test = torch.tensor([name.startswith(TESTED) for name in inputs.names])
    numbers = of_test.nonzero().flatten().tolist()
    names = [inputs.names[i] for i in numbers]
    classes, labels = classes_of([name.removeprefix(TESTED) for name in names])
    note = f"a folder for finding defects: its {len(names):,} test images are taken, and no others"
    return replace(
        inputs,
        split=inputs.split.where(of_test),
        names=names,
        labels=labels,
        classes=classes,
        paths=[inputs.paths[i] for i in numbers],
        notes=(*inputs.notes, note),
    )


def of_sounds(path: Path, spec: InputSpec, rate: int, *, strict: bool) -> Inputs:
    """The sounds of a folder, or one; cut into windows if the run's were."""
    channels, length = spec.shape
    kind, window = SoundKind(rate, channels, length), length if spec.windowed else None
    sounds = read_sounds(path, list_files(path), window, like=kind)
    if not len(sounds.values):
        name, why = sounds.skipped[0]
        raise InputError(f"{path} holds nothing that the run takes ({kind}): {name} {why}")
    refuse_or_tell(path, sounds.skipped, strict=strict)
    classes, labels = classes_of(sounds.names)
    return Inputs(
        InputSplit(sounds.values, labels, torch.arange(len(labels)), spec),
        sounds.names,
        labels if len(classes) > 1 else None,
        classes if len(classes) > 1 else (),
        sounds.skipped,
        title=path.stem,
    )


def refuse_other(where: str, shape: tuple[int, ...], dtype: str, spec: InputSpec) -> None:
    """Raise InputError if inputs are of another shape or type than a run takes."""
    if shape != spec.shape or dtype != spec.dtype:
        raise InputError(
            f"{where} holds {described_shape(shape)} ({dtype}); the run takes "
            f"{described_shape(spec.shape)} ({spec.dtype})"
        )
