"""Numbers that are not finite: JSON has none, so they are left empty and told of."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aelab.evaluate.columns import METRICS
from aelab.files import JOINT, not_finite

NOT_FINITE = "not_finite"
"""Key of a table of figures: which of them were not finite, and what they were."""

DIVERGED = (
    "the model's outputs are larger than its arithmetic holds; try a lower --learning-rate, or "
    "--clip-norm 1"
)
SAMPLES = "the samples are not finite, or too few to compare"
FEW = 3
SINGLE = "a standard error takes two images or more"


def emptied(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The value with None for every number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: emptied(item) for key, item in value.items()}
    return [emptied(item) for item in value] if isinstance(value, list | tuple) else value


def recorded(
    figures: Mapping[str, Any], known: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """The figures as JSON holds them: what is not finite is None, and named under NOT_FINITE.

    They replace or add to what is `known`, recorded earlier.

    >>> recorded({"mse": 0.5, "psnr": -math.inf})
    {'mse': 0.5, 'psnr': None, 'not_finite': {'psnr': '-inf'}}
    """
    lost = {
        path: value
        for path, value in known.get(NOT_FINITE, {}).items()
        if path.partition(JOINT)[0] not in figures
    }
    lost |= {path: str(value) for path, value in not_finite(figures)}
    kept = {name: value for name, value in known.items() if name != NOT_FINITE}
    return {**kept, **emptied(figures), **({NOT_FINITE: lost} if lost else {})}


def told(where: object, figures: Mapping[str, Any]) -> list[str]:
    """A line for each likely cause of the figures that `recorded` left empty."""
    causes: dict[str, list[str]] = {}
    for path, value in figures.get(NOT_FINITE, {}).items():
        causes.setdefault(likely_cause(path), []).append(f"{path} is {value}")
    return [
        f"{where}: {some(names)}: not finite, and left empty; likely because {cause}"
        for cause, names in causes.items()
    ]


def some(names: Sequence[str]) -> str:
    """The first few, and how many more there are.

    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = len(names) - FEW
    return ", ".join(names[:FEW]) + (f" and {more:,} more" if more > 0 else "")


def likely_cause(path: str) -> str:
    """Why a figure is not finite, as far as its name tells."""
    name = path.partition(JOINT)[0]
    if name == "importance_error":
        return SINGLE
    return SAMPLES if name in METRICS and METRICS[name].group == "samples" else DIVERGED
