"""Tables whose rows are inputs: text with a delimiter, or Parquet; columns of numbers and of words.

Numbers are standardised by mean and standard deviation of the training rows, and words are one-hot;
a column that does not vary there is no input. Missing values are refused by name, taken to be the
mean, or shown to the model as missing. A folder with the tables ``train``, ``validation`` (or
``val``) and ``test`` has its splits so.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray

from aelab.data import cache
from aelab.data.compressed import inner_suffix
from aelab.data.dialect import FOUND_OUT, TABLE_SUFFIXES, Said
from aelab.data.input_sets import InputDataset
from aelab.data.numbers import Decimal
from aelab.data.specs import InputSpec
from aelab.data.split_columns import by_column, column_values
from aelab.data.splits import ALL, assemble, divide, split_named, with_classes
from aelab.data.table_columns import Chosen, ColumnsWanted, frame_columns, read_columns
from aelab.data.table_files import SHOWN, first_missing, listed, without_blanks
from aelab.data.table_moments import standardise, told_words, with_training_words
from aelab.data.words import (
    Codes,
    Words,
    codes_of,
    recoded,
    together,
)
from aelab.files import InputError, MissingFileError
from aelab.settings import DataSettings

FEW_CLASSES, CLASS_SHARE = 20, 0.1
"""A label of more different values, and than so many a row, names no classes."""

OF_TRAINING = (
    "fill them in, take the mean of the training rows with --impute, show the model what is "
    "missing with --missing mask, or leave columns out with --leave-out"
)
OF_RUN = "fill them in, as `aelab impute` does for any run of a table"
"""What can be done about missing values: of a table to train on, and of one for a run."""


@dataclass(frozen=True)
class Rows:
    """The values of a table's inputs.

    >>> rows = Rows(("cm", "kg"), torch.tensor([[170.0, torch.inf]]), left_out=(), of_each=None)
    >>> refuse_bad(Path("people.csv"), rows, may_lack=False)
    Traceback (most recent call last):
    aelab.files.InputError: people.csv: infinite values: kg (row 1); mend them
    """

    names: tuple[str, ...]
    """Of the columns that hold them."""

    values: Codes
    """Numbers, and of a column of words each one's place among these; NaN where one is missing."""

    left_out: tuple[str, ...]
    """The other columns, with why."""

    of_each: NDArray[Any] | None
    """The value of the label's column, as text or numbers."""

    told: str = ""
    """How the file was read, where that was found out."""

    by: NDArray[Any] | None = None
    """The value of the column that decides the split."""

    words: Words = ()
    """The words of each column, none of one of numbers; nothing at all where all are."""

    decimal: Decimal | None = None
    """Of a text's numbers, if any has one."""

    @property
    def words_of_each(self) -> Words:
        """The words of each column."""
        return self.words or ((),) * len(self.names)

    @property
    def with_words(self) -> frozenset[str]:
        """The columns that have any."""
        found = zip(self.names, self.words_of_each, strict=True)
        return frozenset(name for name, words in found if words)


def said_of(settings: DataSettings) -> Said:
    """What the settings say of text files."""
    header = True if settings.header else False if settings.no_header else None
    return Said(header, settings.decimal, settings.missing_values)


def wanted_of(settings: DataSettings, said: Said = FOUND_OUT) -> ColumnsWanted:
    """The columns that the settings ask for."""
    by = settings.group_by or settings.split_by
    return ColumnsWanted(settings.columns, settings.leave_out, settings.label, by=by, said=said)


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
    same = replace(wanted, columns=model.names, leave_out=(), words=model.with_words)
    tables = {
        path: read_rows(path, same) for part, path in files.items() if part not in ("train", ALL)
    }
    of_parts = {part: tables.get(path, model) for part, path in files.items()}
    for part, rows in of_parts.items():
        refuse_bad(files[part], rows, may_lack=may_lack(settings))
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
    refuse_bad(settings.name, rows, may_lack=may_lack(settings))
    digest = hashlib.sha256(
        repr((rows.names, None if rows.of_each is None else rows.of_each.tolist())).encode()
    )
    if rows.words:
        digest.update(repr(rows.words).encode())
    digest.update(rows.values.numpy().data)
    return of_rows(settings, {ALL: rows}, digest.hexdigest())


def of_rows(settings: DataSettings, tables: Mapping[str, Rows], sha256: str) -> InputDataset:
    """The data set of the rows of each part."""
    model = tables.get("train") or tables[ALL]
    of_each, kept_out = classes_in(settings, tables)
    words = together([rows.words_of_each for rows in tables.values()])
    codes = {p: recoded(rows.values, rows.words_of_each, words) for p, rows in tables.items()}
    classes, parts = with_classes(codes, of_each)
    deciding = by_column(settings, {part: rows.by for part, rows in tables.items()})
    splits, drawn = divide(parts, settings.name, deciding)
    splits, words, unseen = with_training_words(splits, model.names, words)
    columns, splits, constant = standardise(splits, model.names, words, settings)
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
    notes += [*told_words(columns), *unseen, *kept_out]
    notes += [f"read with {model.told}"] if model.told else []
    spec = InputSpec((columns.size,), 1.0, dtype="float32", columns=columns)
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
    """The values of a table's inputs, its labels, and what decides its splits."""
    table, label, by = found.table, found.label, wanted.by
    numbers = np.empty((table.num_rows, len(found.inputs)))
    words: list[tuple[str, ...]] = []
    for place, name in enumerate(found.inputs):
        if name in found.words:
            numbers[:, place], of_column = codes_of(table[name])
        else:
            numbers[:, place] = table[name].cast(pyarrow.float64(), safe=False).to_numpy()
            of_column = ()
        words.append(of_column)
    if wanted.label_may_lack and label and without_blanks(table[label]).null_count:
        label = None
    of_each = None if label is None else label_values(where, label, table[label])
    deciding = None if by is None else column_values(where, by, table[by])
    values = torch.from_numpy(numbers)
    return Rows(
        found.inputs,
        values,
        found.left_out,
        of_each,
        found.told,
        deciding,
        tuple(words) if any(words) else (),
        found.decimal,
    )


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
    if pyarrow.types.is_binary(column.type):
        raise InputError(
            f"{path}: the column {name!r} holds bytes that are no text in UTF-8; save the file as "
            f"UTF-8"
        )
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


def may_lack(settings: DataSettings) -> bool:
    """Whether a table may lack values."""
    return settings.impute or settings.missing is not None


def refuse_bad(path: Path | str, rows: Rows, *, may_lack: bool, mend: str = OF_TRAINING) -> None:
    """Raise InputError if a value is infinite, or missing where none may be."""
    infinite = {n: c.isinf().numpy() for n, c in zip(rows.names, rows.values.T, strict=True)}
    if told := places(infinite):
        raise InputError(f"{path}: infinite values: {told}; mend them")
    missing = {n: c.isnan().numpy() for n, c in zip(rows.names, rows.values.T, strict=True)}
    if (told := places(missing)) and not may_lack:
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
