"""Python in one line a step: ``run = train("vae", "digits")``, then ``run.encode(x)`` and so on.

The verbs of the command line call what is here. All but opening a run is imported where it is
used: opening one imports neither matplotlib nor scikit-learn.
"""

from aelab.api.choosing import choose
from aelab.api.comparing import compare, compare_asked, write_page
from aelab.api.pages import report
from aelab.api.trained import Data, TrainedRun, load
from aelab.api.training import train, train_asked
from aelab.data.inputs import open_inputs
from aelab.data.loading import load as load_data
from aelab.models.zoo import build
from aelab.runs.store import Run
from aelab.settings import DataSettings, Recipe, RunSettings
from aelab.studies.study import load_study

__all__ = [
    "Data",
    "DataSettings",
    "Recipe",
    "Run",
    "RunSettings",
    "TrainedRun",
    "build",
    "choose",
    "compare",
    "compare_asked",
    "load",
    "load_data",
    "load_study",
    "open_inputs",
    "report",
    "train",
    "train_asked",
    "write_page",
]
