"""The few options that decide which others there are, looked for before the rest are known."""

from argparse import ArgumentError, ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Named:
    """What decides which options there are, and their defaults: looked for before all others.

    >>> named(["--seed", "1", "--network", "dense"])
    Named(start=None, network='dense', prior=None, data=None, out=None, seed='1')
    """

    start: Path | None = None
    """The run that ``--from`` names."""

    network: str | None = None
    prior: str | None = None
    data: str | None = None
    out: Path | None = None
    seed: str = "0"


def named(arguments: Sequence[str]) -> Named:
    """What ``--from``, ``--network``, ``--prior``, ``--data``, ``--out`` and ``--seed`` name."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--from", type=Path, dest="start")
    parser.add_argument("--network")
    parser.add_argument("--prior")
    parser.add_argument("--data")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", default="0")
    try:
        return Named(**vars(parser.parse_known_args(arguments)[0]))
    except ArgumentError:  # for the real parser to tell
        return Named()
