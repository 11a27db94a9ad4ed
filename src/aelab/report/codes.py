"""Figures of a run's codes: the map of a split's codes, and what single numbers do."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int64
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor

from aelab.data.input_sets import InputDataset
from aelab.evaluate.reconstruction import CHUNK
from aelab.figures.style import COLOURS, GREY, MARKERS, new_figure, styled
from aelab.files import InputError
from aelab.models.contract import Autoencoder, Code
from aelab.models.priors.normal import Normal
from aelab.models.sampling import latent_size, traversal
from aelab.models.variational import LatentVariableModel
from aelab.report.tiles import TileRow, as_tiles, inputs, mosaic, one_thread
from aelab.runs.store import Run

MOST_CODES = 2000
"""Images whose codes are drawn; those after them are left out."""

FEWEST_CODES = 3
"""Of as many points or more a plane is drawn; fewer lie in any."""

TRIED = 1000
"""Images that a latent number's use is measured on."""

MOST_NUMBERS, STEPS = 8, 9
"""Latent numbers that are changed, and values that each is given."""

PLANE = 12
"""Points along each side of the decoded plane."""

CLASS_COLOURS = (*COLOURS[:7], "#999999", "#8C510A", "#B8A800")
"""The palette, its yellow made dark enough for points on white, and two more."""

INNER = (0.01, 0.99)
"""The quantiles between which a plane, or an autoencoder's latent number, is gone through."""

PRIOR_RANGE = 3.0
"""Deviations of N(0, 1) that a latent number is gone through of a model with that prior."""


def codes_of(run: Run, data: InputDataset, split: str, most: int) -> Code:
    """Codes of the first images of a split; InputError, where one is not finite."""
    model = run.autoencoder
    index = torch.arange(min(most, len(data.split(split))))
    z = torch.cat([model.encode(inputs(run, data, split, i)) for i in index.split(CHUNK)])
    if not z.isfinite().all():
        raise InputError(f"{run.folder}: codes of the {split} split are not finite")
    return z


@styled()
@one_thread()
def latent_map(
    run: Run, data: InputDataset, *, split: str = "test", name: str | None = None
) -> Figure:
    """The codes of a split in two dimensions, by class, and what the decoder makes of that plane.

    The plane is that of the codes' first two principal components, or of the codes themselves
    where they have two numbers. Side numbers take no part; decoded points have those of the image
    whose code is nearest to the centre.
    """
    model, name = run.autoencoder, name or run.settings.model
    size = latent_size(model)
    if size < 2:
        raise InputError(f"{run.folder}: a code of {size} latent numbers has no map")
    z = codes_of(run, data, split, MOST_CODES)
    if len(z) < FEWEST_CODES:
        raise InputError(
            f"{run.folder}: a map of codes takes {FEWEST_CODES} images or more, and the {split} "
            f"split has {len(z)}"
        )
    latent, side = z[:, :size], z[:, size:]
    points, centre, axes_of_plane, shares = plane(latent)
    low, high = np.quantile(points, INNER, axis=0)
    high = np.where(high > low, high, low + 1)  # of codes that are all the same
    grid = grid_points(low, high)
    central = (latent - centre).square().sum(1).argmin()
    decoded = centre + torch.from_numpy(grid).float() @ axes_of_plane
    images = model.decode(torch.cat([decoded, side[central].expand(len(grid), -1)], 1))
    if size == 2:
        what, units = "two numbers", ["number 1", "number 2"]
    else:
        what = f"first two principal components, {sum(shares):.0%} of their variance"
        units = [
            f"component {n} ({share:.0%} of the variance)" for n, share in enumerate(shares, 1)
        ]
    told = f"{name}: map of {len(z):,} {split} codes by class in the codes' {what}"
    figure = new_figure(10, 5.2, f"{told}; beside it that plane decoded.")
    left, right = figure.subplots(1, 2)
    scatter(left, points, data.split(split).classes[: len(z)], data.classes)
    left.set(title=f"{name}: codes of {len(z):,} {split} images", xlabel=units[0], ylabel=units[1])
    left.set(xlim=wider(low[0], high[0]), ylim=wider(low[1], high[1]))
    left.add_patch(Rectangle(low, *(high - low), fill=False, edgecolor=GREY, linestyle="--"))
    left.annotate("decoded", (low[0], high[1]), (3, 3), textcoords="offset points", color=GREY)
    right.imshow(
        stitched(as_tiles(images, model.spec)),
        extent=(low[0], high[0], low[1], high[1]),
        aspect="auto",
        interpolation="nearest",
    )
    right.grid(visible=False)
    with_side = "the frame, decoded with one image's side numbers"
    title = with_side if side.shape[1] else "what is in the frame, decoded"
    right.set(title=title, xlabel=units[0], ylabel=units[1])
    return figure


