"""The house stands: imports run downwards, and one list of models serves all."""

import ast
import inspect
from pathlib import Path

from docstring_parser import parse

import aelab
from aelab.models.zoo import ZOO, model_class

SOURCE = Path(aelab.__file__).parent
FLOORS = [
    ["cli"],
    ["report"],
    ["apps"],
    ["studies"],
    ["runs"],
    ["figures"],
    ["evaluate"],
    ["training"],
    ["models"],
    ["data"],
    ["settings"],
    ["machine", "files"],
]
"""From the top: each may import what stands below it, and within itself."""


def floor_of(module: str) -> int:
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else "files"  # `aelab` itself imports nothing at once
    return next(number for number, floor in enumerate(FLOORS) if name in floor)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aelab"):
            found |= {f"{node.module}.{alias.name}" if node.module == "aelab" else node.module
                      for alias in node.names}  # fmt: skip
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("aelab")}
    return found


def test_every_module_has_its_floor() -> None:
    names = {path.stem for path in SOURCE.glob("*.py") if path.stem != "__init__"}
    names |= {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert names == {name for floor in FLOORS for name in floor}


def test_imports_run_downwards() -> None:
    for path in SOURCE.rglob("*.py"):
        module = ".".join(("aelab", *path.relative_to(SOURCE).with_suffix("").parts))
        if module == "aelab.__init__":
            continue
        own = module.split(".")[1]
        for imported in imports(path):
            same = imported.split(".")[1:2] == [own]
            assert same or floor_of(imported) > floor_of(module), f"{module} imports {imported}"


def test_every_model_is_documented() -> None:
    for name in ZOO:
        found = model_class(name)
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
