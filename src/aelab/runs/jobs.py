"""Jobs done by an executor: one after another in this process, in processes, or elsewhere."""

import math
import multiprocessing
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing.managers import SyncManager
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any, Generic, TypeVar

from aelab.files import AelabError, told_memory, told_os_error
from aelab.machine import keep_freed_memory
from aelab.runs.parent import end_with_parent

J = TypeVar("J")
R = TypeVar("R")
P = TypeVar("P")
T = TypeVar("T")

# Proxies of a multiprocessing manager's, which have no types of their own.
ManagedQueue = Any
ManagedEvent = Any


ENDED = "a process was ended from outside, perhaps for want of memory"
GONE = f"{ENDED}; try --jobs 1"

LOOKED = 5.0
"""Seconds between two looks at how far jobs elsewhere are."""

MOST_LOOKED = 100
"""Jobs that are looked at; they are begun in their order, and files may be far away."""

UNREACHABLE = (EOFError, ConnectionError)
"""What is raised where the manager of a queue is gone, as when a signal ends all processes."""


class StoppedError(Exception):
    """The program is being stopped; a job ends where it is.

    >>> from threading import Event
    >>> stop = Event()
    >>> stop.set()
    >>> attempt(lambda job, tell: tell("half"), "job", Teller("job", None, stop))
    ([], 'stopped')
    """


class UnfitError(Exception):
    """A place cannot do a job that another may: it lacks the data, or cannot write.

    >>> UnfitError("tcp://10.0.0.7:40123", "cannot write runs/vae: No space left on device").place
    'tcp://10.0.0.7:40123'
    """

    def __init__(self, place: str, why: str) -> None:
        super().__init__(place, why)
        self.place, self.why = place, why


class ClosingError(UnfitError):
    """A place ends in the middle of a job, as its owner wants; another takes the job up.

    >>> raise ClosingError("tcp://10.0.0.7:40123", "closes")
    Traceback (most recent call last):
    aelab.runs.jobs.ClosingError: ('tcp://10.0.0.7:40123', 'closes')
    """


class Places(Executor):
    """An executor of places that come and go, and need not be fit for the work."""

    def around(self, work: Callable[[J, Callable[[P], None]], R]) -> Callable[..., R]:
        """What is done there instead of `work`: that, after what it needs; or an UnfitError."""
        raise NotImplementedError

    def again(self, future: Future[Any]) -> bool:
        """Whether a job that ended so is to be submitted once more, for another place to do.

        Raises:
            AelabError: there is none.
        """
        raise NotImplementedError

    def take_back(self) -> None:
        """Cancel all jobs that have not ended; those that have begun end soon."""
        raise NotImplementedError

    def everywhere(self, work: Callable[[], None]) -> None:
        """Do this in every place that is there."""
        raise NotImplementedError


