"""Studies on other data than their own: the same rows and recipes, in a folder of their own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aelab
import aelab.studies.study
from aelab.cli.verbs import main
from aelab.data.input_sets import InputDataset
from aelab.data.loading import LOADERS
from aelab.files import InputError, MissingFileError
from aelab.studies.asked import CompareOptions
from aelab.studies.compare import compare
from aelab.studies.elsewhere import on_classes, on_data
from aelab.studies.results import Results
from aelab.studies.study import Study, load_study, packaged_studies, parse_study

MIXED = """
title = "Three kinds"
metrics = ["reconstruction"]
[data]
name = "tiny"
features = "nodes.csv"
[recipe]
epochs = 0
[rows.mean]
published = { mse = 0.1 }
[rows.convolutional]
"""
WITH_LINKS = MIXED + "[rows.gae]"


def table(path: Path) -> Path:
    random = np.random.default_rng(0)
    rows = [",".join(f"{value:.4f}" for value in random.normal(size=4)) for _ in range(60)]
    path.write_text("\n".join(["a,b,c,d", *rows]))
    return path


@pytest.mark.parametrize("name", packaged_studies())
def test_every_packaged_study_goes_elsewhere(name: str) -> None:
    study = load_study(name)
    other = on_data(study, "kmnist")
    assert other.name == f"{name}-kmnist"
    assert [row.name for row in other.rows] == [row.name for row in study.rows]
    for own, row in zip(study.rows, other.rows, strict=True):
        data = replace(row.settings.data, name=own.settings.data.name)
        assert replace(row.settings, data=data) == own.settings
        assert row.settings.data.name == "kmnist"
        assert not row.published


def test_a_study_on_its_own_data_is_itself() -> None:
    study = load_study("default")
    assert on_data(study, "fashion-mnist") is study


def test_paths_are_absolute_and_rows_of_tables_inputs(outside: Path) -> None:
    table(outside / "mine.csv")
    study = on_data(parse_study("mixed", WITH_LINKS), "mine.csv")
    assert study.name == "mixed-mine"
    datas = [row.settings.data for row in study.rows]
    assert {data.name for data in datas} == {str(outside / "mine.csv")}
    assert [data.rows for data in datas] == ["inputs", "inputs", "edges"]
    assert {data.features for data in datas} == {None}
    (outside / "photos").mkdir()
    assert on_data(load_study("default"), "photos/").name == "default-photos"


def test_other_options_go_with_it() -> None:
    options = CompareOptions(study="default", data="mnist", quick=True, time_budget="30s")
    assert options.chosen.name == "default-mnist-30s-quick"
    assert options.asked.data == "mnist"


def test_rows_for_other_data_fail_and_the_others_go_on(outside: Path) -> None:
    study = on_data(parse_study("mixed", MIXED), str(table(outside / "mine.csv")))
    told: list[Any] = []
    result = compare(study, out="runs", on_progress=lambda job, x: told.append((job.row, x)))
    assert list(result.runs) == ["mean"]
    assert result.errors.keys() == {"convolutional"}
    assert result.errors["convolutional"].startswith("convolutional over the network")
    assert "model of images" in result.errors["convolutional"]
    content = json.loads((outside / "runs" / "mixed-mine" / "results.json").read_text())
    assert Results.from_json(content).errors == result.errors
    assert content["title"] == "Three kinds (on mine instead)"
    (audits,) = content["audits"].values()
    assert audits["duplicates"]["found"] == "of 6 test inputs, 0 are training inputs to the byte"
    assert audits["duplicates"]["clean"]
    assert audits["pixels"]["clean"]
    assert [path.name for path in (outside / "runs" / "mixed-mine").glob("*/seed-0")] == ["seed-0"]


def test_data_for_no_row_are_refused(outside: Path) -> None:
    study = parse_study("mixed", MIXED)
    study = replace(study, rows=study.rows[-1:])
    with pytest.raises(InputError, match=r"row convolutional: convolutional over .* is a model of"):
        compare(on_data(study, str(table(outside / "mine.csv"))), out="runs")
    with pytest.raises(InputError, match=r"no data set 'minst' .* did you mean mnist"):
        compare(on_data(study, "minst"), out="runs")
    with pytest.raises(MissingFileError, match=r"nowhere\.csv does not exist"):
        compare(on_data(study, "nowhere.csv"), out="runs")
    assert not (outside / "runs").exists()


def test_a_row_of_another_kind_fails_with_its_line(outside: Path) -> None:
    study = parse_study("mixed", WITH_LINKS)
    result = compare(on_data(study, "digits"), out="runs")
    assert result.errors == {
        "gae": "gae is a model of the links of a graph, and digits is images; see --data"
    }
    assert list(result.runs) == ["mean", "convolutional"]


def one_by_one() -> Study:
    text = """
    each_class = ["cats", "dogs"]
    metrics = ["anomalies"]
    [data]
    name = "tiny"
    [recipe]
    epochs = 0
    [rows.mean]
    [rows.pca]
    hyperparameters = { latent_dim = 2 }
    """
    return parse_study("anomalies", text)


def test_a_study_class_by_class_takes_the_classes_that_there_are(
    tiny_blobs: InputDataset, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [row.name for row in on_classes(one_by_one(), ["a/b", "c", "d"]).rows]
    assert names == ["mean-a-b", "mean-c", "mean-d", "pca-a-b", "pca-c", "pca-d"]
    monkeypatch.setitem(LOADERS, "blobs", LOADERS["tiny"])
    result = compare(on_data(one_by_one(), "blobs"), out="runs")
    assert result.errors == {}
    classes = tiny_blobs.classes
    assert list(result.runs) == [f"{model}-{c}" for model in ("mean", "pca") for c in classes]
    wholes = [row.name for row in result.results.rows][-2:]
    assert wholes == ["mean, mean of 3", "pca, mean of 3"]


def test_a_study_on_its_own_data_still_tells_mistakes_first(
    tiny: InputDataset, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="row gae: gae is a model of the links of a graph"):
        compare(parse_study("mixed", WITH_LINKS), out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_from_the_command_line_and_from_python(
    outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (outside / "own.toml").write_text(MIXED)
    path = table(outside / "mine.csv")
    assert main(["compare", "own.toml", "--data", "mine.csv", "--no-report"]) == 1
    said = capsys.readouterr().err
    assert "aelab: row convolutional failed: convolutional over the network" in said
    content = json.loads((outside / "runs" / "own-mine" / "results.json").read_text())
    assert content["asked"]["data"] == "mine.csv"
    result = aelab.compare("own.toml", data=path, out="others")
    assert list(result.runs) == ["mean"]
    page = (outside / "others" / "own-mine" / "report.html").read_text()
    assert f"aelab compare own.toml --data {path}" in page
