"""Every model at its defaults on eight small data sets of all kinds, beside the mean and PCA.

    python benchmarks/small_data.py [--models vae sparse] [--data wine digits]

Prints, for each data set and model, the test error as a share of that of the mean of the training
inputs and of PCA's with as many numbers. Made data sets follow from fixed seeds; the others come
with scikit-learn.
"""

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow  # type: ignore[import-untyped]
from sklearn import datasets

import aelab
from aelab.files import InputError

Data = dict[str, Any]


def sprites() -> Data:
    """48 pictures of 16×16: two or three rectangles of one colour each."""
    random = np.random.default_rng(0)
    pictures = np.zeros((48, 16, 16, 3), np.uint8)
    for picture in pictures:
        for _ in range(random.integers(2, 4)):
            top, left = random.integers(0, 10, 2)
            height, width = random.integers(3, 7, 2)
            picture[top : top + height, left : left + width] = random.integers(60, 256, 3)
    return {"data": pictures}


def beats() -> Data:
    """500 beats of a heart, 140 values each: bumps of varying place and size, drift and noise."""
    random = np.random.default_rng(1)
    t = np.linspace(0, 1, 140)
    rows = []
    for _ in range(500):
        shift, rate = random.normal(0, 0.03), random.normal(1, 0.08)
        bumps = [
            (0.2, 0.025, 0.15),
            (0.37, 0.012, -0.2),
            (0.4, 0.012, 1.0),
            (0.43, 0.012, -0.3),
            (0.65, 0.05, 0.3),
        ]
        beat = sum(
            size * random.normal(1, 0.15) * np.exp(-(((t - shift - place * rate) / width) ** 2) / 2)
            for place, width, size in bumps
        )
        rows.append(beat + random.normal(0, 0.1) * t + random.normal(0, 0.02, 140))
    return {"data": np.array(rows, np.float32), "signal": True}


def roll() -> Data:
    """5,000 points of a rolled sheet, in ten columns by a fixed linear map, with noise."""
    points, _ = datasets.make_swiss_roll(5000, noise=0.3, random_state=0)
    map_ = np.random.default_rng(2).normal(size=(3, 10))
    noise = np.random.default_rng(3).normal(0, 0.2, (5000, 10))
    return {"data": frame(np.hstack([points @ map_ / 10 + noise, np.sin(points)]))}


def table(load: Callable[..., Any]) -> Data:
    """The numbers of one of scikit-learn's tables."""
    return {"data": frame(load().data)}


def frame(rows: Any) -> pyarrow.Table:  # noqa: ANN401 - an array
    """Rows as a data frame, whose columns are standardised each by itself."""
    return pyarrow.table({f"x{place}": column for place, column in enumerate(rows.T)})


SETS: dict[str, Callable[[], Data]] = {
    "sprites": sprites,
    "iris": lambda: table(datasets.load_iris),
    "wine": lambda: table(datasets.load_wine),
    "diabetes": lambda: table(datasets.load_diabetes),
    "cancer": lambda: table(datasets.load_breast_cancer),
    "beats": beats,
    "digits": lambda: {"data": "digits"},
    "roll": roll,
}

MODELS = (
    "vanilla",
    "multilayer",
    "sparse",
    "denoising",
    "convolutional",
    "vae",
    "hvae",
    "conv-vae",
)


def share(model: str, given: Data) -> tuple[float, float, float]:
    """The error as a share of the mean's and of PCA's, and the seconds of training."""
    begun = time.perf_counter()
    metrics = aelab.train(model, **given).metrics
    seconds = time.perf_counter() - begun
    of_pca = metrics["pca_share"]
    return metrics["mse"] / metrics["mean_mse"], math.nan if of_pca is None else of_pca, seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--data", nargs="*", default=list(SETS))
    options = parser.parse_args()
    print(f"{'data':10} {'model':14} {'of mean':>8} {'of PCA':>8} {'s':>6}")
    below_mean, below_pca = 0, 0
    for name in options.data:
        shares = []
        for model in options.models:
            try:
                of_mean, of_pca, seconds = share(model, SETS[name]())
            except InputError as error:
                print(f"{name:10} {model:14} {str(error)[:60]}")
                continue
            shares.append((of_mean, of_pca))
            print(f"{name:10} {model:14} {of_mean:8.3f} {of_pca:8.3f} {seconds:6.1f}", flush=True)
        below_mean += all(of_mean < 1 for of_mean, _ in shares)
        below_pca += min(of_pca for _, of_pca in shares) < 1
    print(f"every model below the mean: {below_mean} of {len(options.data)}")
    print(f"the best model below PCA: {below_pca} of {len(options.data)}")


if __name__ == "__main__":
    main()
