"""The README's examples run as they stand, on few images."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from aelab.cli.verbs import main
from aelab.data.input_sets import InputDataset
from aelab.studies.asked import CompareOptions
from aelab.studies.study import parse_study

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python_use(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training, comparing = (b for b in blocks("python") if "aelab.train" in b or "compare(" in b)
    names: dict[str, Any] = {}
    exec(training.replace("epochs=20", "epochs=1"), names)
    assert names["z"].shape == (100, 8)
    assert names["x"].shape == names["x_hat"].shape == (100, 1, 8, 8)
    assert torch.equal(names["same"], names["x_hat"])
    assert names["new"].shape == (16, 1, 8, 8)
    assert names["page"].is_file()
    assert torch.equal(names["again"].encode(names["x"]), names["kept"].encode(names["x"]))
    asked: list[CompareOptions] = []
    monkeypatch.setattr("aelab.api.comparing.compare_asked", asked.append)
    monkeypatch.setattr("aelab.api.comparing.write_page", lambda result, options: None)
    exec(comparing, names)
    assert asked == [CompareOptions(study="default", quick=True, seeds=(0, 1, 2))]


def test_a_model_of_ones_own(
    tiny: InputDataset, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = next(block for block in blocks("python") if "class Mine" in block)
    Path("my_models.py").write_text(code)
    monkeypatch.syspath_prepend(str(outside))
    arguments = "train my_models:Mine --width 8 --data tiny --epochs 1 --out run"
    assert main(arguments.split()) == 0
    assert json.loads(Path("run/metrics.json").read_text())["code_size"] == 8


def test_a_study_of_ones_own() -> None:
    study = parse_study("mine", blocks("toml")[0])
    assert [row.name for row in study.rows] == ["narrow", "wide"]


def test_links_of_the_karate_club(outside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = next(block for block in blocks("sh") if "karate" in block).splitlines()
    for line in lines[:2]:
        assert main(line.split("#")[0].split()[1:]) == 0
    assert "10 links: runs/karate/links.csv" in capsys.readouterr().out


def test_every_command_of_the_readme_is_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    verbs = set(re.findall(r"^  (\w+)", capsys.readouterr().out, flags=re.MULTILINE))
    used = set(re.findall(r"^aelab (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE))
    assert used <= verbs
