"""The formats that are read: valid files of each, and how users open them."""

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
import torch
from PIL import Image
from scipy.io import wavfile

import aelab
from aelab.data.idx_files import IdxFile, IdxSet
from aelab.data.input_sets import InputDataset
from aelab.data.loading import load_settings
from aelab.data.published import joint_sha256
from aelab.data.specs import InputSpec
from aelab.models.contract import Autoencoder
from aelab.runs import kept_scores, listing, resumable
from aelab.runs.store import Run
from aelab.runs.train import train_run
from aelab.settings import DataSettings
from aelab.studies.goals import criterion_of
from aelab.studies.search import Purpose, Search

Options = Mapping[str, Any]

RANDOM = np.random.default_rng(0)


@dataclass(frozen=True)
class Seed:
    """A valid file in a folder with all that it needs to be opened."""

    folder: Path
    file: str
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """What is mutated and how it is opened; AelabError is the only right way to fail."""

    make: Callable[[Path], list[Seed]]
    open: Callable[[Path, Seed], object]


def look_at(data: object) -> None:
    """Take what was accepted at its word: inputs are finite, and notes are one line each."""
    notes = getattr(data, "notes", ())
    assert all("\n" not in note for note in notes), notes
    if isinstance(data, InputDataset):
        for name in data.splits:
            split = data.split(name)
            x = split.batch(torch.arange(min(len(split), 200))).x
            assert x.isfinite().all(), f"inputs of {name} are not finite"


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write some files into a new folder."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


# IDX: a set like MNIST, of few and small images.

IDX = {
    "train-images": (60, 4, 4),
    "train-labels": (60,),
    "test-images": (20, 4, 4),
    "test-labels": (20,),
}


@cache
def idx_content() -> dict[str, bytes]:
    """The four files."""
    content = {}
    for name, shape in IDX.items():
        values = RANDOM.integers(0, 2 if len(shape) == 1 else 256, shape, dtype=np.uint8)
        head = (2048 + len(shape)).to_bytes(4, "big") + b"".join(
            n.to_bytes(4, "big") for n in shape
        )
        content[name] = head + values.tobytes()
    return content


@cache
def idx_set(*, compressed: bool) -> IdxSet:
    """The set that they are."""
    files = tuple(
        IdxFile(
            name,
            shape,
            hashlib.sha256(packed(content) if compressed else content).hexdigest(),
            compressed,
        )
        for (name, shape), content in zip(IDX.items(), idx_content().values(), strict=True)
    )
    return IdxSet(
        name="small", title="Small", classes=("a", "b"), shape=(1, 4, 4), counts=(60, 20),
        sha256=joint_sha256([file.sha256 for file in files]), layouts=("",), mirrors=(),
        validation=10, files=files,
    )  # fmt: skip


def packed(content: bytes) -> bytes:
    """Compressed, always to the same bytes."""
    return gzip.compress(content, mtime=0)


def make_idx(folder: Path) -> list[Seed]:
    """Uncompressed, and compressed."""
    write(folder / "plain", idx_content())
    write(folder / "gz", {f"{name}.gz": packed(content) for name, content in idx_content().items()})
    return [Seed(folder / "plain", name) for name in IDX] + [
        Seed(folder / "gz", f"{name}.gz", {"compressed": c}) for name in IDX for c in (False, True)
    ]


def open_idx(folder: Path, seed: Seed) -> None:
    """As a data set by its name."""
    compressed = bool(seed.options.get("compressed"))
    data = idx_set(compressed=compressed).load(DataSettings("small"), folder)
    look_at(data)
    # Its bytes are known, so nothing but a whole set may be accepted.
    assert torch.equal(
        data.split("test").batch(torch.arange(20)).x,
        whole().split("test").batch(torch.arange(20)).x,
    )


WHOLE: list[InputDataset] = []


def whole() -> InputDataset:
    """The set as it was made."""
    return WHOLE[0]


# Images, one of them mutated, in a folder.


