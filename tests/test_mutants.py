"""Mutants are what they are meant to be: their list applies, and a mistake is told from none."""

import tomllib
from pathlib import Path

import pytest

from mutants.by_hand import LIST, NoLongerAppliesError, applied, by_hand
from mutants.runner import Mutant, run

ROOT = Path(__file__).parents[1]
MODULES = tomllib.loads((ROOT / "tests/mutants/modules.toml").read_text())["module"]


def test_every_mistake_by_hand_still_applies() -> None:
    mutants = by_hand(ROOT)
    assert len(mutants) == len({mutant.name for mutant in mutants}) > 0
    for mutant in mutants:
        assert mutant.source != (ROOT / mutant.file).read_text(), mutant.name
        compile(mutant.source, mutant.file, "exec")
        assert (ROOT / mutant.tests.split()[0]).is_file(), mutant.name


@pytest.mark.parametrize(("text", "times"), [("a = 1", 0), ("a = 2\nb = 2", 2)])
def test_an_old_text_that_is_not_there_once_is_an_error(
    tmp_path: Path, text: str, times: int
) -> None:
    (tmp_path / "toy.py").write_text(text)
    entry = {"name": "a mistake", "file": "toy.py", "old": "= 2", "new": "= 3", "tests": ""}
    with pytest.raises(NoLongerAppliesError, match=f"{LIST.name}: a mistake: .* {times} times"):
        applied(entry, tmp_path)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module["name"])
def test_a_modules_files_and_tests_are_there(module: dict[str, object]) -> None:
    assert isinstance(module["files"], list)
    assert isinstance(module["tests"], str)
    for file in (*module["files"], *module["tests"].split()):
        assert (ROOT / file).is_file(), file


@pytest.mark.slow
def test_the_tests_of_a_mutant_tell_whether_it_lives(tmp_path: Path) -> None:
    root = tmp_path / "project"
    for folder in ("src", "tests"):
        (root / folder).mkdir(parents=True)
    right = "def larger(a, b):\n    return a if a > b else b\n"
    (root / "src/toy.py").write_text(right)
    (root / "tests/test_toy.py").write_text(
        "from toy import larger\n\ndef test_larger():\n    assert larger(1, 2) == 2\n"
    )
    (root / "tests/test_never.py").write_text("def test_never():\n    assert False\n")
    mutants = {
        "wrong": (right.replace(">", "<"), "tests/test_toy.py", "killed"),
        "the same": (right.replace(">", ">="), "tests/test_toy.py", "survived"),
        "no Python": ("def", "tests/test_toy.py", "killed"),
        "without tests that pass": (right, "tests/test_never.py", "not run"),
    }
    given = [
        Mutant("toy", name, "src/toy.py", source, tests)
        for name, (source, tests, _) in mutants.items()
    ]
    found = {mutant.name: outcome for mutant, outcome in run(root, given)}
    assert found == {name: outcome for name, (_, _, outcome) in mutants.items()}
    assert (root / "src/toy.py").read_text() == right


def test_what_is_accepted_is_in_the_source_and_has_a_reason() -> None:
    for entry in tomllib.loads((ROOT / "tests/mutants/accepted.toml").read_text())["accepted"]:
        source = (ROOT / entry["file"]).read_text()
        removed = [line[1:] for line in entry["change"].splitlines() if line.startswith("-")]
        assert removed, entry["file"]
        assert "\n".join(removed) in source, entry["change"]
        assert entry["why"]
