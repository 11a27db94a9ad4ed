"""Scores of anomalies, their thresholds and their shares: against closed forms and by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import beta
from sklearn.neighbors import NearestNeighbors

from aelab.data.input_sets import InputDataset
from aelab.data.specs import Columns, InputSpec
from aelab.evaluate import false_alarms, scoring
from aelab.evaluate.false_alarms import Threshold, threshold
from aelab.evaluate.scoring import (
    BEYOND,
    PREFERRED,
    SCORES,
    default_score,
    score_named,
    scores_of,
    split_scores,
)
from aelab.evaluate.shares import by_column, by_position, column_names, shares
from aelab.files import InputError
from aelab.models.zoo import build


@pytest.fixture(scope="module")
def models(blobs: InputDataset) -> dict[str, torch.nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        names = ("pca", "vanilla", "vae", "conv-vae", "mean")
        made = {
            n: build(n, blobs.spec, **({"latent_dim": 4} if n != "mean" else {})) for n in names
        }
    for model in made.values():
        model.initialise(blobs.split("train"))
    return made


def test_which_scores_a_model_has(models: dict[str, torch.nn.Module]) -> None:
    assert scores_of(models["pca"]) == ("reconstruction", "distance")
    assert scores_of(models["vae"]) == ("reconstruction", "bound", "distance")
    assert scores_of(models["mean"]) == ("reconstruction",)
    assert [default_score(models[n]) for n in ("pca", "vae")] == ["reconstruction", "bound"]
    assert set(PREFERRED) <= SCORES.keys()
    with pytest.raises(InputError, match=r"no score 'mse'; there are reconstruction, bound, dist"):
        score_named("mse", models["vae"])
    with pytest.raises(InputError, match=r"'bound': it is trained on no bound; ask for recon"):
        score_named("bound", models["pca"])
    with pytest.raises(InputError, match=r"'distance': its code has no numbers"):
        score_named("distance", models["mean"])


@pytest.mark.parametrize("name", ["vanilla", "vae", "conv-vae"])
def test_every_score_follows_from_its_input_alone(
    models: dict[str, torch.nn.Module], blobs: InputDataset, name: str
) -> None:
    model, x = models[name], blobs.split("test").batch(torch.arange(5))
    for score in map(SCORES.get, scores_of(model)):
        fitted = score.fit(model, blobs.split("train"))
        with torch.no_grad():
            together = score.of(model, x, fitted)
            torch.manual_seed(7)
            alone = torch.cat([score.of(model, x[i : i + 1], fitted) for i in (4, 2)])
        assert together.dtype == torch.float64
        torch.testing.assert_close(together[[4, 2]], alone, rtol=1e-5, atol=0)


def test_the_distance_is_to_the_nearest_codes(
    models: dict[str, torch.nn.Module], blobs: InputDataset
) -> None:
    model, score = models["vanilla"], SCORES["distance"]
    every = {n: blobs.split(n).batch(torch.arange(len(blobs.split(n)))) for n in ("train", "test")}
    with torch.no_grad():
        codes = {n: model.encode(x).double().numpy() for n, x in every.items()}
        fitted = score.fit(model, blobs.split("train"))
        found = score.of(model, every["test"], fitted).numpy()
    nearest = NearestNeighbors(n_neighbors=5).fit(codes["train"]).kneighbors(codes["test"])[0]
    np.testing.assert_allclose(found, nearest.mean(1), rtol=1e-5)
    own = split_scores(model, blobs.split("test"), "distance", fitted)
    np.testing.assert_allclose(own, found, rtol=1e-6)
    assert score.of(model, every["train"][:9], {"codes": fitted["codes"][:3]}).isfinite().all()


def test_codes_of_many_inputs_are_drawn(
    models: dict[str, torch.nn.Module], blobs: InputDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many at most, and fewer of long ones; the same each time."""
    fit, train = SCORES["distance"].fit, blobs.split("train")
    every = fit(models["pca"], train)["codes"]
    assert every.shape == (120, 4)
    monkeypatch.setattr(scoring, "MOST_CODES", 30)
    few, again = (fit(models["pca"], train)["codes"] for _ in "ab")
    assert torch.equal(few, again)
    assert few.shape == (30, 4)
    assert set(few[:, 0].tolist()) <= set(every[:, 0].tolist())
    monkeypatch.setattr(scoring, "MOST_CODE_VALUES", 40)
    assert fit(models["pca"], train)["codes"].shape == (10, 4)


