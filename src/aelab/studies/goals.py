"""What a model can be chosen for, and how good one is at it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.evaluate.codes import accuracies, latent_codes
from aelab.evaluate.links import auc
from aelab.evaluate.metrics import restored_errors
from aelab.evaluate.reconstruction import SEED, chunks
from aelab.evaluate.samples import frechet_of, most_samples, reference_of
from aelab.evaluate.scoring import SCORES, default_score, split_scores
from aelab.files import InputError
from aelab.machine import generator_at, seeded, set_global
from aelab.models.contract import Autoencoder, InputBatch
from aelab.models.layers import corrupt
from aelab.runs.store import Run

Goal = Literal["reconstruction", "denoising", "anomalies", "samples", "codes"]

NOISE = 0.2
"""Standard deviation of the noise to be removed: of the pixels' range, or of a column's own."""

LEVELS = (0.1, 0.2, 0.5, 1.0)
"""Noise levels that a model for anomalies restores inputs from, where no anomaly is known."""

RESAMPLES = 500
"""Of the inputs, for the interval of an area under a curve."""

STANDARD_ERRORS = 1.96
"""Of a 95 % interval."""

MOST_CODES = 10_000
"""Training codes that a probe learns from, at most."""

FEWEST = 5
"""Validation inputs that a choice can be made by."""

OfEach = Float[Tensor, " inputs"]


@dataclass(frozen=True, eq=False)
class Measured:
    """How good a model is at a goal, and what that is made of.

    >>> Measured(0.5, of_each=torch.tensor([0.25, 0.75])).value
    0.5
    """

    value: float
    of_each: OfEach | None = None
    """Of each input, where the value is their mean."""

    scores: tuple[OfEach, OfEach] | None = None
    """Of normal inputs and of anomalies, where the value is the area under their ROC curve."""


@dataclass(frozen=True)
class Criterion:
    """What models are held against each other by.

    >>> CRITERIA["codes"].better
    'more'
    """

    what: str
    """In words, with its unit."""

    better: Literal["less", "more"]
    measure: Callable[[Run, InputDataset, str], Measured]
    """Of a trained run, on a split."""

    def loss(self, value: float) -> float:
        """The less, the better; infinite, if it is no number."""
        if not math.isfinite(value):
            return math.inf
        return value if self.better == "less" else -value


def criterion_of(goal: Goal, data: InputDataset) -> Criterion:
    """The criterion of a goal on these data.

    Raises:
        InputError: the data cannot have such a goal, or are too few to choose by.
    """
    if (few := len(data.split("validation"))) < FEWEST:
        raise InputError(
            f"{data.name} has {few} validation inputs, and a choice takes {FEWEST}: bring more data"
        )
    if goal == "codes" and len(data.classes) < 2:
        raise InputError(
            f"{data.name} has no classes for codes to tell apart: name the column of a table with "
            f"--label, sort images into folders, or choose for reconstruction"
        )
    if goal == "samples":
        usable = data.spec.kind == "images" and len(data.classes) > 1
        count = most_samples(data, "validation")
        if not usable or reference_of(data, "validation", count, SEED).network is None:
            raise InputError(
                f"{data.name}: samples are compared by features that are learnt from images with "
                f"classes, some dozens of each, which these are not; choose for reconstruction"
            )
    if goal == "anomalies" and not data.anomalies:
        return UNLABELLED
    if goal == "anomalies" and not len(data.anomalies.get("validation", ())):
        raise InputError(
            f"{data.name} has anomalies, and none of them among its validation inputs: put some "
            f"there, or leave --classes out"
        )
    return CRITERIA[goal]


def reconstruction(run: Run, data: InputDataset, split: str) -> Measured:
    """The error of reconstructions; of a table with words, over all columns."""
    of_each = noisy_errors(run.autoencoder, data.split(split), 0.0)
    return Measured(of_each.mean().item(), of_each)


def denoising(run: Run, data: InputDataset, split: str) -> Measured:
    """The error of what is made of noisy inputs."""
    of_each = noisy_errors(run.autoencoder, data.split(split), NOISE)
    return Measured(of_each.mean().item(), of_each)


def noisy_errors(model: Autoencoder, inputs: InputSplit, level: float) -> OfEach:
    """The error of what is made of each input with noise; over a table's columns, their mean."""
    columns = model.spec.columns
    numbers = 1.0
    if columns is not None and columns.mixed:
        numbers = sum(not block.words for block in columns.blocks) / len(columns.blocks)
    weights = {"mse": numbers, "words_wrong": 1 - numbers}
    found = []
    with seeded(SEED), torch.inference_mode():
        for number, x in enumerate(chunks(inputs)):
            set_global(SEED, "choose", number)
            errors = restored_errors(model(noisy(x, level, model.spec)), x, model.spec)
            weighted = [weights[name] * error.nan_to_num() for name, error in errors.items()]
            found.append(torch.stack(weighted).sum(0).double())
    return torch.cat(found)


