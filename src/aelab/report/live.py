"""What the page's live part works with: images, and every model's codes, decoder and encoder."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aelab.data.batch import Batch
from aelab.data.graphs import GraphDataset
from aelab.data.input_sets import InputDataset
from aelab.evaluate.reconstruction import SEED
from aelab.figures.grids import to_bytes
from aelab.files import AelabError, InputError
from aelab.machine import seeded
from aelab.models.contract import Autoencoder, Code
from aelab.models.noise_conditional import NoiseConditionalAutoencoder
from aelab.models.sampling import latent_size
from aelab.models.zoo import blueprint_of
from aelab.report.codes import FEWEST_CODES, INNER, codes_of, plane, use_of, values_of
from aelab.report.live_links import links_parts
from aelab.report.material import Material, found_data
from aelab.report.packed import packed
from aelab.report.programs import Program, traced
from aelab.report.rounding import rounded
from aelab.report.tiles import inputs, one_thread
from aelab.runs.aside import aside
from aelab.runs.store import Run

MOST_BYTES = 10_000_000
"""Of a page: what no longer fits has no live part."""

IMAGES, IMAGE_VALUES = 250, 2**18
"""Images whose codes are on the map, at most, and the values in them."""

CHOOSABLE = 20
"""Images to choose from."""

SLIDERS = 8
"""Numbers of a code that have a slider."""

SAMPLES = 120
"""Codes that are drawn from a prior."""

LARGEST_CODE = 1024
"""Numbers in a code that is shipped for every image."""

LEVELS = tuple(round(0.05 * i, 2) for i in range(11))
"""Standard deviations of the noise, as shares of the pixels' range."""

TRIED = 1000
"""Training images whose codes a decoder's rounding is tried on."""


@dataclass(frozen=True)
class Live:
    """The live part of a page.

    >>> Live("{}", {"vae": "no room"}).without
    {'vae': 'no room'}
    """

    content: str
    """JSON; nothing, where no row has a live part."""

    without: dict[str, str]
    """Rows that have none, and why."""

    kind: str = "images"
    shipped: tuple[str, ...] = ()
    """Rows whose codes of noisy images are in the page in place of an encoder."""


@dataclass(frozen=True)
class Parts:
    """What a page's live part could have, if there is room for all of it.

    >>> parts = Parts({"kind": "images"}, [{"name": "vae"}], encoders={}, without={})
    >>> parts.within(taken=0).content
    '{"kind":"images","models":[{"name":"vae"}]}'
    """

    scene: dict[str, Any]
    """What all models have in common, and the kind of the data."""

    models: list[dict[str, Any]]
    encoders: dict[str, dict[str, Any] | None]
    """By the model's name; None, where it has none that a page can run."""

    without: dict[str, str]
    """Rows that have no live part, and why."""

    def within(self, taken: int) -> Live:
        """What fits into a page beside the bytes that are taken.

        Decoders come first, in the order of the table, and then encoders. Where an encoder has no
        room, or is told more than an image, the codes of the noisy images are shipped in its place.
        """
        content: dict[str, Any] = {**self.scene, "models": []}
        room = MOST_BYTES - taken - len(as_script(content))
        without = dict(self.without)
        for part in self.models:
            if (size := len(as_script(part))) > room:
                without[part["name"]] = "there is no room left for it in the page"
                continue
            room -= size
            content["models"].append(dict(part))
        for part in sorted(content["models"], key=lambda part: len(as_script(part))):
            if (encoder := self.encoders.get(part["name"])) is None:
                continue
            told = {"noisy": None, "encoder": encoder}
            size = len(as_script(told)) - len(as_script({"noisy": part["noisy"]}))
            if size <= room:
                room -= size
                part |= told
        shipped = tuple(
            part["name"]
            for part in content["models"]
            if part["name"] in self.encoders and part["encoder"] is None
        )
        text = as_script(content) if content["models"] else ""
        return Live(text, without, self.scene["kind"], shipped)


