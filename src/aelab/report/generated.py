"""Figures of what models make by themselves: samples, and the way from one image to another."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from aelab.data.input_sets import InputDataset
from aelab.evaluate.samples import nearest_images
from aelab.models.sampling import between, sample
from aelab.report.tiles import Runs, TileRow, as_tiles, chosen, inputs, mosaic, one_thread

SAMPLES = 10
STEPS = 9


@one_thread()
def samples(runs: Runs, data: InputDataset, *, n: int = SAMPLES) -> Figure:
    """New images from every model, and below each the training image that is nearest to it.

    The distance is Euclidean, of pixels in [0, 1]: a sample that is a copy has one of nearly 0.
    Each run draws by its own seed, from its own or its fitted prior.
    """
    training = data.split("train")
    drawn = {
        name: sample(run.autoencoder, n, seed=run.settings.seed, prior=run.prior)
        / run.autoencoder.spec.peak
        for name, run in runs.items()
    }
    distances, indices = nearest_images(torch.cat(list(drawn.values())), training)
    rows, told = [], []
    for (name, run), d, i in zip(runs.items(), distances.split(n), indices.split(n), strict=True):
        spec = run.autoencoder.spec
        rows.append(TileRow(f"{name}\nsample", as_tiles(drawn[name] * spec.peak, spec), apart=True))
        nearest = as_tiles(training.intensities(i) * spec.peak, spec)
        notes = [f"at {distance:.1f}" for distance in d.tolist()]
        rows.append(TileRow("nearest in\ntraining", nearest, notes))
        told.append(f"{name} {d.median().item():.1f}")
    return mosaic(
        "Samples of every model, and the training image nearest to each",
        rows,
        f"{n} samples of every model, and the nearest training image of each; median distance, "
        f"Euclidean, pixels in [0, 1]: {', '.join(told)}.",
    )


@one_thread()
def interpolation(
    runs: Runs,
    data: InputDataset,
    *,
    split: str = "test",
    classes: Sequence[str] = (),
    steps: int = STEPS,
) -> Figure:
    """The way from one image to another through every model's codes, beside blended pixels.

    From the first image of the first class to that of the last, of `classes` or of all.
    """
    found = chosen(data, split, classes, 2)
    ends = torch.cat(list(found.values()))[[0, -1]]
    names = list(found)
    shares = torch.linspace(0, 1, steps)
    rows: list[TileRow] = []
    for name, run in runs.items():
        model = run.autoencoder
        x = inputs(run, data, split, ends)
        if not rows:
            blended = torch.stack([torch.lerp(x[0], x[1], t) for t in shares])
            rows.append(TileRow("blended pixels", as_tiles(blended, model.spec)))
        z = model.encode(x)
        way = model.decode(between(model, z[:1], z[1:], shares))
        rows.append(TileRow(name, as_tiles(way, model.spec)))
    return mosaic(
        f"From {names[0]} to {names[-1]} through every model's codes",
        rows,
        f"The way from an image of {names[0]} to one of {names[-1]} in {steps} steps: blended "
        f"pixels, then decoded codes of {', '.join(runs)}.",
        heads=[f"{share:.0%}" for share in shares.tolist()],
    )


def garments(data: InputDataset, classes: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Pairs of classes to go between: those named, or the outermost and the two next to them."""
    if classes:
        return [(classes[0], classes[-1])]
    names = list(chosen(data, "train"))  # a run of some classes has no images of the others
    return [(names[0], names[-1]), (names[1], names[-2])] if len(names) >= 4 else [tuple(names)]
