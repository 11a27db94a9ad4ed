"""Whether a file computes what its run does, input by input."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Shaped
from numpy.typing import NDArray
from torch import Tensor

from aelab.apps.streams import using
from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.preparation import restore
from aelab.data.specs import Block, Columns, InputSpec
from aelab.data.splits import one_class
from aelab.data.words import as_codes, one_hot
from aelab.evaluate.reconstruction import SEED
from aelab.evaluate.scoring import BEYOND, SCORES
from aelab.exports.formats import Compute
from aelab.exports.parts import Decoder, Encoder, Part, Score
from aelab.files import InputError
from aelab.machine import generator_at, permutation_at
from aelab.models.contract import Autoencoder
from aelab.runs.store import Run

TOLERANCE = 1e-5
"""Of the range of an output's values."""

MOST, MADE_UP, CHUNK = 1000, 200, 250
"""Validation inputs that are compared, drawn by a fixed seed; made-up ones; and so many at once."""

GAPS = 0.1
"""Share of missing values among made-up ones, where any may be missing."""

Rows = Bool[Tensor, " n"]
Right = Callable[[Tensor], Rows]
"""Which rows of an output are as they should be."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs to compare a file and its run on.

    >>> made_up(InputSpec((1, 8, 8))).told
    '200 made-up inputs'
    """

    told: str
    split: InputSplit
    """As the run has them."""

    @property
    def inputs(self) -> dict[str, Tensor]:
        """As a file takes them: x, and the label."""
        every = torch.arange(len(self.split))
        return {
            "x": as_given(self.split.stored(every), self.split.spec),
            "label": self.split.classes_of(every),
        }


def of_validation(data: InputDataset) -> Examples:
    """Those of the run's own validation data."""
    split = data.split("validation")
    chosen = permutation_at(len(split), SEED, "exported")[:MOST].sort().values
    split = replace(split, index=split.index[chosen])
    return Examples(f"{len(split):,} validation input{'s' if len(split) > 1 else ''}", split)


def made_up(spec: InputSpec) -> Examples:
    """Inputs drawn over the range of the training inputs, where none are at hand."""
    generator = generator_at(SEED, "made up")
    if spec.columns is None:
        shares = torch.rand(MADE_UP, *spec.shape, generator=generator, dtype=torch.float64)
        values = restore((shares * spec.peak), spec)
    else:
        mean, std = (
            torch.tensor(v, dtype=torch.float64) for v in (spec.columns.mean, spec.columns.std)
        )
        normal = torch.randn(MADE_UP, len(mean), generator=generator, dtype=torch.float64)
        shares = torch.rand(MADE_UP, len(mean), generator=generator, dtype=torch.float64)
        counts = torch.tensor([len(block.words) for block in spec.columns.blocks])
        values = torch.where(counts > 0, (shares * counts).floor(), mean + std * normal)
        if spec.columns.may_lack:
            gaps = torch.rand(values.shape, generator=generator) < GAPS
            values = values.masked_fill(gaps, torch.nan)
        values = one_hot(values, spec.columns)
    labels = one_class(MADE_UP)
    if spec.classes:
        labels = torch.randint(len(spec.classes), (MADE_UP,), generator=generator)
    split = InputSplit(values, labels, torch.arange(MADE_UP), spec)
    return Examples(f"{MADE_UP} made-up inputs", split)


def as_given(stored: Shaped[Tensor, "n *values"], spec: InputSpec) -> Shaped[Tensor, "n *given"]:
    """Stored values as a file takes them: of words their places, and all fractions as float64."""
    if spec.columns is not None and spec.columns.mixed:
        first = [block.start for block in spec.columns.blocks]
        codes = as_codes(stored.double(), spec.columns)
        return codes.masked_fill(stored[:, first].isnan(), torch.nan)
    return stored.double() if spec.columns is not None or spec.dtype == "float32" else stored


def refuse_different(
    run: Run, part: Part, compute: Compute, examples: Examples, where: str
) -> None:
    """Raise InputError if what a file computes is not what its run does, to 1e-5 of the range.

    The first input goes by itself, and the others together: the batch is of any size.
    """
    with using(run) as model:
        inputs, rights = wanted(model, part, examples)
        starts = [0, *range(1, len(examples.split), CHUNK), len(examples.split)]
        found: list[list[NDArray[Any]]] = []
        for start, stop in pairwise(starts):
            found.append(compute({name: x[start:stop].numpy() for name, x in inputs.items()}))
    for port, right, parts in zip(part.gives, rights, zip(*found, strict=True), strict=True):
        got = np.concatenate(parts)
        if str(got.dtype) != port.dtype or got.shape[1:] != port.shape:
            raise InputError(f"{where}: it gives {port.name} as {got.dtype}{list(got.shape)}")
        wrong = (~right(torch.from_numpy(got))).nonzero().flatten()
        if len(wrong):
            raise InputError(
                f"{where}: it would compute another {port.name} than the run for {len(wrong):,} of "
                f"{examples.told}; nothing is written"
            )


