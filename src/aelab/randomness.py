"""Random numbers by address: what is drawn depends on (seed, what for, which), not on history.

So a run that is stopped and taken up again, or a sample drawn alone or among a thousand, gives
the same numbers. Generators that belong to the caller are left as they were.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Int64
from torch import Tensor


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


@contextmanager
def seeded(seed: int, *address: str | int) -> Iterator[None]:
    """The global generators start at one place inside, and are put back afterwards."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        set_global(seed, *address)
        yield
