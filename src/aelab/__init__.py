"""A laboratory bench for autoencoders, from vanilla to graph.

The names below are imported when they are first used, so that ``import aelab`` is instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aelab.data import load as load_data  # noqa: F401
    from aelab.models import build as build
    from aelab.runner import train_run as train_run
    from aelab.runs import Run as Run
    from aelab.runs import load as load
    from aelab.settings import DataSettings as DataSettings
    from aelab.settings import Recipe as Recipe
    from aelab.settings import RunSettings as RunSettings
    from aelab.study import load_study as load_study

PUBLIC = {
    "DataSettings": "aelab.settings:DataSettings",
    "Recipe": "aelab.settings:Recipe",
    "Run": "aelab.runs:Run",
    "RunSettings": "aelab.settings:RunSettings",
    "build": "aelab.models:build",
    "load": "aelab.runs:load",
    "load_data": "aelab.data:load",
    "load_study": "aelab.study:load_study",
    "train_run": "aelab.runner:train_run",
}
__all__ = list(PUBLIC)


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in PUBLIC:
        raise AttributeError(f"module 'aelab' has no attribute {name!r}")
    module, _, attribute = PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
