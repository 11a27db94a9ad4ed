"""FashionMNIST from its four IDX files: found on this machine, or downloaded, and verified.

70,000 images of 28 x 28 bytes in ten classes (Xiao et al. 2017, arXiv 1708.07747). Only the content
of a file counts: its SHA-256 is taken uncompressed, for gzip wraps the same bytes in many ways.
"""

import gzip
import hashlib
import math
import os
import zlib
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aelab.data.downloads import fetch
from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.files import InputError, MissingFileError, atomic_path, user_cache
from aelab.settings import DataSettings

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class IdxFile:
    """One of the four files: a header that gives the shape, then the bytes.

    >>> IdxFile("t10k-labels-idx1-ubyte", (10_000,), sha256="").size
    10008
    """

    name: str
    shape: tuple[int, ...]
    sha256: str
    """Of the uncompressed content, header included."""

    @property
    def header(self) -> int:
        """Bytes before the data: a magic number, and a number a dimension."""
        return 4 + 4 * len(self.shape)

    @property
    def size(self) -> int:
        """Bytes of the uncompressed content."""
        return self.header + math.prod(self.shape)


# Official training images and labels, then official test images and labels.
FILES = (
    IdxFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    IdxFile(
        "train-labels-idx1-ubyte",
        (60_000,),
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    IdxFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
MIRRORS = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
LAYOUTS = ("", "fashion-mnist", "FashionMNIST/raw")  # inside a folder that the user names
WAYS = (
    "install Debian's package dataset-fashion-mnist, or name a folder that holds the four files "
    "with --data-dir or the variable AELAB_DATA, or run again with a network"
)

SPLIT_SEED = 0
HELD_OUT = 500  # validation images a class, of the official training images
ORIGINAL_VALIDATION = 8_000  # of the official test images, in the original study
BLOCK = 2**20


@dataclass(frozen=True)
class Place:
    """A folder that may hold the files, and what to do about a damaged file in it.

    >>> Place(Path("/nowhere"), "mount the disk").find()
    {}
    """

    folder: Path
    remedy: str

    def find(self) -> dict[str, Path]:
        """Find the files that are here, by name: uncompressed or, failing that, with `.gz`."""
        found = {}
        try:
            for path in (self.folder / (f.name + end) for f in FILES for end in (".gz", "")):
                if path.is_file():
                    found[path.name.removesuffix(".gz")] = path
        except OSError as error:
            raise InputError(f"{self.folder} ({error.strerror or error})") from error
        return found


def load(settings: DataSettings, data_dir: Path | None = None, seed: int = 0) -> InputDataset:
    """Load FashionMNIST, split and scaled as `settings` say; pixels ``[70000, 1, 28, 28]``.

    The official training images come first, at 0 to 59,999, then the official test images. The
    files are looked for in `data_dir` (or the variable AELAB_DATA), where Debian's package puts
    them, and in the user's cache; failing that, they are downloaded into the cache. The split has
    a seed of its own: `seed` changes nothing.

    Raises:
        InputError: a file is damaged, or is not FashionMNIST's.
        MissingFileError: the files are nowhere, and cannot be downloaded.
    """
    pixels, labels = _read_all(locate(data_dir))
    spec = InputSpec(shape=(1, 28, 28), scale=settings.scale)
    shared = torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))
    splits = {
        name: InputSplit(*shared, index=torch.from_numpy(index), spec=spec)
        for name, index in split(labels, settings.splits).items()
    }
    content = "".join(file.sha256 for file in FILES).encode()
    return InputDataset(settings.name, splits, CLASSES, hashlib.sha256(content).hexdigest())


def split(labels: NDArray[np.uint8], how: str) -> dict[str, NDArray[np.int64]]:
    """Choose the images of each split: ascending, and always the same ones."""
    train, test = np.split(np.arange(len(labels)), [FILES[1].shape[0]])
    random = np.random.default_rng(SPLIT_SEED)
    if how == "standard":
        order = random.permutation(train)
        held_out = [order[labels[order] == c][:HELD_OUT] for c in range(len(CLASSES))]
        validation = np.sort(np.concatenate(held_out))
        rest = np.setdiff1d(train, validation, assume_unique=True)
        return {"train": rest, "validation": validation, "test": test}
    if how == "original":
        validation = np.sort(random.permutation(test)[:ORIGINAL_VALIDATION])
        return {"train": train, "validation": validation}
    raise InputError(f"splits must be standard or original, not {how!r}")