class InThisProcess(Executor):
    """Does what it is given before anything else goes on; Ctrl-C goes through it.

    >>> InThisProcess().submit(max, 1, 2).result()
    2
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401 - those of fn
        """The future of a call that has ended."""
        future: Future[T] = Future()
        future.set_result(fn(*args, **kwargs))  # what is raised is told at once
        return future


def run_all(
    work: Callable[[J, Callable[[P], None]], R],
    jobs: Sequence[J],
    at_once: int,
    on_progress: Callable[[J, P], None] | None = None,
    size: Callable[[J], int] = lambda job: 1,
    executor: Executor | None = None,
    look: Callable[[J], P | None] | None = None,
) -> Iterator[tuple[J, R | str]]:
    """Each job with what ``work(job, tell)`` returned, or with the error's one line.

    `on_progress` is called with what a job tells. Jobs are begun in their order while their
    sizes add up to at most `at_once`; one that is larger runs alone. With more than one at once
    they come back in the order of their ends, and `work`, jobs and results go between processes.
    An `executor` is given all of them at once, and what they tell comes with their ends, for
    nothing is known of where they are; until then we `look` how far the first of them are. Those
    that have begun there are not stopped with us, unless the executor sees to it.
    """
    tell = on_progress or (lambda job, progress: None)
    if executor is not None:
        around = executor.around(work) if isinstance(executor, Places) else work
        yield from done(executor, around, jobs, math.inf, tell, size, lambda job: None, look)
    elif at_once == 1:
        yield from done(InThisProcess(), work, jobs, 1, tell, size, lambda job: partial(tell, job))
    else:
        with processes(at_once, tell) as (pool, teller):
            yield from done(pool, work, jobs, at_once, tell, size, teller)


def done(
    executor: Executor,
    work: Callable[[J, Callable[[P], None]], R],
    jobs: Sequence[J],
    at_once: float,
    tell: Callable[[J, P], None],
    size: Callable[[J], int],
    teller: Callable[[J], Callable[[P], None] | None],
    look: Callable[[J], P | None] | None = None,
) -> Iterator[tuple[J, R | str]]:
    """run_all by an executor; `teller` gives what a job can tell us by at once, if it can."""
    waiting = deque(jobs)
    running: dict[Future[tuple[list[P], R | str]], J] = {}
    ended: SimpleQueue[Future[tuple[list[P], R | str]]] = SimpleQueue()
    used, looking = 0, Looking(look, tell)
    try:
        while waiting or running:
            if waiting and (not running or used + size(waiting[0]) <= at_once):
                job = waiting.popleft()
                try:
                    future = executor.submit(attempt, work, job, teller(job))
                except BrokenExecutor:
                    yield job, GONE
                    continue
                running[future] = job
                used += size(job)
                future.add_done_callback(ended.put)
                continue
            looking.at(running.values())
            try:
                future = ended.get(timeout=LOOKED)
            except Empty:
                continue
            job = running.pop(future)
            used -= size(job)
            if isinstance(executor, Places) and executor.again(future):
                waiting.append(job)
                continue
            kept, outcome = outcome_of(future)
            for progress in kept:
                tell(job, progress)
            yield job, outcome
    finally:
        if isinstance(executor, Places):
            executor.take_back()
        else:
            for future in running:
                future.cancel()


class Looking(Generic[J, P]):
    """Tells every few seconds how far the first jobs are that have not ended, by a look at each.

    >>> looking = Looking(lambda job: job / 2, lambda job, progress: print(job, progress))
    >>> looking.at([3])
    3 1.5
    >>> looking.at([5])  # it was a moment ago
    """

    def __init__(self, look: Callable[[J], P | None] | None, tell: Callable[[J, P], None]) -> None:
        self.look, self.tell = look, tell
        self.due = -math.inf

    def at(self, jobs: Iterable[J]) -> None:
        """Look at the first of these, if it is time."""
        if self.look is None or time.monotonic() < self.due:
            return
        for job in islice(jobs, MOST_LOOKED):
            if (progress := self.look(job)) is not None:
                self.tell(job, progress)
        self.due = time.monotonic() + LOOKED


def outcome_of(future: "Future[tuple[list[P], R | str]]") -> tuple[list[P], R | str]:
    """What a job kept to tell and its outcome, also when its process is gone."""
    try:
        return future.result()
    except BrokenExecutor:
        return [], GONE
    except Exception as error:  # the executor's, which may be anyone's
        return [], f"{type(error).__name__}: {error}"


def attempt(
    work: Callable[[J, Callable[[P], None]], R], job: J, tell: Callable[[P], None] | None
) -> tuple[list[P], R | str]:
    """What the job could not tell at once, and what it returned or what went wrong in it."""
    kept: list[P] = []
    try:
        with told_memory("try --jobs 1"):
            return kept, work(job, tell or kept.append)
    except UnfitError:  # the executor knows what to do
        raise
    except AelabError as error:
        return kept, str(error)
    except OSError as error:
        return kept, told_os_error(error)
    except StoppedError:
        return kept, "stopped"
    except Exception as error:  # a mistake in one row's model must not cost the other rows
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}, line {last.lineno}"
        told = f"{type(error).__name__}: {error} (a mistake in the code, at {place})"
        return kept, told


@contextmanager
def processes(
    at_once: int, tell: Callable[[J, P], None]
) -> Iterator[tuple[Executor, Callable[[J], "Teller"]]]:
    """Processes of our own; they are new ones, so that PyTorch's threads are not inherited."""
    context = multiprocessing.get_context("spawn")
    manager = SyncManager(ctx=context)
    with detached():
        manager.start(end_with_parent)
    with (
        manager,
        Workers(at_once, context, prepare_process) as pool,
    ):
        told, stop = manager.Queue(), manager.Event()
        listener = threading.Thread(target=listen, args=(told, tell), daemon=True)
        listener.start()
        try:
            yield pool, lambda job: Teller(job, told, stop)
        except BaseException:
            with suppress(*UNREACHABLE):
                stop.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            with suppress(*UNREACHABLE):
                told.put(None)
            listener.join()


class Workers(ProcessPoolExecutor):
    """Processes that are `detached`."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401
        """The future of a call; a process may begin with it."""
        with detached():
            return super().submit(fn, *args, **kwargs)


@contextmanager
def detached() -> Iterator[None]:
    """Processes that begin inside run no script of the caller's anew, and leave Ctrl-C alone.

    Without ``if __name__ == "__main__":`` a script would end in an error there; what processes are
    given is of modules. Ctrl-C reaches all of them; only the first one acts on it, and tells or
    ends the others. What ignores a signal hands that down.

    >>> with detached():
    ...     hasattr(sys.modules["__main__"], "__file__")
    False
    """
    script, before = sys.modules["__main__"], signal.getsignal(signal.SIGINT)
    # Python lets only the main thread say what a signal does.
    mine = threading.current_thread() is threading.main_thread() and before is not None
    sys.modules["__main__"] = ModuleType("__main__")
    if mine:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        sys.modules["__main__"] = script
        if mine:
            signal.signal(signal.SIGINT, before)


def prepare_process() -> None:
    """Set up a process of our own: its memory, and its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where another thread began it
    keep_freed_memory()
    end_with_parent()


@dataclass(frozen=True)
class Teller:
    """What a job in a process of our own tells the first process by.

    >>> from queue import Queue
    >>> from threading import Event
    >>> Teller("job", told := Queue(), Event())("half")
    >>> told.get()
    ('job', 'half')
    """

    job: object
    told: ManagedQueue
    stop: ManagedEvent

    def __call__(self, progress: object) -> None:
        """Tell it, or end here if the program is being stopped."""
        try:
            if not self.stop.is_set():
                self.told.put((self.job, progress))
                return
        except UNREACHABLE:
            pass
        raise StoppedError


def listen(told: ManagedQueue, tell: Callable[[J, P], None]) -> None:
    """Pass on what the processes tell, until None."""
    with suppress(*UNREACHABLE):
        while (message := told.get()) is not None:
            tell(*message)
