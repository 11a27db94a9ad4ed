import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import aelab
import aelab.cli
from aelab.data.axes import described_shape
from aelab.data.input_sets import InputDataset
from aelab.data.inputs import open_inputs
from aelab.data.loading import load
from aelab.data.preparation import prepare, restore
from aelab.data.specs import InputSpec
from aelab.data.splits import held_out
from aelab.evaluate.features import cache_path
from aelab.files import InputError, MissingFileError


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(pooch, "os_cache", lambda project: folder)
    return folder


def opened(path: Path | str, **settings: Any) -> InputDataset:
    data = load(str(path), **settings)
    assert isinstance(data, InputDataset)
    return data


def opened_array(x: NDArray[Any], **settings: Any) -> InputDataset:
    data = load(x, **settings)
    assert isinstance(data, InputDataset)
    return data


def noise(*shape: int, seed: int = 0, dtype: str = "uint8") -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape).astype(dtype)


def saved(path: Path, array: NDArray[Any]) -> Path:
    np.save(path, array)
    return path


# Shapes and values


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((20, 6, 5), (1, 6, 5)),
        ((20, 6, 5, 3), (3, 6, 5)),
        ((20, 3, 6, 5), (3, 6, 5)),
        ((20, 12, 16, 16), (12, 16, 16)),
        ((20, 4, 4, 4), (4, 4, 4)),
        ((20, 9, 9, 200), (200, 9, 9)),
        ((20, 200, 9, 9), (200, 9, 9)),
        ((20, 1, 1, 30), (1, 1, 30)),
        ((20, 1, 14), (1, 14)),
        ((20, 14, 1), (1, 14)),
        ((20, 7), (7,)),
    ],
)
def test_shapes(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    array = noise(*shape)
    data = opened(saved(tmp_path / "x.npy", array))
    assert data.spec == InputSpec(expected)
    split = data.split("validation")
    original = array[split.index.numpy()] / 255
    if shape[1:] in ((6, 5, 3), (9, 9, 200)):
        original = original.transpose(0, 3, 1, 2)
    x = split.batch(torch.arange(len(split)))
    assert np.allclose(x, original.reshape(x.shape), atol=1e-7)
    assert f"20 {described_shape(expected)}, uint8; no classes" in data.notes[0]


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((20, 6, 5, 3), None),
        ((20, 3, 32, 32), None),
        ((20, 6, 5), None),
        ((20, 9, 9, 200), "of the axes [n, 9, 9, 200] the last of an input was taken for the"),
        ((20, 12, 16, 16), "of the axes [n, 12, 16, 16] the first of an input"),
        ((20, 3, 3, 48), "the last of an input"),
        ((20, 1, 140), "an array of the shape [n, 1, 140] holds signals"),
    ],
)
def test_what_was_guessed_is_told(shape: tuple[int, ...], told: str | None) -> None:
    notes = opened_array(noise(*shape)).notes[1:]
    assert len(notes) == (told is not None)
    assert told is None or told in notes[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    array=npst.arrays(
        dtype=st.sampled_from(["uint8", "uint16", "float32", "float64", ">f4", "int32", "bool"]),
        shape=npst.array_shapes(min_dims=2, max_dims=4, min_side=3, max_side=6),
    )
)
def test_preparation_is_undone(tmp_path: Path, array: NDArray[Any]) -> None:
    if array.dtype.kind == "f":
        array = np.nan_to_num(array.clip(-1e6, 1e6))
    if array.dtype not in (np.uint8, np.uint16):  # a range, which needs two values
        array[..., 0], array[..., 1] = 0, 1
    data = opened(saved(tmp_path / "x.npy", array))
    train = data.split("train")
    everything = torch.arange(len(train))
    x = train.batch(everything)
    assert x.dtype == torch.float32
    stored = restore(x, data.spec).double()
    spread = data.spec.high - data.spec.low
    if data.spec.columns:
        spread = max(data.spec.columns.std)
    else:
        assert x.min() >= 0
        assert x.max() <= 1 + 1e-6
    assert torch.allclose(stored, train.values[train.index].double(), atol=1e-5 * spread)


