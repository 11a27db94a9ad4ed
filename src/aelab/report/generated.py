"""Figures of what models make by themselves: samples, and the way from one image to another."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from aelab.data.input_sets import InputDataset
from aelab.evaluate.samples import nearest_images
from aelab.models.priors.contract import Prior
from aelab.models.sampling import between, latent_size, sample
from aelab.models.zoo import FITTED_PRIOR
from aelab.report.tiles import (
    Runs,
    TileRow,
    as_tiles,
    chosen,
    inputs,
    mosaic,
    one_thread,
    told_runs,
)
from aelab.runs.store import Run

SAMPLES = 10
STEPS = 9
MOST_CLASSES = 12


@one_thread()
def samples(runs: Runs, data: InputDataset, *, n: int = SAMPLES) -> Figure:
    """New images from every model and prior, and below each the training image nearest to it.

    The distance is Euclidean, of pixels in [0, 1]: a sample that is a copy has one of nearly 0.
    Each run draws by its own seed, from the prior it was trained with and from the fitted one.
    """
    training = data.split("train")
    drawn = {
        (name, prior): sample(run.autoencoder, n, seed=run.settings.seed, prior=found)
        / run.autoencoder.spec.peak
        for name, run in runs.items()
        for prior, found in priors_of(run).items()
    }
    distances, indices = nearest_images(torch.cat(list(drawn.values())), training)
    rows, told = [], []
    for (name, prior), d, i in zip(drawn, distances.split(n), indices.split(n), strict=True):
        spec = runs[name].autoencoder.spec
        images = as_tiles(drawn[name, prior] * spec.peak, spec)
        rows.append(TileRow(f"{name}\n{prior}", images, apart=True))
        nearest = as_tiles(training.intensities(i) * spec.peak, spec)
        notes = [f"at {distance:.1f}" for distance in d.tolist()]
        rows.append(TileRow("nearest in\ntraining", nearest, notes))
        told.append(f"{name} from {prior} {d.median().item():.1f}")
    return mosaic(
        f"Samples of {told_runs(runs)}, and the training image nearest to each",
        rows,
        f"{n} samples of {told_runs(runs)}, and the nearest training image of each; median "
        f"distance, Euclidean, pixels in [0, 1]: {', '.join(told)}.",
    )


@one_thread()
def samples_by_class(runs: Runs) -> Figure:
    """A new image of each class from every model whose fitted prior knows classes."""
    rows: list[TileRow] = []
    heads: list[str] = []
    for name, prior in class_priors(runs).items():
        run, heads = runs[name], list(prior.class_names[:MOST_CLASSES])
        model, seed = run.autoencoder, run.settings.seed
        drawn = [sample(model, 1, seed=seed, prior=prior, class_name=head) for head in heads]
        rows.append(TileRow(name, as_tiles(torch.cat(drawn), model.spec)))
    return mosaic(
        "A sample of each class, from the prior fitted to its codes",
        rows,
        f"{len(heads)} new images, one of each of {', '.join(heads)}, from every one of "
        f"{', '.join(row.label for row in rows)}.",
        heads=heads,
    )


def class_priors(runs: Runs) -> dict[str, Prior]:
    """The fitted prior of each run, where it knows classes."""
    fitted = {name: priors_of(run).get(FITTED_PRIOR) for name, run in runs.items()}
    return {name: prior for name, prior in fitted.items() if prior and prior.class_names}


def priors_of(run: Run) -> dict[str, Prior]:
    """What a run's codes are drawn from, by names that people read."""
    own = run.priors.own
    found = {} if own is None else {"its own prior": own}
    if run.priors.has(FITTED_PRIOR):
        found[FITTED_PRIOR] = run.priors.named(FITTED_PRIOR)
    return found


@one_thread()
def other_classes(
    run: Run, data: InputDataset, *, split: str = "test", name: str | None = None
) -> Figure:
    """An image of each class, and its latent numbers decoded as every class in turn."""
    model, name = run.autoencoder, name or run.settings.model
    found = list(chosen(data, split).items())[:MOST_CLASSES]
    heads = [head for head, _ in found]
    numbers = [model.spec.classes.index(head) for head in heads]
    sides = torch.eye(len(model.spec.classes))[numbers]
    rows = []
    for head, members in found:
        x = inputs(run, data, split, members)
        latent = model.encode(x)[:, : latent_size(model)]
        as_each = model.decode(torch.cat([latent.expand(len(sides), -1), sides], 1))
        rows.append(TileRow(head, as_tiles(torch.cat([x, as_each]), model.spec)))
    return mosaic(
        f"{name}: images of the {split} split, as if they were of another class",
        rows,
        f"{name}: an image of each of {', '.join(heads)}, and its latent numbers decoded as each "
        f"of these classes.",
        heads=["original", *heads],
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
        f"From {names[0]} to {names[-1]} through the codes of {told_runs(runs)}",
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
