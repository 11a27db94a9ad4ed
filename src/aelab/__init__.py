"""A laboratory bench for autoencoders, from vanilla to graph.

The names below are imported when they are first used, so that ``import aelab`` is instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aelab.compare import load_study as load_study
    from aelab.models import build as build
    from aelab.runner import train_run as train_run
    from aelab.runs import Run as Run
    from aelab.runs import load as load
    from aelab.settings import DataSettings as DataSettings
    from aelab.settings import Recipe as Recipe
    from aelab.settings import RunSettings as RunSettings

PUBLIC = {
    "DataSettings": "aelab.settings",
    "Recipe": "aelab.settings",
    "Run": "aelab.runs",
    "RunSettings": "aelab.settings",
    "build": "aelab.models",
    "load": "aelab.runs",
    "load_study": "aelab.compare",
    "train_run": "aelab.runner",
}
__all__ = list(PUBLIC)


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in PUBLIC:
        raise AttributeError(f"module 'aelab' has no attribute {name!r}")
    return getattr(importlib.import_module(PUBLIC[name]), name)
