"""Weights rounded to few bits, such that what a program gives hardly changes.

A matrix becomes whole multiples of one step. Its rows are rounded one after another, and what the
rounding of one changes in the outputs, those after it make good as far as inputs of the kind that
the program is given let them (Frantar et al. 2023, arXiv 2210.17323, section 3; at the same
agreement it saves about a fifth of the bits). The step is the largest that the agreement allows.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, fx

from aelab.report.packed import MOST
from aelab.report.programs import Constants, Evaluation, Program, products

AGREEMENT, CLOSE = 6.5e-3, 0.92
"""Largest difference that rounding may make in an output, as a share of the outputs' range; and
the share of that from which no larger step is looked for."""

FEWEST, SMALL = 2048, 0.1
"""Numbers of a matrix that is rounded to a step, and their share of the largest one's; what is
smaller, and kernels of convolutions, are in half precision."""

MOST_ROWS = 1024
"""Of a matrix whose rows make good each other's rounding: its work grows with their square."""

FIRST, TRIALS = 0.015, 8
"""The step that is tried first, as a share of the weights' root mean square; and how many are."""

DAMPING, BLOCK = 1e-3, 64


@dataclass(frozen=True)
class Rounded:
    """Constants in place of a program's own, and the steps of those that have one.

    >>> Rounded({}, {}).error
    0.0
    """

    constants: Constants
    steps: dict[fx.Node, float]
    error: float = 0.0
    """The largest difference in an output."""


def rounded(
    program: Program, many: Program, x: Float[Tensor, "n *shape"], *, peak: float
) -> Rounded:
    """Round a program's large constants; in half precision, if a step does not agree.

    `many` is the same program for as many inputs at a time as x has: every other of these says
    what the program is given, and all are what the agreement is measured on.
    """
    own = dict(zip(many.constants, program.constants, strict=True))
    matrices = products(many)
    most = max((many.constants[n].numel() for n in matrices), default=0)
    large = [n for n in matrices if many.constants[n].numel() >= max(FEWEST, SMALL * most)]
    run = Evaluation(many.module, many.constants)
    y = run.run(x)
    remedies = {
        matrix: remedy(run.seen[rows][::2])
        for matrix, rows in matrices.items()
        if matrix in large and len(many.constants[matrix]) <= MOST_ROWS
    }
    share, best = FIRST, Rounded({}, {})
    for _ in range(TRIALS if large else 0):
        constants: Constants = {}
        steps: dict[fx.Node, float] = {}
        for node in large:
            values = many.constants[node]
            step = max(share * values.square().mean().sqrt(), values.abs().max() / (MOST - 40))
            steps[node] = float(step)
            constants[node] = (
                whole(values, remedies[node], steps[node])
                if node in remedies
                else (values / step).round() * step
            )
        error = ((many.evaluated(x, constants) - y).abs().max() / peak).item()
        if error <= AGREEMENT and sum(steps.values()) > sum(best.steps.values()):
            best = Rounded(
                {own[n]: values for n, values in constants.items()},
                {own[n]: step for n, step in steps.items()},
                error,
            )
        if CLOSE * AGREEMENT <= error <= AGREEMENT:
            break
        share *= min(max(0.96 * AGREEMENT / error, 0.3), 3)
    return best


@dataclass(frozen=True)
class Remedy:
    """How a row of a matrix makes good what the rounding of those before it changed.

    >>> remedy(torch.eye(3)).order.tolist()
    [0, 1, 2]
    """

    order: Int64[Tensor, " inputs"]
    """The rows, those with the largest inputs first."""

    factor: Float[Tensor, "inputs inputs"]
    """The upper Cholesky factor of the inverse of the inputs' second moments, in this order."""


def remedy(rows: Float[Tensor, "n inputs"]) -> Remedy:
    """From what a matrix is multiplied by, its second moments damped."""
    rows = rows.double()
    moments = rows.T @ rows / len(rows)
    moments += DAMPING * moments.diagonal().mean().clamp(min=1e-12) * torch.eye(len(moments))
    order = moments.diagonal().argsort(descending=True, stable=True)
    inverse = torch.linalg.inv(moments[order][:, order])
    inverse = (inverse + inverse.T) / 2
    return Remedy(order, torch.linalg.cholesky(inverse, upper=True).float())


def whole(
    matrix: Float[Tensor, "inputs outputs"], by: Remedy, step: float
) -> Float[Tensor, "inputs outputs"]:
    """The matrix in multiples of a step, each row making good what those before it changed."""
    order, factor = by.order, by.factor
    left, found = matrix[order].clone(), torch.empty_like(matrix)
    for start in range(0, len(left), BLOCK):
        stop = min(start + BLOCK, len(left))
        errors = torch.empty_like(left[start:stop])
        for i in range(start, stop):
            found[order[i]] = ((left[i] / step).round().clamp(-MOST, MOST)) * step
            errors[i - start] = (left[i] - found[order[i]]) / factor[i, i]
            left[i + 1 : stop] -= factor[i, i + 1 : stop, None] * errors[i - start]
        left[stop:] -= factor[start:stop, stop:].T @ errors
    return found
