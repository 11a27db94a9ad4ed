"""The user's cache: what was decoded or unpacked, under a key that follows from the content.

A file's content is hashed once; while its size and its time of change stay, its hash is taken from
an index. All of it may be deleted at any time.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from aelab.files import InputError, atomic_path, read_json, user_cache, write_json
from aelab.machine import cores

FORMAT = 1
"""Of what lies in the cache; entries of another format are not looked at."""

BLOCK = 64
"""Files worked at together."""

T = TypeVar("T")
R = TypeVar("R")


def folder() -> Path:
    """Where the cache is."""
    return user_cache("inputs")


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Threads that read and decode; the libraries that do the work let each other run."""
    pool = ThreadPoolExecutor(min(8, cores()))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def each(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The result of each item, in order; some at a time, so that memory does not grow with them."""
    remaining = iter(items)
    while block := list(islice(remaining, BLOCK)):
        yield from pool.map(work, block)


def key_of(*parts: object) -> str:
    """A key for what follows from `parts`, and from nothing else."""
    text = json.dumps([FORMAT, *parts], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def hashes(paths: Sequence[Path], root: Path) -> list[str]:
    """SHA-256 of each file's content; empty for a file that cannot be read.

    `root` names the index: the folder that the files are in, or the file itself.
    """
    index_path = folder() / f"{key_of(str(root.resolve()))}.index.json"
    known = _known(index_path)
    stamps = {path: _stamp(path) for path in paths}
    stale = [path for path in paths if known.get(str(path), [None])[:2] != stamps[path]]
    with workers() as pool:
        fresh = dict(zip(stale, each(pool, _hash, stale), strict=True))
    found = {path: fresh[path] if path in fresh else known[str(path)][2] for path in paths}
    if stale:
        write_json(index_path, {str(path): [*stamps[path], found[path]] for path in paths})
    return list(found.values())


def _known(path: Path) -> Mapping[str, list[Any]]:
    try:
        index = read_json(path) if path.is_file() else {}
    except InputError:  # damaged, or of more files than JSON's limit: hash them again
        index = {}
    return index if isinstance(index, dict) else {}


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def as_tensor(array: NDArray[Any]) -> Shaped[Tensor, "..."]:
    """A tensor on an array's own memory, also where that is a file's and only read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> Shaped[Tensor, "..."]:
    """A file of plain values as a memory-mapped tensor."""
    if 0 in shape:
        return as_tensor(np.zeros(shape, dtype))
    return as_tensor(np.memmap(path, dtype, mode="r", shape=shape))


def write_blocks(path: Path, blocks: Iterable[NDArray[Any]]) -> None:
    """Write arrays one after another as plain values."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block).data)
