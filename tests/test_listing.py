"""`aelab runs` and `aelab verify`: states of folders, and figures held against weights and data."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import aelab
from aelab.cli.verbs import main
from aelab.files import write_json
from aelab.runs.listing import listed
from aelab.runs.lock import locked


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, and the data that it was trained on."""
    folder = tmp_path_factory.mktemp("made")
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32))
    aelab.train("pca", folder / "x.npy", latent_dim=2, out=folder / "run")
    return folder


@pytest.fixture
def there(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "run", tmp_path / "runs" / "a")
    return tmp_path / "runs"


def state(folder: Path) -> tuple[str, str]:
    (one,) = listed(folder)
    return one.state, one.told


def test_a_finished_run_is_listed_with_its_size_and_age(there: Path) -> None:
    (one,) = listed(there)
    files = [path for path in (there / "a").rglob("*") if path.is_file()]
    assert (one.folder, one.kind, one.state, one.told) == (there / "a", "run", "finished", "pca")
    assert one.size == sum(path.stat().st_size for path in files)
    assert one.written == max(path.stat().st_mtime for path in files)


def test_a_run_without_weights_is_resumable(there: Path) -> None:
    (there / "a" / "model.safetensors").unlink()
    assert state(there) == ("resumable", "pca: no checkpoint yet, so it begins anew")


def test_a_run_that_is_not_measured_is_resumable(there: Path) -> None:
    (there / "a" / "metrics.json").unlink()
    assert state(there)[0] == "resumable"


def test_a_run_whose_lock_is_held_runs_and_a_dead_ones_does_not(there: Path) -> None:
    with locked(there / "a"):
        found, told = state(there)
        assert found == "running"
        assert f"process {os.getpid()} on " in told
        lock = json.loads((there / "a" / ".lock").read_text())
    (there / "a" / ".lock").write_text(json.dumps({**lock, "start": "1"}))
    assert state(there)[0] == "finished"


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "timings.json", ".lock"])
@pytest.mark.parametrize("content", [b"", b"[", b"[1]", b"{}", b"\xff", b"[" * 99_999])
def test_a_damaged_folder_is_listed_as_such(there: Path, name: str, content: bytes) -> None:
    shutil.copytree(there / "a", there / "b")
    (there / "a" / name).write_bytes(content)
    first, second = listed(there)
    assert second.state == "finished"
    # Of the timings, nothing but that they are there is asked.
    assert first.state == ("finished" if name == "timings.json" else "damaged")


def test_truncated_weights_are_damaged(there: Path) -> None:
    path = there / "a" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    assert state(there)[0] == "damaged"


def test_choices_and_studies_are_listed_with_what_failed(tmp_path: Path) -> None:
    trial = {"candidate": "vae", "error": "the loss is not finite"}
    content = {"purpose": {"goal": "codes"}, "trials": [trial]}
    (tmp_path / "a").mkdir()
    write_json(tmp_path / "a" / "choose.json", content)
    assert state(tmp_path) == (
        "failed",
        "for codes: 1 trials, 1 failed: the loss is not finite",
    )
    write_json(tmp_path / "a" / "choose.json", {**content, "trials": []})
    assert state(tmp_path)[0] == "resumable"


def test_the_list_is_plain_where_there_is_no_terminal(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", str(there)]) == 0
    folder, kind, found, size, *_ = capsys.readouterr().out.rstrip("\n").split("\t")
    assert (folder, kind, found) == (str(there / "a"), "run", "finished")
    assert int(size) > 1000
    assert main(["runs", str(there / "nowhere")]) == 2


def test_a_runs_figures_hold(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (there / "a" / "metrics.json").read_bytes()
    assert main(["verify", str(there / "a")]) == 0
    assert "hold, to the last bit" in capsys.readouterr().out
    assert (there / "a" / "metrics.json").read_bytes() == before


def test_a_figure_that_does_not_hold_is_told(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = there / "a" / "metrics.json"
    metrics = json.loads(path.read_text())
    write_json(path, {**metrics, "mse": metrics["mse"] * 2})
    assert main(["verify", str(there / "a")]) == 1
    told = capsys.readouterr().out
    assert "mse: recorded" in told
    assert "relative difference 0.5" in told
    assert "1 of " in told


def test_weights_of_another_run_and_missing_data_are_one_line(
    there: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((there / "a" / "config.json").read_text())
    config["data"]["name"] = str(made / "elsewhere.npy")
    write_json(there / "a" / "config.json", config)
    assert main(["verify", str(there / "a")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
