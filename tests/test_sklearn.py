"""Estimators keep scikit-learn's conventions, and their runs are those of `aelab.train`."""

import gc
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import aelab
from aelab.files import AelabError
from aelab.sklearn import AutoencoderDetector, AutoencoderTransformer
from aelab.sklearn.estimator import FILE, RunEstimator

X = np.random.default_rng(0).normal(size=(60, 5))
QUICK: dict[str, Any] = {"latent_dim": 2, "epochs": 1}
BOTH = [AutoencoderTransformer, AutoencoderDetector]


@pytest.fixture(scope="module")
def coder() -> AutoencoderTransformer:
    return AutoencoderTransformer("vae", hyperparameters={"hidden": (6,)}, **QUICK).fit(X)


@pytest.fixture(scope="module")
def digits() -> NDArray[np.uint8]:
    return load_digits().data[:60].astype(np.uint8)


@parametrize_with_checks([estimator("vanilla", **QUICK) for estimator in BOTH])
def test_conventions(
    estimator: RunEstimator, check: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # or one check would be left out
    try:
        check(estimator)
    except SkipTest as skipped:
        pytest.fail(f"left out: {skipped}")


@pytest.mark.parametrize("model", ["vae", "noise-conditional"])
def test_a_row_gives_the_same_whatever_is_beside_it(model: str) -> None:
    coder = AutoencoderTransformer(model, epochs=1).fit(X)
    detector = AutoencoderDetector(model, epochs=1).fit(X)
    for method in (coder.transform, detector.score_samples, detector.predict):
        np.testing.assert_array_equal(method(X)[7:8], method(X[7:8]))
        np.testing.assert_array_equal(method(X)[::-1], method(X[::-1]))


def test_the_run_is_that_of_train(coder: AutoencoderTransformer) -> None:
    run = aelab.train("vae", X, hidden=(6,), **QUICK)
    assert coder.run_.weights_sha256 == run.weights_sha256
    np.testing.assert_allclose(coder.transform(X), run.encode(X), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(coder.inverse_transform(run.encode(X)), run.decode(run.encode(X)))
    np.testing.assert_array_equal(coder.sample(4), run.sample(4).numpy())
    assert clone(coder).set_params(random_state=1).fit(X).run_.settings.seed == 1


def test_nothing_is_printed_and_no_folder_stays(capfd: pytest.CaptureFixture[str]) -> None:
    coder = AutoencoderTransformer("pca", latent_dim=2).fit(X)
    folder = coder.run_.folder
    assert capfd.readouterr() == ("", "")
    assert folder.is_dir()
    del coder
    gc.collect()
    assert not folder.exists()


def test_images_are_rows(digits: NDArray[np.uint8]) -> None:
    small = {**QUICK, "hyperparameters": {"channels": (2,)}}
    coder = AutoencoderTransformer("convolutional", input_shape=(8, 8), **small).fit(digits)
    run = aelab.train("convolutional", digits.reshape(-1, 8, 8), channels=(2,), **QUICK)
    assert coder.run_.weights_sha256 == run.weights_sha256
    images = run.decode(run.encode(digits.reshape(-1, 8, 8)))
    back = coder.inverse_transform(coder.transform(digits))
    # Rounded to whole numbers, after codes that differ in the last digit.
    assert np.abs(back.astype(int) - images.reshape(-1, 64).astype(int)).max() <= 1
    # The same numbers of another type.
    np.testing.assert_array_equal(coder.transform(digits.astype(float)), coder.transform(digits))
    with pytest.raises(ValueError, match="other values than uint8"):
        coder.transform(digits + 0.5)


def test_colours_come_back_where_they_were() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (30, 48)).astype(np.uint8)
    coder = AutoencoderTransformer("pca", latent_dim=24, input_shape=(4, 4, 3)).fit(pixels)
    back = coder.inverse_transform(coder.transform(pixels)).astype(float)
    # Of pixels that are put elsewhere, the error would be that of other ones.
    mean = pixels.mean(0, dtype=float)
    assert ((back - pixels) ** 2).mean() < 0.6 * ((mean - pixels) ** 2).mean()


def test_score_is_that_of_pca() -> None:
    standard = StandardScaler().fit_transform(X)
    coder = AutoencoderTransformer("pca", latent_dim=2, options={"range": (0.0, 1.0)}).fit(standard)
    train = coder.run_.own_data(standard).split("train").index.numpy()
    pca = PCA(2).fit(standard[train])
    error = ((pca.inverse_transform(pca.transform(standard)) - standard) ** 2).mean()
    assert coder.score(standard) == pytest.approx(-error, rel=1e-4)


def test_pickled(coder: AutoencoderTransformer) -> None:
    again = pickle.loads(pickle.dumps(coder))
    assert coder.run_.report(data=X).is_file()
    assert again.run_.folder != coder.run_.folder
    np.testing.assert_array_equal(again.transform(X), coder.transform(X))
    assert again.run_.metrics == coder.run_.metrics
    assert not hasattr(pickle.loads(pickle.dumps(clone(coder))), "run_")


def test_saved_and_back(coder: AutoencoderTransformer, tmp_path: Path) -> None:
    coder.save(tmp_path / "run")
    again = AutoencoderTransformer.from_run(tmp_path / "run")
    np.testing.assert_array_equal(again.transform(X), coder.transform(X))
    codes = aelab.load(tmp_path / "run").encode(X)
    np.testing.assert_allclose(codes, coder.transform(X), rtol=1e-4, atol=1e-6)
    # Its parameters are those of the run: fitted again, it is the same.
    assert clone(again).fit(X).run_.weights_sha256 == coder.run_.weights_sha256
    with pytest.raises(AelabError, match="there already"):
        coder.save(tmp_path / "run")
    with pytest.raises(NotFittedError):
        AutoencoderTransformer().save(tmp_path / "other")


@pytest.mark.parametrize(
    "chosen",
    [{}, {"contamination": 0.1}, {"false_alarm_rate": 0.2, "anomaly_score": "distance"}],
    ids=str,
)
def test_a_saved_detector_decides_alike(chosen: dict[str, Any], tmp_path: Path) -> None:
    detector = AutoencoderDetector("vanilla", **QUICK, **chosen).fit(X)
    detector.save(tmp_path / "run")
    again = AutoencoderDetector.from_run(tmp_path / "run")
    for one in (again, pickle.loads(pickle.dumps(detector))):
        np.testing.assert_array_equal(one.decision_function(X), detector.decision_function(X))
        assert one.threshold_ == detector.threshold_
    assert {name: again.get_params()[name] for name in chosen} == chosen


def test_the_threshold_is_that_of_anomalies(tmp_path: Path) -> None:
    run = aelab.train("vanilla", X, **QUICK)
    inputs = aelab.open_inputs(write(X, tmp_path / "x.npy"), run.spec)
    found = aelab.find_anomalies(run, inputs, None, tmp_path / "a.csv", false_alarm_rate=0.2)
    detector = AutoencoderDetector("vanilla", false_alarm_rate=0.2, **QUICK).fit(X)
    assert detector.offset_ == pytest.approx(-found.threshold, rel=2e-5)
    assert (detector.predict(X) == -1).sum() == found.anomalies > 0
    of_run = AutoencoderDetector.from_run(run.folder, false_alarm_rate=0.2)
    np.testing.assert_array_equal(of_run.predict(X), detector.predict(X))


def write(values: NDArray[Any], path: Path) -> Path:
    np.save(path, values)
    return path


def test_contamination_is_a_share_of_the_rows() -> None:
    detector = AutoencoderDetector("vanilla", contamination=0.25, **QUICK).fit(X)
    assert (detector.predict(X) == -1).sum() == 15
    # An outlier is the row that is farthest from the others.
    far = np.vstack([X, np.full(5, 30.0)])
    assert detector.score_samples(far).argmin() == 60


def test_searched_in_a_pipeline() -> None:
    pipeline = make_pipeline(StandardScaler(), AutoencoderTransformer("vae", epochs=1))
    grid = {
        "autoencodertransformer__latent_dim": np.arange(1, 3),
        "autoencodertransformer__hyperparameters__hidden": [(4,)],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X)
    settings = search.best_estimator_[-1].run_.settings
    assert tuple(settings.hyperparameters["hidden"]) == (4,)
    assert settings.hyperparameters["latent_dim"] == search.best_params_[next(iter(grid))]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_what_is_set_within_is_no_other_estimators() -> None:
    first = AutoencoderTransformer("vae", hyperparameters={"beta": 2.0})
    second = AutoencoderTransformer("vae", hyperparameters=first.hyperparameters)
    second.set_params(hyperparameters__beta=3.0, options__schedule="constant")
    assert first.hyperparameters == {"beta": 2.0}
    assert second.get_params()["hyperparameters__beta"] == 3.0
    assert second.options == {"schedule": "constant"}


def test_names_of_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    coder = AutoencoderTransformer("pca", latent_dim=2).set_output(transform="pandas").fit(frame)
    names = ["autoencodertransformer0", "autoencodertransformer1"]
    assert list(coder.transform(frame).columns) == names
    coder.save(tmp_path / "run")
    again = AutoencoderTransformer.from_run(tmp_path / "run")
    with pytest.raises(ValueError, match="feature names"):
        again.transform(frame[list("edcba")])
    np.testing.assert_array_equal(again.transform(frame), coder.transform(frame).to_numpy())


def test_any_run_of_numbers_is_an_estimator() -> None:
    run = aelab.train("pca", "digits", latent_dim=3)
    coder = AutoencoderTransformer.from_run(run.folder)
    assert (coder.n_features_in_, coder.input_shape) == (64, (8, 8))
    pixels = load_digits().data[:10]
    assert coder.transform(pixels).shape == (10, 3)
    frame = pd.DataFrame(X, columns=list("abcde"))
    table = aelab.train("pca", frame, latent_dim=2)
    of_table = AutoencoderTransformer.from_run(table.folder)
    assert list(of_table.feature_names_in_) == list("abcde")
    np.testing.assert_allclose(of_table.transform(frame), table.encode(frame), rtol=1e-4, atol=1e-6)


def test_runs_that_are_no_estimators(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": ["x", "y"] * 30})
    words = aelab.train("vanilla", frame, epochs=0)
    links = aelab.train("gae", "karate", epochs=0)
    for run in (words, links):
        with pytest.raises(AelabError):
            AutoencoderTransformer.from_run(run.folder)
    with pytest.raises(AelabError, match="is no run"):
        AutoencoderTransformer.from_run(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"features": 3}',
        '{"features": ["a"]}',
        '{"parameters": {"nonsense": 1}}',
        '{"else": 1}',
    ],
)
def test_damaged_files_are_told(content: str, tmp_path: Path) -> None:
    folder = AutoencoderTransformer("pca", latent_dim=2).fit(X).save(tmp_path / "run")
    (folder / FILE).write_text(content)
    with pytest.raises(AelabError):
        AutoencoderTransformer.from_run(folder)


