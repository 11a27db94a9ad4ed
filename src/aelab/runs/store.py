"""The run folder: one trained model with all that it follows from and all that it gave.

``config.json`` (what was asked), ``model.safetensors``, ``prior.safetensors`` (for models of
images without a prior of their own), ``history.jsonl`` (an epoch a line), ``steps.safetensors``
(each loss term, a number a step), ``metrics.json``, ``timings.json``, pictures; while training,
``checkpoint/`` and ``.lock`` (the process that trains it).
"""

import hashlib
import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from PIL.Image import Image
from torch import Tensor

from aelab.data.dataset import Dataset
from aelab.data.graphs import GraphDataset
from aelab.data.images import ImageDataset
from aelab.data.specs import GraphSpec, InputSpec
from aelab.evaluate.columns import FACTS, QUICK_GROUPS, metric_named
from aelab.evaluate.finite import JOINT, NOT_FINITE, recorded, told
from aelab.evaluate.images import original_figure
from aelab.evaluate.protocol import evaluate
from aelab.figures import grids, html, style
from aelab.files import InputError, MissingFileError, read_json, read_tensors, write_json
from aelab.machine import seeded, threads
from aelab.models.base import Autoencoder
from aelab.models.link_base import LinkModel, Model
from aelab.models.sampling import CodePrior, code_source, sample
from aelab.models.zoo import ZOO, build
from aelab.runs.record import FORMAT, parse_settings, parse_spec
from aelab.settings import RunSettings, thaw

SAMPLES_SHOWN = 64


