"""Where an input is unlike the training inputs: the share of each value, column or position."""

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from aelab.data.specs import InputSpec

Errors = Float64[Tensor, "batch *shape"]


def shares(errors: Errors) -> Errors:
    """Errors as shares of their sum, input by input; all 0 where nothing is wrong.

    Where some are beyond arithmetic, these alone share.

    >>> shares(torch.tensor([[1.0, 3.0], [0.0, 0.0]], dtype=torch.float64))
    tensor([[0.2500, 0.7500], [0.0000, 0.0000]], dtype=torch.float64)
    """
    rows = errors.flatten(1)
    beyond = ~rows.isfinite()
    rows = torch.where(beyond.any(1, keepdim=True), beyond.double(), rows)
    # By the largest first: the sum of the largest finite numbers is not finite.
    rows = rows / rows.amax(1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
    total = rows.sum(1, keepdim=True)
    return (rows / torch.where(total > 0, total, 1)).reshape(errors.shape)


def by_position(of_values: Errors) -> Float64[Tensor, "batch *positions"]:
    """The shares of the pixels of images, or of the moments of signals, over their channels.

    >>> by_position(torch.full((1, 3, 2), 1 / 6, dtype=torch.float64))
    tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    return of_values.sum(1)


def column_names(spec: InputSpec) -> tuple[str, ...]:
    """The name of each value of a row, one column's as often as it has values.

    >>> column_names(InputSpec((3,)))
    ('0', '1', '2')
    """
    if spec.columns is None:
        return tuple(map(str, range(spec.size)))
    return tuple(
        block.name for block in spec.columns.blocks for _ in range(block.start, block.stop)
    )


def by_column(
    of_values: Float64[Tensor, "batch values"], names: Sequence[str]
) -> tuple[tuple[str, ...], Float64[Tensor, "batch columns"]]:
    """The columns in their order, and the share of each: the sum over its values.

    >>> by_column(torch.tensor([[0.5, 0.2, 0.3]], dtype=torch.float64), ("colour", "cm", "colour"))
    (('colour', 'cm'), tensor([[0.8000, 0.2000]], dtype=torch.float64))
    """
    columns = tuple(dict.fromkeys(names))
    places = {name: place for place, name in enumerate(columns)}
    index = torch.tensor([places[name] for name in names], device=of_values.device)
    found = torch.zeros(len(of_values), len(columns), dtype=torch.float64, device=of_values.device)
    return columns, found.index_add(1, index, of_values)
