"""The original study's way of training: plain loops, an image at a time through Pillow."""

import time
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from aelab.data.input_sets import InputSplit
from aelab.models.zoo import build
from aelab.settings import RunSettings

VAE_BATCH, VAE_EPOCHS = 125, 20
STEPS = 1000
"""Steps of a round; three rounds are extrapolated from 3,000."""


class Pictures(Dataset[Tensor]):
    """A split, each image through Pillow and a conversion to a tensor when it is asked for."""

    def __init__(self, images: InputSplit) -> None:
        self.pictures = [
            Image.fromarray(pixels.numpy()[0]) for pixels in images.values[images.index]
        ]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> Tensor:
        return torch.from_numpy(np.array(self.pictures[i])).unsqueeze(0).float().div(255)


class PlainVAE(nn.Module):
    """The original's dense VAE."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 500), nn.ReLU())
        self.mu, self.log_var = nn.Linear(500, 32), nn.Linear(500, 32)
        self.decoder = nn.Sequential(nn.Linear(32, 500), nn.ReLU(), nn.Linear(500, 784))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encoder(x)
        mu, log_var = self.mu(h), self.log_var(h)
        z = mu + (log_var / 2).exp() * torch.randn_like(mu)
        return self.decoder(z).sigmoid().view_as(x), mu, log_var


PLAIN_VAES = {"vae": PlainVAE}


def seconds(settings: RunSettings, images: InputSplit, pictures: Pictures) -> float:
    """Seconds of the whole training of a row, extrapolated from STEPS steps."""
    variational = settings.model in PLAIN_VAES
    if variational:
        model: nn.Module = PLAIN_VAES[settings.model]()
        steps = VAE_EPOCHS * len(images) // VAE_BATCH
    else:
        model = build(settings.model, images.spec, **settings.hyperparameters)
        steps = len(images)
    optimizer = torch.optim.Adam(model.parameters())
    batches = loader(pictures) if variational else (pictures[i][None] for i in range(STEPS))
    start = time.perf_counter()
    for _ in range(STEPS):
        x = next(batches)
        if variational:
            x_hat, mu, log_var = model(x)
            kl = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum(1).mean()
            loss = F.mse_loss(x_hat, x, reduction="sum") + kl
        else:
            loss = F.mse_loss(model(x), x)
            if settings.model == "sparse":
                loss = loss + 1e-4 * sum(p.abs().sum() for p in model.parameters())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - start) / STEPS * steps


def loader(pictures: Pictures) -> Iterator[Tensor]:
    """Batches without end."""
    while True:
        yield from DataLoader(pictures, batch_size=VAE_BATCH, shuffle=True)
