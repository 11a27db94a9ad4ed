"""Crops of scikit-learn's two sample photographs, as arrays that ``aelab`` reads.

    python benchmarks/photographs.py 64
    aelab compare benchmarks/photographs-64.toml

writes ``x_train.npy``, ``x_validation.npy`` and ``x_test.npy`` into ``photographs-64``: squares of
128×128 pixels at random places, mirrored at random, brought to the size asked for.

There are only two photographs. Crops of all splits come from all of both and overlap: what is
measured is how well a code of so many numbers holds views of these scenes, some of which a model
has not been shown. With ``apart`` after the size, the splits are columns of the photographs that
share no pixel; that asks for views of what a model has never seen, of two examples of the world.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

SIDE = 128
COUNTS = {"train": 12_000, "validation": 1_000, "test": 1_000}
APART = {"train": (0, 2, 4), "validation": (1,), "test": (3,)}
"""Columns of SIDE pixels, of the five that a photograph has."""


def crop(region: Image.Image, size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """One random square of a region, ``[size, size, 3]``."""
    left, top = (int(random.integers(0, length - SIDE + 1)) for length in region.size)
    box = (left, top, left + SIDE, top + SIDE)
    values = np.asarray(region.resize((size, size), Image.Resampling.BOX, box))
    return values[:, ::-1] if random.random() < 0.5 else values


def regions(split: str, *, apart: bool) -> list[Image.Image]:
    """What the crops of a split are cut from."""
    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    if not apart:
        return photographs
    return [
        photograph.crop((SIDE * number, 0, SIDE * (number + 1), photograph.height))
        for photograph in photographs
        for number in APART[split]
    ]


def main(size: int, *, apart: bool) -> None:
    """Write the three arrays."""
    folder = Path(f"photographs-{size}{'-apart' if apart else ''}")
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for split, count in COUNTS.items():
        places = regions(split, apart=apart)
        crops = [crop(places[i % len(places)], size, random) for i in range(count)]
        np.save(folder / f"x_{split}.npy", np.stack(crops))
    print(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64, apart="apart" in sys.argv[2:])
