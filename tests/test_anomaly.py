"""Anomaly scores against closed forms; the AUROC against a case done by hand."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

import aelab
from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.evaluate.anomaly import (
    anomaly_auroc,
    anomaly_scores,
    measure,
    metric_of,
    rival_aurocs,
)
from aelab.evaluate.rivals import RIVALS
from aelab.evaluate.subject import Subject
from aelab.files import InputError
from aelab.models.posterior import Gaussian
from aelab.models.priors.normal import Normal
from aelab.models.variational import Bound, LatentVariableModel
from aelab.models.zoo import build
from aelab.report.material import gather
from aelab.report.page import write_report
from aelab.runs.store import Run
from aelab.runs.train import train_run
from aelab.settings import DataSettings, Recipe, RunSettings
from aelab.studies.compare import compare
from aelab.studies.study import parse_study


class LinearGaussian(LatentVariableModel):
    """p(x | z) = N(W z, v), q(z | x) = N(0, s²): its bound is known in closed form."""

    def __init__(self, spec: InputSpec, weights: Tensor, std: float) -> None:
        size = weights.shape[1]
        bound = Bound("gaussian-fixed", variance=0.5, output="linear")
        super().__init__(spec, Normal(size), size, bound)
        self.weights = torch.nn.Parameter(weights)
        self.std = std

    def posterior(self, x: Tensor) -> Gaussian:
        mu = torch.zeros(len(x), self.latent_dim)
        return Gaussian(mu, torch.full_like(mu, 2 * math.log(self.std)))

    def decoder_output(self, z: Tensor) -> Tensor:
        return (z @ self.weights.T).unflatten(1, self.spec.shape)


def test_the_score_of_an_autoencoder_is_its_error(blobs: InputDataset) -> None:
    model = build("vanilla", blobs.spec, latent_dim=5)
    x = blobs.split("test").batch(torch.arange(7))
    by_hand = [((model(x)[i] - x[i]) ** 2).mean().item() for i in range(7)]
    assert anomaly_scores(model, x).tolist() == pytest.approx(by_hand, rel=1e-5)


def test_the_score_does_not_depend_on_the_scale_of_pixels() -> None:
    model = build("pca", InputSpec((1, 4, 4)), latent_dim=2)
    raw = build("pca", InputSpec((1, 4, 4), scale=1.0), latent_dim=2)
    x = torch.rand(3, 1, 4, 4)
    torch.testing.assert_close(anomaly_scores(model, x), anomaly_scores(raw, 255 * x))


def test_the_score_of_a_variational_model_is_minus_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """E_q |x - W z|² = |x|² + s² |W|², in the Frobenius norm, for a posterior of mean 0."""
    monkeypatch.setattr("aelab.evaluate.scoring.DRAWS", 4_000)
    spec, std = InputSpec((1, 2, 3)), 0.7
    weights = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    x = torch.rand(2, 1, 2, 3)
    model = LinearGaussian(spec, weights, std)
    expected_error = x.square().flatten(1).sum(1) + std**2 * weights.square().sum()
    kl = 2 * (std**2 - 1 - 2 * math.log(std)) / 2
    exact = expected_error + 3 * math.log(math.pi) + kl  # a variance of 1/2: 6/2 log(2 pi / 2)
    with torch.no_grad():
        torch.testing.assert_close(anomaly_scores(model, x).float(), exact, rtol=0.02, atol=0)


@pytest.mark.parametrize("name", ["vanilla", "vae", "conv-vae", "conv-vae-switches"])
def test_a_score_follows_from_its_input_alone(name: str) -> None:
    spec = InputSpec((1, 16, 16))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(name, spec)
        x = torch.rand(5, *spec.shape)
    with torch.no_grad():
        together = anomaly_scores(model, x)
        torch.manual_seed(7)
        alone = torch.cat([anomaly_scores(model, x[i : i + 1]) for i in (4, 2)])
    torch.testing.assert_close(together[[4, 2]], alone, rtol=1e-5, atol=0)


def test_only_sets_the_other_classes_aside(blobs: InputDataset) -> None:
    small = blobs.only(["small"])
    for split in ("train", "validation", "test"):
        whole = blobs.split(split)
        labels = whole.classes_of(torch.arange(len(whole)))
        assert len(small.split(split)) == (labels == 0).sum()
        assert len(small.anomalies[split]) == (labels != 0).sum()
        every = torch.cat([small.split(split).index, small.anomalies[split].index])
        assert torch.equal(every.sort().values, whole.index.sort().values)
    with pytest.raises(InputError, match="blobs has no class 'tiny'; it has small, middle"):
        blobs.only(["tiny"])
    with pytest.raises(InputError, match="the classes small, middle, large only, and no anomaly"):
        blobs.only(["small", "middle", "large"])
    with pytest.raises(InputError, match="is no set of images"):
        aelab.load_data("karate", classes=("a",))


def test_the_auroc_counts_pairs_in_the_right_order(blobs: InputDataset) -> None:
    data = blobs.only(["large"])
    model = build("pca", blobs.spec, latent_dim=8)
    model.initialise(data.split("train"))
    splits = (data.anomalies["test"], data.split("test"))
    odd, normal = (anomaly_scores(model, of.batch(torch.arange(len(of)))) for of in splits)
    by_hand = (odd[:, None] > normal).double().mean().item()
    assert anomaly_auroc(model, data, "test") == pytest.approx(by_hand)
    assert anomaly_auroc(model, blobs, "test") is None
    assert 0.5 < by_hand < 1


def test_rivals_stand_beside_every_model(
    blobs: InputDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fitted to the training inputs alone; PCA with as many components as the code has numbers."""
    data = blobs.only(["large"])
    model = build("vanilla", blobs.spec, latent_dim=3)
    subject = Subject(model, data, "test", codes=torch.zeros(len(data.split("test")), 3))
    figures = measure(subject)
    rows = [
        images.batch(torch.arange(len(images))).flatten(1).numpy()
        for images in (data.split("train"), data.split("test"), data.anomalies["test"])
    ]
    labels = [0] * len(rows[1]) + [1] * len(rows[2])
    for name, rival in RIVALS.items():
        scores = rival(0, code_size=3).fit(rows[0]).scores(np.concatenate(rows[1:]))
        assert figures[metric_of(name)] == pytest.approx(roc_auc_score(labels, scores)), name
    assert figures.keys() == {"anomaly_auroc", *map(metric_of, RIVALS)}
    assert measure(replace(subject, data=blobs)) == {"anomaly_auroc": None}
    # Where there are more, some are drawn, the same each time.
    monkeypatch.setattr("aelab.evaluate.anomaly.MOST_OF_A_KIND", 5)
    splits = (data.split("train"), data.split("test"), data.anomalies["test"])
    few, again = (rival_aurocs(tuple(RIVALS), *splits, 3) for _ in "ab")
    assert few == again
    pairs = [50 * auroc.item() for auroc in few.values()]  # five of each; a tie is half a pair
    assert pairs == pytest.approx([round(number) for number in pairs], abs=1e-6)
    assert any(few[name].item() != figures[metric_of(name)] for name in RIVALS)