def test_the_range_is_the_training_split_s(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((100, 2, 2))
    splits = opened(saved(tmp_path / "x.npy", array)).splits
    rows = splits["train"].index.numpy()
    array[rows[:2], 0, 0] = -3, 5
    array[splits["validation"].index[0]] = -13
    array[splits["test"].index[0]] = 21
    data = opened(saved(tmp_path / "wider.npy", array))
    assert data.split("train").index.tolist() == rows.tolist()
    assert (data.spec.low, data.spec.high, data.spec.dtype) == (-3, 5, "float32")
    assert "training values lie between -3 and 5" in data.notes[1]
    first = torch.arange(1)
    assert data.split("validation").batch(first).unique().tolist() == pytest.approx([-10 / 8])
    assert data.split("test").batch(first).unique().tolist() == pytest.approx([24 / 8])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_whole_numbers_are_rounded_and_clipped(dtype: str) -> None:
    high = np.iinfo(dtype).max
    values = torch.tensor([[-3.0, 1.4, 1.6, high - 0.6, high - 0.4, high + 2.0]])
    spec = InputSpec((6,), 1 / high, high=high, dtype=dtype)
    assert restore(values / high, spec).tolist() == [[0, 1, 2, high - 1, high, high]]


def test_pixel_scale_counts_from_the_largest_value(tmp_path: Path) -> None:
    for dtype in ("uint8", "uint16"):
        array = np.full((10, 4), np.iinfo(dtype).max, dtype=dtype)
        data = opened(saved(tmp_path / "x.npy", array), scale=2 / 255)
        assert data.spec.peak == pytest.approx(2)
        assert data.split("train").batch(torch.arange(8)).unique().tolist() == pytest.approx([2])


def test_large_offsets_lose_nothing(tmp_path: Path) -> None:
    array = 1.6e9 + np.arange(40.0).reshape(10, 4)
    data = opened(saved(tmp_path / "x.npy", array))
    rows = data.split("train").index
    x = data.split("train").batch(torch.arange(8))
    spread = data.spec.high - data.spec.low
    expected = (torch.from_numpy(array)[rows] - data.spec.low) / spread
    assert torch.allclose(x.double(), expected, atol=1e-6)


def test_arrays_stay_in_their_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npy", noise(30, 4, 4))
    data = opened(path)
    with path.open("rb+") as file:  # what changes in the file changes in the data
        file.seek(-30 * 16, 2)
        file.write(bytes(30 * 16))
    assert data.split("train").values.count_nonzero() == 0


# The part of a type's range that is used


@pytest.mark.parametrize(
    ("dtype", "most", "high"),
    [
        ("uint16", 4094, 4095),
        ("uint16", 4096, 8191),
        ("uint16", 1000, 1023),
        ("uint16", 2**14 - 1, 2**14 - 1),
        ("uint16", 2**14, 65535),
        ("uint16", 65535, 65535),
        ("uint16", 1, 1),
        ("uint16", 0, 65535),
        ("uint8", 1, 1),
        ("uint8", 0, 255),
        ("uint8", 2, 255),  # a dark photograph
        ("uint8", 255, 255),
    ],
)
def test_integers_that_use_a_part_of_their_range(dtype: str, most: int, high: int) -> None:
    array = noise(80, 6, 6, dtype=dtype).clip(0, most)
    array[:, 0, 0] = most
    data = opened_array(array)
    assert (data.spec.low, data.spec.high, data.spec.dtype) == (0, high, dtype)
    train = data.split("train")
    x = train.batch(torch.arange(len(train)))
    assert x.max().item() == pytest.approx(most / high)
    assert torch.equal(restore(x, data.spec).int(), train.values[train.index].int())
    whole = high == np.iinfo(dtype).max
    assert [f"0 to {high:,}: x = value / {high}" in note for note in data.notes[1:]] == (
        [] if whole else [True]
    )


def test_the_part_that_is_used_is_the_training_split_s() -> None:
    array = noise(100, 2, 2) % 2
    held = opened_array(array).split("test").index[0]
    array[held] = 200
    data = opened_array(array)
    assert data.spec.high == 1
    assert data.split("test").batch(torch.arange(1)).unique().tolist() == [200]


def test_a_range_by_hand() -> None:
    deep = noise(80, 6, 6, dtype="uint16") % 4000
    spec = opened_array(deep, range=(0.0, 65535.0)).spec
    assert spec == InputSpec((1, 6, 6), 1 / 65535, high=65535, dtype="uint16")
    data = opened_array(deep / 1000 - 2, range=(-2.0, 2.0), scale=2 / 255)
    assert (data.spec.low, data.spec.high, data.spec.peak) == (-2, 2, pytest.approx(2))
    assert data.notes[1] == "x counts from -2 to 2, as asked for"
    beyond = "values go from 0 to 3999, beyond the range that is asked for"
    deep[0, 0, 0], deep[0, 0, 1] = 0, 3999
    assert opened_array(deep, range=(0.0, 100.0)).notes[-1] == beyond
    drawn = opened_array(deep, range=(0.0, 100.0), binarise=True).split("test")
    assert set(drawn.batch(torch.arange(8)).unique().tolist()) <= {0, 1}
    with pytest.raises(InputError, match="holds uint16, of 0 to 65535; the range from -1 to 9 goe"):
        opened_array(deep, range=(-1.0, 9.0))
    with pytest.raises(InputError, match="range must be two finite numbers, the lower first"):
        opened_array(deep, range=(9.0, 1.0))
    with pytest.raises(InputError, match="not finite"):
        opened_array(np.full((9, 3), np.nan), range=(0.0, 1.0))


def test_features_are_kept_by_the_range() -> None:
    deep = noise(80, 6, 6, dtype="uint16") % 4000
    places = {
        cache_path(opened_array(deep, range=asked)) for asked in (None, (0, 4095), (0, 65535))
    }
    assert len(places) == 2


def test_a_run_of_another_range_is_measured_by_its_own(tmp_path: Path) -> None:
    """A run keeps its preparation, whatever range would be found today."""
    path = saved(tmp_path / "x.npy", noise(40, 6, 6, dtype="uint16") % 4000)
    run = aelab.train("pca", path, latent_dim=2, range=(0.0, 65535.0), out=tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for younger in ("range", "signal", "volume", "window"):
        del config["data"][younger]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    old = aelab.load(tmp_path / "run")
    assert opened(path).spec != old.spec == old.own_data().spec
    assert old.evaluate()["mse"] == run.metrics["mse"]


# Columns of features


def people(n: int = 100) -> NDArray[Any]:
    """Heights in metres, incomes, a column that does not vary, and one of rounding."""
    drawn = np.random.default_rng(0)
    height, income = drawn.normal(1.7, 0.1, n), drawn.normal(40_000, 9_000, n)
    return np.stack([height, income, np.full(n, 7.0), 1 + 1e-15 * (np.arange(n) % 3)], 1)


def test_columns_of_unlike_scales_are_standardised_each() -> None:
    x = people()
    data = opened_array(x)
    train = data.split("train")
    rows = x[train.index.numpy()]
    assert data.spec.columns is not None
    assert data.spec.columns.names == ("0", "1", "2", "3")
    assert np.allclose(data.spec.columns.mean, rows.mean(0))
    assert np.allclose(data.spec.columns.std, [*rows.std(0)[:2], 1, 1])
    seen = train.batch(torch.arange(len(train)))
    assert np.allclose(seen[:, :2], (rows - rows.mean(0))[:, :2] / rows.std(0)[:2], atol=1e-6)
    assert seen[:, 2:].abs().max() < 1e-6
    assert np.allclose(restore(seen, data.spec), rows, rtol=1e-6)
    assert "the 4 columns are of unlike scales" in data.notes[1]
    assert data.notes[2] == "columns that do not vary, counted from 0: 2, 3"


def test_columns_in_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = opened_array(people()).spec.columns
    monkeypatch.setattr("aelab.data.ranges.VALUES", 28)  # seven rows
    assert whole is not None
    assert (found := opened_array(people()).spec.columns) is not None
    assert np.allclose(found.mean, whole.mean)
    assert np.allclose(found.std, whole.std)


def test_columns_that_are_alike_have_one_range() -> None:
    spectra = np.random.default_rng(0).random((50, 30)) * np.linspace(0.5, 1, 30)
    for alike in (spectra, load_digits().data, people()[:, :1], noise(50, 3)):
        data = opened_array(alike)
        assert data.spec.columns is None
        assert data.spec.bounded
    by_hand = opened_array(people(), range=(0.0, 1e5))
    assert (by_hand.spec.columns, by_hand.spec.high) == (None, 1e5)


def test_a_run_takes_and_gives_columns_in_their_own_units(tmp_path: Path) -> None:
    x = people()
    run = aelab.train("pca", x, latent_dim=4, out=tmp_path / "run")
    assert np.allclose(run.reconstruct(x), x, rtol=1e-4)
    assert np.isfinite(run.score(x)).all()
    assert run.sample(200)[:, 1].mean().item() == pytest.approx(40_000, rel=0.2)
    lines = [",".join(map(repr, row)) for row in x.tolist()]
    (tmp_path / "people.csv").write_text("\n".join(["m,income,seven,one", *lines]))
    assert isinstance(run.spec, InputSpec)
    for path in (saved(tmp_path / "x.npy", x), tmp_path / "people.csv"):
        inputs = open_inputs(path, run.spec)
        assert np.allclose(restore(inputs.batch(torch.arange(100)), run.spec), x, rtol=1e-6)


# Signals and volumes


@pytest.mark.parametrize(
    ("shape", "asked", "expected"),
    [
        ((20, 14), "signal", (1, 14)),
        ((20, 1, 14), "signal", (1, 14)),
        ((20, 3, 14), "signal", (3, 14)),
        ((20, 14, 3), "signal", (3, 14)),
        ((20, 4, 5, 6), "volume", (1, 4, 5, 6)),
        ((20, 2, 4, 5, 6), "volume", (2, 4, 5, 6)),
        ((20, 4, 5, 6, 2), "volume", (2, 4, 5, 6)),
    ],
)
def test_signals_and_volumes_are_what_is_asked_for(
    tmp_path: Path, shape: tuple[int, ...], asked: str, expected: tuple[int, ...]
) -> None:
    array = noise(*shape)
    data = opened_array(array, **{asked: True})
    assert (data.spec, data.spec.kind) == (InputSpec(expected), "signals")
    split = data.split("test")
    original = array[split.index.numpy()] / 255
    if shape[-1] == expected[0]:
        original = np.moveaxis(original, -1, 1)
    x = split.batch(torch.arange(len(split)))
    assert np.allclose(x, original.reshape(x.shape), atol=1e-7)
    assert f"20 {described_shape(expected)}" in data.notes[0]
    inputs = open_inputs(saved(tmp_path / "x.npy", array), data.spec)  # it is not asked again
    assert torch.equal(inputs.batch(split.index), x)


@pytest.mark.parametrize(
    ("shape", "asked", "told"),
    [
        ((20, 4, 5, 6), {"signal": True}, r"an array of signals has the shape \[n, length\], "),
        ((20, 4, 5), {"volume": True}, r"an array of volumes has the shape \[n, depth, height,"),
        ((20, 3, 4, 5, 6), {}, "volumes are read with --volume"),
        ((20, 4), {"signal": True, "volume": True}, "either signals or volumes"),
    ],
)
def test_arrays_that_do_not_hold_what_is_asked_for(
    shape: tuple[int, ...], asked: dict[str, bool], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        opened_array(noise(*shape), **asked)


@pytest.mark.parametrize(
    "asked", [{"range": (0.0, 9.0)}, {"signal": True}, {"volume": True}, {"window": 4}]
)
def test_what_the_data_would_not_heed_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"{next(iter(asked))} is for .*, which digits is not"):
        opened("digits", **asked)
    with pytest.raises(InputError, match="window is for sounds, which an array in memory is not"):
        opened_array(noise(20, 4), window=4)


@pytest.mark.parametrize(
    ("shape", "asked"),
    [((30, 1, 24), {}), ((30, 24), {"signal": True}), ((30, 8, 8, 8), {"volume": True})],
)
def test_convolutions_go_along_signals_and_volumes(
    tmp_path: Path, shape: tuple[int, ...], asked: dict[str, bool]
) -> None:
    x = noise(*shape)
    small = {"latent_dim": 2, "channels": (2,), "epochs": 1.0}
    run = aelab.train("convolutional", x, out=tmp_path / "run", **asked, **small)
    dimensions = len(run.autoencoder.spec.shape) - 1
    kernel = next(run.autoencoder.parameters())
    assert len(kernel.shape[2:]) == dimensions
    assert len(set(kernel.shape[2:])) == 1
    assert (run.reconstruct(x).shape, run.reconstruct(x).dtype) == (x.shape, x.dtype)
    aelab.cli.main(["sample", str(run.folder), "-n", "3", "--out", str(tmp_path / "s.npy")])
    assert np.load(tmp_path / "s.npy").shape == (3, *run.autoencoder.spec.shape)
    assert run.report().is_file()


# Archives and folders


def test_archive_and_folder_are_alike(tmp_path: Path) -> None:
    arrays = {
        "x_train": noise(20, 5, 5),
        "y_train": np.array(["b", "a"] * 10),
        "x_val": noise(4, 5, 5, seed=1),
        "y_val": np.array(["a", "c", "a", "b"]),
        "x_test": noise(3, 5, 5, seed=2),
        "y_test": np.array(["c", "c", "b"]),
        "other": np.arange(3),
    }
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    (tmp_path / "folder").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / "folder" / f"{name}.npy", array)
    packed, loose = opened(tmp_path / "a.npz"), opened(tmp_path / "folder")
    for data in (packed, loose):
        assert {name: len(split) for name, split in data.splits.items()} == {
            "train": 20,
            "validation": 4,
            "test": 3,
        }
        assert data.classes == ("a", "b", "c")
        assert data.split("test").labels.tolist() == [2, 2, 1]
        x = data.split("validation").batch(torch.arange(4))
        assert torch.equal(x[:, 0], torch.from_numpy(arrays["x_val"]) * (1 / 255))
    assert packed.sha256 == loose.sha256


def test_keras_names_and_a_missing_validation_split(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "mnist.npz",
        x_train=noise(30, 4, 4),
        y_train=np.arange(30) % 3,
        x_test=noise(6, 4, 4),
        y_test=np.arange(6)[:, None] % 3,
    )
    data = opened(tmp_path / "mnist.npz")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 27,
        "validation": 3,
        "test": 6,
    }
    held = data.split("validation")
    assert sorted(held.labels[held.index].tolist()) == [0, 1, 2]  # stratified


