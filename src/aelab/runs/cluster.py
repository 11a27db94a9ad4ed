"""A Dask cluster as an executor: its workers are looked over, and jobs taken up by others.

Run folders, on storage that all share, hold all that is done; messages only say that a job ended.
"""

import asyncio
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypeVar

from aelab.files import AelabError, InputError, MissingFileError, WriteError
from aelab.machine import keep_freed_memory
from aelab.runs.jobs import ClosingError, Places, StoppedError, UnfitError
from aelab.runs.lock import HeldError, LostError
from aelab.runs.resumable import Note
from aelab.settings import VERSION

J = TypeVar("J")
R = TypeVar("R")

# Dask's, which is imported only where it is asked for.
DaskClient = Any
DaskExecutor = Any
DaskWorker = Any

REACHED = 10.0
"""Seconds within which a scheduler answers."""

GONE = 120.0
"""Seconds in which a scheduler that was lost may come back."""

HELD = 5.0
"""Seconds between two tries at a folder in which another process trains."""

BOUNCED = 10.0
"""Seconds that a worker takes to refuse a job, if it refused one before: others may be free."""

REFUSED: set[Path] = set()
"""The marks of the commands that this worker refused a job of."""


@dataclass(frozen=True)
class Needs:
    """What the workers must have.

    >>> Needs("0.1.0", Path("/study"), Path("/study/.mark"), own_classes=False).version
    '0.1.0'
    """

    version: str
    folder: Path
    """Where the command was given: paths and classes of one's own are looked for there."""

    mark: Path
    """A file where the results go to."""

    own_classes: bool


def lacking(needs: Needs, dask_worker: DaskWorker) -> str | None:
    """Why a worker is not fit for a command's jobs, asked in the worker; nothing if it is."""
    if needs.version != VERSION:
        return f"runs aelab {VERSION}, and this is {needs.version}"
    if (count := dask_worker.state.nthreads) != 1:
        return (
            f"has {count} threads, and a process trains one model at a time: start it with "
            f"--nthreads 1, and more of them with --nworkers"
        )
    for place in (needs.mark, needs.folder):
        if not place.exists():
            seen = place.parent if place == needs.mark else place
            return f"has no {seen}: what the command reads and writes must be on shared storage"
    return None


def in_worker(
    needs: Needs,
    work: Callable[[J, Callable[[object], None]], R],
    job: J,
    tell: Callable[[object], None],
) -> R:
    """Do a job in a worker, as if it had been begun where the command was given.

    Raises:
        UnfitError: this worker cannot, and another may.
        StoppedError: the command was stopped.
        AelabError: the job's own.
    """
    from distributed import get_worker

    worker = get_worker()
    task = worker.get_current_task()

    def heard(told: object) -> None:
        """Let what a job tells be the moment at which it can be stopped."""
        now = worker.state.tasks.get(task)
        if now is None or now.state != "executing":
            raise StoppedError
        if worker.status.name not in ("running", "paused"):
            raise ClosingError(worker.address, "closes")
        if isinstance(told, Note):
            tell(told)

    if (why := lacking(needs, worker)) is not None:
        raise refusal(needs, worker, why)
    keep_freed_memory()
    with chdir(needs.folder):
        if needs.own_classes and str(needs.folder) not in sys.path:
            sys.path.append(str(needs.folder))
        while True:
            try:
                return work(job, heard)
            except (HeldError, LostError) as held:  # its process ends, or is dead before long
                heard(held)
                time.sleep(HELD)
            except (MissingFileError, WriteError) as error:
                raise refusal(needs, worker, str(error)) from error


def refusal(needs: Needs, worker: DaskWorker, why: str) -> UnfitError:
    """The error of a worker that is not fit; so late that it does not refuse all that waits."""
    if needs.mark in REFUSED:
        time.sleep(BOUNCED)
    REFUSED.add(needs.mark)
    return UnfitError(worker.address, why)