def test_codes_that_are_not_finite_have_no_distance(
    models: dict[str, torch.nn.Module], blobs: InputDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models["vanilla"]
    codes = torch.full((120, 4), torch.nan)
    monkeypatch.setattr(type(model), "encode", lambda self, x: codes[: len(x)])
    with pytest.raises(InputError, match="are not finite: there is no distance"):
        SCORES["distance"].fit(model, blobs.split("train"))
    codes[:2] = 1.0  # in every chunk of inputs
    fitted = SCORES["distance"].fit(model, blobs.split("train"))
    assert torch.equal(fitted["codes"], torch.ones(len(fitted["codes"]), 4))


def test_what_is_not_finite_is_beyond_all(blobs: InputDataset) -> None:
    model = build("pca", blobs.spec, latent_dim=2)
    x = torch.zeros(3, *blobs.spec.shape)
    x[1], x[2] = torch.inf, torch.nan
    scores = SCORES["reconstruction"].finite(model, x, {})
    assert scores[1:].tolist() == [BEYOND, BEYOND]
    assert scores[0] < 1


# Thresholds


@pytest.mark.parametrize(("rate", "above"), [(0.0, 0), (0.05, 2), (0.074, 2), (0.1, 4), (0.5, 20)])
def test_a_threshold_has_as_many_above_as_the_rate_allows(rate: float, above: int) -> None:
    scores = torch.randperm(40, generator=torch.Generator().manual_seed(1)).double()
    limit = threshold(scores, rate)
    assert (limit.above, limit.of) == (above, 40)
    assert (scores > limit.score).sum() == above


def test_equal_scores_are_not_above() -> None:
    limit = threshold(torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64), 0.5)
    assert (limit.score, limit.above, limit.rate) == (1.0, 0, 0.0)


def test_the_interval_is_clopper_and_pearsons() -> None:
    for above, of in ((0, 6), (2, 40), (40, 40)):
        low, high = Threshold(0.0, above, of).interval
        assert low == pytest.approx(beta.ppf(0.025, above, of - above + 1) if above else 0.0)
        assert high == pytest.approx(beta.ppf(0.975, above + 1, of - above) if above < of else 1.0)


def test_the_interval_holds_the_rate_nineteen_times_in_twenty() -> None:
    """Scores are uniform: the rate of false alarms of a threshold t is 1 - t, exactly."""
    draw = torch.Generator().manual_seed(3)
    held = []
    for _ in range(400):
        limit = threshold(torch.rand(60, generator=draw, dtype=torch.float64), 0.1)
        low, high = limit.interval
        held.append(low <= 1 - limit.score <= high)
    assert sum(held) / 400 >= 0.93  # 0.95, less two deviations of what 400 draws tell


@pytest.mark.parametrize("n", [20, 21, 40])
def test_five_per_cent_take_twenty(n: int) -> None:
    assert threshold(torch.rand(n, dtype=torch.float64), 0.05).above >= 1


