"""Reconstructions of inputs, in files like those that the inputs came in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from numpy.typing import NDArray
from torch import Tensor

from aelab.apps.pixels import write_image
from aelab.apps.streams import OnDone, array, chunks, table, using
from aelab.data.arrays import open_array
from aelab.data.axes import Axes, fitting_axes
from aelab.data.batch import Batch
from aelab.data.inputs import Inputs
from aelab.data.preparation import restore
from aelab.data.specs import plain_columns
from aelab.data.words import in_words, types_of
from aelab.files import InputError, atomic_folder
from aelab.models.noise_conditional import NoiseConditionalAutoencoder
from aelab.runs.store import Run

Stored = Shaped[Tensor, "chunk *shape"]
Write = Callable[[Int64[Tensor, " chunk"], Stored], object]
"""Takes the numbers of some inputs and the values that are written for them."""


def reconstruct(
    run: Run,
    inputs: Inputs,
    folder: str | Path,
    *,
    side_by_side: bool = False,
    on_done: OnDone | None = None,
    noise_level: float | None = None,
) -> None:
    """Write the reconstruction ``decode(encode(x))`` of each input into a new folder.

    Image files give image files of the same names and format. An array gives an array of the same
    name, layout and type; a table a table of the same name, in its own units and words. Values are
    as they are stored: rounded where they are whole numbers, and clipped to their range. With
    `side_by_side`, each image has its original on the left. A model that is told how noisy inputs
    are is told the `noise_level`: a share of the values' range, of a table in standard deviations.

    Raises:
        InputError: the run has no codes of such inputs, or the folder is there already or cannot
            be written, or an image does not fit its format.
    """
    if side_by_side and inputs.split.spec.kind != "images":
        raise InputError("rows of features cannot be put side by side; only images can")
    with (
        using(run) as model,
        atomic_folder(folder) as temporary,
        writer(inputs, temporary, wide=side_by_side) as write,
    ):
        for numbers in chunks(inputs, on_done):
            x = inputs.batch(numbers)
            if noise_level is not None:
                sigma = torch.full((len(x),), noise_level * model.spec.peak)
                x = Batch(Batch.of(x).x, noise_level=sigma)
            stored = restore(model(x), model.spec)
            if side_by_side:
                stored = torch.cat([restore(x, model.spec), stored], dim=3)
            write(numbers, stored)


def denoise(
    run: Run,
    inputs: Inputs,
    folder: str | Path,
    *,
    side_by_side: bool = False,
    on_done: OnDone | None = None,
    noise_level: float | None = None,
) -> None:
    """Write what a denoising autoencoder makes of noisy inputs, as `reconstruct` does.

    Raises:
        InputError: the run was not trained to remove noise, takes a noise level that is not given
            or the other way round; or as `reconstruct`.
    """
    model = run.model
    if isinstance(model, NoiseConditionalAutoencoder):
        least, most = model.lowest_noise, model.highest_noise
        if noise_level is None or not least <= noise_level <= most:
            given = "" if noise_level is None else f", not {noise_level:g}"
            raise InputError(
                f"{run.folder}: a {run.settings.model} is told how noisy inputs are: give "
                f"--noise-level from {least:g} to {most:g}{given}"
            )
        reconstruct(
            run,
            inputs,
            folder,
            side_by_side=side_by_side,
            on_done=on_done,
            noise_level=noise_level,
        )
        return
    if noise_level is not None:
        raise InputError(
            f"{run.folder}: a {run.settings.model} is told no noise level: leave --noise-level out"
        )
    if not getattr(model, "noise_level", 0) > 0:
        raise InputError(
            f"{run.folder}: this {run.settings.model} was trained without noise and removes none; "
            f"train one that does: aelab train denoising"
        )
    reconstruct(run, inputs, folder, side_by_side=side_by_side, on_done=on_done)


@contextmanager
def writer(inputs: Inputs, folder: Path, *, wide: bool) -> Iterator[Write]:
    """What writes the values of some inputs into `folder`, in the form that the inputs have."""
    if inputs.paths is not None:
        yield lambda numbers, stored: write_images(inputs, folder, numbers, stored)
        return
    if inputs.table is not None:
        spec = inputs.split.spec
        columns = spec.columns or plain_columns(spec.size)
        with table(folder / inputs.table.name, types_of(columns)) as rows:
            yield lambda _, stored: rows(in_words(stored, columns))
        return
    layout = Layout.of(inputs)
    shape = list(inputs.split.spec.shape)
    shape[-1] *= 2 if wide else 1
    size = layout.arranged(np.empty((0, *shape), layout.dtype)).shape[1:]
    with array(folder / f"{inputs.title}.npy", (len(inputs), *size), layout.dtype) as rows:
        yield lambda _, stored: rows(layout.arranged(stored.numpy()))


def write_images(
    inputs: Inputs, folder: Path, numbers: Int64[Tensor, " chunk"], stored: Stored
) -> None:
    """Write an image file for each of these inputs, called and made as its own is."""
    assert inputs.paths is not None
    for number, image in zip(numbers.tolist(), stored.numpy(), strict=True):
        path = folder / inputs.names[number]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, image, inputs.paths[number])


@dataclass(frozen=True)
class Layout:
    """How an array of inputs is laid out, and of what type it is.

    >>> layout = Layout.like(np.zeros((5, 28, 28), np.uint8), shape=(1, 28, 28))
    >>> layout.axes, layout.arranged(np.ones((2, 1, 28, 28))).shape
    ('no channel', (2, 28, 28))
    """

    axes: Axes
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, inputs: Inputs) -> "Layout":
        """The layout of the inputs' file, or where they have none, that of the inputs."""
        if inputs.array is None:
            return cls("as they are", inputs.split.values.numpy().dtype)
        return cls.like(open_array(inputs.array, str(inputs.array)), inputs.split.spec.shape)

    @classmethod
    def like(cls, original: NDArray[Any], shape: tuple[int, ...]) -> "Layout":
        """The layout of an array that holds inputs of `shape`."""
        return cls(fitting_axes(original.shape[1:], shape) or "as they are", original.dtype)

    def arranged(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values as the inputs have them, ``[n, channels, *positions]``, in this layout."""
        if self.dtype.kind in "biu":
            values = values.round()
        values = values.astype(self.dtype)
        match self.axes:
            case "no channel":
                return values[:, 0]
            case "channels last":
                return np.moveaxis(values, 1, -1)
            case _:
                return values
