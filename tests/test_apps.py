"""A trained run at work: codes, restored files, samples, interpolations, anomalies."""

import csv
import errno
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

import aelab
from aelab.apps import streams
from aelab.apps.anomalies import error_map, find_anomalies
from aelab.apps.encode import encode
from aelab.apps.generate import interpolate, interpolation, write_samples
from aelab.apps.pixels import write_image
from aelab.apps.restore import denoise, reconstruct
from aelab.data.input_sets import InputDataset
from aelab.data.inputs import Inputs, open_inputs
from aelab.data.loading import load_settings
from aelab.evaluate.anomaly import anomaly_scores
from aelab.files import AelabError, InputError
from aelab.models.sampling import sample
from aelab.runs.measure import samples
from aelab.runs.store import Run
from aelab.runs.train import train_run
from aelab.settings import DataSettings, Recipe, RunSettings
from test_cli import ends_with

RECIPE = Recipe(epochs=1, batch_size=32)
SHAPE = (1, 12, 10)
ROUNDED = 0.5 + 1e-3
"""What rounding to a whole number changes at most; and other chunks, in the last digits."""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven inputs at a time: everything is done in several chunks."""
    monkeypatch.setattr(streams, "CHUNK_VALUES", 7 * 120)


@pytest.fixture(scope="module")
def run(blobs: InputDataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = RunSettings("vae", {"latent_dim": 3, "hidden": [20]}, recipe=RECIPE)
    return train_run(settings, blobs, tmp_path_factory.mktemp("vae"))


@pytest.fixture(scope="module")
def denoiser(blobs: InputDataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = RunSettings("denoising", {"channels": (4,), "noise_level": 0.2}, recipe=RECIPE)
    return train_run(settings, blobs, tmp_path_factory.mktemp("denoising"))


def stored(blobs: InputDataset, n: int = 20) -> np.ndarray:
    return blobs.split("test").values[:n].numpy()


@pytest.fixture
def photos(blobs: InputDataset, tmp_path: Path) -> Path:
    """Twenty PNG files in the folders of two classes, one TIFF, and a text."""
    folder = tmp_path / "photos"
    for number, image in enumerate(stored(blobs)):
        path = folder / ("even" if number % 2 == 0 else "odd") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    Image.fromarray(stored(blobs)[3, 0]).save(folder / "even" / "last.tif")
    (folder / "notes.png").write_text("no image")
    return folder


@pytest.fixture
def inputs(run: Run, photos: Path) -> Inputs:
    return open_inputs(photos, run.spec)


def all_of(inputs: Inputs) -> torch.Tensor:
    return inputs.batch(torch.arange(len(inputs)))


def expected_codes(run: Run, inputs: Inputs) -> np.ndarray:
    with torch.no_grad():
        return run.model.encode(all_of(inputs)).numpy()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_codes_are_the_same_in_every_kind_of_file(run: Run, inputs: Inputs, tmp_path: Path) -> None:
    expected = expected_codes(run, inputs)
    done: list[int] = []
    for kind in ("csv", "parquet", "npy"):
        encode(run, inputs, tmp_path / f"codes.{kind}", on_done=done.append)
    assert done == 3 * [7, 7, 7]
    np.testing.assert_allclose(np.load(tmp_path / "codes.npy"), expected, rtol=1e-5, atol=1e-6)
    rows = rows_of(tmp_path / "codes.csv")
    assert [row["name"] for row in rows] == list(inputs.names)
    assert [row["label"] for row in rows] == ["even"] * 11 + ["odd"] * 10
    values = [[float(row[f"z{i}"]) for i in range(3)] for row in rows]
    assert (np.float32(values) == np.load(tmp_path / "codes.npy")).all()
    table = parquet.read_table(tmp_path / "codes.parquet").to_pydict()
    assert list(table) == ["name", "label", "z0", "z1", "z2"]
    assert table["name"] == list(inputs.names)
    assert table["label"] == [row["label"] for row in rows]
    assert (np.float32(table["z2"]) == np.load(tmp_path / "codes.npy")[:, 2]).all()
    names = rows_of(tmp_path / "codes.names.csv")
    assert [(row["name"], row["label"]) for row in names] == [
        (row["name"], row["label"]) for row in rows
    ]


def test_output_does_not_depend_on_the_size_of_chunks(
    run: Run, blobs: InputDataset, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = (1, 4, 1000)
    for size in sizes:
        monkeypatch.setattr(streams, "CHUNK_VALUES", size * 120)
        out = tmp_path / str(size)
        encode(run, inputs, out / "codes.csv")
        encode(run, inputs, out / "codes.npy")
        reconstruct(run, inputs, out / "restored")
        find_anomalies(run, inputs, blobs, out / "scores.csv")
    for name in ("codes.csv", "codes.names.csv", "scores.csv"):
        first, *others = (rows_of(tmp_path / str(size) / name) for size in sizes)
        for other in others:
            assert [told(row) for row in other] == [told(row) for row in first]
            np.testing.assert_allclose(figures(other), figures(first), rtol=1e-4, atol=1e-5)
    codes, *others = (np.load(tmp_path / str(size) / "codes.npy") for size in sizes)
    for other in others:
        np.testing.assert_allclose(other, codes, rtol=1e-5, atol=1e-6)
    for name in inputs.names:
        pictures = [Image.open(tmp_path / str(size) / "restored" / name) for size in sizes]
        first, *others = (np.asarray(picture, dtype=float) for picture in pictures)
        assert all(np.abs(other - first).max() <= 1 for other in others)


def told(row: dict[str, str]) -> dict[str, str]:
    """What a row of a table says that is no number."""
    return {name: row[name] for name in ("name", "label", "anomaly") if name in row}


def figures(rows: list[dict[str, str]]) -> list[list[float]]:
    """The numbers of a table's rows."""
    return [[float(text) for name, text in row.items() if name not in told(row)] for row in rows]


