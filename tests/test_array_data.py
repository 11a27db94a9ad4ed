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

from aelab.data.arrays import described_shape
from aelab.data.input_sets import InputDataset
from aelab.data.inputs import open_inputs
from aelab.data.loading import load
from aelab.data.preparation import prepare, restore
from aelab.data.specs import InputSpec
from aelab.data.splits import held_out
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
        ((20, 7), (7,)),
    ],
)
def test_shapes(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    array = noise(*shape)
    data = opened(saved(tmp_path / "x.npy", array))
    assert data.spec == InputSpec(expected)
    split = data.split("validation")
    original = array[split.index.numpy()] / 255
    if shape[1:] == (6, 5, 3):
        original = original.transpose(0, 3, 1, 2)
    x = split.batch(torch.arange(len(split)))
    assert np.allclose(x, original.reshape(x.shape), atol=1e-7)
    assert f"20 {described_shape(expected)}, uint8; no classes" in data.notes[0]


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
    assert x.min() >= 0
    assert x.max() <= 1 + 1e-6
    stored = restore(x, data.spec).double()
    spread = data.spec.high - data.spec.low
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
