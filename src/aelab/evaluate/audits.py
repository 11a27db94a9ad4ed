"""Audits: what would make a figure mean something else than it seems to."""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aelab.data.batch import Batch
from aelab.data.input_sets import InputDataset, InputSplit
from aelab.evaluate.codes import ACTIVE_VARIANCE, active_units, code_figures
from aelab.evaluate.kept import Tensors, kept
from aelab.evaluate.metrics import squared_errors
from aelab.evaluate.reconstruction import CHUNK, Codes, chunks
from aelab.evaluate.samples import distances_to_training
from aelab.evaluate.subject import Subject
from aelab.models.contract import Autoencoder, InputBatch
from aelab.models.variational import LatentVariableModel

NEAR = 1e-3
"""Mean squared difference a pixel below which two images are taken for one."""


@dataclass(frozen=True)
class Finding:
    """What an audit found.

    >>> from aelab.data.specs import InputSpec
    >>> from aelab.models.zoo import resolve
    >>> audit_code_size(resolve("vanilla").build(InputSpec((8,)), latent_dim=2))
    Finding(clean=True, found='2 numbers for 8', figures={})
    """

    clean: bool
    """Nothing stands in the way of comparing the figures."""

    found: str
    """In one sentence, for people."""

    figures: Mapping[str, float | None] = field(default_factory=dict)


def measure_code(subject: Subject) -> dict[str, Any]:
    """What a code knows, and what the audits find."""
    model, codes = subject.model, subject.codes
    return {
        **code_figures(model, subject.data, subject.split, codes),
        "audits": audit_model(model, subject.inputs, codes),
    }


def audit_model(model: Autoencoder, images: InputSplit, codes: Codes) -> dict[str, dict[str, Any]]:
    """The findings on one model, by audit, as JSON; `codes` are the split's latent numbers."""
    x = next(chunks(images))
    findings = {
        "side channel": audit_side_channel(model, x),
        "code size": audit_code_size(model),
        "dead code": audit_dead_code(model, codes),
    }
    return {name: asdict(finding) for name, finding in findings.items()}


def audit_side_channel(model: Autoencoder, x: InputBatch) -> Finding:
    """How much of a reconstruction follows the latent numbers, and how much the side channel.

    With z = (latent, side) of each image and of the next one: half of the answer is how far the
    reconstruction moves when the side channel is the next image's, half how far when the latent
    numbers are. A model without a side channel is shown clean by a copy of it, which has never
    seen the images, making the same reconstructions of the codes alone.
    """
    with torch.inference_mode():
        untouched = copy.deepcopy(model)
        z = model.encode(x)
        others = Batch.of(x).at(torch.arange(len(x)).flip(0))
        model.encode(others)  # what a model keeps of its last input is now another image's
        own = model.decode(z)
        again = untouched.decode(z)
        if not torch.allclose(own, again, rtol=0, atol=0, equal_nan=True):
            return Finding(False, "the decoder keeps something of the images past the code")
        if not model.side_channel[0]:
            return Finding(True, f"decodes from its {model.code_size:,} numbers alone")
        return swap_side_channel(model, x, z, own)


def swap_side_channel(model: Autoencoder, x: InputBatch, z: Codes, own: InputBatch) -> Finding:
    """What becomes of the reconstructions `own` with the next image's side channel, or code."""
    latent = model.code_size - model.side_channel[0]
    following = z.roll(1, 0)
    other_side = model.decode(torch.cat([z[:, :latent], following[:, latent:]], 1))
    other_code = model.decode(torch.cat([following[:, :latent], z[:, latent:]], 1))
    peak = model.spec.peak
    moved = [mean_error(swapped, own, peak) for swapped in (other_side, other_code)]
    figures = {
        "mse": mean_error(own, x, peak),
        "mse_other_side": mean_error(other_side, x, peak),
        "mse_other_code": mean_error(other_code, x, peak),
        "share_of_side": moved[0] / max(sum(moved), 1e-12),
    }
    found = (
        f"{figures['share_of_side']:.0%} of a reconstruction follows the side channel of "
        f"{model.side_channel[1]:,.0f} bits, {1 - figures['share_of_side']:.0%} the "
        f"{latent:,} latent numbers: with another image's side channel the MSE goes from "
        f"{figures['mse']:.4f} to {figures['mse_other_side']:.4f}, with another image's latent "
        f"numbers to {figures['mse_other_code']:.4f}"
    )
    return Finding(False, found, figures)


