"""Downloads of single files, with a progress bar where there is a terminal."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TaskID

from aelab.files import InputError, atomic_path

TIMEOUT = 20  # seconds without an answer


def fetch(url: str, path: Path) -> None:
    """Write what is at `url` to `path`, or raise InputError."""
    import pooch

    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as progress:
        bar = _Bar(progress, progress.add_task(url.rpartition("/")[2], total=None))
        try:
            pooch.HTTPDownloader(bar, 2**16, timeout=TIMEOUT)(url, path, None)
        except OSError as error:  # its own text would fill a screen
            status = getattr(getattr(error, "response", None), "status_code", "")
            reason = error.strerror or f"{type(error).__name__} {status}".rstrip()
            raise InputError(f"{url} ({reason})") from error


def fetch_verified(urls: Sequence[str], path: Path, problem_of: Callable[[Path], str]) -> None:
    """Bring a file to `path` from the first address that has it; verified, it gets its name.

    `problem_of` says what is wrong with what came, or nothing.

    Raises:
        InputError: none has it.
    """
    problems = []
    for url in urls:
        try:
            with atomic_path(path) as temporary:
                fetch(url, temporary)
                if problem := problem_of(temporary):
                    raise InputError(f"{url} (what came {problem})")
            return
        except InputError as error:
            problems.append(str(error))
    raise InputError("; ".join(problems))


@dataclass
class _Bar:
    """What pooch asks of a progress bar, drawn by rich."""

    progress: Progress
    task: TaskID
    total: int = 0

    def update(self, size: int) -> None:
        self.progress.update(self.task, total=self.total or None, advance=size)

    def reset(self) -> None:
        self.progress.reset(self.task)

    def close(self) -> None:
        """Nothing to do: rich's bar ends with its context."""
