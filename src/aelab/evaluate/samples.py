"""How good a model's samples are: distances to real images, in features and in pixels."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.evaluate.features import FeatureNetwork, Pictures, feature_network
from aelab.evaluate.subject import Subject
from aelab.machine import once_for_each, permutation_at, threads
from aelab.models.contract import Autoencoder
from aelab.models.priors.contract import Prior
from aelab.models.sampling import sample

SAMPLES = 10_000

NEIGHBOURS = 3
"""The k of precision and recall (as in the paper)."""

ROWS = 500
"""Rows of a matrix of distances that are in memory at a time."""

VALUES = 2**22
"""Numbers of images that are in memory at a time, for distances between pixels."""

Features = Float[Tensor, "images features"]
OtherFeatures = Float[Tensor, "others features"]
Radii = Float[Tensor, " images"]

SampleFigures = dict[str, float | str | None]


@dataclass(frozen=True, eq=False)
class Reference:
    """The images that samples are held against, and the figures that follow from them alone.

    >>> from aelab.data.loading import load
    >>> reference = reference_of(load("digits"), "test", count=3, seed=0)  # too few for features
    >>> reference.network, round(reference.nearest, 1)
    (None, 1.0)
    """

    network: FeatureNetwork | None
    """None where the data have no classes to learn features from."""

    features: Features | None
    radii: Radii | None
    floor: float | None
    nearest: float


def measure(subject: Subject) -> SampleFigures:
    """The figures of a model of images, by samples as many as SAMPLES."""
    if subject.model.spec.kind != "images":
        return {}
    return sample_figures(subject.model, subject.prior, subject.data, subject.split, subject.seed)


def sample_figures(
    model: Autoencoder,
    prior: Prior | None,
    data: InputDataset,
    split: str,
    seed: int = 0,
    n: int = SAMPLES,
) -> SampleFigures:
    """Figures of `n` samples against as many images of a split; at most as many as it has.

    frechet is the squared Fréchet distance between Gaussians fitted to the features of both,
    frechet_floor the same of as many training images; precision and recall are
    `precision_and_recall`. All four are None where the data have fewer than two classes, for
    then there are no features. nearest is the median over samples of the Euclidean distance,
    pixels in [0, 1], to the nearest training image, nearest_test the same of the split's images:
    far below it, samples are copies. feature_accuracy and feature_hash tell the features.

    Raises:
        InputError: no such split, or a model without a prior is given none.
    """
    count = min(n, len(data.split(split)), len(data.split("train")))
    drawn = sample(model, count, seed=seed, prior=prior).cpu()
    x = (drawn / model.spec.peak).clamp(0, 1)
    reference = reference_of(data, split, count, seed)
    nearest, _ = nearest_images(x, data.split("train"))
    figures: SampleFigures = {
        "frechet": None,
        "frechet_floor": reference.floor,
        "precision": None,
        "recall": None,
        "nearest": nearest.median().item(),
        "nearest_test": reference.nearest,
        "feature_accuracy": None,
        "feature_hash": None,
    }
    if (network := reference.network) is not None:
        assert reference.features is not None
        features = network.of(x)
        if features.isfinite().all():
            figures["frechet"] = frechet_distance(reference.features, features)
            figures["precision"], figures["recall"] = precision_and_recall(
                reference.features, features, reference.radii
            )
        else:
            figures |= dict.fromkeys(("frechet", "precision", "recall"), math.nan)
        figures["feature_accuracy"], figures["feature_hash"] = network.accuracy, network.hash
    return figures


@once_for_each
def reference_of(data: InputDataset, split: str, count: int, seed: int) -> Reference:
    """`count` images of a split, and their figures against the training images."""
    images, train = data.split(split), data.split("train")
    compared = permutation_at(len(images), seed, "compared")[:count]
    x = images.intensities(compared).cpu()
    nearest = distances_to_training(data, split)[compared].median().item()
    with threads(1):  # whoever asks first, the same bits
        network = feature_network(data) if count > NEIGHBOURS else None
        if network is None:
            return Reference(None, None, None, None, nearest)
        chosen = permutation_at(len(train), seed, "floor")[:count]
        features = network.of(x)
        floor = frechet_distance(features, network.of(train.intensities(chosen).cpu()))
        return Reference(network, features, neighbour_radii(features), floor, nearest)


@once_for_each
def distances_to_training(data: InputDataset, split: str) -> Float[Tensor, " images"]:
    """How far each image of a split is from the nearest training image, pixels in [0, 1]."""
    images = data.split(split)
    with threads(1):
        every = images.intensities(torch.arange(len(images))).cpu()
        return nearest_images(every, data.split("train"))[0]


def frechet_distance(real: Features, fake: OtherFeatures) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets of features.

    ``|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))``: Heusel et al. 2017 (arXiv 1706.08500), eq. 6,
    in double precision.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance  # takes a second or two

    as_they_are = nn.Identity()  # the features are there already
    as_they_are.num_features = torch.tensor(real.shape[1])
    distance = FrechetInceptionDistance(as_they_are)
    distance.update(real.double(), real=True)
    distance.update(fake.double(), real=False)
    return float(distance.compute())


def precision_and_recall(
    real: Features, fake: OtherFeatures, radii: Radii | None = None
) -> tuple[float, float]:
    """Share of `fake` that lies among `real`, and of `real` that lies among `fake`.

    A point lies among others if it is in the ball around any of them that reaches to its third
    nearest neighbour of its own kind (Kynkäänniemi et al. 2019, arXiv 1904.06991, section 2).
    `radii` are those of `real`, where they are known.
    """
    radii = neighbour_radii(real) if radii is None else radii
    return share_among(fake, real, radii), share_among(real, fake, neighbour_radii(fake))


def neighbour_radii(points: Features) -> Radii:
    """Distance of each point to its third nearest other, in double precision."""
    points = points.double()
    nearest = [
        # The nearest of all is the point itself.
        torch.cdist(part, points).topk(NEIGHBOURS + 1, largest=False).values[:, -1]
        for part in points.split(ROWS)
    ]
    return torch.cat(nearest)


def share_among(points: OtherFeatures, centres: Features, radii: Radii) -> float:
    """Share of the points that lie in any of the balls."""
    centres = centres.double()
    inside = [
        (torch.cdist(part, centres) <= radii).any(1).sum() for part in points.double().split(ROWS)
    ]
    return torch.stack(inside).sum().item() / len(points)


def nearest_images(
    queries: Pictures, images: InputSplit
) -> tuple[Float[Tensor, " batch"], Int64[Tensor, " batch"]]:
    """For each query in [0, 1], the distance to the nearest image of a split, and which it is.

    Euclidean, pixels in [0, 1]; the number counts within the split. Among images whose squared
    distances are equal to about 1e-4, any may be named; equal images are at 0 exactly.
    """
    flat = queries.flatten(1)
    best = torch.full((len(flat),), torch.inf, device=flat.device)
    which = torch.zeros(len(flat), dtype=torch.int64, device=flat.device)
    rows = max(1, VALUES // flat.shape[1])
    for i in torch.arange(len(images)).split(rows):
        candidates = images.intensities(i).flatten(1).to(flat.device)
        squares = candidates.square().sum(1)
        for q in torch.arange(len(flat)).split(ROWS):
            # |x - c|^2 up to |x|^2 as one product finds the nearest; its distance is then exact.
            j = torch.addmm(squares, flat[q], candidates.T, alpha=-2).argmin(1)
            distance = (flat[q] - candidates[j]).square().sum(1)
            closer = distance < best[q]
            best[q] = torch.where(closer, distance, best[q])
            which[q] = torch.where(closer, i[0].item() + j, which[q])
    return best.sqrt(), which
