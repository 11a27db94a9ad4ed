"""Sounds: a folder of WAV files or one, in one memory-mapped array of signals in the cache.

Folders are classes and splits as those of images are. Sounds of one length are an input each;
with a window, every sound is cut into as many inputs as it holds.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from aelab.data import cache
from aelab.data.axes import described_shape
from aelab.data.folders import (
    FEWEST,
    RECORD_LIMIT,
    SHOWN,
    Skipped,
    arrange,
    list_files,
    no_splits,
    reading,
    refuse_or_tell,
)
from aelab.data.input_sets import InputDataset
from aelab.data.ranges import Splits, values_spec
from aelab.data.splits import ALL, NAMES, Part, Parts, assemble, divide
from aelab.files import InputError, read_json, write_json
from aelab.settings import DataSettings

VALUES = 2**22
"""Values of a sound that are in memory at a time."""

ZERO = {"uint8": 128.0, "int16": 0.0, "int32": 0.0, "float32": 0.0, "float64": 0.0}
"""The stored value of silence, by the types that are read."""

FULL = {"uint8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31}
"""What stands for 1, by type; 24 bits are read as the upper ones of 32."""


@dataclass(frozen=True)
class SoundKind:
    """What all sounds of a data set have in common.

    >>> print(SoundKind(16_000, 1, 48_000))
    48,000 samples of 1 channel, 16,000 a second
    """

    rate: int
    """Samples a second."""

    channels: int
    length: int
    """Samples of each; with windows, of a window."""

    def __str__(self) -> str:
        plural = "s" if self.channels > 1 else ""
        return f"{self.length:,} samples of {self.channels} channel{plural}, {self.rate:,} a second"

    def holds(self, window: int | None) -> int:
        """How many inputs such a sound is."""
        return 1 if window is None else self.length // window


@dataclass(frozen=True, eq=False)
class Sounds:
    """Sounds of one kind from files, and what was left out.

    >>> kind = SoundKind(8_000, 1, 512)
    >>> Sounds(torch.zeros(3, 1, 512), (("a.wav", 2), ("b.wav", 1)), True, (), kind, (), "").names
    ('a.wav#0', 'a.wav#1', 'b.wav#0')
    """

    values: Float[Tensor, "n channels length"]
    """From -1 to 1, if they are stored as integers."""

    files: tuple[tuple[str, int], ...]
    """Paths of the files in their folder, in ascending order, and how many inputs each is."""

    windowed: bool
    skipped: Skipped
    kind: SoundKind
    kinds: tuple[str, ...]
    """All kinds that there are, the most common first."""

    sha256: str

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs: the file's, and in it the window's number from 0 on."""
        if not self.windowed:
            return tuple(name for name, _ in self.files)
        return tuple(f"{name}#{i}" for name, count in self.files for i in range(count))


def load(settings: DataSettings, data_dir: Path | None = None, seed: int = 0) -> InputDataset:
    """Load a folder of sounds, or one, split by its own folders or by a fixed seed.

    Raises:
        InputError: there are too few of one kind, or one is left out and `settings.strict` is set.
    """
    root = Path(settings.name)
    sounds = read_sounds(root, list_files(root), settings.window)
    refuse_few(root, sounds)
    told = refuse_or_tell(root, sounds.skipped, strict=settings.strict)
    classes, parts = arrange(sounds.values, sounds.names)
    numbers = np.repeat(np.arange(len(sounds.files)), [count for _, count in sounds.files])
    of_files = arrange(torch.from_numpy(numbers), sounds.names)[1]
    splits, drawn = divide_files(parts, of_files, settings.name)
    spec, prepared = values_spec(settings, splits)
    spec = replace(spec, rate=sounds.kind.rate, windowed=sounds.windowed)
    many = f"{len(classes)} classes" if len(classes) > 1 else "no classes"
    what = f"{described_shape(spec.shape)}, {sounds.kind.rate:,} samples a second"
    cut = [
        f"{len(sounds.files):,} files are cut into windows; what a file has beyond the last whole "
        f"one is left out"
    ]
    hint = ["--window SAMPLES takes sounds of all lengths"] if len(sounds.kinds) > 1 else []
    notes = [
        f"{len(sounds.values):,} {what}; {many}; {drawn}",
        *no_splits(root, sounds.names),
        *(cut if sounds.windowed else []),
        *prepared,
        *told,
        *(hint if not sounds.windowed else []),
    ]
    return assemble(settings.name, splits, spec, classes, sounds.sha256, notes)


def refuse_few(root: Path, sounds: Sounds) -> None:
    """Raise InputError if too few sounds of one kind are left."""
    if len(sounds.values) >= FEWEST:
        return
    shown = "; ".join(sounds.kinds[:SHOWN])
    rest = len(sounds.kinds) - SHOWN
    more = f"; and {rest:,} more kinds" if rest > 0 else ""
    shorter = "a shorter window" if sounds.windowed else "--window SAMPLES, which cuts them"
    raise InputError(
        f"{root} holds {len(sounds.values)} inputs of one kind to train on ({shown}{more}), and it "
        f"takes {FEWEST}: bring all sounds to one rate, and give {shorter}"
    )


