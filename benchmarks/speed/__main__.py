"""How fast aelab is: against the original study's way, against peers, against the machine.

    python benchmarks/speed [SECTION ...] [--rounds 3] [--out bench.json]

Everything is measured in alternation within one run, three times unless told otherwise, and told as
``median (minimum to maximum)``; times in seconds. The sections are figure, peers, machine, overhead
and growth. Nothing else should run meanwhile.
"""

import argparse
import importlib
from pathlib import Path
from typing import Any

from harness import surroundings, write

from aelab.machine import keep_freed_memory

SECTIONS = ("figure", "peers", "machine", "overhead", "growth")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="all unless named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - set(SECTIONS)
    if unknown or arguments.rounds < 1:
        parser.error(f"sections are {', '.join(SECTIONS)}, and rounds 1 or more")
    print(*(f"{name}: {value}" for name, value in surroundings().items()), sep="\n")
    keep_freed_memory()
    found: dict[str, Any] = {}
    for section in arguments.sections or SECTIONS:
        found[section] = importlib.import_module(section).measure(arguments.rounds)
        write(arguments.out, found)
    print(f"\n{arguments.out}")


if __name__ == "__main__":
    main()
