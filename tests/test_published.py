"""MNIST, KMNIST and CIFAR-10 by name, from small files that are taken for the published ones."""

import gzip
import hashlib
import io
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch

from aelab.data import cifar
from aelab.data.cifar import ARCHIVE, CIFAR10, FOLDER, CifarFile
from aelab.data.idx_files import FASHION_MNIST, KMNIST, MNIST, SETS, IdxSet
from aelab.data.input_sets import InputDataset
from aelab.data.loading import load
from aelab.data.published import stratified
from aelab.files import InputError, MissingFileError

CLOSED = "http://127.0.0.1:9/"  # the discard port: nothing listens there
TRAIN, TEST = 20, 5


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without data and network."""
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
    monkeypatch.delenv("AELAB_DATA", raising=False)


def loaded(name: str, folder: Path | None = None, splits: str = "standard") -> InputDataset:
    data = load(name, data_dir=folder, splits=splits)
    assert isinstance(data, InputDataset)
    return data


# MNIST and KMNIST


def idx_contents(of: IdxSet) -> dict[str, bytes]:
    """Four small IDX files that differ from set to set; the class of image i is i modulo 10."""
    made = {}
    first = len(of.name)
    for part, n in (("train", TRAIN), ("t10k", TEST)):
        pixels = np.repeat(np.arange(first, first + n, dtype=np.uint8), 28 * 28).tobytes()
        made[f"{part}-images-idx3-ubyte"] = struct.pack(">4I", 2051, n, 28, 28) + pixels
        labels = bytes((i + first) % 10 for i in range(n))
        made[f"{part}-labels-idx1-ubyte"] = struct.pack(">2I", 2049, n) + labels
    return made


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def write(of: IdxSet, folder: Path, *, end: str = ".gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in idx_contents(of).items():
        (folder / f"{name}{end}").write_bytes(packed(content) if end else content)
    return folder


@pytest.fixture(autouse=True)
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for of in (FASHION_MNIST, MNIST, KMNIST):
        contents = idx_contents(of)
        files = tuple(
            replace(
                file,
                shape=(TRAIN if "train" in file.name else TEST, *file.shape[1:]),
                sha256=hashlib.sha256(
                    packed(contents[file.name]) if file.compressed else contents[file.name]
                ).hexdigest(),
            )
            for file in of.files
        )
        small = replace(
            of, files=files, counts=(TRAIN, TEST), validation=10, mirrors=(CLOSED,), package=None
        )
        monkeypatch.setitem(SETS, of.name, small)


@pytest.mark.parametrize("of", [MNIST, KMNIST], ids=lambda of: of.name)
def test_a_set_is_found_by_its_name_and_split_as_published(of: IdxSet, tmp_path: Path) -> None:
    data = loaded(of.name, write(of, tmp_path / "all" / of.name).parent)
    first = len(of.name)
    train = data.split("train")
    assert train.values[:, 0, 3, 3].tolist() == [
        *range(first, first + TRAIN),
        *range(first, first + TEST),
    ]
    assert train.values.shape == (TRAIN + TEST, 1, 28, 28)
    assert data.split("test").index.tolist() == list(range(TRAIN, TRAIN + TEST))
    both = torch.cat([train.index, data.split("validation").index])
    assert sorted(both.tolist()) == list(range(TRAIN))
    assert data.split("validation").classes.bincount().tolist() == [1] * 10
    assert len(data.classes) == 10
    assert data.name == of.name


def test_sets_with_files_of_the_same_names_stay_apart(tmp_path: Path) -> None:
    """In folders of their names; lying directly in the folder, one is not taken for the other."""
    write(MNIST, tmp_path / "all" / "mnist")
    write(KMNIST, tmp_path / "all" / "KMNIST" / "raw")
    write(FASHION_MNIST, tmp_path / "all")
    values = [
        loaded(name, tmp_path / "all").split("train").values[0, 0, 0, 0].item()
        for name in ("mnist", "kmnist", "fashion-mnist")
    ]
    assert values == [len("mnist"), len("kmnist"), len("fashion-mnist")]
    only = write(FASHION_MNIST, tmp_path / "only")
    for name in ("mnist", "kmnist"):
        with pytest.raises(InputError, match=rf"not {name.upper()}'s .* folder {name} keeps them"):
            loaded(name, only)


def test_the_cache_is_looked_into_and_the_network_told(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError) as caught:
        loaded("mnist")
    said = str(caught.value)
    assert said.startswith("MNIST not found. Tried: ")
    assert f"{CLOSED}train-images-idx3-ubyte.gz (ConnectionError)" in said
    assert "Debian" not in said
    write(MNIST, tmp_path / "cache" / "mnist")
    assert len(loaded("mnist").split("test")) == TEST


def test_what_cannot_be_verified_uncompressed_is_not_taken(tmp_path: Path) -> None:
    """Of KMNIST only the compressed files' checksums are published."""
    write(MNIST, tmp_path / "mnist", end="")
    assert len(loaded("mnist", tmp_path).split("test")) == TEST
    write(KMNIST, tmp_path / "kmnist", end="")
    with pytest.raises(MissingFileError, match=r"kmnist \(has none of the four \.gz files\)"):
        loaded("kmnist", tmp_path)
    write(KMNIST, tmp_path / "kmnist")
    assert len(loaded("kmnist", tmp_path).split("test")) == TEST
    path = tmp_path / "kmnist" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), mtime=1))
    with pytest.raises(InputError, match=r"t10k-labels.*not KMNIST's .* it has SHA-256"):
        loaded("kmnist", tmp_path)


