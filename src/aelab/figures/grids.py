"""Grids of images as PNG files."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.evaluate.reconstruction import restored
from aelab.models.contract import Autoencoder, InputBatch
from aelab.models.noise_conditional import NoiseConditionalAutoencoder

SMALLEST = 56
"""Tiles are enlarged to at least this many pixels."""

GAP = 4
LABEL_WIDTH = 90
HEAD_HEIGHT = 16
PER_CLASS = 5


def to_bytes(x: InputBatch, spec: InputSpec) -> UInt8[Tensor, "batch channels height width"]:
    """Inputs as they are shown: from 0 to the largest there can be, in bytes of 0 to 255."""
    return (x / (spec.peak / 255)).round().clamp(0, 255).to(torch.uint8)


def grid(
    rows: list[Float[Tensor, "_ channels height width"]],
    spec: InputSpec,
    labels: Sequence[str] = (),
    heads: Sequence[str] = (),
) -> Image.Image:
    """One picture of `rows` of images, each row with its label on the left.

    `heads` stand above the columns, and again above the next as many, with a gap between.
    """
    height, width = spec.image_shape[1:]
    zoom = max(1, -(-SMALLEST // max(height, width)))
    height, width = zoom * height, zoom * width
    left, top = LABEL_WIDTH if labels else 0, HEAD_HEIGHT if heads else 0
    columns = max(len(row) for row in rows)
    gaps = [2 * GAP * (c // len(heads)) if heads else 0 for c in range(columns)]
    xs = [left + GAP + c * (width + GAP) + gaps[c] for c in range(columns)]
    ys = [top + GAP + r * (height + GAP) for r in range(len(rows))]
    canvas = Image.new("RGB", (xs[-1] + width + GAP, ys[-1] + height + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for c, x in enumerate(xs if heads else []):
        draw.text((x + width // 2, GAP), heads[c % len(heads)], fill="black", anchor="ma")
    for r, row in enumerate(rows):
        if labels:
            draw.text((GAP, ys[r] + height // 2), labels[r], fill="black", anchor="lm")
        for c, stored in enumerate(to_bytes(row.cpu(), spec)):
            tile = as_picture(stored).resize((width, height), Image.Resampling.NEAREST)
            canvas.paste(tile, (xs[c], ys[r]))
    return canvas


def as_picture(stored: UInt8[Tensor, "channels height width"]) -> Image.Image:
    """One channel in grey; of more, the first three as red, green and blue."""
    shown = stored.expand(3, -1, -1) if len(stored) == 1 else stored[:3]
    missing = torch.zeros(3 - len(shown), *shown.shape[1:], dtype=torch.uint8)
    return Image.fromarray(torch.cat([shown, missing]).permute(1, 2, 0).contiguous().numpy())


def reconstructions(model: Autoencoder, data: InputDataset, split: str) -> Image.Image:
    """Originals beside their reconstructions, a row a class.

    For a model trained on noisy inputs: original, noisy input and what is made of that.
    """
    images = data.split(split)
    told = isinstance(model, NoiseConditionalAutoencoder)
    noisy = told or getattr(model, "noise_level", 0) > 0
    rows, names = [], []
    for number, name in enumerate(data.classes):
        members = (images.classes == number).nonzero().flatten()[:PER_CLASS]
        if len(members) == 0:
            continue
        shown = restored(model, images, members, number, noisy=noisy)
        rows.append(torch.stack(shown, 1).flatten(0, 1))
        names.append(name)
    heads = ("original", "noisy", "restored") if noisy else ("original", "restored")
    return grid(rows, model.spec, names, heads)


def sample_grid(x: InputBatch, spec: InputSpec) -> Image.Image:
    """Samples in a near-square grid."""
    columns = max(1, round(len(x) ** 0.5))
    return grid(list(x.split(columns)), spec)