def locate(data_dir: Path | None = None, *, download: bool = True) -> Place:
    """Find the first place that has all four files; their content is not looked at yet."""
    places, tried = _places(data_dir), []
    for place in places:
        problem = _lacks(place)
        if not problem:
            return place
        tried.append(problem)
    cache = places[-1]
    try:
        for file in FILES if download else ():
            if file.name not in cache.find():
                _download(file, cache.folder)
    except InputError as error:
        tried.append(str(error))
    if not _lacks(cache):
        return cache
    raise MissingFileError(f"FashionMNIST not found. Tried: {'; '.join(tried)}. To get it, {WAYS}")


def _places(data_dir: Path | None) -> list[Place]:
    """List the folders to look in, the user's cache last."""
    named = data_dir or os.environ.get("AELAB_DATA")
    folders = [Path(named).expanduser() / layout for layout in LAYOUTS] if named else []
    cache = user_cache("fashion-mnist")
    return [
        *(Place(folder, "replace it with a whole one, or remove it") for folder in folders),
        Place(DEBIAN, "reinstall Debian's package dataset-fashion-mnist"),
        Place(cache, "remove it, and it is downloaded again"),
    ]


def _lacks(place: Place) -> str:
    """Say what of the four files is not in a place; nothing if all are."""
    try:
        found = place.find()
    except InputError as error:
        return str(error)
    missing = [file.name for file in FILES if file.name not in found]
    if len(missing) == len(FILES):
        return f"{place.folder} (has none of the four files)"
    return f"{place.folder} (lacks {', '.join(missing)})" if missing else ""


def _read_all(place: Place) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read pixels ``[70000, 1, 28, 28]`` and labels ``[70000]`` from the four files of a place."""
    cut, count = FILES[0].shape[0], FILES[0].shape[0] + FILES[2].shape[0]
    pixels = np.empty((count, 1, *FILES[0].shape[1:]), dtype=np.uint8)
    labels = np.empty(count, dtype=np.uint8)
    bodies = pixels[:cut], labels[:cut], pixels[cut:], labels[cut:]
    paths = place.find()
    for file, body in zip(FILES, bodies, strict=True):
        problem = _read(file, paths[file.name], body)
        if problem:
            raise InputError(f"{paths[file.name]} {problem}; {place.remedy}")
    return pixels, labels


def _read(file: IdxFile, path: Path, body: NDArray[np.uint8]) -> str:
    """Fill `body` with the data of `path`; say what is wrong with it, or nothing."""
    parts = memoryview(bytearray(file.header)), body.reshape(-1).data
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            size = sum(_fill(stream, part) for part in parts)
            size += len(stream.read(1))  # one more byte tells a file that is too long
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return f"is damaged ({error}); expected {file.size:,} bytes, compressed with gzip"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if size != file.size:
        found = f"more than {file.size:,}" if size > file.size else f"{size:,}"
        return f"holds {found} bytes, uncompressed; expected {file.size:,}"
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    if digest.hexdigest() != file.sha256:
        return (
            f"is damaged or not FashionMNIST's (MNIST has files of the same names): its content "
            f"has SHA-256 {digest.hexdigest()}; expected {file.sha256}"
        )
    return ""


def _fill(stream: BufferedIOBase, part: memoryview) -> int:
    """Read into `part` block by block, for gzip holds a second time what one call reads."""
    size = 0
    while count := stream.readinto(part[size : size + BLOCK]):
        size += count
    return size


def _download(file: IdxFile, folder: Path) -> None:
    """Bring `file` into `folder` from the first mirror that has it; verified, it gets its name."""
    problems = []
    for mirror in MIRRORS:
        url = f"{mirror}{file.name}.gz"
        try:
            with atomic_path(folder / f"{file.name}.gz") as temporary:
                fetch(url, temporary)
                problem = _read(file, temporary, np.empty(file.shape, dtype=np.uint8))
                if problem:
                    raise InputError(f"{url} (what came {problem})")
            return
        except InputError as error:
            problems.append(str(error))
    raise InputError("; ".join(problems))
