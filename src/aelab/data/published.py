"""Published sets of images: found on this machine, or downloaded; verified, and split as published.

Only the content of a file counts. A set has a seed of its own for its validation images, so that
its splits are the same ones always.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.files import InputError, MissingFileError, user_cache
from aelab.settings import DataSettings

SPLIT_SEED = 0
BLOCK = 2**20

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Place:
    """A folder that may hold the files, and what to do about a damaged file in it.

    >>> Place(Path("/nowhere"), "mount the disk").find(["a.bin"])
    {}
    """

    folder: Path
    remedy: str

    def find(self, names: Sequence[str]) -> dict[str, Path]:
        """Those of the files that are here, by name."""
        try:
            paths = {name: self.folder / name for name in names}
            return {name: path for name, path in paths.items() if path.is_file()}
        except OSError as error:
            raise InputError(f"{self.folder} ({error.strerror or error})") from error


@dataclass(frozen=True, kw_only=True)
class Published(ABC):
    """A set of images with an official training and an official test part.

    >>> from aelab.data.cifar import CIFAR10
    >>> CIFAR10.counts, CIFAR10.shape, CIFAR10.classes[3]
    ((50000, 10000), (3, 32, 32), 'cat')
    """

    name: str
    """In `--data`, and of its folder in the cache."""

    title: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    counts: tuple[int, int]
    """Official training and test images."""

    sha256: str
    """Of the content, as the data set and every run on it record it."""

    layouts: tuple[str, ...]
    """Folders inside one that the user names."""

    mirrors: tuple[str, ...]
    """Addresses that the names of the files are added to."""

    package: Place | None = None
    """Where a package of the system puts it."""

    ways: str = ""
    """Of getting it, besides those that all sets have."""

    validation: int = 5_000
    """Of the official training images, in the standard splits."""

    original_validation: int = 8_000
    """Of the official test images, in the original splits."""

    @property
    @abstractmethod
    def files_told(self) -> str:
        """Its files, for people."""

    @abstractmethod
    def lacks(self, place: Place) -> str:
        """What of the set is not in a place; nothing if all is.

        Raises:
            InputError: the place cannot be looked into.
        """

    @abstractmethod
    def read(self, place: Place, pixels: Pixels, labels: Pixels) -> None:
        """Fill pixels ``[images, *shape]`` and labels: training images first, then test images.

        Raises:
            InputError: a file is damaged or of another set.
        """

    @abstractmethod
    def download(self, place: Place) -> None:
        """Bring what is missing into a place, verified.

        Raises:
            InputError: no mirror has it.
        """

    def load(self, settings: DataSettings, data_dir: Path | None = None) -> InputDataset:
        """The set, split and scaled as `settings` say.

        The files are looked for in `data_dir` (or the variable AELAB_DATA), where a package puts
        them, and in the user's cache; failing that, they are downloaded into the cache.

        Raises:
            InputError: a file is damaged, or is not this set's.
            MissingFileError: the files are nowhere, and cannot be downloaded.
        """
        place = self.locate(data_dir)
        pixels = np.empty((sum(self.counts), *self.shape), dtype=np.uint8)
        labels = np.empty(len(pixels), dtype=np.uint8)
        self.read(place, pixels, labels)
        spec = InputSpec(shape=self.shape, scale=settings.scale)
        shared = torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))
        splits = {
            name: InputSplit(*shared, index=torch.from_numpy(index), spec=spec)
            for name, index in self.split(labels, settings.splits).items()
        }
        return InputDataset(settings.name, splits, self.classes, self.sha256)

    def split(self, labels: Pixels, how: str) -> dict[str, NDArray[np.int64]]:
        """Choose the images of each split: ascending, and always the same ones."""
        train, test = np.split(np.arange(len(labels)), [self.counts[0]])
        random = np.random.default_rng(SPLIT_SEED)
        if how == "standard":
            order = random.permutation(train)
            shares = stratified(labels[train], self.validation, len(self.classes))
            held_out = [order[labels[order] == c][:share] for c, share in enumerate(shares)]
            validation = np.sort(np.concatenate(held_out))
            rest = np.setdiff1d(train, validation, assume_unique=True)
            return {"train": rest, "validation": validation, "test": test}
        if how == "original":
            validation = np.sort(random.permutation(test)[: self.original_validation])
            return {"train": train, "validation": validation}
        raise InputError(f"splits must be standard or original, not {how!r}")

    def locate(self, data_dir: Path | None = None, *, download: bool = True) -> Place:
        """Find the first place that has all files; their content is not looked at yet."""
        places, tried = self.places(data_dir), []
        for place in places:
            problem = self._problem(place)
            if not problem:
                return place
            tried.append(problem)
        cache = places[-1]
        try:
            if download:
                self.download(cache)
        except InputError as error:
            tried.append(str(error))
        if not self._problem(cache):
            return cache
        ways = (
            f"{self.ways}name a folder that holds {self.files_told} with --data-dir or the "
            f"variable AELAB_DATA, or run again with a network"
        )
        raise MissingFileError(
            f"{self.title} not found. Tried: {'; '.join(tried)}. To get it, {ways}"
        )

    def places(self, data_dir: Path | None) -> list[Place]:
        """The folders to look in, the user's cache last."""
        named = data_dir or os.environ.get("AELAB_DATA")
        folders = [Path(named).expanduser() / layout for layout in self.layouts] if named else []
        return [
            *(Place(folder, "replace it with a whole one, or remove it") for folder in folders),
            *([self.package] if self.package else []),
            Place(user_cache(self.name), "remove it, and it is downloaded again"),
        ]

    def _problem(self, place: Place) -> str:
        try:
            return self.lacks(place)
        except InputError as error:
            return str(error)


def stratified(labels: Pixels, n: int, classes: int) -> list[int]:
    """How many of `n` images each class gives, by its share of all.

    >>> stratified(np.array([0, 0, 0, 0, 1, 1, 2], np.uint8), 3, 3)
    [2, 1, 0]
    """
    exact = n * np.bincount(labels, minlength=classes) / len(labels)
    shares = np.floor(exact).astype(int)
    first = np.argsort(shares - exact, kind="stable")  # the largest remainders
    shares[first[: n - shares.sum()]] += 1
    return [int(share) for share in shares]


def joint_sha256(digests: Sequence[str]) -> str:
    """Of a set of several files, by those of the files."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def fill(stream: BufferedIOBase, part: memoryview) -> int:
    """Read into `part` block by block, for gzip holds a second time what one call reads."""
    size = 0
    while count := stream.readinto(part[size : size + BLOCK]):
        size += count
    return size


def size_problem(size: int, expected: int) -> str:
    """What is wrong with the size of a content of which one byte more was read than expected."""
    if size == expected:
        return ""
    found = f"more than {expected:,}" if size > expected else f"{size:,}"
    return f"holds {found} bytes, uncompressed; expected {expected:,}"
