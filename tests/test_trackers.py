"""TensorBoard's and MLflow's own readers find what a run's folder says."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import aelab
from aelab.api import TrainedRun
from aelab.cli.verbs import main
from aelab.exports import trackers
from aelab.files import InputError

FEW: dict[str, Any] = {"latent_dim": 3, "hidden": (8,), "epochs": 2, "quiet": True}


def history(run: TrainedRun) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "history.jsonl").read_text().splitlines()]


def test_tensorboard_reads_what_the_folder_says(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = aelab.train("vae", "digits", out=tmp_path / "run", track=["tensorboard"], **FEW)
    # A second call finds the run finished, and writes it anew: nothing is there twice.
    aelab.train("vae", "digits", out=tmp_path / "run", track=["tensorboard"], **FEW)
    found = EventAccumulator(str(run.folder / "tensorboard"), purge_orphaned_data=True)
    found.Reload()
    told = history(run)
    events = found.Scalars("validation/mse")
    assert [event.step for event in events[-2:]] == [1, 2]
    assert [event.value for event in events[-2:]] == pytest.approx(
        [past["validation"]["mse"] for past in told]
    )
    assert [event.value for event in found.Scalars("train/kl")[-2:]] == pytest.approx(
        [past["losses"]["kl"] for past in told]
    )
    assert found.Scalars("figures/mse")[-1].value == pytest.approx(run.metrics["mse"])
    assert set(found.Tags()["images"]) == {"reconstructions", "samples"}
    [text] = [tag for tag in found.Tags()["tensors"] if tag.startswith("settings")]
    assert b'"latent_dim": 3' in found.Tensors(text)[-1].tensor_proto.string_val[0]


def test_mlflow_reads_what_the_folder_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    from mlflow import MlflowClient

    run = aelab.train("vae", "digits", out=tmp_path / "run", track=["mlflow"], **FEW)
    client = MlflowClient()
    experiment = client.get_experiment_by_name("aelab")
    assert experiment is not None
    [found] = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    measured = client.get_metric_history(found.info.run_id, "validation/mse")
    assert [(m.step, m.value) for m in measured] == [
        (number, past["validation"]["mse"]) for number, past in enumerate(history(run), start=1)
    ]
    assert found.data.metrics["figures/mse"] == run.metrics["mse"]
    assert found.data.params["hyperparameters/latent_dim"] == "3"
    held = {artifact.path for artifact in client.list_artifacts(found.info.run_id)}
    assert held == {"config.json", "reconstructions.png", "samples.png"}


class Failing(trackers.TensorBoard):
    """Fails at the second epoch, and then cannot even be closed."""

    def __init__(self, folder: Path, epoch: int) -> None:
        self.calls = 0

    def close(self, *, finished: bool) -> None:
        raise OSError("still full")

    def numbers(self, values: Any, epoch: int) -> None:
        self.calls += 1
        if self.calls == 2:
            raise OSError("the disk is full\nand so on")


def test_a_tracker_that_fails_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(trackers.TRACKERS, "tensorboard", Failing)
    monkeypatch.setattr(trackers, "refuse_absent", lambda names: None)
    words = "train vae --data digits --latent-dim 3 --hidden 8 --epochs 3 --track tensorboard"
    assert main([*words.split(), "--out", str(tmp_path / "run")]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "tensorboard" in line]
    assert told == ["tensorboard failed, and nothing more is written there: the disk is full"]
    plain = aelab.train(
        "vae", "digits", latent_dim=3, hidden=(8,), epochs=3, quiet=True, out=tmp_path / "plain"
    )
    assert aelab.load(tmp_path / "run").weights_sha256 == plain.weights_sha256


def test_a_tracker_that_is_not_installed_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match=r"pip install 'aelab\[mlflow\]'"):
        aelab.train("pca", "digits", out=tmp_path / "run", track=["mlflow"])
    assert not (tmp_path / "run").exists()
