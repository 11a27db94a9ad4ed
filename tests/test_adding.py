"""What docs/architecture.md says that adding costs is what it costs, and is all that it takes."""

import ast
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.ipc
import pytest

import aelab

DOCUMENT = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
CHAPTER = DOCUMENT.partition("## What adding costs\n")[2]
SECTIONS = dict(re.findall(r"^### (.+)\n((?:.|\n)*?)(?=^### |\Z)", CHAPTER, flags=re.MULTILINE))
BLOCK = re.compile(r"^```(\w+)\n((?:.|\n)*?)^```$", flags=re.MULTILINE)
PLACE = re.compile(r"# ([\w/.]+)(?:, (in|above) (\w+))?\n")

AT_MOST = {
    "A kind of code": 2,
    "A network": 2,
    "A prior": 2,
    "A likelihood": 3,
    "A metric": 2,
    "A group of metrics": 3,
    "A reader of a file format": 3,
    "An option of the recipe": 1,
    "A verb": 3,
}


def blocks(section: str, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(SECTIONS[section]) if found == language]


def commands(section: str) -> list[str]:
    return [line for text in blocks(section, "sh") for line in text.splitlines()]


def put_in(root: Path, block: str) -> None:
    """Make the edit that a block of the document shows, below `root`."""
    place = PLACE.match(block)
    assert place is not None, block.splitlines()[0]
    path, content = root / place[1], block[place.end() :]
    if not place[2]:
        assert not path.exists(), f"{path} is there already"
        path.write_text(content, encoding="utf-8")
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    at = line_of("".join(lines), place[2], place[3])
    spaced = f"{content.rstrip()}\n\n\n" if place[2] == "above" else content
    path.write_text("".join([*lines[:at], spaced, *lines[at:]]), encoding="utf-8")


def line_of(source: str, where: str, name: str) -> int:
    """How many lines stand before what is put above `name`, or last into it."""
    [node] = [node for node in ast.parse(source).body if name in names_of(node)]
    if where == "above":
        decorators = getattr(node, "decorator_list", [])
        return min(one.lineno for one in [node, *decorators]) - 1
    if isinstance(node, ast.ClassDef):  # below its docstring
        return node.body[0].end_lineno or 0
    if isinstance(node, ast.FunctionDef):  # before it returns
        return node.body[-1].lineno - 1
    value = getattr(node, "value")  # noqa: B009 - of either kind of assignment
    table = next(one for one in ast.walk(value) if isinstance(one, ast.Dict | ast.Tuple))
    return (table.end_lineno or 0) - 1


def names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def run_all(lines: list[str]) -> list[tuple[int, str]]:
    """Run commands one after another in this process: their exit codes and what they print."""
    from aelab.cli import main

    outcomes = []
    for line in lines:
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            code = main(shlex.split(line)[1:])
        outcomes.append((code, told.getvalue()))
    return outcomes


