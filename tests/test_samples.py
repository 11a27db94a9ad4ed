"""Samples against real images: the figures by hand, by other libraries, and what they must tell."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.evaluate import features
from aelab.evaluate.features import Classifier, cache_path, feature_network
from aelab.evaluate.samples import (
    frechet_distance,
    nearest_images,
    precision_and_recall,
    sample_figures,
)
from aelab.files import InputError, read_metadata, write_tensors
from aelab.machine import seeded
from aelab.models.contract import Autoencoder, Code, InputBatch
from aelab.models.priors.fitted_mixture import FittedMixture
from aelab.models.sampling import fit_prior
from aelab.models.zoo import build
from aelab.runs.train import train_run
from aelab.settings import RunSettings


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in which classifiers are trained for a moment only."""
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
    monkeypatch.setattr(features, "IMAGES_SEEN", 4_000)
    return tmp_path / "cache" / "features"


@pytest.fixture
def blobs(blobs: InputDataset) -> InputDataset:
    """The same data, of which nothing is remembered yet."""
    return replace(blobs)


@pytest.fixture
def slice_of_fashion(slice_of_fashion: InputDataset) -> InputDataset:
    """The same data, of which nothing is remembered yet."""
    return replace(slice_of_fashion)


def points(n: int, seed: int, dimensions: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=generator)
    return torch.randn(n, dimensions, generator=generator) @ mixing + seed


def test_frechet_distance_is_scipys() -> None:
    a, b = points(300, 1), points(200, 2)
    x, y = a.double().numpy(), b.double().numpy()
    s, t = np.cov(x.T), np.cov(y.T)
    gap = np.square(x.mean(0) - y.mean(0)).sum()
    expected = gap + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_what_was_moved_is_the_way_squared() -> None:
    a = points(300, 1)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + torch.tensor([3.0, 4, 0, 0, 0])) == pytest.approx(25, rel=1e-5)


def on_a_line(*places: float) -> torch.Tensor:
    return torch.tensor(places, dtype=torch.float32)[:, None]


def test_precision_and_recall_by_hand() -> None:
    # To the third nearest other: real 3, 2, 2, 3; fake 8.5, 9.5, 16.5, 16.5.
    real, fake = on_a_line(0, 1, 2, 3), on_a_line(4.5, 5.5, 12.5, -4)
    # Fake: 4.5 and 5.5 are within 3 of 3; 12.5 and -4 are within reach of none.
    # Real: all are within 8.5 of 4.5.
    assert precision_and_recall(real, fake) == (0.5, 1.0)
    assert precision_and_recall(fake, real) == (1.0, 0.5)
    far = on_a_line(100, 101, 102, 103)
    assert precision_and_recall(real, far) == (0.0, 0.0)
    assert precision_and_recall(real, real) == (1.0, 1.0)


def test_precision_and_recall_are_those_of_other_neighbours() -> None:
    real, fake = points(700, 1), points(600, 2) * 0.8

    def share(of: torch.Tensor, among: torch.Tensor) -> float:
        found = NearestNeighbors(n_neighbors=4).fit(among.double()).kneighbors(among.double())
        radii = found[0][:, 3]
        gaps = np.linalg.norm(of.double().numpy()[:, None] - among.double().numpy()[None], axis=2)
        return float((gaps <= radii).any(1).mean())

    expected = share(fake, real), share(real, fake)
    assert precision_and_recall(real, fake) == pytest.approx(expected)
    assert 0 < expected[0] < 1


def test_nearest_images_are_those_of_another_search(slice_of_fashion: InputDataset) -> None:
    train, test = slice_of_fashion.split("train"), slice_of_fashion.split("test")
    queries = test.intensities(torch.arange(150))
    distances, which = nearest_images(queries, train)
    known = NearestNeighbors(n_neighbors=1).fit(
        train.intensities(torch.arange(500)).flatten(1).numpy()
    )
    expected, index = known.kneighbors(queries.flatten(1).numpy())
    torch.testing.assert_close(distances, torch.from_numpy(expected[:, 0]).float())
    assert which.tolist() == index[:, 0].tolist()


