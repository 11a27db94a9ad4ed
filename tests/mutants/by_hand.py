"""Mistakes made by hand: each got past the tests once, and must not again."""

import tomllib
from pathlib import Path

from mutants.runner import Mutant

MODULE = "by-hand"
LIST = Path(__file__).parent / "by_hand.toml"


class NoLongerAppliesError(ValueError):
    """An entry's old text is not in its file, or not once only."""


def by_hand(root: Path) -> list[Mutant]:
    """All entries of the list.

    Raises:
        NoLongerAppliesError: naming the entry.
    """
    return [applied(entry, root) for entry in tomllib.loads(LIST.read_text())["mutant"]]


def applied(entry: dict[str, str], root: Path) -> Mutant:
    """One entry of the list, in the source."""
    text = (root / entry["file"]).read_text()
    if (times := text.count(entry["old"])) != 1:
        raise NoLongerAppliesError(
            f"{LIST.name}: {entry['name']}: its old text is {times} times in {entry['file']}, "
            f"not once; write down the lines as they are now"
        )
    source = text.replace(entry["old"], entry["new"])
    return Mutant(MODULE, entry["name"], entry["file"], source, entry["tests"])
