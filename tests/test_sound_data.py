"""Folders of WAV files."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import wavfile

import aelab
import aelab.cli
from aelab.data import sounds
from aelab.data.input_sets import InputDataset
from aelab.data.inputs import open_inputs
from aelab.data.loading import load
from aelab.data.preparation import restore
from aelab.data.specs import InputSpec
from aelab.files import InputError
from aelab.settings import DataSettings

RATE = 8_000


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(pooch, "os_cache", lambda project: folder)
    return folder


def opened(path: Path, **settings: Any) -> InputDataset:
    data = load(str(path), **settings)
    assert isinstance(data, InputDataset)
    return data


def wave(n: int, seed: int = 0, channels: int = 1) -> NDArray[np.int16]:
    shape = (n,) if channels == 1 else (n, channels)
    return np.random.default_rng(seed).integers(-20_000, 20_000, shape).astype(np.int16)


def save(path: Path, samples: NDArray[Any], rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, samples)
    return path


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Twelve songs of 64 samples, of two birds."""
    for i in range(12):
        name = "wren" if i % 3 else "crow"
        save(tmp_path / "birds" / name / f"{i:02}.wav", wave(64, seed=i))
    return tmp_path / "birds"


def stored(data: InputDataset, split: str) -> NDArray[Any]:
    images = data.split(split)
    return restore(images.batch(torch.arange(len(images))), images.spec).numpy()


def test_sounds_are_signals(birds: Path) -> None:
    data = opened(birds)
    assert (data.spec.shape, data.spec.rate, data.spec.kind) == ((1, 64), RATE, "signals")
    assert (data.classes, data.spec.windowed) == (("crow", "wren"), False)
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": 9, "validation": 2, "test": 1}
    assert "12 signals of 64 with 1 channel, 8,000 samples a second; 2 classes" in data.notes[0]
    every = np.concatenate([stored(data, split) for split in data.splits])
    expected = np.stack([wave(64, seed=i) for i in range(12)]) / 2**15
    assert np.allclose(np.sort(every[:, 0], 0), np.sort(expected, 0), atol=1e-6)


def test_sounds_of_other_kinds_are_left_out_and_told(birds: Path) -> None:
    save(birds / "wren" / "long.wav", wave(100))
    save(birds / "wren" / "fast.wav", wave(64), rate=16_000)
    save(birds / "wren" / "stereo.wav", wave(64, channels=2))
    (birds / "wren" / "cut.wav").write_bytes(b"RIFF")
    data = opened(birds)
    assert sum(map(len, data.splits.values())) == 12
    told = next(note for note in data.notes if "left out" in note)
    assert told.startswith("4 files left out: wren/cut.wav is no sound that is read (")
    assert "wren/fast.wav is 64 samples of 1 channel, 16,000 a second" in told
    assert "wren/long.wav is 100 samples of 1 channel, 8,000 a second" in told
    assert data.notes[-1] == "--window SAMPLES takes sounds of all lengths"
    with pytest.raises(InputError, match=r"4 files cannot be used: wren/cut\.wav"):
        opened(birds, strict=True)


def test_sounds_of_all_lengths_name_the_option(tmp_path: Path) -> None:
    for i in range(5):
        save(tmp_path / "s" / f"{i}.wav", wave(40 + i))
    with pytest.raises(InputError) as raised:
        opened(tmp_path / "s")
    assert "holds 1 inputs of one kind to train on (1 of 40 samples of 1 channel, 8" in str(
        raised.value
    )
    assert "; and 2 more kinds)" in str(raised.value)
    assert "--window SAMPLES" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("values", [2**22, 50])
