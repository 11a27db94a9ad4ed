"""FashionMNIST, MNIST and KMNIST from their four IDX files each.

70,000 images of 28 x 28 bytes in ten classes (Xiao et al. 2017, arXiv 1708.07747; LeCun et al.
1998; Clanuwat et al. 2018, arXiv 1812.01718). The files of all three have the same names.
"""

import gzip
import hashlib
import math
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from aelab.data.downloads import fetch_verified
from aelab.data.input_sets import InputDataset
from aelab.data.published import Pixels, Place, Published, fill, joint_sha256, size_problem
from aelab.files import InputError
from aelab.settings import DataSettings


@dataclass(frozen=True)
class IdxFile:
    """One of the four files: a header that gives the shape, then the bytes.

    >>> IdxFile("t10k-labels-idx1-ubyte", (10_000,), sha256="").size
    10008
    """

    name: str
    shape: tuple[int, ...]
    sha256: str
    """Of the uncompressed content, header included, for gzip wraps the same bytes in many ways."""

    compressed: bool = False
    """`sha256` is of the file as it is published, compressed: no other is known."""

    @property
    def header(self) -> int:
        """Bytes before the data: a magic number, and a number a dimension."""
        return 4 + 4 * len(self.shape)

    @property
    def size(self) -> int:
        """Bytes of the uncompressed content."""
        return self.header + math.prod(self.shape)

    def find(self, place: Place) -> Path | None:
        """Its path in a place: uncompressed or, failing that, with `.gz`."""
        found = place.find([f"{self.name}.gz", *([] if self.compressed else [self.name])])
        return found.get(self.name, found.get(f"{self.name}.gz"))


def idx_files(*sha256: str, compressed: bool = False) -> tuple[IdxFile, ...]:
    """Official training images and labels, then official test images and labels."""
    contents = (
        ("train-images-idx3-ubyte", (60_000, 28, 28)),
        ("train-labels-idx1-ubyte", (60_000,)),
        ("t10k-images-idx3-ubyte", (10_000, 28, 28)),
        ("t10k-labels-idx1-ubyte", (10_000,)),
    )
    return tuple(
        IdxFile(name, shape, digest, compressed)
        for (name, shape), digest in zip(contents, sha256, strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class IdxSet(Published):
    """Images and labels in four IDX files.

    >>> SETS["mnist"].split(np.arange(70_000, dtype=np.uint8) % 10, "standard")["validation"].shape
    (5000,)
    """

    files: tuple[IdxFile, ...]

    @property
    def files_told(self) -> str:
        """Its files, for people."""
        return "the four .gz files" if self.files[0].compressed else "the four files"

    def lacks(self, place: Place) -> str:
        """What of the four files is not in a place; nothing if all are."""
        missing = [file.name for file in self.files if file.find(place) is None]
        if len(missing) == len(self.files):
            return f"{place.folder} (has none of {self.files_told})"
        return f"{place.folder} (lacks {', '.join(missing)})" if missing else ""

    def read(self, place: Place, pixels: Pixels, labels: Pixels) -> None:
        """Fill pixels ``[70000, 1, 28, 28]`` and labels from the four files of a place."""
        cut = self.counts[0]
        bodies = pixels[:cut], labels[:cut], pixels[cut:], labels[cut:]
        for file, body in zip(self.files, bodies, strict=True):
            path = file.find(place)
            assert path is not None  # since it was located
            if problem := self._read_file(file, path, body):
                raise InputError(f"{path} {problem}; {place.remedy}")

    def download(self, place: Place) -> None:
        """Bring the files that a place lacks into it."""
        for file in self.files:
            if file.find(place) is None:
                urls = [f"{mirror}{file.name}.gz" for mirror in self.mirrors]
                path = place.folder / f"{file.name}.gz"
                fetch_verified(urls, path, partial(self._other_file, file))

    def _other_file(self, file: IdxFile, path: Path) -> str:
        """What is wrong with a file of the set; nothing if it is whole."""
        return self._read_file(file, path, np.empty(file.shape, dtype=np.uint8))

    def _read_file(self, file: IdxFile, path: Path, body: Pixels) -> str:
        """Fill `body` with the data of `path`; say what is wrong with it, or nothing."""
        parts = memoryview(bytearray(file.header)), body.reshape(-1).data
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
                size = sum(fill(stream, part) for part in parts)
                size += len(stream.read(1))  # one more byte tells a file that is too long
            digest = hashlib.sha256()
            if file.compressed:
                digest.update(path.read_bytes())
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            return f"is damaged ({error}); expected {file.size:,} bytes, compressed with gzip"
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"
        if problem := size_problem(size, file.size):
            return problem
        for part in () if file.compressed else parts:
            digest.update(part)
        if digest.hexdigest() != file.sha256:
            what = "it" if file.compressed else "its content"
            return (
                f"is damaged or not {self.title}'s (MNIST, FashionMNIST and KMNIST have files of "
                f"the same names; a folder {self.name} keeps them apart): {what} has SHA-256 "
                f"{digest.hexdigest()}; expected {file.sha256}"
            )
        return ""


def idx_set(
    name: str,
    title: str,
    classes: tuple[str, ...],
    files: tuple[IdxFile, ...],
    mirrors: tuple[str, ...],
    package: Place | None = None,
    ways: str = "",
) -> IdxSet:
    """A set by what the three differ in."""
    return IdxSet(
        name=name,
        title=title,
        classes=classes,
        shape=(1, 28, 28),
        counts=(60_000, 10_000),
        sha256=joint_sha256([file.sha256 for file in files]),
        layouts=(name, f"{title}/raw", ""),
        mirrors=mirrors,
        package=package,
        ways=ways,
        files=files,
    )


FASHION_MNIST = idx_set(
    "fashion-mnist",
    "FashionMNIST",
    (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    idx_files(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    Place(
        Path("/usr/share/datasets/fashion-mnist"),
        "reinstall Debian's package dataset-fashion-mnist",
    ),
    "install Debian's package dataset-fashion-mnist, or ",
)

MNIST = idx_set(
    "mnist",
    "MNIST",
    tuple("0123456789"),
    idx_files(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)

KMNIST = idx_set(
    "kmnist",
    "KMNIST",
    ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    idx_files(
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        compressed=True,
    ),
    ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
)

SETS = {of.name: of for of in (FASHION_MNIST, MNIST, KMNIST)}


def load(settings: DataSettings, data_dir: Path | None = None, seed: int = 0) -> InputDataset:
    """Load the set that the settings name; its split has a seed of its own: `seed` changes nothing.

    Raises:
        InputError: a file is damaged, or is not this set's.
        MissingFileError: the files are nowhere, and cannot be downloaded.
    """
    return SETS[settings.name].load(settings, data_dir)
