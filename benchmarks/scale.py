"""Two workers of one thread each against one: training, and all that a study does.

    python benchmarks/scale.py [SECONDS a row, 60]

Four rows of about so long on FashionMNIST, with as many epochs for either number of workers, and
folders of their own. Nothing else may run on the machine: the load is printed before each study.
"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from aelab.runs.cluster import cluster
from aelab.studies.compare import Result, compare
from aelab.studies.study import Study, parse_study

STUDY = """
title = "How two workers do"
split = "test"
metrics = ["reconstruction"]
seeds = [0, 1, 2, 3]
[data]
name = "fashion-mnist"
[recipe]
epochs = 1
[rows.vae]
"""


def done(study: Study, workers: int, folder: Path) -> tuple[Result, float]:
    """The study by so many workers, and its seconds, their start left out."""
    load = os.getloadavg()[0]
    with cluster(f"local:{workers}", folder, print) as executor:
        begun = time.monotonic()
        result = compare(study, out=folder, executor=executor)
        took = time.monotonic() - begun
    print(f"{workers} worker{'s' if workers > 1 else ''}: {took:.1f} s (load before: {load:.2f})")
    return result, took


def trained(result: Result) -> float:
    """Seconds of training, of all rows together."""
    return sum(run.timings["train_seconds"] for runs in result.runs.values() for run in runs)


def main(seconds: str = "60") -> None:
    study = parse_study("scale", STUDY)
    with TemporaryDirectory() as place:
        # This also fills the cache of what follows from the data alone, for both.
        first, _ = done(replace(study, seeds=(9,)), 1, Path(place) / "first")
        [row] = study.rows
        epochs = max(1.0, round(float(seconds) / trained(first)))
        recipe = replace(row.settings.recipe, epochs=epochs)
        study = replace(study, rows=(replace(row, settings=replace(row.settings, recipe=recipe)),))
        (alone, one), (beside, two) = (
            done(study, workers, Path(place) / str(workers)) for workers in (1, 2)
        )
        print(f"{epochs:g} epochs a row; {trained(alone) / 4:.1f} s of training alone, ", end="")
        print(f"{trained(beside) / 4:.1f} s beside another")
        print(
            f"In training, two do {2 * trained(alone) / trained(beside):.2f} times what one does;"
        )
        print(f"in all {one / two:.2f} times. Besides training a row takes one worker ", end="")
        print(f"{(one - trained(alone)) / 4:.1f} s.")


if __name__ == "__main__":
    main(*sys.argv[1:])
