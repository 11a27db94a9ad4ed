"""Measuring in alternation, and telling what came out."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aelab.data.dataset import Dataset
from aelab.machine import machine, seeded
from aelab.models.contract import Model
from aelab.models.zoo import blueprint_of
from aelab.settings import RunSettings

PACKAGES = ("aelab", "torch", "numpy", "scikit-learn", "pythae")
Spread = dict[str, Any]


def alternate(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each measure once a round, one after the other, so that a slow hour meets all of them."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            values[name].append(measure())
    return values


def spread(values: list[float]) -> Spread:
    """Minimum, median and maximum."""
    return {
        "min": min(values),
        "median": statistics.median(values),
        "max": max(values),
        "values": values,
    }


def ratios(over: list[float], under: list[float]) -> Spread:
    """Of two measures, round by round."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def shown(found: Spread, digits: int = 3) -> str:
    """A spread as ``median (min to max)``."""
    median, least, most = (f"{found[key]:.{digits}g}" for key in ("median", "min", "max"))
    return f"{median} ({least} to {most})"


class Table:
    """Lines that are told as they come, and together at the end."""

    def __init__(self, title: str, *headings: str) -> None:
        self.title, self.lines = title, [headings]

    def add(self, *cells: str) -> None:
        """Tell a line."""
        self.lines.append(cells)
        print(time.strftime("%H:%M:%S"), *cells, sep="  ", flush=True)

    def show(self) -> None:
        """All lines under their headings."""
        widths = [max(map(len, column)) for column in zip(*self.lines, strict=True)]
        print(f"\n{self.title}")
        for line in self.lines:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def surroundings() -> dict[str, Any]:
    """The machine and the versions."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "machine": machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def write(path: Path, sections: Mapping[str, Any]) -> None:
    """Write what has been measured so far."""
    path.write_text(json.dumps({**surroundings(), "sections": sections}, indent=2) + "\n")


def new_model(settings: RunSettings, data: Dataset) -> Model:
    """A row's model as it is before training."""
    blueprint = blueprint_of(settings)
    with seeded(settings.seed, "initialisation"):
        model: Model = blueprint.build(data.spec, **blueprint.complete(settings.hyperparameters))
    return model
