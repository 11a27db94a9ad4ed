"""Which column of an edge list is what, by the columns' names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aelab.data.found_edges import Kinds
from aelab.data.numbers import is_number

ENDS = (
    ("source", "target"),
    ("src", "dst"),
    ("from", "to"),
    ("u", "v"),
    ("node1", "node2"),
    ("node_1", "node_2"),
    ("id_1", "id_2"),
)
DIRECTIONS = ENDS[:3]
KINDS = {
    *("user", "customer", "client", "reader", "listener", "viewer", "member", "author", "actor"),
    *("student", "patient", "person", "buyer", "item", "product", "movie", "film", "book"),
    *("paper", "article", "song", "artist", "track", "album", "group", "event", "course", "game"),
    *("page", "tag", "term", "word", "document", "place", "venue", "shop", "store", "disease"),
    *("drug", "gene", "protein"),
}
"""Names of columns, without a final id, that say what kind of node is in them."""

WEIGHTS = ("weight", "weights", "w", "value", "count", "strength", "frequency")
UNNAMED = ("", "unnamed: 0", "__index_level_0__")
"""What the column of pandas' index is called."""

ROW_IDS = {
    *("id", "index", "idx", "row", "rowid", "no", "nr", "number", "key"),
    *("edge", "edgeid", "eid", "edgeno", "link", "linkid", "lineid"),
}
"""Names, in small letters and digits, of columns that number the rows."""

LEFT_RIGHT = ("left", "right")


@dataclass(frozen=True)
class Roles:
    """Which column is what, by its place.

    >>> roles_by_name(["", "userId", "itemId", "count"])
    Roles(first=1, second=2, weight=3, index=0, kinds=('user', 'item'))
    """

    first: int = 0
    second: int = 1
    weight: int | None = None
    index: int | None = None
    kinds: Kinds | None = None

    @property
    def places(self) -> list[int]:
        """Of all columns that are read."""
        more = (self.weight, self.index)
        return [self.first, self.second, *(place for place in more if place is not None)]


def roles_by_name(names: Sequence[str]) -> Roles | None:
    """Which column is what, by names that edge lists are known by; None if they name no ends."""
    folded = [lowered(name) for name in names]
    index = 0 if len(names) > 2 and is_row_id(names[0]) else None
    found = [(place, kind) for place, name in enumerate(folded) if (kind := _kind(name)) in KINDS]
    kinds = None
    if (ends := _known_ends(names)) is None:
        if len(found) > 1 and found[0][1] != found[1][1]:
            ends, kinds = (found[0][0], found[1][0]), (found[0][1], found[1][1])
        elif folded[0] in UNNAMED and len(names) > 2 and not any(map(is_number, folded[1:3])):
            ends = (1, 2)
        else:
            return None
    return Roles(*ends, weight_by_name(names, ends), index, kinds)


def weight_by_name(names: Sequence[str], ends: tuple[int, int]) -> int | None:
    """Place of the first column that is called as weights are, and is no end."""
    places = range(len(names))
    known = (place for place in places if lowered(names[place]) in WEIGHTS and place not in ends)
    return next(known, None)


def plain_roles(names: Sequence[str]) -> Roles | None:
    """Which columns are the ends, by name, and no others; None if the names say nothing."""
    ends = _known_ends(names)
    return None if ends is None else Roles(*ends)


def _known_ends(names: Sequence[str]) -> tuple[int, int] | None:
    """Places of the two columns by the names that edge lists are known by."""
    folded = [lowered(name) for name in names]
    for first, second in ENDS:
        if folded.count(first) == 1 == folded.count(second):
            return folded.index(first), folded.index(second)
    return None


def is_row_id(name: str) -> bool:
    """Whether a column is called as those are that number the rows.

    >>> is_row_id("Edge ID"), is_row_id("Unnamed: 0"), is_row_id("user_id")
    (True, True, False)
    """
    return lowered(name) in UNNAMED or re.sub(r"[^a-z0-9]", "", name.lower()) in ROW_IDS


def lowered(name: str) -> str:
    """A column's name as names are compared."""
    return name.strip().lower()


def _kind(name: str) -> str:
    """The kind of node that a column's name says, without a final id: user, of userId."""
    return name.removesuffix("id").rstrip("_- ")


def kinds_of_header(first: str, second: str) -> Kinds:
    """What the user's two kinds of nodes are called: as their columns are, if they have names."""
    kinds = (_kind(lowered(first)).replace(":", " "), _kind(lowered(second)).replace(":", " "))
    if kinds[0] == kinds[1] or any(not kind or is_number(kind) for kind in kinds):
        return LEFT_RIGHT
    return kinds
