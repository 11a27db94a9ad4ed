"""An epoch of aelab, of pythae and of a bare PyTorch loop: the same network and data."""

import contextlib
import io
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from harness import Table, alternate, new_model, ratios, shown, spread
from pythae.data.datasets import BaseDataset
from pythae.models import AE, VAE, AEConfig, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from aelab.data.input_sets import InputSplit
from aelab.models.contract import Autoencoder
from aelab.models.layers import UpConvolution
from aelab.models.variational import LatentVariableModel
from aelab.settings import RunSettings
from aelab.studies.compare import dataset
from aelab.studies.study import load_study
from aelab.training.loop import fit
from aelab.training.precision import with_precision

ROWS = {"vanilla": 25_600, "vae": 25_600, "convolutional": 6_400, "conv-vae": 6_400}
"""Rows of the study `default`, and the training images of an epoch."""


class Encoder(BaseEncoder):  # type: ignore[misc]
    """An aelab model's encoder as pythae takes one."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model
        self.latent_dim = model.code_size

    def forward(self, x: Tensor) -> ModelOutput:
        if isinstance(self.model, LatentVariableModel):
            posterior = self.model.posterior(x)
            return ModelOutput(embedding=posterior.mu, log_covariance=posterior.log_var)
        return ModelOutput(embedding=self.model.encode(x))


class Decoder(BaseDecoder):  # type: ignore[misc]
    """An aelab model's decoder as pythae takes one."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.decode = model.decode

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.decode(z))


def seconds_of_aelab(settings: RunSettings, images: InputSplit) -> float:
    """An epoch of the row's recipe, without what is found in closed form before it."""
    (*_, state) = fit(new_model_of(settings), images, settings.recipe, initialise=False)
    return state.seconds


def seconds_of_pythae(settings: RunSettings, images: InputSplit, x: Tensor) -> float:
    """An epoch of pythae's trainer, without what it does before and after."""
    model = with_pytorchs_layers(new_model_of(settings))
    shape = images.spec.shape
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        if isinstance(model, LatentVariableModel):
            config = VAEConfig(input_dim=shape, latent_dim=model.latent_dim)
            theirs: nn.Module = VAE(config, encoder=Encoder(model), decoder=Decoder(model))
        else:
            config = AEConfig(input_dim=shape, latent_dim=model.code_size)
            theirs = AE(config, encoder=Encoder(model), decoder=Decoder(model))
        trainer = BaseTrainer(
            theirs,
            BaseDataset(x, torch.zeros(len(x))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=1,
                per_device_train_batch_size=settings.recipe.batch_size,
                learning_rate=settings.recipe.learning_rate,
                no_cuda=True,
            ),
        )
        trainer.prepare_training()
        start = time.perf_counter()
        trainer.train_step(1)
        return time.perf_counter() - start


def seconds_of_loop(settings: RunSettings, images: InputSplit, x: Tensor) -> float:
    """An epoch of a bare loop over a DataLoader."""
    model = with_pytorchs_layers(new_model_of(settings))
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.recipe.learning_rate)
    loader = DataLoader(TensorDataset(x), settings.recipe.batch_size, shuffle=True)
    start = time.perf_counter()
    for (batch,) in loader:
        optimizer.zero_grad()
        sum(model.loss(batch).values()).backward()
        optimizer.step()
    return time.perf_counter() - start


def new_model_of(settings: RunSettings) -> Autoencoder:
    model: Autoencoder = new_model(settings, dataset(settings.data, None, 0))  # type: ignore[assignment]
    return model.train()


def with_pytorchs_layers(model: Autoencoder) -> Autoencoder:
    """The same network without aelab's layers: PyTorch's convolution, nothing in place."""
    for layer in model.modules():
        if isinstance(layer, UpConvolution):
            layer.__class__ = nn.ConvTranspose2d  # type: ignore[assignment]
        if isinstance(layer, nn.ReLU | nn.LeakyReLU):
            layer.inplace = False
    return model


def measure(rounds: int) -> dict[str, Any]:
    """Row by row."""
    logging.disable(logging.WARNING)  # pythae tells every trainer's set-up
    study = load_study("default")
    threads = torch.get_num_threads()
    found: dict[str, Any] = {}
    table = Table(
        "An epoch, seconds, against pythae and a bare loop over a DataLoader",
        *("row", "images", "batch", "precision", "aelab", "pythae", "loop"),
        *("× pythae", "× loop"),
    )
    for name, n in ROWS.items():
        row = study.row(name)
        assert row is not None
        recipe = replace(row.settings.recipe, epochs=1)
        hyperparameters = {**row.settings.hyperparameters}
        hyperparameters.pop("initialisation", None)
        settings = replace(row.settings, recipe=recipe, hyperparameters=hyperparameters)
        whole = dataset(settings.data, None, 0).split("train")
        assert isinstance(whole, InputSplit)
        images = replace(whole, index=whole.index[:n])
        precision = with_precision(recipe, images.spec).precision
        x = images.batch(torch.arange(n))

        def with_all_threads(way: Callable[[], float]) -> Callable[[], float]:
            def timed() -> float:
                torch.set_num_threads(threads)  # theirs is what PyTorch takes by itself
                return way()

            return timed

        times = alternate(
            {
                "aelab": lambda: seconds_of_aelab(settings, images),  # noqa: B023
                "pythae": with_all_threads(lambda: seconds_of_pythae(settings, images, x)),  # noqa: B023
                "loop": with_all_threads(lambda: seconds_of_loop(settings, images, x)),  # noqa: B023
            },
            rounds,
        )
        found[name] = {
            "images": n,
            "batch_size": recipe.batch_size,
            "precision": precision,
            "seconds": {way: spread(values) for way, values in times.items()},
            "faster_than_pythae": ratios(times["pythae"], times["aelab"]),
            "faster_than_loop": ratios(times["loop"], times["aelab"]),
        }
        table.add(
            name,
            f"{n:,}",
            str(recipe.batch_size),
            precision,
            *(shown(spread(values)) for values in times.values()),
            shown(found[name]["faster_than_pythae"]),
            shown(found[name]["faster_than_loop"]),
        )
    table.show()
    return found