def test_every_application_is_a_call_of_the_package() -> None:
    for name in aelab.PUBLIC:
        assert callable(getattr(aelab, name)), name


def test_codes_of_an_array_are_named_by_row(run: Run, blobs: InputDataset, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", stored(blobs)[:, 0])
    encode(run, open_inputs(tmp_path / "a.npy", run.spec), tmp_path / "codes.csv")
    rows = rows_of(tmp_path / "codes.csv")
    assert list(rows[0]) == ["name", "z0", "z1", "z2"]
    assert [row["name"] for row in rows] == [str(i) for i in range(20)]


def test_restored_images_keep_name_size_and_format(
    run: Run, inputs: Inputs, tmp_path: Path
) -> None:
    reconstruct(run, inputs, tmp_path / "out")
    assert inputs.paths is not None
    with torch.no_grad():
        x_hat = run.model(all_of(inputs))
    for number, (name, original) in enumerate(zip(inputs.names, inputs.paths, strict=True)):
        with Image.open(tmp_path / "out" / name) as restored, Image.open(original) as given:
            assert (restored.format, restored.size, restored.mode) == (
                given.format, given.size, given.mode
            )  # fmt: skip
            by_hand = 255 * x_hat[number, 0].numpy()
            assert np.abs(np.asarray(restored, dtype=float) - by_hand).max() <= ROUNDED
    assert len(list((tmp_path / "out").rglob("*.*"))) == len(inputs)


def test_side_by_side_has_the_original_on_the_left(
    run: Run, inputs: Inputs, tmp_path: Path
) -> None:
    reconstruct(run, inputs, tmp_path / "alone")
    reconstruct(run, inputs, tmp_path / "both", side_by_side=True)
    assert inputs.paths is not None
    name, original = inputs.names[4], inputs.paths[4]
    both = np.asarray(Image.open(tmp_path / "both" / name))
    assert (both[:, :10] == np.asarray(Image.open(original))).all()
    assert (both[:, 10:] == np.asarray(Image.open(tmp_path / "alone" / name))).all()


@pytest.mark.parametrize("layout", ["plane", "first", "last"])
def test_a_restored_array_keeps_layout_and_type(
    run: Run, blobs: InputDataset, tmp_path: Path, layout: str
) -> None:
    images = stored(blobs)
    array = {"plane": images[:, 0], "first": images, "last": images.transpose(0, 2, 3, 1)}[layout]
    np.save(tmp_path / "mine.npy", array)
    inputs = open_inputs(tmp_path / "mine.npy", run.spec)
    reconstruct(run, inputs, tmp_path / "out")
    restored = np.load(tmp_path / "out" / "mine.npy")
    assert (restored.shape, restored.dtype) == (array.shape, array.dtype)
    with torch.no_grad():
        x_hat = run.model(all_of(inputs)).numpy().reshape(restored.shape)
    assert np.abs(restored - 255 * x_hat).max() <= ROUNDED
    reconstruct(run, inputs, tmp_path / "both", side_by_side=True)
    axis = 2 if layout != "first" else 3
    both = np.load(tmp_path / "both" / "mine.npy")
    assert (np.take(both, range(10), axis) == array).all()
    assert (np.take(both, range(10, 20), axis) == restored).all()


def test_restored_whole_numbers_are_rounded(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(-40, 40, (50, 4)).astype(np.int32)
    np.save(tmp_path / "mine.npy", array)
    settings = DataSettings(name=str(tmp_path / "mine.npy"))
    asked = RunSettings("pca", {"latent_dim": 2}, settings, Recipe(epochs=0))
    run = train_run(asked, load_settings(settings), tmp_path / "run", groups=("anomalies",))
    inputs = open_inputs(tmp_path / "mine.npy", run.spec)
    reconstruct(run, inputs, tmp_path / "out")
    restored = np.load(tmp_path / "out" / "mine.npy")
    assert restored.dtype == np.int32
    by_hand = run.model(all_of(inputs)).numpy() * (run.spec.high - run.spec.low) + run.spec.low
    assert np.abs(restored - by_hand).max() <= ROUNDED


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_restored_table_is_in_the_units_of_its_columns(tmp_path: Path, suffix: str) -> None:
    random = np.random.default_rng(0)
    weight = random.normal(1000, 50, 60)
    columns = {"weight": weight, "length": weight / 10 + random.normal(0, 0.5, 60)}
    separator = "\t" if suffix == ".tsv" else ","
    path = tmp_path / f"mine{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pyarrow.table(columns), path)
    else:
        lines = [
            separator.join(columns),
            *(f"{a}{separator}{b}" for a, b in zip(*columns.values(), strict=True)),
        ]
        path.write_text("\n".join(lines))
    settings = DataSettings(name=str(path), rows="inputs")
    asked = RunSettings("pca", {"latent_dim": 2}, settings, Recipe(epochs=0))
    run = train_run(asked, load_settings(settings), tmp_path / "run", groups=("anomalies",))
    inputs = open_inputs(path, run.spec)
    reconstruct(run, inputs, tmp_path / "out")
    encode(run, inputs, tmp_path / "codes.npy")
    assert np.load(tmp_path / "codes.npy").shape == (60, 2)
    back = open_inputs(tmp_path / "out" / f"mine{suffix}", run.spec)  # two of two: without loss
    torch.testing.assert_close(all_of(back), all_of(inputs), atol=1e-4, rtol=0)
    with pytest.raises(InputError, match="rows of features cannot be put side by side"):
        reconstruct(run, inputs, tmp_path / "both", side_by_side=True)


def test_only_a_run_trained_on_noise_removes_it(
    run: Run, denoiser: Run, inputs: Inputs, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="was trained without noise and removes none"):
        denoise(run, inputs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    denoise(denoiser, inputs, tmp_path / "out")
    reconstruct(denoiser, inputs, tmp_path / "same")
    for name in inputs.names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "same" / name).read_bytes()


@pytest.mark.parametrize(
    ("suffix", "channels", "dtype"),
    [
        (".png", 1, "uint8"),
        (".png", 2, "uint8"),
        (".png", 3, "uint8"),
        (".png", 4, "uint8"),
        (".png", 1, "uint16"),
        (".tif", 1, "uint16"),
        (".tif", 1, "float32"),
        (".webp", 3, "uint8"),
        (".bmp", 3, "uint8"),
    ],
)
def test_image_files_hold_the_values(
    tmp_path: Path, suffix: str, channels: int, dtype: str
) -> None:
    values = (np.random.default_rng(0).random((channels, 5, 7)) * 255).astype(dtype)
    path = tmp_path / f"a{suffix}"
    write_image(path, values, path)
    back = np.asarray(Image.open(path))
    assert (back.reshape(5, 7, channels).transpose(2, 0, 1) == values).all()
    assert back.dtype == values.dtype


def test_what_a_format_cannot_hold_is_told(tmp_path: Path) -> None:
    for name, values in (
        ("a.jpg", np.zeros((4, 5, 7), np.uint8)),
        ("a.png", np.zeros((3, 5, 7), np.uint16)),
    ):
        with pytest.raises(InputError, match=rf"{name}: \w+ cannot hold this image"):
            write_image(tmp_path / name, values, tmp_path / name)


def test_samples_in_a_folder_an_array_and_a_picture(run: Run, tmp_path: Path) -> None:
    write_samples(run, 11, tmp_path / "s.npy", seed=3, temperature=0.5)
    write_samples(run, 11, tmp_path / "s", seed=3, temperature=0.5)
    write_samples(run, 11, tmp_path / "s.png", seed=3)
    array = np.load(tmp_path / "s.npy")
    drawn = sample(run.model, 11, seed=3, temperature=0.5, prior=run.prior).numpy()
    assert (array == np.rint(255 * drawn)).all()
    files = sorted((tmp_path / "s").iterdir())
    assert [file.name for file in files] == [f"{i:02}.png" for i in range(11)]
    assert all(
        (np.asarray(Image.open(f)) == image[0]).all() for f, image in zip(files, array, strict=True)
    )
    picture = io.BytesIO()
    samples(run, 11, seed=3).save(picture, format="PNG")
    assert (tmp_path / "s.png").read_bytes() == picture.getvalue()


def test_interpolation_begins_and_ends_at_the_reconstructions(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    x = run.spec and open_inputs(photos, run.spec).batch(torch.tensor([0, 5]))
    with torch.no_grad():
        way = interpolate(run.model, x[:1], x[1:], steps=5)
        torch.testing.assert_close(way[[0, 4]], run.model(x))
        middle = run.model.decode(run.model.encode(x).mean(0, keepdim=True))
    torch.testing.assert_close(way[2:3], middle)
    strip = interpolation(run, f"{photos}/even/00.png", f"{photos}:3", steps=3)
    tiles = -(-56 // 12)
    assert strip.width >= 5 * 10 * tiles
    np.save(tmp_path / "a.npy", np.zeros((4, 12, 10), np.uint8))
    for where, said in (
        (f"{photos}", "holds 21 inputs; name one, as"),
        (f"{photos}:21", "has no input 21: they are 0 to 20"),
        (f"{tmp_path}/a.npy:4", "has no input 4: they are 0 to 3"),
        (f"{tmp_path}/nowhere.png", "does not exist"),
    ):
        with pytest.raises(AelabError, match=said):
            interpolation(run, where, f"{photos}:0")
    with pytest.raises(InputError, match="steps must be 2 or more"):
        interpolation(run, f"{photos}:0", f"{photos}:1", steps=1)


def test_anomalies_by_the_rate_of_false_alarms(
    run: Run, blobs: InputDataset, inputs: Inputs, tmp_path: Path
) -> None:
    validation = blobs.split("validation").batch(torch.arange(40))
    with torch.no_grad():
        normal, scores = (anomaly_scores(run.model, x) for x in (validation, all_of(inputs)))
    for rate in (0.0, 0.1, 0.5):
        found = find_anomalies(run, inputs, blobs, tmp_path / "s.csv", false_alarm_rate=rate, top=4)
        assert (normal > found.threshold).sum() <= rate * 40
        assert (normal >= found.threshold).sum() > rate * 40  # no lower one would do
        rows = rows_of(tmp_path / "s.csv")
        assert [float(row["score"]) for row in rows] == pytest.approx(scores.tolist(), rel=1e-4)
        assert [row["anomaly"] for row in rows] == [
            str(float(row["score"]) > found.threshold).lower() for row in rows
        ]
        assert found.anomalies == sum(row["anomaly"] == "true" for row in rows)
        assert list(found.highest) == scores.argsort(descending=True)[:4].tolist()
    for rate in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match="false-alarm rate must be from 0 up to 1"):
            find_anomalies(run, inputs, blobs, tmp_path / "t.csv", false_alarm_rate=rate)
    with pytest.raises(InputError, match="was trained on other data"):
        find_anomalies(run, inputs, replace(blobs, sha256="x"), tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_without_the_runs_own_data_the_kept_threshold_serves(
    blobs: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("mine.npy", stored(blobs)[:, 0])
    data = DataSettings(name=str(outside / "mine.npy"))
    settings = RunSettings("pca", {"latent_dim": 2}, data, Recipe(epochs=0))
    train_run(settings, load_settings(data), "run", groups=("anomalies",))
    np.save("new.npy", stored(blobs, 10)[:, 0])
    command = ("anomalies", "run", "new.npy", "--false-alarm-rate", "0.5", "--out")
    ends_with(0, *command, "s.csv")
    told = capsys.readouterr().out
    assert "of 10 score above" in told
    Path("mine.npy").unlink()
    ends_with(0, *command, "t.csv")
    assert capsys.readouterr().out == told.replace("s.csv", "t.csv").replace("s.png", "t.png")
    assert Path("t.csv").read_bytes() == Path("s.csv").read_bytes()
    Path("run", "anomaly_scores.safetensors").unlink()  # a run of an earlier version
    ends_with(2, *command, "u.csv")
    error = capsys.readouterr().err
    assert "run keeps no such scores of its validation inputs, and the data that it was" in error
    assert error.count("\n") == 1
    assert not Path("u.csv").exists()


def test_an_error_map_is_white_where_the_error_is_largest() -> None:
    error = torch.zeros(2, 3, 2, 2)
    error[0, 1, 0, 0], error[1, :, 1, 1] = -0.3, 0.1
    expected = torch.zeros(2, 2, 2)
    expected[0, 0, 0], expected[1, 1, 1] = 1.0, 1 / 3
    torch.testing.assert_close(error_map(error), expected[:, None].expand(2, 3, 2, 2))


class FullDisk(io.RawIOBase):
    """Takes nothing."""

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


APPLICATIONS = {
    "encode": lambda run, inputs, folder, data: encode(run, inputs, folder / "codes.npy"),
    "table": lambda run, inputs, folder, data: encode(run, inputs, folder / "codes.csv"),
    "reconstruct": lambda run, inputs, folder, data: reconstruct(run, inputs, folder / "new"),
    "sample": lambda run, inputs, folder, data: write_samples(run, 9, folder / "new"),
    "array": lambda run, inputs, folder, data: write_samples(run, 9, folder / "new.npy"),
    "anomalies": lambda run, inputs, folder, data: find_anomalies(
        run, inputs, data, folder / "s.parquet"
    ),
}


@pytest.mark.parametrize("name", APPLICATIONS)
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"),
                                   KeyboardInterrupt()])  # fmt: skip
def test_a_full_disk_or_control_c_leaves_nothing(
    run: Run,
    inputs: Inputs,
    blobs: InputDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: BaseException,
) -> None:
    def stop(*_: object, **__: object) -> torch.Tensor:
        raise error

    folder = tmp_path / "results"
    folder.mkdir()
    model = type(run.model)
    target = "encode" if name in ("encode", "table") else "decode"
    if name == "anomalies":
        monkeypatch.setattr("aelab.evaluate.scoring.Score.finite", stop)
    else:
        _ = run.model
        monkeypatch.setattr(model, target, stop)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else InputError
    with pytest.raises(expected) as caught:
        APPLICATIONS[name](run, inputs, folder, blobs)
    if expected is InputError:
        assert f"cannot write {folder}/" in str(caught.value)
        assert "No space left on device" in str(caught.value)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_unwritable_place_is_told_in_one_line(
    run: Run, inputs: Inputs, blobs: InputDataset, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file"):
        APPLICATIONS[name](run, inputs, tmp_path / "file", blobs)


def test_a_folder_with_something_in_it_is_left_alone(
    run: Run, inputs: Inputs, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="mine is there already; name a new folder"):
        reconstruct(run, inputs, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_the_verbs(tiny: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fast = ["--epochs", "1", "--batch-size", "100", "--threads", "1", "--precision", "float32"]
    small = ["--channels", "4", "8", "--latent-dim", "8"]
    ends_with(0, "train", "denoising", "--data", "tiny", *fast, *small, "--out", "run")
    pixels = tiny.split("test").values[tiny.split("test").index[:5], 0].numpy()
    for number, image in enumerate(pixels):
        Path("in").mkdir(exist_ok=True)
        Image.fromarray(image).save(f"in/{number}.png")
    Path("in/readme.txt").write_text("not an image")
    capsys.readouterr()
    ends_with(0, "encode", "run", "in", "--out", "codes.csv")
    captured = capsys.readouterr()
    assert captured.out == "5 inputs: codes.csv\n"
    assert captured.err.startswith("left out: readme.txt ")
    ends_with(0, "reconstruct", "run", "in", "--out", "restored")
    ends_with(0, "denoise", "run", "in/3.png", "--out", "one", "--side-by-side")
    with Image.open("one/3.png") as both:
        assert both.size == (56, 28)
    ends_with(0, "sample", "run", "-n", "3", "--temperature", "0.3", "--out", "three")
    assert len(list(Path("three").iterdir())) == 3
    ends_with(0, "interpolate", "run", "in:0", "in/1.png", "--steps", "4", "--out", "way.png")
    capsys.readouterr()
    ends_with(0, "anomalies", "run", "tiny:test", "--out", "scores.csv", "--top", "3")
    captured = capsys.readouterr()
    assert "of 150 score above" in captured.out
    assert len(rows_of(Path("scores.csv"))) == 150
    assert set(rows_of(Path("scores.csv"))[0]) == {"name", "label", "score", "anomaly"}
    with Image.open("scores.png") as picture:
        assert picture.height > 3 * 56


@pytest.fixture(scope="module")
def ready(slice_of_fashion: InputDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of PCA on the data set ``tiny``, made once."""
    folder = tmp_path_factory.mktemp("ready") / "run"
    settings = RunSettings("pca", {"latent_dim": 3}, DataSettings(name="tiny"), Recipe(epochs=0))
    groups = ("reconstruction",)
    return train_run(settings, replace(slice_of_fashion, name="tiny"), folder, groups=groups).folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["encode", "run", "nowhere", "--out", "c.csv"], "nowhere does not exist"),
        (["encode", "run", "empty", "--out", "c.csv"], "empty is an empty folder"),
        (["encode", "run", "wide", "--out", "c.csv"], "wide holds nothing that the run takes"),
        (["encode", "run", "colour.npy", "--out", "c.csv"], "the run takes images of 28×28 with"),
        (["encode", "run", "in", "--out", "c.txt"], "codes are written as .npy, .csv, .parquet"),
        (["encode", "run", "in", "--strict", "--out", "c.csv"], "in"),
        (["denoise", "run", "in", "--out", "new"], "was trained without noise"),
        (["reconstruct", "run", "in"], "name a new folder for what is restored with --out"),
        (["sample", "run", "--out", "s.jpg"], "samples of images are written as .png, .npy or"),
        (["sample", "run", "-n", "0", "--out", "s"], "number of samples must be 1 or more"),
        (["sample", "run", "-n", "5000", "--out", "s.png"], "a picture shows up to 1,024"),
        (["sample", "run", "--temperature", "-1", "--out", "s"], "temperature must be a number"),
        (["interpolate", "run", "in", "in:0"], "in holds 2 inputs; name one, as in:0"),
        (["anomalies", "run", "in", "--out", "s.npy"], "tables are written as .csv, .parquet"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    tiny: InputDataset, ready: Path, outside: Path, capsys: pytest.CaptureFixture[str],
    arguments: list[str], said: str,
) -> None:  # fmt: skip
    shutil.copytree(ready, "run")
    for folder, size in (("in", (28, 28)), ("wide", (30, 28))):
        Path(folder).mkdir()
        for number in range(2):
            Image.new("L", size, 9 * number).save(f"{folder}/{number}.png")
    Path("in/readme.txt").write_text("not an image")
    Path("empty").mkdir()
    np.save("colour.npy", np.zeros((2, 28, 28, 3), np.uint8))
    before = set(outside.rglob("*"))
    ends_with(2, *arguments)
    error = capsys.readouterr().err.splitlines()
    assert said in error[-1]
    assert all(line.startswith("left out:") for line in error[:-1])
    assert set(outside.rglob("*")) == before
