"""``make fuzz``: mutated files are opened, and what is neither read nor refused in a line is told.

    python -m fuzz                       # 10,000 mutants of each format
    python -m fuzz tables --count 500
    python -m fuzz tables --replay FILE  # one file again, as it is

Exit code 1 if anything was found; the files lie in the folder --out, with what happened.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from select import select

FOLDER = Path(os.path.realpath(tempfile.mkdtemp(prefix="fuzz-")))
# Before anything is imported that reads them. Arrow's own pool reserves more than the limit.
os.environ |= {
    "XDG_CACHE_HOME": str(FOLDER / "cache"), "TMPDIR": str(FOLDER), "OMP_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2", "MPLBACKEND": "agg",
}  # fmt: skip
tempfile.tempdir = str(FOLDER)

from fuzz import formats  # noqa: E402
from fuzz.worker import Job, Watch, kind_of, opened, work  # noqa: E402


@dataclass
class Result:
    """What became of the mutants of a format."""

    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, str] = field(default_factory=dict)
    """Each kind of finding, with the file of the first."""

    seconds: float = 0.0


def main() -> int:
    """Fuzz the formats that are asked for, and print what became of the mutants."""
    parser = argparse.ArgumentParser(
        prog="make fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    listed = ", ".join(formats.FORMATS)
    parser.add_argument("names", nargs="*", help=f"unless named, all: {listed}")
    parser.add_argument("--count", type=int, default=10_000, help="mutants of each format")
    parser.add_argument("--seed", default="0", help="what the mutants are drawn by")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    parser.add_argument(
        "--replay", type=Path, help="open this file as the format's first seed of its name"
    )
    options = parser.parse_args()
    names = options.names or list(formats.FORMATS)
    if unknown := [name for name in names if name not in formats.FORMATS]:
        parser.error(f"there is no format {unknown[0]!r}; there are {listed}")
    watch = Watch(FOLDER)
    (FOLDER / "planted.py").write_text("")
    sys.path.append(str(FOLDER))  # what a file names may be imported, and must not be
    try:
        results = {name: fuzz(name, options, watch) for name in names}
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    print(table(results))
    return 1 if any(result.kinds for result in results.values()) else 0


def fuzz(name: str, options: argparse.Namespace, watch: Watch) -> Result:
    """Open the mutants of a format, in processes of their own."""
    format = formats.FORMATS[name]
    seeds = format.make(FOLDER / "seeds" / name)
    findings = (options.out / name).resolve()
    findings.mkdir(parents=True, exist_ok=True)
    job = Job(format, seeds, range(0), "", FOLDER / "cases", findings)
    warm_up(job, watch)
    if options.replay is not None:
        return replayed(job, options.replay, watch)
    result, begun = Result(), time.monotonic()
    share = -(-options.count // options.jobs)
    parts = [range(i * share, min((i + 1) * share, options.count)) for i in range(options.jobs)]
    key = f"{options.seed}:{name}"
    processes = [Process(replace(job, numbers=part, key=key), watch) for part in parts if part]
    while living := [process for process in processes if process.pipe is not None]:
        for pipe in select([process.pipe for process in living], [], [])[0]:
            process = next(process for process in living if process.pipe is pipe)
            for line in process.read(watch):
                count(result, line, findings)
    result.seconds = time.monotonic() - begun
    print(f"{name}: {dict(result.outcomes)}, {result.seconds:.0f} s", file=sys.stderr, flush=True)
    return result


def warm_up(job: Job, watch: Watch) -> None:
    """Open the seeds themselves, so that all is imported, and see that they are accepted."""
    formats.WHOLE[:] = formats.WHOLE or [idx()]
    for number, seed in enumerate(job.seeds):
        content = (seed.folder / seed.file).read_bytes()
        (folder := job.folder / f"seed-{number}").parent.mkdir(exist_ok=True)
        outcome, told = opened(job, seed, content, folder, watch)
        if outcome != "accepted":
            raise SystemExit(f"the seed {seed.file} in {seed.folder.name} is {outcome}: {told}")
        shutil.rmtree(folder)


def idx() -> "formats.InputDataset":
    """The set of IDX files as it was made."""
    folder = FOLDER / "whole"
    formats.write(folder, formats.idx_content())
    return formats.idx_set(compressed=False).load(formats.DataSettings("small"), folder)


class Process:
    """A process that works at a job; where it dies, another goes on after the mutant that did it."""

    def __init__(self, job: Job, watch: Watch) -> None:
        self.job, self.pipe, self.last = job, None, None
        self.start(watch)

    def start(self, watch: Watch) -> None:
        """Fork: all is imported already."""
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            code = 1
            try:
                quiet = os.open(os.devnull, os.O_WRONLY)
                os.dup2(quiet, 1)
                if not os.environ.get("FUZZ_LOUD"):
                    os.dup2(quiet, 2)
                with os.fdopen(writing, "w") as out:
                    work(self.job, watch, out)
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        self.pipe = os.fdopen(reading)

    def read(self, watch: Watch) -> Iterator[list[object]]:
        """The next line; at the end of a process that died, what its mutant did to it."""
        if line := self.pipe.readline():
            told = json.loads(line)
            self.last = told
            yield told
            return
        self.pipe.close()
        self.pipe = None
        _, status = os.waitpid(self.pid, 0)
        if not (status and self.last):
            if status:
                raise SystemExit(f"a process ended at once, with status {status}")
            return
        number = self.last[1]
        if self.last[0] == "begin":
            code = os.waitstatus_to_exitcode(status)
            why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            yield [
                "end",
                number,
                "finding",
                f"the process died: {why}",
                f"died: {why} {self.last[3]}",
            ]
        self.job = replace(self.job, numbers=range(number + 1, self.job.numbers.stop))
        self.last = None
        if self.job.numbers:
            self.start(watch)


def count(result: Result, line: list[object], findings: Path) -> None:
    """Note an outcome; of a finding keep the first of its kind, with the file and what happened."""
    if line[0] != "end":
        return
    _, number, outcome, told, kind = line
    result.outcomes[outcome] += 1
    pending = findings / f"pending-{number}"
    if outcome != "finding":
        return
    if kind in result.kinds:
        pending.unlink()
        return
    result.kinds[kind] = str(number)
    pending.rename(findings / f"{number}.mutant")
    (findings / f"{number}.txt").write_text(f"{kind}\n\n{told}\n", errors="backslashreplace")
    print(f"{findings.name} {number}: {kind}", file=sys.stderr, flush=True)


def replayed(job: Job, path: Path, watch: Watch) -> Result:
    """Open one file in place of each seed."""
    result = Result()
    for seed in job.seeds:
        outcome, told = opened(job, seed, path.read_bytes(), job.folder / "replayed", watch)
        print(f"as {seed.folder.name}/{seed.file}: {outcome}\n{told}")
        shutil.rmtree(job.folder / "replayed")
        result.outcomes[outcome] += 1
        if outcome == "finding":
            result.kinds[kind_of(outcome, told)] = path.name
    return result


def table(results: dict[str, Result]) -> str:
    """Mutants by format and outcome."""
    lines = [
        f"{'format':<12} {'mutants':>8} {'accepted':>9} {'refused':>8} {'found':>6} {'kinds':>6} {'s':>5}"
    ]
    for name, result in results.items():
        of = result.outcomes
        lines.append(
            f"{name:<12} {of.total():>8} {of['accepted']:>9} {of['refused']:>8} {of['finding']:>6} "
            f"{len(result.kinds):>6} {result.seconds:>5.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
