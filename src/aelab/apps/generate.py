"""New inputs from a trained run: samples, and the way from one input to another."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from PIL.Image import Image
from torch import Tensor

from aelab.apps.pixels import MODES, write_image
from aelab.apps.streams import TABLES, OnDone, array, table, using
from aelab.data.inputs import open_inputs
from aelab.data.preparation import restore
from aelab.data.specs import InputSpec, plain_columns, told_kind
from aelab.data.words import in_words, types_of
from aelab.figures import grids
from aelab.files import InputError, atomic_folder, write_picture
from aelab.machine import generator_at
from aelab.models.contract import Autoencoder, InputBatch
from aelab.models.priors.contract import Prior
from aelab.models.sampling import between, refuse_number, sample_chunks
from aelab.runs.store import Run

MOST_SHOWN = 1024
"""Samples in one picture."""

Stored = Shaped[Tensor, "chunk *shape"]


def write_samples(
    run: Run,
    n: int,
    path: str | Path,
    *,
    prior: Prior | None = None,
    seed: int | None = None,
    temperature: float = 1.0,
    class_name: str | None = None,
    on_done: OnDone | None = None,
) -> None:
    """Draw `n` new inputs by a seed (the run's own unless given) and write them to `path`.

    With the suffix .png as one picture of up to 1,024; with .npy as an array of stored values
    ``[n, …]``; without a suffix as a new folder of image files, numbered from 0. Rows of a table
    as .csv, .tsv or .parquet, in the table's own units. Codes come from `prior`, or else from the
    run's chosen one. See `sampling.sample` for `temperature` and `class_name`.

    Raises:
        InputError: the run draws no samples, or `path` is of another kind or cannot be written.
    """
    path, spec = Path(path), run_spec(run)
    kind = path.suffix.lower()
    refuse_file(path, spec, n)
    seed = run.settings.seed if seed is None else seed
    prior = run.prior if prior is None else prior
    with using(run) as model:
        drawn = sample_chunks(
            model, n, seed=seed, prior=prior, temperature=temperature, class_name=class_name
        )
        told = counted(drawn, on_done)
        if kind == ".png":
            write_picture(path, grids.sample_grid(torch.cat(list(told)), spec))
        elif kind == ".npy":
            write_array(path, n, spec, told)
        elif kind:
            write_table(path, spec, told, seed)
        else:
            write_folder(path, n, spec, told)


def refuse_samples(run: Run, n: int, path: Path, temperature: float) -> None:
    """Raise InputError unless a run can draw so many samples into such a file."""
    refuse_number(n, temperature)
    refuse_file(path, run_spec(run), n)


def refuse_file(path: Path, spec: InputSpec, n: int) -> None:
    """Raise InputError unless `n` samples of these inputs can be written to such a file."""
    kind = path.suffix.lower()
    fitting = {
        "images": (".png", ".npy", ""),
        "signals": (".npy",),
        "rows": (".npy", *TABLES),
    }[spec.kind]
    if kind not in fitting:
        *others, last = (suffix or "a folder, with no suffix" for suffix in fitting)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise InputError(f"{path}: samples of {told_kind(spec.kind)} are written as {listed}")
    if kind == ".png" and n > MOST_SHOWN:
        raise InputError(
            f"{path}: a picture shows up to {MOST_SHOWN:,} samples, not {n:,}; name a folder or a "
            f".npy file for more"
        )


def run_spec(run: Run) -> InputSpec:
    """What the run's inputs are.

    Raises:
        InputError: they are the nodes of a graph.
    """
    if not isinstance(run.spec, InputSpec):
        raise InputError(f"{run.folder}: {run.settings.model} draws no samples")
    return run.spec


def counted(drawn: Iterator[InputBatch], on_done: OnDone | None) -> Iterator[InputBatch]:
    """The same, and `on_done` hears how many have gone by."""
    for x in drawn:
        yield x
        if on_done is not None:
            on_done(len(x))


def write_array(path: Path, n: int, spec: InputSpec, drawn: Iterator[InputBatch]) -> None:
    """Samples as one array of stored values."""
    with array(path, (n, *spec.shape), np.dtype(spec.dtype)) as rows:
        for x in drawn:
            rows(restore(x, spec).numpy())


def write_table(path: Path, spec: InputSpec, drawn: Iterator[InputBatch], seed: int) -> None:
    """Samples as a table, in its own columns and units; words drawn by their probabilities."""
    columns = spec.columns or plain_columns(spec.size)
    generator = generator_at(seed, "words")
    with table(path, types_of(columns)) as rows:
        for x in drawn:
            rows(in_words(restore(x, spec), columns, generator))


def write_folder(path: Path, n: int, spec: InputSpec, drawn: Iterator[InputBatch]) -> None:
    """Samples as image files."""
    suffix = ".png" if MODES.get((spec.dtype, spec.shape[0]), "F") != "F" else ".tiff"
    digits = len(str(n - 1))
    with atomic_folder(path) as folder:
        number = 0
        for x in drawn:
            for image in restore(x, spec).numpy():
                name = folder / f"{number:0{digits}}{suffix}"
                write_image(name, image, original=name)
                number += 1


def one_input(where: str, spec: InputSpec, data_dir: Path | None = None) -> InputBatch:
    """One input: an image file, or ``DATA:number`` for one of a folder, an array or a data set.

    Raises:
        InputError: there are several, or none of that number; or as `open_inputs`.
    """
    data, _, number = where.rpartition(":")
    if not (data and number.isdecimal()):
        data, number = where, ""
    inputs = open_inputs(data, spec, data_dir=data_dir)
    if not number and len(inputs) > 1:
        raise InputError(f"{data} holds {len(inputs):,} inputs; name one, as {data}:0")
    if int(number or 0) >= len(inputs):
        raise InputError(f"{data} has no input {number}: they are 0 to {len(inputs) - 1:,}")
    return inputs.batch(torch.tensor([int(number or 0)]))


def interpolate(
    model: Autoencoder, first: InputBatch, last: InputBatch, steps: int = 9
) -> InputBatch:
    """The way from one input to another, ``decode((1 - t) z_1 + t z_2)`` in equal steps of t.

    Along a straight line, whatever the model: an autoencoder has no prior whose sphere it could
    follow (Berthelot et al. 2019, arXiv 1807.07543, section 3).

    Raises:
        InputError: fewer steps than the two ends.
    """
    if steps < 2:
        raise InputError(f"steps must be 2 or more, not {steps}")
    ends = torch.cat([model.encode(first), model.encode(last)])
    return model.decode(between(model, ends[:1], ends[1:], torch.linspace(0, 1, steps)))


def interpolation(
    run: Run, first: str, last: str, *, steps: int = 9, data_dir: Path | None = None
) -> Image:
    """A strip: an input, its reconstruction, the way to another's reconstruction, and that input.

    Raises:
        InputError: the run is no model of images, or an input cannot be used.
    """
    with using(run) as model:
        if model.spec.kind != "images":
            raise InputError(f"{run.folder}: its inputs are no images; there is nothing to draw")
        ends = [one_input(where, model.spec, data_dir) for where in (first, last)]
        way = interpolate(model, ends[0], ends[1], steps)
        shares = [f"{i / (steps - 1):.0%}" for i in range(steps)]
        strip = torch.cat([ends[0], way, ends[1]])
        return grids.grid([strip], model.spec, heads=["from", *shares, "to"])
