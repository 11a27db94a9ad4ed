"""What a model can be chosen for, and how good one is at it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.evaluate.codes import accuracies, latent_codes
from aelab.evaluate.links import auc
from aelab.evaluate.metrics import restored_errors
from aelab.evaluate.reconstruction import SEED, chunks
from aelab.evaluate.samples import SAMPLES, frechet_of, reference_of
from aelab.evaluate.scoring import SCORES, default_score, split_scores
from aelab.files import InputError
from aelab.machine import generator_at, permutation_at, seeded, set_global
from aelab.models.contract import Autoencoder, InputBatch
from aelab.models.layers import corrupt
from aelab.runs.store import Run

Goal = Literal["reconstruction", "denoising", "anomalies", "samples", "codes"]

NOISE = 0.2
"""Standard deviation of the noise to be removed: of the pixels' range, or of a column's own."""

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
        count = min(SAMPLES, len(data.split("validation")))
        if not usable or reference_of(data, "validation", count, SEED).network is None:
            raise InputError(
                f"{data.name}: samples are compared by features that are learnt from images with "
                f"classes, some dozens of each, which these are not; choose for reconstruction"
            )
    if goal == "anomalies" and not data.anomalies:
        return MIXED_UP
    if goal == "anomalies" and not len(data.anomalies.get("validation", ())):
        raise InputError(
            f"{data.name} has anomalies, and none of them among its validation inputs: put some "
            f"there, or leave --classes out"
        )
    return CRITERIA[goal]


def reconstruction(run: Run, data: InputDataset, split: str) -> Measured:
    """The error of reconstructions; of a table with words, over all columns."""
    return restored(run, data.split(split), lambda x: x)


def denoising(run: Run, data: InputDataset, split: str) -> Measured:
    """The error of what is made of noisy inputs."""
    spec = data.spec

    def noisy(x: InputBatch) -> InputBatch:
        return corrupt(x, "gaussian", NOISE, spec.peak, bounded=spec.bounded)

    return restored(run, data.split(split), noisy)


def restored(run: Run, inputs: InputSplit, given: Callable[[InputBatch], InputBatch]) -> Measured:
    """The error of the reconstructions of what is `given` for each input, a column its value."""
    model = run.autoencoder
    columns = model.spec.columns
    numbers = 1.0
    if columns is not None and columns.mixed:
        numbers = sum(not block.words for block in columns.blocks) / len(columns.blocks)
    weights = {"mse": numbers, "words_wrong": 1 - numbers}
    found = []
    with seeded(SEED), torch.inference_mode():
        for number, x in enumerate(chunks(inputs)):
            set_global(SEED, "choose", number)
            errors = restored_errors(model(given(x)), x, model.spec)
            weighted = [weights[name] * error.nan_to_num() for name, error in errors.items()]
            found.append(torch.stack(weighted).sum(0).double())
    of_each = torch.cat(found)
    return Measured(of_each.mean().item(), of_each)


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


def mixed_up_anomalies(run: Run, data: InputDataset, split: str) -> Measured:
    """How often an input of which a half is another's scores above one that is whole."""
    normal, of_anomalies = mixed_up_scores(run.autoencoder, data, split)
    return Measured(auc(of_anomalies, normal), scores=(normal, of_anomalies))


def mixed_up_scores(model: Autoencoder, data: InputDataset, split: str) -> tuple[OfEach, OfEach]:
    """The scores of a split's inputs, and of the same with a half that is another's."""
    inputs = data.split(split)
    score = SCORES[default_score(model)]
    fitted = score.fit(model, data.split("train"))
    order = permutation_at(len(inputs), SEED, "mixed up")
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)  # none is its own
    whole, mixed = [], []
    with seeded(SEED), torch.inference_mode():
        for number, i in enumerate(torch.arange(len(inputs)).split(100)):
            x, other = inputs.batch(i), inputs.batch(partner[i])
            half = halves(x.shape, data, number)
            mixture = x.with_inputs(torch.where(half, other.x, x.x))
            whole.append(score.finite(model, x, fitted))
            mixed.append(score.finite(model, mixture, fitted))
    return torch.cat(whole), torch.cat(mixed)


def halves(shape: torch.Size, data: InputDataset, number: int) -> Tensor:
    """Which values of some inputs are another's: of a table half of its columns, else a window.

    A window is half as long as the input in each direction, somewhere.
    """
    generator = generator_at(SEED, "halves", number)
    columns = data.spec.columns
    if columns is not None or len(shape) == 2:
        names = shape[1] if columns is None else len(columns.names)
        order = torch.rand(shape[0], names, generator=generator).argsort(1)
        chosen = order < max(1, names // 2)
        if columns is None or not columns.mixed:
            return chosen
        widths = torch.tensor([block.stop - block.start for block in columns.blocks])
        return chosen.repeat_interleave(widths, 1)
    mask = torch.ones(shape[0], 1, *shape[2:], dtype=torch.bool)
    for axis, length in enumerate(shape[2:], 2):
        size = max(1, length // 2)
        start = torch.randint(0, length - size + 1, (shape[0], 1), generator=generator)
        places = torch.arange(length)
        within = (places >= start) & (places < start + size)
        mask &= within.reshape(
            shape[0], *(length if a == axis else 1 for a in range(1, len(shape)))
        )
    return mask.expand(shape)


def samples(run: Run, data: InputDataset, split: str) -> Measured:
    """The Fréchet distance of samples, from the prior chosen on validation, to real images."""
    count = min(SAMPLES, len(data.split(split)), len(data.split("train")))
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

MIXED_UP = Criterion(
    "area under the ROC curve, inputs of which a half is another's against whole ones",
    "more",
    mixed_up_anomalies,
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
