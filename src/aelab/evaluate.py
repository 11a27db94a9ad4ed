"""The one protocol: which metrics, for which kind of model; how each is presented."""

from dataclasses import dataclass

from aelab.data import Dataset
from aelab.data.graphs import GraphDataset
from aelab.data.images import ImageDataset
from aelab.evaluate_images import evaluate_images, reconstruction_mse, validation_loss
from aelab.evaluate_links import evaluate_links, validation_auc
from aelab.models.base import Autoencoder
from aelab.models.link_base import LinkModel, Model

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Metric:
    """How a figure is presented."""

    title: str
    short_unit: str
    """Below the title, in a table."""

    digits: int
    unit: str
    """In full."""


METRICS: dict[str, Metric] = {
    "mse": Metric("MSE", "pixel", 4, "squared error a pixel, pixels in [0, 1]"),
    "pca_mse": Metric("PCA's", "MSE", 4, "the same, of PCA with the same code size"),
    "psnr": Metric("PSNR", "dB", 1, "decibels, of the mean squared error"),
    "noisy_mse": Metric("noisy", "MSE", 4, "squared error a pixel, from inputs with noise of 0.2"),
    "active": Metric("active", "numbers", 1, "non-zero latent numbers of a code"),
    "reconstruction_gaussian": Metric("rec.", "nats", 0, "nats, Gaussian likelihood"),
    "reconstruction_bernoulli": Metric("rec. Bern.", "nats", 0, "nats, Bernoulli likelihood"),
    "reconstruction_continuous_bernoulli": Metric(
        "rec. CB", "nats", 0, "nats, continuous Bernoulli likelihood"
    ),
    "kl": Metric("KL", "nats", 1, "nats"),
    "auc": Metric("AUC", "links", 4, "area under the ROC curve, 0 to 1"),
    "ap": Metric("AP", "links", 4, "average precision, 0 to 1"),
    "original_figure": Metric(
        "original's", "ours", 4, "squared error a pixel in the inputs' scale; of a batch, with KL"
    ),
}
"""Every metric, in the order of the table."""

FACTS = (
    "split",
    "code_size",
    "side_channel_size",
    "side_channel_bits",
    "parameters",
    "nodes",
    "edges",
    "training_edges",
    "scored_edges",
    "scored_negatives",
)
"""What evaluation says that is no measurement."""


def evaluate(model: Model, data: Dataset, split: str = "test") -> Figures:
    """All metrics of `model` on a split of `data`; those that do not apply are None.

    parameters are all numbers that were learnt, those found in closed form included.

    Raises:
        ValueError: the data are of another kind or shape than the model's.
    """
    if isinstance(model, LinkModel) and isinstance(data, GraphDataset):
        figures: Figures = {**evaluate_links(model, data, split)}
    elif isinstance(model, Autoencoder) and isinstance(data, ImageDataset):
        figures = evaluate_images(model, data, split)
    else:
        raise ValueError(f"{data.name} is no data set for a {type(model).__name__}")
    parameters = sum(tensor.numel() for tensor in model.state_dict().values())
    return {**figures, "parameters": parameters}


@dataclass(frozen=True)
class Validation:
    """What an epoch is worth on the validation split."""

    loss: float
    """The best epoch has the least."""

    shown: Figures
    """What is told of it, by metric."""


def validate(model: Model, data: Dataset) -> Validation:
    """Score an epoch: by the model's own objective, or by minus the AUC of a link model."""
    if isinstance(model, LinkModel) and isinstance(data, GraphDataset):
        auc = validation_auc(model, data)
        return Validation(-auc, {"auc": auc})
    assert isinstance(model, Autoencoder)
    assert isinstance(data, ImageDataset)
    images = data.split("validation")
    return Validation(validation_loss(model, images), {"mse": reconstruction_mse(model, images)})
