"""Measures of a reconstruction: pure functions of tensors."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aelab.data.batch import Batch
from aelab.data.specs import Columns, InputSpec
from aelab.models.mixed import Kinds


def squared_errors(
    x_hat: Float[Tensor, "batch *shape"], x: Float[Tensor, "batch *shape"], peak: float = 1.0
) -> Float[Tensor, " batch"]:
    """Mean squared error of each example over its dimensions, as a share of `peak` squared.

    In double precision, so that the mean over a large split is exact to print. Of a batch that
    says which values are known, over these: NaN, where none is.
    """
    squared = ((x_hat - x) / peak).double().square().flatten(1)
    return known_mean(squared, Batch.of(x).present)


def known_mean(
    values: Float[Tensor, "batch values"], present: Bool[Tensor, "batch *shape"] | None
) -> Float[Tensor, " batch"]:
    """Mean of each example's known values; NaN, where none is."""
    if present is None:
        return values.mean(1)
    known = present.flatten(1)
    # NaN says that there is none: what is no number because of the model is infinite.
    values = torch.where(known, values.nan_to_num(nan=math.inf), 0)
    return values.sum(1) / known.sum(1)


def mean_of_known(
    of_each: Float[Tensor, " examples"], columns: Columns | None
) -> Float[Tensor, ""]:
    """The mean of a figure over those examples that have it: all, where nothing is masked."""
    return of_each.nanmean() if columns is not None and columns.mask else of_each.mean()


def restored_errors(
    x_hat: Float[Tensor, "batch *shape"], x: Float[Tensor, "batch *shape"], spec: InputSpec
) -> dict[str, Float[Tensor, " batch"]]:
    """How wrong each example's values are restored, by kind.

    `mse` is `squared_errors`; of a table, over its numbers, in units of their columns' variances.
    `words_wrong` is the share of its words, false and true among them, of which another is the
    likeliest; one that no training row has is never right. What a table has none of is no key.

    >>> from aelab.data.specs import Columns
    >>> columns = Columns(("cm", "eyes"), (0.0, 0.0), (1.0, 1.0), words=((), ("blue", "brown")))
    >>> spec = InputSpec((3,), 1.0, dtype="float32", columns=columns)
    >>> restored_errors(torch.tensor([[0.5, 0.9, 0.1]]), torch.tensor([[1.0, 0.0, 1.0]]), spec)
    {'mse': tensor([0.2500], dtype=torch.float64), 'words_wrong': tensor([1.], dtype=torch.float64)}
    """
    if spec.columns is None or not spec.columns.mixed:
        return {"mse": squared_errors(x_hat, x, spec.peak)}
    kinds, present = Kinds(spec.columns), Batch.of(x).present
    x, found = Tensor(x), {}
    if len(kinds.numbers):
        squared = (x_hat - x)[:, kinds.numbers].double().square()
        found["mse"] = known_mean(squared, None if present is None else present[:, kinds.numbers])
    wrong = [(x_hat[:, i] > 0.5) != (x[:, i] > 0.5) for i in kinds.booleans]
    wrong += [x[:, of].gather(1, x_hat[:, of].argmax(1, True))[:, 0] == 0 for of in kinds.words]
    if wrong:
        first = [*kinds.booleans.tolist(), *(of.start for of in kinds.words)]
        known = None if present is None else present[:, first]
        found["words_wrong"] = known_mean(torch.stack(wrong, 1).double(), known)
    return found


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in decibels of a mean squared error on a scale of [0, 1].

    ``10 log10(1 / mse)``.

    >>> psnr(0.01)
    20.0
    """
    return math.inf if mse == 0 else -10 * math.log10(mse)
