"""How good a model's samples are: distances to real images, in features and in pixels."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.evaluate.features import FeatureNetwork, Pictures, feature_network
from aelab.evaluate.kept import Tensors, kept
from aelab.evaluate.subject import Subject
from aelab.machine import permutation_at, seeded, threads
from aelab.models.contract import Autoencoder, InputBatch
from aelab.models.priors.contract import Prior
from aelab.models.sampling import prior_of, sample
from aelab.models.zoo import FITTED_PRIOR

SAMPLES = 10_000

NEAREST = 500
"""Samples whose nearest training image is looked for: enough for a median."""

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
    compared: Int64[Tensor, " images"]
    """Which images of the split they are."""


def measure(subject: Subject) -> SampleFigures:
    """The figures of a model of images, by samples as many as SAMPLES."""
    if subject.model.spec.kind != "images":
        return {}
    return sample_figures(
        subject.model,
        subject.prior,
        subject.data,
        subject.split,
        subject.seed,
        fitted=subject.fitted.get(FITTED_PRIOR),
    )


OTHER_PRIORS = {"fitted-flow": "frechet_flow", "two-stage": "frechet_two_stage"}
"""Whose samples are a group of their own, for fitting them takes a minute each."""


def measure_priors(subject: Subject) -> SampleFigures:
    """The Fréchet distance of samples from each of OTHER_PRIORS."""
    model, data, split = subject.model, subject.data, subject.split
    if model.spec.kind != "images" or not subject.fitted:
        return {}
    count = most_samples(data, split)
    reference = reference_of(data, split, count, subject.seed)
    if reference.network is None:
        return {}
    return {
        metric: frechet_of(model, subject.fitted[name], reference, count, subject.seed)
        for name, metric in OTHER_PRIORS.items()
    }


def sample_figures(
    model: Autoencoder,
    prior: Prior | None,
    data: InputDataset,
    split: str,
    seed: int = 0,
    n: int = SAMPLES,
    *,
    fitted: Prior | None = None,
) -> SampleFigures:
    """Figures of `n` samples against as many images of a split; at most as many as it has.

    frechet is the squared Fréchet distance between Gaussians fitted to the features of both;
    frechet_own and frechet_fitted are the same of samples from the model's own prior and from the
    fitted one, frechet_reconstructions of reconstructions of the images, and frechet_floor of as
    many training images; precision and recall are `precision_and_recall`. All are None where the
    data have fewer than two classes, for then there are no features. nearest is the median over
    (at most 500) samples of the Euclidean distance, pixels in [0, 1], to the nearest training
    image, nearest_test the same of the split's images: far below it, samples are copies.
    feature_accuracy and feature_hash tell the features.

    Raises:
        InputError: no such split, or a model without a prior is given none.
    """
    prior = prior_of(model, prior)
    count = most_samples(data, split, n)
    reference = reference_of(data, split, count, seed)
    x = intensities(model, sample(model, count, seed=seed, prior=prior))
    nearest, _ = nearest_images(x[:NEAREST], data.split("train"))
    figures: SampleFigures = {
        **dict.fromkeys(("frechet", "frechet_own", "frechet_fitted", "frechet_reconstructions")),
        "frechet_floor": reference.floor,
        "precision": None,
        "recall": None,
        "nearest": nearest.median().item(),
        "nearest_test": reference.nearest,
        "feature_accuracy": None,
        "feature_hash": None,
    }
    if reference.network is None or reference.features is None:
        return figures
    features = reference.network.of(x)
    figures["frechet"] = distance_or_nan(reference, features)
    for name, other in (("frechet_own", model.prior), ("frechet_fitted", fitted)):
        if other is prior:
            figures[name] = figures["frechet"]
        elif other is not None:
            figures[name] = frechet_of(model, other, reference, count, seed)
    figures["frechet_reconstructions"] = distance_or_nan(
        reference, reference.network.of(reconstructed(model, data.split(split), reference.compared))
    )
    figures |= dict.fromkeys(("precision", "recall"), math.nan)
    if features.isfinite().all():
        figures["precision"], figures["recall"] = precision_and_recall(
            reference.features, features, reference.radii
        )
    figures["feature_accuracy"] = reference.network.accuracy
    figures["feature_hash"] = reference.network.hash
    return figures


def most_samples(data: InputDataset, split: str, n: int = SAMPLES) -> int:
    """How many samples are held against a split: `n`, or as many images as it has."""
    return min(n, len(data.split(split)), len(data.split("train")))


def frechet_of(
    model: Autoencoder, prior: Prior, reference: Reference, count: int, seed: int
) -> float:
    """The Fréchet distance of `count` samples from a prior."""
    assert reference.network is not None
    x = intensities(model, sample(model, count, seed=seed, prior=prior))
    return distance_or_nan(reference, reference.network.of(x))


def intensities(model: Autoencoder, x: InputBatch) -> Pictures:
    """What a model puts out, as images in [0, 1]."""
    return (x.cpu() / model.spec.peak).clamp(0, 1)


def reconstructed(
    model: Autoencoder, images: InputSplit, chosen: Int64[Tensor, " images"]
) -> Pictures:
    """Reconstructions of some images of a split, in [0, 1]."""
    with seeded(0, "reconstructed"), torch.inference_mode():
        parts = [intensities(model, model(images.batch(i))) for i in chosen.split(ROWS)]
    return torch.cat(parts)


def distance_or_nan(reference: Reference, features: Features) -> float:
    """The Fréchet distance to the reference; not a number, if features are not finite."""
    assert reference.features is not None
    if not features.isfinite().all():
        return math.nan
    return frechet_distance(reference.features, features)


def reference_of(data: InputDataset, split: str, count: int, seed: int) -> Reference:
    """`count` images of a split, and their figures against the training images."""
    with threads(1):  # whoever asks first, the same bits
        network = feature_network(data) if count > NEIGHBOURS else None
    found = reference_tensors(data, split, count, seed, None if network is None else network.hash)
    return Reference(
        network=network,
        features=found.get("features"),
        radii=found.get("radii"),
        floor=found["floor"].item() if "floor" in found else None,
        nearest=found["nearest"].item(),
        compared=found["compared"],
    )


@kept
def reference_tensors(
    data: InputDataset, split: str, count: int, seed: int, features_of: str | None
) -> Tensors:
    """The same as it is kept, in the features of the network with that hash."""
    images, train = data.split(split), data.split("train")
    compared = permutation_at(len(images), seed, "compared")[:count]
    nearest = distances_to_training(data, split, compared[:NEAREST]).median()
    found = {"compared": compared, "nearest": nearest}
    if features_of is None:
        return found
    with threads(1):
        network = feature_network(data)
        assert network is not None
        chosen = permutation_at(len(train), seed, "floor")[:count]
        features = network.of(images.intensities(compared).cpu())
        floor = frechet_distance(features, network.of(train.intensities(chosen).cpu()))
    return found | {
        "features": features,
        "radii": neighbour_radii(features),
        "floor": torch.tensor(floor, dtype=torch.float64),
    }


def distances_to_training(
    data: InputDataset, split: str, chosen: Int64[Tensor, " images"]
) -> Float[Tensor, " images"]:
    """How far some images of a split are from the nearest training image, pixels in [0, 1]."""
    with threads(1):
        every = data.split(split).intensities(chosen).cpu()
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
    of_real = neighbour_radii(real) if radii is None else radii
    of_fake, centres = neighbour_radii(fake), fake.double()
    precise = torch.zeros(len(fake), dtype=torch.bool)
    recalled = []
    for part, reach in zip(real.double().split(ROWS), of_real.split(ROWS), strict=True):
        distances = torch.cdist(part, centres)
        precise |= (distances <= reach[:, None]).any(0)
        recalled.append((distances <= of_fake).any(1))
    return precise.double().mean().item(), torch.cat(recalled).double().mean().item()


def neighbour_radii(points: Features) -> Radii:
    """Distance of each point to its third nearest other, in double precision."""
    points = points.double()
    nearest = [
        # The nearest of all is the point itself.
        torch.cdist(part, points).topk(NEIGHBOURS + 1, largest=False).values[:, -1]
        for part in points.split(ROWS)
    ]
    return torch.cat(nearest)


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
