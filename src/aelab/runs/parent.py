"""How a process ends with the one that began it. It imports little: each process does it anew."""

import multiprocessing
import os
from threading import Thread


def end_with_parent() -> None:
    """See to it that this process ends when the one that began it does, in whatever way.

    One that was killed tells nobody; its processes would train on, or wait, and hold their locks.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        parent.join()
        os._exit(1)

    Thread(target=end, daemon=True).start()
