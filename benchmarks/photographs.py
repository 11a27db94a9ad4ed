"""Crops of scikit-learn's two sample photographs, as arrays that ``aelab`` reads.

    python benchmarks/photographs.py 64
    aelab compare benchmarks/photographs-64.toml

writes ``photographs-64/x_train.npy``, ``x_validation.npy`` and ``x_test.npy``. Splits are regions:
the left three fifths of each photograph are for training, the next fifth for validation and the
last for the test, so that no pixel is in two splits. A crop is a square of a random place and size,
brought to the size asked for, and mirrored at random.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

LARGEST = 128  # pixels of a side: the width of the regions of validation and test
COUNTS = {"train": 12_000, "validation": 1_000, "test": 1_000}
BOUNDS = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}


def crop(region: Image.Image, size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """One random square of a region, ``[size, size, 3]``."""
    side = int(random.integers(min(96, size), LARGEST + 1))
    left, top = (int(random.integers(0, n - side + 1)) for n in region.size)
    square = region.resize(
        (size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side)
    )
    values = np.asarray(square)
    return values[:, ::-1] if random.random() < 0.5 else values


def main(size: int) -> None:
    """Write the three arrays."""
    folder = Path(f"photographs-{size}")
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    for split, count in COUNTS.items():
        regions = [
            photograph.crop((
                round(BOUNDS[split][0] * photograph.width), 0,
                round(BOUNDS[split][1] * photograph.width), photograph.height,
            ))
            for photograph in photographs
        ]  # fmt: skip
        crops = [crop(regions[i % len(regions)], size, random) for i in range(count)]
        np.save(folder / f"x_{split}.npy", np.stack(crops))
    print(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
