"""What a run says of its own training at its end."""

import json
from pathlib import Path

import pytest
import torch

import aelab
from aelab.cli import main
from aelab.data.input_sets import InputDataset
from aelab.runs.advice import advice, still_falling


def told(run: aelab.Run) -> str:
    return "\n".join(advice(run))


def test_the_mean_is_the_training_inputs() -> None:
    digits = aelab.load_data("digits")
    assert isinstance(digits, InputDataset)
    train, test = (
        digits.split(name).batch(torch.arange(len(digits.split(name))))
        for name in ("train", "test")
    )
    run = aelab.train("pca", "digits", latent_dim=4)
    error = (test - train.mean(0)).square().mean().item()
    assert run.metrics["mean_mse"] == pytest.approx(error, rel=1e-5)
    assert aelab.train("mean", "digits").metrics["mse"] == pytest.approx(error, rel=1e-5)
    assert not told(run)


def test_a_model_that_learnt_nothing_says_so() -> None:
    run = aelab.train("vae", "digits", epochs=0.02, learning_rate=1e-6, initialisation="random")
    assert run.metrics["mse"] >= run.metrics["mean_mse"]
    assert "is not below that of the mean input" in told(run)


def test_a_model_that_pca_beats_says_so() -> None:
    options = {"initialisation": "random", "epochs": 15, "latent_dim": 20, "hidden": (8,)}
    run = aelab.train("multilayer", "digits", **options)
    assert run.metrics["pca_mse"] < run.metrics["mse"] < run.metrics["mean_mse"]
    assert "PCA with as many numbers does better" in told(run)
    assert "wider --hidden layers" in told(run)


def test_a_code_that_says_nothing_is_told() -> None:
    run = aelab.train("vae", "digits", latent_dim=2, hidden=(16,), epochs=20, beta=100.0)
    assert run.metrics["kl"] < 0.05
    assert "KL" in told(run)
    assert "--beta" in told(run)


def test_a_good_run_says_nothing() -> None:
    run = aelab.train("multilayer", "digits", latent_dim=8, epochs=25)
    assert run.metrics["pca_share"] < 1
    assert not told(run)


@pytest.mark.parametrize(
    ("errors", "falling"),
    [
        ([1.0 - 0.04 * i for i in range(20)], True),
        ([1 / (1 + i) for i in range(100)], True),
        ([0.5 + 0.5 * 0.7**i for i in range(40)], False),
        ([*(1 - 0.05 * i for i in range(10)), *[0.6] * 10], False),
        ([1.0, 0.5], False),
    ],
)
def test_an_error_that_was_still_falling_is_known(
    tmp_path: Path, errors: list[float], falling: bool
) -> None:
    lines = [json.dumps({"epoch": i, "validation": {"mse": e}}) for i, e in enumerate(errors)]
    (tmp_path / "history.jsonl").write_text("\n".join(lines))
    assert still_falling(tmp_path / "history.jsonl") == falling


def test_it_is_the_last_that_train_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--epochs", "0.02", "--learning-rate", "1e-6", "--initialisation", "random"]
    out = ["--out", str(tmp_path / "run")]
    assert main(["train", "vae", "--data", "digits", *few, *out]) == 0
    assert "is not below that of the mean input" in capsys.readouterr().err.splitlines()[-1]
