"""`aelab anomalies`: what a run keeps for it, labels, rivals, explanations, and bad input."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

import aelab
from aelab.apps.anomalies import find_anomalies
from aelab.apps.truth import anomaly_classes
from aelab.data.input_sets import InputDataset
from aelab.data.inputs import open_inputs
from aelab.evaluate.rivals import RIVALS
from aelab.evaluate.scoring import split_scores
from aelab.files import InputError, read_tensors, write_tensors
from aelab.runs import kept_scores
from aelab.runs.train import train_run
from aelab.settings import Recipe, RunSettings
from test_cli import ends_with

KEPT = "anomaly_scores.safetensors"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def rows_of(path: Path | str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def write_machine(path: Path, n: int, odd: int, seed: int = 0) -> None:
    """A table of a machine's readings; those of the last `odd` rows have no plausible flow."""
    draw = np.random.default_rng(seed)
    heat = draw.normal(60, 5, n)
    flow = 2 * heat + draw.normal(0, 1, n)
    flow[n - odd :] += 40
    noise = draw.normal(0, 1, n)
    lines = ["heat,flow,noise,state,broken"]
    for i in range(n):
        state = "normal" if i < n - odd else ("leak" if i % 2 else "jam")
        lines.append(f"{heat[i]:.4f},{flow[i]:.4f},{noise[i]:.4f},{state},{int(i >= n - odd)}")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, in ``run``, the table that it was trained on, and a new one."""
    folder = tmp_path_factory.mktemp("machine")
    write_machine(folder / "old.csv", 300, 0)
    write_machine(folder / "new.csv", 60, 12, seed=1)
    options = {"columns": ("heat", "flow", "noise"), "rows": "inputs"}
    aelab.train("pca", folder / "old.csv", latent_dim=2, out=folder / "run", **options)
    return folder


@pytest.fixture
def place(machine: Path, outside: Path) -> Path:
    """A copy of it to work in; its training data are where they were."""
    shutil.copytree(machine, outside, dirs_exist_ok=True)
    return outside


@pytest.fixture
def away(place: Path, machine: Path) -> Path:
    """The same without the training data."""
    config = json.loads(Path("run/config.json").read_text())
    assert Path(config["data"]["name"]) == machine / "old.csv"
    config["data"]["name"] = str(place / "gone.csv")
    Path("run/config.json").write_text(json.dumps(config))
    return place


# What a run keeps


@pytest.mark.parametrize("name", ["pca", "vae", "mean"])
def test_the_validation_scores_of_every_score_are_kept(
    blobs: InputDataset, tmp_path: Path, name: str
) -> None:
    hyperparameters = {} if name == "mean" else {"latent_dim": 3}
    settings = RunSettings(name, hyperparameters, recipe=Recipe(epochs=1 if name == "vae" else 0))
    run = train_run(settings, blobs, tmp_path / "run", groups=("reconstruction",))
    kept = read_tensors(tmp_path / "run" / KEPT)
    names = {"pca": {"reconstruction", "distance"}, "mean": {"reconstruction"}}
    expected = names.get(name, {"reconstruction", "bound", "distance"})
    assert {key.partition("/")[0] for key in kept} == expected
    for score in expected:
        found = kept_scores.kept_scores(run, score, lambda: pytest.fail("the data are not needed"))
        own = split_scores(run.model, blobs.split("validation"), score, found.fitted)
        torch.testing.assert_close(found.validation, own)
        assert len(own) == 40
    assert (tmp_path / "run" / KEPT).stat().st_size < 10_000


def test_a_run_that_kept_nothing_keeps_them_when_asked(blobs: InputDataset, tmp_path: Path) -> None:
    run = train_run(RunSettings("pca", {"latent_dim": 3}), blobs, tmp_path / "run")
    path = tmp_path / "run" / KEPT
    written = path.read_bytes()
    path.unlink()
    first = kept_scores.kept_scores(run, "distance", lambda: blobs)
    assert path.is_file()
    for score in ("reconstruction", "distance"):
        kept_scores.kept_scores(run, score, lambda: blobs)
    assert path.read_bytes() == written
    again = kept_scores.kept_scores(run, "distance", lambda: pytest.fail("is kept"))
    assert torch.equal(first.validation, again.validation)
    path.unlink()
    with pytest.raises(InputError, match="was trained on other data"):
        kept_scores.kept_scores(run, "distance", lambda: replace(blobs, sha256="x"))
    assert not path.exists()


def test_a_folder_that_may_not_be_written_to_serves_as_well(
    blobs: InputDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_run(RunSettings("pca", {"latent_dim": 3}), blobs, tmp_path / "run")
    (tmp_path / "run" / KEPT).unlink()

    def refuse(*_: object) -> None:
        raise InputError("cannot write")

    monkeypatch.setattr(kept_scores, "write_tensors", refuse)
    found = find_anomalies(run, open_inputs_of(blobs, tmp_path), blobs, tmp_path / "s.csv")
    assert found.limit is not None
    assert found.limit.of == 40
    with pytest.raises(InputError, match="what it was trained on was not given"):
        find_anomalies(run, open_inputs_of(blobs, tmp_path), None, tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def open_inputs_of(blobs: InputDataset, folder: Path) -> aelab.data.inputs.Inputs:
    np.save(folder / "new.npy", blobs.split("test").values[:9, 0].numpy())
    return open_inputs(folder / "new.npy", blobs.spec)


def test_many_validation_inputs_are_drawn(
    blobs: InputDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_scores, "MOST_SCORED", 25)
    run = train_run(RunSettings("pca", {"latent_dim": 3}), blobs, tmp_path / "run")
    kept = read_tensors(tmp_path / "run" / KEPT)["reconstruction/validation"]
    every = split_scores(run.model, blobs.split("validation"))
    assert len(kept) == 25
    assert set(kept.tolist()) < set(every.tolist())


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def others(path: Path) -> None:
    """As if copied from another run."""
    model = path.with_name("model.safetensors")
    tensors = read_tensors(model)
    write_tensors(model, {name: tensor + 1 for name, tensor in tensors.items()})


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (damaged, "is damaged; remove it, and it is made anew"),
        (changed, "is not as it was written; remove it"),
        (others, "is of other weights than the run's; remove it"),
    ],
)
def test_a_damaged_file_is_told_in_a_line(
    place: Path, capsys: pytest.CaptureFixture[str], harm: object, told: str
) -> None:
    harm(Path("run") / KEPT)
    ends_with(2, "anomalies", "run", "new.csv", "--out", "s.csv")
    error = capsys.readouterr().err
    assert f"aelab: run/{KEPT} {told}" in error
    assert error.count("\n") == 1
    assert not Path("s.csv").exists()
    Path("run", KEPT).unlink()
    ends_with(0, "anomalies", "run", "new.csv", "--out", "s.csv")


@pytest.mark.parametrize("score", ["reconstruction", "distance"])
def test_the_training_data_may_be_away(
    away: Path, capsys: pytest.CaptureFixture[str], score: str
) -> None:
    command = ("anomalies", "run", "new.csv", "--score", score, "--out", "s.csv")
    ends_with(0, *command)
    told = capsys.readouterr()
    assert "False alarms: 1 of 30 validation inputs score higher: 3.33 % (0.0844 to" in told.out
    assert told.err == ""
    ends_with(0, *command, "--label", "broken")  # but for the rivals
    told = capsys.readouterr()
    assert "AUROC" in told.out
    assert "aelab: rivals are fitted to the training data, which cannot be had:" in told.err
    assert "gone.csv" in told.err
    assert told.err.count("\n") == 1
    run = aelab.load("run")
    x = np.array([row_values(row) for row in rows_of("new.csv")], np.float32)
    scores = [float(row["score"]) for row in rows_of("s.csv")]
    np.testing.assert_allclose(run.score(x, score=score), scores, rtol=1e-4, atol=1e-8)


def test_the_page_needs_no_training_data(away: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(0, "report", "run")
    told = capsys.readouterr()
    assert "left out: Figures that are drawn of the data, which cannot be had:" in told.err
    page = Path("run/report.html").read_text("utf-8")
    assert "gone.csv" in page
    assert "Figures that are drawn of the data" in page
    mse = aelab.load("run").metrics["mse"]
    assert f"{mse:.4f}" in page
    assert (
        aelab.load("run").report(out="again").read_bytes() == Path("run/report.html").read_bytes()
    )
    ends_with(2, "report", "run", "--classes", "0")
    assert "classes are chosen of the data" in capsys.readouterr().err


def row_values(row: dict[str, str]) -> list[float]:
    return [float(row[name]) for name in ("heat", "flow", "noise")]


# Labels


@pytest.mark.parametrize(
    "words",
    [("--label", "broken"), ("--label", "state", "--anomaly-classes", "jam", "leak")],
)
def test_labels_tell_how_good_the_scores_are(
    place: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    ends_with(0, "anomalies", "run", "new.csv", *words, "--out", "s.csv")
    told = " ".join(capsys.readouterr().out.split())
    rows = rows_of("s.csv")
    odd = [row["label"] in ("1", "jam", "leak") for row in rows]
    assert sum(odd) == 12
    scores, called = [float(r["score"]) for r in rows], [r["anomaly"] == "true" for r in rows]
    auroc, precision = roc_auc_score(odd, scores), average_precision_score(odd, scores)
    found = sum(a and b for a, b in zip(odd, called, strict=True))
    false = sum(called) - found
    assert (
        f"{found} of 12 anomalies ({', '.join(words[3:]) or '1'}) are found, and {false} of 48"
        in told
    )
    assert f"AUROC {auroc:.4f}, average precision {precision:.4f}" in told
    assert all(f"{name} │ " in told for name in RIVALS)


def test_the_runs_own_label_is_taken_where_a_table_has_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads(Path("run/config.json").read_text())
    config["data"]["label"] = "broken"
    Path("run/config.json").write_text(json.dumps(config))
    ends_with(0, "anomalies", "run", "new.csv", "--out", "s.csv")
    assert "of 12 anomalies (1) are found" in " ".join(capsys.readouterr().out.split())
    head, *lines = Path("new.csv").read_text().splitlines()
    at = head.split(",").index("broken")
    rows = [line.split(",") for line in (head, *lines)]
    without = [[*row[:at], *row[at + 1 :]] for row in rows]
    rows[5][at] = ""  # a row whose class is not known
    for content in (without, rows):
        Path("other.csv").write_text("\n".join(map(",".join, content)) + "\n")
        ends_with(0, "anomalies", "run", "other.csv", "--out", "s.csv")
        assert "are found" not in capsys.readouterr().out


def test_the_result_has_the_rivals_and_the_confusion(place: Path) -> None:
    run = aelab.load("run")
    inputs = open_inputs("new.csv", run.spec, label="state")
    found = find_anomalies(
        run, inputs, run.data_to_fit, "s.csv", anomaly_classes=["jam"], false_alarm_rate=0.5
    )
    truth = found.truth
    assert truth is not None
    assert (truth.anomalies, truth.normal, truth.classes) == (6, 54, ("jam",))
    assert (truth.found, truth.missed) == (6, 0)
    assert truth.false_alarms == found.anomalies - 6
    assert truth.rivals.keys() == RIVALS.keys()
    x = np.array([row_values(row) for row in rows_of("old.csv")], np.float32)
    data = run.own_data()
    train = data.split("train").batch(torch.arange(len(data.split("train")))).numpy()
    assert len(x) > len(train)
    rows = inputs.batch(torch.arange(60)).numpy()
    jams = [row["state"] == "jam" for row in rows_of("new.csv")]
    for name, rival in RIVALS.items():
        scores = rival(0, code_size=2).fit(train).scores(rows)
        assert truth.rivals[name] == pytest.approx(roc_auc_score(jams, scores)), name
    # The run is a PCA, too, of the same number of components, of all training rows.
    assert truth.rivals["pca"] == pytest.approx(truth.auroc)


def test_inputs_that_were_trained_on_are_told_of(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the 300 rows of the old table, the 240 that were training rows."""
    lines = Path("new.csv").read_text().splitlines()
    Path("both.csv").write_text("\n".join(lines + Path("old.csv").read_text().splitlines()[1:]))
    ends_with(0, "anomalies", "run", "both.csv", "--label", "broken", "--out", "s.csv")
    assert "aelab: 240 of 360 inputs are training inputs: these" in capsys.readouterr().err
    ends_with(0, "anomalies", "run", "new.csv", "--label", "broken", "--out", "s.csv")
    assert capsys.readouterr().err == ""


