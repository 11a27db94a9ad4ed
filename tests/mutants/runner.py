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

NEEDED = ("src", "tests", "docs", "benchmarks", "README.md", "CHANGELOG.md", "LICENSE", "Makefile")
NEEDED += ("pyproject.toml", "constraints.txt", ".ci")
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
            process = subprocess.Popen(
                [sys.executable, *PYTEST, *shlex.split(tests)],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            return process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.poll() is None:  # with the processes that the tests started
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def run(root: Path, mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, Outcome]]:
    """Run each mutant's tests, a few mutants at once, and yield what became of it.

    The tests run without a mistake first: they must pass, and their time sets the limit.
    """
    copies: SimpleQueue[Copy] = SimpleQueue()
    with TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(AT_ONCE):
            copies.put(Copy(root, Path(folder) / str(number)))

        def unchanged(tests: str) -> float | None:
            copy = copies.get()
            start = time.monotonic()
            passed = copy.passes(tests)
            if not passed:
                told = copy.output.read_text().splitlines()[-TOLD:]
                print(f"pytest {tests} fails as it is:", *told, sep="\n", file=sys.stderr)
            copies.put(copy)
            return 30 + 4 * (time.monotonic() - start) if passed else None

        selections = list(dict.fromkeys(mutant.tests for mutant in mutants))
        limits = dict(zip(selections, pool.map(unchanged, selections), strict=True))

        def outcome(mutant: Mutant) -> tuple[Mutant, Outcome]:
            limit = limits[mutant.tests]
            if limit is None:
                return mutant, "not run"
            copy = copies.get()
            survived = copy.survived(mutant, limit)
            copies.put(copy)
            return mutant, "survived" if survived else "killed"

        for done in as_completed([pool.submit(outcome, mutant) for mutant in mutants]):
            yield done.result()
