"""Jobs for processes of our own, in a module that imports little: each process imports it anew."""

import os
import signal
import time
from collections.abc import Callable

from aelab.files import InputError
from aelab.machine import keep_freed_memory

STEPS = 3000
"""Of a job that is stopped before it has taken them."""


def double(job: int, tell: object) -> int:
    tell(f"at {job}")
    if job == 3:
        raise InputError("three is wrong")
    if job == 4:
        raise RuntimeError("a bug")
    return 2 * job


def slow(job: int, tell: object) -> int:
    tell("begins")
    time.sleep(0.2)
    tell("ends")
    return job


def vanish(job: int, tell: object) -> int:
    if job == 0:
        os._exit(1)
    return job


def endless(job: int, tell: object) -> int:
    for step in range(STEPS):
        tell(step)
        time.sleep(0.01)
    return job


def double_then_wait(job: int, tell: object) -> int:
    return double(job, tell) if job == 0 else endless(job, tell)


def wait_or_die(job: int, tell: Callable[[str], None]) -> int:
    """The first is killed in its work, as by the system where memory is short."""
    tell("begun")
    if job == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def allocator_is_set(job: int, tell: object) -> bool:
    return keep_freed_memory.cache_info().currsize == 1
