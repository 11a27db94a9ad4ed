"""A laboratory bench for autoencoders, from vanilla to graph.

The names below are imported when they are first used, so that ``import aelab`` is instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aelab.api import DataSettings as DataSettings
    from aelab.api import Recipe as Recipe
    from aelab.api import Run as Run
    from aelab.api import RunSettings as RunSettings
    from aelab.api import TrainedRun as TrainedRun
    from aelab.api import build as build
    from aelab.api import choose as choose
    from aelab.api import compare as compare
    from aelab.api import load as load
    from aelab.api import load_data as load_data
    from aelab.api import load_study as load_study
    from aelab.api import open_inputs as open_inputs
    from aelab.api import train as train
    from aelab.apps.anomalies import find_anomalies as find_anomalies
    from aelab.apps.encode import encode as encode
    from aelab.apps.generate import interpolate as interpolate
    from aelab.apps.generate import write_samples as write_samples
    from aelab.apps.restore import denoise as denoise
    from aelab.apps.restore import reconstruct as reconstruct
    from aelab.runs.train import train_run as train_run
    from aelab.settings import VERSION as __version__  # noqa: F401, N811

PUBLIC = {
    "DataSettings": "aelab.api:DataSettings",
    "Recipe": "aelab.api:Recipe",
    "Run": "aelab.api:Run",
    "RunSettings": "aelab.api:RunSettings",
    "TrainedRun": "aelab.api:TrainedRun",
    "build": "aelab.api:build",
    "choose": "aelab.api:choose",
    "compare": "aelab.api:compare",
    "denoise": "aelab.apps.restore:denoise",
    "encode": "aelab.apps.encode:encode",
    "find_anomalies": "aelab.apps.anomalies:find_anomalies",
    "interpolate": "aelab.apps.generate:interpolate",
    "load": "aelab.api:load",
    "load_data": "aelab.api:load_data",
    "load_study": "aelab.api:load_study",
    "open_inputs": "aelab.api:open_inputs",
    "reconstruct": "aelab.apps.restore:reconstruct",
    "train": "aelab.api:train",
    "train_run": "aelab.runs.train:train_run",
    "write_samples": "aelab.apps.generate:write_samples",
}
__all__ = list(PUBLIC)


def __getattr__(name: str) -> Any:  # noqa: ANN401
    path = "aelab.settings:VERSION" if name == "__version__" else PUBLIC.get(name)
    if path is None:
        raise AttributeError(f"module 'aelab' has no attribute {name!r}")
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
