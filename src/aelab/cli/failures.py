"""How a verb ends that cannot go on: one line on standard error, an exit code that says why."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from aelab.files import AelabError, told_memory, told_os_error

EXIT_FAILED, EXIT_USAGE, EXIT_SIGNAL = 1, 2, 128

RESUMABLE = ("train", "compare", "choose")
"""Verbs that take up what they were stopped at."""


class Terminated(KeyboardInterrupt):
    """A signal that ends the program, of a scheduler or a terminal that closes: as Ctrl-C.

    >>> isinstance(Terminated(signal.SIGTERM), KeyboardInterrupt)
    True
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def heard_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP are raised as Terminated inside, where nothing else was made of them."""
    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    if threading.current_thread() is not threading.main_thread():  # only that one hears any
        numbers = []
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, terminate)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def terminate(number: int, frame: FrameType | None) -> None:
    """A handler of signals."""
    raise Terminated(number)


def told(verb: str, work: Callable[[], int]) -> int:
    """The exit code of a verb's work, whatever becomes of it; what went wrong is told in a line."""
    advice = (
        "what was done is kept, and the same command goes on from there"
        if verb in RESUMABLE
        else "give it less at once, or close other programs"
    )
    try:
        with heard_signals(), told_memory(advice):
            code = work()
            sys.stdout.flush()  # it may be a file on a disk that is full
            return code
    except AelabError as error:
        print(f"aelab: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt as stop:
        goes_on = "the same command takes it up again, to the same result"
        how = goes_on if verb in RESUMABLE else "nothing was written"
        print(f"aelab: stopped; {how}", file=sys.stderr)
        return EXIT_SIGNAL + getattr(stop, "number", signal.SIGINT)
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        write_nowhere()
        return 0
    except OSError as error:
        write_nowhere()
        print(f"aelab: {told_os_error(error)}", file=sys.stderr)
        return EXIT_USAGE


def write_nowhere() -> None:
    """What is still to be printed cannot be, and must not fail again at the program's end."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115


def warn(notes: Iterable[str]) -> None:
    """Tell what is amiss though the work is done, a line each."""
    for note in notes:
        print(f"aelab: {note}", file=sys.stderr)