def test_unequal_classes_keep_their_shares_in_validation() -> None:
    """As MNIST's are: a tenth of each, to one image, and so many in all as were asked for."""
    labels = np.repeat(np.arange(3, dtype=np.uint8), [601, 55, 44])
    shares = stratified(labels, 70, 3)
    assert sum(shares) == 70
    assert all(
        abs(share - count / 10) < 1 for share, count in zip(shares, [601, 55, 44], strict=True)
    )


# CIFAR-10


def cifar_contents() -> dict[str, bytes]:
    """Six small files: image i of all has red i, green 100, blue 200; its class is i modulo 10."""
    made, first = {}, 0
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        images = [
            bytes([i % 10]) + bytes([i]) * 1024 + bytes([100]) * 1024 + bytes([200]) * 1024
            for i in range(first, first + 4)
        ]
        made[name] = b"".join(images)
        first += 4
    return made


def archive_of(contents: dict[str, bytes]) -> bytes:
    """A tar file, compressed, with other members before and after."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        members = {"../outside.bin": b"x", **{f"{FOLDER}/{n}": c for n, c in contents.items()}}
        for name, content in {**members, f"{FOLDER}/readme.html": b"words"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def take_as_published(monkeypatch: pytest.MonkeyPatch, archive: bytes = b"") -> None:
    files = tuple(
        CifarFile(name, 4, hashlib.sha1(content, usedforsecurity=False).hexdigest())
        for name, content in cifar_contents().items()
    )
    small = replace(
        CIFAR10,
        files=files,
        counts=(20, 4),
        sha256=hashlib.sha256(archive).hexdigest(),
        mirrors=(CLOSED,),
        validation=10,
    )
    monkeypatch.setattr(cifar, "CIFAR10", small)


def refuse_wrong_colours(data: InputDataset) -> None:
    train = data.split("train")
    assert train.values.shape == (24, 3, 32, 32)
    assert train.values[:, 0, 5, 7].tolist() == list(range(24))
    assert train.values[:, 1:, 31, 31].unique(dim=0).tolist() == [[100, 200]]
    assert train.labels.tolist() == [i % 10 for i in range(24)]
    assert data.split("test").index.tolist() == [20, 21, 22, 23]
    assert len(data.split("validation")) == 10
    assert data.classes[3] == "cat"


@pytest.mark.parametrize("layout", ["", "cifar10", FOLDER, f"cifar10/{FOLDER}"])
def test_cifar10_from_its_six_files(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_as_published(monkeypatch)
    folder = tmp_path / "mine" / layout
    folder.mkdir(parents=True)
    for name, content in cifar_contents().items():
        (folder / name).write_bytes(content)
    refuse_wrong_colours(loaded("cifar10", tmp_path / "mine"))
    assert len(loaded("cifar10", tmp_path / "mine", "original").split("train")) == 20


def test_cifar10_from_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members by their exact names; no file is written."""
    archive = archive_of(cifar_contents())
    take_as_published(monkeypatch, archive)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ARCHIVE).write_bytes(archive)
    refuse_wrong_colours(loaded("cifar10", tmp_path / "mine"))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [ARCHIVE]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c[:-1], r"holds 12,291 bytes, uncompressed; expected 12,292"),
        (lambda c: c + b"x", r"holds more than 12,292 bytes"),
        (lambda c: c[:-1] + b"x", r"is damaged or not CIFAR-10's: its SHA-1 is"),
    ],
)
def test_a_damaged_file_of_cifar10(
    change: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(change)
    take_as_published(monkeypatch)
    for name, content in cifar_contents().items():
        (tmp_path / name).write_bytes(change(content) if "3" in name else content)
    with pytest.raises(InputError, match=rf"data_batch_3.bin {said}.*or give cifar-10-binary"):
        loaded("cifar10", tmp_path)


def test_an_archive_that_is_not_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = archive_of(cifar_contents())
    take_as_published(monkeypatch, good)
    (tmp_path / ARCHIVE).write_bytes(good[:-20])
    with pytest.raises(InputError, match=rf"{ARCHIVE} is damaged or not CIFAR-10's binary version"):
        loaded("cifar10", tmp_path)
    contents = cifar_contents()
    for content, said in (
        ({**contents, "test_batch.bin": contents["test_batch.bin"][:-9]}, "holds 12,283 bytes"),
        ({"test_batch.bin": contents["test_batch.bin"]}, f"lacks {FOLDER}/data_batch_1.bin, "),
    ):
        other = archive_of(content)
        take_as_published(monkeypatch, other)
        (tmp_path / ARCHIVE).write_bytes(other)
        with pytest.raises(InputError, match=said):
            loaded("cifar10", tmp_path)


def test_cifar10_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_as_published(monkeypatch)
    (tmp_path / "data_batch_1.bin").write_bytes(cifar_contents()["data_batch_1.bin"])
    with pytest.raises(MissingFileError) as caught:
        loaded("cifar10", tmp_path)
    said = str(caught.value)
    assert f"{tmp_path} (lacks data_batch_2.bin, " in said
    assert f"{tmp_path / 'cache' / 'cifar10'} (has neither {ARCHIVE} nor the six files" in said
    assert f"{CLOSED}{ARCHIVE} (ConnectionError)" in said