def make_images(folder: Path) -> list[Seed]:
    """A file of each kind, beside three that are whole."""
    grey = RANDOM.integers(0, 256, (6, 9), dtype=np.uint8)
    colour = RANDOM.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    folder.mkdir(parents=True)
    Image.fromarray(colour).save(folder / "png.png")
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(colour).quantize(8).save(folder / "palette.png")
    Image.fromarray(colour.astype(np.uint16)[..., 0] * 200).save(folder / "deep.png")
    Image.fromarray(colour).save(folder / "jpeg.jpg")
    for suffix in ("webp", "bmp", "gif", "ppm", "jp2", "tga", "tif", "avif"):
        Image.fromarray(colour).save(folder / f"{suffix}.{suffix}")
    tifffile.imwrite(folder / "deep.tif", colour.astype(np.uint16) * 200, photometric="rgb")
    tifffile.imwrite(folder / "zlib.tif", colour[..., 0].astype(np.float32), compression="zlib")
    tifffile.imwrite(
        folder / "stack.tif",
        RANDOM.integers(0, 99, (4, 6, 9), dtype=np.uint16),
        photometric="minisblack",
    )
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    seeds = []
    for name, content in files.items():
        (folder / name).unlink()
        whole = "zlib.tif" if name == "stack.tif" else "png.png"
        beside = {
            f"{i}{Path(whole).suffix}": content if name == "stack.tif" else files[whole]
            for i in range(3)
        }
        write(folder / name, beside | {name: content})
        seeds.append(Seed(folder / name, name, {"volume": True} if name == "stack.tif" else {}))
    return seeds


def open_images(folder: Path, seed: Seed) -> None:
    """As a data set, and by a run of such images."""
    if seed.options:
        look_at(aelab.load_data(folder, **seed.options))
        return
    look_at(aelab.load_data(folder))
    inputs = aelab.open_inputs(folder, InputSpec((3, 6, 9)))
    inputs.batch(torch.arange(len(inputs)))


# Arrays.


