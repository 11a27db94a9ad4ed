"""The detectors beside autoencoders: against closed forms, each row by itself."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from aelab.evaluate.rivals import RIVALS, Neighbours
from aelab.files import InputError


def normal_rows(n: int, columns: int = 4, seed: int = 0) -> NDArray[np.float64]:
    """Rows that lie near a plane, so that PCA has something to leave out."""
    draw = np.random.default_rng(seed)
    plane = np.random.default_rng(9).normal(size=(2, columns))
    return draw.normal(size=(n, 2)) @ plane + 0.1 * draw.normal(size=(n, columns))


def odd_rows(n: int, columns: int = 4) -> NDArray[np.float64]:
    return np.random.default_rng(5).normal(size=(n, columns)) * 4


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("kind", ["any numbers", "whole numbers", "few numbers, standardised"])
def test_a_score_follows_from_its_row_alone(name: str, kind: str) -> None:
    """Whether rows are scored at once, one by one, in threes, or with odd ones among them.

    To the last digit. Whole numbers have many equal distances, and rows that are the same.
    """
    columns = 30  # scikit-learn takes products of matrices from 16 columns on
    train, rows = normal_rows(200, columns), normal_rows(50, columns, seed=1)
    if kind != "any numbers":
        train, rows = np.round(train), np.round(rows)
        train[100:150], rows[10:20] = train[0], train[:10]
    if kind == "few numbers, standardised":
        train, rows = (np.clip(of, -1, 1) / 0.37 + 0.1 for of in (train, rows))
    rival = RIVALS[name](seed=3, code_size=2).fit(train)
    together = rival.scores(rows)
    for size in (1, 3, 49):
        parts = [rival.scores(rows[i : i + size]) for i in range(0, 50, size)]
        assert np.array_equal(np.concatenate(parts), together)
    crowd = np.concatenate([odd_rows(1500, columns), rows, odd_rows(10, columns)])
    assert np.array_equal(rival.scores(crowd)[1500:1550], together)


@pytest.mark.parametrize("name", RIVALS)
def test_anomalies_score_higher(name: str) -> None:
    rival = RIVALS[name](code_size=2).fit(normal_rows(300))
    scores = rival.scores(np.concatenate([normal_rows(100, seed=1), odd_rows(100)]))
    assert roc_auc_score([0] * 100 + [1] * 100, scores) > 0.9


@pytest.mark.parametrize("name", RIVALS)
def test_the_seed_decides_and_the_cost_is_bounded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more rows than the most, so many are drawn, others by another seed."""
    rows, asked = normal_rows(400), normal_rows(20, seed=1)
    monkeypatch.setattr(RIVALS[name], "most_rows", 100)
    seen: list[int] = []
    learn = RIVALS[name].learn
    monkeypatch.setattr(
        RIVALS[name], "learn", lambda self, drawn: (seen.append(len(drawn)), learn(self, drawn))
    )
    first, again, other = (
        RIVALS[name](seed, code_size=2).fit(rows).scores(asked) for seed in (0, 0, 1)
    )
    assert seen == [100, 100, 100]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_mean_distance_by_hand() -> None:
    rows, asked = normal_rows(60), normal_rows(7, seed=1)
    distances = np.sqrt(((asked[:, None] - rows) ** 2).sum(2))
    by_hand = np.sort(distances, axis=1)[:, :5].mean(1)
    np.testing.assert_allclose(Neighbours().fit(rows).scores(asked), by_hand)


def test_the_others_are_scikit_learns() -> None:
    rows, asked = normal_rows(60), normal_rows(7, seed=1)
    theirs = {
        "lof": LocalOutlierFactor(novelty=True),
        "isolation-forest": IsolationForest(random_state=2),
        "ocsvm": OneClassSVM(),
    }
    for name, detector in theirs.items():
        scores = RIVALS[name](seed=2).fit(rows).scores(asked)
        np.testing.assert_allclose(
            scores, -detector.fit(rows).score_samples(asked), rtol=1e-8, err_msg=name
        )


def test_the_error_of_components_by_hand() -> None:
    rows, asked = normal_rows(60), normal_rows(7, seed=1)
    centred = rows - rows.mean(0)
    left = np.linalg.svd(centred)[2][2:]  # the directions that two components leave out
    by_hand = (((asked - rows.mean(0)) @ left.T) ** 2).sum(1)
    scores = RIVALS["pca"](code_size=2).fit(rows).scores(asked)
    np.testing.assert_allclose(scores, by_hand)


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("rows", [2, 3, 30])
@pytest.mark.parametrize("columns", [1, 40])
def test_few_rows_few_columns_and_float32(name: str, rows: int, columns: int) -> None:
    data = normal_rows(rows, columns).astype(np.float32)
    scores = RIVALS[name](code_size=500).fit(data).scores(data[:0])
    assert scores.shape == (0,)
    scores = RIVALS[name](code_size=500).fit(data).scores(odd_rows(9, columns))
    assert scores.shape == (9,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", RIVALS)
def test_rows_that_are_all_the_same(name: str) -> None:
    scores = RIVALS[name](code_size=1).fit(np.ones((30, 3))).scores(np.array([[1.0, 1, 1]]))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", RIVALS)
def test_one_row_is_too_few(name: str) -> None:
    with pytest.raises(InputError, match="take 2 training rows or more, not 1"):
        RIVALS[name]().fit(np.ones((1, 3)))
