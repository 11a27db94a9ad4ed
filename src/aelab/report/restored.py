"""Figures of what a model makes of images it is given: clean, noisy, and its worst."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64
from matplotlib.figure import Figure
from torch import Tensor

from aelab.data.batch import Batch
from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.evaluate.metrics import psnr, squared_errors
from aelab.evaluate.reconstruction import CORRUPTIONS, SEED
from aelab.files import InputError
from aelab.machine import seeded
from aelab.models.contract import InputBatch
from aelab.models.layers import corrupt
from aelab.report.tiles import (
    Runs,
    TileRow,
    as_tiles,
    chosen,
    error_tiles,
    inputs,
    mosaic,
    one_thread,
    told_runs,
)
from aelab.runs.store import Run

ACROSS = 10
"""Images of a row that is compared between models."""

NOISE_LEVELS = tuple(level for kind, level in CORRUPTIONS.values() if kind == "gaussian")
"""Standard deviations of the noise, as shares of the pixels' range."""


@one_thread()
def reconstructions(
    run: Run,
    data: InputDataset,
    *,
    split: str = "test",
    classes: Sequence[str] = (),
    name: str | None = None,
) -> Figure:
    """Original, restored and |error| of images of each class, with each image's MSE.

    Three images a class; nine, where one to three `classes` are named.
    """
    model, spec = run.autoencoder, run.autoencoder.spec
    found = chosen(data, split, classes, 9 if 0 < len(classes) <= 3 else 3)
    rows, every = [], []
    for label, members in found.items():
        for number, some in enumerate(members.split(3)):
            x = inputs(run, data, split, some)
            x_hat = model(x)
            errors = squared_errors(x_hat, x, spec.peak).tolist()
            three = (as_tiles(x, spec), as_tiles(x_hat, spec), error_tiles(x_hat, x, spec))
            notes = [note for error in errors for note in ("", f"MSE {error:.4f}", "")]
            tiles = np.stack(three, 1).reshape(-1, *three[0].shape[1:])
            rows.append(TileRow("" if number else label, tiles, notes))
            every += errors
    name = name or run.settings.model
    return mosaic(
        f"{name}: images of the {split} split and what it makes of them",
        rows,
        f"{name}: originals, reconstructions and absolute errors of {len(every)} images of the "
        f"{split} split, {', '.join(found)}; their MSEs go from {min(every):.4f} to "
        f"{max(every):.4f}.",
        heads=("original", "restored", "|error|") * 3,
        group=3,
        errors=True,
    )


@one_thread()
def compared(
    runs: Runs, data: InputDataset, *, split: str = "test", classes: Sequence[str] = ()
) -> Figure:
    """The same images restored by every model, with the error and each image's MSE.

    An image of each class, or as many of those named.
    """
    members, heads = across(data, split, classes)
    rows: list[TileRow] = []
    told = []
    for name, run in runs.items():
        model, spec = run.autoencoder, run.autoencoder.spec
        x = inputs(run, data, split, members)
        if not rows:
            rows.append(TileRow("original", as_tiles(x, spec)))
        x_hat = model(x)
        errors = squared_errors(x_hat, x, spec.peak)
        notes = [f"{error:.4f}" for error in errors.tolist()]
        rows.append(TileRow(f"{name}\nrestored, MSE", as_tiles(x_hat, spec), notes, apart=True))
        rows.append(TileRow("|error|", error_tiles(x_hat, x, spec)))
        told.append(f"{name} {errors.mean().item():.4f}")
    return mosaic(
        f"The same images of the {split} split, restored by every model",
        rows,
        f"The same {len(members)} images ({', '.join(dict.fromkeys(heads))}) restored by every "
        f"model; mean MSE of these images: {', '.join(told)}.",
        heads=heads,
        errors=True,
    )


