"""What is not finite is refused as a setting, and left empty and told of as a figure."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import aelab
from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.evaluate.codes import accuracies
from aelab.evaluate.finite import recorded, told
from aelab.evaluate.importance import mean_and_error
from aelab.evaluate.links import auc, average_precision, precision_recall, roc
from aelab.evaluate.protocol import Validation, evaluate
from aelab.figures.style import link_curves
from aelab.files import AelabError, InputError, read_json
from aelab.models.contract import Autoencoder
from aelab.models.priors.fitted_mixture import FittedMixture
from aelab.models.sampling import fit_prior
from aelab.models.zoo import build
from aelab.runs.lock import LOCK
from aelab.runs.record import describe
from aelab.runs.store import Run
from aelab.runs.train import train_run
from aelab.settings import Recipe, RunSettings
from aelab.studies.study import parse_study
from test_cli import FAST, ends_with

SPOILT = '''
import torch
from aelab.models.zoo import build
from aelab.models.contract import Autoencoder
from aelab.figures.style import link_curves


class Spoilt(Autoencoder):
    """Trained, it gives some inputs codes, or reconstructions, that are not finite.

    Args:
        part: Which.
        value: What it gives.
    """

    code_size = 2

    def __init__(self, spec, *, part: str = "decode", value: str = "nan"):
        super().__init__(spec)
        self.gain = torch.nn.Parameter(torch.tensor(1.0))
        self.part, self.value = part, float(value)

    def spoil(self, y, part):
        wrong = y.flatten(1)[:, :1] > y.mean()
        wrong = wrong.reshape(-1, *[1] * (y.dim() - 1)) & (not self.training and part == self.part)
        return y.masked_fill(wrong, self.value)

    def encode(self, x):
        z = torch.stack([x.flatten(1).mean(1), x.flatten(1).std(1)], 1)
        return self.spoil(self.gain * z, "encode")

    def decode(self, z):
        return self.spoil(z[:, :1, None, None].expand(-1, *self.spec.shape), "decode")
'''


def strictly(path: Path) -> list[Any]:
    """The JSON of every line, where there is no NaN."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{path} holds {name}")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("decode", "nan"),
        pytest.param("decode", "inf", marks=pytest.mark.slow),
        ("encode", "nan"),
    ],
)
def test_a_run_whose_figures_are_not_finite_stays_usable(
    tiny: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str], part: str, value: str
) -> None:
    Path("spoilt_models.py").write_text(SPOILT)
    arguments = ["--part", part, "--value", value, "--out", "run"]
    ends_with(0, "train", "spoilt_models:Spoilt", *FAST, *arguments)
    lines = [line for line in capsys.readouterr().err.splitlines() if "not finite" in line]
    assert len(lines) == 2
    assert lines[0].startswith(f"aelab: run/metrics.json: mse is {value}, ")
    assert "left empty; likely because the model's outputs are larger" in lines[0]
    assert f"history.jsonl: epoch 1: validation_loss is {value}" in lines[1]
    metrics = read_json("run/metrics.json")
    assert metrics["mse"] is None
    assert metrics["not_finite"]["mse"] == value
    assert metrics["parameters"] == 1
    assert metrics["pca_mse"] > 0
    assert (metrics["probe"] is None) == (part == "encode")
    assert metrics["audits"]["side channel"]["clean"]
    (epoch,) = strictly(Path("run/history.jsonl"))
    assert epoch["validation_loss"] is None
    assert math.isfinite(epoch["losses"]["squared_error"])
    assert Run.open("run").model.gain.isfinite()
    # Figures of other groups add to them, and what was told of them before stays.
    ends_with(0, "evaluate", "run", "--metrics", "robustness")
    assert read_json("run/metrics.json")["not_finite"]["mse"] == value
    assert "mse is" in capsys.readouterr().err
    ends_with(0, "report", "run")


