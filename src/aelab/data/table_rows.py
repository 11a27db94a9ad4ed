"""Tables whose rows are inputs: CSV, TSV or Parquet; numeric columns, standardised.

Columns are standardised by mean and standard deviation of the training rows. Missing values are
refused by name, or taken to be the mean. A folder with the tables ``train``, ``validation`` (or
``val``) and ``test`` has its splits so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute  # type: ignore[import-untyped]
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from aelab.data import cache
from aelab.data.input_sets import InputDataset
from aelab.data.loading import TABLE_SUFFIXES
from aelab.data.specs import Columns, InputSpec
from aelab.data.split_columns import by_column, column_values
from aelab.data.splits import ALL, Index, Part, assemble, divide, split_named, with_classes
from aelab.data.table_files import SHOWN, first_missing, listed, read_table
from aelab.files import InputError, MissingFileError
from aelab.settings import DataSettings


@dataclass(frozen=True, eq=False)
class Rows:
    """The numbers of a table.

    >>> rows = Rows(("cm", "kg"), torch.tensor([[170.0, torch.inf]]), left_out=(), of_each=None)
    >>> refuse_bad(Path("people.csv"), rows, impute=False)
    Traceback (most recent call last):
    aelab.files.InputError: people.csv: infinite values: kg (row 1); mend them
    """

    names: tuple[str, ...]
    """Of the columns that hold them."""

    values: Float[Tensor, "rows features"]
    """NaN where a value is missing."""

    left_out: tuple[str, ...]
    """The other columns, with why."""

    of_each: NDArray[Any] | None
    """The value of the label's column, as text."""

    by: NDArray[Any] | None = None
    """The value of the column that decides the split."""


def load(settings: DataSettings, data_dir: Path | None = None, seed: int = 0) -> InputDataset:
    """Load a table, or a folder of tables, split by their names or by a fixed seed.

    Raises:
        InputError: it holds no numbers, a value is missing and `settings.impute` is not set, or a
            column is left out and `settings.strict` is set.
    """
    root = Path(settings.name)
    files = table_files(root)
    by = settings.group_by or settings.split_by
    model = read_rows(files.get("train") or files[ALL], label=settings.label, by=by)
    if settings.strict and model.left_out:
        raise InputError(f"{root}: columns that hold no numbers: {listed(model.left_out)}")
    label, names = settings.label, model.names
    tables = {p: read_rows(path, label=label, names=names, by=by) for p, path in files.items()}
    of_each = {p: rows.of_each for p, rows in tables.items() if rows.of_each is not None}
    classes, parts = with_classes({p: rows.values for p, rows in tables.items()}, of_each)
    deciding = by_column(settings, {part: rows.by for part, rows in tables.items()})
    splits, drawn = divide(parts, settings.name, deciding)
    for part, rows in tables.items():
        refuse_bad(files[part], rows, impute=settings.impute)
    columns = standardise(splits["train"], names, settings)
    many = f"{len(classes)} classes" if len(classes) > 1 else "no classes"
    count = sum(len(rows.values) for rows in tables.values())
    notes = [f"{count:,} rows, {len(names)} columns as inputs; {many}; {drawn}"]
    notes += [f"column {by} decides the splits, and is no input"] if by else []
    notes += [f"columns left out: {listed(model.left_out)}"] if model.left_out else []
    digests = cache.hashes(list(files.values()), root)
    sha256 = cache.key_of(dict(zip(files, digests, strict=True)))
    spec = InputSpec((len(names),), 1.0, dtype="float32", columns=columns)
    return assemble(settings.name, splits, spec, classes, sha256, notes)


def table_files(root: Path) -> dict[str, Path]:
    """A table, or the tables of a folder that have the name of a split."""
    if not root.exists():
        raise MissingFileError(f"{root} does not exist; check the path")
    if root.is_file():
        return {ALL: root}
    tables = [path for path in sorted(root.iterdir()) if path.suffix.lower() in TABLE_SUFFIXES]
    found = {split_named(path.stem): path for path in tables if split_named(path.stem)}
    if "train" not in found:
        names = ", ".join(path.name for path in tables[:SHOWN])
        raise InputError(f"{root} has tables ({names}), but none called train; name one of them")
    return found