def read_sounds(
    root: Path, files: Mapping[str, Path], window: int | None, like: SoundKind | None = None
) -> Sounds:
    """Read the sounds that are of the kind `like`, or else of the kind that most are of.

    They are decoded only once: what was made of the same contents before is in the cache.
    """
    contents = list(zip(files, cache.hashes(list(files.values()), root), strict=True))
    sha256 = cache.key_of("sounds", contents, window, like)
    record, values = (cache.folder() / f"{sha256}{end}" for end in (".json", ".values"))
    if not record.is_file():
        write_json(record, _decode(root, files, window, like, values))
    made = read_json(record, limit=RECORD_LIMIT)
    kind, kept = SoundKind(*made["kind"]), made["files"]
    count = sum(number for _, number in kept)
    return Sounds(
        values=cache.mapped(values, "float32", (count, kind.channels, kind.length)),
        files=tuple((name, number) for name, number in kept),
        windowed=window is not None,
        skipped=tuple((name, why) for name, why in made["skipped"]),
        kind=kind,
        kinds=tuple(made["kinds"]),
        sha256=sha256,
    )


def _decode(
    root: Path,
    files: Mapping[str, Path],
    window: int | None,
    like: SoundKind | None,
    values: Path,
) -> dict[str, Any]:
    """Write the values of the sounds of one kind to `values`; give the record of them."""
    with reading(2 * len(files), "Reading sounds") as tick:
        found = {name: tick(kind_of(path)) for name, path in files.items()}
        whole = {name: kind for name, kind in found.items() if isinstance(kind, SoundKind)}
        if not whole:
            raise InputError(
                f"{root} holds no sound that can be read; the first file "
                f"{next(iter(found.values()))}"
            )
        asked = {name: kind_in(kind, window) for name, kind in whole.items()}
        counted = Counter(asked.values()).most_common()
        kind = like or counted[0][0]
        kept = {
            name: whole[name].holds(window)
            for name, of in asked.items()
            if of == kind and whole[name].holds(window)
        }
        cache.write_blocks(
            values, (block for name in kept for block in blocks(tick(files[name]), kind.length))
        )
    skipped = {name: f"is {told}" if name in whole else told for name, told in found.items()}
    return {
        "kind": (kind.rate, kind.channels, kind.length),
        "files": list(kept.items()),
        "kinds": [f"{count:,} of {of}" for of, count in counted],
        "skipped": sorted((name, why) for name, why in skipped.items() if name not in kept),
    }


def kind_in(kind: SoundKind, window: int | None) -> SoundKind:
    """What the inputs are that such a sound gives."""
    return kind if window is None else replace(kind, length=window)


def kind_of(path: Path) -> SoundKind | str:
    """What a sound is, without reading all of it; or why it cannot be read."""
    try:
        rate, samples = opened(path)
    except Exception as error:  # whatever a decoder raises on what is no sound
        if isinstance(error, OSError) and error.strerror:
            return f"cannot be opened: {error.strerror}"
        return f"is no sound that is read ({' '.join(str(error).split()) or type(error).__name__})"
    if str(samples.dtype) not in ZERO or not samples.size:
        return f"holds {len(samples):,} samples of {samples.dtype}, which are not read"
    return SoundKind(rate, 1 if samples.ndim == 1 else samples.shape[1], len(samples))


def opened(path: Path) -> tuple[int, NDArray[Any]]:
    """Rate and samples of a WAV file, in the file where their type allows it."""
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of parts that hold no samples
        try:
            rate, samples = wavfile.read(path, mmap=True)
        except ValueError:  # 24 bits are no type of NumPy's
            rate, samples = wavfile.read(path)
    return rate, samples


def blocks(path: Path, length: int) -> Iterator[NDArray[np.float32]]:
    """The windows of `length` samples in a file, ``[n, channels, length]``, some at a time."""
    samples = opened(path)[1]
    dtype = str(samples.dtype)
    samples = samples[:, None] if samples.ndim == 1 else samples
    count, channels = len(samples) // length, samples.shape[1]
    step = max(1, VALUES // (length * channels))
    for first in range(0, count, step):
        some = samples[first * length : min(first + step, count) * length].astype(np.float64)
        windows = some.reshape(-1, length, channels).transpose(0, 2, 1)
        yield ((windows - ZERO[dtype]) / FULL.get(dtype, 1.0)).astype(np.float32)


def divide_files(parts: Parts, files: Parts, name: str) -> tuple[Splits, str]:
    """Splits as `splits.divide` draws them, but with all windows of a file in the same one.

    `files` are the numbers of the files that the inputs are of. Where there are too few files to
    be drawn, windows are.
    """
    source = "train" if "train" in parts else ALL
    of_each = files[source].values.numpy()
    numbers, first = np.unique(of_each, return_index=True)
    if len(numbers) == len(of_each) or len(numbers) <= len({*NAMES} - {"train"} - parts.keys()):
        splits, drawn = divide(parts, name)
        several = "" if len(numbers) == len(of_each) else ", windows of one file in several splits"
        return splits, f"{drawn}{several}"
    whole = Part(torch.from_numpy(numbers), parts[source].labels[torch.from_numpy(first)])
    splits = {
        split: (parts[source], np.isin(of_each, numbers[index]).nonzero()[0])
        if part is whole
        else (part, index)
        for split, (part, index) in divide({**parts, source: whole}, name)[0].items()
    }
    sizes = ", ".join(f"{len(index):,} {split}" for split, (_, index) in splits.items())
    return splits, f"{sizes}, all windows of a file in one of them"
