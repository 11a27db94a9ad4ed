"""The documentation's pages run as they stand, and here with as little training as can be."""

import re
from pathlib import Path

import pytest
import torch

from aelab.cli import main
from aelab.studies.study import load_study, parse_study
from documents import ROOT, Document

QUICK = ("README.md", "docs/first.md", "docs/signals.md", "docs/choose.md")
"""Pages that stand for all: of images and of numbers, from Python and from the command line."""

PAGES = (
    *QUICK,
    "docs/my-images.md",
    "docs/my-table.md",
    "docs/anomalies.md",
    "docs/links.md",
    "docs/classifier.md",
    "docs/own.md",
)
LONG = ("docs/commands.md", "docs/studies.md")
LESSONS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/lessons").glob("*.md"))
SHELL = ("sh", "console")


@pytest.mark.parametrize("page", QUICK)
def test_a_page_runs(page: str, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(outside))
    Document(page).run()


@pytest.mark.slow
@pytest.mark.parametrize("page", [*PAGES, *LONG, *LESSONS])
def test_a_page_runs_in_full(page: str, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(outside))
    Document(page).run(shortened=False)


def test_what_the_page_on_python_says(outside: Path) -> None:
    names = Document("docs/python.md").run().names
    assert names["z"].shape == (100, 8)
    assert names["x"].shape == names["x_hat"].shape == (100, 1, 8, 8)
    assert torch.equal(names["same"], names["x_hat"])
    assert names["new"].shape == (16, 1, 8, 8)
    assert names["page"].is_file()
    assert torch.equal(names["again"].encode(names["x"]), names["kept"].encode(names["x"]))


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_studies_of_a_lesson_can_be_read(lesson: str) -> None:
    for language, block in Document(lesson).blocks:
        if language == "toml":
            assert len(parse_study("lesson", block).rows) > 1


@pytest.mark.parametrize("page", [*PAGES, *LONG, *LESSONS])
def test_every_command_is_a_verb_and_every_study_is_known(
    page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--help"])
    verbs = set(re.findall(r"^  (\w+)", capsys.readouterr().out, flags=re.MULTILINE))
    document = Document(page)
    shell = "\n".join(block for language, block in document.blocks if language in SHELL)
    assert set(re.findall(r"^aelab (\w+)", shell, flags=re.MULTILINE)) <= verbs
    for study in re.findall(r"^aelab compare ([\w-]+)(?:\s|$)", shell, flags=re.MULTILINE):
        assert study == "adbench" or load_study(study).rows


def test_every_page_is_in_a_table_of_contents() -> None:
    docs = ROOT / "docs"
    listed = set()
    for index in (docs / "index.md", docs / "lessons/index.md"):
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", index.read_text("utf-8"), re.DOTALL):
            names = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed |= {index.parent / f"{name}.md" for name in names}
    assert listed | {docs / "index.md"} == set(docs.rglob("*.md"))


def test_the_packaged_studies_are_on_their_page() -> None:
    [listed] = [
        block for language, block in Document("docs/studies.md").blocks if language == "console"
    ]
    packaged = {path.stem for path in (ROOT / "src/aelab/studies/packaged").glob("*.toml")}
    assert set(re.findall(r"^aelab compare ([\w-]+)", listed, re.MULTILINE)) == {
        *packaged,
        "adbench",
    }
