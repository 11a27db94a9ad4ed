"""Training that goes on from another run's weights."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aelab.cli.verbs import parse
from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.files import InputError
from aelab.runs.store import Run
from aelab.runs.train import train_run
from aelab.settings import Recipe, RunSettings
from aelab.studies.asked import train_options, training
from test_cli import FAST, ends_with
from test_runs import KilledError, stop_after

RECIPE = Recipe(epochs=2, batch_size=32, learning_rate=1e-2)
SETTINGS = RunSettings("vae", {"latent_dim": 3, "hidden": [20]}, recipe=RECIPE)


@pytest.fixture
def first(blobs: InputDataset, tmp_path: Path) -> Run:
    return train_run(SETTINGS, blobs.only(["small"]), tmp_path / "first")


def test_no_training_leaves_the_weights_as_they_were(
    blobs: InputDataset, first: Run, tmp_path: Path
) -> None:
    """Nor does the fitted variance begin anew, which the model's own start would set."""
    settings = replace(SETTINGS, recipe=replace(RECIPE, learning_rate=1e-30), seed=5)
    train_run(settings, blobs, tmp_path / "second", start=first)
    before, after = first.model.state_dict(), Run.open(tmp_path / "second").model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_it_starts_lower_and_is_recorded(blobs: InputDataset, first: Run, tmp_path: Path) -> None:
    small = blobs.only(["small"])
    second = train_run(SETTINGS, small, tmp_path / "second", start=first)
    anew = train_run(SETTINGS, small, tmp_path / "anew")
    losses = [
        json.loads((run.folder / "history.jsonl").read_text().splitlines()[0])["validation_loss"]
        for run in (second, anew)
    ]
    assert losses[0] < losses[1]
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    assert config["start"] == first.weights_sha256
    assert len(config["start"]) == 64
    assert Run.open(tmp_path / "second").settings.start == first.weights_sha256
    with pytest.raises(InputError, match="holds a run with other settings"):
        train_run(SETTINGS, small, tmp_path / "second")


def test_a_run_older_than_a_hyperparameter_has_its_default(first: Run) -> None:
    older = {k: v for k, v in first.config["hyperparameters"].items() if k != "components"}
    settings = Run(first.folder, {**first.config, "hyperparameters": older}).settings
    asked = parse(train_options(first.blueprint, settings), "train", [], None)
    assert training(first.blueprint, asked)[0].hyperparameters["components"] is None


@pytest.mark.parametrize("reports", [3, 6])
def test_killed_it_goes_on_to_the_same_bytes(
    blobs: InputDataset, first: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reports: int
) -> None:
    monkeypatch.setattr("aelab.runs.resumable.CHECKPOINT_SECONDS", 0.0)
    train_run(SETTINGS, blobs, tmp_path / "whole", start=first)
    with pytest.raises(KilledError):
        train_run(
            SETTINGS, blobs, tmp_path / "killed", start=first, on_progress=stop_after(reports)
        )
    train_run(SETTINGS, blobs, tmp_path / "killed", start=first)
    for name in ("config.json", "model.safetensors", "history.jsonl", "metrics.json"):
        whole, killed = ((tmp_path / run / name).read_bytes() for run in ("whole", "killed"))
        assert whole == killed, name


def test_a_run_that_does_not_fit_is_refused(
    blobs: InputDataset, first: Run, tmp_path: Path
) -> None:
    other = replace(
        blobs,
        splits={
            name: replace(of, values=of.values[:, :, :, :8], spec=InputSpec((1, 12, 8)))
            for name, of in blobs.splits.items()
        },
    )
    pca = train_run(
        RunSettings("pca", {"latent_dim": 3}, recipe=Recipe(epochs=0)), blobs, tmp_path / "pca"
    )
    cases = [
        (replace(SETTINGS, model="conv-vae", hyperparameters={}), blobs, first, "is a vae, not a"),
        (
            SETTINGS,
            other,
            first,
            "takes inputs of shape 1×12×10, from 0 to 1; blobs has inputs of shape 1×12×8",
        ),
        (replace(SETTINGS, hyperparameters={}), blobs, first, "weights of other shapes"),
        (pca.settings, blobs, pca, "has no weights to train on from"),
    ]
    for settings, data, start, said in cases:
        with pytest.raises(InputError, match=said):
            train_run(settings, data, tmp_path / "new", start=start)
    assert not (tmp_path / "new").exists()


def test_its_settings_are_the_defaults_of_the_command_line(
    tiny_blobs: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(0, "train", "vae", *FAST, "--hidden", "20", "--latent-dim", "4", "--out", "first")
    ends_with(0, "train", "vae", "--from", "first", "--classes", "small", "--out", "second")
    first, second = (
        json.loads(Path(run, "config.json").read_text()) for run in ("first", "second")
    )
    for key in ("hyperparameters", "recipe"):
        assert first[key] == second[key]
    assert second["data"] == {**first["data"], "classes": ["small"]}
    capsys.readouterr()
    ends_with(2, "train", "vanilla", "--from", "first", "--data", "tiny")
    assert "first is a vae, not a vanilla" in capsys.readouterr().err
    ends_with(2, "train", "vae", "--from", "nowhere")
    assert "nowhere is no run" in capsys.readouterr().err
