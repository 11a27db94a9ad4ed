"""A trained run as an estimator keeps it: in a folder while it lives, as bytes in a pickle."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from aelab.api.trained import TrainedRun, load

Files = dict[str, bytes]
"""The content of each file of a run's folder, by its path in there."""


@contextmanager
def own_folder() -> Iterator[Path]:
    """A temporary folder for a run; it is removed if the body fails, and see `kept`."""
    folder = Path(tempfile.mkdtemp(prefix="aelab-"))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def kept(folder: Path) -> TrainedRun:
    """The run in a folder of its own, which is removed when the run object is gone.

    Of the data that it was trained on, nothing is held.
    """
    run = load(folder)
    weakref.finalize(run, shutil.rmtree, folder, ignore_errors=True)
    return run


def packed(run: TrainedRun) -> Files:
    """All files of a run, but for a lock."""
    return {
        path.relative_to(run.folder).as_posix(): path.read_bytes()
        for path in sorted(run.folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write what `packed` gave into a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def unpacked(files: Mapping[str, bytes]) -> TrainedRun:
    """The run that `packed` took these files of, in a folder of its own."""
    with own_folder() as folder:
        write_files(files, folder)
        return kept(folder)