def test_which_classes_are_anomalies_may_go_without_saying(place: Path) -> None:
    run = aelab.load("run")
    for label, trained_on, expected in [
        ("broken", None, ("1",)),
        ("state", None, ()),
        ("state", ("normal",), ("jam", "leak")),
        ("state", ("jam", "leak"), ("normal",)),
    ]:
        inputs = open_inputs("new.csv", run.spec, label=label)
        assert anomaly_classes(inputs, trained_on) == expected
    good = replace(inputs, classes=("bent", "good", "hole"))
    assert anomaly_classes(good, None) == ("bent", "hole")
    found = find_anomalies(run, open_inputs("new.csv", run.spec, label="state"), None, "s.csv")
    assert found.truth is None
    assert found.notes == (
        "no figures of how well anomalies are found: name the classes that are anomalies (jam, "
        "leak, normal …) with --anomaly-classes",
    )


def test_classes_that_are_neither_trained_on_nor_asked_for_are_left_aside(
    outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of the digits 0 and 1, asked for 7: digits of other classes are not normal to it."""
    aelab.train("pca", "digits", classes=("0", "1"), latent_dim=4, out="run")
    words = ("anomalies", "run", "digits:test", "--out", "s.csv", "--top", "0")
    ends_with(0, *words, "--anomaly-classes", "7")
    told = capsys.readouterr()
    rows = rows_of("s.csv")
    seven = [float(row["score"]) for row in rows if row["label"] == "7"]
    normal = [float(row["score"]) for row in rows if row["label"] in "01"]
    auroc = roc_auc_score([1] * len(seven) + [0] * len(normal), seven + normal)
    assert f"of {len(seven)} anomalies (7) are found, and" in told.out
    assert f"of {len(normal)} normal inputs are false alarms" in told.out
    assert f"AUROC {auroc:.4f}" in told.out
    others = 180 - len(seven) - len(normal)
    assert f"aelab: {others} inputs of other classes, not trained on, count neither as" in told.err
    ends_with(0, *words)  # all that was not trained on
    assert f"of {180 - len(normal)} anomalies (2, 3, 4" in capsys.readouterr().out
    run = aelab.load("run")
    again = find_anomalies(run, open_inputs("digits:test", run.spec), run.data_to_fit, "t.csv")
    assert again.truth is not None
    data = run.own_data()  # whose test split has those very inputs
    assert again.truth.auroc == pytest.approx(run.evaluate("test", data=data)["anomaly_auroc"])


def test_an_archive_has_its_labels_in_y(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of("new.csv")
    x = np.array([row_values(row) for row in rows], np.float32)
    np.savez("new.npz", X=x, y=[int(row["broken"]) for row in rows])
    ends_with(0, "anomalies", "run", "new.npz", "--out", "a.csv")
    of_archive = capsys.readouterr().out
    ends_with(0, "anomalies", "run", "new.csv", "--label", "broken", "--out", "a.csv")
    assert capsys.readouterr().out == of_archive
    assert "12 anomalies (1)" in of_archive


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--label none", "new.csv has no column 'none'"),
        ("--label state", "which classes of state are anomalies? name them with --anomaly-classes"),
        ("--label state --anomaly-classes dent", "no input is of the class 'dent'; there are jam"),
        ("--label state --anomaly-classes jam leak normal", "none of the 60 inputs is normal"),
        ("--anomaly-classes jam", "have no labels to tell anomalies by: --label names a column"),
        ("--score bound", "the model has no score 'bound': it is trained on no bound"),
        ("--score best", "there is no score 'best'; there are reconstruction, bound, distance"),
        ("--score distance --explain", "the score 'distance' cannot be explained; explain recon"),
        ("--false-alarm-rate 0.03", "30 validation inputs cannot tell a false-alarm rate of 0.03"),
        ("--top -1", "top must be 0 or more"),
    ],
)
def test_bad_input_is_told_in_a_line_and_nothing_written(
    place: Path, capsys: pytest.CaptureFixture[str], words: str, told: str
) -> None:
    before = set(Path().rglob("*"))
    ends_with(2, "anomalies", "run", "new.csv", "--out", "s.csv", *words.split())
    error = capsys.readouterr().err
    assert told in error
    if "top" not in words:  # of which the parser tells, in its box
        assert error.startswith("aelab: ")
        assert error.count("\n") == 1
    assert set(Path().rglob("*")) == before


def test_labels_without_anomalies(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_machine(Path("fine.csv"), 40, 0)
    for words in ("--label broken --anomaly-classes 0", "--label state --anomaly-classes normal"):
        ends_with(2, "anomalies", "run", "fine.csv", "--out", "s.csv", *words.split())
        assert "none of the 40 inputs is normal" in capsys.readouterr().err
    ends_with(2, "anomalies", "run", "fine.csv", "--out", "s.csv", "--label", "broken")
    assert "which classes of broken are anomalies?" in capsys.readouterr().err
    ends_with(2, "anomalies", "run", "x.npy", "--out", "s.csv", "--label", "broken")
    assert "x.npy does not exist" in capsys.readouterr().err
    np.save("x.npy", np.zeros((3, 3), np.float32))
    ends_with(2, "anomalies", "run", "x.npy", "--out", "s.csv", "--label", "broken")
    assert "x.npy is no table, and has no column 'broken': leave label" in capsys.readouterr().err
    assert not Path("s.csv").exists()


# Explanations


def test_the_shares_of_columns_are_in_the_table(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(0, "anomalies", "run", "new.csv", "--explain", "--top", "2", "--out", "s.csv")
    told = capsys.readouterr().out
    rows = rows_of("s.csv")
    names = ["share_heat", "share_flow", "share_noise"]
    assert list(rows[0]) == ["name", "score", "anomaly", *names]
    shares = np.array([[float(row[name]) for name in names] for row in rows])
    np.testing.assert_allclose(shares.sum(1), 1)
    run = aelab.load("run")
    x = np.array([row_values(row) for row in rows_of("new.csv")], np.float32)
    squared = ((run.reconstruct(x) - x) / np.array(run.spec.columns.std)) ** 2
    np.testing.assert_allclose(shares, squared / squared.sum(1, keepdims=True), atol=0.01)
    highest = max(range(60), key=lambda i: float(rows[i]["score"]))
    first = max(names, key=lambda name: float(rows[highest][name])).removeprefix("share_")
    assert f"\n{highest}: {first} " in told
    assert "Shares are of the score: columns of the table" in told
    found = find_anomalies(run, open_inputs("new.csv", run.spec), None, "t.csv", explain=True)
    assert found.reasons[0].startswith(f"{highest}: {first} ")
    assert found.maps is None
    assert len(found.reasons) == 10


def test_the_shares_of_a_variational_model_are_of_one_term(
    blobs: InputDataset, outside: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    settings = RunSettings("vae", {"latent_dim": 2, "hidden": [8]}, recipe=Recipe(epochs=1))
    train_run(settings, blobs, "run", groups=("reconstruction",))
    np.save("new.npy", blobs.split("test").values[:9, 0].numpy())
    ends_with(0, "anomalies", "run", "new.npy", "--explain", "--out", "s.csv")
    told = capsys.readouterr().out
    assert "Shares are of the score's reconstruction term: s.shares.npy" in told
    maps = np.load("s.shares.npy")
    assert (maps.shape, maps.dtype) == ((9, 12, 10), np.float32)
    np.testing.assert_allclose(maps.sum((1, 2)), 1, rtol=1e-5)
    assert list(rows_of("s.csv")[0]) == ["name", "score", "anomaly"]


def test_the_shares_of_a_signal_are_by_time(outside: Path) -> None:
    draw = np.random.default_rng(0)
    np.save("x.npy", draw.normal(size=(60, 2, 32)).astype(np.float32))
    run = aelab.train("pca", "x.npy", signal=True, latent_dim=3, out="run")
    assert run.spec.kind == "signals"
    found = find_anomalies(
        run, open_inputs("x.npy", run.spec), None, "s.csv", explain=True, false_alarm_rate=0
    )
    assert found.maps == Path("s.shares.npy")
    assert np.load("s.shares.npy").shape == (60, 32)


def test_the_shares_of_noise_levels_are_of_the_whole_score(outside: Path) -> None:
    draw = np.random.default_rng(0)
    np.save("x.npy", draw.normal(size=(60, 5)).astype(np.float32))
    train = "train noise-conditional --data x.npy --rows inputs --epochs 1 --latent-dim 2 --out run"
    ends_with(0, *train.split())
    run = aelab.load("run")
    told = "anomalies run x.npy --explain --false-alarm-rate 0 --out s.csv"
    ends_with(0, *told.split())
    model, x = run.autoencoder, open_inputs("x.npy", run.spec).batch(torch.arange(60))
    kept = kept_scores.kept_scores(run, "noise-levels", run.data_to_fit).fitted["mean"]
    with torch.no_grad():
        parts = [
            (model.reconstructed(x, torch.full((60,), sigma)) - x).double().square()
            / model.spec.peak**2
            / mean
            for sigma, mean in zip(model.levels(4), kept.tolist(), strict=True)
        ]
    whole = torch.stack(parts).sum(0)
    rows = rows_of("s.csv")
    scores = torch.tensor([float(row["score"]) for row in rows], dtype=torch.float64)
    torch.testing.assert_close(scores, whole.mean(1), rtol=1e-4, atol=0)
    names = [name for name in rows[0] if name.startswith("share_")]
    shares = torch.tensor([[float(row[name]) for name in names] for row in rows]).double()
    torch.testing.assert_close(shares, whole / whole.sum(1, keepdim=True), rtol=1e-3, atol=1e-6)


# A folder for finding defects


def test_of_a_folder_of_defects_the_test_images_are_scored(
    outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = np.random.default_rng(0)
    folders = {"train/good": 60, "test/good": 8, "test/hole": 3, "test/scratch": 2}
    for folder, count in folders.items():
        Path("bottle", folder).mkdir(parents=True)
        for i in range(count):
            pixels = draw.integers(0, 99, (8, 8), np.uint8)
            pixels[2:5, 2:5] = 0 if folder.endswith("good") else 255
            Image.fromarray(pixels).save(Path("bottle", folder, f"{i:03}.png"))
    masks = Path("bottle", "ground_truth", "hole")
    masks.mkdir(parents=True)
    for i in range(3):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(masks / f"{i:03}_mask.png")
    aelab.train("pca", "bottle", latent_dim=2, out="run")
    rate = ("--false-alarm-rate", "0.2", "--out")
    ends_with(0, "anomalies", "run", "bottle", *rate, "s.csv")
    told = capsys.readouterr()
    rows = rows_of("s.csv")
    assert {row["name"].rpartition("/")[0] for row in rows} == folders.keys() - {"train/good"}
    assert [row["label"] for row in rows] == ["good"] * 8 + ["hole"] * 3 + ["scratch"] * 2
    assert "of 5 anomalies (hole, scratch) are found" in told.out
    assert "AUROC 1.0000" in told.out
    assert "3 masks in ground_truth/ are left out" in told.err
    assert "its 13 test images are taken, and no others" in told.err
    ends_with(0, "anomalies", "run", "bottle/test", *rate, "t.csv")
    assert [row["score"] for row in rows_of("t.csv")] == [row["score"] for row in rows]
    assert "of 5 anomalies (hole, scratch) are found" in capsys.readouterr().out
    ends_with(0, "encode", "run", "bottle", "--out", "z.csv")  # all but the masks
    assert len(rows_of("z.csv")) == 73