def test_a_study_with_figures_that_are_not_finite(
    tiny: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("spoilt_models.py").write_text(SPOILT)
    Path("mine.toml").write_text(
        'metrics = ["reconstruction"]\n[data]\nname = "tiny"\n[recipe]\nepochs = 1\n'
        "[rows.pca]\nhyperparameters = { latent_dim = 2 }\nrecipe = { epochs = 0 }\n"
        '[rows.spoilt]\nmodel = "spoilt_models:Spoilt"\n'
        '[questions.best]\nquestion = "Which?"\nmetric = "mse"\n'
        '[claims.ahead]\nclaim = "It is."\nmetric = "mse"\nbetter = "spoilt"\nthan = ["pca"]\n'
    )
    ends_with(0, "compare", "mine.toml")
    assert "spoilt/seed-0/metrics.json: mse is nan" in capsys.readouterr().err
    results = read_json("runs/mine/results.json")
    of = {row["row"]: row["metrics"]["mse"] for row in results["rows"]}
    assert of["spoilt"] == {"mean": None, "std": None, "values": [None]}
    assert of["pca"]["mean"] > 0
    assert results["claims"][0]["found"] == "spoilt has no MSE"


SETTINGS = RunSettings("vanilla", {"latent_dim": 3}, recipe=Recipe(epochs=3, batch_size=40))


@pytest.mark.parametrize(
    ("losses", "like"),
    [
        ([math.nan, 2.0, 3.0], [4.0, 2.0, 3.0]),
        ([2.0, -math.inf, 1.0], [2.0, 3.0, 1.0]),
        ([2.0, math.nan, 3.0], [1.0, 2.0, 3.0]),
        ([math.nan, math.inf, math.nan], [1.0, 2.0, 3.0]),
    ],
)
def test_an_epoch_whose_validation_loss_is_not_finite_is_the_worst(
    blobs: InputDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    losses: list[float],
    like: list[float],
) -> None:
    kept = []
    for number, told_ in enumerate((losses, like)):
        left = iter(told_)
        monkeypatch.setattr(
            "aelab.runs.resumable.validate",
            lambda *_, left=left: Validation(next(left), {"mse": 1.0}),
        )
        run = train_run(SETTINGS, blobs, tmp_path / str(number))
        kept.append((run.folder / "model.safetensors").read_bytes())
    assert kept[0] == kept[1]
    written = [epoch["validation_loss"] for epoch in strictly(tmp_path / "0" / "history.jsonl")]
    assert written == [loss if math.isfinite(loss) else None for loss in losses]


def test_a_measurement_that_is_not_finite_is_empty(
    blobs: InputDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = {"train_seconds": 1.0, "peak_memory_bytes": math.inf}
    monkeypatch.setattr("aelab.runs.resumable.Training.timings", lambda *_: measured)
    run = train_run(SETTINGS, blobs, tmp_path / "run")
    assert run.timings["peak_memory_bytes"] is None
    assert run.timings["train_seconds"] > 0
    assert any("timings.json: peak_memory_bytes is inf" in note for note in run.notes)


def test_weights_that_the_last_step_lost_are_told(
    blobs: InputDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of a step is of the weights before it."""
    settings = replace(SETTINGS, recipe=Recipe(epochs=1, batch_size=500))
    monkeypatch.setattr("aelab.training.loop.learning_rate", lambda *_: math.inf)
    with pytest.raises(AelabError, match=r"weights that are not finite: try a lower --learning-r"):
        train_run(settings, blobs, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert not (tmp_path / "run" / LOCK).exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_settings_must_be_finite(blobs: InputDataset, tmp_path: Path, value: float) -> None:
    settings = RunSettings("vae", {"beta": value})
    with pytest.raises(InputError, match=rf"model vae: beta must be finite, not {value}"):
        train_run(settings, blobs, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for name in ("epochs", "seconds", "learning_rate", "clip_norm"):
        with pytest.raises(ValueError, match=rf"{name} must be .*, not {value}"):
            Recipe(**{name: value})
    spec = replace(blobs.spec, low=value)
    splits = {name: replace(images, spec=spec) for name, images in blobs.splits.items()}
    with pytest.raises(InputError, match=rf"blobs: input: low must be finite, not {value}"):
        describe(RunSettings("vae"), replace(blobs, splits=splits))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hyperparameters = { beta = nan }", "beta must be finite, not nan"),
        ("recipe = { learning_rate = inf }", "rows: vae: recipe: learning_rate must be finite"),
        ("published = { mse = -inf }", "rows: vae: published: mse must be finite, not -inf"),
    ],
)
def test_a_study_with_settings_that_are_not_finite_is_refused(line: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_study("mine", f"[rows.vae]\n{line}\n")


@pytest.mark.parametrize("option", ["--learning-rate", "--beta", "--clip-norm", "--seconds"])
def test_options_that_are_not_finite_are_told_in_a_line(
    tiny: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    for value in ("nan", "inf"):
        ends_with(2, "train", "vae", *FAST, option, value, "--out", "run")
        printed = capsys.readouterr().err
        assert "Traceback" not in printed
        assert f"{option.strip('-').replace('-', '_')} must be" in printed
        assert f"not {value}" in printed
    assert not Path("run").exists()


def test_a_record_names_what_it_leaves_out_and_replaces_what_it_has_anew() -> None:
    first = recorded({"noisy_mse_0.1": math.nan, "by_class": {"a: b": math.inf}, "kl": 2.0})
    assert first == {
        "noisy_mse_0.1": None,
        "by_class": {"a: b": None},
        "kl": 2.0,
        "not_finite": {"noisy_mse_0.1": "nan", "by_class: a: b": "inf"},
    }
    second = recorded({"by_class": {"a: b": 3.0}, "recall": np.float64(math.nan)}, first)
    assert second["not_finite"] == {"noisy_mse_0.1": "nan", "recall": "nan"}
    assert (second["kl"], second["by_class"]) == (2.0, {"a: b": 3.0})
    lines = told("run", second)
    assert lines[0].startswith("run: noisy_mse_0.1 is nan: not finite, and left empty; likely bec")
    assert "the samples are not finite" in lines[1]
    assert told("run", recorded({"noisy_mse_0.1": 1.0, "recall": 1.0}, second)) == []


def test_an_error_of_one_image_is_told_as_such() -> None:
    _, error = mean_and_error([1.0], {0: 0.5})
    (line,) = told("run", recorded({"importance_error": error}))
    assert "importance_error is nan" in line
    assert "two images or more" in line


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_and_codes_that_are_not_finite_have_no_figure(value: float) -> None:
    scores, spoilt = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, value, 2.0])
    for pair in ((scores, spoilt), (spoilt, scores)):
        assert math.isnan(auc(*pair))
        assert math.isnan(average_precision(*pair))
        assert np.isnan([*roc(*pair), *precision_recall(*pair)]).all()
    y = torch.tensor([0, 1, 0])
    codes = spoilt[:, None]
    assert all(map(math.isnan, accuracies(codes, y, scores[:, None], y)))
    assert all(map(math.isnan, accuracies(scores[:, None], y, codes, y)))


def test_codes_are_told_apart_at_any_size() -> None:
    """Logistic regression standardises them, so that their scale is nothing to it."""
    z = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    y = (z[:, 0] > 0.3).long()
    small, large = (accuracies(scale * z, y, scale * z, y) for scale in (1.0, 2.0**110))
    assert large[0] == pytest.approx(small[0], abs=0.02)


class Apart(Autoencoder):
    """Codes of some inputs are as given."""

    code_size = 2

    def __init__(self, spec: InputSpec, share: float, value: float) -> None:
        super().__init__(spec)
        self.share, self.value = share, value
        self.weight = nn.Parameter(torch.ones(()))

    def encode(self, x: Tensor) -> Tensor:
        z = torch.stack([x.flatten(1).mean(1), x.flatten(1).amax(1)], 1)
        wrong = z[:, :1] <= z[:, 0].quantile(self.share)
        return z.masked_fill(wrong, self.value)

    def decode(self, z: Tensor) -> Tensor:
        return z[:, :1, None, None].expand(-1, *self.spec.shape)


def test_a_prior_is_fitted_to_the_codes_that_are_finite(blobs: InputDataset) -> None:
    prior = FittedMixture(2)
    fit_prior(prior, Apart(blobs.spec, 0.3, math.nan), blobs.split("train"))
    assert all(tensor.isfinite().all() for tensor in prior.tensors().values())
    with pytest.raises(InputError, match="no training input has a finite code"):
        fit_prior(prior, Apart(blobs.spec, 1.0, math.nan), blobs.split("train"))


def test_samples_that_are_not_finite_have_no_figure(
    slice_of_fashion: InputDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Apart(slice_of_fashion.spec, 0.0, 0.0)
    prior = FittedMixture(2)
    fit_prior(prior, model, slice_of_fashion.split("train"))
    prior.mean *= math.nan
    figures = evaluate(model, slice_of_fashion, "test", ["samples"], prior=prior)
    for name in ("frechet", "precision", "recall", "nearest"):
        assert not math.isfinite(figures[name]), name
    assert math.isfinite(figures["frechet_floor"])


def test_curves_of_scores_that_are_not_finite_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = (torch.tensor([math.nan, 1.0]), torch.tensor([0.0, 1.0]))
    monkeypatch.setattr("aelab.figures.style.split_scores", lambda *_: scores)
    karate = aelab.load_data("karate", seed=0)
    figure = link_curves({"gae": build("gae", karate.spec)}, karate, "test")
    drawn = [axes.lines[0].get_xydata() for axes in figure.axes]
    assert np.isnan(drawn).all()
