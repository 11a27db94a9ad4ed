"""The documents name every column and every model, no others, and their links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aelab.evaluate.columns import METRICS
from aelab.models.zoo import ZOO

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
MODELS = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
LIKELIHOODS = ("gaussian", "bernoulli", "continuous_bernoulli", "mixed")


def explained_columns() -> Iterator[str]:
    """The names that an item of a list begins with; a * stands for the likelihoods after it."""
    for item in re.findall(r"^- ((?:`[^`]+`[, (]*)+)", PROTOCOL, flags=re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", item)
        if first.endswith("_*"):
            yield from (first.replace("*", name) for name in others)
        else:
            yield from (first, *others)


def sections() -> dict[str, str]:
    """What stands below each heading that is a model's name."""
    parts = re.split(r"^#+ (.+)$", MODELS, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {heading.strip("`"): text for heading, text in pairs if heading.startswith("`")}


def anchors(document: Path) -> set[str]:
    """What a link's #part may name: the headings in small letters, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_column_is_explained_once() -> None:
    assert sorted(explained_columns()) == sorted(METRICS)


def test_every_column_says_what_must_not_be_concluded() -> None:
    items = re.split(r"^- `", PROTOCOL, flags=re.MULTILINE)[1:]
    for item in items:
        assert "*Not:*" in re.split(r"\n\n|\n- ", item)[0], item.splitlines()[0]


def test_headings_name_every_model_and_no_other() -> None:
    headings = re.findall(r"^#+ `(.+)`$", MODELS, flags=re.MULTILINE)
    assert sorted(headings) == sorted(ZOO)


@pytest.mark.parametrize("name", ZOO)
def test_a_model_stands_with_its_source_and_its_file(name: str) -> None:
    entry, told = ZOO[name], sections()[name]
    assert entry.path.partition(":")[0].replace(".", "/") + ".py" in told
    for number in re.findall(r"\d{4}\.\d{4,5}", entry.source):
        assert number in told


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, part = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not part or part in anchors(target), link
