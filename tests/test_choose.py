"""aelab choose: what is tried, by what it is held against PCA, within its budget, and again."""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.csv
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

import aelab
import aelab.cli
from aelab.data.input_sets import InputDataset
from aelab.data.loading import load
from aelab.files import InputError
from aelab.runs.store import Run
from aelab.settings import DataSettings
from aelab.studies import search as searching
from aelab.studies.candidates import (
    CONVOLUTIONAL,
    DENSE,
    PCA,
    candidates_for,
    code_size_of,
    settings_of,
)
from aelab.studies.choose import choose
from aelab.studies.goals import Measured, criterion_of, difference, share_of_noise_left
from aelab.studies.search import Purpose, Trial


def curve(rows: int = 240) -> dict[str, list[Any]]:
    """Points of a curve in six columns: one number tells all of them, and not linearly."""
    random = np.random.default_rng(0)
    t = random.uniform(-1.5, 1.5, rows)
    columns = [t, t**2, t**3, np.sin(2 * t), np.cos(2 * t), np.abs(t)]
    noisy = [column + random.normal(0, 0.02, rows) for column in columns]
    return {name: column.tolist() for name, column in zip("abcdef", noisy, strict=True)}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("curve") / "curve.csv"
    pyarrow.csv.write_csv(pyarrow.table(curve()), path)
    return path


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search with two candidates and trainings of a moment."""
    monkeypatch.setattr(searching, "SHORTEST", 0.2)
    monkeypatch.setattr("aelab.studies.choose.SHORTEST", 0.2)
    monkeypatch.setattr("aelab.studies.choose.PAGE", 0.0)
    monkeypatch.setattr(searching, "PAGE", 0.0)
    monkeypatch.setattr("aelab.studies.choose.USUAL_OVERHEAD", 0.1)
    monkeypatch.setattr(searching, "USUAL_OVERHEAD", 0.5)
    few = tuple(one for one in DENSE if one.name in ("multilayer", "vanilla"))
    monkeypatch.setattr("aelab.studies.candidates.DENSE", few)


def opened(table: Path) -> tuple[InputDataset, DataSettings]:
    told = DataSettings(str(table), rows="inputs")
    data = load(str(table), rows="inputs")
    assert isinstance(data, InputDataset)
    return data, told


# The search


@pytest.mark.usefixtures("brief")
def test_the_best_on_validation_is_chosen_and_pca_is_beaten(table: Path, tmp_path: Path) -> None:
    data, told = opened(table)
    purpose = Purpose("reconstruction", budget=6.0, latent_dim=1)
    choice = choose(data, told, purpose, tmp_path / "out")
    measured = [trial for trial in choice.trials if trial.value is not None]
    assert {trial.candidate for trial in measured} >= {"pca", "multilayer"}
    assert choice.best == min(measured, key=lambda trial: trial.value or math.inf).row
    verdict = choice.verdict
    assert verdict is not None
    assert verdict.gap == pytest.approx(verdict.chosen - verdict.pca)
    assert verdict.chosen < verdict.pca
    assert choice.answer.startswith("For reconstruction take ")
    results = json.loads((choice.folder / "results.json").read_text())
    (told,) = results["verdicts"]
    assert f"{told['question']} {told['answer']}." == choice.answer
    assert f"PCA's with as many numbers (1) {verdict.pca:.4g}" in choice.answer
    run = Run.open(choice.run_folder)
    assert run.metrics["split"] == "test"
    assert run.metrics["mse"] == pytest.approx(verdict.chosen)
    assert run.metrics["pca_mse"] == pytest.approx(verdict.pca, rel=1e-4)
    tried = [Run.open(folder) for folder in (tmp_path / "out").glob("*/seed-0")]
    assert {of.metrics["code_size"] for of in tried} == {1}
    trial = tmp_path / "out" / choice.best / "seed-0"
    on_validation = json.loads((trial / "metrics.json").read_text())
    assert on_validation["split"] == "validation"
    kept = [run.folder / "anomaly_scores.safetensors", trial / "anomaly_scores.safetensors"]
    assert [path.is_file() for path in kept] == [True, False]


@pytest.mark.usefixtures("brief")
def test_a_search_that_was_stopped_goes_on(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, told = opened(table)
    purpose = Purpose("reconstruction", budget=5.0, latent_dim=1)
    finished = 0

    def stop(row: str, outcome: object) -> None:
        nonlocal finished
        finished += isinstance(outcome, Run)
        if finished == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        choose(data, told, purpose, tmp_path / "out", on_trial=stop)
    kept = json.loads((tmp_path / "out" / "choose.json").read_text())
    assert [trial["value"] is not None for trial in kept["trials"]] == [True, True]
    before = [(t["candidate"], t["value"]) for t in kept["trials"]]
    trained: list[str] = []
    original = searching.train_run

    def counted(settings: Any, data: Any, folder: Path, **more: Any) -> Run:
        trained.append(folder.parent.name)
        return original(settings, data, folder, **more)

    monkeypatch.setattr(searching, "train_run", counted)
    choice = choose(data, told, purpose, tmp_path / "out")
    assert [(t.candidate, t.value) for t in choice.trials[:2]] == before
    assert not {f"{name}-round-1" for name, _ in before} & set(trained)
    again = choose(data, told, purpose, tmp_path / "out")
    assert again == choice
    with pytest.raises(InputError, match="a choice for other data, or another goal"):
        choose(data, told, Purpose("denoising", budget=5.0), tmp_path / "out")


@pytest.mark.usefixtures("brief")
def test_a_candidate_that_fails_is_told_and_the_others_go_on(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = searching.train_run

    def failing(settings: Any, *rest: Any, **more: Any) -> Run:
        if settings.model == "multilayer":
            raise InputError("the loss is not finite")
        return original(settings, *rest, **more)

    monkeypatch.setattr(searching, "train_run", failing)
    data, told = opened(table)
    choice = choose(data, told, Purpose("reconstruction", 5.0, 1), tmp_path / "out")
    failed = [trial for trial in choice.trials if trial.candidate == "multilayer"]
    assert [trial.error for trial in failed] == ["the loss is not finite"]
    assert not choice.best.startswith("multilayer")


@pytest.mark.parametrize(
    "trials", [[{"candidate": "pca", "round": "1", "seconds": 1.0}],
               [{"candidate": "pca", "round": 1, "seconds": 1.0, "value": "0.2"}], ["pca"], 3]
)  # fmt: skip
def test_a_search_that_is_damaged_is_told(table: Path, tmp_path: Path, trials: object) -> None:
    data, told = opened(table)
    purpose = Purpose("reconstruction", budget=60.0, latent_dim=1)
    criterion = criterion_of("reconstruction", data)
    search = searching.Search(tmp_path, data, told, purpose, criterion, 1, lambda *_: None)
    search.save()
    path = tmp_path / "choose.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "trials": trials}))
    with pytest.raises(InputError, match=r"trials|damaged"):
        search.restore()


def test_every_candidate_has_the_same_code_and_can_be_built() -> None:
    for name, candidates in {"digits": CONVOLUTIONAL}.items():
        data = load(name)
        assert isinstance(data, InputDataset)
        for candidate in (PCA, *candidates):
            settings = settings_of(
                candidate, data, DataSettings(name), code_size=5, seconds=3.0, seed=1
            )
            model = aelab.build(
                settings.model,
                data.spec,
                network=settings.network,
                prior=settings.prior,
                **settings.hyperparameters,
            )
            assert model.code_size == 5


def test_code_sizes_follow_one_rule(table: Path) -> None:
    data, _ = opened(table)
    assert code_size_of(data, None) == 3
    assert code_size_of(data, 2) == 2
    with pytest.raises(InputError, match="latent-dim must be from 1 to 5"):
        code_size_of(data, 6)


# Criteria


@pytest.mark.parametrize(
    ("goal", "why"),
    [
        ("codes", "has no classes for codes to tell apart"),
        ("samples", "samples are compared by features"),
    ],
)
def test_goals_that_data_cannot_have_are_refused(table: Path, goal: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        criterion_of(goal, opened(table)[0])


def test_too_few_rows_to_choose_by_are_refused() -> None:
    data = load(pyarrow.table(curve(40)))
    assert isinstance(data, InputDataset)
    with pytest.raises(InputError, match="has 4 validation inputs, and a choice takes 5"):
        criterion_of("reconstruction", data)


def test_a_budget_too_short_for_one_is_refused(table: Path, tmp_path: Path) -> None:
    data, told = opened(table)
    with pytest.raises(InputError, match="is too short for one candidate"):
        choose(data, told, Purpose("reconstruction", budget=5.0), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pca_of_rows_that_its_numbers_tell_leaves_their_share_of_the_noise() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(4000, 2)) @ random.normal(size=(2, 6))
    data = load(pyarrow.table(dict(zip("abcdef", rows.T, strict=True))))
    assert isinstance(data, InputDataset)
    pca = aelab.build("pca", data.spec, latent_dim=2)
    pca.initialise(data.split("train"))
    with torch.no_grad():
        left = share_of_noise_left(pca, data.split("validation"))
    assert left.mean().item() == pytest.approx(2 / 6, rel=0.1)


def test_without_known_anomalies_the_model_for_all_noise_levels_is_tried_first(
    table: Path,
) -> None:
    data, _ = opened(table)
    assert criterion_of("anomalies", data).better == "less"
    tried = {one.model for one in candidates_for(data, "anomalies")}
    assert tried == {"pca", "noise-conditional"}


def test_without_known_anomalies_pca_is_not_chosen(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, told = opened(table)
    purpose = Purpose("anomalies", budget=60.0, latent_dim=1)

    def tried(search: searching.Search, number: int, entrants: list[Any]) -> list[Trial]:
        values = {"pca": 0.1}  # of a plane, it leaves the least noise
        done = [Trial(one.name, number, 1.0, values.get(one.name, 0.5)) for one in entrants]
        search.trials += done
        return done

    monkeypatch.setattr(searching.Search, "round", tried)
    chosen: list[Trial] = []

    def concluded(search: searching.Search, ranked: list[Trial]) -> None:
        chosen.extend(ranked)

    monkeypatch.setattr("aelab.studies.choose.concluded", concluded)
    choose(data, told, purpose, tmp_path / "out")
    assert chosen[0].candidate == "noise-conditional"
    assert chosen[-1].candidate == "pca"


def test_paired_differences_have_the_interval_of_a_paired_t_test() -> None:
    random = torch.Generator().manual_seed(0)
    one = torch.rand(400, generator=random).double()
    other = one + 0.1 + 0.05 * torch.randn(400, generator=random)
    gap, half = difference(
        Measured(one.mean().item(), one), Measured(other.mean().item(), other), inputs=400
    )
    expected = norm.ppf(0.975) * (one - other).numpy().std(ddof=1) / math.sqrt(400)
    assert gap == pytest.approx((one - other).mean().item())
    assert half == pytest.approx(expected, rel=1e-3)


def test_the_interval_of_areas_is_near_that_of_hanley_and_mcneil() -> None:
    random = torch.Generator().manual_seed(0)
    normal, odd = torch.randn(300, generator=random), torch.randn(100, generator=random) + 1
    area = roc_auc_score([0] * 300 + [1] * 100, torch.cat([normal, odd]).numpy())
    constant = (torch.zeros(300), torch.ones(100))  # an area of 1 whatever is drawn
    gap, half = difference(
        Measured(area, scores=(normal, odd)), Measured(1.0, scores=constant), inputs=400
    )
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + 99 * (q1 - area**2) + 299 * (q2 - area**2)) / (300 * 100)
    assert gap == pytest.approx(area - 1)
    assert half == pytest.approx(1.96 * math.sqrt(variance), rel=0.15)


# The command


@pytest.mark.usefixtures("brief")
def test_from_the_command_line(
    outside: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (outside / "curve.csv").write_bytes(table.read_bytes())
    told = ["choose", "curve.csv", "--for", "denoising", "--budget", "5s", "--latent-dim", "2"]
    begun = time.monotonic()
    assert aelab.cli.main([*told, "--seed", "4", "--out", "there"]) == 0
    assert time.monotonic() - begun < 120
    said = capsys.readouterr().out
    assert "For denoising take " in " ".join(said.split())
    again = next(line for line in said.splitlines() if line.startswith("The same again: "))
    assert again.startswith("The same again: aelab train ")
    assert "--seed 4" in again
    assert (outside / "there" / "report.html").is_file()
    run = aelab.load("there/chosen")
    assert run.settings.seed == 4
    assert run.metrics["code_size"] == 2
    words = again.removeprefix("The same again: aelab ").split()
    assert aelab.cli.main([*words, "--out", "again"]) == 0
    assert aelab.load("again").weights_sha256 == run.weights_sha256


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["karate", "--for", "reconstruction"], "is a graph; aelab choose is for"),
        (["digits", "--for", "reconstruction", "--budget", "soon"], "a time is written"),
        (["digits", "--for", "reconstruction", "--budget", "3s"], "is too short"),
        (["nowhere.csv", "--for", "reconstruction"], "nowhere.csv"),
    ],
)
def test_mistakes_are_one_line(
    outside: Path, words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = aelab.cli.main(["choose", *words])
    except SystemExit as stopped:  # tyro's own
        code = stopped.code if isinstance(stopped.code, int) else 1
    assert code == 2
    assert why in " ".join(capsys.readouterr().err.split())
    assert not (outside / "runs").exists()


@pytest.mark.usefixtures("brief")
def test_from_python_with_data_in_memory(tmp_path: Path) -> None:
    frame = pyarrow.table(curve())
    choice = aelab.choose(
        frame, "reconstruction", budget="5s", latent_dim=1, out=tmp_path / "out", leave_out=["f"]
    )
    assert aelab.load(choice.run_folder).encode(frame).shape == (240, 1)
    assert choice.verdict is not None
    with pytest.raises(InputError, match="goal must be one of reconstruction"):
        aelab.choose(frame, "beauty")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="choose: hidden is unknown"):
        aelab.choose(frame, "reconstruction", hidden=(3,))
    with pytest.raises(InputError, match="budget is text as '10m', not 600"):
        aelab.choose(frame, "reconstruction", budget=600)  # type: ignore[arg-type]
