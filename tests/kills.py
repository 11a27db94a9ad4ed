"""Trainings that are killed at random moments, again and again, until they end; then, what is left.

    python tests/kills.py FOLDER KILLS SEED CASE...

kills each case so often at least, and prints a line for each and a table as JSON. A child that is
forked from this process, with all modules in memory, does the work. Three kills of four are at a
moment of the training, the others at one of the whole work.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pyarrow
import pyarrow.csv
import torch

import aelab
import aelab.cli
import aelab.runs.resumable
from aelab.data.dataset import Dataset
from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.runs.train import train_run
from aelab.settings import Recipe, RunSettings
from aelab.studies import candidates, choose, search
from test_choose import curve

RECIPE = Recipe(epochs=25, batch_size=16, learning_rate=3e-3)
PATIENT = replace(RECIPE, epochs=200, patience=25, learning_rate=0.02, schedule="constant")
SMALL = {"latent_dim": 4, "hidden": (24,)}

TRAININGS = {
    "noise": RunSettings("denoising", SMALL, recipe=RECIPE, network="dense"),
    "posterior samples": RunSettings("vae", {**SMALL, "iwae_samples": 3}, recipe=RECIPE),
    "early stopping": RunSettings("vanilla", SMALL, recipe=PATIENT),
    "dropout": RunSettings("vgae", {"dropout": 0.3}, recipe=replace(RECIPE, epochs=150)),
    "learnt prior vamp": RunSettings("vae", SMALL, recipe=RECIPE, prior="vamp"),
    "learnt prior flow": RunSettings("vae", SMALL, recipe=RECIPE, prior="flow"),
    "two levels": RunSettings("hvae", SMALL, recipe=RECIPE),
    "channels last": RunSettings(
        "convolutional", {"latent_dim": 4}, recipe=replace(RECIPE, epochs=4, channels_last=True)
    ),
}

STUDY = """
title = "Killed"
seeds = [0, 1]

[data]
name = "{data}"
rows = "inputs"

[recipe]
epochs = 20
batch_size = 16

[rows.vanilla]
model = "vanilla"
hyperparameters = {{ latent_dim = 2, hidden = [24] }}

[rows.vae]
model = "vae"
hyperparameters = {{ latent_dim = 2, hidden = [24] }}

