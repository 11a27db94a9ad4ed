"""Measures of a reconstruction: pure functions of tensors."""

import math

from jaxtyping import Float
from torch import Tensor


def squared_errors(
    x_hat: Float[Tensor, "batch *shape"], x: Float[Tensor, "batch *shape"], peak: float = 1.0
) -> Float[Tensor, " batch"]:
    """Mean squared error of each example over its dimensions, as a share of `peak` squared.

    In double precision, so that the mean over a large split is exact to print.
    """
    return ((x_hat - x) / peak).double().square().flatten(1).mean(1)


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in decibels of a mean squared error on a scale of [0, 1].

    ``10 log10(1 / mse)``.

    >>> psnr(0.01)
    20.0
    """
    return math.inf if mse == 0 else -10 * math.log10(mse)
