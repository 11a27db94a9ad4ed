"""The house stands: imports run downwards, and one list of models serves all."""

import ast
import inspect
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from docstring_parser import parse

import aelab
from aelab.models.zoo import ZOO, resolve

SOURCE = Path(aelab.__file__).parent
DOCUMENT = Path(__file__).parents[1] / "docs" / "architecture.md"
ROOMS = re.findall(
    r"^\| \[`(\w+)`\]\(\.\./src/aelab/", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE
)
"""From the top: each may import what stands below it, and within itself."""

MOST_ROOMS, MOST_ARROWS, MOST_LINES = 16, 90, 400

MODULES = {
    ".".join(("aelab", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in SOURCE.rglob("*.py")
}


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it: in functions, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: write imports in full"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.partition(".")[0] == "aelab"}


IMPORTS = {module: imports(path) for module, path in MODULES.items()}


def room_of(module: str) -> str:
    """The room that a module is in; of the package itself, which is above them all, none."""
    return module.split(".")[1] if "." in module.removesuffix(".__main__") else ""


def test_every_module_has_its_room() -> None:
    assert sorted(ROOMS) == sorted({room_of(module) for module in MODULES} - {""})
    assert len(ROOMS) <= MOST_ROOMS


def test_imports_run_downwards() -> None:
    order = {room: number for number, room in enumerate(ROOMS)}
    for module, imported in IMPORTS.items():
        for other in imported if room_of(module) else ():
            assert room_of(other), f"{module} imports the package itself"
            assert order[room_of(other)] >= order[room_of(module)], f"{module} imports {other}"


def test_no_files_import_each_other_by_any_way() -> None:
    # A circle would be a CycleError, which names the modules on it.
    order = list(TopologicalSorter(IMPORTS).static_order())
    assert order.index("aelab.files") < order.index("aelab.cli.verbs")


def test_rooms_know_few_others() -> None:
    pairs = {(room_of(module), room_of(other)) for module, of in IMPORTS.items() for other in of}
    arrows = {pair for pair in pairs if pair[0] != pair[1] and all(pair)}
    assert len(arrows) <= MOST_ARROWS, sorted(arrows)


@pytest.mark.parametrize("module", MODULES)
def test_no_file_is_long(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_every_model_is_documented() -> None:
    for name in ZOO:
        found = resolve(name).model
        assert "``" in (found.__doc__ or ""), f"{name}: no formula"
        documented = {parameter.arg_name for parameter in parse(found.__doc__ or "").params}
        names = set(inspect.signature(found).parameters)
        assert documented == names, name


UNSAFE = {
    "torch.load", "torch.save", "pickle.load", "pickle.loads", "joblib.load", "eval", "exec"
}  # fmt: skip


def test_nothing_is_unpickled() -> None:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in UNSAFE, path
