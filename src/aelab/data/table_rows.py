"""Tables whose rows are inputs: text with a delimiter, or Parquet; numeric columns, standardised.

Columns are standardised by mean and standard deviation of the training rows; one that does not
vary there is no input. Missing values are refused by name, or taken to be the mean. A folder with
the tables ``train``, ``validation`` (or ``val``) and ``test`` has its splits so.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from aelab.data import cache
from aelab.data.compressed import inner_suffix
from aelab.data.dialect import FOUND_OUT, TABLE_SUFFIXES, Said
from aelab.data.input_sets import InputDataset
from aelab.data.numbers import Decimal
from aelab.data.specs import Columns, InputSpec
from aelab.data.split_columns import by_column, column_values
from aelab.data.splits import ALL, Index, Part, assemble, divide, split_named, with_classes
from aelab.data.table_columns import Chosen, ColumnsWanted, frame_columns, read_columns
from aelab.data.table_files import SHOWN, first_missing, listed, without_blanks
from aelab.files import InputError, MissingFileError
from aelab.settings import DataSettings

ROUNDING, SINGLE_ROUNDING = 1e-13, 5e-7
"""Of a column's largest value: a range below the first is the rounding of a constant, and so is one
below the second of a few different values: numbers that once were of single precision."""

FEW_VALUES = 5

LOST = 1e-6
"""Of a column's deviation: where the middle half of its values is closer together than that, the
others cannot be told apart by a model, for a float32 has seven digits."""

FEW_CLASSES, CLASS_SHARE = 20, 0.1
"""A label of more different values, and than so many a row, names no classes."""

OF_TRAINING = (
    "fill them in, take the mean of the training rows with --impute, or leave columns out with "
    "--leave-out"
)
OF_RUN = "fill them in, as `aelab impute` does for any run of a table"
"""What can be done about missing values: of a table to train on, and of one for a run."""


@dataclass(frozen=True)
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
    """The value of the label's column, as text or numbers."""

    told: str = ""
    """How the file was read, where that was found out."""

    by: NDArray[Any] | None = None
    """The value of the column that decides the split."""

    decimal: Decimal | None = None
    """Of a text's numbers, if any has one."""


def said_of(settings: DataSettings) -> Said:
    """What the settings say of text files."""
    header = True if settings.header else False if settings.no_header else None
    return Said(header, settings.decimal, settings.missing_values)


def wanted_of(settings: DataSettings, said: Said = FOUND_OUT) -> ColumnsWanted:
    """The columns that the settings ask for."""
    by = settings.group_by or settings.split_by
    return ColumnsWanted(settings.columns, settings.leave_out, settings.label, by, said)


def load(settings: DataSettings, data_dir: Path | None = None, seed: int = 0) -> InputDataset:
    """Load a table, or a folder of tables, split by their names or by a fixed seed.

    Raises:
        InputError: it holds no numbers, a value is missing and `settings.impute` is not set, or a
            column is left out and `settings.strict` is set.
    """
    root, said = Path(settings.name), said_of(settings)
    files = table_files(root)
    wanted = wanted_of(settings, said)
    model = read_rows(files.get("train") or files[ALL], wanted)
    if settings.strict and model.left_out:
        raise InputError(f"{root}: columns that are no inputs: {listed(model.left_out)}")
    same = replace(wanted, columns=model.names, leave_out=())
    tables = {
        path: read_rows(path, same) for part, path in files.items() if part not in ("train", ALL)
    }
    of_parts = {part: tables.get(path, model) for part, path in files.items()}
    for part, rows in of_parts.items():
        refuse_bad(files[part], rows, impute=settings.impute)
    digests = cache.hashes(list(files.values()), root)
    return of_rows(settings, of_parts, cache.key_of(dict(zip(files, digests, strict=True))))


def from_frame(frame: object, settings: DataSettings) -> InputDataset:
    """The data set of a data frame, split by a fixed seed as a table's file is.

    >>> frame = pyarrow.table({"a": range(20), "b": range(0, 40, 2)})
    >>> from_frame(frame, DataSettings("mine")).notes
    ('20 rows, 2 columns as inputs (a, b); no classes; 16 train, 2 validation, 2 test; validation
    and test drawn by a fixed seed',)

    Raises:
        InputError: as `load`.
    """
    wanted = wanted_of(settings, said_of(settings))
    rows = as_rows(settings.name, frame_columns(frame, settings.name, wanted), wanted)
    if settings.strict and rows.left_out:
        raise InputError(f"{settings.name}: columns that are no inputs: {listed(rows.left_out)}")
    refuse_bad(settings.name, rows, impute=settings.impute)
    digest = hashlib.sha256(
        repr((rows.names, None if rows.of_each is None else rows.of_each.tolist())).encode()
    )
    digest.update(rows.values.numpy().data)
    return of_rows(settings, {ALL: rows}, digest.hexdigest())


