"""A verb in several processes that torchrun started: the first one speaks, and all end together.

Whoever cannot go on leaves why in the store that all of them see, and goes: the others' next
exchange fails at once, they look there, and end with the same exit code. A line is the first
process's to say.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO

from aelab.cli.failures import EXIT_FAILED, EXIT_SIGNAL, EXIT_USAGE
from aelab.files import AelabError

if TYPE_CHECKING:
    from aelab.training.processes import Processes

LONGEST_WAIT = timedelta(hours=1)
"""For another process, as for the first one's validation: then it is taken to be gone."""

LONGEST_START = timedelta(minutes=5)
"""From the first process that has started to the last."""

PATIENCE = 10.0
"""Seconds in which a process that ends says why, and in which the first one tells it."""

STDERR = 2
"""The number of its file, which libraries write to."""

LAST_WORD = 0.5
"""Seconds that the others give the first one's line: torchrun ends all once one has failed."""


def launched() -> int:
    """How many processes torchrun, or another launcher with its variables, has started."""
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in names) else 1


def refuse_several(verb: str) -> None:
    """Raise AelabError where a verb was started in several processes that it has no use for."""
    if launched() > 1:
        if int(os.environ["RANK"]):
            say_nothing()
        raise AelabError(f"aelab {verb} is one process: start it without torchrun")


def say_nothing() -> None:
    """Let nothing of this process be seen, nor what libraries write of others that end."""
    nowhere = open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stdout = sys.stderr = nowhere
    os.dup2(nowhere.fileno(), STDERR)


def speak(out: TextIO, err: TextIO, file: int) -> None:
    """Let this process be seen again, by what it had before."""
    sys.stdout, sys.stderr = out, err
    os.dup2(file, STDERR)


@contextmanager
def joined() -> Iterator["Processes"]:
    """The processes of this training: those that torchrun started, or this one alone.

    Inside, only the first one's output is seen. Where a process cannot go on, none does.
    """
    from aelab.training.processes import ALONE, Processes

    if (count := launched()) == 1:
        yield ALONE
        return
    import torch

    distributed: Any = import_module("torch.distributed")
    rank = int(os.environ["RANK"])
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)) % torch.cuda.device_count())
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    if os.environ["MASTER_ADDR"] in ("localhost", "127.0.0.1"):
        loopback = "lo0" if sys.platform == "darwin" else "lo"
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)  # nothing is open to other hosts
    seen = sys.stdout, sys.stderr, os.dup(STDERR)
    say_nothing()
    try:
        store = next(distributed.rendezvous("env://", timeout=LONGEST_START))[0]
        distributed.init_process_group(
            backend,
            store=distributed.PrefixStore("exchange", store),
            rank=rank,
            world_size=count,
            timeout=LONGEST_WAIT,
        )
    except RuntimeError as error:
        speak(*seen)
        raise AelabError(
            f"process {rank} of {count} did not meet the others at {place}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    notes = Notes(distributed.PrefixStore("notes", store), rank, count)
    if not rank:
        speak(*seen)
    try:
        yield Processes(rank, count)
    except BaseException as error:
        notes.leave(error)
        traceback.clear_frames(error.__traceback__)  # an exchange that was cut off is held there
        with suppress(RuntimeError, ValueError, AssertionError):
            distributed.destroy_process_group()  # which the others notice
        notes.end(error)
        speak(*seen)
        raise
    if distributed.is_initialized():
        distributed.destroy_process_group()


@dataclass(frozen=True)
class Notes:
    """Why processes end, for the others to read.

    >>> from torch.distributed import HashStore
    >>> store = HashStore()
    >>> Notes(store, rank=1, count=2).leave(AelabError("there is no such file"))
    >>> Notes(store, rank=0, count=2).found("why", seconds=0)
    'process 1: there is no such file'
    """

    store: Any
    """It is gone once the first process ends."""

    rank: int
    count: int
    """Of all processes."""

    def leave(self, error: BaseException) -> None:
        """Leave why this process ends, and of the first one how."""
        from aelab.training.processes import PeerLostError

        if self.rank and not isinstance(error, PeerLostError | KeyboardInterrupt | SystemExit):
            what = (
                str(error) if isinstance(error, AelabError) else f"{type(error).__name__}: {error}"
            )
            self.put("why", f"process {self.rank}: {what}")
        if not self.rank:
            self.put("code", str(code_of(error)))

    def end(self, error: BaseException) -> None:
        """End as the first process does; the first tells what another one left.

        Raises:
            AelabError: what another process left.
            SystemExit: this is not the first, and that one has told what there was to tell.
        """
        from aelab.training.processes import PeerLostError

        if not self.rank:
            lost = isinstance(error, PeerLostError)
            self.let_read(LAST_WORD if lost else PATIENCE)
            if lost and (why := self.found("why", LAST_WORD)):
                raise AelabError(why) from error
            return
        code = self.found("code", PATIENCE)
        with suppress(RuntimeError):
            self.store.add("read", 1)
        time.sleep(LAST_WORD)
        if isinstance(error, AelabError | KeyboardInterrupt | SystemExit):
            raise SystemExit(int(code) if code else code_of(error)) from error

    def put(self, name: str, text: str) -> None:
        """Leave a text, where there is still a store."""
        with suppress(RuntimeError):
            self.store.set(name, text)

    def let_read(self, seconds: float) -> None:
        """Wait until all others have read how this process ends, at most so long."""
        end = time.monotonic() + seconds
        with suppress(RuntimeError):
            while self.store.add("read", 0) < self.count - 1 and time.monotonic() < end:
                time.sleep(0.05)

    def found(self, name: str, seconds: float) -> str:
        """A text that was left, waiting for it at most so long; empty if there is none."""
        end = time.monotonic() + seconds
        with suppress(RuntimeError):
            while not self.store.check([name]):
                if time.monotonic() >= end:
                    return ""
                time.sleep(0.05)
            return str(self.store.get(name).decode())
        return ""


def code_of(error: BaseException) -> int:
    """The exit code that an error comes to."""
    if isinstance(error, KeyboardInterrupt):
        return EXIT_SIGNAL + int(getattr(error, "number", signal.SIGINT))
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_FAILED
    return EXIT_USAGE if isinstance(error, AelabError | OSError) else EXIT_FAILED
