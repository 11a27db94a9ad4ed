"""Grids of images as PNG files."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from aelab.data.images import ImageDataset
from aelab.evaluate import NOISE, SEED
from aelab.files import atomic_path
from aelab.layers import corrupt
from aelab.models.base import Autoencoder, Batch
from aelab.randomness import seeded
from aelab.settings import InputSpec

SMALLEST = 56
"""Tiles are enlarged to at least this many pixels."""

GAP = 4
LABEL_WIDTH = 90
PER_CLASS = 5


def to_bytes(x: Batch, spec: InputSpec) -> UInt8[Tensor, "batch channels height width"]:
    """Inputs as they are stored: preparation undone, rounded and clipped to 0 … 255."""
    return (x / spec.scale).round().clamp(0, 255).to(torch.uint8)


def grid(rows: list[Batch], spec: InputSpec, labels: list[str] | None = None) -> Image.Image:
    """One picture of `rows` of images of equal number, each with its label on the left."""
    channels, height, width = spec.image_shape
    zoom = max(1, -(-SMALLEST // max(height, width)))
    left = LABEL_WIDTH if labels else 0
    across, down = width * zoom + GAP, height * zoom + GAP
    columns = max(len(row) for row in rows)
    canvas = Image.new("RGB", (left + across * columns + GAP, down * len(rows) + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for r, row in enumerate(rows):
        if labels:
            draw.text((GAP, r * down + down // 2), labels[r], fill="black", anchor="lm")
        for c, stored in enumerate(to_bytes(row.cpu(), spec)):
            # One channel is grey; of more, three are shown, as red, green and blue.
            shown = stored.expand(3, -1, -1) if channels == 1 else stored[:3]
            if len(shown) == 2:
                shown = torch.cat([shown, torch.zeros_like(shown[:1])])
            tile = Image.fromarray(np.ascontiguousarray(shown.permute(1, 2, 0).numpy()))
            tile = tile.resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            canvas.paste(tile, (left + GAP + c * across, GAP + r * down))
    return canvas


def save(picture: Image.Image, path: Path) -> Path:
    """Write a picture as PNG; the path."""
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True)
    return path


def reconstructions(model: Autoencoder, data: ImageDataset, split: str) -> Image.Image:
    """Originals beside their reconstructions, a row a class.

    For a model trained on noisy inputs: original, noisy input and what is made of that.
    """
    images = data.split(split)
    labels = images.classes_of(torch.arange(len(images)))
    noisy = getattr(model, "noise_level", 0) > 0
    rows, names = [], []
    for number, name in enumerate(data.classes):
        members = (labels == number).nonzero().flatten()[:PER_CLASS]
        if len(members) == 0:
            continue
        x = images.batch(members)
        given = x
        with seeded(SEED, "picture", number), torch.inference_mode():
            if noisy:
                given = corrupt(x, "gaussian", NOISE, model.spec.peak)
            x_hat = model(given)
        shown = (x, given, x_hat) if noisy else (x, x_hat)
        rows.append(torch.stack(shown, 1).flatten(0, 1))
        names.append(name)
    return grid(rows, model.spec, names)


def sample_grid(x: Batch, spec: InputSpec) -> Image.Image:
    """Samples in a near-square grid."""
    columns = max(1, round(len(x) ** 0.5))
    return grid(list(x.split(columns)), spec)
