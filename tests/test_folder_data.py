import io
import resource
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

import aelab
import aelab.cli
from aelab.data import cache, folders
from aelab.data.image_files import PIXEL_LIMIT, Kind, Wanted, grey, kind_of, quiet, read, resize
from aelab.data.input_sets import InputDataset
from aelab.data.inputs import open_inputs
from aelab.data.loading import load
from aelab.data.specs import InputSpec
from aelab.files import InputError, MissingFileError
from aelab.runs.store import Run
from aelab.settings import DataSettings


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(pooch, "os_cache", lambda project: folder)
    return folder


def noise(*shape: int, seed: int = 0, dtype: str = "uint8") -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape).astype(dtype)


def save(path: Path, values: NDArray[Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG file, also of a kind that Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Twelve cats and eight dogs of 6×5 pixels in colour, lossless; each image is another."""
    for i in range(12):
        save(tmp_path / "zoo" / "cat" / f"{i:02}.png", noise(6, 5, 3, seed=i))
    for i in range(8):
        save(tmp_path / "zoo" / "dog" / f"{i:02}.webp", noise(6, 5, 3, seed=100 + i), lossless=True)
    return tmp_path / "zoo"


def opened(path: Path, **settings: Any) -> InputDataset:
    data = load(str(path), **settings)
    assert isinstance(data, InputDataset)
    return data


def values(path: Path, **wanted: Any) -> NDArray[Any]:
    found = read(path, Wanted(**wanted))
    assert not isinstance(found, str), found
    kind = kind_of(path, Wanted(**wanted))
    assert isinstance(kind, Kind)  # what the head promises is what comes
    assert (kind.shape, kind.dtype) == (found.shape, str(found.dtype))
    return found


# One file


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm", "tga", "jp2"])
def test_lossless_formats_give_their_values(tmp_path: Path, suffix: str) -> None:
    image = noise(7, 9, 3)
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", image, **options)
    assert np.array_equal(values(path), image.transpose(2, 0, 1))


def test_jpeg_is_near(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    path = save(tmp_path / "a.jpg", smooth, quality=95)
    assert np.abs(values(path).transpose(1, 2, 0).astype(int) - smooth).mean() < 3


def test_modes(tmp_path: Path) -> None:
    assert values(save(tmp_path / "l.png", noise(4, 5))).shape == (1, 4, 5)
    assert values(save(tmp_path / "la.png", noise(4, 5, 2))).shape == (2, 4, 5)
    assert values(save(tmp_path / "rgba.png", noise(4, 5, 4))).shape == (4, 4, 5)
    one_bit = tmp_path / "1.png"
    Image.fromarray(noise(4, 5)).convert("1").save(one_bit)
    assert set(np.unique(values(one_bit))) <= {0, 255}
    palette = tmp_path / "p.png"
    colours = Image.new("P", (2, 1))
    colours.putpalette([10, 20, 30, 40, 50, 60])
    colours.putdata([0, 1])
    colours.save(palette)
    assert values(palette)[:, 0].T.tolist() == [[10, 20, 30], [40, 50, 60]]
    colours.save(palette, transparency=0)
    assert values(palette)[:, 0].T.tolist() == [[10, 20, 30, 0], [40, 50, 60, 255]]
    cmyk = tmp_path / "cmyk.tif"
    Image.new("CMYK", (3, 2), (0, 255, 255, 0)).save(cmyk)
    assert values(cmyk)[:, 0, 0].tolist() == [255, 0, 0]


def test_sixteen_bits_and_floats_are_kept(tmp_path: Path) -> None:
    deep = noise(4, 5, dtype="uint16")
    for suffix in ("png", "tif"):
        assert np.array_equal(values(save(tmp_path / f"a.{suffix}", deep))[0], deep)
    floats = np.linspace(-1, 7, 20, dtype=np.float32).reshape(4, 5)
    assert np.array_equal(values(save(tmp_path / "f.tif", floats))[0], floats)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((6, 7, 5), {"planarconfig": "contig"}),
        ((5, 6, 7), {"planarconfig": "separate"}),
        ((6, 7, 3), {"planarconfig": "contig"}),
        ((6, 7, 5), {"planarconfig": "contig", "compression": "zlib"}),
    ],
)
def test_tiff_of_many_or_deep_channels(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, str]
) -> None:
    image = noise(*shape, dtype="uint16")
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", **options)
    expected = image if options["planarconfig"] == "separate" else image.transpose(2, 0, 1)
    assert np.array_equal(values(tmp_path / "a.tif"), expected)


def test_a_photograph_on_its_side_is_turned(tmp_path: Path) -> None:
    image = noise(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    path = save(tmp_path / "a.png", image, exif=exif)
    assert np.array_equal(values(path), np.rot90(image, -1).transpose(2, 0, 1))


def broken() -> dict[str, tuple[bytes, str]]:
    """Files that are no good, and what is said of them."""
    jpeg = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(jpeg, "JPEG")
    two = io.BytesIO()
    pages = [Image.fromarray(noise(4, 4, seed=i)) for i in range(2)]
    pages[0].save(two, "TIFF", save_all=True, append_images=pages[1:])
    deep = b"".join(b"\0" + bytes(12) for _ in range(2))
    return {
        "cut.jpg": (jpeg.getvalue()[:-900], "is damaged: image file is truncated"),
        "text.png": (b"These are words.", "is no image"),
        "empty.png": (b"", "is no image"),
        "bomb.png": (png(50_000, 50_000, 1, 0, b"\0"), f"has more than {PIXEL_LIMIT:,} pixels"),
        "large.png": (png(9_000, 9_000, 1, 0, b"\0"), f"has more than {PIXEL_LIMIT:,} pixels"),
        "pages.tif": (two.getvalue(), "has 2 frames or pages"),
        "deep.png": (png(2, 2, 16, 2, deep), "has 16 bits a channel in colour"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image"),
        "half.tif": (b"II*\0" + b"\xff" * 20, "is damaged"),
    }


@pytest.mark.parametrize("name", broken())
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    content, told = broken()[name]
    (tmp_path / name).write_bytes(content)
    with quiet():
        found = kind_of(tmp_path / name, Wanted())
        found = found if isinstance(found, str) else read(tmp_path / name, Wanted())
    assert isinstance(found, str)
    assert told in found
    assert "\n" not in found


def test_grey_and_size_are_pillows(tmp_path: Path) -> None:
    image = noise(40, 30, 3)
    path = save(tmp_path / "a.png", image)
    by_pillow = np.asarray(Image.fromarray(image).convert("L"))
    assert np.abs(values(path, grayscale=True)[0].astype(int) - by_pillow).max() <= 1
    smaller = Image.fromarray(image).resize((10, 20), Image.Resampling.BILINEAR)
    resized = values(path, size=(20, 10))
    assert np.abs(resized.transpose(1, 2, 0).astype(int) - np.asarray(smaller)).max() <= 1


def test_an_even_image_stays_so_when_resized() -> None:
    for dtype, value in (("uint8", 255), ("uint16", 65535), ("float32", 0.25)):
        even = np.full((2, 9, 7), value, dtype=dtype)
        assert np.array_equal(resize(even, (5, 3)), np.full((2, 5, 3), value, dtype=dtype))
        assert np.allclose(grey(np.concatenate([even, even])), even[:1])


# A folder


def test_classes_and_splits(zoo: Path) -> None:
    data = opened(zoo)
    assert data.classes == ("cat", "dog")
    assert data.spec == InputSpec((3, 6, 5))
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": 16, "validation": 2, "test": 2}
    everything = torch.cat([split.index for split in data.splits.values()])
    assert sorted(everything.tolist()) == list(range(20))
    first = data.split("train").batch(torch.tensor([0]))
    number = int(data.split("train").index[0])
    assert torch.equal(
        first[0], torch.from_numpy(noise(6, 5, 3, seed=number)).permute(2, 0, 1) * (1 / 255)
    )
    assert "20 images of 6×5, 3 channels, uint8; 2 classes" in data.notes[0]


def test_own_splits(zoo: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    zoo.rename(tmp_path / "own" / "train")
    for i in range(3):
        save(tmp_path / "own" / "val" / "dog" / f"{i}.png", noise(6, 5, 3, seed=200 + i))
    data = opened(tmp_path / "own")
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 18,
        "validation": 3,
        "test": 2,
    }
    assert data.classes == ("cat", "dog")
    assert data.split("validation").labels.tolist() == [1, 1, 1]
    assert "test drawn by a fixed seed" in data.notes[0]
    seen = data.split("validation").batch(torch.arange(3))
    assert torch.equal(
        seen[2], torch.from_numpy(noise(6, 5, 3, seed=202)).permute(2, 0, 1) * (1 / 255)
    )


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        (["train/cat", "test/cat", "more"], "test, train; for splits, take more out of the folder"),
        (["train/cat", "test/cat", ""], "test, train; for splits, take images in no folder out"),
        (["all/train/cat", "all/test/cat"], "all/test, all/train; for splits, give --data"),
        (["cat/train", "cat/test", "dog/train"], "cat/test, cat/train, dog/train; for splits, put"),
        (["val/cat", "test/cat"], "test, val; for splits, call a folder train"),
        (["train/cat", "val/cat", "Test/cat"], None),
        (["cat", "dog"], None),
        (["train/test", "test/test"], None),  # a class may be called so
    ],
)
def test_folders_called_as_splits_are_splits_or_that_is_told(
    tmp_path: Path, folders: list[str], told: str | None
) -> None:
    for number, folder in enumerate(folders * 4):
        save(tmp_path / "zoo" / folder / f"{number}.png", noise(6, 5, seed=number))
    data = opened(tmp_path / "zoo")
    notes = [note for note in data.notes if "not for splits" in note]
    if told is None:
        assert notes == []
    else:
        assert told in notes[0]
        assert "by a fixed seed" in data.notes[0]
    if told and "--data" in told:
        below = opened(Path(notes[0].rpartition("--data ")[2]))
        assert "validation drawn" in below.notes[0]
        assert len(below.split("test")) == 4


@pytest.mark.parametrize("folders", [("", "", ""), ("train", "train", "test")])
def test_a_folder_of_tables_is_told_in_a_line(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for name, folder in zip("abc", folders, strict=True):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.csv").write_text("x,y\n1,2\n3,4\n")
    with pytest.raises(InputError, match=r"no image but tables \(.*a\.csv.*give one of them, or"):
        load(str(tmp_path))


def test_a_folder_without_classes(tmp_path: Path) -> None:
    for i in range(5):
        save(tmp_path / "flat" / f"{i}.png", noise(6, 5, seed=i))
    save(tmp_path / "flat" / ".hidden.png", noise(9, 9))
    data = opened(tmp_path / "flat")
    assert (data.classes, sum(map(len, data.splits.values()))) == (("all",), 5)
    assert len(data.notes) == 1


def test_what_is_left_out_is_listed_or_refused(zoo: Path) -> None:
    (zoo / "cat" / "notes.txt").write_text("words")
    save(zoo / "dog" / "large.png", noise(7, 5, 3))
    save(zoo / "dog" / "grey.png", noise(6, 5))
    (zoo / "cat" / "cut.png").write_bytes((zoo / "cat" / "00.png").read_bytes()[:100])
    data = opened(zoo)
    assert sum(map(len, data.splits.values())) == 20
    assert data.notes[1].startswith("4 files left out: cat/cut.png ")
    assert data.notes[1].endswith("; and 1 more")
    with pytest.raises(InputError, match=r"4 files cannot be used: cat/cut.png"):
        opened(zoo, strict=True)
    inputs = open_inputs(zoo, data.spec)
    assert dict(inputs.skipped)["dog/large.png"] == "is 7×5, 3 channels, uint8"
    assert dict(inputs.skipped)["dog/grey.png"] == "is 6×5, 1 channel, uint8"
    with pytest.raises(InputError, match="cannot be used"):
        open_inputs(zoo, data.spec, strict=True)


def test_size_and_grayscale_are_recorded_and_applied_later(zoo: Path, tmp_path: Path) -> None:
    save(zoo / "dog" / "large.png", noise(12, 9, 3))
    data = opened(zoo, size="4x6", grayscale=True)
    assert data.spec == InputSpec((1, 4, 6), resized=True, grayscale=True)
    assert sum(map(len, data.splits.values())) == 21
    other = save(tmp_path / "other" / "a.png", noise(30, 20, 3))
    inputs = open_inputs(other, data.spec)
    expected = values(other, size=(4, 6), grayscale=True)
    assert torch.equal(inputs.batch(torch.tensor([0]))[0], torch.from_numpy(expected) * (1 / 255))
    assert (list(inputs.names), inputs.paths) == (["a.png"], [other])
    assert inputs.labels is None


def test_inputs_have_names_labels_and_paths(zoo: Path) -> None:
    inputs = open_inputs(zoo, opened(zoo).spec)
    assert (len(inputs), inputs.classes) == (20, ("cat", "dog"))
    assert inputs.names[12] == "dog/00.webp"
    assert inputs.paths is not None
    assert inputs.paths[12] == zoo / "dog" / "00.webp"
    assert inputs.labels is not None
    assert inputs.labels.tolist() == [0] * 12 + [1] * 8
    expected = torch.from_numpy(noise(6, 5, 3, seed=100)).permute(2, 0, 1) * (1 / 255)
    assert torch.equal(inputs.batch(torch.tensor([12]))[0], expected)


def test_sixteen_bit_images_fill_the_unit_interval(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / "deep" / f"{i}.png", noise(4, 4, dtype="uint16", seed=i))
    data = opened(tmp_path / "deep")
    assert (data.spec.dtype, data.spec.high, data.spec.peak) == ("uint16", 65535, 1)
    number = int(data.split("train").index[0])
    expected = noise(4, 4, dtype="uint16", seed=number) / 65535
    x = data.split("train").batch(torch.tensor([0]))
    assert torch.allclose(x[0, 0].double(), torch.from_numpy(expected), atol=1e-7)


@pytest.mark.parametrize("grey", [False, True])
def test_images_of_many_sizes_name_them_and_the_option(tmp_path: Path, grey: bool) -> None:
    for i in range(30):
        shape = (20 + i, 30) if grey and i % 2 else (20 + i, 30, 3)
        save(tmp_path / "many" / f"{i:02}.png", noise(*shape))
    with pytest.raises(InputError) as raised:
        opened(tmp_path / "many")
    said = str(raised.value)
    assert "the images are of 30 kinds (1 of 20×30, 3 channels, uint8; 1 of 21×30, " in said
    assert "; and 27 more kinds)" in said
    assert said.endswith("with --size 20x30" + (" and --grayscale" if grey else ""))
    data = opened(tmp_path / "many", size="20x30", grayscale=grey)
    assert sum(map(len, data.splits.values())) == 30


def test_what_would_take_images_of_other_sizes_is_told(zoo: Path) -> None:
    save(zoo / "dog" / "large.png", noise(7, 5, 3))
    assert opened(zoo).notes[-1] == "--size 6x5 would bring images to one kind"
    assert len(opened(zoo, size="6x5").notes) == 1


def test_stacks_are_volumes_if_asked_for(tmp_path: Path) -> None:
    for i in range(6):
        path = tmp_path / "scans" / f"{i}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, noise(8, 9, 10, dtype="uint16", seed=i), photometric="minisblack")
    save(path.with_name("flat.tif"), noise(9, 10, dtype="uint16"))
    data = opened(tmp_path / "scans", volume=True)
    assert data.spec == InputSpec((1, 8, 9, 10), 1 / 65535, high=65535, dtype="uint16")
    assert "6 volumes of 8×9×10, 1 channel, uint16" in data.notes[0]
    assert "flat.tif is no volume" in data.notes[1]
    inputs = open_inputs(tmp_path / "scans", data.spec)
    expected = np.stack([noise(8, 9, 10, dtype="uint16", seed=i) for i in range(6)]) / 65535
    assert np.allclose(inputs.batch(torch.arange(6))[:, 0], expected, atol=1e-7)
    (tmp_path / "scans" / "flat.tif").unlink()
    with pytest.raises(InputError, match=r"the first file has 8 frames or pages.*--volume"):
        opened(tmp_path / "scans")
    with pytest.raises(InputError, match="leave size and grayscale out"):
        opened(tmp_path / "scans", volume=True, size="4")


@pytest.mark.parametrize("splits", [(), ("validation",)])
def test_a_folder_of_defects(tmp_path: Path, splits: tuple[str, ...]) -> None:
    """As MVTec AD: masks are no inputs, and defects are what is to be found."""
    root = tmp_path / "bottle"
    folders = {"train/good": 20, "test/good": 4, "test/hole": 3, "test/scratch": 2}
    folders |= {f"{split}/good": 5 for split in splits}
    for i, (folder, count) in enumerate(folders.items()):
        for number in range(count):
            save(root / folder / f"{number:03}.png", noise(8, 8, 3, seed=100 * i + number))
    for number in range(3):
        save(root / "ground_truth" / "hole" / f"{number:03}_mask.png", noise(8, 8, 3))
    (root / "license.txt").write_text("words")
    data = opened(root)
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert (
        sizes == {"train": 20, "validation": 5, "test": 4}
        if splits
        else {
            "train": 18,
            "validation": 2,
            "test": 4,
        }
    )
    good = data.classes.index("good")
    assert all((split.classes == good).all() for split in data.splits.values())
    assert data.classes == ("good", "hole", "scratch")
    assert {name: len(split) for name, split in data.anomalies.items()} == {"test": 5}
    assert data.anomalies["test"].classes.tolist() == [1, 1, 1, 2, 2]
    assert data.notes[-1].startswith("a folder for finding defects: trained on good alone, the 5")
    run = aelab.train("pca", root, latent_dim=2, out=tmp_path / "run")
    assert 0 <= run.metrics["anomaly_auroc"] <= 1


def test_folders_of_classes_are_not_of_defects() -> None:
    usual = ["train/good/0.png", "test/good/0.png", "test/hole/0.png"]
    assert folders.is_of_defects(usual)
    assert folders.is_of_defects([*usual, "validation/good/1.png", "license.txt"])
    assert not folders.is_of_defects([*usual, "train/hole/0.png"])
    assert not folders.is_of_defects([*usual, "more/hole/0.png"])
    assert not folders.is_of_defects(usual[:2])
    assert not folders.is_of_defects(["good/0.png", "hole/0.png"])


def test_all_that_five_images_allow_is_done(
    outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(5):
        save(outside / "five" / f"{i}.png", noise(16, 16, 3, seed=i))
    commands = [
        "train vae --data five --epochs 1 --latent-dim 4 --out run",
        "report run",
        "sample run -n 3 --out samples.png",
        "reconstruct run five --out restored",
        "anomalies run five --false-alarm-rate 0 --out scores.csv",
        "encode run five --out codes.csv",
    ]
    for command in commands:
        assert aelab.cli.main(command.split()) == 0, capsys.readouterr().err
    page = (outside / "run" / "report.html").read_text("utf-8")
    assert "a map of codes takes 3 images or more, and the test split has 1" in page
    drawn = {path.stem for path in (outside / "run" / "figures").iterdir()}
    assert {"vae-training", "vae-reconstructions", "vae-traversals", "samples", "worst"} <= drawn


# The cache


def test_what_a_folder_is_known_by_are_its_images(zoo: Path) -> None:
    before = opened(zoo)
    (zoo / "Thumbs.db").write_bytes(b"no image")
    with_more = opened(zoo)
    assert with_more.sha256 == before.sha256
    assert any("Thumbs.db" in note for note in with_more.notes)
    save(zoo / "cat" / "new.png", noise(6, 5, 3, seed=99))
    assert opened(zoo).sha256 != before.sha256


def test_a_folder_is_decoded_once(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(zoo)

    def never(*arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(folders, "read", never)
    monkeypatch.setattr(cache, "_hash", never)
    second = opened(zoo)
    assert second.sha256 == first.sha256
    assert torch.equal(second.split("train").values, first.split("train").values)


def test_the_key_is_the_content(zoo: Path, tmp_path: Path) -> None:
    before = opened(zoo).sha256
    moved = zoo.rename(tmp_path / "elsewhere")
    assert opened(moved).sha256 == before
    save(moved / "cat" / "00.png", noise(6, 5, 3, seed=77))
    assert opened(moved).sha256 != before
    assert opened(moved, grayscale=True).sha256 != opened(moved).sha256


def test_a_damaged_index_is_made_anew(zoo: Path, own_cache: Path) -> None:
    before = opened(zoo).sha256
    (index,) = own_cache.rglob("*.index.json")
    index.write_text("{")
    assert opened(zoo).sha256 == before


# Mistakes


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is an empty folder"):
        opened(tmp_path / "empty")
    save(tmp_path / "one" / "a.png", noise(4, 4))
    with pytest.raises(InputError, match="holds only 1 to train on; it takes at least 3"):
        opened(tmp_path / "one")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("words")
    with pytest.raises(InputError, match="holds no image that can be read; the first file is no"):
        opened(tmp_path / "words")
    with pytest.raises(MissingFileError, match="does not exist"):
        open_inputs(tmp_path / "nowhere", InputSpec((1, 4, 4)))


def test_a_run_of_another_shape_says_what_it_takes(zoo: Path) -> None:
    with pytest.raises(InputError, match=r"holds nothing that the run takes \(28×28, 1 channel"):
        open_inputs(zoo, InputSpec((1, 28, 28)))
    with pytest.raises(InputError, match=r"the run takes rows of 30 features, and .* is a folder"):
        open_inputs(zoo, InputSpec((30,)))


@pytest.mark.parametrize("size", ["0", "axb", "12x", "-3", "1e3"])
def test_sizes_that_are_none(size: str) -> None:
    with pytest.raises(InputError, match="size must be as 64 or 48x64"):
        DataSettings(size=size)


def test_a_full_disk_is_one_line_and_leaves_nothing(zoo: Path, own_cache: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(InputError, match=r"cannot write .*: File too large"):
            opened(zoo)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []
    assert sum(map(len, opened(zoo).splits.values())) == 20


def test_a_run_on_a_folder_from_the_command_line(
    zoo: Path, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (zoo / "cat" / "words.png").write_text("words")
    told = ["train", "pca", "--data", str(zoo), "--latent-dim", "3", "--size", "16x12"]
    assert aelab.cli.main([*told, "--out", "run"]) == 0
    said = capsys.readouterr().err
    assert "20 images of 16×12, 3 channels, uint8; 2 classes; 16 train" in said
    assert "1 file left out: cat/words.png is no image" in said
    run = Run.open(outside / "run")
    assert run.spec == InputSpec((3, 16, 12), resized=True)
    assert {path.name for path in run.pictures if path.is_file()} == {
        "reconstructions.png",
        "samples.png",
    }
    assert aelab.cli.main(["evaluate", "run", "--split", "validation"]) == 0
    save(zoo / "dog" / "new.png", noise(6, 5, 3))
    assert aelab.cli.main(["evaluate", "run"]) == 2
    assert "was trained on other data" in capsys.readouterr().err
    assert aelab.cli.main([*told, "--strict"]) == 2
    assert "1 file cannot be used: cat/words.png" in capsys.readouterr().err
