"""A process that opens mutants, held to a limit of memory and of time, and watched."""

import json
import os
import resource
import shutil
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TextIO

from aelab.files import AelabError
from fuzz.formats import Format, Seed
from fuzz.mutations import mutant

SECONDS, CLOCK_SECONDS = 5, 60
"""Of the processor, and of the clock, which others may share."""

MEMORY = 2**30
"""Bytes above what the process has before."""

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
REFUSED = ("socket.connect", "subprocess.Popen", "os.system", "os.exec", "pickle.find_class")
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate")


class Watch:
    """What Python's own audit events tell of files written elsewhere, programs and networks."""

    def __init__(self, allowed: Path) -> None:
        self.allowed, self.seen = str(allowed), list[str]()
        self.on = False
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what no reader has to do."""
        if not self.on:
            return
        if event == "open":
            path, _, flags = arguments
            if (
                isinstance(flags, int)
                and flags & WRITES
                and isinstance(path, str | bytes | os.PathLike)
            ):
                self.note(event, path)
        elif event in CHANGES:
            for path in arguments[:2]:
                if isinstance(path, str | bytes | os.PathLike):
                    self.note(event, path)
        elif event in REFUSED or (event == "import" and str(arguments[0]).startswith("planted")):
            self.seen.append(f"{event} {arguments[:2]}")

    def note(self, event: str, path: Any) -> None:
        """Note a change of a path outside."""
        real = os.path.realpath(os.fsdecode(path))
        if real.startswith("/proc/") or not Path(os.fsdecode(path)).is_absolute():
            return  # what shutil removes, by a handle of its folder; the folder itself is told
        if not real.startswith(self.allowed) and real != os.devnull:
            self.seen.append(f"{event} {real}")


@dataclass(frozen=True)
class Job:
    """Which mutants of a format a process opens."""

    format: Format
    seeds: list[Seed]
    numbers: range
    key: str
    """What the mutants are drawn by."""

    folder: Path
    findings: Path


def copied(seed: Seed, content: bytes, folder: Path) -> None:
    """The folder of a seed with the mutant in place of its file."""
    shutil.rmtree(folder, ignore_errors=True)  # a process that died left its own
    shutil.copytree(seed.folder, folder, copy_function=os.link)
    target = folder / seed.file
    target.unlink()
    target.write_bytes(content)


def opened(job: Job, seed: Seed, content: bytes, folder: Path, watch: Watch) -> tuple[str, str]:
    """Open a mutant: "accepted", "refused" or "finding", and its message or traceback."""
    copied(seed, content, folder)
    watch.seen.clear()
    watch.on = True
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # whose signal ends the process, wherever it is
    signal.setitimer(signal.ITIMER_REAL, CLOCK_SECONDS)
    outcome, told = "accepted", ""
    try:
        job.format.open(folder, seed)
    except AelabError as error:
        outcome, told = "refused", str(error)
        if "\n" in told or not told.isprintable() or len(told) > 4000:
            outcome, told = "finding", f"not one plain line: {told!r}"
    except BaseException:
        outcome, told = "finding", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        watch.on = False
    if watch.seen:
        outcome, told = "finding", "\n".join(["went elsewhere:", *watch.seen, told])
    return outcome, told


def limit_memory() -> None:
    """Let the process have so much more than it has now."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))


def kind_of(outcome: str, told: str) -> str:
    """What two mutants have in common that are met in the same way: names and numbers left out."""
    if outcome == "finding":
        frames = [line for line in told.splitlines() if line.startswith('  File "')]
        own = [line for line in frames if "/src/aelab/" in line]
        last = told.strip().splitlines()[-1][:60]
        return f"{own[-1] if own else ''} {last}"
    return outcome + "".join(c for c in told if not c.isdigit())[-60:]


def work(job: Job, watch: Watch, out: TextIO) -> None:
    """Open one mutant after another; a line of JSON before each and after it.

    A mutant that is met in a way that none was before is mutated in turn.
    """
    limit_memory()
    os.environ["XDG_CACHE_HOME"] = f"{job.folder.parent}/cache-{os.getpid()}"
    known: set[str] = set()
    corpus = [(seed, (seed.folder / seed.file).read_bytes()) for seed in job.seeds]
    others = [content for _, content in corpus]
    for number in job.numbers:
        random = Random(f"{job.key}:{number}")
        seed, parent = corpus[random.randrange(len(corpus))]
        content = mutant(parent, others, random)
        pending = job.findings / f"pending-{number}"
        (folder := job.folder / f"{number}").parent.mkdir(exist_ok=True)
        pending.write_bytes(content)
        print(json.dumps(["begin", number, seed.folder.name, seed.file]), file=out, flush=True)
        outcome, told = opened(job, seed, content, folder, watch)
        print(
            json.dumps(["end", number, outcome, told, kind_of(outcome, told)]), file=out, flush=True
        )
        if outcome != "finding":
            pending.unlink()
        if (kind := kind_of(outcome, told)) not in known and len(content) < 2**17:
            known.add(kind)
            corpus.append((seed, content))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(Path(os.environ["XDG_CACHE_HOME"]) / "aelab" / "inputs", ignore_errors=True)