def test_a_run_of_one_class_records_it(tiny: InputDataset, tmp_path: Path) -> None:
    data = DataSettings(name="tiny", classes=("Bag",))
    settings = RunSettings("pca", {"latent_dim": 4}, data, Recipe(epochs=0))
    train_run(settings, aelab.data.loading.load_settings(data), tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.settings.data == data
    assert run.metrics["anomaly_auroc"] > 0.5
    assert all(0 <= run.metrics[metric_of(name)] <= 1 for name in RIVALS)
    page = write_report(tmp_path / "run").path.read_text()
    assert all(metric in page for metric in ("5-NN", "LOF", "forest", "OC-SVM"))


STUDY = """
each_class = ["T-shirt/top", "Bag"]
metrics = ["anomalies", "reconstruction"]
[questions.q]
question = "Which?"
metric = "anomaly_auroc"
across_code_sizes = true
[data]
name = "tiny"
[rows.pca]
hyperparameters = { latent_dim = 4 }
recipe = { epochs = 0 }
[rows.vanilla]
recipe = { epochs = 1 }
"""


def test_a_row_for_each_class_and_their_mean(tiny: InputDataset, tmp_path: Path) -> None:
    study = parse_study("mine", STUDY)
    assert [row.name for row in study.rows] == [
        "pca-T-shirt-top", "pca-Bag", "vanilla-T-shirt-top", "vanilla-Bag"
    ]  # fmt: skip
    result = compare(study, out=tmp_path, seeds=(0, 1)).results
    rows = {row.name: row for row in result.rows}
    for model in ("pca", "vanilla"):
        parts = [rows[f"{model}-{name}"] for name in ("T-shirt-top", "Bag")]
        whole = rows[f"{model}, mean of 2"]
        figures = [part.mean("anomaly_auroc") or 0.0 for part in parts]
        assert whole.mean("anomaly_auroc") == pytest.approx(sum(figures) / 2)
        assert whole.seeds == (0, 1)
    # PCA knows no seed: nothing varies. The others' spread is that of the means, seed by seed.
    assert rows["pca, mean of 2"].spread("anomaly_auroc").std == 0
    folders = [tmp_path / "mine" / f"vanilla-{name}" for name in ("T-shirt-top", "Bag")]
    means = [
        sum(Run.open(f / f"seed-{seed}").metrics["anomaly_auroc"] for f in folders) / 2
        for seed in (0, 1)
    ]
    std = rows["vanilla, mean of 2"].spread("anomaly_auroc").std
    assert std == pytest.approx(abs(means[0] - means[1]) / math.sqrt(2))
    # The question is asked of the means alone, whatever the size of their codes.
    (told,) = result.verdicts
    assert told.best in {"pca, mean of 2", "vanilla, mean of 2"}
    assert told.left_out == ()


def test_no_mean_of_some_parts_only(tiny: InputDataset, tmp_path: Path) -> None:
    study = parse_study("mine", STUDY)
    last = study.rows[-1]
    broken = replace(last, settings=replace(last.settings, recipe=Recipe(learning_rate=1e38)))
    result = compare(replace(study, rows=(*study.rows[:-1], broken)), out=tmp_path)
    rows = [row.name for row in result.results.rows]
    assert "pca, mean of 2" in rows
    assert not any(row.startswith("vanilla, mean") for row in rows)
    assert result.errors


def test_the_page_of_a_study_in_parts_has_the_means(tiny: InputDataset, tmp_path: Path) -> None:
    compare(parse_study("mine", STUDY), out=tmp_path)
    material = gather(tmp_path / "mine")
    assert [row.name for row in material.results.rows] == [
        "pca, mean of 2", "vanilla, mean of 2"
    ]  # fmt: skip
    first = material.runs["vanilla, mean of 2"]
    assert first.folder == tmp_path / "mine" / "vanilla-T-shirt-top" / "seed-0"
    assert len(material.data.split("test")) < 100  # that class alone
    assert "vanilla, mean of 2" in write_report(tmp_path / "mine").path.read_text()
