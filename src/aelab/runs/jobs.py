"""Jobs done one after another, or several at once in processes of their own."""

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from aelab.files import AelabError
from aelab.machine import keep_freed_memory

J = TypeVar("J")
R = TypeVar("R")
P = TypeVar("P")

# Proxies of a multiprocessing manager's, which have no types of their own.
ManagedQueue = Any
ManagedEvent = Any


GONE = "a process was ended from outside, perhaps for want of memory; try --jobs 1"


class StoppedError(Exception):
    """The program is being stopped; a job ends where it is."""


def run_all(
    work: Callable[[J, Callable[[P], None]], R],
    jobs: Sequence[J],
    at_once: int,
    on_progress: Callable[[J, P], None] | None = None,
    size: Callable[[J], int] = lambda job: 1,
) -> Iterator[tuple[J, R | str]]:
    """Each job with what ``work(job, tell)`` returned, or with the error's one line.

    `on_progress` is called with what a job tells. Jobs are begun in their order while their
    sizes add up to at most `at_once`; one that is larger runs alone. With more than one at once
    they come back in the order of their ends, and `work`, jobs and results go between processes.
    """
    tell = on_progress or (lambda job, progress: None)
    if at_once == 1:
        for job in jobs:
            yield job, attempt(work, job, partial(tell, job))
        return
    yield from in_processes(work, jobs, at_once, tell, size)


def attempt(
    work: Callable[[J, Callable[[P], None]], R], job: J, tell: Callable[[P], None]
) -> R | str:
    """What the job returned, or what went wrong in it."""
    try:
        return work(job, tell)
    except AelabError as error:
        return str(error)
    except StoppedError:
        return "stopped"
    except Exception as error:  # a mistake in one row's model must not cost the other rows
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}, line {last.lineno}"
        return f"{type(error).__name__}: {error} (a mistake in the code, at {place})"


def in_processes(
    work: Callable[[J, Callable[[P], None]], R],
    jobs: Sequence[J],
    at_once: int,
    tell: Callable[[J, P], None],
    size: Callable[[J], int],
) -> Iterator[tuple[J, R | str]]:
    """run_all with processes; they are new ones, so that PyTorch's threads are not inherited."""
    context = multiprocessing.get_context("spawn")
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(at_once, context, prepare_process) as pool,
    ):
        told, stop = manager.Queue(), manager.Event()
        listener = Thread(target=listen, args=(told, jobs, tell), daemon=True)
        listener.start()
        waiting = deque(enumerate(jobs))
        running: dict[Future[R | str], J] = {}
        try:
            while waiting or running:
                used = sum(size(job) for job in running.values())
                if waiting and (not running or used + size(waiting[0][1]) <= at_once):
                    number, job = waiting.popleft()
                    try:
                        future = pool.submit(in_process, work, job, number, told, stop)
                    except BrokenProcessPool:
                        yield job, GONE
                    else:
                        running[future] = job
                    continue
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), outcome_of(future)
        except BaseException:
            stop.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            told.put(None)
            listener.join()


def outcome_of(future: "Future[R | str]") -> R | str:
    """A job's outcome, also when its process is gone."""
    try:
        return future.result()
    except BrokenProcessPool:
        return GONE


def prepare_process() -> None:
    """Set up a process of our own: its memory, and that it leaves Ctrl-C alone.

    Ctrl-C reaches all processes; only the first one acts on it, and tells the others.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()


def in_process(
    work: Callable[[J, Callable[[P], None]], R],
    job: J,
    number: int,
    told: ManagedQueue,
    stop: ManagedEvent,
) -> R | str:
    """One job in its own process."""

    def tell(progress: P) -> None:
        if stop.is_set():
            raise StoppedError
        told.put((number, progress))

    return attempt(work, job, tell)


def listen(told: ManagedQueue, jobs: Sequence[J], tell: Callable[[J, P], None]) -> None:
    """Pass on what the processes tell, until None."""
    while (message := told.get()) is not None:
        number, progress = message
        tell(jobs[number], progress)
