"""Inputs of any number through a trained model, a chunk at a time, in bounded memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import pyarrow.csv  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from aelab.data.inputs import Inputs
from aelab.files import InputError, atomic_path
from aelab.machine import seeded, threads
from aelab.models.contract import Autoencoder
from aelab.runs.store import Run

CHUNK_VALUES = 2**20
"""Values of the inputs that are in memory at a time."""

TABLES = {
    ".csv": pyarrow.csv.CSVWriter,
    ".parquet": pyarrow.parquet.ParquetWriter,
    ".pq": pyarrow.parquet.ParquetWriter,
    ".tsv": partial(pyarrow.csv.CSVWriter, write_options=pyarrow.csv.WriteOptions(delimiter="\t")),
}
"""How tables are written, by the suffix of their file."""

OnDone = Callable[[int], None]
"""Told how many inputs have been dealt with since it was last told."""


@contextmanager
def using(run: Run) -> Iterator[Autoencoder]:
    """The model of a run, on as many threads as it was trained with, without gradients.

    What inputs may draw, if their preparation is random, follows from the run's seed.
    """
    model = run.autoencoder
    settings = run.settings
    with (
        threads(settings.recipe.threads),
        seeded(settings.seed, "inputs"),
        torch.inference_mode(),
    ):
        yield model


def chunks(inputs: Inputs, on_done: OnDone | None = None) -> Iterator[Int64[Tensor, " chunk"]]:
    """The numbers of the inputs in order, so many at a time; `on_done` hears of each chunk."""
    size = max(1, CHUNK_VALUES // inputs.split.spec.size)
    for numbers in torch.arange(len(inputs)).split(size):
        yield numbers
        if on_done is not None:
            on_done(len(numbers))


def names_and_labels(inputs: Inputs, numbers: Int64[Tensor, " chunk"]) -> dict[str, list[str]]:
    """The columns that say which inputs these are; label only where inputs have classes."""
    columns = {"name": [inputs.names[i] for i in numbers.tolist()]}
    if inputs.labels is not None:
        columns["label"] = [inputs.classes[i] for i in inputs.labels[numbers].tolist()]
    return columns


def text_columns(inputs: Inputs) -> dict[str, pyarrow.DataType]:
    """The columns that `names_and_labels` gives."""
    return dict.fromkeys(names_and_labels(inputs, torch.arange(0)), pyarrow.string())


@contextmanager
def table(
    path: Path, columns: Mapping[str, pyarrow.DataType]
) -> Iterator[Callable[[Mapping[str, Sequence[Any] | NDArray[Any]]], None]]:
    """Write a table with `columns` to `path`, as CSV or Parquet by its suffix, chunk by chunk.

    Raises:
        InputError: `path` cannot be written, or has another suffix.
    """
    writer_class = TABLES.get(path.suffix.lower())
    if writer_class is None:
        raise InputError(f"{path}: tables are written as {', '.join(TABLES)}")
    schema = pyarrow.schema(list(columns.items()))
    with atomic_path(path) as temporary, writer_class(str(temporary), schema) as writer:
        yield lambda chunk: writer.write_table(pyarrow.table(dict(chunk), schema=schema))


@contextmanager
def array(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Iterator[Callable[[NDArray[Any]], int]]:
    """Write an array of `shape` to `path` as NPY, some rows at a time.

    Not through memory mapped to the file: a disk that fills up would end the process.

    Raises:
        InputError: `path` cannot be written.
    """
    head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        yield lambda rows: file.write(np.ascontiguousarray(rows, dtype).data)
