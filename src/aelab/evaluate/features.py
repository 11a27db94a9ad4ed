"""Features to compare samples in: the last hidden layer of a small classifier of the data's own.

Inception's features, made for photographs, say little of 28×28 grey images. The classifier is
trained once on the training images by one fixed recipe, and kept in the user's cache; its accuracy
and the hash of its weights stand beside every figure that rests on it.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.files import AelabError, read_metadata, read_tensors, user_cache, write_tensors
from aelab.machine import seeded, threads
from aelab.models.contract import Losses, Trainable
from aelab.models.losses import batch_mean
from aelab.settings import Recipe
from aelab.training.loop import fit

VERSION = 1
"""Of the classifier and its recipe. Whoever changes either counts it up."""

RECIPE = Recipe(batch_size=64, learning_rate=3e-3)
IMAGES_SEEN, MOST_EPOCHS = 220_000, 30
"""Training is as long for every data set, but that a small one is not seen more often."""

SIZE = 64
"""Features of an image."""

LARGEST = 32
"""Height and width, in pixels, of what the classifier sees."""

CHUNK = 500

Pictures = Float[Tensor, "batch channels height width"]
"""Images in [0, 1]."""

Labelled = tuple[Pictures, Int64[Tensor, " batch"]]


@dataclass(frozen=True)
class LabelledImages:
    """A split whose batches are images with their class numbers.

    >>> from aelab.data.loading import load
    >>> x, classes = LabelledImages(load("digits").split("train")).batch(torch.arange(5))
    >>> x.shape, x.max(), classes
    (torch.Size([5, 1, 8, 8]), tensor(1.), tensor([0, 1, 2, 3, 4]))
    """

    images: InputSplit

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, i: Int64[Tensor, " batch"]) -> Labelled:
        """Give the images `i` in [0, 1] and their classes."""
        return self.images.intensities(i), self.images.classes_of(i)


class Classifier(Trainable):
    """Two convolutions, a layer of 64 features, and a logit a class.

    Larger images are averaged down to 32×32 pixels first, so that training takes as long.

    >>> Classifier((1, 28, 28), classes=10).features(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 64])
    """

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        rows, columns = min(height, LARGEST), min(width, LARGEST)
        large = (rows, columns) != (height, width)
        self.hidden = nn.Sequential(
            nn.AdaptiveAvgPool2d((rows, columns)) if large else nn.Identity(),
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * (rows // 4) * (columns // 4), SIZE),
            nn.ReLU(),
        )
        self.logits = nn.Linear(SIZE, classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, x: Pictures) -> Float[Tensor, "batch features"]:
        """The last hidden layer."""
        # With channels innermost, its convolutions take half the time.
        features: Tensor = self.hidden(x.contiguous(memory_format=torch.channels_last))
        return features

    def loss(self, batch: Labelled, /) -> Losses:
        """Cross-entropy of the classes."""
        x, classes = batch
        logits = self.logits(self.features(x))
        return {"cross_entropy": batch_mean(F.cross_entropy(logits, classes, reduction="none"))}


@dataclass(frozen=True)
class FeatureNetwork:
    """A trained classifier, as features of images.

    >>> network = FeatureNetwork(Classifier((1, 8, 8), classes=10), accuracy=0.9)
    >>> network.of(torch.zeros(3, 1, 8, 8)).shape, len(network.hash)
    (torch.Size([3, 64]), 12)
    """

    classifier: Classifier

    accuracy: float
    """On test images (validation images, where the data have no test split)."""

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that tell its weights from any others."""
        digest = hashlib.sha256()
        for tensor in self.classifier.state_dict().values():
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]

    def of(self, x: Pictures) -> Float[Tensor, "batch features"]:
        """Features of images in [0, 1]."""
        with torch.no_grad():
            return torch.cat([self.classifier.features(part) for part in x.split(CHUNK)])


def feature_network(data: InputDataset) -> FeatureNetwork | None:
    """The features of a data set, from the cache or trained now; None if it has but one class.

    Raises:
        InputError: the cache cannot be written.
    """
    if not are_there(data):
        return None
    path = cache_path(data)
    with seeded(0, "features"):
        classifier = Classifier(data.spec.image_shape, len(data.classes))
    if not data.sha256:  # of somebody's own, whose content nobody knows
        return trained(classifier, data)
    found = cached(path, classifier)
    if found is None:
        found = trained(classifier, data)
        facts = {"accuracy": repr(found.accuracy), "hash": found.hash}
        write_tensors(path, classifier.state_dict(), facts)
    return found


def are_there(data: InputDataset) -> bool:
    """Whether a data set has classes to learn features from."""
    train = data.split("train")
    return len(train.labels[train.index].unique()) > 1


def are_known(data: InputDataset) -> bool:
    """Whether the features of a data set are in the cache."""
    return cache_path(data).is_file()


def cache_path(data: InputDataset) -> Path:
    """Where the classifier of these training images is kept, by their content and its range."""
    index, spec = data.split("train").index.cpu().numpy().tobytes(), data.spec
    ranged = "" if (spec.low, spec.high) == (0, 255) else f"{spec.low} {spec.high} "
    key = hashlib.sha256(f"{VERSION} {data.sha256} {ranged}".encode() + index).hexdigest()
    return user_cache("features", f"{key[:32]}.safetensors")


def cached(path: Path, classifier: Classifier) -> FeatureNetwork | None:
    """The network in a file of the cache; None if there is none, or it is not as it was written."""
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    try:
        facts = read_metadata(path)
        classifier.load_state_dict(read_tensors(path))
        found = FeatureNetwork(classifier.eval(), float(facts["accuracy"]))
        if found.hash == facts["hash"]:
            return found
    except (AelabError, KeyError, TypeError, ValueError, RuntimeError):
        pass  # not whole: what depends on it alone is made again
    classifier.load_state_dict(before)
    return None


def trained(classifier: Classifier, data: InputDataset) -> FeatureNetwork:
    """Train by the recipe: the same bytes each time on one machine."""
    train = LabelledImages(data.split("train"))
    recipe = replace(RECIPE, epochs=min(MOST_EPOCHS, IMAGES_SEEN / len(train)))
    for _ in fit(classifier, train, recipe):
        pass
    scored = LabelledImages(data.split("test" if "test" in data.splits else "validation"))
    right = 0
    with threads(1), torch.inference_mode():
        for i in torch.arange(len(scored)).split(CHUNK):
            x, classes = scored.batch(i)
            right += int((classifier.logits(classifier.features(x)).argmax(1) == classes).sum())
    return FeatureNetwork(classifier.eval(), right / len(scored))