def of_rows(settings: DataSettings, tables: Mapping[str, Rows], sha256: str) -> InputDataset:
    """The data set of the rows of each part."""
    model = tables.get("train") or tables[ALL]
    of_each, kept_out = classes_in(settings, tables)
    classes, parts = with_classes({p: rows.values for p, rows in tables.items()}, of_each)
    deciding = by_column(settings, {part: rows.by for part, rows in tables.items()})
    splits, drawn = divide(parts, settings.name, deciding)
    columns, splits, constant = standardise(splits, model.names, settings)
    columns = replace(columns, decimal=model.decimal)
    many = f"{len(classes)} classes" if len(classes) > 1 else "no classes"
    count = sum(len(rows.values) for rows in tables.values())
    inputs = f"{len(columns.names)} column{'s' if len(columns.names) > 1 else ''} as inputs"
    notes = [f"{count:,} rows, {inputs} ({listed(columns.names)}); {many}; {drawn}"]
    if deciding is not None:
        by = settings.group_by or settings.split_by
        notes.append(
            f"column {by} decides the splits{'' if by in columns.names else ', and is no input'}"
        )
    left_out = [*model.left_out, *(f"{name} (it does not vary)" for name in constant)]
    notes += [f"columns left out: {listed(left_out)}"] if left_out else []
    notes += [*kept_out, *([f"read with {model.told}"] if model.told else [])]
    spec = InputSpec((len(columns.names),), 1.0, dtype="float32", columns=columns)
    return assemble(settings.name, splits, spec, classes, sha256, notes)


def table_files(root: Path) -> dict[str, Path]:
    """A table, or the tables of a folder that have the name of a split."""
    if not root.exists():
        raise MissingFileError(f"{root} does not exist; check the path")
    if root.is_file():
        return {ALL: root}
    tables = [path for path in sorted(root.iterdir()) if inner_suffix(path) in TABLE_SUFFIXES]
    found = {
        split_named(stem): path for path in tables if split_named(stem := path.name.split(".")[0])
    }
    if "train" not in found:
        names = ", ".join(path.name for path in tables[:SHOWN])
        raise InputError(f"{root} has tables ({names}), but none called train; name one of them")
    return found


def read_rows(path: Path, wanted: ColumnsWanted) -> Rows:
    """Read the columns that are wanted, or else all that hold numbers.

    Raises:
        InputError: a column is missing, one of those asked for holds something else, or none has
            numbers.
    """
    return as_rows(path, read_columns(path, wanted), wanted)


def as_rows(where: Path | str, found: Chosen, wanted: ColumnsWanted) -> Rows:
    """The numbers of a table's inputs, its labels, and what decides its splits."""
    table, label, by = found.table, wanted.label, wanted.by
    numbers = np.empty((table.num_rows, len(found.inputs)))
    for place, name in enumerate(found.inputs):
        numbers[:, place] = table[name].cast(pyarrow.float64(), safe=False).to_numpy()
    of_each = None if label is None else label_values(where, label, table[label])
    deciding = None if by is None else column_values(where, by, table[by])
    values = torch.from_numpy(numbers)
    told, decimal = found.told, found.decimal
    return Rows(found.inputs, values, found.left_out, of_each, told, deciding, decimal)


def label_values(path: Path | str, name: str, column: pyarrow.ChunkedArray) -> NDArray[Any]:
    """The label of each row, whole numbers, numbers or text; each must have one."""
    column = without_blanks(column)
    if column.null_count:
        row = first_missing(column)
        raise InputError(f"{path}: row {row} has no class (column {name!r}); fill it in")
    if pyarrow.types.is_integer(column.type):
        return np.asarray(column.to_numpy())
    if pyarrow.types.is_floating(column.type):
        numbers = np.asarray(column.to_numpy())
        whole = np.isfinite(numbers).all() and (numbers == numbers.round()).all()
        return numbers.astype(np.int64) if whole else numbers
    return np.asarray(column.cast(pyarrow.string()).to_pylist(), dtype=np.str_)