def across(
    data: InputDataset, split: str, classes: Sequence[str] = ()
) -> tuple[Int64[Tensor, " images"], list[str]]:
    """At most ACROSS images and the class of each: as many of each class as there is room for."""
    found = chosen(data, split, classes, ACROSS)
    each = max(1, ACROSS // len(found))
    picked = {name: members[:each] for name, members in list(found.items())[:ACROSS]}
    names = [name for name, members in picked.items() for _ in members]
    return torch.cat(list(picked.values())), names


@one_thread()
def denoising(
    runs: Runs,
    data: InputDataset,
    *,
    split: str = "test",
    levels: Sequence[float] = NOISE_LEVELS,
) -> Figure:
    """Clean, noisy and restored at several noise levels, every model given the same noise."""
    members = across(data, split)[0][:3]
    rows: list[TileRow] = []
    told = []

    def row(name: str, shown: InputBatch, x: InputBatch, spec: InputSpec) -> TileRow:
        errors = squared_errors(shown, x, spec.peak).tolist()
        return TileRow(name, as_tiles(shown, spec), [f"{psnr(error):.1f} dB" for error in errors])

    for name, run in runs.items():
        model, spec = run.autoencoder, run.autoencoder.spec
        clean = Batch.of(inputs(run, data, split, members))
        x = clean.at(torch.arange(len(clean)).repeat(len(levels)))
        noisy = x.with_inputs(
            torch.cat([with_noise(clean.x, level, spec.peak) for level in levels])
        )
        x_hat = model(noisy)
        if not rows:
            rows += [TileRow("clean", as_tiles(x, spec)), row("noisy", noisy, x, spec)]
        rows.append(row(name, x_hat, x, spec))
        told.append(f"{name} {psnr(squared_errors(x_hat, x, spec.peak).mean().item()):.1f}")
    return mosaic(
        f"Noisy images and what {told_runs(runs)} makes of them, with its PSNR",
        rows,
        f"{len(members)} images with noise of {', '.join(map(str, levels))} of the pixels' range, "
        f"and what {told_runs(runs)} makes of them; mean PSNR in dB: {', '.join(told)}.",
        heads=[f"σ = {level:g}" for level in levels for _ in members],
        group=len(members),
    )


def with_noise(x: InputBatch, level: float, peak: float) -> InputBatch:
    """Inputs with Gaussian noise: of one level, the same for every model."""
    with seeded(SEED, "picture"):
        return corrupt(x, "gaussian", level, peak)


@one_thread()
def worst(runs: Runs, data: InputDataset, *, split: str = "test", count: int = 8) -> Figure:
    """The images of a split that each model restores worst, and what it makes of them."""
    rows: list[TileRow] = []
    told = []
    images = data.split(split)
    for name, run in runs.items():
        model, spec = run.autoencoder, run.autoencoder.spec
        found = worst_of(run, len(images))[:count]
        i = torch.tensor([index for index, _ in found])
        x = inputs(run, data, split, i)
        labels = [data.classes[c] for c in images.classes_of(i).tolist()]
        notes = [f"{error:.3f}" for _, error in found]
        rows.append(TileRow(f"{name}\noriginal", as_tiles(x, spec), labels, apart=True))
        rows.append(TileRow("restored, MSE", as_tiles(model(x), spec), notes))
        told.append(f"{name} {found[0][1]:.3f}")
    who = told_runs(runs, "each model")
    return mosaic(
        f"The images of the {split} split that {who} restores worst",
        rows,
        f"The {count} images that {who} restores worst, with class and MSE; the largest MSE: "
        f"{', '.join(told)}.",
    )


def worst_of(run: Run, images: int) -> list[tuple[int, float]]:
    """Index and MSE of the images that the run's evaluation found worst, the worst first.

    Raises:
        InputError: it has none, or they are no images of the split.
    """
    try:
        found = [(int(one["index"]), float(one["mse"])) for one in run.metrics["worst"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{run.folder}: metrics.json names no worst images") from error
    if not found or not all(0 <= index < images for index, _ in found):
        raise InputError(f"{run.folder}: metrics.json names worst images that are not there")
    return found
