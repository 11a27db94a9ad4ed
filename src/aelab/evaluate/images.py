"""How a model of images is scored: reconstruction, robustness, and the bound's two terms."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.images import ImageDataset, Images
from aelab.layers import corrupt
from aelab.losses import squared_error
from aelab.metrics import psnr, squared_errors
from aelab.models.base import Autoencoder, VariationalAutoencoder
from aelab.models.pca import EXACT_SIZE, principal_components
from aelab.randomness import seeded, set_global
from aelab.train import threads

CHUNK = 500
"""Examples evaluated at a time; the noise of an example depends on it."""

SEED = 0
"""Of the evaluation's own noise: every model is given the same."""

NOISE = 0.2
"""Standard deviation of the noise on inputs, as a share of the pixels' range."""


def evaluate_images(
    model: Autoencoder, data: ImageDataset, split: str = "test"
) -> dict[str, float | None]:
    """Metrics of `model` on a split; those that do not apply are None.

    mse is of the deterministic reconstruction ``decode(encode(x))``, per pixel, on a scale
    where pixels lie in [0, 1] whatever the preparation; psnr is of that mean. noisy_mse is the
    error, against the clean image, of the reconstruction from an input with Gaussian noise of
    σ = 0.2, clipped to the pixels' range. pca_mse is that of as many principal components,
    fitted on the training split; None where the code is not smaller than the input. active_fraction
    is the share of a code's latent numbers that are not 0. For variational models, reconstruction
    and KL are the two terms of minus the evidence lower bound (without beta), with one sample of
    z an example.

    Raises:
        ValueError: the data set has no such split, or its images are of another shape.
    """
    images = data.split(split)
    if images.spec != model.spec:
        raise ValueError(
            f"the model takes inputs of {model.spec}, and {data.name} has {images.spec}"
        )
    peak = model.spec.peak

    def noisy_error(x: Tensor) -> Tensor:
        return squared_errors(model(corrupt(x, "gaussian", NOISE, peak)), x, peak)

    def active(x: Tensor) -> Tensor:
        latent = model.code_size - model.side_channel[0]
        return model.encode(x)[:, :latent].count_nonzero(1) / latent

    mse = reconstruction_mse(model, images)
    metrics: dict[str, float | None] = {
        "mse": mse,
        "pca_mse": pca_mse(data, split, model.code_size),
        "psnr": psnr(mse) if mse else None,  # of no error at all, infinite
        "noisy_mse_0.2": mean_over(images, noisy_error),
        "active_fraction": mean_over(images, active),
        "code_size": model.code_size,
        "side_channel_size": model.side_channel[0],
        "side_channel_bits": model.side_channel[1],
    }
    if isinstance(model, VariationalAutoencoder):
        metrics[f"reconstruction_{model.likelihood.name}"] = mean_over(
            images, lambda x: model.bound(x)[0]
        )
        metrics["kl"] = mean_over(images, lambda x: model.posterior(x).kl())
    return metrics


def reconstruction_mse(model: Autoencoder, images: Images) -> float:
    """Error of ``decode(encode(x))``, per pixel, on a scale of [0, 1]."""
    return mean_over(images, lambda x: squared_errors(model(x), x, model.spec.peak))


def mean_over(images: Images, figure: Callable[[Tensor], Float[Tensor, " batch"]]) -> float:
    """Mean over a split of a figure of each example; its noise is the same for every model."""
    total = 0.0
    with seeded(SEED), torch.inference_mode():
        for number, x in enumerate(chunks(images)):
            set_global(SEED, "evaluate", number)
            total += figure(x).double().sum().item()
    return total / len(images)


def chunks(images: Images) -> Iterator[Tensor]:
    """The inputs of a split in order."""
    for i in torch.arange(len(images)).split(CHUNK):
        yield images.batch(i)


def validation_loss(model: Autoencoder, images: Images) -> float:
    """The model's own objective on a split: what the best epoch is chosen by."""
    total = 0.0
    with seeded(SEED), torch.inference_mode():
        for number, x in enumerate(chunks(images)):
            set_global(SEED, "evaluate", number)
            total += sum(term.item() for term in model.loss(x).values()) * len(x)
    return total / len(images)


def pca_mse(data: ImageDataset, split: str, code_size: int) -> float | None:
    """Error on `split` of PCA fitted on the training split; None for an overcomplete code."""
    if code_size >= data.spec.size:
        return None
    exact = data.spec.size <= EXACT_SIZE
    mean, components = fitted_components(data, data.spec.size if exact else code_size)
    basis = components[:code_size]

    def error(x: Tensor) -> Tensor:
        centred = x.flatten(1) - mean
        return squared_errors(centred @ basis.T @ basis, centred, data.spec.peak)

    with threads(1):
        return mean_over(data.split(split), error)


@lru_cache(maxsize=2)
def fitted_components(data: ImageDataset, n: int) -> tuple[Tensor, Tensor]:
    """Principal components of the training split; the last few are kept at hand."""
    with threads(1):  # whoever asks first, the same bits
        return principal_components(data.split("train"), n)


def original_figure(model: Autoencoder, images: Images, batch_size: int) -> float:
    """What the original study reported for a model.

    For autoencoders, the squared error a pixel, in the scale of its inputs. For variational
    ones, the squared error summed over a whole batch plus the KL divergence averaged over it.
    """
    if isinstance(model, VariationalAutoencoder):

        def batch_loss(x: Tensor) -> Tensor:
            posterior = model.posterior(x)
            error = squared_error(model.decode(posterior.sample()), x)
            return batch_size * error + posterior.kl()

        return mean_over(images, batch_loss)
    return mean_over(images, lambda x: squared_errors(model(x), x))
