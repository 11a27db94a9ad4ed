"""A folder of images: decoded once, in parallel, into one memory-mapped array in the cache.

Classes are the sub-folders, if there are any. Folders ``train``, ``validation`` (or ``val``) and
``test`` at the top are splits, with the classes in them.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from jaxtyping import Int64, Shaped
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from aelab.data import cache
from aelab.data.compressed import inner_suffix
from aelab.data.dialect import TABLE_SUFFIXES
from aelab.data.image_files import VOLUME_AXES, Kind, Wanted, kind_of, quiet, read
from aelab.data.input_sets import InputDataset
from aelab.data.ranges import values_spec
from aelab.data.split_columns import by_path
from aelab.data.splits import ALL, NAMES, Part, assemble, class_numbers, divide, split_named
from aelab.data.table_files import listed
from aelab.files import InputError, MissingFileError, read_json, write_json
from aelab.settings import DataSettings

SHOWN = 3
RECORD_LIMIT = 2**30  # bytes; of ten million images
T = TypeVar("T")

LOOSE = "(no folder)"
"""Class of images beside the folders of the other classes."""

GOOD, MASKS = "good", "ground_truth/"
"""Of a folder for finding defects: the one class that is trained on, and where its masks are."""

FEWEST = 3
"""Images of one kind that can be trained on: one for each split."""

SURELY_TABLES = {*TABLE_SUFFIXES} - {".txt", ".data"}

Skipped = tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images of one kind from files, and what was left out.

    >>> import torch
    >>> values, names = torch.zeros(2, 1, 8, 8), ("cats/a.png", "dogs/b.png")
    >>> pictures = Pictures(values, names, (), Kind((1, 8, 8), "float32"), sha256="")
    >>> arrange(pictures.values, pictures.names)[0]
    ('cats', 'dogs')
    """

    values: Shaped[Tensor, "n channels *positions"]
    names: tuple[str, ...]
    """Paths of the files in their folder, with /, in ascending order."""

    skipped: Skipped
    """Files that were left out, and why."""

    kind: Kind
    sha256: str
    """Of the names and contents of these files, and of what was made of them."""

    kinds: tuple[tuple[Kind, int], ...] = ()
    """The kinds of all images with how many there are, the most common first."""


def load(settings: DataSettings, data_dir: Path | None = None, seed: int = 0) -> InputDataset:
    """Load a folder of images, split by its own folders or by a fixed seed.

    Raises:
        InputError: it holds too few images, or one is left out and `settings.strict` is set.
    """
    root = Path(settings.name)
    if settings.volume and (settings.size is not None or settings.grayscale):
        raise InputError("volumes are taken as they are: leave size and grayscale out")
    wanted = Wanted(settings.height_and_width, settings.grayscale, settings.volume)
    files = list_files(root)
    of_defects = is_of_defects(files)
    if of_defects:
        files = {name: path for name, path in files.items() if not name.startswith(MASKS)}
    pictures = read_pictures(root, files, wanted)
    refuse_many_kinds(root, pictures)
    told = refuse_or_tell(root, pictures.skipped, strict=settings.strict)
    classes, parts = arrange(pictures.values, pictures.names)
    splits, drawn = divide(parts, settings.name, by_path(settings, pictures.names, parts))
    spec, prepared = values_spec(settings, splits)
    spec = replace(spec, resized=wanted.size is not None, grayscale=wanted.grayscale)
    what = "volumes" if wanted.stacked else "images"
    many = f"{len(classes)} classes" if len(classes) > 1 else "no classes"
    counted = f"{len(pictures.names):,} {what} of {pictures.kind}; {many}; {drawn}"
    notes = [counted, *no_splits(root, pictures.names), *prepared, *told, *sizes_hint(pictures)]
    data = assemble(settings.name, splits, spec, classes, pictures.sha256, notes)
    return good_alone(data) if of_defects and settings.classes is None else data


def is_of_defects(names: Collection[str]) -> bool:
    """Whether a folder is laid out as those for finding defects are (MVTec AD, MVTec LOCO).

    ``train/good``, ``test/good`` and ``test/<defect>``, with masks in ``ground_truth``.

    >>> is_of_defects(["train/good/0.png", "test/good/0.png", "test/hole/0.png"])
    True
    """
    folders = {tuple(name.split("/")[:2]) for name in names if name.count("/") > 1}
    found = {top: {within for first, within in folders if first == top} for top, _ in folders}
    found.pop(MASKS.strip("/"), None)
    kept = {split_named(top) for top in found}
    return found.get("train") == {GOOD} and {GOOD} < found.get("test", set()) and kept <= {*NAMES}


