"""CIFAR-10 from its binary version: the archive as it is published, or the six files in it.

60,000 images of 32 x 32 in colour in ten classes (Krizhevsky 2009).
"""

import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from aelab.data.downloads import fetch_verified
from aelab.data.input_sets import InputDataset
from aelab.data.published import Pixels, Place, Published, fill, size_problem
from aelab.files import InputError
from aelab.settings import DataSettings

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"  # in the archive


@dataclass(frozen=True)
class CifarFile:
    """One of the six files: an image after the other, the byte of its class before its pixels.

    >>> CifarFile("test_batch.bin", 10_000, sha1="").size(3 * 32 * 32)
    30730000
    """

    name: str
    images: int
    sha1: str

    def size(self, pixels: int) -> int:
        """Bytes of the file, of images of so many bytes."""
        return self.images * (1 + pixels)


@dataclass(frozen=True, kw_only=True)
class CifarSet(Published):
    """Images in colour and their classes, in files of both.

    >>> CIFAR10.files_told
    'cifar-10-binary.tar.gz or the six files in it'
    """

    files: tuple[CifarFile, ...]
    """Training images, then test images."""

    @property
    def files_told(self) -> str:
        """Its files, for people."""
        return f"{ARCHIVE} or the six files in it"

    def lacks(self, place: Place) -> str:
        """What of the set is not in a place; nothing if the archive or all six files are."""
        names = [file.name for file in self.files]
        found = place.find([ARCHIVE, *names])
        missing = [name for name in names if name not in found]
        if ARCHIVE in found or not missing:
            return ""
        if len(missing) == len(names):
            return f"{place.folder} (has neither {ARCHIVE} nor the six files in it)"
        return f"{place.folder} (lacks {', '.join(missing)})"

    def read(self, place: Place, pixels: Pixels, labels: Pixels) -> None:
        """Fill pixels ``[60000, 3, 32, 32]`` and labels, from the six files or the archive."""
        found = place.find([file.name for file in self.files])
        if len(found) < len(self.files):
            self._read_archive(place, pixels, labels)
            return
        for file, rows in self._parts():
            path = found[file.name]
            try:
                with path.open("rb") as stream:
                    problem = self._read_file(file, stream, pixels[rows], labels[rows])
            except OSError as error:
                problem = f"cannot be read ({error.strerror or error})"
            if problem:
                raise InputError(f"{path} {problem}; {place.remedy}, or give {ARCHIVE}")

    def download(self, place: Place) -> None:
        """Bring the archive into a place."""
        urls = [f"{mirror}{ARCHIVE}" for mirror in self.mirrors]
        fetch_verified(urls, place.folder / ARCHIVE, self._other_archive)

    def _parts(self) -> Iterator[tuple[CifarFile, slice]]:
        """Each file, and which images of the set it holds."""
        first = 0
        for file in self.files:
            yield file, slice(first, first + file.images)
            first += file.images

    def _other_archive(self, path: Path) -> str:
        """What is wrong with an archive that is not the published one; nothing if it is."""
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"
        if found == self.sha256:
            return ""
        return (
            f"is damaged or not {self.title}'s binary version: it has SHA-256 {found}; expected "
            f"{self.sha256}"
        )

    def _read_archive(self, place: Place, pixels: Pixels, labels: Pixels) -> None:
        """Read from the archive, which is known by its SHA-256 before anything is unpacked."""
        path = place.folder / ARCHIVE
        problem = self._other_archive(path)
        try:
            problem = problem or self._unpack(path, pixels, labels)
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            problem = f"cannot be read ({error})"
        if problem:
            raise InputError(f"{path} {problem}; {place.remedy}")

    def _unpack(self, path: Path, pixels: Pixels, labels: Pixels) -> str:
        """Read the members that are the set's, and no others; say what is wrong, or nothing."""
        parts = {f"{FOLDER}/{file.name}": (file, rows) for file, rows in self._parts()}
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                if member.name not in parts or not member.isreg():
                    continue
                file, rows = parts.pop(member.name)
                stream = archive.extractfile(member)
                assert isinstance(stream, BufferedIOBase)  # of a regular file
                problem = self._read_file(file, stream, pixels[rows], labels[rows], known=True)
                if problem:
                    return f"has {member.name}, which {problem}"
        return f"lacks {', '.join(parts)}" if parts else ""

    def _read_file(
        self,
        file: CifarFile,
        stream: BufferedIOBase,
        pixels: Pixels,
        labels: Pixels,
        *,
        known: bool = False,
    ) -> str:
        """Fill pixels and labels with the content of a file; say what is wrong, or nothing.

        A content that is `known` by that of its archive is not held against its SHA-1.
        """
        width = pixels[0].size
        rows = np.empty((file.images, 1 + width), dtype=np.uint8)
        content = rows.reshape(-1).data
        size = fill(stream, content) + len(stream.read(1))
        if problem := size_problem(size, file.size(width)):
            return problem
        found = file.sha1 if known else hashlib.sha1(content, usedforsecurity=False).hexdigest()
        if found != file.sha1:
            return f"is damaged or not {self.title}'s: its SHA-1 is {found}; expected {file.sha1}"
        labels[:] = rows[:, 0]
        pixels[:] = rows[:, 1:].reshape(pixels.shape)
        return ""


CIFAR10 = CifarSet(
    name="cifar10",
    title="CIFAR-10",
    classes=(
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
    shape=(3, 32, 32),
    counts=(50_000, 10_000),
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    layouts=("cifar10", f"cifar10/{FOLDER}", FOLDER, ""),
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    files=(
        CifarFile("data_batch_1.bin", 10_000, "aadd24acce27caa71bf4b10992e9e7b2d74c2540"),
        CifarFile("data_batch_2.bin", 10_000, "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795"),
        CifarFile("data_batch_3.bin", 10_000, "1dd00a74ab1d17a6e7d73e185b69dbf31242f295"),
        CifarFile("data_batch_4.bin", 10_000, "aab85764eb3584312d3c7f65fd2fd016e36a258e"),
        CifarFile("data_batch_5.bin", 10_000, "26e2849e66a845b7f1e4614ae70f4889ae604628"),
        CifarFile("test_batch.bin", 10_000, "67eb016db431130d61cd03c7ad570b013799c88c"),
    ),
)


def load(settings: DataSettings, data_dir: Path | None = None, seed: int = 0) -> InputDataset:
    """Load CIFAR-10, pixels ``[60000, 3, 32, 32]``; the split has a seed of its own.

    Raises:
        InputError: a file is damaged, or is not CIFAR-10's.
        MissingFileError: the files are nowhere, and cannot be downloaded.
    """
    return CIFAR10.load(settings, data_dir)
