"""Mutants made by machine: mutmut's operators, applied to the modules of modules.toml.

mutmut's own runner is not used. It has no sample of fixed size, runs all tests for every module,
and puts its mutants into functions only: constants, such as the number of neighbours, and
functions with a decorator have none. cosmic-ray changes files in the checkout itself.
"""

import ast
import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

from mutants.runner import Mutant

LIST = Path(__file__).parent / "modules.toml"
SEED = 0

# Texts are mostly wording, which tests should not pin.
OPERATORS = [
    (kind, operator) for kind, operator in mutation_operators if operator != operator_string
]

# Neither changes what a correct program does: types, and checks that the program itself is right.
PASSED_OVER = (cst.Annotation, cst.Decorator, cst.Assert)
CHECK = "strict=True"


def modules() -> list[dict[str, Any]]:
    """The table of modules: the files of each, their tests, the size of the sample."""
    table: list[dict[str, Any]] = tomllib.loads(LIST.read_text())["module"]
    return table


def made(root: Path, module: dict[str, Any], everything: bool) -> list[Mutant]:
    """The sample of a module's mutants, or all."""
    places = [place for file in module["files"] for place in places_in(root, file)]
    found = (
        Mutant(module["name"], f"{place.file}:{place.line}", place.file, source, module["tests"])
        for place in spread(places)
        if (source := place.mutated()) is not None
    )
    return list(found if everything else islice(found, module["sample"]))


@dataclass(frozen=True, eq=False)
class Place:
    """A node of a file's syntax tree, and what to put there."""

    file: str
    line: int
    tree: cst.Module
    node: cst.CSTNode
    new: cst.CSTNode

    def mutated(self) -> str | None:
        """The file's text with the mistake; None if it is no Python then, or the same."""
        source = self.tree.deep_replace(self.node, self.new).code
        try:
            return None if ast.dump(ast.parse(source)) == self.dump() else source
        except SyntaxError:
            return None

    def dump(self) -> str:
        return ast.dump(ast.parse(self.tree.code))

    def key(self) -> str:
        """A random number that stays the same while the place does, whatever is around it."""
        texts = (self.tree.code_for_node(self.node), self.tree.code_for_node(self.new))
        return hashlib.sha256(repr((SEED, self.file, *texts)).encode()).hexdigest()

    def is_check(self) -> bool:
        """Only the strictness of a zip changes."""
        old, new = self.tree.code_for_node(self.node), self.tree.code_for_node(self.new)
        return old.count(CHECK) != new.count(CHECK)


def places_in(root: Path, file: str) -> list[Place]:
    """All places of a file where an operator makes a mistake."""
    wrapper = MetadataWrapper(cst.parse_module((root / file).read_text()))
    visitor = Places(file, wrapper.module)
    wrapper.visit(visitor)
    return [place for place in visitor.found if not place.is_check()]


class Places(cst.CSTVisitor):
    """Collects places while it goes through a file's syntax tree."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, file: str, tree: cst.Module) -> None:
        super().__init__()
        self.file, self.tree = file, tree
        self.found: list[Place] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, PASSED_OVER) or is_strictness(node):
            return False
        for kind, operator in OPERATORS:
            for new in operator(node) if isinstance(node, kind) else ():
                line = self.get_metadata(PositionProvider, node).start.line
                self.found.append(Place(self.file, line, self.tree, node, new))
        return True


def is_strictness(node: cst.CSTNode) -> bool:
    """The argument `strict` of a zip."""
    return isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value == "strict"


def spread(places: list[Place]) -> Iterator[Place]:
    """Places in a random order, in which no line comes twice before every line came once."""
    seen: Counter[tuple[str, int]] = Counter()
    rounds = []
    for place in sorted(places, key=lambda place: (place.key(), place.line)):
        rounds.append((seen[place.file, place.line], place))
        seen[place.file, place.line] += 1
    yield from (place for _, place in sorted(rounds, key=lambda turn: turn[0]))
