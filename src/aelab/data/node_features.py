"""Tables of node features: the node's id in the first column, and numbers in all others.

CSV, TSV, text with another delimiter, or Parquet. A table has a header if a cell after the first
is not a number.
"""

from pathlib import Path

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from aelab.data.numbers import MISSING, is_number
from aelab.data.table_files import (
    Ids,
    as_ids,
    as_numbers,
    as_text,
    is_columnar,
    layout_of,
    listed,
    read_columnar,
    read_text,
    refuse_missing,
)
from aelab.files import InputError


def read_features(path: Path) -> tuple[Ids, NDArray[np.float32]]:
    """Read ids ``[rows]`` and features ``[rows, features]`` of a table."""
    table = read_columnar(path) if is_columnar(path) else _feature_text(path)
    if table.num_columns < 2:
        raise InputError(
            f"{path} has {table.num_columns} column(s); the first must be the node's id, and the "
            f"others its features"
        )
    for name, column in zip(table.column_names, table.columns, strict=True):
        refuse_missing(path, name, column)
    ids = as_text(as_ids(path, table.column_names[0], table.column(0)))
    known, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"{path} has more than one row for {some(known[counts > 1])}; keep one")
    columns = [as_numbers(path, name, table[name]) for name in table.column_names[1:]]
    return ids, np.stack(columns, 1)


def standardised(
    values: NDArray[np.float32],
) -> tuple[Float[Tensor, "nodes features"], tuple[str, ...]]:
    """Scale each column to mean 0 and variance 1; a constant column becomes 0, and is told."""
    wide = values.astype(np.float64)
    deviation = wide.std(0)
    constant = deviation <= 1e-9 * np.abs(wide).max(0)
    scaled = (wide - wide.mean(0)) / np.where(constant, 1, deviation) * ~constant
    notes = [f"{values.shape[1]:,} feature columns were scaled to mean 0 and variance 1"]
    if constant.any():
        notes.append(f"{constant.sum():,} of them hold one value only, and tell nothing")
    return torch.from_numpy(scaled.astype(np.float32)), tuple(notes)


def _feature_text(path: Path) -> pyarrow.Table:
    layout = layout_of(path)
    cells = layout.cells
    header = len(cells) > 1 and not all(is_number(cell) or cell in MISSING for cell in cells[1:])
    table = read_text(path, layout, range(len(cells)), pyarrow.float64(), skip=header)
    if not header:
        return table.rename_columns([str(i + 1) for i in range(len(cells))])
    if len(set(cells)) < len(cells):
        raise InputError(f"{path}: two columns have the same name; rename one")
    if not table.num_rows:
        raise InputError(f"{path} holds no rows; is a feature of its first line no number?")
    return table.rename_columns(list(cells))


def some(ids: Ids) -> str:
    """The first few of some nodes, for a message."""
    return f"the node{'s' if len(ids) > 1 else ''} {listed(list(map(repr, ids.tolist())))}"
