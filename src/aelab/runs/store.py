"""The run folder: one trained model with all that it follows from and all that it gave.

``config.json`` (what was asked), ``model.safetensors``, ``priors/`` (those that were fitted to
its codes), ``history.jsonl`` (an epoch a line), ``steps.safetensors``
(each loss term, a number a step), ``metrics.json``, ``timings.json``, pictures; while training,
``checkpoint/`` and ``.lock`` (the process that trains it).
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from aelab.data.dataset import Dataset
from aelab.data.graphs import GraphDataset
from aelab.data.input_sets import InputDataset
from aelab.data.specs import GraphSpec, InputSpec
from aelab.evaluate.finite import NOT_FINITE, told
from aelab.files import JOINT, InputError, MissingFileError, read_json, read_tensors
from aelab.machine import MostNumbers, seeded
from aelab.models.blueprint import Blueprint
from aelab.models.contract import Autoencoder, LinkModel, Model
from aelab.models.priors.contract import Prior
from aelab.models.zoo import blueprint_of, refuse_unimported
from aelab.runs.priors import Priors
from aelab.runs.record import parse_settings, parse_spec
from aelab.runs.upgrade import FORMAT, format_of, upgraded, upgraded_weights
from aelab.settings import RunSettings, thaw

FAILED = "failed.json"
"""Why a training ended that the same settings would end again."""

BUILT_ASIDE = 10_000_000
"""Numbers that a model may hold while it is built, besides a few times those of its weights."""

R = TypeVar("R", bound="Run")
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A run folder that is there.

    >>> from aelab.api import train
    >>> trained = train("pca", "digits", latent_dim=4)
    >>> run = Run.open(trained.folder)
    >>> run.settings.model, run.autoencoder.code_size
    ('pca', 4)
    """

    folder: Path
    config: Mapping[str, Any]
    """As it is written today."""

    found_format: int = FORMAT
    """That its files were written in."""

    @classmethod
    def open(cls: type[R], folder: str | Path) -> R:
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
        if not isinstance(config, dict):
            raise InputError(f"{path} is no config of a run")
        try:
            return cls(folder, upgraded(config), format_of(config))
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error

    def of_config(self, parse: Callable[[Mapping[str, Any]], T]) -> T:
        """What `parse` reads in config.json; what is wrong there is told with the folder."""
        try:
            return parse(self.config)
        except InputError as error:
            raise InputError(f"{self.folder}: {error}") from error

    @property
    def settings(self) -> RunSettings:
        """What the run was asked for."""
        return self.of_config(parse_settings)

    @cached_property
    def blueprint(self) -> Blueprint:
        """The classes of its model, network and prior.

        Raises:
            InputError: one of them is a class of one's own, and nobody here has imported it.
        """
        settings = self.settings
        refuse_unimported(settings, self.folder)
        return blueprint_of(settings)

    @property
    def spec(self) -> InputSpec | GraphSpec:
        """What the model was built from: shape and preparation of inputs, or size of a graph."""
        return self.of_config(parse_spec)

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
        blueprint, spec = self.blueprint, self.spec
        tensors = upgraded_weights(read_tensors(path), self.config, self.found_format)
        try:
            hyperparameters = thaw(self.settings.hyperparameters)
            held = sum(of.numel() for of in tensors.values())
            # It draws weights, to be replaced. Settings may ask for any amount of memory.
            with seeded(self.settings.seed, "initialisation"), MostNumbers(BUILT_ASIDE + 4 * held):
                model: Model = blueprint.build(spec, **hyperparameters)
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
                f"{self.folder}: {self.settings.model} is a model of a graph's links and takes no "
                f"inputs; aelab links has its predictions, and with --embeddings its codes"
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

    def prepared(self, data: Dataset) -> Dataset:
        """The run's own data, their inputs prepared as they were in training.

        The rules by which a range is found may be others today. Other data are left as they are.
        """
        spec, own = self.spec, data.sha256 == self.config["data"]["sha256"]
        if own and isinstance(data, InputDataset) and isinstance(spec, InputSpec):
            return data if data.spec == spec else data.as_spec(spec)
        return data

    @cached_property
    def priors(self) -> Priors:
        """What new codes can be drawn from.

        Raises:
            InputError: the model predicts links, and draws no samples.
        """
        if not isinstance(self.model, Autoencoder):
            raise InputError(f"{self.folder}: {self.settings.model} draws no samples")
        return Priors(self.folder, self.settings, self.model, self.found_format)

    @property
    def prior(self) -> Prior:
        """What codes of new samples are drawn from: the prior that was chosen.

        Raises:
            InputError: the model predicts links, and draws no samples; or a file is damaged.
        """
        return self.priors.chosen

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
        if self.spec.kind != "images":
            return []
        return [self.folder / "reconstructions.png", self.folder / "samples.png"]

    def _table(self, name: str, *keys: str) -> dict[str, Any]:
        table = read_json(self.folder / name)
        if not isinstance(table, dict) or not set(keys) <= set(table):
            raise self._damaged(name, KeyError(*keys))
        groups = table.get("groups", [])
        if not (isinstance(groups, list) and all(isinstance(group, str) for group in groups)):
            raise self._damaged(name, TypeError("groups"))
        return table

    def _damaged(self, name: str, error: Exception) -> InputError:
        return InputError(f"{self.folder}: {name} is damaged or of another version ({error})")
