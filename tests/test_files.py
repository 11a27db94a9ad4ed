import json
import math
import os
import string
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab import files
from aelab.files import (
    AelabError,
    InputError,
    MissingFileError,
    atomic_folder,
    atomic_path,
    read_json,
    read_metadata,
    read_tensors,
    write_json,
    write_tensors,
    write_text,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(string.printable), inner),
    max_leaves=10,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def test_errors_are_what_python_would_raise_and_ours() -> None:
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, AelabError)
    assert issubclass(MissingFileError, AelabError)
    assert issubclass(MissingFileError, FileNotFoundError)
    assert str(MissingFileError("a line")) == "a line"


def test_atomic_path_makes_folders_and_leaves_one_file(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "a" / "picture.png"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".png"  # imaging libraries go by it
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, MissingFileError])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise error

    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "a.safetensors"
    with pytest.raises(InputError) as caught:
        write_tensors(path, {"a": torch.zeros(3)})
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*runs/a\.json"):
        write_json(tmp_path / "runs" / "a.json", {})
    with pytest.raises(InputError, match="cannot write"):
        write_text(tmp_path, "onto a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        write_text(tmp_path / "a.txt", "")


def test_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(3)})
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@settings(deadline=None)
@given(value=JSON)
def test_json_comes_back(folder: Path, value: Any) -> None:
    write_json(folder / "a.json", value)
    assert read_json(folder / "a.json") == value


def test_json_keeps_the_order_of_keys_and_ends_its_last_line(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "σ"})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "b": 1,\n  "a": "σ"\n}\n'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}])
def test_json_has_no_nan(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", value)
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None)
@given(content=st.binary(max_size=60))
def test_any_bytes_are_json_or_refused(folder: Path, content: bytes) -> None:
    path = folder / "any.json"
    path.write_bytes(content)
    try:
        expected = json.loads(content.decode(), parse_constant=int)  # int refuses NaN
    except ValueError:
        with pytest.raises(InputError, match=r"any\.json is damaged or not JSON"):
            read_json(path)
    else:
        assert read_json(path) == expected


@pytest.mark.parametrize(
    "content", [b"", b'{"a": 1', b"[NaN]", b"\xff{}", b"[" * 100_000, b"7" * 400]
)
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"config\.json is damaged or not JSON .* restore it"):
        read_json(path)


def test_json_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", '"12345678"')
    assert read_json(tmp_path / "a.json", limit=10) == "12345678"
    assert read_json(tmp_path / "a.json", limit=2**60) == "12345678"  # and no such buffer is made
    with pytest.raises(InputError, match=r"larger than 9 bytes"):
        read_json(tmp_path / "a.json", limit=9)


@pytest.mark.parametrize("read", [read_json, read_tensors, read_metadata])
def test_reading_what_is_no_file(tmp_path: Path, read: Any) -> None:
    with pytest.raises(MissingFileError, match=r"nowhere does not exist"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
)
def test_tensors_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "a.safetensors"
    square = torch.arange(6).reshape(2, 3).to(dtype)
    tensors = {"square": square, "turned": square.clone().T, "none": torch.zeros(0, dtype=dtype)}
    write_tensors(path, tensors)
    back = read_tensors(path)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == dtype
        assert torch.equal(back[name], tensor)


def test_parameters_come_back_as_tensors_that_may_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"weight": torch.nn.Parameter(torch.ones(3))})
    read_tensors(path)["weight"].add_(1)
    assert read_tensors(path)["weight"].tolist() == [1, 1, 1]


def test_same_tensors_same_bytes(tmp_path: Path) -> None:
    tensors = {"b": torch.ones(3), "a": torch.zeros(2)}
    metadata = {str(i): str(i) for i in range(8)}
    contents = set()
    for names in (metadata, dict(reversed(metadata.items()))):
        write_tensors(tmp_path / "a.safetensors", tensors, names)
        contents.add((tmp_path / "a.safetensors").read_bytes())
        assert read_metadata(tmp_path / "a.safetensors") == metadata
    assert len(contents) == 1
    write_tensors(tmp_path / "a.safetensors", tensors)
    assert read_metadata(tmp_path / "a.safetensors") == {}


@settings(deadline=None)
@given(cut=st.integers(0, 99), junk=st.binary(max_size=40))
def test_damaged_tensors_are_refused(folder: Path, cut: int, junk: bytes) -> None:
    path = folder / "model.safetensors"
    write_tensors(path, {"a": torch.arange(100)})
    whole = path.read_bytes()
    kept = whole[: len(whole) * cut // 100]
    for content in (kept, junk, b"\0" + junk + whole, whole + b"\0"):
        path.write_bytes(content)
        for read in (read_tensors, read_metadata):
            with pytest.raises(InputError, match=r"model\.safetensors is damaged or not safetens"):
                read(path)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="damaged or not safetensors"):
        read_tensors(path)


def test_importing_files_imports_no_torch() -> None:
    source = Path(files.__file__).read_text()
    assert "\nimport torch" not in source


def write_folder(path: Path, error: BaseException | None = None) -> None:
    with atomic_folder(path) as folder:
        (folder / "half").write_text("")
        if error is not None:
            raise error


def test_a_folder_is_whole_or_absent(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "deep" / "new") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "deep" / "new").exists()
    assert (tmp_path / "deep" / "new" / "a").read_text() == "1"
    with pytest.raises(InputError, match="new is there already; name a new folder"):
        write_folder(tmp_path / "deep" / "new")
    for error in (KeyboardInterrupt(), OSError(28, "No space left on device")):
        with pytest.raises((KeyboardInterrupt, InputError)):
            write_folder(tmp_path / "stopped", error)
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty")
    assert (tmp_path / "empty" / "half").exists()
