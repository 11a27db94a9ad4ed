"""One call in a process of its own, while this one goes on."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import ParamSpec, TypeVar

from aelab.files import AelabError
from aelab.runs.jobs import prepare_process, without_script

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def aside(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Callable[[], T]]:
    """Inside, a call is under way in another process; what this gives waits for its result.

    The process ends with the block, at once where that is left by an error or Ctrl-C. The call and
    its arguments go there, and the result, or the error, comes back.

    Raises:
        AelabError: the process was ended from outside.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send_result, args=(sender, call, args, kwargs), daemon=True)

    def result() -> T:
        try:
            found, error = receiver.recv()
        except EOFError:
            raise AelabError(
                "a process was ended from outside, perhaps for want of memory"
            ) from None
        if error is not None:
            raise error
        return found  # type: ignore[no-any-return]  # it is what the call gave

    with without_script():
        process.start()
    sender.close()  # here, so that the other end's closing is seen
    try:
        yield result
    finally:
        process.kill()
        process.join()
        receiver.close()


def send_result(
    sender: Connection, call: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    """Do a call, in the other process, and send what it gave or raised."""
    prepare_process()
    try:
        sender.send((call(*args, **kwargs), None))
    except Exception as error:  # whatever it is, the caller sees it
        sender.send((None, error))
