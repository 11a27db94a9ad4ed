"""Crops of scikit-learn's two sample photographs, as arrays that ``aelab`` reads.

    python benchmarks/photographs.py 64
    aelab compare benchmarks/photographs-64.toml

writes ``x_train.npy``, ``x_validation.npy`` and ``x_test.npy`` into ``photographs-64``. Each
photograph is cut into five columns of 128 pixels: the first, third and fifth are for training, the
second for validation, the fourth for the test; so no pixel is in two splits. A crop is a square of
a random place and size within a column, brought to the size asked for, and mirrored at random.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

WIDTH = 128
COLUMNS = {"train": (0, 2, 4), "validation": (1,), "test": (3,)}
COUNTS = {"train": 12_000, "validation": 1_000, "test": 1_000}
SMALLEST_SIDE = {64: 64, 128: 96}
"""Pixels of a photograph in a crop's side, at least; by the size it is brought to."""


def crop(column: Image.Image, size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """One random square of a column, ``[size, size, 3]``."""
    side = int(random.integers(SMALLEST_SIDE[size], WIDTH + 1))
    left, top = (int(random.integers(0, length - side + 1)) for length in column.size)
    box = (left, top, left + side, top + side)
    values = np.asarray(column.resize((size, size), Image.Resampling.BILINEAR, box))
    return values[:, ::-1] if random.random() < 0.5 else values


def main(size: int) -> None:
    """Write the three arrays."""
    folder = Path(f"photographs-{size}")
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    for split, count in COUNTS.items():
        columns = [
            photograph.crop((WIDTH * number, 0, WIDTH * (number + 1), photograph.height))
            for photograph in photographs
            for number in COLUMNS[split]
        ]
        crops = [crop(columns[i % len(columns)], size, random) for i in range(count)]
        np.save(folder / f"x_{split}.npy", np.stack(crops))
    print(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