@pytest.mark.parametrize("values", [1, 7 * 784, 2**22])
def test_an_image_is_nearest_to_itself(
    slice_of_fashion: InputDataset, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aelab.evaluate.samples.VALUES", values)
    train = slice_of_fashion.split("train")
    i = torch.tensor([499, 3, 250, 3])
    distances, which = nearest_images(train.intensities(i), train)
    assert distances.tolist() == [0, 0, 0, 0]
    assert which.tolist() == i.tolist()


class Copies(Autoencoder):
    """A model whose codes are images."""

    @property
    def code_size(self) -> int:
        return self.spec.size

    def encode(self, x: InputBatch) -> Code:
        return x.flatten(1)

    def decode(self, z: Code) -> InputBatch:
        return z.reshape(-1, *self.spec.shape)


def copying_prior(x: torch.Tensor) -> FittedMixture:
    """A mixture with a component at each of the images, of no width."""
    flat = x.flatten(1)
    tensors = {
        "mean": torch.zeros(flat.shape[1]),
        "basis": torch.eye(flat.shape[1]),
        "low": flat.min(0).values,
        "high": flat.max(0).values,
        "shares": torch.ones(1),
        "of_class": torch.zeros(len(flat), dtype=torch.int64),
        "weights": torch.ones(len(flat)) / len(flat),
        "means": flat,
        "factors": torch.zeros(1, 1, 1).expand(len(flat), flat.shape[1], flat.shape[1]),
    }
    return FittedMixture.from_tensors(tensors, flat.shape[1])


def fitted_mixture(model: Autoencoder, images: InputSplit) -> FittedMixture:
    prior = FittedMixture(model.code_size)
    fit_prior(prior, model, images)
    return prior


def test_copies_of_training_images_show(blobs: InputDataset) -> None:
    train = blobs.split("train")
    prior = copying_prior(train.batch(torch.arange(len(train))))
    figures = sample_figures(Copies(blobs.spec), prior, blobs, "test")
    assert figures["nearest"] == pytest.approx(0, abs=1e-6)
    assert figures["nearest_test"] > 0.1
    assert figures["precision"] > 0.8
    assert figures["frechet"] < 4 * figures["frechet_floor"]
    assert set(figures) == {
        "frechet", "frechet_own", "frechet_fitted", "frechet_reconstructions", "frechet_floor",
        "precision", "recall", "nearest", "nearest_test",
        "feature_accuracy", "feature_hash",
    }  # fmt: skip


def test_better_samples_have_better_figures(slice_of_fashion: InputDataset) -> None:
    train = slice_of_fashion.split("train")
    pca = build("pca", slice_of_fashion.spec, latent_dim=32)
    pca.initialise(train)
    with seeded(0):
        untrained = build("vae", slice_of_fashion.spec)
    good = sample_figures(pca, fitted_mixture(pca, train), slice_of_fashion, "test")
    bad = sample_figures(untrained, None, slice_of_fashion, "test")
    assert good["frechet_floor"] == bad["frechet_floor"] < good["frechet"] < bad["frechet"]
    assert good["recall"] > 0.5 > bad["recall"]
    assert good["nearest_test"] == bad["nearest_test"]
    assert good["feature_hash"] == bad["feature_hash"]
    assert sample_figures(untrained, None, slice_of_fashion, "test") == bad
    assert sample_figures(untrained, None, slice_of_fashion, "test", seed=1) != bad


def test_figures_do_not_depend_on_the_scale_of_inputs(blobs: InputDataset) -> None:
    raw_spec = InputSpec(blobs.spec.shape, scale=1.0)
    raw = replace(blobs, splits={n: replace(s, spec=raw_spec) for n, s in blobs.splits.items()})
    figures = []
    for data in (blobs, raw):
        pca = build("pca", data.spec, latent_dim=8)
        pca.initialise(data.split("train"))
        figures.append(sample_figures(pca, fitted_mixture(pca, data.split("train")), data, "test"))
    assert figures[0]["feature_hash"] == figures[1]["feature_hash"]
    for name in ("frechet_floor", "nearest_test", "nearest"):
        assert figures[0][name] == pytest.approx(figures[1][name], rel=0.05)


def test_without_classes_there_are_no_features(blobs: InputDataset, cache: Path) -> None:
    one = {n: replace(s, labels=torch.zeros_like(s.labels)) for n, s in blobs.splits.items()}
    data = replace(blobs, splits=one, classes=("all",))
    model = build("vae", data.spec)
    figures = sample_figures(model, None, data, "test")
    numbers = {name for name, value in figures.items() if value is not None}
    assert numbers == {"nearest", "nearest_test"}
    assert not cache.exists()


def test_a_prior_of_data_measured_on_few_inputs_is_fitted_to_fewer_codes(
    blobs: InputDataset, tmp_path: Path
) -> None:
    run = train_run(RunSettings("pca", {"latent_dim": 3}), blobs, tmp_path / "run")
    expected = FittedMixture(3)
    fit_prior(expected, run.autoencoder, blobs.split("train"), most=50)
    found = run.priors.fit("fitted-mixture", blobs.measured_on(10)).tensors()
    assert all(found[name].equal(values) for name, values in expected.tensors().items())
    whole = run.priors.fit("fitted-mixture", blobs).tensors()
    assert not whole["mean"].equal(found["mean"])


def test_a_model_without_prior_has_no_samples(blobs: InputDataset) -> None:
    with pytest.raises(InputError, match="has no prior"):
        sample_figures(build("vanilla", blobs.spec), None, blobs, "test")


# The features' network


def test_the_network_is_trained_once_and_tells_its_accuracy(
    slice_of_fashion: InputDataset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = feature_network(slice_of_fashion)
    test = slice_of_fashion.split("test")
    logits = first.classifier.logits(first.of(test.intensities(torch.arange(150))))
    right = logits.argmax(1) == test.classes_of(torch.arange(150))
    assert first.accuracy == pytest.approx(right.float().mean().item())
    assert first.accuracy > 0.6
    (path,) = cache.iterdir()
    assert path == cache_path(slice_of_fashion)
    content = path.read_bytes()
    with monkeypatch.context() as no_training:
        no_training.setattr(features, "trained", None)
        again = feature_network(replace(slice_of_fashion))
    assert (again.hash, again.accuracy) == (first.hash, first.accuracy)
    path.unlink()
    feature_network(replace(slice_of_fashion))
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", ["cut", "other tensors", "other weights", "no facts", "text"])
def test_a_damaged_cache_is_made_again(blobs: InputDataset, cache: Path, damage: str) -> None:
    feature_network(blobs)
    path = cache_path(blobs)
    content, facts = path.read_bytes(), read_metadata(path)
    weights = Classifier(blobs.spec.image_shape, 3).state_dict()
    if damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "other tensors":
        write_tensors(path, {"a": torch.zeros(2)}, facts)
    elif damage == "other weights":
        write_tensors(path, weights, facts)
    elif damage == "no facts":
        write_tensors(path, weights)
    else:
        path.write_text(json.dumps(facts))
    feature_network(replace(blobs))
    assert path.read_bytes() == content


def test_other_training_images_have_another_network(blobs: InputDataset) -> None:
    train = blobs.split("train")
    fewer = {**blobs.splits, "train": replace(train, index=train.index[:-1])}
    assert cache_path(replace(blobs, splits=fewer)) != cache_path(blobs)
    assert cache_path(replace(blobs, sha256="other")) != cache_path(blobs)
    assert cache_path(replace(blobs)) == cache_path(blobs)


def test_a_cache_that_cannot_be_written_is_told(blobs: InputDataset, cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot write"):
        feature_network(blobs)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (2, 100, 31)])
def test_features_of_any_shape(shape: tuple[int, int, int]) -> None:
    x = torch.rand(2, *shape)
    assert Classifier(shape, 4).features(x).shape == (2, 64)