def read_rows(
    path: Path,
    *,
    label: str | None = None,
    names: Sequence[str] | None = None,
    by: str | None = None,
) -> Rows:
    """Read the columns `names` of a table, or else all that hold numbers.

    `label` and `by` are no inputs: the columns with the class of each row, and with what decides
    its split.

    Raises:
        InputError: a column is missing, one of `names` holds something else, or none has numbers.
    """
    table = read_table(path)
    aside = [name for name in (label, by) if name is not None]
    for name in [*(names or ()), *aside]:
        refuse_absent(path, name, table.column_names)
    candidates = [name for name in names or table.column_names if name not in aside]
    reasons = {name: no_numbers(table[name]) for name in candidates}
    left_out = tuple(f"{name} ({why})" for name, why in reasons.items() if why)
    kept = tuple(name for name, why in reasons.items() if not why)
    if left_out and (names or not kept):
        raise InputError(f"{path}: columns that hold no numbers: {listed(left_out)}")
    if not table.num_rows or not kept:
        raise InputError(f"{path} holds no rows of numbers")
    columns = [table[name].cast(pyarrow.float64(), safe=False).to_numpy() for name in kept]
    values = np.stack(columns, 1)
    of_each = None if label is None else label_values(path, label, table[label])
    deciding = None if by is None else column_values(path, by, table[by])
    return Rows(kept, torch.from_numpy(values), left_out, of_each, deciding)


def refuse_absent(path: Path, name: str, present: Sequence[str]) -> None:
    """Raise InputError if a table lacks a column."""
    if name not in present:
        close = get_close_matches(name, present, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else f"; it has {listed(present)}"
        raise InputError(f"{path} has no column {name!r}{meant}")


def no_numbers(column: pyarrow.ChunkedArray) -> str:
    """Why a column is no input; nothing if it is one."""
    kind = column.type
    numeric = pyarrow.types.is_boolean(kind) or pyarrow.types.is_decimal(kind)
    if numeric or pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind):
        return ""
    if column.null_count == len(column):
        return "empty"
    if pyarrow.types.is_dictionary(kind) or pyarrow.types.is_large_string(kind):
        return no_numbers(column.cast(pyarrow.string()))
    if not pyarrow.types.is_string(kind):
        return str(kind)
    number = pyarrow.compute.match_substring_regex(column, r"^\s*[-+]?[\d.]+([eE][-+]?\d+)?\s*$")
    row = pyarrow.compute.index(number, False).as_py()
    return f"{column[row].as_py()!r} in row {row + 1}" if row >= 0 else str(kind)


def label_values(path: Path, name: str, column: pyarrow.ChunkedArray) -> NDArray[Any]:
    """The class of each row; each must have one."""
    if column.null_count:
        row = first_missing(column)
        raise InputError(f"{path}: row {row} has no class (column {name!r}); fill it in")
    if pyarrow.types.is_integer(column.type):
        return np.asarray(column.to_numpy())
    return np.asarray(column.cast(pyarrow.string()).to_pylist(), dtype=np.str_)


def standardise(
    training: tuple[Part, Index], names: tuple[str, ...], settings: DataSettings
) -> Columns:
    """Mean and standard deviation of each column over the training rows; none may be empty."""
    part, index = training
    values = part.values[torch.from_numpy(index)].numpy()
    counts = (~np.isnan(values)).sum(0)
    if (counts == 0).any():
        empty = [name for name, count in zip(names, counts, strict=True) if count == 0]
        raise InputError(f"{settings.name}: no value in any training row: {listed(empty)}")
    mean, std = np.nanmean(values, 0), np.nanstd(values, 0)
    std[std == 0] = 1.0
    return Columns(names, tuple(mean.tolist()), tuple(std.tolist()), settings.impute)


def refuse_bad(path: Path, rows: Rows, *, impute: bool) -> None:
    """Raise InputError if a value is infinite, or missing and not to be imputed."""
    values = rows.values.numpy()
    infinite = np.isinf(values)
    if infinite.any():
        raise InputError(f"{path}: infinite values: {places(infinite, rows.names)}; mend them")
    missing = np.isnan(values)
    if missing.any() and not impute:
        raise InputError(
            f"{path}: missing values: {places(missing, rows.names)}; fill them in, or take the "
            f"mean of the training rows with --impute"
        )


def places(bad: NDArray[np.bool_], names: Sequence[str]) -> str:
    """Columns with their first such row and how many more there are."""
    told = []
    for name, column in zip(names, bad.T, strict=True):
        rows = np.flatnonzero(column) + 1
        if len(rows):
            more = f" and {len(rows) - 1:,} more" if len(rows) > 1 else ""
            told.append(f"{name} (row {rows[0]}{more})")
    return listed(told)
