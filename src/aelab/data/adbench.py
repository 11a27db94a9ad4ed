"""The tables of ADBench: found on this machine or downloaded, and split as published.

Han et al. 2022, "ADBench: Anomaly Detection Benchmark" (arXiv 2206.09426): a file ``.npz`` a table,
with its rows in ``X`` and in ``y`` 1 for an anomaly and 0 for a normal row.
"""

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from aelab.data.arrays import HEADER_LIMIT
from aelab.data.downloads import fetch_verified
from aelab.files import InputError, MissingFileError, user_cache

FOLDER = "adbench"
"""Of the tables, in a folder of data."""

MIRRORS = (
    "https://github.com/Minqi824/ADBench/raw/main/adbench/datasets/Classical/",
    "https://cdn.jsdelivr.net/gh/Minqi824/ADBench@main/adbench/datasets/Classical/",
)

MOST_BYTES = 2**31
"""Of a table's arrays, unpacked: the largest of ADBench has 1.2 GB."""

FEW_ROWS, MANY_ROWS = 1_000, 50_000
"""Tables of fewer are resampled to so many in the published protocol, tables of more are cut."""

Rows = Float64[np.ndarray, "rows columns"]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of numbers, of which some are anomalies.

    >>> Table("mine", np.zeros((3, 2)), np.array([False, True, False])).small
    True
    """

    name: str
    """As ADBench has it, with its number: 14_glass."""

    x: NDArray[Any]
    """``[rows, columns]``."""

    anomaly: NDArray[np.bool_]

    @property
    def small(self) -> bool:
        """Whether the published protocol resamples it."""
        return len(self.x) < FEW_ROWS


@dataclass(frozen=True, eq=False)
class Halves:
    """The rows that a detector is fitted to, all normal, and those that it is tested on.

    >>> table = Table("mine", np.array([[0.0], [2.0], [9.0], [1.0]]), np.arange(4) == 2)
    >>> halves = split_halves(table, seed=0, resampled=False)
    >>> halves.train.tolist(), halves.test.tolist(), halves.anomaly.tolist()
    ([[0.0]], [[2.0], [9.0], [1.0]], [False, True, False])
    """

    train: Rows
    test: Rows
    anomaly: NDArray[np.bool_]
    """Which of the test rows are."""

    seen: float
    """Share of the normal test rows that are the very same rows as training rows."""


def split_halves(table: Table, seed: int, *, resampled: bool) -> Halves:
    """Split a table by the semi-supervised protocol of Livernoche et al. 2024 (arXiv 2305.18593).

    A table of fewer than 1,000 rows is drawn with replacement to 1,000 if `resampled`, so that test
    rows are among the training rows; one of more than 50,000 is cut to as many by chance. The first
    half of the normal rows, in that order, trains; the other half and all anomalies test.
    """
    random = np.random.default_rng(seed)
    rows = np.arange(len(table.x))
    if resampled and table.small:
        rows = random.choice(rows, FEW_ROWS, replace=True)
    elif len(rows) > MANY_ROWS:
        rows = random.choice(rows, MANY_ROWS, replace=False)
    anomaly = table.anomaly[rows]
    normal = np.flatnonzero(~anomaly)
    train, held_out = normal[: len(normal) // 2], normal[len(normal) // 2 :]
    test = np.sort(np.concatenate([held_out, np.flatnonzero(anomaly)]))
    seen = np.isin(rows[held_out], rows[train]).mean()
    x = table.x[rows].astype(np.float64)
    return Halves(x[train], x[test], anomaly[test], float(seen))


def read_table(path: Path) -> Table:
    """The table in a file.

    Raises:
        MissingFileError: there is none.
        InputError: it is damaged, too large, or no table with normal rows and anomalies.
    """
    arrays = read_arrays(path)
    if missing := {"X", "y"} - arrays.keys():
        raise InputError(
            f"{path} has no array {' and no array '.join(sorted(missing))}: a table has its rows "
            f"in X, and in y 1 for an anomaly and 0 for a normal row"
        )
    x, y = arrays["X"], arrays["y"]
    if x.ndim != 2 or x.dtype.kind not in "buif" or 0 in x.shape:
        raise InputError(
            f"{path}: X must be numbers [rows, columns], not {x.dtype} of the shape {x.shape}"
        )
    if y.shape != (len(x),) or y.dtype.kind not in "buif" or not np.isin(y, (0, 1)).all():
        raise InputError(
            f"{path}: y must be 0 or 1 for each of the {len(x):,} rows, not {y.dtype} of the shape "
            f"{y.shape}{told_values(y)}"
        )
    if not np.isfinite(x).all():
        raise InputError(f"{path}: X has values that are missing or infinite; fill them in first")
    anomaly = y.astype(bool)
    if anomaly.all() or (~anomaly).sum() < 4:
        raise InputError(
            f"{path} has {(~anomaly).sum():,} normal rows; half of 4 or more train a detector"
        )
    if not anomaly.any():
        raise InputError(f"{path} has no anomaly (y is 0 throughout): there is nothing to find")
    return Table(path.stem, x, anomaly)


def told_values(y: NDArray[Any]) -> str:
    """Some values of an array of numbers, for a message."""
    if y.dtype.kind not in "buif":
        return ""
    return f" with the values {', '.join(f'{value:g}' for value in np.unique(y)[:4])}"


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays X and y of an ``.npz`` file, as far as it has them; nothing is unpickled.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is damaged, too large, or holds objects.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(part.file_size for part in packed.infolist())
        if size > MOST_BYTES:
            raise InputError(f"{path} unpacks to {size:,} bytes; at most {MOST_BYTES:,} are read")
        with np.load(path, allow_pickle=False, max_header_size=HEADER_LIMIT) as arrays:
            return {name: arrays[name] for name in ("X", "y") if name in arrays}
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist; check the path") from error
    except InputError:
        raise
    except (
        zipfile.BadZipFile, zlib.error, ValueError, EOFError, MemoryError, NotImplementedError,
        RuntimeError,
    ) as error:  # fmt: skip
        told = " ".join(str(error).split())
        raise InputError(f"{path} is damaged or no .npz file of numbers ({told})") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


@cache
def checksums() -> Mapping[str, str]:
    """SHA-256 of the files of those tables whose content is known, by the table's name."""
    text = (files("aelab") / "data" / "adbench.json").read_text("utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def table_paths(folder: Path | None = None, data_dir: Path | None = None) -> list[Path]:
    """The files of the tables, in the order of their numbers.

    Those in a `folder` that the user names, whatever they are called; or else those in the folder
    adbench of `data_dir` (or the variable AELAB_DATA); or else those that can be downloaded,
    verified, into the user's cache. Of the 47 tables of ADBench only those with a known checksum
    are downloaded.

    Raises:
        MissingFileError: there are none, and none can be downloaded.
        InputError: `folder` holds no such file.
    """
    if folder is not None:
        if not folder.is_dir():
            raise MissingFileError(f"{folder} is no folder; name one with the .npz files of tables")
        if not (found := npz_files(folder)):
            raise InputError(
                f"{folder} has no .npz file: name a folder with tables of ADBench, a file each, "
                f"with arrays X and y"
            )
        return found
    named = data_dir or os.environ.get("AELAB_DATA")
    if named and (found := npz_files(Path(named).expanduser() / FOLDER)):
        return found
    return downloaded(user_cache(FOLDER))


def npz_files(folder: Path) -> list[Path]:
    """The ``.npz`` files of a folder, if there is one, by the numbers that their names begin with.

    Raises:
        InputError: the folder cannot be looked into.
    """
    try:
        return sorted(folder.glob("*.npz"), key=lambda path: (number_of(path.stem), path.stem))
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}") from error


def number_of(name: str) -> int:
    """The number that a table's name begins with; of other names 0.

    >>> number_of("14_glass"), number_of("mine")
    (14, 0)
    """
    first = name.partition("_")[0]
    return int(first) if first.isdecimal() else 0


def downloaded(folder: Path) -> list[Path]:
    """The tables with a known checksum, each brought into `folder` unless it is there.

    Raises:
        MissingFileError: one cannot be had.
    """
    for name in checksums():
        path = folder / f"{name}.npz"
        if path.is_file():
            continue
        try:
            urls = [f"{mirror}{name}.npz" for mirror in MIRRORS]
            fetch_verified(urls, path, lambda file, name=name: other_file(file, name))  # type: ignore[misc]
        except InputError as error:
            raise MissingFileError(
                f"the tables of ADBench are not here, and cannot be downloaded: {error}. Name a "
                f"folder that holds them as .npz files with --data, or run again with a network"
            ) from error
    return npz_files(folder)


def other_file(path: Path, name: str) -> str:
    """What is wrong with a file that should be the table `name`; nothing if it is."""
    found, expected = sha256_of(path), checksums()[name]
    return "" if found == expected else f"has SHA-256 {found}; expected {expected}"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