# Inputs of a trained run


def test_inputs_take_the_layout_of_the_run(tmp_path: Path) -> None:
    spec = InputSpec((5, 4, 3))
    channels_last = noise(6, 4, 3, 5)
    inputs = open_inputs(saved(tmp_path / "x.npy", channels_last), spec)
    assert np.allclose(
        inputs.batch(torch.arange(6)), channels_last.transpose(0, 3, 1, 2) / 255, atol=1e-7
    )
    assert (inputs.names[3], list(inputs.names[1:3]), len(inputs.names)) == ("3", ["1", "2"], 6)
    assert inputs.paths is None


@pytest.mark.parametrize(
    ("array", "spec", "told"),
    [
        (
            noise(3, 4, 4),
            InputSpec((1, 5, 4)),
            "holds images of 4×4 with .* takes images",
        ),
        (noise(3, 4, 4), InputSpec((1, 4, 4), dtype="uint16"), r"\(uint8\); .*\(uint16\)"),
        (noise(3, 4), InputSpec((1, 2, 2)), "holds rows of 4 features"),
        (noise(4), InputSpec((1, 2, 2)), r"has the shape \(4,\); an array of inputs"),
        (np.array(["a", "b"]), InputSpec((1,)), "holds <U1; inputs are numbers"),
        (np.full((2, 2), np.nan), InputSpec((2,), dtype="float32"), "example 0 holds a value that"),
    ],
)
def test_arrays_of_another_kind_are_refused(
    tmp_path: Path, array: NDArray[Any], spec: InputSpec, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        open_inputs(saved(tmp_path / "x.npy", array), spec)


def test_inputs_of_a_named_split() -> None:
    spec = opened("digits").spec
    inputs = open_inputs("digits:test", spec)
    expected = opened("digits").split("test")
    i = torch.arange(len(inputs))
    assert torch.equal(inputs.batch(i), expected.batch(i))
    assert inputs.labels is not None
    assert torch.equal(inputs.labels, expected.classes_of(i))
    with pytest.raises(InputError, match="name a split, as digits:test"):
        open_inputs("digits", spec)
    with pytest.raises(InputError, match="digits has no split 'most'"):
        open_inputs("digits:most", spec)
    with pytest.raises(InputError, match="karate is a graph"):
        open_inputs("karate:test", spec)
    with pytest.raises(InputError, match="another range"):
        open_inputs("digits:test", InputSpec((1, 8, 8)))


def test_digits_are_scikit_learn_s() -> None:
    data = opened("digits")
    index = torch.cat([split.index for split in data.splits.values()])
    assert sorted(index.tolist()) == list(range(1797))
    x = prepare(data.split("train").values, data.spec)
    assert np.allclose(x[:, 0], load_digits().images / 16)
    assert data.classes == tuple("0123456789")


# Splits


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_splits_are_stratified_and_whole(sizes: list[int]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    if len(labels) < 3:
        return
    drawn = held_out(labels, ["validation", "test"])
    assert sorted(np.concatenate(list(drawn.values())).tolist()) == list(range(len(labels)))
    assert all(len(index) for index in drawn.values())
    for split in ("validation", "test"):
        for number, size in enumerate(sizes):
            assert abs((labels[drawn[split]] == number).sum() - size / min(10, len(labels))) <= 1


# Mistakes


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([{"a": 1}] * 4, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="is damaged or no array"):
        opened(path)
    path.write_bytes(pickle.dumps([1, 2, 3]))
    with pytest.raises(InputError, match="is damaged or no array"):
        opened(path)


def test_damaged_files(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npy", noise(30, 4, 4))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"x is damaged or no array"):
        opened(path)
    content = bytearray(saved(tmp_path / "x.npy", noise(30, 400)).read_bytes())
    content[8:10] = (7000).to_bytes(2, "little")  # of its head
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"its head has more than 1,000 characters"):
        opened(path)
    archive = tmp_path / "a.npz"
    np.savez_compressed(archive, x=noise(30, 40, 40))
    archive.write_bytes(archive.read_bytes()[:-3000])
    with pytest.raises(InputError, match=r"is damaged or no .npz file"):
        opened(archive)
    np.savez(archive, x=noise(300, 40))
    content = bytearray(archive.read_bytes())
    content[5000] ^= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged or no .npz file"):
        opened(archive)
    with pytest.raises(MissingFileError, match="does not exist"):
        opened(tmp_path / "nowhere.npy")


def test_values_far_beyond_the_training_values(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 5))
    path = saved(tmp_path / "x.npy", x)
    held_out = opened(path).split("validation").index[0]
    x[held_out, 2] = 1e161  # a float64, of which float32 makes infinity
    with pytest.raises(InputError, match=r"1e\+161, too far beyond the training values; leave out"):
        opened(saved(path, x))
    spec = InputSpec((5,), 255.0, low=0.0, high=1.0, dtype="float32")
    with pytest.raises(InputError, match=r"too far beyond the training values"):
        open_inputs(path, spec)


def test_an_archive_that_would_fill_the_disk(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY")
    content = (tmp_path / "bomb.npz").read_bytes()
    size = (6).to_bytes(4, "little")  # in both headers, the size unpacked follows the one packed
    claimed = content.replace(size + size, size + (2**32 - 2).to_bytes(4, "little"))
    (tmp_path / "bomb.npz").write_bytes(claimed)
    with pytest.raises(InputError, match=r"unpacks to 4,294,967,294 bytes|is damaged"):
        opened(tmp_path / "bomb.npz")


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"a": noise(9, 4), "b": noise(9, 4)}, "holds the arrays a, b; name the inputs x"),
        ({"x_test": noise(9, 4)}, "no split train"),
        ({"x": noise(9, 4), "y": np.arange(8)}, "classes are 9 whole numbers or names"),
        ({"x_train": noise(9, 4), "x_test": noise(9, 5)}, "of different shapes or types"),
        ({"x_train": noise(9, 4), "x_test": noise(9, 4), "y_train": np.arange(9)}, "add y_test"),
        ({"x": np.full((9, 4), np.inf)}, "example 0 holds a value that is not finite"),
        ({"x": np.full((9, 4), 2.5)}, "all training values are 2.5"),
        ({"x": noise(2, 4)}, "holds only 2 to train on"),
    ],
)
def test_archives_that_cannot_be_used(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], told: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=told):
        opened(tmp_path / "a.npz")


# Larger than memory

LIMITED = """
import resource
from pathlib import Path
import torch
from aelab.data.loading import load

limit = 900 * 2**20  # less than the array, and what PyTorch takes for itself
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
data = load("large.npy")
train = data.split("train")
x = train.batch(torch.randperm(len(train))[:64])
print(len(train), tuple(x.shape), x.max().item(), train.values.nbytes > limit)
"""


def test_an_array_larger_than_the_memory_allowed(tmp_path: Path, own_cache: Path) -> None:
    array = np.lib.format.open_memmap(
        tmp_path / "large.npy", mode="w+", dtype=np.uint8, shape=(100_000, 3, 64, 64)
    )
    array[:, 0, 0, 0] = 255  # the rest is a hole in the file
    array.flush()
    environment = {**os.environ, "XDG_CACHE_HOME": str(own_cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "80000 (64, 3, 64, 64) 1.0 True"