def noisy(x: InputBatch, level: float, spec: InputSpec) -> InputBatch:
    """Inputs with noise; without any, as they are."""
    return corrupt(x, "gaussian", level, spec.peak, bounded=spec.bounded) if level else x


def anomalies(run: Run, data: InputDataset, split: str) -> Measured:
    """How often an anomaly scores above a normal input."""
    model = run.autoencoder
    name = default_score(model)
    fitted = SCORES[name].fit(model, data.split("train"))
    normal, of_anomalies = (
        split_scores(model, inputs, name, fitted)
        for inputs in (data.split(split), data.anomalies[split])
    )
    return Measured(auc(of_anomalies, normal), scores=(normal, of_anomalies))


def unlabelled_anomalies(run: Run, data: InputDataset, split: str) -> Measured:
    """How much of the noise is left in inputs that were noisy."""
    of_each = share_of_noise_left(run.autoencoder, data.split(split))
    return Measured(of_each.mean().item(), of_each)


def share_of_noise_left(model: Autoencoder, inputs: InputSplit) -> OfEach:
    """Squared error of what is made of noisy inputs, as a share of the noise's variance.

    A mean over `LEVELS`, from little noise to much: what restores an input from all of them knows
    where inputs lie at every scale, and that is what anomalies are told by
    (`evaluate.noise_levels`). To leave an input as it is comes to 1; PCA with k of d numbers, of
    inputs that these k tell, to k / d.
    """
    left = [noisy_errors(model, inputs, level) / level**2 for level in LEVELS]
    return torch.stack(left).mean(0)


def samples(run: Run, data: InputDataset, split: str) -> Measured:
    """The Fréchet distance of samples, from the prior chosen on validation, to real images."""
    count = most_samples(data, split)
    reference = reference_of(data, split, count, SEED)
    return Measured(frechet_of(run.autoencoder, run.prior, reference, count, SEED))


def codes(run: Run, data: InputDataset, split: str) -> Measured:
    """How often logistic regression tells the class of an input from its code."""
    training = data.split("train")
    few = torch.arange(len(training)) < MOST_CODES
    known = training.where(few)
    of_split = data.split(split)
    told = accuracies(
        latent_codes(run.autoencoder, known),
        known.classes,
        latent_codes(run.autoencoder, of_split),
        of_split.classes,
    )
    return Measured(math.nan if told[0] is None else told[0])


CRITERIA: dict[str, Criterion] = {
    "reconstruction": Criterion("error of its reconstructions", "less", reconstruction),
    "denoising": Criterion(f"error from inputs with noise of {NOISE}", "less", denoising),
    "anomalies": Criterion("area under the ROC curve, anomalies against others", "more", anomalies),
    "samples": Criterion("Fréchet distance of its samples", "less", samples),
    "codes": Criterion("accuracy of logistic regression on its codes", "more", codes),
}

UNLABELLED = Criterion(
    f"share of the noise that is left, a mean over noise of {', '.join(map(str, LEVELS))}",
    "less",
    unlabelled_anomalies,
)
"""Of anomalies, where none are known."""


def difference(one: Measured, other: Measured, inputs: int) -> tuple[float, float | None]:
    """``one - other`` on the same inputs, and the half of its 95 % interval, if it has one.

    Of means over inputs, by the paired differences; of areas under curves, by resampling inputs,
    the same for both; of accuracies, as of two samples, which is wider than need be.
    """
    gap = one.value - other.value
    if one.of_each is not None and other.of_each is not None:
        paired = one.of_each - other.of_each
        return gap, STANDARD_ERRORS * (paired.std() / math.sqrt(len(paired))).item()
    if one.scores is not None and other.scores is not None:
        gaps = [auc_of(one.scores, k) - auc_of(other.scores, k) for k in range(RESAMPLES)]
        return gap, STANDARD_ERRORS * torch.tensor(gaps).std().item()
    if min(one.value, other.value) >= 0 and max(one.value, other.value) <= 1:
        variance = sum(share * (1 - share) / inputs for share in (one.value, other.value))
        return gap, STANDARD_ERRORS * math.sqrt(variance)
    return gap, None


def auc_of(scores: tuple[OfEach, OfEach], k: int) -> float:
    """The area under the ROC curve of the k-th resample of inputs."""
    normal, of_anomalies = (
        of[torch.randint(len(of), (len(of),), generator=generator_at(k, name))]
        for name, of in zip(("normal", "anomalies"), scores, strict=True)
    )
    return auc(of_anomalies, normal)
