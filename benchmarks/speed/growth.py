"""How time and memory grow with the number of images, their size, the code, and jobs at once."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import Table, alternate, shown, spread

from aelab.studies.compare import compare
from aelab.studies.study import parse_study

CHILD = """
import json, sys
from dataclasses import replace
import torch
from aelab.data.loading import load
from aelab.models.zoo import build
from aelab.settings import Recipe, thaw
from aelab.training.loop import fit
from aelab.machine import keep_freed_memory
from aelab.machine import forget_peak_memory, peak_memory
path, model, most, arguments = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
images = load(path).split("train")
images = replace(images, index=images.index[:most])
network = build(model, images.spec, **thaw(arguments))
keep_freed_memory()
forget_peak_memory()
(*_, state) = fit(network, images, Recipe(epochs=1, batch_size=128, channels_last=True))
print(json.dumps([state.seconds, peak_memory()]))
"""
NUMBERS = (10_000, 100_000, 1_000_000)
SIZES = (28, 64, 128)
CODES = (8, 32, 128, 512)
CONVOLUTIONS = {"channels": [16, 32], "resampling": "stride", "latent_dim": 32}


def write_images(path: Path, n: int, side: int) -> Path:
    """Random bytes as an array of images."""
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, side, side))
    random = np.random.default_rng(0)
    for start in range(0, n, 10_000):
        some = min(10_000, n - start)
        file[start : start + some] = random.integers(0, 256, (some, side, side), np.uint8)
    file.flush()
    return path


def epoch(path: Path, model: str, images: int, arguments: dict[str, Any]) -> tuple[float, float]:
    """Seconds and peak memory in bytes of an epoch, in a process of its own."""
    words = [sys.executable, "-c", CHILD, str(path), model, str(images), json.dumps(arguments)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    seconds, memory = json.loads(told.splitlines()[-1])
    return seconds, memory


def grow(
    table: Table,
    what: str,
    cases: dict[str, tuple[Path, str, int, dict[str, Any]]],
    per: dict[str, float],
    rounds: int,
) -> dict[str, Any]:
    """Each case once a round; `per` is what its time should be in proportion to."""
    memory: dict[str, list[float]] = {name: [] for name in cases}

    def measured(name: str) -> float:
        seconds, peak = epoch(*cases[name])
        memory[name].append(peak / 1e6)
        return seconds

    times = alternate({name: lambda name=name: measured(name) for name in cases}, rounds)  # type: ignore[misc]
    found = {}
    for name, values in times.items():
        each = spread([1e9 * value / per[name] for value in values])
        found[name] = {
            "seconds": spread(values),
            "nanoseconds_each": each,
            "peak_megabytes": spread(memory[name]),
        }
        table.add(f"{what} {name}", shown(spread(values)), shown(each), shown(spread(memory[name])))
    return found


def at_once(jobs: int) -> float:
    """Seconds of a study of two small rows, so many at once."""
    study = parse_study(
        f"jobs-{jobs}",
        'split = "validation"\nmetrics = ["reconstruction"]\n[recipe]\nepochs = 3\n'
        '[rows.one]\nmodel = "vanilla"\n[rows.two]\nmodel = "vanilla"\n',
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        compare(study, out=folder, jobs=jobs)
        return time.perf_counter() - start


def measure(rounds: int) -> dict[str, Any]:
    """Number, size, code, jobs."""
    found: dict[str, Any] = {}
    table = Table(
        "Growth: an epoch of synthetic images (each: an image, a number of all codes, a pixel)",
        *("what", "s", "ns each", "peak MB"),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {n: write_images(folder / f"{n}.npy", n * 5 // 4, 28) for n in NUMBERS}
        found["images"] = grow(
            table,
            "images",
            {f"{n:,}": (paths[n], "vanilla", n, {}) for n in NUMBERS},
            {f"{n:,}": float(n) for n in NUMBERS},
            rounds,
        )
        found["code"] = grow(
            table,
            "code",
            {f"{n}": (paths[NUMBERS[0]], "vanilla", NUMBERS[0], {"latent_dim": n}) for n in CODES},
            {f"{n}": float(n * NUMBERS[0]) for n in CODES},
            rounds,
        )
        sides = {side: write_images(folder / f"side-{side}.npy", 4000, side) for side in SIZES}
        found["size"] = grow(
            table,
            "size",
            {
                f"{side}×{side}": (sides[side], "convolutional", 3200, CONVOLUTIONS)
                for side in SIZES
            },
            {f"{side}×{side}": 3200.0 * side**2 for side in SIZES},
            rounds,
        )
    times = alternate({f"jobs {n}": lambda n=n: at_once(n) for n in (1, 2)}, rounds)  # type: ignore[misc]
    found["jobs"] = {what: spread(values) for what, values in times.items()}
    for what, values in found["jobs"].items():
        table.add(what, shown(values), "", "")
    table.show()
    return found
