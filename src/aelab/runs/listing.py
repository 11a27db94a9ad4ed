"""What lies below a folder: runs, studies and choices, each with its state, size and age.

Nothing is trusted: a folder that is damaged is listed as such, and never ends the list.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aelab.files import AelabError, InputError, MissingFileError, read_json, read_metadata
from aelab.runs.lock import LOCK, Holder, refuse_living
from aelab.runs.store import FAILED, Run

Kind = Literal["run", "study", "choice"]
State = Literal["finished", "resumable", "running", "failed", "damaged"]

MARKS: dict[str, Kind] = {"config.json": "run", "choose.json": "choice", "results.json": "study"}
"""The file that a folder of each kind has; the first that is there decides."""


@dataclass(frozen=True)
class Listed:
    """A folder of a list.

    >>> Listed(Path("runs/vae"), "run", "finished", "vae", 4096, 0.0).folder.name
    'vae'
    """

    folder: Path
    kind: Kind
    state: State
    told: str
    """What it is of, or what is the matter with it."""

    size: int
    """Bytes of all its files."""

    written: float
    """When one of them was last written, in seconds of Unix time."""


def listed(folder: str | Path) -> list[Listed]:
    """The runs, studies and choices in a folder and below it, in the order of their paths.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as there:
    ...     _ = Path(there, "config.json").write_text("{")
    ...     [one.state for one in listed(there)]
    ['damaged']

    Raises:
        MissingFileError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFileError(f"there is no folder {folder}: name the one that your runs are in")
    return [one_of(path, kind) for path, kind in found(folder)]


def found(folder: Path) -> Iterator[tuple[Path, Kind]]:
    """The folders that have one of MARKS; nothing in a run is looked at."""
    for where, folders, files in os.walk(folder):
        kind = next((kind for mark, kind in MARKS.items() if mark in files), None)
        hidden = [name for name in folders if name.startswith(".")]
        folders[:] = [] if kind == "run" else sorted(set(folders) - set(hidden))
        if kind is not None:
            yield Path(where), kind


def one_of(folder: Path, kind: Kind) -> Listed:
    """A folder's line of the list."""
    size, written = extent(folder)
    try:
        state, told = STATES[kind](folder)
    except (AelabError, OSError) as error:
        state, told = "damaged", str(error)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        state, told = "damaged", f"{type(error).__name__}: {error}"
    return Listed(folder, kind, state, told, size, written)


def extent(folder: Path) -> tuple[int, float]:
    """Bytes of all files in a folder, and the last time that one was written."""
    size, written = 0, 0.0
    for where, _, files in os.walk(folder):
        for name in files:
            try:
                status = os.lstat(os.path.join(where, name))  # noqa: PTH118 - of many files
            except OSError:  # removed meanwhile
                continue
            size += status.st_size
            written = max(written, status.st_mtime)
    return size, written


def held(folder: Path) -> str:
    """Who writes in a folder, as its lock says; nothing if nobody does.

    Raises:
        InputError: the lock is damaged.
    """
    path = folder / LOCK
    if not path.is_file():
        return ""
    holder = Holder.of(path, path.read_bytes())
    try:
        refuse_living(path, holder)
    except InputError:
        return f"process {holder.pid} on {holder.place['host']} since {holder.since}"
    return ""


def state_of_run(folder: Path) -> tuple[State, str]:
    """Of a run: what is missing, and whether what is there can be read."""
    if holder := held(folder):
        return "running", holder
    run = Run.open(folder)
    model, recipe = run.settings.model, run.settings.recipe
    checkpoint = folder / "checkpoint" / "state.safetensors"
    if not (folder / "model.safetensors").is_file():
        if (failure := folder / FAILED).is_file():
            return "failed", f"{model}: {read_json(failure)['error']}"
        if not checkpoint.is_file():
            return "resumable", f"{model}: no checkpoint yet, so it begins anew"
        progress = json.loads(read_metadata(checkpoint)["progress"])
        epochs = len(progress["history"])
        return "resumable", f"{model}: {epochs} epochs of {recipe.epochs:g} are done"
    read_metadata(folder / "model.safetensors")  # its head tells whether it is whole
    measured = (folder / "metrics.json").is_file()
    if not (measured and run.is_finished(run.metrics["split"])):
        return "resumable", f"{model}: trained, and not yet measured or drawn"
    return "finished", model


def state_of_choice(folder: Path) -> tuple[State, str]:
    """Of a choice."""
    if holder := held(folder):
        return "running", holder
    content = read_json(folder / "choose.json")
    trials = [str(trial["candidate"]) for trial in content["trials"]]
    failed = [str(trial["error"]) for trial in content["trials"] if trial["error"]]
    told = f"for {content['purpose']['goal']}: {len(trials)} trials, {len(failed)} failed"
    if not (folder / "chosen" / "metrics.json").is_file():
        if trials and len(failed) == len(trials):
            return "failed", f"{told}: {failed[0]}"
        return "resumable", told
    return "finished", told


def state_of_study(folder: Path) -> tuple[State, str]:
    """Of a study."""
    content = read_json(folder / "results.json")
    if errors := content.get("errors"):
        told = "; ".join(f"row {row}: {error}" for row, error in errors.items())
        return "failed", told
    return "finished", f"{len(content['rows'])} rows"


STATES: dict[Kind, Callable[[Path], tuple[State, str]]] = {
    "run": state_of_run,
    "choice": state_of_choice,
    "study": state_of_study,
}
