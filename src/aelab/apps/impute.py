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
from aelab.data.batch import Batch
from aelab.data.dataset import Dataset
from aelab.data.dialect import FOUND_OUT, Dialect, Said
from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.inputs import of_values
from aelab.data.preparation import restore, unknown
from aelab.data.specs import Columns
from aelab.data.table_columns import ColumnsWanted, chosen, wanted_by
from aelab.data.table_files import is_columnar, read_columnar
from aelab.data.table_rows import as_rows
from aelab.data.text_tables import read_text_table
from aelab.data.words import as_codes, one_hot, recoded, refuse_unseen
from aelab.files import InputError
from aelab.machine import generator_at
from aelab.models.contract import Autoencoder
from aelab.runs.store import Run

ROUNDS = (1, 2, 5, 20)
"""Of restoring a row and putting the answers into its gaps, that are tried."""

HIDDEN = 0.1
"""Share of the known validation values that are hidden to choose the rounds, and another to measure
what filling is worth."""

NEIGHBOURS, MOST_ROWS = 5, 5_000
"""Of the rival, and training rows that it looks among: scikit-learn's holds all distances."""

RowsOfInputs = Float[Tensor, "rows features"]
Missing = Bool[Tensor, "rows features"]


@dataclass(frozen=True)
class Hidden:
    """What filling in is worth, on known values of one kind that were hidden.

    Of numbers, mean squared errors in units of the variance of their columns; of words, the share
    that is wrong.
    """

    count: int
    model: float
    mean: float
    """Of the training rows' means, and of their most frequent words."""

    neighbours: float
    """Of the five nearest training rows (scikit-learn's KNNImputer)."""


@dataclass(frozen=True)
class Imputed:
    """How many values were filled in, and what such filling is worth on hidden ones.

    >>> Imputed(3, Hidden(200, model=0.4, mean=1.0, neighbours=0.5), None).told
    'hidden numbers (200 of validation): mean squared error 0.4 of the variance of their columns;
    the mean 1, 5 nearest neighbours 0.5'
    """

    filled: int
    numbers: Hidden | None
    words: Hidden | None
    """None where a table has none, or none could be hidden."""

    @property
    def told(self) -> str:
        """The errors, in words."""
        told = []
        if (of := self.numbers) is not None:
            told.append(
                f"hidden numbers ({of.count:,} of validation): mean squared error {of.model:.3g} "
                f"of the variance of their columns; the mean {of.mean:.3g}, {NEIGHBOURS} nearest "
                f"neighbours {of.neighbours:.3g}"
            )
        if (of := self.words) is not None:
            told.append(
                f"hidden words ({of.count:,}): {of.model:.1%} wrong; the most frequent word "
                f"{of.mean:.1%}, {NEIGHBOURS} nearest neighbours {of.neighbours:.1%}"
            )
        return "; ".join(told)