def good_alone(data: InputDataset) -> InputDataset:
    """The data with the defects of the test split as its anomalies."""
    test = data.split("test")
    good = test.classes == data.classes.index(GOOD)
    note = (
        f"a folder for finding defects: trained on {GOOD} alone, the {int((~good).sum()):,} test "
        f"images of other classes are the anomalies, and {MASKS} is left out"
    )
    return replace(
        data,
        splits={**data.splits, "test": test.where(good)},
        anomalies={"test": test.where(~good)},
        notes=(*data.notes, note),
    )


def refuse_many_kinds(root: Path, pictures: Pictures) -> None:
    """Raise InputError if images are of so many kinds that too few of one are left."""
    if len(pictures.names) >= FEWEST or len(pictures.kinds) < 2:
        return
    shown = "; ".join(f"{count:,} of {kind}" for kind, count in pictures.kinds[:SHOWN])
    rest = len(pictures.kinds) - SHOWN
    more = f"; and {rest:,} more kinds" if rest > 0 else ""
    options = " and ".join(options_for(pictures))
    raise InputError(
        f"{root}: the images are of {len(pictures.kinds)} kinds ({shown}{more}), and a model "
        f"takes one: bring them to one{f' with {options}' if options else ''}"
    )


def sizes_hint(pictures: Pictures) -> list[str]:
    """A note on how images that were left out for their kind can be taken, if there are any."""
    options = options_for(pictures)
    return [f"{' and '.join(options)} would bring images to one kind"] if options else []


def options_for(pictures: Pictures) -> list[str]:
    """The options that would bring all images to one kind, as far as options can."""
    if len(pictures.kind.shape) == VOLUME_AXES:
        return []
    shapes = [kind.shape for kind, _ in pictures.kinds]
    size = len({shape[1:] for shape in shapes}) > 1
    channels = len({shape[0] for shape in shapes}) > 1
    of_most = "x".join(str(side) for side in pictures.kind.shape[1:])
    return [f"--size {of_most}"] * size + ["--grayscale"] * channels


def list_files(root: Path) -> dict[str, Path]:
    """The files below a folder but hidden ones, by their paths in it, in order; or the one file."""
    if root.is_file():
        return {root.name: root}
    if not root.is_dir():
        raise MissingFileError(f"{root} does not exist; check the path")
    files = []
    for place, folders, names in os.walk(root, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(place) / name for name in names if not name.startswith(".")]
    if not files:
        raise InputError(f"{root} is an empty folder; give one with images in it")
    return dict(sorted((path.relative_to(root).as_posix(), path) for path in files))


def _refuse_folder(error: OSError) -> NoReturn:
    raise InputError(f"cannot read the folder {error.filename}: {error.strerror}") from error


def read_pictures(
    root: Path, files: Mapping[str, Path], wanted: Wanted, like: Kind | None = None
) -> Pictures:
    """Read the images that are of the kind `like`, or else of the kind that most are of.

    They are decoded only once: what was made of the same contents before is in the cache.
    """
    contents = list(zip(files, cache.hashes(list(files.values()), root), strict=True))
    stacked = ["volumes"] if wanted.stacked else []
    key = cache.key_of(contents, wanted, like, *stacked)
    record, values = (cache.folder() / f"{key}{end}" for end in (".json", ".values"))
    if not record.is_file():
        write_json(record, _decode(root, files, wanted, like, values))
    made = read_json(record, limit=RECORD_LIMIT)
    kind = Kind(tuple(made["shape"]), made["dtype"])
    kept = set(made["names"])
    used = [of_file for of_file in contents if of_file[0] in kept]
    return Pictures(
        values=cache.mapped(values, kind.dtype, (len(made["names"]), *kind.shape)),
        names=tuple(made["names"]),
        skipped=tuple((name, why) for name, why in made["skipped"]),
        kind=kind,
        sha256=cache.key_of(used, wanted, like, *stacked),
        kinds=tuple(
            (Kind(tuple(shape), dtype), count) for shape, dtype, count in made.get("kinds", ())
        ),
    )


def _decode(
    root: Path, files: Mapping[str, Path], wanted: Wanted, like: Kind | None, values: Path
) -> dict[str, Any]:
    """Write the values of the images of one kind to `values`; give the record of them."""
    kept: list[str] = []
    with cache.workers() as pool, quiet(), reading(2 * len(files)) as tick:
        kinds = cache.each(pool, lambda path: kind_of(path, wanted), files.values())
        found = dict(zip(files, map(tick, kinds), strict=True))
        kind = like or most_common(root, found)
        good = [name for name in files if found[name] == kind]
        others = {name: told for name, told in found.items() if told != kind}
        skipped = {n: told if isinstance(told, str) else f"is {told}" for n, told in others.items()}

        def images() -> Iterator[NDArray[Any]]:
            of_each = cache.each(pool, lambda name: read(files[name], wanted), good)
            for name, image in zip(good, map(tick, of_each), strict=True):
                if isinstance(image, str):
                    skipped[name] = image
                elif (image.shape, str(image.dtype)) != (kind.shape, kind.dtype):
                    skipped[name] = "is not what its head says"
                else:
                    kept.append(name)
                    yield image

        cache.write_blocks(values, images())
    counted = Counter(kind for kind in found.values() if isinstance(kind, Kind)).most_common()
    return {
        "shape": kind.shape,
        "dtype": kind.dtype,
        "names": kept,
        "skipped": sorted(skipped.items()),
        "kinds": [(kind.shape, kind.dtype, count) for kind, count in counted],
    }


