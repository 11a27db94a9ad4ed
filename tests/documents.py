"""Documents that run: their commands, their Python, and the files that their blocks begin with."""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from aelab.cli import main

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n((?:.|\n)*?)^```$", flags=re.MULTILINE)
FILE = re.compile(r"# ([\w-]+\.(?:py|toml))\n")
NUMBER = re.compile(r"-?\d[\d,.]*")
SLOW = ("compare", "report", "choose")
"""Verbs that take seconds however little is trained: run only where a document runs in full."""


class Document:
    """A document of the repository, and what came of its blocks.

    Blocks of ``sh`` are commands of aelab, one a line; those of ``console`` are not run. A block
    whose first line is a comment with a file's name is that file; other Python is run, in one
    namespace. A block of ``text`` is what the commands above it print, but for its numbers.
    """

    def __init__(self, path: str) -> None:
        self.text = (ROOT / path).read_text(encoding="utf-8")
        self.blocks: list[tuple[str, str]] = BLOCK.findall(self.text)
        self.names: dict[str, Any] = {}
        self.modules: set[str] = set()
        self.printed = ""

    def run(self, *, shortened: bool = True) -> "Document":
        """Run all blocks in the current folder, as they stand or with as little training as can be.

        Raises:
            AssertionError: a command fails, or prints something else.
        """
        for language, block in self.blocks:
            content = with_little_training(block) if shortened else block
            if language == "text":
                self.must_have_printed(block)
            elif file := FILE.match(block):
                Path(file[1]).write_text(content, encoding="utf-8")
                self.modules.add(Path(file[1]).stem)
            elif language == "python":
                with contextlib.redirect_stdout(io.StringIO()) as told:
                    exec(content, self.names)
                self.printed = told.getvalue()
            elif language == "sh":
                self.printed = "".join(map(self.said, commands(content, shortened=shortened)))
        return self

    def said(self, line: str) -> str:
        """What a command prints that knows of the document's own classes what it imports itself."""
        for module in self.modules:
            sys.modules.pop(module, None)
        return printed_by(line)

    def must_have_printed(self, block: str) -> None:
        """Every line of the block, whatever its numbers."""
        printed = NUMBER.sub("N", " ".join(self.printed.split()))
        for line in block.splitlines():
            expected = NUMBER.sub("N", " ".join(line.split()))
            assert expected in printed, f"{line!r} is not in\n{self.printed}"


def with_little_training(block: str) -> str:
    """The block with one epoch wherever it names more."""
    return re.sub(r"\b(epochs ?= ?)\d+", r"\g<1>1", block)


def commands(block: str, *, shortened: bool) -> list[str]:
    """The lines of a shell block, all of which are aelab's."""
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert all(line[0] == "aelab" for line in lines), block
    if shortened:
        lines = [line for line in lines if line[1] not in SLOW]
        lines = [[*line, "--epochs", "1"] if line[1] == "train" else line for line in lines]
    return [shlex.join(line) for line in lines]


def printed_by(line: str) -> str:
    """What a command prints, on both streams, in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.redirect_stderr(told):
        code = main(shlex.split(line)[1:])
    assert code == 0, f"{line}: {told.getvalue()}"
    return told.getvalue()
