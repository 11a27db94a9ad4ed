"""Random numbers by address: what is drawn depends on (seed, what for, which), not on history.

So a run that is stopped and taken up again, or a sample drawn alone or among a thousand, gives
the same numbers. Generators that belong to the caller are left as they were.
"""

import ctypes
import hashlib
import math
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.overrides import TorchFunctionMode


def seed_at(seed: int, *address: str | int) -> int:
    """A 63-bit seed for one place, for example ``seed_at(0, "order", epoch)``.

    >>> seed_at(0, "order", 1) == seed_at(0, "order", 1) != seed_at(0, "order", 2)
    True
    """
    text = "/".join(str(part) for part in (seed, *address))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def generator_at(seed: int, *address: str | int) -> torch.Generator:
    """A generator of its own for one place."""
    return torch.Generator().manual_seed(seed_at(seed, *address))


def permutation_at(n: int, seed: int, *address: str | int) -> Int64[Tensor, " n"]:
    """A random order of 0 … n-1 for one place."""
    return torch.randperm(n, generator=generator_at(seed, *address))


def set_global(seed: int, *address: str | int) -> None:
    """Point the global generators, which modules draw from, at one place."""
    value = seed_at(seed, *address)
    torch.default_generator.manual_seed(value)  # torch.manual_seed also wakes absent devices
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(value)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(value)


@contextmanager
def seeded(seed: int, *address: str | int) -> Iterator[None]:
    """The global generators start at one place inside, and are put back afterwards."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        set_global(seed, *address)
        yield


class NoiseOfProcessor(TorchFunctionMode):
    """Draws random numbers by the processor's generator, on whatever device they are wanted.

    So they are the same numbers on every device.

    >>> with NoiseOfProcessor():
    ...     torch.rand_like(torch.zeros(2, device="meta")).device
    device(type='meta')
    """

    OF_SIZE = (torch.rand, torch.randn)
    OF_TENSOR = (torch.rand_like, torch.randn_like, torch.bernoulli, Tensor.bernoulli)

    def __torch_function__(  # torch's own interface
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Do what is asked for; random numbers here, and the rest there."""
        kwargs = kwargs or {}
        if func in self.OF_SIZE and (there := kwargs.pop("device", None)) is not None:
            return func(*args, **kwargs).to(there)
        if func in self.OF_TENSOR and args[0].device.type != "cpu":
            given, *others = args
            here = torch.empty_like(given, device="cpu")
            if func not in self.OF_TENSOR[:2]:
                here.copy_(given)
            return func(here, *others, **kwargs).to(given.device)
        return func(*args, **kwargs)


class MostNumbers(TorchFunctionMode):
    """Refuses new tensors of more than so many numbers in all, before memory is asked for.

    >>> with MostNumbers(10):
    ...     torch.zeros(3, 4)
    Traceback (most recent call last):
    ...
    ValueError: more than 10 numbers are asked for
    """

    OF_SIZE = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit, self.made = limit, 0

    def __torch_function__(  # torch's own interface
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Do what is asked for, unless it is a tensor beyond the limit."""
        if func in self.OF_SIZE and args:
            size = args[0] if isinstance(args[0], list | tuple) else args
            self.made += math.prod(size)
            if self.made > self.limit:
                raise ValueError(f"more than {self.limit} numbers are asked for")
        return func(*args, **(kwargs or {}))


PROCESSOR = Path("/proc/cpuinfo")  # what Linux tells of it
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


@cache
def processor_has_bfloat16() -> bool:
    """Whether the processor has instructions for products in bfloat16, as far as Linux tells.

    Without, they are emulated, at a quarter of the speed of float32.
    """
    if not PROCESSOR.is_file():
        return False
    return not BFLOAT16_FLAGS.isdisjoint(PROCESSOR.read_text("utf-8", "replace").split())


def device_named(name: str) -> str:
    """The device that a name means here: of ``auto`` a GPU where there is one.

    >>> device_named("cpu")
    'cpu'
    """
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def has_bfloat16(device: str) -> bool:
    """Whether a device has instructions for products in bfloat16, as far as is known."""
    if device == "cpu":
        return processor_has_bfloat16()
    known = device.startswith("cuda") and torch.cuda.is_available()
    return torch.cuda.is_bf16_supported() if known else device.startswith("cuda")


DATA_SHARE = 0.5
"""Of a GPU's free memory, that data may take; the rest is for the model and its steps."""


def room_for_data(device: str) -> float:
    """Bytes of data that a device has room for; of a processor's memory, any."""
    if device == "cpu":
        return math.inf
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(torch.device(device))
        return DATA_SHARE * free
    return 0.0  # not known; and Apple's GPUs have no double precision to prepare tables in


@contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch uses `count` processor threads inside: sums depend on it in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


MMAP_MAX, TRIM_THRESHOLD, KEPT_BYTES = -4, -1, 2**30
"""glibc's numbers of two parameters, and what the second is set to (malloc.h; mallopt(3))."""


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def keep_freed_memory() -> None:
    """Have glibc keep what tensors free, for the process's whole life.

    That is up to a gigabyte at the end of its heap. It concerns the whole process, so only programs
    call it: `aelab` does, and yours may.

    Otherwise glibc may give a step's memory back to the system and ask for it again at the next,
    and every page is cleared anew: up to a third of a step with large feature maps. Mapped blocks
    (all of 32 MB or more) are always given back, so nothing is mapped.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, KEPT_BYTES)


def forget_peak_memory() -> bool:
    """Start the process's peak of resident memory anew; whether the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_memory() -> int:
    """Peak of the process's resident memory in bytes since it was last forgotten."""
    status = Path("/proc/self/status").read_text()
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)


def machine(device: str = "cpu") -> str:
    """The processor's name, how many there are, the system and a GPU, for people to read."""
    lines = PROCESSOR.read_text().splitlines() if PROCESSOR.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    gpu = f", {torch.cuda.get_device_name(device)}" if device.startswith("cuda") else ""
    return f"{name}, {os.cpu_count()} processors, {platform.system()}{gpu}"
