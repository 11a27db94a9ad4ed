"""What share of training checkpoints take, of a model with some millions of parameters.

    python benchmarks/checkpoints.py [FOLDER on the disk that is meant]

A checkpoint is saved ten times; its share follows, for one comes every CHECKPOINT_SECONDS or
later.
"""

import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import aelab
from aelab.machine import threads
from aelab.models.zoo import blueprint_of
from aelab.runs.record import describe
from aelab.runs.resumable import CHECKPOINT_SECONDS, LARGEST_SHARE, Training
from aelab.runs.store import Run
from aelab.runs.train import new_model
from aelab.settings import Recipe, RunSettings
from aelab.training.loop import fit


def main(folder: str | None = None) -> None:
    data = aelab.load_data("digits")
    recipe = Recipe(epochs=1, batch_size=500)
    settings = RunSettings("vanilla", {"latent_dim": 16, "hidden": (1536, 1536)}, recipe=recipe)
    model = new_model(settings, blueprint_of(settings), data)
    with TemporaryDirectory(dir=folder) as place, threads(1):
        training = Training(Run(Path(place), describe(settings, data)), model, data)
        for state in fit(model, data.split("train"), recipe, state=training.state):
            training.state = state
        training.end_epoch()
        seconds = []
        for _ in range(10):
            training.save()
            seconds.append(training.save_seconds)
        size = training.checkpoint.stat().st_size
    each = median(seconds)
    pause = max(CHECKPOINT_SECONDS, each * (1 / LARGEST_SHARE - 1))
    parameters = sum(one.numel() for one in model.parameters())
    print(f"{parameters:,} parameters, {size / 2**20:.0f} MiB a checkpoint")
    print(f"{each:.2f} s each (up to {max(seconds):.2f}), every {pause:.0f} s: ", end="")
    print(f"{each / (pause + each):.2%} of the time")


if __name__ == "__main__":
    main(*sys.argv[1:])
