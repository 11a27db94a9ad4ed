"""Training speed and memory on an array larger than the memory that it may use.

    python benchmarks/memory_mapped.py 4

writes an array of that many gigabytes, 64×64 pixels in colour, forbids more than 2 GB of memory of
the process's own, and trains on it; first with the file out of the system's cache of files, then
with it in; and at last on a part of it that lies in memory.
"""

import os
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.loading import load
from aelab.machine import keep_freed_memory
from aelab.models.zoo import build
from aelab.settings import Recipe
from aelab.training.loop import fit

LIMIT = 2 * 2**30
SHAPE = (3, 64, 64)
STEPS = 400
RECIPE = Recipe(batch_size=64, learning_rate=1e-3)


def write(path: Path, gigabytes: float) -> None:
    """Write random bytes as an array."""
    n = int(gigabytes * 1e9 / np.prod(SHAPE))
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, *SHAPE))
    random = np.random.default_rng(0)
    for start in range(0, n, 4096):
        array[start : start + 4096] = random.integers(0, 256, (min(4096, n - start), *SHAPE))
    array.flush()


def rate(images: InputSplit) -> float:
    """Images a second over STEPS steps of training, in a random order."""
    torch.manual_seed(0)
    model = build("vanilla", images.spec)
    recipe = replace(RECIPE, epochs=STEPS * RECIPE.batch_size / len(images))
    (*_, state) = fit(model, images, recipe)
    return state.step * recipe.batch_size / state.seconds


def own_memory() -> float:
    """Memory of the process's own at this moment, without that of mapped files, in GB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e6


def main(gigabytes: float) -> None:
    """Write, train, tell."""
    keep_freed_memory()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        path = Path(folder) / "x.npy"
        write(path, gigabytes)
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
        for way in ("first", "again"):
            start = time.perf_counter()
            data = load(str(path))
            print(f"opened for the {way} time in {time.perf_counter() - start:.1f} s")
        assert isinstance(data, InputDataset)
        train = data.split("train")
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        print(f"{len(train):,} images; file out of the cache: {rate(train):,.0f} images/s")
        print(f"file in the cache as far as it goes: {rate(train):,.0f} images/s")
        few = torch.arange(len(train))[: 2**15]
        inside = InputSplit(train.values[train.index[few]], train.labels[few], few, train.spec)
        print(f"memory of its own: {own_memory():.2f} GB with {inside.values.nbytes / 1e9:.1f} "
              f"of it these images; in memory: {rate(inside):,.0f} images/s")  # fmt: skip


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0)
