"""What a GPU is worth: `aelab compare` on it, and a convolutional VAE on a million images.

    python benchmarks/gpu.py [FOLDER to write to] [IMAGES]

Needs a CUDA device, FashionMNIST, and 4 GB on the disk for a million made-up images. For each row
of the study, training in images a second is held against that on two threads of the processor, on a
hundredth of the epochs. Prints Markdown.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import aelab
from aelab.machine import machine
from aelab.studies.compare import Result, compare
from aelab.studies.study import Study, load_study

AIM_SECONDS, AIM_TIMES = 90, 20
"""Of the study in all, and of a convolutional row's images a second against the processor's."""

SHARE = 0.01
"""Of the epochs, that the processor trains for its speed."""


def rates(result: Result) -> dict[str, float]:
    """Images a second in training, of the rows that are trained."""
    return {
        name: run.timings["images_per_second"]
        for name, (run, *_) in result.runs.items()
        if run.timings["images_per_second"]
    }


def here(study: Study) -> Study:
    """The rows on two threads of the processor, for a look at their speed."""
    rows = []
    for row in study.rows:
        recipe = row.settings.recipe
        recipe = replace(recipe, epochs=SHARE * recipe.epochs, threads=2, device="cpu")
        rows.append(replace(row, settings=replace(row.settings, recipe=recipe)))
    return replace(study, name="here", rows=tuple(rows), groups=("reconstruction",))


def made_up(path: Path, n: int) -> Path:
    """Images of a bright spot at any place, in a file."""
    if path.is_file():
        return path
    found = np.lib.format.open_memmap(path, "w+", np.uint8, (n, 64, 64))
    rows, columns = np.mgrid[:64, :64].astype(np.float32)
    random = np.random.default_rng(0)
    for start in range(0, n, 1000):
        of_these = found[start : start + 1000]
        place = random.uniform(8, 56, (2, len(of_these), 1, 1)).astype(np.float32)
        width = random.uniform(2, 6, (len(of_these), 1, 1)).astype(np.float32)
        distance = (rows - place[0]) ** 2 + (columns - place[1]) ** 2
        of_these[:] = 255 * np.exp(-distance / width**2)
    found.flush()
    return path


def main(folder: Path, images: int) -> None:
    """Measure and print."""
    if not torch.cuda.is_available():
        sys.exit("there is no CUDA device here: nothing was measured")
    print(f"{machine('cuda')}; PyTorch {torch.__version__}\n")
    study = load_study("default")
    start = time.perf_counter()
    there = compare(study.on_device("cuda"), out=folder)
    took = time.perf_counter() - start
    print(f"`aelab compare --device cuda`: {took:.0f} s in all (aim: {AIM_SECONDS} s)\n")
    before, after = rates(compare(here(study), out=folder)), rates(there)
    print("| row | images/s, two threads | images/s, GPU | times |\n| --- | ---: | ---: | ---: |")
    for name in before.keys() & after.keys():
        times = after[name] / before[name]
        print(f"| {name} | {before[name]:,.0f} | {after[name]:,.0f} | {times:.1f} |")
    print(f"\nThe aim for convolutional rows is {AIM_TIMES} times.\n")
    folder.mkdir(parents=True, exist_ok=True)
    run = aelab.train(
        "conv-vae",
        made_up(folder / "images.npy", images),
        out=folder / "conv-vae",
        device="cuda",
        precision="auto",
        channels_last=True,
        batch_size=512,
        epochs=1,
    )
    print(f"conv-vae, an epoch of {images:,} images of 64×64: {run.timings['train_seconds']:.0f} s")
    print(f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB of the GPU's memory at most")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0] if given else "runs/gpu"), int(given[1]) if len(given) > 1 else 1_000_000)