def make_arrays(folder: Path) -> list[Seed]:
    """One array, and archives of several."""
    folder.mkdir(parents=True)
    arrays = {
        "bytes": RANDOM.integers(0, 256, (30, 4, 4), dtype=np.uint8),
        "floats": RANDOM.normal(size=(30, 5)).astype(np.float32),
        "doubles": np.asfortranarray(RANDOM.normal(size=(30, 5))),
        "other": RANDOM.integers(0, 999, (30, 6)).astype(">i4"),
        "volumes": RANDOM.normal(size=(12, 3, 3, 3)).astype(np.float16),
        "flags": RANDOM.random((30, 6)) < 0.5,
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    names = np.array(["cat", "dog"] * 15)
    np.savez(folder / "labelled.npz", x=arrays["bytes"], y=names)
    np.savez_compressed(
        folder / "split.npz", x_train=arrays["floats"], x_test=arrays["floats"][:9],
        y_train=np.arange(30) % 3, y_test=np.arange(9) % 3,
    )  # fmt: skip
    return [alone(path) for path in sorted(folder.iterdir())]


def alone(path: Path, **options: Any) -> Seed:
    """The seed of a file, moved into a folder of its own."""
    content, folder = path.read_bytes(), path.with_name(path.name + ".d")
    path.unlink()
    write(folder, {path.name: content})
    return Seed(folder, path.name, options)


def open_file(folder: Path, seed: Seed) -> None:
    """As a data set, and as inputs of a run on the seed's."""
    look_at(aelab.load_data(folder / seed.file, **seed.options))
    if seed.file != "split.npz":  # inputs are one array
        inputs = aelab.open_inputs(folder / seed.file, spec_of(seed))
        inputs.batch(torch.arange(min(len(inputs), 200)))


SPECS: dict[Path, InputSpec] = {}


def spec_of(seed: Seed) -> InputSpec:
    """What a run on the seed's inputs would take."""
    if seed.folder not in SPECS:
        data = aelab.load_data(seed.folder / seed.file, **seed.options)
        assert isinstance(data, InputDataset)
        SPECS[seed.folder] = data.spec
    return SPECS[seed.folder]


# Tables.


def frame() -> pd.DataFrame:
    """Columns of numbers, words, truths, gaps."""
    n = 40
    gaps = RANDOM.normal(size=n)
    gaps[3] = np.nan
    return pd.DataFrame({
        "height": RANDOM.normal(170, 9, n).round(2),
        "count": RANDOM.integers(0, 2000, n),
        "city": RANDOM.choice(["Oslo", "Delft", "Köln"], n),
        "owner": RANDOM.random(n) < 0.5,
        "gaps": gaps.round(3),
        "kind": RANDOM.choice(["a", "b"], n),
    })  # fmt: skip


def make_tables(folder: Path) -> list[Seed]:
    """Text in several dialects."""
    folder.mkdir(parents=True)
    table, imputed = frame(), {"impute": True, "label": "kind"}
    table.to_csv(folder / "comma.csv", index=False)
    table.to_csv(folder / "index.csv.gz")
    table.to_csv(folder / "german.csv", sep=";", decimal=",", index=False, encoding="cp1252")
    table.to_csv(folder / "tabs.tsv", sep="\t", index=False, quoting=1, na_rep="NA")
    numbers = table[["height", "count"]]
    numbers.to_csv(folder / "bare.data", sep=" ", index=False, header=False)
    numbers.to_csv(folder / "wide.csv", index=False, encoding="utf-16")
    (folder / "blanks.txt").write_text("# made\n" + numbers.to_string(index=False))
    seeds = []
    for path in sorted(folder.iterdir()):
        plain = path.name in ("bare.data", "wide.csv", "blanks.txt")
        options: dict[str, Any] = {"rows": "inputs"} if plain else imputed
        seeds.append(alone(path, **options))
    return seeds


def make_parquet(folder: Path) -> list[Seed]:
    """Columns of several types, packed in several ways."""
    folder.mkdir(parents=True)
    table, options = frame(), {"impute": True, "label": "kind"}
    table.to_parquet(folder / "snappy.parquet", index=False)
    table.astype({"city": "category"}).to_parquet(folder / "plain.parquet", compression=None)
    table.to_parquet(folder / "zstd.pq", compression="zstd", index=False)
    return [alone(path, **options) for path in sorted(folder.iterdir())]


def make_workbooks(folder: Path) -> list[Seed]:
    """A workbook."""
    folder.mkdir(parents=True)
    frame().to_excel(folder / "book.xlsx", index=False)
    return [alone(folder / "book.xlsx", impute=True, label="kind")]


# Graphs.


def make_graphs(folder: Path) -> list[Seed]:
    """Lists of edges, a matrix, features of nodes."""
    folder.mkdir(parents=True)
    edges = sorted({(int(a), int(b)) for a, b in RANDOM.integers(0, 20, (80, 2)) if a < b})
    lines = [f"n{a} n{b}" for a, b in edges]
    (folder / "blanks.edges").write_text("# edges\n" + "\n".join(lines))
    (folder / "weights.csv").write_text(
        "from,to,weight\n" + "\n".join(f"{a},{b},{a + b / 7:.3f}" for a, b in edges)
    )
    body = "\n".join(f"{b + 1} {a + 1}" for a, b in edges)
    head = "%%MatrixMarket matrix coordinate pattern symmetric\n"
    (folder / "matrix.mtx").write_text(f"{head}20 20 {len(edges)}\n{body}\n")
    adjacency = np.zeros((20, 20), np.uint8)
    for a, b in edges:
        adjacency[a, b] = adjacency[b, a] = 1
    np.savetxt(folder / "adjacency.csv", adjacency, fmt="%d", delimiter=",")
    np.save(folder / "adjacency.npy", adjacency)
    pd.DataFrame(edges, columns=["a", "b"]).to_parquet(folder / "edges.parquet")
    seeds = [alone(path, rows="edges") for path in sorted(folder.iterdir())]
    features = "id,x,y\n" + "\n".join(f"n{i},{i},{i % 3}" for i in range(20))
    write(
        folder / "features", {"e.edges": "\n".join(lines).encode(), "nodes.csv": features.encode()}
    )
    return [*seeds, Seed(folder / "features", "nodes.csv", {"features": "nodes.csv"})]


def open_graph(folder: Path, seed: Seed) -> None:
    """As a graph; a file of features with the edges that it belongs to."""
    if "features" in seed.options:
        aelab.load_data(folder / "e.edges", features=str(folder / seed.file))
    else:
        look_at(aelab.load_data(folder / seed.file, **seed.options))


def make_sounds(folder: Path) -> list[Seed]:
    """Whole numbers, floats, two channels."""
    folder.mkdir(parents=True)
    sound = np.sin(np.arange(900) / 7)
    wavfile.write(folder / "ints.wav", 8000, (sound * 9000).astype(np.int16))
    wavfile.write(folder / "floats.wav", 8000, sound.astype(np.float32))
    wavfile.write(
        folder / "stereo.wav", 8000, (np.stack([sound, sound], 1) * 90 + 99).astype(np.uint8)
    )
    return [alone(path, window=64) for path in sorted(folder.iterdir())]


# Studies.

STUDY = """title = "Mine"
split = "test"
seeds = [0, 1]
jobs = 1
metrics = ["reconstruction"]

[data]
name = "digits"

[recipe]
epochs = 1
learning_rate = 2e-3

[rows.vae]
hyperparameters = { latent_dim = 4, hidden = [8, 8] }
published = { mse = 0.02 }

[rows."pca-4"]
model = "pca"
network = "dense"
metrics = ["code"]
recipe = { epochs = 0, schedule = "constant" }

[questions.best]
question = "Which is best?"
metric = "mse"

[claims.one]
claim = "It is better"
metric = "mse"
better = "vae"
than = ["pca-4"]
"""


def make_studies(folder: Path) -> list[Seed]:
    """A study of one's own."""
    write(folder / "mine", {"mine.toml": STUDY.encode()})
    budgets = STUDY.replace(
        "[recipe]", "[budgets.short]\nepochs = 1\n\n[budgets.long]\nepochs = 2\n\n[recipe]"
    )
    budgets = budgets.replace('better = "vae"', 'better = "vae-short"')
    budgets = budgets.replace('than = ["pca-4"]', 'than = ["pca-4-long"]')
    write(folder / "budgets", {"budgets.toml": budgets.encode()})
    return [Seed(folder / "mine", "mine.toml"), Seed(folder / "budgets", "budgets.toml")]


def open_study(folder: Path, seed: Seed) -> None:
    """As `aelab compare` does, which trains into a folder a row."""
    study = aelab.load_study(str(folder / seed.file))
    for row in study.rows:
        assert Path(row.name).name == row.name, f"row {row.name!r} leaves its folder"


# Runs.


@cache
def own_data(name: str) -> Any:
    """The data of a run, loaded once."""
    return aelab.load_data(name)


def trained(folder: Path, kind: str) -> Path:
    """A small run, with priors and scores, of rows with words, of images, or of links."""
    folder.mkdir(parents=True)
    recipe = {"epochs": 1, "batch_size": 16}
    if kind == "links":
        lines = [f"{a} {b}" for a in range(20) for b in range(a) if (a * b + a) % 5 == 1]
        (folder / "g.edges").write_text("\n".join(lines))
        run = aelab.train(
            "gae", folder / "g.edges", hidden=4, latent_dim=2, epochs=1, out=folder / "run"
        )
    elif kind == "rows":
        frame().to_csv(folder / "t.csv", index=False)
        asked = {"latent_dim": 2, "hidden": [4], "impute": True, "label": "kind"}
        run = aelab.train("vae", folder / "t.csv", **asked, **recipe, out=folder / "run")
        run.sample(2, prior="two-stage")
        run.sample(2, prior="fitted-flow")
    else:
        np.save(folder / "x.npy", RANDOM.integers(0, 256, (40, 8, 8), dtype=np.uint8))
        run = aelab.train("conv-vae", folder / "x.npy", latent_dim=2, **recipe, out=folder / "run")
    return run.folder


KINDS = ("rows", "images", "links")


@cache
def runs(folder: Path) -> tuple[Path, ...]:
    """One of each kind."""
    return tuple(trained(folder / kind, kind) for kind in KINDS)


def run_seeds(folder: Path, *patterns: str) -> list[Seed]:
    """The files of the runs that fit a pattern."""
    return [
        Seed(run, path.relative_to(run).as_posix())
        for run in runs(folder.parent / "runs")
        for pattern in patterns
        for path in sorted(run.glob(pattern))
    ]


def open_run(folder: Path, seed: Seed) -> None:
    """All that verbs read of a run."""
    run = aelab.load(folder)
    _ = run.settings, run.spec, run.metrics, run.timings, run.notes, run.pictures
    run.is_finished("test")
    kept_scores.read(run)
    assert len(listing.listed(folder)) == 1
    if not isinstance(run.model, Autoencoder):
        return
    assert run.priors.choice.told is not None
    run.sample(2)
    for name in ("two-stage", "fitted-flow"):
        if (folder / "priors" / f"{name}.safetensors").is_file():
            run.sample(2, prior=name)
    codes = run.decode(np.zeros((2, run.model.code_size), np.float32))
    assert len(codes) == 2


def make_checkpoint(folder: Path) -> list[Seed]:
    """A training that was stopped."""

    class Stopped(Exception):  # noqa: N818 - it is no error
        pass

    def stop(progress: resumable.Progress) -> None:
        if progress.epoch >= 2:
            raise Stopped

    folder.mkdir(parents=True)
    frame().to_csv(folder / "t.csv", index=False)
    run = aelab.train(
        "vae",
        folder / "t.csv",
        latent_dim=2,
        hidden=[4],
        impute=True,
        epochs=3,
        out=folder / "whole",
    )
    before, resumable.CHECKPOINT_SECONDS = resumable.CHECKPOINT_SECONDS, 0.0
    with suppress(Stopped):
        train_run(
            run.settings,
            data_of(run),
            folder / "stopped",
            on_progress=stop,
            groups=("reconstruction",),
        )
    resumable.CHECKPOINT_SECONDS = before
    return [Seed(folder / "stopped", "checkpoint/state.safetensors")]


def data_of(run: Run) -> Any:
    """A run's own data."""
    settings = run.settings.data
    return own_settings(json.dumps(settings.name), settings)


LOADED: dict[str, Any] = {}


def own_settings(key: str, settings: DataSettings) -> Any:
    """Data by their settings, loaded once."""
    if key not in LOADED:
        LOADED[key] = load_settings(settings)
    return LOADED[key]


def open_checkpoint(folder: Path, seed: Seed) -> None:
    """Go on from it."""
    run = Run.open(folder)
    train_run(run.settings, data_of(run), folder, groups=("reconstruction",))


def search_in(folder: Path) -> Search:
    """A search for a model of the digits."""
    data = own_settings("digits", DataSettings("digits"))
    purpose = Purpose("reconstruction", 60.0)
    criterion = criterion_of("reconstruction", data)
    return Search(folder, data, DataSettings("digits"), purpose, criterion, 8, lambda *_: None)


def make_choices(folder: Path) -> list[Seed]:
    """A search under way."""
    folder.mkdir(parents=True)
    search_in(folder).save()
    content = json.loads((folder / "choose.json").read_text())
    trial = {"candidate": "vae", "round": 0, "seconds": 2.0, "value": 0.2, "error": "", "wall": 3.0}
    content["trials"] = [trial, {**trial, "candidate": "pca"}]
    (folder / "choose.json").write_text(json.dumps(content, indent=2))
    return [Seed(folder, "choose.json")]


def open_choice(folder: Path, seed: Seed) -> None:
    """Take it up again."""
    search = search_in(folder)
    search.restore()
    for trial in search.trials:
        assert search.run_of(trial).resolve().is_relative_to(folder.resolve()), trial
    _ = search.overhead(), search.left(), search.ranked(search.trials)


FORMATS: dict[str, Format] = {
    "idx": Format(make_idx, open_idx),
    "images": Format(make_images, open_images),
    "arrays": Format(make_arrays, open_file),
    "tables": Format(make_tables, open_file),
    "parquet": Format(make_parquet, open_file),
    "workbooks": Format(make_workbooks, open_file),
    "graphs": Format(make_graphs, open_graph),
    "sounds": Format(make_sounds, open_file),
    "studies": Format(make_studies, open_study),
    "run-json": Format(lambda to: run_seeds(to, "*.json", "*.jsonl", "priors/*.json"), open_run),
    "weights": Format(lambda to: run_seeds(to, "model.safetensors"), open_run),
    "priors": Format(
        lambda to: run_seeds(to, "priors/*.safetensors", "anomaly*.safetensors"), open_run
    ),
    "checkpoints": Format(make_checkpoint, open_checkpoint),
    "choices": Format(make_choices, open_choice),
}
