"""One call in a process of its own, while this one goes on."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import ParamSpec, TypeVar

from aelab.files import AelabError
from aelab.runs.jobs import ENDED, detached, prepare_process

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 5.0
"""Seconds in which a process ends by itself, and gives back what the system lent it."""


@contextmanager
def aside(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Callable[[], T]]:
    """Inside, a call is under way in another process; what this gives waits for its result.

    The process ends with the block, at once where that is left by an error or Ctrl-C. The call and
    its arguments go there, and the result, or the error, comes back.

    Raises:
        AelabError: the process was ended from outside.
    """
    context, received = multiprocessing.get_context("spawn"), False
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send_result, args=(sender, call, args, kwargs), daemon=True)

    def result() -> T:
        nonlocal received
        try:
            found, error = receiver.recv()
            received = True
        except EOFError:
            raise AelabError(f"{ENDED}; try again with less else running") from None
        if error is not None:
            raise error
        return found  # type: ignore[no-any-return]  # it is what the call gave

    with detached():
        process.start()
    sender.close()  # here, so that the other end's closing is seen
    try:
        yield result
    finally:
        if not received:
            process.terminate()
        process.join(PATIENCE)
        process.kill()
        process.join()
        receiver.close()


def send_result(
    sender: Connection, call: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    """Do a call, in the other process, and send what it gave or raised."""
    prepare_process()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        sender.send((call(*args, **kwargs), None))
    except Exception as error:  # whatever it is, the caller sees it
        sender.send((None, error))
