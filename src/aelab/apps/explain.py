"""What of an input makes its score: columns of a table of scores, or maps in an array beside it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import torch
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from torch import Tensor

from aelab.apps.streams import array, using
from aelab.data.inputs import Inputs
from aelab.data.specs import InputSpec
from aelab.evaluate.scoring import SCORES, Errors, Fitted, scores_of
from aelab.evaluate.shares import by_column, by_position, column_names, shares
from aelab.files import InputError
from aelab.models.contract import Autoencoder
from aelab.runs.store import Run

SHARE = "share_"
"""Begins the name of a column of shares."""

MOST_TOLD = 3
"""Columns that are told of one row."""

ErrorsOf = Callable[[Autoencoder, Tensor], Errors]

Write = Callable[[Autoencoder, Tensor], dict[str, NDArray[np.float64]]]


def explained(name: str, model: Autoencoder, fitted: Fitted) -> ErrorsOf:
    """What each value of an input has to do with the score of that name.

    Raises:
        InputError: it cannot.
    """
    errors = SCORES[name].errors
    if errors is None:
        can = " or ".join(one for one in scores_of(model) if SCORES[one].errors is not None)
        raise InputError(f"the score {name!r} cannot be explained; explain {can}")
    return lambda model, x: errors(model, x, fitted)


def share_columns(spec: InputSpec) -> dict[str, pyarrow.DataType]:
    """The columns of shares that a table of scores gets: one a column of rows, none of others."""
    if spec.kind != "rows":
        return {}
    return {f"{SHARE}{name}": pyarrow.float64() for name in dict.fromkeys(column_names(spec))}


def maps_path(path: Path, spec: InputSpec) -> Path | None:
    """Where the maps go that belong to a table of scores; rows have none.

    >>> maps_path(Path("scores.csv"), InputSpec((1, 8, 8))).name
    'scores.shares.npy'
    """
    return None if spec.kind == "rows" else path.with_name(f"{path.stem}.shares.npy")


@contextmanager
def explaining(errors: ErrorsOf, spec: InputSpec, n: int, path: Path) -> Iterator[Write]:
    """Give what makes the columns of shares of each chunk, or writes its maps.

    Raises:
        InputError: the maps cannot be written.
    """
    where = maps_path(path, spec)
    if where is None:
        yield lambda model, x: columns_of(errors, model, x)
        return
    with array(where, (n, *spec.shape[1:]), np.dtype(np.float32)) as write:

        def maps(model: Autoencoder, x: Tensor) -> dict[str, NDArray[np.float64]]:
            write(by_position(shares_of(errors, model, x)).numpy())
            return {}

        yield maps


def shares_of(errors: ErrorsOf, model: Autoencoder, x: Float[Tensor, "batch *shape"]) -> Errors:
    """The share of each value of each input."""
    return shares(errors(model, x).double())


def columns_of(errors: ErrorsOf, model: Autoencoder, x: Tensor) -> dict[str, NDArray[np.float64]]:
    """The shares of each column of rows."""
    names, found = column_shares(errors, model, x)
    return {f"{SHARE}{name}": found[:, i].numpy() for i, name in enumerate(names)}


def column_shares(
    errors: ErrorsOf, model: Autoencoder, x: Float[Tensor, "batch values"]
) -> tuple[tuple[str, ...], Float64[Tensor, "batch columns"]]:
    """The columns, and the share of each."""
    return by_column(shares_of(errors, model, x), column_names(model.spec))


def told_columns(run: Run, inputs: Inputs, numbers: Sequence[int], errors: ErrorsOf) -> list[str]:
    """A line for each of these rows: the columns with the largest shares of its score."""
    if not numbers:
        return []
    with using(run) as model:
        x = inputs.batch(torch.tensor(numbers))
        names, found = column_shares(errors, model, x)
    lines = []
    for number, row in zip(numbers, found, strict=True):
        largest = row.argsort(descending=True, stable=True)[:MOST_TOLD].tolist()
        columns = ", ".join(f"{names[i]} {100 * row[i].item():.3g} %" for i in largest)
        lines.append(f"{inputs.names[number]}: {columns}")
    return lines
