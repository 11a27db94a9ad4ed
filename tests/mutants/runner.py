"""Run the tests on mutants, each in a copy of the source tree; the checkout stays as it is."""

import difflib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Literal

AT_ONCE = 2

NEEDED: tuple[str, ...] = (
    *("src", "tests", "docs", "benchmarks", ".ci", "pyproject.toml", "constraints.txt"),
    *("Makefile", "README.md", "CHANGELOG.md", "LICENSE"),
)
"""What is copied; runs, environments and caches are not."""

CACHES = shutil.ignore_patterns("__pycache__", "*.egg-info")

PYTEST = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0")

TOLD = 8
"""Last lines of what failing tests print."""

Outcome = Literal["killed", "survived", "not run"]
"""Not run are mutants whose tests fail without them, too."""


@dataclass(frozen=True)
class Mutant:
    """A file of the source with one mistake in it."""

    module: str
    """The row of the table that counts it."""

    name: str
    file: str
    source: str
    """The file's text, with the mistake."""

    tests: str
    """Arguments for pytest, separated by spaces."""

    def changed(self, root: Path) -> tuple[int, list[str]]:
        """The first line that differs, and the lines that do, each after its - or +."""
        original = (root / self.file).read_text().splitlines()
        lines = list(difflib.unified_diff(original, self.source.splitlines(), lineterm="", n=0))
        line = int(lines[2].split()[1].lstrip("-").split(",")[0])
        return line, [text for text in lines[2:] if not text.startswith("@@")]


class Copy:
    """A copy of the source tree, in which tests run."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        for name in NEEDED:
            if (root / name).is_dir():
                shutil.copytree(root / name, folder / name, ignore=CACHES)
            elif (root / name).is_file():
                shutil.copy2(root / name, folder / name)

    @property
    def output(self) -> Path:
        """What the last tests printed."""
        return self.folder.with_suffix(".txt")

    def survived(self, mutant: Mutant, limit: float) -> bool:
        """Whether the tests pass with the mistake; if they hang, they do not."""
        self.write(mutant.file, mutant.source)
        try:
            return self.passes(mutant.tests, limit)
        finally:
            self.write(mutant.file, (self.root / mutant.file).read_text())

    def write(self, file: str, source: str) -> None:
        path = self.folder / file
        path.write_text(source)
        # Python takes bytecode for current if time and size agree, and a mutant may agree in both.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()

    def passes(self, tests: str, limit: float | None = None) -> bool:
        """Whether tests pass within `limit` seconds."""
        # Before an installed one, the package is taken from the copy.
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "src")}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, *PYTEST, *shlex.split(tests)],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            return self.process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            self.stop()

    def stop(self) -> None:
        """End the tests that still run, with the processes that they started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def run(root: Path, mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, Outcome]]:
    """Run each mutant's tests, a few mutants at once, and yield what became of it.

    The tests run without a mistake first: they must pass, and their time sets the limit.
    """
    with TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        copies = [Copy(root, Path(folder) / str(number)) for number in range(AT_ONCE)]
        free: SimpleQueue[Copy] = SimpleQueue()
        for copy in copies:
            free.put(copy)
        try:
            yield from outcomes(mutants, pool, free)
        finally:  # also where it is interrupted: what waits is not begun, what runs is ended
            pool.shutdown(wait=False, cancel_futures=True)
            for copy in copies:
                copy.stop()


def outcomes(
    mutants: Sequence[Mutant], pool: ThreadPoolExecutor, free: "SimpleQueue[Copy]"
) -> Iterator[tuple[Mutant, Outcome]]:
    """What becomes of each mutant, in the copies that are free."""

    def unchanged(tests: str) -> float | None:
        copy, start = free.get(), time.monotonic()
        passed = copy.passes(tests)
        seconds = time.monotonic() - start
        if not passed:
            told = copy.output.read_text().splitlines()[-TOLD:]
            print(f"pytest {tests} fails as it is:", *told, sep="\n", file=sys.stderr)
        free.put(copy)
        return 30 + 4 * seconds if passed else None

    selections = list(dict.fromkeys(mutant.tests for mutant in mutants))
    limits = dict(zip(selections, pool.map(unchanged, selections), strict=True))

    def outcome(mutant: Mutant) -> tuple[Mutant, Outcome]:
        limit = limits[mutant.tests]
        if limit is None:
            return mutant, "not run"
        copy = free.get()
        survived = copy.survived(mutant, limit)
        free.put(copy)
        return mutant, "survived" if survived else "killed"

    for done in as_completed([pool.submit(outcome, mutant) for mutant in mutants]):
        yield done.result()