def test_windows_are_the_pieces_of_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: int
) -> None:
    monkeypatch.setattr(sounds, "VALUES", values)
    lengths = [35, 100, 9, 64, 30, 47]
    for i, length in enumerate(lengths):
        save(tmp_path / "s" / f"{i}.wav", wave(length, seed=i, channels=2))
    data = opened(tmp_path / "s", window=10)
    assert (data.spec.shape, data.spec.windowed) == ((2, 10), True)
    expected = {
        f"{i}.wav#{k}": wave(length, seed=i, channels=2)[10 * k : 10 * k + 10].T / 2**15
        for i, length in enumerate(lengths)
        for k in range(length // 10)
    }
    inputs = open_inputs(tmp_path / "s", data.spec)
    assert list(inputs.names) == list(expected)
    assert inputs.skipped == (("2.wav", "is 9 samples of 2 channels, 8,000 a second"),)
    x = restore(inputs.batch(torch.arange(len(inputs))), data.spec).numpy()
    assert np.allclose(x, np.stack(list(expected.values())), atol=1e-6)
    # No window is in two splits, and no file.
    names = list(expected)
    of = {
        name: {names[i].partition("#")[0] for i in split.index.tolist()}
        for name, split in data.splits.items()
    }
    assert sum(map(len, data.splits.values())) == len(expected)
    assert sum(map(len, of.values())) == len(lengths) - 1
    assert "all windows of a file in one of them" in data.notes[0]
    assert "5 files are cut into windows" in data.notes[1]


def test_one_long_sound(tmp_path: Path) -> None:
    path = save(tmp_path / "long.wav", wave(1005))
    data = opened(path, window=50)
    assert sum(map(len, data.splits.values())) == 20
    assert "windows of one file in several splits" in data.notes[0]
    with pytest.raises(InputError, match=r"holds 1 inputs of one kind .* --window SAMPLES"):
        opened(path)
    with pytest.raises(InputError, match="window must be 1 sample or more"):
        DataSettings(window=0)


def test_own_splits_of_windows(tmp_path: Path) -> None:
    for split, count in {"train": 6, "test": 2}.items():
        for i in range(count):
            save(tmp_path / "s" / split / "a" / f"{i}.wav", wave(30, seed=i))
    data = opened(tmp_path / "s", window=10)
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": 15, "validation": 3, "test": 6}


def pcm24(samples: list[int]) -> bytes:
    """A WAV file of 24 bits, which SciPy does not write."""
    data = b"".join(struct.pack("<i", sample)[:3] for sample in samples)
    form = struct.pack("<HHIIHH", 1, 1, RATE, 3 * RATE, 3, 24)
    content = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    content += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(content)) + content


def test_all_depths_are_on_one_scale(tmp_path: Path) -> None:
    halves = np.array([0.0, 0.5, -0.5, -1.0])
    path = tmp_path / "x.wav"
    for samples in (
        (halves * 128 + 128).astype(np.uint8),
        (halves * 2**15).astype(np.int16),
        (halves * 2**31).astype(np.int32),
        halves.astype(np.float32),
        halves,
    ):
        (block,) = sounds.blocks(save(path, samples), 4)
        assert block.tolist() == [[halves.tolist()]]
    path.write_bytes(pcm24((halves * 2**23).astype(int).tolist()))
    assert sounds.kind_of(path) == sounds.SoundKind(RATE, 1, 4)
    (block,) = sounds.blocks(path, 4)
    assert block.tolist() == [[halves.tolist()]]


def test_a_run_takes_other_sounds_and_gives_arrays(birds: Path, tmp_path: Path) -> None:
    small = {"latent_dim": 2, "channels": (2,), "epochs": 1.0}
    run = aelab.train("convolutional", birds, out=tmp_path / "run", window=16, **small)
    out = tmp_path / "restored"
    assert aelab.cli.main(["reconstruct", str(run.folder), str(birds), "--out", str(out)]) == 0
    assert np.load(out / "birds.npy").shape == (48, 1, 16)
    scores = tmp_path / "scores.csv"
    arguments = ["anomalies", str(run.folder), str(birds), "--out", str(scores)]
    arguments += ["--false-alarm-rate", "0.2"]  # for 8 validation inputs
    assert aelab.cli.main(arguments) == 0
    assert '"crow/00.wav#3","crow"' in scores.read_text()
    other = save(tmp_path / "other.wav", wave(64), rate=44_100)
    with pytest.raises(InputError, match=r"holds nothing that the run takes .16 samples of 1 chan"):
        open_inputs(other, run.autoencoder.spec)


def test_a_folder_of_pictures_with_a_sound_in_it_is_one_of_pictures(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "s").mkdir()
    for i in range(4):
        Image.fromarray(np.full((4, 4), 60 * i, np.uint8)).save(tmp_path / "s" / f"{i}.png")
    save(tmp_path / "s" / "a.wav", wave(30))
    data = opened(tmp_path / "s")
    assert data.spec == InputSpec((1, 4, 4))
    assert data.notes[1].startswith("1 file left out: a.wav")