@one_thread()
def live_parts(material: Material) -> Parts | None:
    """What the live part of a page could have; None where the data have no such part."""
    data = material.data
    if isinstance(data, GraphDataset):
        return Parts(*links_parts(material, data))
    if not isinstance(data, InputDataset) or data.spec.kind != "images":
        return None
    scene = Scene.of(data, material.results.split)
    models: list[dict[str, Any]] = []
    without: dict[str, str] = {}
    for name, run in material.runs.items():
        try:
            models.append({"name": name, **model_part(run, data, scene)})
        except AelabError as error:
            without[name] = str(error).removeprefix(f"{run.folder}: ")
    encoders = {
        part["name"]: encoder_of(material.runs[part["name"]].autoencoder) for part in models
    }
    return Parts({"kind": "images", **scene.as_json()}, models, encoders, without)


def live_parts_under_way(
    material: Material, data_dir: Path | None, at_once: int
) -> AbstractContextManager[Callable[[], Parts | None]]:
    """Inside, what gives live_parts; of images in another process, if two may work at once.

    That one loads the data anew, so they must be where a run's settings say.
    """
    data, by = material.data, material.data_run
    images = isinstance(data, InputDataset) and data.spec.kind == "images"
    if at_once < 2 or not images or by is None:
        return nullcontext(partial(live_parts, material))
    runs = {name: replace(run) for name, run in material.runs.items()}  # without their weights
    light = replace(material, data=None, runs=runs, data_run=replace(by))
    return aside(live_parts_anew, light, data_dir)


def live_parts_anew(material: Material, data_dir: Path | None) -> Parts | None:
    """live_parts of a material without its data, in a process that has imported nothing yet.

    Raises:
        InputError: the data cannot be had any more.
    """
    for run in material.runs.values():
        blueprint_of(run.settings)  # imports a class of the user's own, as the other process did
    assert material.data_run is not None
    data, without = found_data(material.data_run, data_dir)
    if data is None:
        raise InputError(*without)
    return live_parts(replace(material, data=data))


