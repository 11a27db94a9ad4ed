"""``make mutants``: which mistakes the tests see. Exit code 1 if they see too few."""

import argparse
import signal
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mutants.by_hand import MODULE, NoLongerAppliesError, by_hand
from mutants.made import made, modules
from mutants.runner import Mutant, Outcome, run

ROOT = Path(__file__).parents[2]
ACCEPTED = Path(__file__).parent / "accepted.toml"

ENOUGH = 0.9
"""Share of the mutants made by machine that tests must kill; of those by hand, all."""

Results = list[tuple[Mutant, Outcome]]


def main() -> int:
    """Make the mutants that are asked for, run them, and print what became of them."""
    known = {module["name"]: module for module in modules()}
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    listed = ", ".join([MODULE, *known])
    parser.add_argument("names", nargs="*", help=f"unless named, all: {listed}")
    parser.add_argument("--all", action="store_true", help="every mutant, not a sample; hours")
    options = parser.parse_args()
    names = options.names or [MODULE, *known]
    if unknown := [name for name in names if name not in (MODULE, *known)]:
        parser.error(f"there is no module {unknown[0]!r}; there are {listed}")
    try:
        mutants = by_hand(ROOT) if MODULE in names else []
    except NoLongerAppliesError as error:
        print(error, file=sys.stderr)
        return 1
    for name in names:
        if name != MODULE:
            mutants += made(ROOT, known[name], options.all)
    results: Results = []
    for mutant, outcome in run(ROOT, mutants):
        results.append((mutant, outcome))
        print(f"{len(results)} of {len(mutants)}: {mutant.name}: {outcome}", file=sys.stderr)
        if outcome != "killed":
            print(survivor(mutant, outcome), flush=True)
    print(table(results))
    return 0 if enough(results) else 1


def table(results: Results) -> str:
    """Mutants and killed ones, a module a line."""
    lines = [f"{'module':<24} {'mutants':>8} {'killed':>8}"]
    for name in [*dict.fromkeys(mutant.module for mutant, _ in results), "all"]:
        outcomes = Counter(o for mutant, o in results if name in (mutant.module, "all"))
        count = outcomes.total()
        killed = f"{outcomes['killed'] / count:.0%}" if count else "-"
        lines.append(f"{name:<24} {count:>8} {outcomes['killed']:>8} {killed:>5}")
    return "\n".join(lines) + "\n"


def survivor(mutant: Mutant, outcome: Outcome) -> str:
    """A mutant that was not killed, with its lines and, if it is accepted, why."""
    line, changes = mutant.changed(ROOT)
    why = accepted(mutant.file, changes)
    state = f"accepted: {why}" if why else outcome
    return "\n".join([f"{mutant.file}:{line}: {state}", *changes, ""])


def accepted(file: str, changes: Sequence[str]) -> str | None:
    """Why a mutant may survive, if it may."""
    for entry in tomllib.loads(ACCEPTED.read_text())["accepted"]:
        if entry["file"] == file and entry["change"].split() == " ".join(changes).split():
            return str(entry["why"])
    return None


def enough(results: Results) -> bool:
    """Whether the tests see the mistakes: all by hand, and most of the others; all were run."""
    hand = [outcome for mutant, outcome in results if mutant.module == MODULE]
    made = [outcome for mutant, outcome in results if mutant.module != MODULE]
    return (
        hand.count("killed") == len(hand)
        and made.count("killed") >= ENOUGH * len(made)
        and "not run" not in made
    )


if __name__ == "__main__":
    # Ended from outside as by Ctrl-C: running tests are ended, and the copies removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    sys.exit(main())