[rows.pca]
model = "pca"
hyperparameters = {{ latent_dim = 2 }}
"""

TRAINING_SHARE = 0.75
"""Of the kills, that are at a moment before the last model is trained."""

MEASURED = {
    "timings.json",
    "results.json",
    "results.md",
    "results.csv",
    "report.html",
    "study.json",
}
"""Files with times in them, or with what follows from times."""


def spots() -> InputDataset:
    """Images of 12×10 pixels, a bright spot at any place."""
    generator = torch.Generator().manual_seed(0)
    n = 160
    rows, columns = (torch.rand(n, 1, 1, generator=generator) * size for size in (12, 10))
    distance = (torch.arange(12.0)[:, None] - rows) ** 2 + (torch.arange(10.0) - columns) ** 2
    pixels = (255 * torch.exp(-distance / 4)).to(torch.uint8)[:, None]
    labels, spec = torch.arange(n) % 3, InputSpec((1, 12, 10))
    places = (("train", 0, 100), ("validation", 100, 130), ("test", 130, n))
    splits = {
        name: InputSplit(pixels, labels, torch.arange(first, last), spec)
        for name, first, last in places
    }
    return InputDataset("spots", splits, ("a", "b", "c"), sha256="made up")


@dataclass
class Found:
    """What came of one case.

    >>> Found("noise").kills
    0
    """

    case: str
    kills: int = 0
    trainings: int = 0
    at: Counter[str] = field(default_factory=Counter)
    """Kills by what the folder held then."""

    wrong: list[str] = field(default_factory=list)
    """Files that are not those of a training that nobody killed, and all else that is amiss."""


def in_child(work: Callable[[], object], folder: Path, seconds: float | None) -> int | None:
    """Do the work in a forked process, and kill that after so long; its exit code if it ended."""
    log = folder.with_suffix(".log")
    if (child := os.fork()) == 0:
        code = 70
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            done = work()
            code = done if isinstance(done, int) else 0
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(code)
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def timed(work: Callable[[Path], object], folder: Path) -> tuple[float, float]:
    """Do the work here; the seconds that it took, and those until the last model was trained."""
    begun, clock = time.monotonic(), time.time()
    with folder.with_suffix(".log").open("w") as log, redirect_stdout(log), redirect_stderr(log):
        work(folder)
    took = time.monotonic() - begun
    trained = max(path.stat().st_mtime for path in folder.rglob("model.safetensors")) - clock
    return took, trained


def stage(folder: Path) -> str:
    """How far a run, or a run of a study, had come, by its files."""
    if not list(folder.rglob("config.json")):
        return "before it began"
    if list(folder.rglob("checkpoint/state.safetensors")):
        return "in training"
    return "after training" if list(folder.rglob("model.safetensors")) else "before a checkpoint"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but those with times in them."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in MEASURED)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def differences(whole: Path, killed: Path) -> Iterator[str]:
    """The files that are not in both, or not the same."""
    there, here = contents(whole), contents(killed)
    yield from (f"{name} in one only" for name in there.keys() ^ here.keys())
    yield from (
        f"{name} differs" for name in there.keys() & here.keys() if there[name] != here[name]
    )


def killed_case(
    case: str,
    work: Callable[[Path], object],
    check: Callable[[Path, Path], Iterator[str]],
    folder: Path,
    kills: int,
    draw: random.Random,
) -> Found:
    """Kill the work at random moments, so often, and let it end; check what it left."""
    found, whole = Found(case), folder / "whole"
    folder.mkdir(parents=True)
    took, trained = timed(work, whole)
    while found.kills < kills:
        killed = folder / f"killed-{found.trainings}"
        code, tries = None, 0
        while code is None:
            last = found.kills >= kills or tries >= 12
            span = trained if draw.random() < TRAINING_SHARE else took
            seconds = None if last else draw.uniform(0, span)
            code = in_child(partial(work, killed), killed, seconds)
            tries += 1
            if code is None:
                found.kills += 1
                found.at[stage(killed)] += 1
        found.trainings += 1
        if tries == 1:  # it took less than when everything was new
            took, trained = 0.8 * took, 0.8 * trained
        if code != 0:
            said = killed.with_suffix(".log").read_text().strip()
            found.wrong.append(f"{killed.name}: exit code {code}: {said}")
        else:
            found.wrong += [f"{killed.name}: {one}" for one in check(whole, killed)]
    return found


def killed_training(case: str, folder: Path, kills: int, draw: random.Random) -> Found:
    """One of TRAININGS, with a checkpoint as often as can be."""
    settings = TRAININGS[case]
    data: Dataset = aelab.load_data("karate") if settings.model == "vgae" else spots()

    def work(place: Path) -> None:
        train_run(settings, data, place, checkpoint_seconds=0)

    return killed_case(case, work, differences, folder, kills, draw)


def killed_study(case: str, folder: Path, kills: int, draw: random.Random) -> Found:
    """`aelab compare` of a small study, in one process or in two."""
    folder.mkdir(parents=True)
    table = folder / "curve.csv"
    pyarrow.csv.write_csv(pyarrow.table(curve()), table)
    (folder / "killed.toml").write_text(STUDY.format(data=table))
    aelab.runs.resumable.CHECKPOINT_SECONDS = 0.0
    jobs = "2" if case.endswith("two processes") else "1"

    def work(place: Path) -> int:
        given = [str(folder / "killed.toml"), "--out", str(place), "--jobs", jobs, "--no-report"]
        return aelab.cli.main(["compare", *given])

    return killed_case(case, work, differences, folder / "runs", kills, draw)


def killed_choice(case: str, folder: Path, kills: int, draw: random.Random) -> Found:
    """`aelab choose`: what is tried depends on times, so only that it is consistent is checked."""
    folder.mkdir(parents=True)
    table = folder / "curve.csv"
    pyarrow.csv.write_csv(pyarrow.table(curve()), table)
    choose.PAGE = search.PAGE = 0.0
    choose.USUAL_OVERHEAD, search.USUAL_OVERHEAD, search.SHORTEST = 0.1, 0.5, 0.2
    candidates.DENSE = tuple(
        one for one in candidates.DENSE if one.name in ("multilayer", "vanilla")
    )
    aelab.runs.resumable.CHECKPOINT_SECONDS = 0.0

    def work(place: Path) -> None:
        aelab.choose(str(table), "reconstruction", budget="12s", latent_dim=1, out=place)

    def check(whole: Path, killed: Path) -> Iterator[str]:
        yield from inconsistencies(killed)

    return killed_case(case, work, check, folder / "runs", kills, draw)


def inconsistencies(folder: Path) -> Iterator[str]:
    """What a finished choice says that its runs do not."""
    trials = json.loads((folder / "choose.json").read_text())["trials"]
    measured = [trial for trial in trials if trial["value"] is not None]
    yield from (f"{trial['candidate']}: {trial['error']}" for trial in trials if trial["error"])
    for trial in measured:
        row = f"{trial['candidate']}-round-{trial['round'] + 1}"
        run = aelab.load(folder / row / "seed-0")
        if run.metrics["mse"] != trial["value"] or not run.is_finished("validation"):
            yield f"{row} is not what choose.json says"
    best = min(measured, key=lambda trial: trial["value"])
    chosen = aelab.load(folder / "chosen")
    row = folder / f"{best['candidate']}-round-{best['round'] + 1}" / "seed-0"
    if chosen.weights_sha256 != aelab.load(row).weights_sha256:
        yield "the chosen run is not the best one"
    if chosen.metrics["split"] != "test":
        yield "the chosen run was not measured on the test split"
    if list(folder.rglob(".lock")) or list(folder.glob("*.partial")):
        yield "a lock or a half copy is left"


CASES: dict[str, Callable[[str, Path, int, random.Random], Found]] = {
    **dict.fromkeys(TRAININGS, killed_training),
    "study": killed_study,
    "study in two processes": killed_study,
    "choose": killed_choice,
}


def main(place: str, kills: str, seed: str, *names: str) -> int:
    """Do the cases, and print what came of them; 1 if anything is amiss."""
    torch.set_num_threads(1)
    table = []
    for case in names or CASES:
        folder = Path(place) / case.replace(" ", "-")
        begun = time.monotonic()
        found = CASES[case](case, folder, int(kills), random.Random(f"{seed} {case}"))
        at = ", ".join(f"{count} {where}" for where, count in sorted(found.at.items()))
        seconds = time.monotonic() - begun
        print(
            f"{case}: {found.kills} kills, ended {found.trainings} times, in {seconds:.0f} s "
            f"({at}); {len(found.wrong)} wrong",
            flush=True,
        )
        for one in found.wrong:
            print(f"  {one}", flush=True)
        table.append({"case": case, "kills": found.kills, "at": found.at, "wrong": found.wrong})
    print(json.dumps(table))
    return int(any(of["wrong"] for of in table))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
