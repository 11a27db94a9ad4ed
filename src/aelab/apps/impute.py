"""Missing values of a table, filled with what a model makes of the known ones."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aelab.apps.filled import DELIMITERS, Filling, write_columns, write_lines
from aelab.apps.streams import TABLES, chunks, using
from aelab.data.dataset import Dataset
from aelab.data.dialect import FOUND_OUT, Dialect, Said
from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.inputs import of_values
from aelab.data.preparation import restore
from aelab.data.specs import Columns
from aelab.data.table_columns import ColumnsWanted, chosen
from aelab.data.table_files import is_columnar, read_columnar
from aelab.data.table_rows import as_rows
from aelab.data.text_tables import read_text_table
from aelab.files import InputError
from aelab.machine import generator_at
from aelab.models.contract import Autoencoder
from aelab.runs.store import Run

ROUNDS = 20
"""Of filling in and restoring anew."""

HIDDEN = 0.1
"""Share of the known validation values that are hidden to measure what filling is worth."""

NEIGHBOURS, MOST_ROWS = 5, 5_000
"""Of the rival, and training rows that it looks among: scikit-learn's holds all distances."""

RowsOfInputs = Float[Tensor, "rows features"]
Missing = Bool[Tensor, "rows features"]


@dataclass(frozen=True)
class Imputed:
    """How many values were filled in, and what such filling is worth on hidden ones.

    >>> Imputed(3, 200, model=0.4, mean=1.0, neighbours=0.5).told
    'hidden values (200 of validation): mean squared error 0.4 of the variance of their columns;
    the mean 1, 5 nearest neighbours 0.5'
    """

    filled: int
    hidden: int
    model: float
    """Mean squared error at the hidden values, in units of the variance of their columns."""

    mean: float
    """The same of the training rows' means."""

    neighbours: float
    """The same of the five nearest training rows (scikit-learn's KNNImputer)."""

    @property
    def told(self) -> str:
        """The three errors, in words."""
        return (
            f"hidden values ({self.hidden:,} of validation): mean squared error {self.model:.3g} "
            f"of the variance of their columns; the mean {self.mean:.3g}, {NEIGHBOURS} nearest "
            f"neighbours {self.neighbours:.3g}"
        )


def impute(run: Run, path: Path, data: Dataset, out: Path, *, said: Said = FOUND_OUT) -> Imputed:
    """Write the table at `path` with its missing values filled in, and measure such filling.

    Missing values start at their column's mean; the model restores each row, its answers take
    their place, and so on, twenty times: what is known is never changed. All other cells are
    written as they are: text is text. `data` are the run's own: a tenth of the known validation
    values are hidden, by a fixed seed, and filled in as well.

    Raises:
        InputError: the run is of no table, the table lacks a column, or `out` cannot be written.
    """
    columns = columns_of(run)
    if out.suffix.lower() not in TABLES:
        raise InputError(f"{out}: tables are written as {', '.join(TABLES)}")
    if out.resolve() == path.resolve():
        raise InputError(f"{out} is the table itself: name another file with --out")
    said = replace(said, usual=said.usual or columns.decimal)
    table, dialect = read_table(path, said)
    found = chosen(path, table, ColumnsWanted(columns.names, said=said, gaps=True))
    values = as_rows(path, found, ColumnsWanted()).values
    spec = replace(run.autoencoder.spec, columns=replace(columns, impute=True), classes=())
    inputs = of_values(str(path), values, spec)
    missing = values.isnan()
    with using(run) as model:
        for i in chunks(inputs):
            stored = restore(filled(model, inputs.batch(i), missing[i]), spec)
            values[i] = torch.where(missing[i], stored, values[i])
    filling = Filling(values, missing, tuple(map(table.column_names.index, found.inputs)))
    if dialect is None or out.suffix.lower() not in DELIMITERS:
        write_columns(table, filling, out)
    else:
        write_lines(path, dialect, filling, out)
    return measured(run, data, int(missing.sum()))


def read_table(path: Path, said: Said) -> tuple[pyarrow.Table, Dialect | None]:
    """A table with all its columns, those without a name by their places; of text also how.

    Raises:
        InputError: it cannot be read.
    """
    dialect = None
    if is_columnar(path):
        table = read_columnar(path)
    else:
        table, dialect = read_text_table(path, said)
    names = [name or f"column {place + 1}" for place, name in enumerate(table.column_names)]
    named = table.rename_columns(names).replace_schema_metadata(table.schema.metadata)
    return named, dialect


def columns_of(run: Run) -> Columns:
    """The columns that a run was trained on; InputError, if that was no table."""
    spec = run.autoencoder.spec
    if spec.columns is None or spec.classes:
        what = "told the class of each row" if spec.classes else "trained on no table"
        raise InputError(f"{run.folder} was {what}: it fills in nothing")
    return spec.columns


def filled(model: Autoencoder, x: RowsOfInputs, missing: Missing) -> RowsOfInputs:
    """Rows with what the model makes of them where a value is missing, found in some rounds."""
    x = torch.where(missing, 0.0, Tensor(x))
    for _ in range(ROUNDS):
        x = torch.where(missing, model(x), x)
    return x


def measured(run: Run, data: Dataset, count: int) -> Imputed:
    """The errors at a tenth of the known validation values, hidden."""
    from sklearn.impute import KNNImputer  # takes a second

    assert isinstance(data, InputDataset)
    validation, training = data.split("validation"), data.split("train")
    x, known = rows_of(validation)
    hidden = known & (torch.rand(x.shape, generator=generator_at(0, "hidden")) < HIDDEN)
    if not hidden.any():
        hidden = known
    seen = torch.where(known & ~hidden, x, torch.nan)
    with using(run) as model:
        answers = filled(model, x, ~known | hidden)
    rows, present = rows_of(training, MOST_ROWS)
    rival = KNNImputer(n_neighbors=NEIGHBOURS, keep_empty_features=True)
    rival.fit(np.where(present, rows, np.nan))
    nearest = torch.from_numpy(rival.transform(seen.numpy()))

    def error(found: RowsOfInputs) -> float:
        return (found - x)[hidden].square().mean().item()

    of_mean = error(torch.zeros_like(x))
    return Imputed(count, int(hidden.sum()), error(answers), of_mean, error(nearest))


def rows_of(split: InputSplit, most: int | None = None) -> tuple[RowsOfInputs, Missing]:
    """The first rows of a split, standardised, and which of their values are known."""
    i = torch.arange(len(split) if most is None else min(most, len(split)))
    return split.batch(i).x, ~split.stored(i).isnan()