def impute(run: Run, path: Path, data: Dataset, out: Path, *, said: Said = FOUND_OUT) -> Imputed:
    """Write the table at `path` with its missing values filled in, and measure such filling.

    A model that was trained with masks is shown which values are missing, and answers. For another
    one, they start at their column's mean, or at none of its words. Then the model restores each
    row, its answers take their place, and so on: 1, 2, 5 or 20 times, or with masks not at all, by
    what is nearest to a tenth of the known validation values, hidden by a fixed seed. Of words the
    likeliest is taken, and of columns with nothing but whole numbers, a whole one. What is known is
    never changed, and all other cells are written as they are: text is text. `data` are the run's
    own: another tenth is hidden to measure the filling.

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
    spec = replace(run.autoencoder.spec, columns=replace(columns, impute=True), classes=())
    found = chosen(path, table, replace(wanted_by(spec), said=said, gaps=True))
    rows = as_rows(path, found, ColumnsWanted())
    words = tuple(block.words for block in columns.blocks)
    codes = recoded(rows.values, rows.words_of_each, words)
    refuse_unseen(path, rows.values, codes, rows.words_of_each, columns)
    inputs = of_values(str(path), one_hot(codes, columns), spec)
    gaps = codes.isnan()
    rounds = rounds_for(run, data)
    with using(run) as model:
        for i in chunks(inputs):
            missing = inputs.split.stored(i).isnan()
            stored = restore(filled(model, inputs.batch(i), missing, rounds), spec)
            codes[i] = torch.where(gaps[i], as_codes(stored, columns), codes[i])
    codes = torch.where(gaps & whole_numbers(data, columns), codes.round(), codes)
    places = tuple(map(table.column_names.index, found.inputs))
    filling = Filling(codes, gaps, places, words)
    if dialect is None or out.suffix.lower() not in DELIMITERS:
        write_columns(table, filling, out)
    else:
        write_lines(path, dialect, filling, out)
    return measured(run, data, int(gaps.sum()), rounds)


def whole_numbers(data: Dataset, columns: Columns) -> Bool[Tensor, " columns"]:
    """Which columns of numbers have nothing but whole ones in training."""
    assert isinstance(data, InputDataset)
    training = data.split("train")
    values = training.stored(torch.arange(min(len(training), MOST_ROWS)))[:, firsts(columns)]
    of_numbers = torch.tensor([block.kind == "number" for block in columns.blocks])
    return of_numbers & ((values == values.round()) | values.isnan()).all(0)


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


def filled(model: Autoencoder, x: RowsOfInputs, missing: Missing, rounds: int) -> RowsOfInputs:
    """Rows with what the model makes of them where a value is missing."""
    x = torch.where(missing, unknown_values(model).to(x.device), Tensor(x))
    if has_masks(model):
        x = torch.where(missing, model(Batch(x, present=~missing)), x)
    for _ in range(rounds):
        x = torch.where(missing, model(x), x)
    return x


def has_masks(model: Autoencoder) -> bool:
    """Whether a model is shown which values are missing."""
    return model.spec.columns is not None and model.spec.columns.mask


def rounds_for(run: Run, data: Dataset) -> int:
    """How often rows are restored after the first answer, by hidden values of validation.

    Where columns follow from each other, twenty rounds find what one does not; where they hardly
    do, the answers run away.
    """
    assert isinstance(data, InputDataset)
    columns = columns_of(run)
    x, seen, hidden = with_hidden(data.split("validation"), columns, "rounds")
    hidden = spread(hidden, columns)
    with using(run) as model:
        tried = (0, *ROUNDS) if has_masks(model) else ROUNDS
        errors = [(filled(model, x, ~seen, n) - x)[hidden].square().mean().item() for n in tried]
    return tried[int(np.argmin(errors))]


def with_hidden(
    split: InputSplit, columns: Columns, address: str
) -> tuple[RowsOfInputs, Missing, Missing]:
    """Prepared rows, which values a model sees, and which known columns are hidden from it."""
    x, present = rows_of(split)
    known = present[:, firsts(columns)]  # of a column's values, all are known or none
    hidden = known & (torch.rand(known.shape, generator=generator_at(0, address)) < HIDDEN)
    if not hidden.any():
        hidden = known
    return x, present & ~spread(hidden, columns), hidden


def unknown_values(model: Autoencoder) -> Float[Tensor, " features"]:
    """What each value of an input is taken to be where it is missing."""
    columns = model.spec.columns
    return torch.zeros(model.spec.size) if columns is None else unknown(columns).float()


def measured(run: Run, data: Dataset, count: int, rounds: int) -> Imputed:
    """The errors at a tenth of the known validation values, hidden."""
    from sklearn.impute import KNNImputer  # takes a second

    assert isinstance(data, InputDataset)
    columns = columns_of(run)
    x, seen, hidden = with_hidden(data.split("validation"), columns, "hidden")
    with using(run) as model:
        answers = filled(model, x, ~seen, rounds)
    rows, given = rows_of(data.split("train"), MOST_ROWS)
    rival = KNNImputer(n_neighbors=NEIGHBOURS, keep_empty_features=True)
    rival.fit(np.where(given, rows, np.nan))
    nearest = torch.from_numpy(rival.transform(np.where(seen, x, np.nan))).float()
    shares = torch.where(given, rows, torch.nan).nanmean(0).nan_to_num(nan=0.0)
    found = (answers, shares.expand_as(x), nearest)
    of_numbers = torch.tensor([block.kind == "number" for block in columns.blocks])
    return Imputed(
        count,
        of_kind(*found, x, hidden & of_numbers, columns),
        of_kind(*found, x, hidden & ~of_numbers, columns),
    )


def of_kind(
    model: RowsOfInputs,
    mean: RowsOfInputs,
    neighbours: RowsOfInputs,
    x: RowsOfInputs,
    hidden: Missing,
    columns: Columns,
) -> Hidden | None:
    """The errors of three answers at hidden values, which are of one kind; None if there are none.

    Numbers are held against each other as they are, and words as the places of the likeliest.
    """
    if not hidden.any():
        return None
    truth = as_codes(x, columns)

    def error(answers: RowsOfInputs) -> float:
        off = (as_codes(answers, columns) - truth)[hidden]
        words = columns.blocks[int(hidden.nonzero()[0, 1])].words
        return (off != 0).double().mean().item() if words else off.square().mean().item()

    return Hidden(int(hidden.sum()), error(model), error(mean), error(neighbours))


def firsts(columns: Columns) -> list[int]:
    """Where the values of each column begin."""
    return [block.start for block in columns.blocks]


def spread(of_columns: Missing, columns: Columns) -> Missing:
    """What holds of each column, for each of its values."""
    widths = torch.tensor([block.stop - block.start for block in columns.blocks])
    return of_columns.repeat_interleave(widths, 1)


def rows_of(split: InputSplit, most: int | None = None) -> tuple[RowsOfInputs, Missing]:
    """The first rows of a split, prepared, and which of their values are known."""
    i = torch.arange(len(split) if most is None else min(most, len(split)))
    return split.batch(i).x, ~split.stored(i).isnan()