class Outcome:
    """What came of the document's commands, run in `folder` with all of its edits made."""

    def __init__(self, folder: Path, printed: dict[str, tuple[int, str]]) -> None:
        self.folder, self.printed = folder, printed

    def table(self, path: str) -> Any:
        return json.loads((self.folder / path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    root, folder = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("work")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(aelab.__file__).parent, root / "src" / "aelab", ignore=ignored)
    for section in SECTIONS:
        for block in blocks(section, "python"):
            put_in(root, block)
        for block in blocks(section, "toml"):
            put_in(folder, block)
    for part in ("spherical", "networks/linear", "priors/double_exponential"):
        shutil.copy(root / "src" / "aelab" / "models" / f"{part}.py", folder)
    generator = np.random.default_rng(0)
    np.save(folder / "small.npy", generator.integers(256, size=(60, 8, 8), dtype=np.uint8))
    values = generator.normal(size=(60, 3))
    table = pyarrow.table({name: values[:, i] for i, name in enumerate("abc")})
    with pyarrow.ipc.new_file(folder / "table.arrow", table.schema) as file:
        file.write_table(table)
    lines = [line for section in SECTIONS for line in commands(section)]
    work = subprocess.run(
        [sys.executable, __file__, json.dumps(lines)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert work.returncode == 0, work.stderr
    return Outcome(folder, dict(zip(lines, json.loads(work.stdout), strict=True)))


def test_the_table_counts_the_places_of_each_example() -> None:
    table = re.findall(r"^\| (.+) \| (\d+) \|$", CHAPTER, flags=re.MULTILINE)
    told = {name: int(places) for name, places in table}
    assert told == {name: len(blocks(name, "python")) for name in SECTIONS}
    assert told.keys() == AT_MOST.keys()
    assert all(places <= AT_MOST[name] for name, places in told.items())


@pytest.mark.parametrize("section", [name for name in SECTIONS if commands(name)])
def test_the_commands_of_each_example_work(section: str, done: Outcome) -> None:
    for line in commands(section):
        code, told = done.printed[line]
        assert code == 0, f"{line}: {told}"


def test_a_kind_of_code_is_trained_over_two_networks(done: Outcome) -> None:
    for folder, network in (
        ("spherical", "dense"),
        ("spherical.SphericalAutoencoder", "convolutional"),
    ):
        assert done.table(f"runs/{folder}/seed-0/config.json")["network"] == network
        assert 0 < done.table(f"runs/{folder}/seed-0/metrics.json")["mse"] < 1


def test_a_network_brings_its_options(done: Outcome) -> None:
    assert done.table("runs/vae/seed-0/config.json")["hyperparameters"]["bias"] is False
    assert done.table("runs/sparse/seed-0/config.json")["network"] == "linear:LinearNetwork"


def test_samples_come_from_the_new_prior(done: Outcome) -> None:
    assert done.table("runs/laplace/config.json")["prior"] == "laplace"
    assert "Laplace(0, 1)" in done.printed["aelab sample runs/laplace --prior own"][1]


def test_a_likelihood_has_columns_of_its_own(done: Outcome) -> None:
    metrics = done.table("runs/laplace-likelihood/metrics.json")
    bound = metrics["reconstruction_laplace"] + metrics["kl"]
    assert metrics["negative_elbo_laplace"] == pytest.approx(bound)
    # No reconstruction of 64 pixels is likelier than a perfect one.
    assert metrics["reconstruction_laplace"] > -64 * np.log(5)


def test_metrics_stand_in_the_table_with_their_units(done: Outcome) -> None:
    [results] = (done.folder / "runs").glob("*/results.md")
    told = results.read_text(encoding="utf-8")
    assert "MAE" in told
    assert "pixel" in told
    assert "Lengths of codes" in told
    [content] = (done.folder / "runs").glob("*/results.json")
    found = json.loads(content.read_text(encoding="utf-8"))
    assert found["units"]["mae"] == "absolute error a pixel"
    rows = {row["row"]: row["metrics"] for row in found["rows"]}
    assert rows["spherical"]["code_length"]["mean"] == pytest.approx(1, abs=1e-5)
    for row in rows.values():  # a mean of numbers in [0, 1] is no less than that of their squares
        assert row["mse"]["mean"] < row["mae"]["mean"] < row["mse"]["mean"] ** 0.5


def test_a_new_format_is_trained_on_and_encoded(done: Outcome) -> None:
    assert done.table("runs/arrow/config.json")["data"]["name"].endswith("table.arrow")
    codes = (done.folder / "codes.csv").read_text(encoding="utf-8").splitlines()
    assert len(codes) == 1 + 60


def test_an_option_of_the_recipe_is_recorded(done: Outcome) -> None:
    assert done.table("runs/noted/config.json")["recipe"]["note"] == "a first try"
    assert done.table("runs/arrow/config.json")["recipe"]["note"] == ""


def test_a_verb_is_in_the_help_and_works(done: Outcome) -> None:
    assert re.search(r"^  weights +List the weights", done.printed["aelab --help"][1], re.MULTILINE)
    told = done.printed["aelab weights runs/noted --part to_code"][1]
    assert [line.split()[0] for line in told.splitlines()] == ["to_code.weight", "to_code.bias"]


if __name__ == "__main__":
    print(json.dumps(run_all(json.loads(sys.argv[1]))))
