"""Detectors of anomalies among rows of numbers: autoencoders by one recipe, and their rivals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from sklearn.preprocessing import StandardScaler

from aelab.data.adbench import Halves
from aelab.data.input_sets import InputSplit
from aelab.data.specs import Columns, InputSpec
from aelab.evaluate.rivals import RIVALS
from aelab.evaluate.scoring import SCORES, default_score, split_scores
from aelab.machine import seeded
from aelab.models.zoo import resolve
from aelab.settings import Recipe
from aelab.training.loop import fit

STEPS, BATCH = 2_000, 256
"""Of training, whatever the number of rows."""

LEARNING_RATE = 2e-3
HIDDEN = (256, 128)
Rows = Float64[np.ndarray, "rows columns"]
Scores = Float64[np.ndarray, " rows"]


@dataclass(frozen=True)
class Detector:
    """What scores rows after it was fitted to normal ones.

    >>> DETECTORS["autoencoder"].model
    'vanilla'
    """

    told: str
    model: str | None = None
    """Of the zoo; a rival has none."""

    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    share: float = 0.5
    """How many numbers its code has for each column."""

    most: int = 32
    """Numbers in its code."""

    published: str | None = None
    """The published detector of the same kind."""

    def code_size(self, columns: int) -> int:
        """How many numbers its code has for so many columns; at least one.

        >>> [DETECTORS["pca"].code_size(columns) for columns in (1, 21, 100)]
        [1, 10, 32]
        """
        return max(1, min(self.most, int(self.share * columns)))


DENSE = {"hidden": HIDDEN}

DETECTORS: dict[str, Detector] = {
    # Noise, and not a small code, keeps it from copying its inputs.
    "noise-conditional": Detector(
        "denoising at four noise levels",
        "noise-conditional",
        DENSE,
        share=1.0,
        most=HIDDEN[-1],
        published="DTE-C",
    ),
    "autoencoder": Detector(
        "squared error of the reconstruction",
        "vanilla",
        {**DENSE, "activated_code": False, "decoder_hidden": None},
    ),
    "vae": Detector("minus the evidence lower bound", "vae", DENSE, published="VAE"),
    "neighbours": Detector("mean distance to 5 neighbours", published="KNN"),
    "lof": Detector("local outlier factor", published="LOF"),
    "isolation-forest": Detector("isolation forest", published="IForest"),
    "ocsvm": Detector("one-class support vector machine", published="OCSVM"),
    "pca": Detector("squared error of PCA, as many numbers", published="PCA"),
}
"""By name: autoencoders, and then the rivals of `evaluate.rivals`."""


def recipe_of(rows: int, steps: int = STEPS) -> Recipe:
    """So many steps over so many rows.

    >>> recipe_of(1_024).epochs, recipe_of(100).epochs
    (500.0, 2000.0)
    """
    return Recipe(
        epochs=steps / math.ceil(rows / BATCH), batch_size=BATCH, learning_rate=LEARNING_RATE
    )


def scores(name: str, halves: Halves, seed: int, steps: int = STEPS) -> Scores:
    """The score of each test row by a detector that is fitted to the training rows.

    The columns are standardised on the training rows; one that does not vary there is only
    centred.
    """
    scaler = StandardScaler().fit(halves.train)
    train, test = scaler.transform(halves.train), scaler.transform(halves.test)
    detector = DETECTORS[name]
    if detector.model is not None:
        return model_scores(detector, train, test, seed, steps)
    found: Scores = RIVALS[name](seed, detector.code_size(train.shape[1])).fit(train).scores(test)
    return found


def model_scores(of: Detector, train: Rows, test: Rows, seed: int, steps: int) -> Scores:
    """The same of a model, trained on standardised rows."""
    given, asked = split_of(train), split_of(test)
    assert of.model is not None
    with seeded(seed, "initialisation"):
        model = resolve(of.model).build(
            given.spec, **of.hyperparameters, latent_dim=of.code_size(train.shape[1])
        )
    for _ in fit(model, given, recipe_of(len(train), steps), seed=seed):
        pass
    own = default_score(model)
    found = split_scores(model, asked, own, SCORES[own].fit(model, given))
    score: Scores = found.numpy()
    return score


def split_of(rows: Rows) -> InputSplit:
    """Standardised rows as a model takes them."""
    columns = rows.shape[1]
    names = tuple(str(number) for number in range(columns))
    standard = Columns(names, mean=(0.0,) * columns, std=(1.0,) * columns, numbered=True)
    spec = InputSpec((columns,), 1.0, dtype="float32", columns=standard)
    values, index = torch.from_numpy(rows).float(), torch.arange(len(rows))
    return InputSplit(values, torch.zeros_like(index), index, spec)