@dataclass(frozen=True)
class Run:
    """A run folder that is there."""

    folder: Path
    config: Mapping[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """The run in `folder`.

        Raises:
            MissingFileError: there is no run.
            InputError: it is damaged, or of another format.
        """
        folder = Path(folder)
        path = folder / "config.json"
        if not path.is_file():
            raise MissingFileError(f"{folder} is no run: it has no config.json")
        config = read_json(path)
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise InputError(f"{path} is no config of a run of format {FORMAT}")
        return cls(folder, config)

    @property
    def settings(self) -> RunSettings:
        """What the run was asked for."""
        try:
            return parse_settings(self.config)
        except InputError as error:
            raise InputError(f"{self.folder}: {error}") from error

    @property
    def spec(self) -> InputSpec | GraphSpec:
        """What the model was built from: shape and preparation of inputs, or size of a graph."""
        try:
            return parse_spec(self.config)
        except InputError as error:
            raise InputError(f"{self.folder}: {error}") from error

    @cached_property
    def model(self) -> Model:
        """The trained model, ready to use, on the processor.

        Raises:
            AelabError: the run is unfinished, damaged, or its class cannot be imported.
        """
        path = self.folder / "model.safetensors"
        if not path.is_file():
            raise MissingFileError(
                f"{self.folder} is not finished: it has no model.safetensors; train it again "
                f"with the same settings and it goes on from where it was"
            )
        settings = self.settings
        refuse_unknown_class(self.folder, settings.model)
        tensors = read_tensors(path)
        try:
            hyperparameters = thaw(settings.hyperparameters)
            with seeded(settings.seed, "initialisation"):  # it draws weights, to be replaced
                model: Model = build(settings.model, self.spec, **hyperparameters)
            model.load_state_dict(tensors)
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise self._damaged("model.safetensors or config.json", error) from error
        return model.eval()

    @property
    def weights_sha256(self) -> str:
        """Of the file of weights, in hexadecimal digits."""
        with (self.folder / "model.safetensors").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def autoencoder(self) -> Autoencoder:
        """The trained model of a run that encodes inputs.

        Raises:
            InputError: it predicts links.
        """
        if not isinstance(self.model, Autoencoder):
            raise InputError(
                f"{self.folder}: {self.settings.model} has codes of nodes and is no model of "
                f"images; see aelab links"
            )
        return self.model

    @property
    def link_model(self) -> LinkModel:
        """The trained model of a run that predicts links.

        Raises:
            InputError: it does not.
        """
        if not isinstance(self.model, LinkModel):
            raise InputError(f"{self.folder}: {self.settings.model} predicts no links")
        return self.model

    def graph(self, data: Dataset) -> GraphDataset:
        """`data`, made sure to be the graph that the run was trained on."""
        self.refuse_other(data)
        assert isinstance(data, GraphDataset)
        return data

    def refuse_other(self, data: Dataset) -> None:
        """Raise InputError unless `data` are what the run was trained on, split as they were."""
        if data.sha256 != self.config["data"]["sha256"]:
            raise InputError(
                f"{self.folder} was trained on other data, or on another split, than "
                f"{data.name} is now"
            )

    @cached_property
    def prior(self) -> CodePrior | None:
        """The fitted prior, for models that have none of their own."""
        path = self.folder / "prior.safetensors"
        if not path.is_file():
            return None
        try:
            return CodePrior.from_tensors(read_tensors(path))
        except TypeError as error:
            raise self._damaged("prior.safetensors", error) from error

    @property
    def metrics(self) -> dict[str, Any]:
        """The last evaluation, with the split it is of."""
        return self._table("metrics.json", "split", "groups", "code_size", "parameters")

    @property
    def timings(self) -> dict[str, Any]:
        """How long it took."""
        return self._table("timings.json", "train_seconds")

    @property
    def notes(self) -> list[str]:
        """A line for each likely cause of figures that are not finite, and left empty."""
        path = self.folder / "history.jsonl"
        try:
            lines = path.read_text("utf-8").splitlines() if path.is_file() else []
            epochs = {
                f"epoch {epoch['epoch']:g}{JOINT}{name}": value
                for epoch in map(json.loads, lines)
                for name, value in epoch.get(NOT_FINITE, {}).items()
            }
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._damaged("history.jsonl", error) from error
        tables = {
            "metrics.json": self.metrics,
            "timings.json": self.timings,
            "history.jsonl": {NOT_FINITE: epochs},
        }
        return [line for name, table in tables.items() for line in told(self.folder / name, table)]

    def is_finished(self, split: str, groups: Collection[str] = ()) -> bool:
        """Whether it is trained, drawn, and evaluated on `split` in all these groups."""
        files = ("model.safetensors", "timings.json")
        return bool(
            all((self.folder / name).is_file() for name in files)
            and all(picture.is_file() for picture in self.pictures)
            and (metrics := self.evaluated(split))
            and set(groups) <= set(metrics["groups"])
        )

    def evaluated(self, split: str) -> dict[str, Any]:
        """The last evaluation if it was of `split`; otherwise nothing."""
        if not (self.folder / "metrics.json").is_file():
            return {}
        metrics = self.metrics
        return metrics if metrics["split"] == split else {}

    @property
    def pictures(self) -> list[Path]:
        """Where its pictures are, or will be."""
        if isinstance(self.spec, GraphSpec):
            return [self.folder / "curves.png"]
        if len(self.spec.shape) != 3:
            return []
        return [self.folder / "reconstructions.png", self.folder / "samples.png"]

    @property
    def sampled_from(self) -> str:
        """Where the codes of its samples are drawn from, for people to read."""
        if not isinstance(self.model, Autoencoder):
            raise InputError(f"{self.folder}: {self.settings.model} draws no samples")
        return code_source(self.model, self.prior).sampled_from

    def sample(self, n: int, *, seed: int | None = None, temperature: float = 1.0) -> Tensor:
        """`n` new inputs, by the run's own seed unless another is given; see `sampling.sample`.

        Raises:
            InputError: the model predicts links, and has no inputs to draw.
        """
        if not isinstance(self.model, Autoencoder):
            raise InputError(f"{self.folder}: {self.settings.model} draws no samples")
        seed = self.settings.seed if seed is None else seed
        return sample(self.model, n, seed=seed, prior=self.prior, temperature=temperature)

    def evaluate(
        self, data: Dataset, split: str, groups: Collection[str] = QUICK_GROUPS
    ) -> dict[str, Any]:
        """Evaluate on a split, add to what is known of that split, and write metrics.json.

        Raises:
            InputError: the data are not those that the run was trained on.
        """
        self.refuse_other(data)
        settings = self.settings
        with threads(settings.recipe.threads):
            figures = evaluate(
                self.model, data, split, groups, prior=self.prior, seed=settings.seed
            )
            if settings.data.splits == "original" and isinstance(data, ImageDataset):
                assert isinstance(self.model, Autoencoder)
                figures["original_figure"] = original_figure(
                    self.model, data.split(split), settings.recipe.batch_size
                )
        known = self.evaluated(split)
        done = sorted({*known.get("groups", ()), *groups})
        metrics = recorded({**figures, "split": split, "groups": done}, known)
        write_json(self.folder / "metrics.json", metrics)
        return metrics

    def reconstructions(self, data: Dataset, split: str) -> Image:
        """A picture of originals beside their reconstructions.

        Raises:
            InputError: the run is no model of images.
        """
        if not (isinstance(self.model, Autoencoder) and isinstance(data, ImageDataset)):
            raise InputError(f"{self.folder}: {self.settings.model} reconstructs no images")
        self.refuse_pictures()
        self.refuse_other(data)
        with threads(self.settings.recipe.threads):
            return grids.reconstructions(self.model, data, split)

    def refuse_pictures(self) -> None:
        """Raise InputError if its inputs are no images."""
        if not self.pictures:
            raise InputError(f"{self.folder}: its inputs are rows of numbers, and no pictures")

    def samples(self, n: int = SAMPLES_SHOWN, *, seed: int | None = None) -> Image:
        """A picture of `n` new images.

        Raises:
            InputError: the run is no model of images.
        """
        self.refuse_pictures()
        with threads(self.settings.recipe.threads):
            drawn = self.sample(n, seed=seed)
        assert isinstance(self.model, Autoencoder)
        return grids.sample_grid(drawn, self.model.spec)

    def draw(self, data: Dataset, split: str) -> None:
        """Write the pictures."""
        if isinstance(self.model, LinkModel) and isinstance(data, GraphDataset):
            curves = style.link_curves({self.settings.model: self.model}, data, split)
            style.save(curves, self.pictures[0])
        elif self.pictures:
            grids.save(self.reconstructions(data, split), self.pictures[0])
            grids.save(self.samples(), self.pictures[1])

    def _repr_html_(self) -> str:
        """The run in a notebook: its figures and its pictures."""
        model = escape(self.settings.model)
        title = f"<h4>{model}, seed {self.settings.seed}</h4>"
        if not (self.folder / "metrics.json").is_file():
            return f"{title}<p>{escape(str(self.folder))} is not finished</p>"
        figures = {
            metric_named(name): value
            for name, value in self.metrics.items()
            if name not in FACTS and value is not None
        }
        columns = {
            "metric": [metric.title for metric in figures],
            "figure": [f"{value:,.{metric.digits}f}" for metric, value in figures.items()],
            "unit": [metric.unit for metric in figures],
        }
        shown = [html.picture(path, f"{model}: {path.stem}") for path in self.pictures]
        return f"{title}{html.table(columns)}{''.join(shown)}"

    def _table(self, name: str, *keys: str) -> dict[str, Any]:
        table = read_json(self.folder / name)
        if not isinstance(table, dict) or not set(keys) <= set(table):
            raise self._damaged(name, KeyError(*keys))
        return table

    def _damaged(self, name: str, error: Exception) -> InputError:
        return InputError(f"{self.folder}: {name} is damaged or of another version ({error})")


def refuse_unknown_class(folder: Path, model: str) -> None:
    """Raise InputError if a run names a class that nobody here has imported.

    A folder may come from anywhere; importing what it names would run whatever that does.
    """
    module = model.partition(":")[0]
    if model not in ZOO and module not in sys.modules:
        raise InputError(
            f"{folder} names the class {model}; if you trust it, import {module} first (on the "
            f"command line: --model {model})"
        )


def load(folder: str | Path) -> Model:
    """The trained model of a run folder, bit for bit as it was saved.

    Raises:
        AelabError: there is no finished run, or it is damaged.
    """
    return Run.open(folder).model