def test_what_a_folder_says_is_not_imported(tmp_path: Path) -> None:
    folder = AutoencoderTransformer("pca", latent_dim=2).fit(X).save(tmp_path / "run")
    saved = json.loads((folder / FILE).read_text())
    saved["parameters"]["model"] = "antigravity:Evil"
    (folder / FILE).write_text(json.dumps(saved))
    assert AutoencoderTransformer.from_run(folder).model == "pca"  # the run's own


@pytest.mark.parametrize(
    ("estimator", "told"),
    [
        (AutoencoderTransformer("nonsense"), "nonsense"),
        (AutoencoderTransformer("gae"), "is a model of the links"),
        (AutoencoderTransformer(hyperparameters={"nope": 3}), "nope is unknown"),
        (AutoencoderTransformer(hyperparameters=3), "must be a dict"),
        (AutoencoderTransformer(latent_dim=2, hyperparameters={"latent_dim": 2}), "given twice"),
        (AutoencoderTransformer(options={"out": "here"}), "out is not for an estimator"),
        (AutoencoderTransformer(input_shape=(2, 2)), "of 4 values, and X has 5"),
        (AutoencoderDetector(anomaly_score="bound", **QUICK), "has no score 'bound'"),
        (AutoencoderDetector(false_alarm_rate=0.01, **QUICK), "cannot tell a false-alarm rate"),
        (AutoencoderDetector(contamination=0.7), "at most 0.5"),
        (AutoencoderDetector(contamination=0.1, false_alarm_rate=0.1), "leave one out"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_told_by_fit(estimator: RunEstimator, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        estimator.fit(X)


def test_a_threshold_of_rows_that_are_gone_is_refused(tmp_path: Path) -> None:
    detector = AutoencoderDetector("pca", latent_dim=2, contamination=0.1).fit(X)
    folder, run = detector.save(tmp_path / "run"), aelab.train("pca", X, latent_dim=2)
    with pytest.raises(AelabError, match="give false_alarm_rate"):
        AutoencoderDetector.from_run(folder, anomaly_score="distance")
    with pytest.raises(AelabError, match="give false_alarm_rate"):
        AutoencoderDetector.from_run(run.folder, contamination=0.1)
    other = AutoencoderDetector.from_run(folder, contamination=None, false_alarm_rate=0.2)
    assert other.threshold_ is not None
    assert other.threshold_.above == 1


@pytest.mark.slow
def test_the_document_runs(outside: Path) -> None:
    document = Path(__file__).parents[1] / "docs" / "sklearn.md"
    (code,) = re.findall(r"```python\n(.*?)```", document.read_text("utf-8"), flags=re.DOTALL)
    code = code.replace("epochs=20", "epochs=1")
    names: dict[str, Any] = {}
    exec(code.replace("[4, 16]", "[4]").replace("[0.5, 1.0]", "[0.5]"), names)
    assert names["codes"].shape == (1797, 8)
    assert names["restored"].shape == names["X"].shape
    assert names["new"].shape == (16, 64)
    assert 0 < names["error"] < 1
    assert names["search"].best_score_ > 0.2  # chance is a tenth
    assert names["outliers"][names["y"] >= 5].mean() > names["outliers"][names["y"] < 5].mean()
    assert "of 91 validation inputs score higher" in names["told"]
    np.testing.assert_array_equal(names["again"].transform(names["X"]), names["codes"])


def test_a_parameter_is_explained() -> None:
    document = (Path(__file__).parents[1] / "docs" / "sklearn.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.+?) \|", document, flags=re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(explained) == sorted(AutoencoderDetector().get_params())