def wanted(
    model: Autoencoder, part: Part, examples: Examples
) -> tuple[dict[str, Tensor], list[Right]]:
    """What a file is given, and what is right of its outputs, by the run's own ways."""
    given, split, spec = examples.inputs, examples.split, model.spec
    batches = [split.batch(i) for i in torch.arange(len(split)).split(CHUNK)]
    codes = torch.cat([model.encode(x) for x in batches])
    if isinstance(part, Decoder):
        decoded = torch.cat([model.decode(z) for z in codes.split(CHUNK)])
        return {"code": codes}, [right_stored(decoded, spec)]
    _, refused = part.stored(given["x"])
    inputs = {port.name: given[port.name] for port in part.takes}
    if isinstance(part, Encoder):
        return inputs, [right_numbers(codes, refused)]
    if isinstance(part, Score):
        fitted = {name: part.get_buffer(f"fitted_{name}") for name in part.names}
        scores = torch.cat([SCORES[part.name].finite(model, x, fitted) for x in batches])
        return inputs, right_scores(scores, refused, part, codes)
    restored = torch.cat([model(x) for x in batches])
    return inputs, [right_stored(restored, spec, refused)]


def between(low: Tensor, high: Tensor, refused: Rows) -> Right:
    """Values from low to high; NaN for what is refused, and where it should be NaN."""

    def right(got: Tensor) -> Rows:
        got = got.to(low.dtype)
        fits = ((got >= low) & (got <= high)) | (got.isnan() & low.isnan())
        return torch.where(
            refused, got.isnan().reshape(len(got), -1).all(1), fits.reshape(len(got), -1).all(1)
        )

    return right


def right_numbers(want: Float[Tensor, "n *some"], refused: Rows) -> Right:
    """Numbers within 1e-5 of their range, 0 included."""
    want = want.double()
    limit = TOLERANCE * span(want[~refused])
    return between(want - limit, want + limit, refused)


def span(values: Tensor) -> float:
    """From the lowest to the highest finite value, 0 included; 1, where all are 0."""
    known = torch.cat([values[values.isfinite()].double(), values.new_zeros(1).double()])
    return (known.max() - known.min()).item() or 1.0


def right_scores(
    want: Float64[Tensor, " n"], refused: Rows, part: Score, codes: Float[Tensor, "n code"]
) -> list[Right]:
    """Scores, and which are anomalies; a score too near the threshold to tell may be either.

    Of scores that are squared errors the roots are compared, on the scale of the inputs: the
    square of a small error cannot be told more exactly than the error.
    """
    if part.name in ("reconstruction", "noise-levels"):
        limit = TOLERANCE
        if part.names:  # a sum of errors over their means
            limit *= part.get_buffer("fitted_mean").reciprocal().sum().sqrt().item()
        root = want.clamp(min=0).sqrt()
        low, high = (root - limit).clamp(min=0).square(), (root + limit).square()
    else:
        known = want[want < BEYOND]
        limit = TOLERANCE * max(span(known), span(codes))
        low, high = want - limit, want + limit

    def right_anomalies(got: Tensor) -> Rows:
        sure, possible = low > part.threshold, high > part.threshold
        return torch.where(refused, got, (got >= sure) & (got <= possible))

    return [between(low, high, refused), right_anomalies]


def right_stored(
    x: Float[Tensor, "n *values"], spec: InputSpec, refused: Rows | None = None
) -> Right:
    """Stored values within 1e-5 of the range of inputs, or where it is larger, of the outputs.

    Whole numbers are those that values within it are rounded to, and a word is the likeliest
    within it. A table's columns have ranges of their own, of a standard deviation or more.
    """
    x = x.double()
    if refused is None or (spec.columns is None and spec.dtype != "float32"):
        refused = torch.zeros(len(x), dtype=torch.bool)  # or whole numbers, of which none is NaN
    if spec.columns is None:
        limit = TOLERANCE * max(spec.peak, span(x[~refused]))
        low, high = (restore(x + sign * limit, spec).double() for sign in (-1, 1))
        return between(low, high, refused)
    rights = [
        right_column(x[:, block.values], block, place, spec.columns, refused)
        for place, block in enumerate(spec.columns.blocks)
    ]
    return lambda got: torch.stack(
        [right(got[:, [place]]) for place, right in enumerate(rights)]
    ).all(0)


def right_column(
    x: Float64[Tensor, "n values"], block: Block, place: int, columns: Columns, refused: Rows
) -> Right:
    """The values of one column of a table."""
    if block.kind == "words":
        near = x >= x.amax(1, keepdim=True) - TOLERANCE

        def right(got: Tensor) -> Rows:
            word = got.nan_to_num(nan=0.0).long().clamp(0, len(block.words) - 1)
            fits = near.gather(1, word) & (word == got)
            return torch.where(refused, got[:, 0].isnan(), fits[:, 0])

        return right
    if block.kind == "boolean":
        return between((x - TOLERANCE > 0.5).double(), (x + TOLERANCE > 0.5).double(), refused)
    limit = TOLERANCE * max(1.0, span(x[~refused]))
    mean, std = columns.mean[place], columns.std[place]
    return between((x - limit) * std + mean, (x + limit) * std + mean, refused)
