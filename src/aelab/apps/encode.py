"""The codes of inputs, as a table or an array."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow  # type: ignore[import-untyped]

from aelab.apps.streams import (
    TABLES,
    OnDone,
    array,
    chunks,
    names_and_labels,
    table,
    text_columns,
    using,
)
from aelab.data.inputs import Inputs
from aelab.files import InputError
from aelab.models.contract import Autoencoder
from aelab.runs.store import Run


def encode(run: Run, inputs: Inputs, path: str | Path, *, on_done: OnDone | None = None) -> None:
    """Write the code z of each input, float32, in the order of the inputs.

    As CSV or Parquet by the suffix, with the columns name, label (where the inputs have classes),
    z0, z1, …; or as NPY, an array ``[inputs, code]``, with names and labels in
    ``<name>.names.csv`` beside it.

    Raises:
        InputError: the run has no codes of inputs, or `path` cannot be written, or ends in none of
            these suffixes.
    """
    path = Path(path)
    with using(run) as model:
        if path.suffix.lower() == ".npy":
            encode_to_array(model, inputs, path, on_done)
        elif path.suffix.lower() in TABLES:
            encode_to_table(model, inputs, path, on_done)
        else:
            raise InputError(f"{path}: codes are written as .npy, {', '.join(TABLES)}")


def encode_to_array(model: Autoencoder, inputs: Inputs, path: Path, on_done: OnDone | None) -> None:
    """Codes as NPY, and names and labels beside them; neither without the other."""
    with ExitStack() as files:
        names = files.enter_context(table(names_path(path), text_columns(inputs)))
        shape = (len(inputs), model.code_size)
        rows = files.enter_context(array(path, shape, np.dtype(np.float32)))
        for numbers in chunks(inputs, on_done):
            names(names_and_labels(inputs, numbers))
            rows(model.encode(inputs.batch(numbers)).numpy())


def names_path(path: Path) -> Path:
    """Where the names of the rows of an NPY file go."""
    return path.with_suffix(".names.csv")


def encode_to_table(model: Autoencoder, inputs: Inputs, path: Path, on_done: OnDone | None) -> None:
    """Names, labels and codes as CSV or Parquet."""
    numbers = [f"z{i}" for i in range(model.code_size)]
    columns = {**text_columns(inputs), **dict.fromkeys(numbers, pyarrow.float32())}
    with table(path, columns) as rows:
        for i in chunks(inputs, on_done):
            z = model.encode(inputs.batch(i)).numpy()
            rows({**names_and_labels(inputs, i), **dict(zip(numbers, z.T, strict=True))})