def most_common(root: Path, found: Mapping[str, Kind | str]) -> Kind:
    """The kind that most images are of; of equals, the first met."""
    counted = Counter(kind for kind in found.values() if isinstance(kind, Kind))
    if counted:
        return counted.most_common(1)[0][0]
    tables = [name for name in found if inner_suffix(Path(name)) in SURELY_TABLES]
    if tables:
        raise InputError(
            f"{root} holds no image but tables ({listed(tables)}): give one of them, or call "
            f"those that belong together train, validation and test, in the folder itself"
        )
    raise InputError(
        f"{root} holds no image that can be read; the first file {next(iter(found.values()))}"
    )


@contextmanager
def reading(total: int, told: str = "Reading images") -> Iterator[Callable[[T], T]]:
    """A progress bar, on a terminal, that moves by one for each thing passed through."""
    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task(told, total=total)

        def tick(passed: T) -> T:
            bar.update(task, advance=1)
            return passed

        yield tick


def refuse_or_tell(root: Path, skipped: Skipped, *, strict: bool) -> list[str]:
    """A note on what was left out; an InputError if `strict` is set."""
    if not skipped:
        return []
    shown = "; ".join(f"{name} {why}" for name, why in skipped[:SHOWN])
    more = f"; and {len(skipped) - SHOWN:,} more" if len(skipped) > SHOWN else ""
    count = "1 file" if len(skipped) == 1 else f"{len(skipped):,} files"
    if strict:
        raise InputError(f"{root}: {count} cannot be used: {shown}{more}")
    return [f"{count} left out: {shown}{more}"]


def arrange(
    values: Shaped[Tensor, "n *shape"], names: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, Part]]:
    """Classes, and parts that are splits of the user's own or all inputs in one.

    They follow from the folders in the `names`, which are in order.
    """
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    own = "train" in map(split_named, tops) and all(map(split_named, tops))
    within = [name.partition("/")[2] for name in names] if own else names
    classes, labels = classes_of(within)
    if not own:
        return classes, {ALL: Part(values, labels)}
    parts = {}
    for top in sorted(tops):
        rows = np.array([name.startswith(f"{top}/") for name in names]).nonzero()[0]
        if split_named(top) in parts:
            raise InputError(f"{top} is a second folder of the split {split_named(top)}; join them")
        one = slice(rows[0], rows[-1] + 1)  # the names are in order, so a folder's are together
        parts[split_named(top)] = Part(values[one], labels[one])
    return classes, parts


def no_splits(root: Path, names: Sequence[str]) -> list[str]:
    """A note on folders that are called as splits are, and are none where they stand.

    >>> no_splits(Path("zoo"), ["train/a.png", "test/b.png", "more/c.png"])
    ['taken for classes and not for splits: train, test; for splits, take more out of the folder']
    """
    folders = [name.split("/")[:-1] for name in names]
    tops = list(dict.fromkeys(path[0] if path else "images in no folder" for path in folders))
    called, others = ([top for top in tops if bool(split_named(top)) == of] for of in (True, False))
    deeper = list(dict.fromkeys("/".join(p[:2]) for p in folders if p[1:] and split_named(p[1])))
    if called and "train" not in map(split_named, called):
        remedy = "call a folder train"
    elif called:
        remedy = f"take {listed(others)} out of the folder" if others else ""
    elif len(tops) == 1:
        remedy = f"give --data {root / tops[0]}"
    else:
        remedy = "put them first and the classes in them, as train/cats"
    found = called or deeper
    what = f"taken for classes and not for splits: {listed(found)}; for splits, {remedy}"
    return [what] if found and remedy else []


def classes_of(names: Sequence[str]) -> tuple[tuple[str, ...], Int64[Tensor, " n"]]:
    """Classes by the first folder of each name, and the class of each; one class without any."""
    folders = [name.partition("/")[0] if "/" in name else LOOSE for name in names]
    return class_numbers(np.array(folders if set(folders) != {LOOSE} else [ALL] * len(names)))