def plane(
    latent: Float[Tensor, "images latent"],
) -> tuple[NDArray[np.float64], Float[Tensor, " latent"], Float[Tensor, "2 latent"], list[float]]:
    """Points of the codes in a plane, its origin and axes, and the variance along each."""
    if latent.shape[1] == 2:
        return latent.double().numpy(), torch.zeros(2), torch.eye(2), [1.0, 0.0]
    pca = PCA(2, svd_solver="covariance_eigh").fit(latent.double().numpy())
    points = cast("NDArray[np.float64]", pca.transform(latent.double().numpy()))
    components = torch.from_numpy(pca.components_).float()
    shares = np.nan_to_num(pca.explained_variance_ratio_).tolist()
    return points, torch.from_numpy(pca.mean_).float(), components, shares


def grid_points(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """The middles of the cells of a plane, row by row from the top."""
    middles = (np.arange(PLANE) + 0.5) / PLANE
    xs, ys = (a + (b - a) * middles for a, b in zip(low, high, strict=True))
    return np.stack(np.meshgrid(xs, ys[::-1]), -1).reshape(-1, 2)


def wider(low: float, high: float) -> tuple[float, float]:
    """A range with a little room at both ends."""
    room = 0.15 * (high - low) or 1.0
    return low - room, high + room


def stitched(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A square of tiles without gaps."""
    _, height, width, _ = tiles.shape
    rows = tiles.reshape(PLANE, PLANE, height, width, 3).swapaxes(1, 2)
    return rows.reshape(PLANE * height, PLANE * width, 3)


def scatter(
    axes: Axes,
    points: NDArray[np.float64],
    labels: Int64[Tensor, " points"],
    classes: tuple[str, ...],
) -> None:
    """Points in a colour and a shape a class, its name where the middle of it is."""
    outlined = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    middles = {}
    for number, name in enumerate(classes):
        members = points[(labels == number).numpy()]
        if not len(members):
            continue
        colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
        marker = MARKERS[number % len(MARKERS)]
        x, y = members.T
        axes.scatter(x, y, s=9, color=colour, marker=marker, alpha=0.8, linewidths=0)
        middles[name] = np.median(members, axis=0)
    if len(classes) == 1:
        return
    for name, (x, y) in apart(middles, np.ptp(points, axis=0)).items():
        text = axes.text(x, y, name, ha="center", va="center", weight="bold", clip_on=True)
        text.set(path_effects=outlined, in_layout=False)


def apart(
    places: Mapping[str, NDArray[np.float64]], extent: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Places of names, moved up where they would stand on one another."""
    free: dict[str, NDArray[np.float64]] = {}
    for name, place in sorted(places.items(), key=lambda item: float(item[1][1])):
        moved = place.copy()
        for other in free.values():
            near = np.abs(moved - other) < extent * (0.2, 0.035)
            if near.all():
                moved[1] = other[1] + 0.035 * extent[1]
        free[name] = moved
    return free


@one_thread()
def traversals(
    run: Run, data: InputDataset, *, split: str = "test", name: str | None = None
) -> Figure:
    """What the most used latent numbers do: one of them changes, the others stay as they are.

    Used most: by KL divergence from the prior, in nats, where that is a sum over the numbers; by
    standard deviation for others. They change in the code of the split's first image: from -3 to
    3 where the prior is N(0, 1), or else over the inner 98 % of the values that the number has.
    """
    model, name = run.autoencoder, name or run.settings.model
    if latent_size(model) < 1:
        raise InputError(f"{run.folder}: a code without latent numbers has none to change")
    use, text, latent = use_of(run, data, split)
    z = model.encode(inputs(run, data, split, torch.tensor([0])))
    rows, told = [], []
    for number in use.sort(descending=True, stable=True).indices[:MOST_NUMBERS].tolist():
        values = values_of(model, latent[:, number])
        images = as_tiles(traversal(model, z, number, values), model.spec)
        notes = [f"{round(value, 1) + 0.0:.1f}" for value in values.tolist()]  # no -0.0
        used = text.format(use[number].item())
        rows.append(TileRow(f"number {number + 1}\n{used}", images, notes))
        told.append(f"{number + 1} ({used})")
    return mosaic(
        f"{name}: its {len(rows)} most used of {latent.shape[1]} latent numbers, each by itself",
        rows,
        f"{name}: an image decoded while one latent number changes, for the most used: "
        f"{', '.join(told)}.",
    )


def use_of(
    run: Run, data: InputDataset, split: str
) -> tuple[Float[Tensor, " latent"], str, Float[Tensor, "images latent"]]:
    """How much each latent number is used, how to tell it, and its values, image by image."""
    model = run.autoencoder
    z = codes_of(run, data, split, TRIED)[:, : latent_size(model)]
    if isinstance(model, LatentVariableModel):
        posterior = model.posterior(inputs(run, data, split, torch.arange(len(z))))
        kl = posterior.kl_of_each(model.latent_prior)
        if kl is not None:
            return kl.mean(0), "KL {:.2f} nats", z
    return z.std(0, correction=0), "std {:.2f}", z


def values_of(model: Autoencoder, values: Float[Tensor, " images"]) -> Float[Tensor, " steps"]:
    """The values that a latent number is given."""
    low, high = -PRIOR_RANGE, PRIOR_RANGE
    if not (isinstance(model, LatentVariableModel) and isinstance(model.latent_prior, Normal)):
        low, high = values.quantile(torch.tensor(INNER)).tolist()
    return torch.linspace(low, high, STEPS)