def as_script(content: Any) -> str:  # noqa: ANN401 - what JSON has
    """JSON that can stand in a page."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c")


@dataclass(frozen=True, eq=False)
class Scene:
    """The images that every model is shown.

    >>> from aelab.data.loading import load
    >>> Scene.of(load("digits"), "test").chosen[:3]
    [3, 19, 2]
    """

    data: InputDataset
    split: str
    count: int
    """Of the split's images, the first so many."""

    chosen: list[int]
    """Those to choose from: some of each class."""

    noise: Tensor
    """Standard normal, for each of these."""

    @classmethod
    def of(cls, data: InputDataset, split: str) -> "Scene":
        """Of a split's first images."""
        most = max(CHOOSABLE, IMAGE_VALUES // data.spec.size)
        count = min(IMAGES, most, len(data.split(split)))
        labels = data.split(split).classes[:count]
        each = max(1, CHOOSABLE // len(data.classes))
        of_class = [(labels == c).nonzero().flatten()[:each] for c in range(len(data.classes))]
        chosen: list[int] = torch.cat(of_class)[:CHOOSABLE].tolist()
        with seeded(SEED, "picture"):
            noise = torch.randn(len(chosen), *data.spec.shape)
        return cls(data, split, count, chosen, noise.half().float())

    def as_json(self) -> dict[str, Any]:
        """As live.js reads it."""
        split = self.data.split(self.split)
        x = split.batch(torch.arange(self.count))
        labels: list[int] = split.classes[: self.count].tolist()
        return {
            "split": self.split,
            "classes": list(self.data.classes),
            "labels": labels,
            "images": packed(to_bytes(Batch.of(x).x, split.spec)),
            "chosen": self.chosen,
            "noise": packed(self.noise),
            "levels": list(LEVELS),
        }

    def noisy(self, run: Run) -> Iterator[Batch]:
        """The chosen images as a model takes them, at each level of noise."""
        clean = Batch.of(inputs(run, self.data, self.split, torch.tensor(self.chosen)))
        spec = run.autoencoder.spec
        for level in LEVELS:
            x = clean.x + level * spec.peak * self.noise
            batch = clean.with_inputs(x.clamp(0, spec.peak) if spec.bounded else x)
            batch.noise_level = torch.full((len(x),), max(level, LEVELS[1]) * spec.peak)
            yield batch


def model_part(run: Run, data: InputDataset, scene: Scene) -> dict[str, Any]:
    """A model without its encoder.

    Raises:
        InputError: it can have no live part.
    """
    model = run.autoencoder
    size = latent_size(model)
    if size < 1:
        raise InputError("its code has no numbers")
    if model.code_size > LARGEST_CODE:
        raise InputError(f"its code of {model.code_size:,} numbers is too large")
    if scene.count < FEWEST_CODES:
        raise InputError(
            f"its map takes {FEWEST_CODES} images or more, and there are {scene.count}"
        )
    z = codes_of(run, data, scene.split, scene.count)
    prior = run.prior
    with seeded(run.settings.seed, "sample"):
        drawn = model.admissible(prior.sample_codes(SAMPLES))
    noisy = torch.stack([model.encode(x) for x in scene.noisy(run)], 1)
    return {
        "peak": model.spec.peak,
        "bounded": model.spec.bounded,
        "latent": size,
        "map": map_part(z[:, :size], side=model.code_size > size),
        "codes": packed(z),
        "sliders": slider_parts(run, data, scene.split),
        "samples": packed(drawn),
        "prior": prior.told,
        "noisy": packed(noisy),
        "decoder": decoder_of(model, tried(run, data, z, drawn)),
        "encoder": None,
    }


def map_part(latent: Code, *, side: bool) -> dict[str, Any]:
    """Where codes stand on the map, and what a place on it is as a code."""
    if latent.shape[1] == 1:
        centre, axes = torch.zeros(1), torch.tensor([[1.0], [0.0]])
        told = "the code's only number runs from left to right"
        points = torch.cat([latent, torch.zeros_like(latent)], 1).numpy()
    else:
        points, centre, axes, shares = plane(latent)
        told = "its two coordinates are the code's two numbers"
        if latent.shape[1] > 2:
            told = (
                "it is the mean code, moved so far along the first two principal components of the "
                f"codes ({sum(shares):.0%} of their variance)"
            )
    if side:
        told += "; what is not on the map, such as a class, is that of the nearest point"
    low, high = np.quantile(points, INNER, axis=0)
    high = np.where(high > low, high, low + 1)
    room = 0.15 * (high - low)
    return {
        "centre": centre.tolist(),
        "axes": axes.tolist(),
        "low": (low - room).tolist(),
        "high": (high + room).tolist(),
        "told": told,
    }


def slider_parts(run: Run, data: InputDataset, split: str) -> list[dict[str, Any]]:
    """The most used numbers of a code, and how far each goes."""
    use, text, latent = use_of(run, data, split)
    found = []
    for number in use.sort(descending=True, stable=True).indices[:SLIDERS].tolist():
        values = values_of(run.autoencoder, latent[:, number])
        used = text.format(use[number].item())
        low, high = values[0].item(), values[-1].item()
        found.append({"number": number, "used": used, "low": low, "high": max(high, low + 1e-3)})
    return found


def tried(run: Run, data: InputDataset, z: Code, drawn: Code) -> Code:
    """Codes of the kinds that a page decodes: of images, drawn, and between them."""
    of_training = codes_of(run, data, "train", TRIED)
    shares = torch.linspace(0.2, 1, len(z))[:, None]
    between = torch.lerp(z.mean(0).expand_as(z), z, shares)
    between[:, latent_size(run.autoencoder) :] = z[:, latent_size(run.autoencoder) :]
    return torch.cat([of_training, drawn, between])


def decoder_of(model: Autoencoder, z: Code) -> dict[str, Any]:
    """The decoder as a page runs it, rounded as far as the codes z allow it."""
    program = known(traced(model.decode, z[:1]))
    found = rounded(program, traced(model.decode, z), z, peak=model.spec.peak)
    return program.as_json(found.steps, found.constants)


def encoder_of(model: Autoencoder) -> dict[str, Any] | None:
    """The encoder in half precision; None, where it takes more than an image or has other steps."""
    if model.spec.classes or isinstance(model, NoiseConditionalAutoencoder):
        return None
    try:
        return known(traced(model.encode, torch.zeros(1, *model.spec.shape))).as_json({}, {})
    except InputError:
        return None


def known(program: Program) -> Program:
    """A program that a page has all the steps for.

    Raises:
        InputError: it has others.
    """
    if program.unknown:
        raise InputError(f"the page has no step for {', '.join(program.unknown)}")
    return program