def mean_error(x_hat: InputBatch, x: InputBatch, peak: float) -> float:
    """Mean squared error a pixel, pixels in [0, 1]."""
    return squared_errors(x_hat, x, peak).mean().item()


def audit_code_size(model: Autoencoder) -> Finding:
    """A code no smaller than the input could be a copy of it."""
    size = model.spec.size
    if model.code_size < size:
        return Finding(True, f"{model.code_size:,} numbers for {size:,}")
    return Finding(False, f"overcomplete: {model.code_size:,} numbers for {size:,}; could copy")


def audit_dead_code(model: Autoencoder, codes: Codes) -> Finding:
    """Latent numbers that say nothing: collapsed to the prior, or the same for every image."""
    size = codes.shape[1]
    if len(codes) < 2:
        return Finding(True, "one input does not tell which numbers of a code vary")
    if isinstance(model, LatentVariableModel):
        dead, why = size - active_units(codes), f"variance of at most {ACTIVE_VARIANCE}"
    else:
        dead, why = int((codes.max(0).values == codes.min(0).values).sum()), "never vary"
    return Finding(dead == 0, f"{dead} of {size} dead ({why})", {"dead": dead})


def audit_data(data: InputDataset, split: str) -> dict[str, Finding]:
    """The findings on a data set, by audit."""
    return {"duplicates": audit_duplicates(data, split), "pixels": audit_pixels(data, split)}


def audit_pixels(data: InputDataset, split: str) -> Finding:
    """Type and range of what is stored, and the range that models are given."""
    images = data.split(split)
    lowest = min(x.min().item() for x in chunks(images))
    highest = max(x.max().item() for x in chunks(images))
    stored = images.values.dtype
    found = (
        f"stored as {str(stored).removeprefix('torch.')}, given to models as float32 between "
        f"{lowest:g} and {highest:g}"
    )
    within = lowest >= 0 and highest <= data.spec.peak
    return Finding(within or not data.spec.bounded, found)


def audit_duplicates(data: InputDataset, split: str) -> Finding:
    """Inputs of the split that are training inputs too, to the byte; images also nearly."""
    exact = exact_duplicates(data, split)
    count = f"{len(data.split(split)):,} {split}"
    if data.spec.kind != "images":
        found = f"of {count} inputs, {exact:,} are training inputs to the byte"
        return Finding(exact == 0, found, {"exact": exact})
    near = near_duplicates(data, split)
    return Finding(
        near == 0,
        f"of {count} images, {exact:,} are training images to the byte and {near:,} are nearly "
        f"(MSE below {NEAR:g})",
        {"exact": exact, "near": near},
    )


def exact_duplicates(data: InputDataset, split: str) -> int:
    """How many inputs of the split are training inputs too, to the byte."""
    return int(np.isin(digests(data.split(split)), digests(data.split("train"))).sum())


def near_duplicates(data: InputDataset, split: str) -> int:
    """How many images of the split are training images too, or nearly."""
    limit = (NEAR * data.spec.size) ** 0.5
    return int((every_distance(data, split)["distances"] < limit).sum())


@kept
def every_distance(data: InputDataset, split: str) -> Tensors:
    """How far each image of a split is from the nearest training image."""
    every = torch.arange(len(data.split(split)))
    return {"distances": distances_to_training(data, split, every)}


def digests(inputs: InputSplit) -> NDArray[np.uint64]:
    """A digest of the stored bytes of each input."""
    found = [
        hashlib.blake2b(row, digest_size=8).digest()
        for some in inputs.index.split(CHUNK)  # there may be more than memory holds
        for row in np.ascontiguousarray(inputs.values[some].numpy())
    ]
    return np.frombuffer(b"".join(found), dtype=np.uint64)