@pytest.mark.parametrize(
    ("n", "rate", "told"),
    [
        (
            6,
            0.05,
            r"^6 validation inputs cannot tell .* of 0.05, which takes 20: .* 0\.167 or more",
        ),
        (19, 0.05, r"^19 validation inputs .* takes 20: ask for --false-alarm-rate 0\.053 or more"),
        (
            40,
            0.01,
            r"^40 validation inputs .* takes 100: ask for --false-alarm-rate 0\.025 or more",
        ),
        (1, 0.5, r"^one validation input cannot .*: ask for --false-alarm-rate 0, which"),
        (9, 1.0, "must be from 0 up to 1, not 1.0"),
        (9, -0.1, "must be from 0 up to 1, not -0.1"),
        (9, float("nan"), "must be from 0 up to 1, not nan"),
    ],
)
def test_a_rate_that_so_few_cannot_tell_is_refused(n: int, rate: float, told: str) -> None:
    scores = torch.rand(n, dtype=torch.float64)
    with pytest.raises(InputError, match=told) as caught:
        threshold(scores, rate)
    assert "\n" not in str(caught.value)
    asked = str(caught.value).partition("--false-alarm-rate ")[2].split(" ")[0].rstrip(",")
    if asked:  # what is offered is taken
        assert threshold(scores, float(asked)).of == n
    assert threshold(scores, 0.0).score == scores.max()


def test_thresholds_are_told_with_their_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Threshold(0.0, 0, 6).told
    assert told == "0 of 6 validation inputs score higher: 0 % (0 to 45.9 %, with 95 % confidence)"
    monkeypatch.setattr(false_alarms, "CONFIDENCE", 0.5)
    assert "(0 to 20.6 %, with 50 % confidence)" in Threshold(0.0, 0, 6).told


# Shares


@pytest.mark.parametrize("name", ["pca", "vanilla", "vae"])
def test_shares_are_of_the_squared_error(
    models: dict[str, torch.nn.Module], blobs: InputDataset, name: str
) -> None:
    model, x = models[name], blobs.split("test").batch(torch.arange(6))
    with torch.no_grad():
        errors = SCORES["reconstruction"].errors(model, x, {})
        by_hand = (model(x) - x).double() ** 2
        by_hand /= by_hand.sum((1, 2, 3), keepdim=True)
        mean = errors.flatten(1).mean(1)
        torch.testing.assert_close(mean, SCORES["reconstruction"].of(model, x, {}))
    found = shares(errors)
    torch.testing.assert_close(found, by_hand, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(by_position(found).sum((1, 2)), torch.ones(6, dtype=torch.float64))


def test_shares_of_the_bound_are_of_its_reconstruction_term(
    models: dict[str, torch.nn.Module], blobs: InputDataset
) -> None:
    """Moving one value's error moves the term by as much as its share tells, for a Gaussian."""
    model, x = models["vae"], blobs.split("test").batch(torch.arange(4))
    with torch.no_grad():
        errors = SCORES["bound"].errors(model, x, {}).flatten(1).sum(1)
        negative_log = torch.stack(
            [
                model.likelihood.negative_log(model.decoder_output(z), x).double()
                for z in scoring.draws(model, x)
            ]
        ).mean(0)
    constant = negative_log - errors * (-2 * model.likelihood.log_std).exp().item() / 2
    torch.testing.assert_close(constant, constant[:1].expand(4), rtol=1e-4, atol=1e-2)


def test_shares_of_nothing_and_of_what_is_beyond_arithmetic() -> None:
    inf, nan = torch.inf, torch.nan
    errors = torch.tensor([[0.0, 0, 0], [1, inf, nan], [1e308, 1e308, 1e308]], dtype=torch.float64)
    expected = torch.tensor([[0.0, 0, 0], [0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(shares(errors), expected.double())


def test_a_column_has_the_shares_of_all_its_values() -> None:
    names = ("cm", "colour", "colour", "colour", "kg")
    columns = Columns(names, mean=(0.0,) * 5, std=(1.0,) * 5)
    assert column_names(InputSpec((5,), columns=columns)) == names
    of_values = torch.tensor([[0.1, 0.2, 0.3, 0.0, 0.4]], dtype=torch.float64)
    found, values = by_column(of_values, names)
    assert found == ("cm", "colour", "kg")
    torch.testing.assert_close(values, torch.tensor([[0.1, 0.5, 0.4]], dtype=torch.float64))