class Cluster(Places):
    """The workers of a Dask scheduler, without those that are not fit.

    `connect` gives a client, or raises an AelabError; `tell` is given a line for the user.
    """

    def __init__(
        self, connect: Callable[[], DaskClient], needs: Needs, tell: Callable[[str], None]
    ) -> None:
        self.connect, self.needs, self.tell = connect, needs, tell
        self.client = connect()
        self.left_out: dict[str, str] = {}
        self.fit: set[str] = set()
        self.executors: dict[frozenset[str], DaskExecutor] = {}
        self.restricted: set[Future[Any]] = set()
        if not self.workers():
            tell("the cluster has no workers yet; the work begins when one comes")
        self.look_over()

    def workers(self) -> set[str]:
        """The addresses of those that are there."""
        return set(self.client.nthreads())

    def look_over(self) -> bool:
        """Leave out new workers that are not fit; whether there were any."""
        found = self.client.run(lacking, self.needs, on_error="return")
        new = {
            place: why
            for place, why in found.items()
            if place not in self.left_out and not isinstance(why, OSError)  # it was not reached
        }
        unfit = {
            place: why if isinstance(why, str) else f"has no aelab {VERSION} ({why})"
            for place, why in new.items()
            if why is not None
        }
        self.leave_out(unfit)
        return bool(unfit)

    def leave_out(self, unfit: Mapping[str, str]) -> None:
        """Give these no more jobs.

        Raises:
            AelabError: no other is there.
        """
        lines = [
            f"worker {place} is left out: it {why}"
            for place, why in unfit.items()
            if place not in self.left_out
        ]
        self.left_out |= unfit
        self.fit = self.workers() - self.left_out.keys()
        for line in lines if self.fit else lines[:-1]:
            self.tell(line)
        if unfit and not self.fit:
            place, why = list(unfit.items())[-1]
            raise AelabError(f"no worker is left that can do it: {place} {why}")

    def around(self, work: Callable[[J, Callable[[Any], None]], R]) -> Callable[..., R]:
        """As `in_worker`."""
        return partial(in_worker, self.needs, work)

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:  # noqa: ANN401 - those of fn
        """The future of a call, in any worker that is not left out."""
        to = frozenset(self.fit if self.left_out else ())
        if to not in self.executors:
            # Where none of these is there any more, others may do it, and refuse it.
            where = {"workers": sorted(to), "allow_other_workers": True} if to else {}
            self.executors[to] = self.client.get_executor(pure=False, **where)
        future: Future[R] = self.executors[to].submit(fn, *args, **kwargs)
        if to:
            self.restricted.add(future)
        return future

    def take_back(self) -> None:
        """Cancel all that has not ended; a job that has begun ends when it next tells something."""
        if self.client.status == "running":  # otherwise nothing is there
            for executor in self.executors.values():
                executor.shutdown(wait=False)
        self.executors.clear()
        self.restricted.clear()

    def again(self, future: Future[Any]) -> bool:
        """Whether the worker or the scheduler is to blame; a worker then gets no more jobs."""
        chosen = future in self.restricted
        self.restricted.discard(future)
        if future.cancelled():
            self.return_to_scheduler()
            return True
        error = future.exception()
        if isinstance(error, ClosingError):
            return True
        if isinstance(error, UnfitError):
            self.leave_out({error.place: error.why})
            return True
        # What a worker of another version cannot even read, it cannot refuse.
        return error is not None and (self.look_over() or bool(self.left_out and not chosen))

    def return_to_scheduler(self) -> None:
        """Connect anew, unless that was done.

        Raises:
            AelabError: the scheduler does not come back.
        """
        if self.client.status == "running":
            return
        self.tell(
            "the scheduler is gone; what is done is kept, and the rest goes on when it is back"
        )
        end = time.monotonic() + GONE
        while True:
            with suppress(Exception):  # whatever it has to say of a connection that is no more
                self.client.close(timeout=1)
            try:
                self.client = self.connect()
                break
            except AelabError:
                if time.monotonic() > end:
                    raise
        self.left_out = {}
        self.executors.clear()
        self.look_over()

    def everywhere(self, work: Callable[[], None]) -> None:
        """Do this in every worker; one that cannot will say so when it is given a job."""
        self.client.run(work, on_error="ignore")


@contextmanager
def cluster(address: str, out: Path, tell: Callable[[str], None]) -> Iterator[Cluster]:
    """The cluster at a scheduler's address, or one of ``local:N`` workers that ends with us.

    Inside, a file in `out`, where the results go to, shows workers that they see that folder.

    Raises:
        InputError: Dask is not installed, or `out` cannot be written.
        AelabError: the scheduler cannot be reached, or no worker that it has is fit.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--cluster takes Dask: pip install 'aelab[cluster]'") from error

    from distributed.utils import silence_logging_cmgr

    here = Path.cwd()
    with marked(out) as mark, silence_logging_cmgr(logging.CRITICAL):
        needs = Needs(VERSION, here, mark.resolve(), str(here) in sys.path)
        with scheduler_of(address) as found:
            clients = Cluster(partial(connected, Client, found), needs, tell)
            try:
                yield clients
            finally:
                with suppress(Exception):  # the work is done, or something else was raised
                    clients.client.close(timeout=REACHED)


@contextmanager
def marked(folder: Path) -> Iterator[Path]:
    """A file in a folder, which is made, for as long as this lasts."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = NamedTemporaryFile(dir=folder, prefix=".cluster-")  # noqa: SIM115
    except OSError as error:
        raise WriteError(f"cannot write {folder}: {error.strerror or error}") from error
    with file:
        yield Path(file.name)


def connected(client: DaskClient, address: str) -> DaskClient:
    """A client of a scheduler.

    Raises:
        AelabError: it cannot be reached.
    """
    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own in this one
            thread.submit(asyncio.run, shake_hands(address)).result()
        return client(address, timeout=REACHED, set_as_default=False)
    except Exception as error:  # of the network, of the address, of what answers there
        raise AelabError(
            f"the scheduler {address} cannot be reached within {REACHED:.0f} s: is it started, and "
            f"the address the one that it told? What was done is kept"
        ) from error


async def shake_hands(address: str) -> None:
    """See whether a scheduler answers: a client waits forever for one that takes a call only."""
    from distributed.comm import connect
    from distributed.security import Security

    security = Security().get_connection_args("client")  # as the user's configuration of Dask says
    async with asyncio.timeout(REACHED):
        comm = await connect(address, timeout=REACHED, **security)
        await comm.close()


@contextmanager
def scheduler_of(address: str) -> Iterator[str]:
    """The scheduler's address; that of ``local:N`` is our own, and on loopback."""
    scheme, _, count = address.partition(":")
    if scheme != "local":
        yield address
        return
    from distributed import LocalCluster

    with interrupts_ignored():
        local = LocalCluster(
            n_workers=int(count),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,  # as processes of our own; a limit of Dask's would end them
            silence_logs=logging.CRITICAL,
        )
    with local:
        yield local.scheduler_address


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Processes that are begun inside leave Ctrl-C to the one that it is meant for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