def classes_in(
    settings: DataSettings, tables: Mapping[str, Rows]
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The class of each row, part by part; none, and a note, where the label names no classes."""
    of_each = {p: rows.of_each for p, rows in tables.items() if rows.of_each is not None}
    if not of_each:
        return {}, []
    every = np.concatenate(list(of_each.values()))
    different = len(np.unique(every))
    many = different > max(FEW_CLASSES, CLASS_SHARE * len(every))
    if every.dtype.kind != "f" and not many:
        return of_each, []
    what = "numbers with decimals" if every.dtype.kind == "f" else "different values"
    count = "" if every.dtype.kind == "f" else f"{different:,} "
    told = f"{settings.label} holds {count}{what}: it is no input, and taken for no classes"
    return {}, [told]


def standardise(
    splits: Mapping[str, tuple[Part, Index]], names: tuple[str, ...], settings: DataSettings
) -> tuple[Columns, dict[str, tuple[Part, Index]], list[str]]:
    """Mean and standard deviation of each column over the training rows, and the columns that vary.

    Raises:
        InputError: a column has no value in the training rows, or a value so far from the others
            that these would all be one; or no column varies.
    """
    part, index = splits["train"]
    values = part.values[torch.from_numpy(index)].numpy()
    means, deviations = moments_of(settings.name, names, values, index)
    constant = [name for name, d in zip(names, deviations, strict=True) if d == 0]
    kept = [place for place, name in enumerate(names) if name not in constant]
    if not kept:
        raise InputError(f"{settings.name}: no column varies in the training rows")
    mean, std = (tuple(float(of[i]) for i in kept) for of in (means, deviations))
    columns = Columns(tuple(names[i] for i in kept), mean, std, settings.impute)
    if not constant:
        return columns, dict(splits), []
    narrowed = {id(p): replace(p, values=p.values[:, kept]) for p, _ in splits.values()}
    return columns, {s: (narrowed[id(p)], i) for s, (p, i) in splits.items()}, constant


def moments_of(
    where: str, names: Sequence[str], values: NDArray[np.float64], rows: Index
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column's known values; 0, where they do not vary."""
    with np.errstate(over="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without a value are told below
        means, deviations = np.nanmean(values, 0), np.nanstd(values, 0)
    for place, name in enumerate(names):
        known = ~np.isnan(values[:, place])
        if not known.any():
            raise InputError(f"{where}: no value in any training row: {name}")
        column = values[known, place]
        largest = float(np.abs(column).max()) or 1.0
        scaled = column / largest
        if not np.isfinite(deviations[place]):  # squares of values of 1e200 have no float
            means[place], deviations[place] = scaled.mean() * largest, scaled.std() * largest
        extent = np.ptp(scaled)
        rounded = extent <= SINGLE_ROUNDING and len(np.unique(scaled)) <= FEW_VALUES
        if extent <= ROUNDING or rounded:
            deviations[place] = 0
        else:
            refuse_far(where, name, column, deviations[place], rows[known])
    return means, deviations


def refuse_far(
    where: str, name: str, column: NDArray[np.float64], deviation: float, rows: Index
) -> None:
    """Raise InputError if a value makes a column so wide that its others would all be one."""
    low, middle, high = np.quantile(column, (0.25, 0.5, 0.75))
    if 0 < high - low < LOST * deviation:
        far = int(np.abs(column - middle).argmax())
        raise InputError(
            f"{where}: {column[far]:g} in row {rows[far] + 1} of the column {name} is so far from "
            f"the others that a model could not tell these apart; mend it, leave the row out, or "
            f"the column with --leave-out {name}"
        )


def refuse_bad(path: Path | str, rows: Rows, *, impute: bool, mend: str = OF_TRAINING) -> None:
    """Raise InputError if a value is infinite, or missing and not to be imputed."""
    infinite = {n: c.isinf().numpy() for n, c in zip(rows.names, rows.values.T, strict=True)}
    if told := places(infinite):
        raise InputError(f"{path}: infinite values: {told}; mend them")
    missing = {n: c.isnan().numpy() for n, c in zip(rows.names, rows.values.T, strict=True)}
    if (told := places(missing)) and not impute:
        raise InputError(f"{path}: missing values: {told}; {mend}")


def places(bad: Mapping[str, NDArray[np.bool_]]) -> str:
    """Columns with their first such row and how many more there are."""
    told = []
    for name, column in bad.items():
        rows = np.flatnonzero(column) + 1
        if len(rows):
            more = f" and {len(rows) - 1:,} more" if len(rows) > 1 else ""
            told.append(f"{name} (row {rows[0]}{more})")
    return listed(told)
