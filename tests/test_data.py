import gzip
import hashlib
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import aelab.data.loading
from aelab.data import downloads, idx_files
from aelab.data.idx_files import FASHION_MNIST, SETS, IdxFile
from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.published import Place
from aelab.data.specs import InputSpec
from aelab.evaluate.protocol import evaluate
from aelab.evaluate.reconstruction import pca_mse, reconstruction_errors
from aelab.files import AelabError, InputError, MissingFileError
from aelab.machine import seeded
from aelab.models.contract import Autoencoder
from aelab.models.priors.fitted_mixture import FittedMixture
from aelab.models.sampling import fit_prior
from aelab.models.zoo import build
from aelab.settings import DataSettings, Recipe
from aelab.training.loop import fit

CLOSED = "http://127.0.0.1:9/"  # the discard port: nothing listens there
TRAIN, TEST = 20, 10  # images of the small imitation


@pytest.fixture(scope="module")
def real() -> InputDataset:
    try:
        FASHION_MNIST.locate(download=False)
    except MissingFileError as error:
        pytest.skip(str(error))
    return aelab.data.loading.load()


def contents() -> dict[str, bytes]:
    """Four small IDX files: every pixel of image i is i; its class is i modulo 10."""
    made = {}
    for part, numbers in (("train", range(TRAIN)), ("t10k", range(TRAIN, TRAIN + TEST))):
        pixels = np.repeat(np.array(numbers, dtype=np.uint8), 28 * 28).tobytes()
        labels = bytes(i % 10 for i in numbers)
        made[f"{part}-images-idx3-ubyte"] = struct.pack(">4I", 2051, len(numbers), 28, 28) + pixels
        made[f"{part}-labels-idx1-ubyte"] = struct.pack(">2I", 2049, len(numbers)) + labels
    return made


def write(folder: Path, *, end: str = ".gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents().items():
        (folder / f"{name}{end}").write_bytes(gzip.compress(content) if end else content)
    return folder


def change(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    """Let FashionMNIST be another set."""
    monkeypatch.setitem(SETS, "fashion-mnist", replace(SETS["fashion-mnist"], **fields))


def locate(data_dir: Path | None = None) -> Place:
    return SETS["fashion-mnist"].locate(data_dir)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without data and network, for which the small imitation is FashionMNIST."""
    small_files = tuple(
        IdxFile(f.name, (TRAIN if "train" in f.name else TEST, *f.shape[1:]), sha256(f.name))
        for f in FASHION_MNIST.files
    )
    assert FASHION_MNIST.package is not None
    change(
        monkeypatch,
        files=small_files,
        counts=(TRAIN, TEST),
        validation=10,
        original_validation=8,
        package=replace(FASHION_MNIST.package, folder=tmp_path / "debian"),
        mirrors=(CLOSED,),
    )
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
    monkeypatch.delenv("AELAB_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def sha256(name: str) -> str:
    return hashlib.sha256(contents()[name]).hexdigest()


def load(data_dir: Path | None = None, **kwargs: Any) -> InputDataset:
    return idx_files.load(DataSettings(**kwargs), data_dir)


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def mirror(small: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that an HTTP server on this machine serves, second in the list of mirrors."""
    folder = small / "mirror"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        change(monkeypatch, mirrors=(CLOSED, url))
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


# The real data


def test_real_sizes_and_types(real: InputDataset) -> None:
    assert {name: len(images) for name, images in real.splits.items()} == {
        "train": 55_000,
        "validation": 5_000,
        "test": 10_000,
    }
    for images in real.splits.values():
        assert images.values is real.split("train").values
        assert images.labels is real.split("train").labels
    train = real.split("train")
    assert train.values.shape == (70_000, 1, 28, 28)
    assert (train.values.dtype, train.labels.dtype) == (torch.uint8, torch.int64)
    x = train.batch(torch.arange(100))
    assert (x.min(), x.max()) == (0, 1)
    assert real.spec.shape == (1, 28, 28)
    assert len(real.classes) == 10


def test_real_content_is_in_file_order(real: InputDataset) -> None:
    train = real.split("train")
    assert train.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert train.labels[60_000:60_010].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    # Against the mean and standard deviation that are published for the training pixels.
    parts = np.split(train.values[:60_000].numpy(), 60)
    counts = sum(np.bincount(part.ravel(), minlength=256) for part in parts)
    values = np.arange(256) / 255
    mean = np.average(values, weights=counts)
    assert mean == pytest.approx(0.2860, abs=5e-5)
    assert np.average((values - mean) ** 2, weights=counts) ** 0.5 == pytest.approx(
        0.3530, abs=5e-5
    )


def test_real_splits_are_disjoint_and_stratified(real: InputDataset) -> None:
    train, validation, test = (real.split(name) for name in ("train", "validation", "test"))
    assert torch.cat([train.index, validation.index]).sort().values.equal(torch.arange(60_000))
    assert test.index.equal(torch.arange(60_000, 70_000))
    assert validation.index.equal(validation.index.sort().values)
    assert validation.labels[validation.index].bincount().tolist() == [500] * 10


def test_real_splits_never_change(real: InputDataset) -> None:
    """Figures of other days were had on these very images."""
    original = aelab.data.loading.load(splits="original")
    assert original.split("train").index.equal(torch.arange(60_000))
    assert len(original.split("validation")) == 8_000
    assert original.split("validation").index.min() >= 60_000
    assert original.split("validation").index.unique().numel() == 8_000
    assert "test" not in original.splits
    chosen = [d.split("validation").index.numpy() for d in (real, original)]
    hashes = [hashlib.sha256(index).hexdigest()[:8] for index in chosen]
    assert hashes == ["0b11e34d", "fefe1901"]
    assert real.sha256 == original.sha256
    assert real.sha256.startswith("d1fd84a8")


@pytest.mark.usefixtures("real")
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads Linux's account of memory"
)
def test_real_loads_fast_and_in_little_memory() -> None:
    code = """if True:
        import time, pooch, torch
        from aelab.data.idx_files import load
        from aelab.settings import DataSettings
        def peak():  # resident memory at its highest, in kibibytes
            with open("/proc/self/status") as file:
                return int(file.read().split("VmHWM:")[1].split()[0])
        before, start = peak(), time.process_time()
        load(DataSettings(), None)
        print(time.process_time() - start, (peak() - before) * 1024 / 1e6)
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, ran.stdout.split())
    assert seconds < 1.5
    assert 50 < megabytes < 150  # the pixels alone are 55


# Where the files are looked for


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("layout", ["", "fashion-mnist", "FashionMNIST/raw"])
def test_layouts_of_a_named_folder(small: Path, layout: str, end: str) -> None:
    write(small / "mine" / layout, end=end)
    data = load(small / "mine")
    assert data.split("train").values[:, 0, 0, 0].tolist() == list(range(TRAIN + TEST))
    assert data.split("train").labels.tolist() == [i % 10 for i in range(TRAIN + TEST)]
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [10, 10, 10]


def test_order_of_the_places(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [small / "cache" / "fashion-mnist", small / "debian", small / "env", small / "named"]
    monkeypatch.setenv("AELAB_DATA", str(small / "env"))
    for folder in folders[:3]:
        write(folder)
        assert locate().folder == folder
    write(folders[3])
    assert locate(folders[3]).folder == folders[3]


def test_an_empty_variable_is_no_folder(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AELAB_DATA", "")
    monkeypatch.chdir(write(small / "here"))
    with pytest.raises(MissingFileError):
        locate()


def test_an_incomplete_folder_is_passed_over_and_named(small: Path) -> None:
    mine = write(small / "mine")
    (mine / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MissingFileError, match=r"mine \(lacks t10k-labels-idx1-ubyte\);"):
        load(mine)
    write(small / "debian")
    assert locate(mine).folder == small / "debian"


def test_not_found_names_each_place_and_each_way(small: Path) -> None:
    start = time.monotonic()
    with pytest.raises(MissingFileError) as caught:
        load(small / "mine")
    said = str(caught.value)
    assert time.monotonic() - start < 10
    assert "\n" not in said
    for place in ("mine", "mine/FashionMNIST/raw", "debian", "cache/fashion-mnist"):
        assert f"{small / place} (has none of the four files)" in said
    assert f"{CLOSED}train-images-idx3-ubyte.gz (ConnectionError)" in said
    for way in ("package dataset-fashion-mnist", "--data-dir", "AELAB_DATA", "network"):
        assert way in said
    assert not list((small / "cache").rglob("*.gz"))


def test_a_folder_that_may_not_be_searched(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(MissingFileError, match=r"debian \(Permission denied\)"):
        load()


# Damaged files


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: gzip.compress(b)[:-30], r"is damaged \(.*end-of-stream.*expected 15,696 bytes"),
        (lambda b: gzip.compress(b)[:-8] + bytes(8), r"is damaged \(CRC check failed"),
        (lambda b: b"<html>no</html>", r"is damaged \(Not a gzipped file"),
        (lambda b: b"\x1f\x8b\x08\0\0\0\0\0\0\0" + b"\xff" * 50, r"is damaged \(Error -3"),
        (lambda b: gzip.compress(b[:-1]), "holds 15,695 bytes, uncompressed; expected 15,696"),
        (lambda b: gzip.compress(b[:10]), "holds 10 bytes, uncompressed; expected 15,696"),
        (lambda b: b"", "holds 0 bytes, uncompressed; expected 15,696"),
        (lambda b: gzip.compress(b + b"\0"), "holds more than 15,696 bytes"),
        (lambda b: gzip.compress(bytes(10_000_000)), "holds more than 15,696 bytes"),
        (lambda b: gzip.compress(b[:-1] + b"\7"), r"SHA-256 [0-9a-f]{64}; expected [0-9a-f]{64}"),
        (lambda b: gzip.compress(b"\7" + b[1:]), r"not FashionMNIST's .*; expected [0-9a-f]{64}"),
    ],
)
def test_a_damaged_file_is_an_error(small: Path, change: Any, said: str) -> None:
    name = "train-images-idx3-ubyte"
    path = write(small / "mine") / f"{name}.gz"
    path.write_bytes(change(contents()[name]))
    write(small / "debian")  # a later place must not hide it
    with pytest.raises(InputError, match=rf"{path} .*{said}.*; replace it with a whole one"):
        load(small / "mine")


def test_an_uncompressed_file_that_was_cut(small: Path) -> None:
    path = write(small / "debian", end="") / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"holds 15 bytes.*expected 18; reinstall Debian's pack"):
        load()


def test_a_file_that_cannot_be_read(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    write(small / "mine", end="")
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(InputError, match=r"ubyte cannot be read \(Permission denied\)"):
        load(small / "mine")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
@given(data=st.data())
def test_no_damage_goes_unseen(small: Path, data: st.DataObject) -> None:
    """Whatever byte of whatever file is changed or cut: the whole content, or an error."""
    folder = write(small / "mine")
    path = folder / f"{data.draw(st.sampled_from(sorted(contents())))}.gz"
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.binary(max_size=2))
    path.write_bytes(content[:at] + other + content[at + 1 :])
    try:
        found = load(folder).split("train")
    except InputError as error:
        said = str(error)
        assert said.startswith(str(path))
    else:  # the change was in what gzip does not check, such as the time in its header
        assert found.values[:, 0, 5, 5].tolist() == list(range(TRAIN + TEST))


# Downloads


def test_a_download_goes_to_the_cache_once(
    mirror: Path, small: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(mirror)
    first = load()
    cache = small / "cache" / "fashion-mnist"
    assert sorted(p.name for p in cache.iterdir()) == sorted(f"{name}.gz" for name in contents())
    assert capfd.readouterr() == ("", "")
    for path in mirror.iterdir():
        path.unlink()
    assert load().split("train").values.equal(first.split("train").values)


def test_only_what_is_missing_is_downloaded(mirror: Path, small: Path) -> None:
    cache = write(small / "cache" / "fashion-mnist")
    (cache / "t10k-images-idx3-ubyte.gz").rename(mirror / "t10k-images-idx3-ubyte.gz")
    assert len(load().split("test")) == TEST


def test_a_download_is_verified_before_it_has_a_name(mirror: Path, small: Path) -> None:
    write(mirror)
    (mirror / "t10k-images-idx3-ubyte.gz").write_bytes(b"<html>Sign in to the network</html>")
    (mirror / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MissingFileError, match=r"t10k-images.*what came is damaged .Not a gzipped"):
        load()
    names = {path.name for path in (small / "cache" / "fashion-mnist").iterdir()}
    assert names == {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"}


def test_a_mirror_without_the_file(mirror: Path) -> None:
    with pytest.raises(MissingFileError, match=r"127.*/train-images.*gz \(HTTPError 404\)"):
        load()
    assert not list(mirror.iterdir())


def test_a_cache_that_cannot_be_written(mirror: Path, small: Path) -> None:
    write(mirror)
    (small / "cache").write_text("no folder")
    with pytest.raises(MissingFileError, match=r"cannot write .*/cache/.*Not a directory|exists"):
        load()


def test_an_interrupted_download_leaves_nothing(
    mirror: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(url: str, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "fetch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load()
    assert list((small / "cache" / "fashion-mnist").iterdir()) == []
    assert mirror.is_dir()


# Settings


def test_splits_are_the_same_each_time(small: Path) -> None:
    mine = write(small / "mine")
    for splits in ("standard", "original"):
        a, b = (load(mine, splits=splits).split("validation") for _ in range(2))
        assert a.index.equal(b.index)


def test_splitting_leaves_other_generators_alone(small: Path) -> None:
    mine = write(small / "mine")
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    load(mine)
    assert before[0].equal(torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()


def test_scale_prepares_a_batch(small: Path) -> None:
    train = load(write(small / "mine"), scale=2.0, splits="original").split("train")
    assert train.batch(torch.tensor([3]))[0, 0, 0, :2].tolist() == [6, 6]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_cannot_be(small: Path, scale: float) -> None:
    with pytest.raises(InputError, match="scale must be a number above 0"):
        load(write(small / "mine"), scale=scale)


def test_binarised_pixels_are_drawn_anew_with_their_intensity_as_probability(small: Path) -> None:
    train = load(write(small / "mine"), splits="original").binarised().split("train")
    i = torch.arange(TRAIN)
    with seeded(0):
        draws = torch.stack([train.batch(i) for _ in range(100)])
    assert set(draws.unique().tolist()) == {0, 1}
    assert not draws[0].equal(draws[1])
    # Every pixel of image i is i: 78,400 draws have a standard deviation of 0.0018 at the most.
    torch.testing.assert_close(draws.mean((0, 2, 3, 4)), i / 255, atol=0.005, rtol=0)
    assert train.intensities(i)[:, 0, 0, 0].tolist() == pytest.approx((i / 255).tolist())


def test_black_and_white_pixels_stay_what_they_are() -> None:
    pixels = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(2, 1, 30, 30)
    spec = InputSpec((1, 30, 30), binarise=True)
    images = InputSplit(pixels, torch.zeros(2).long(), torch.arange(2), spec)
    x = images.batch(torch.arange(2))
    assert (x[0].max(), x[1].min()) == (0, 1)


def test_binarising_needs_intensities() -> None:
    with pytest.raises(InputError, match="leave scale at 1/255, for it cannot be 1"):
        DataSettings(scale=1.0, binarise=True)
    with pytest.raises(InputError, match="karate is a graph: it has no pixels to binarise"):
        aelab.data.loading.load("karate", binarise=True)


def trained_on(data: InputDataset, name: str, stops: int = 0) -> Autoencoder:
    """Two epochs of training, stopped once after some of its reports and taken up again."""
    with seeded(0):
        model = build(name, data.spec)
    recipe = Recipe(epochs=2, batch_size=32)
    states = fit(model, data.split("train"), recipe)
    state = None
    for _ in range(stops):
        state = next(states)
    for _ in fit(model, data.split("train"), recipe, state=state) if stops else states:
        pass
    return model


@pytest.mark.parametrize("name", ["vae", "pca"])
def test_training_on_binarised_pixels_gives_the_same_bytes(blobs: InputDataset, name: str) -> None:
    data = blobs.binarised()
    first = trained_on(data, name).state_dict()
    torch.rand(3)  # what a caller draws in between has no influence
    before = torch.get_rng_state()
    again = trained_on(data, name).state_dict()
    assert torch.get_rng_state().equal(before)
    grey = trained_on(blobs, name).state_dict()
    assert all(first[key].equal(again[key]) for key in first)
    assert not all(first[key].equal(grey[key]) for key in first)
    if name == "vae":
        resumed = trained_on(data, name, stops=3).state_dict()
        assert all(first[key].equal(resumed[key]) for key in first)


def test_every_model_is_evaluated_on_the_same_draws(blobs: InputDataset) -> None:
    data = blobs.binarised()
    seen: dict[str, list[torch.Tensor]] = {}
    for name in ("vae", "vanilla"):
        model = build(name, data.spec)
        drawn = seen.setdefault(name, [])
        first = model.network.encoder
        first.register_forward_pre_hook(lambda _, x, drawn=drawn: drawn.append(x[0]))
        reconstruction_errors(model, data.split("test"))
    assert seen["vae"][0].equal(seen["vanilla"][0])
    assert set(seen["vae"][0].unique().tolist()) == {0, 1}


def test_binarised_data_has_a_baseline_a_prior_and_all_figures(blobs: InputDataset) -> None:
    data = blobs.binarised()
    model = trained_on(data, "vanilla")
    before = torch.get_rng_state()
    # Draws have the variance p (1 - p) over their intensity, which few components cannot follow.
    assert pca_mse(data, "test", 8) > pca_mse(blobs, "test", 8) + 0.01
    assert evaluate(model, data) == evaluate(model, data)
    priors = [FittedMixture(model.code_size) for _ in range(2)]
    for prior in priors:
        fit_prior(prior, model, data.split("train"))
    first, second = (prior.tensors() for prior in priors)
    assert all(first[key].equal(second[key]) for key in first)
    assert torch.get_rng_state().equal(before)


def test_splits_that_cannot_be() -> None:
    with pytest.raises(InputError, match="splits must be standard or original, not 'thirds'"):
        FASHION_MNIST.split(np.zeros(30, dtype=np.uint8), "thirds")


def test_an_unknown_data_set() -> None:
    with pytest.raises(AelabError, match=r"'fashion_mnist' .*did you mean fashion-mnist\?"):
        aelab.data.loading.load("fashion_mnist")
    with pytest.raises(ValueError, match=r"no data set 'x' \(there is fashion-mnist, "):
        aelab.data.loading.load("x")


def test_load_by_name(small: Path) -> None:
    mine = write(small / "mine")
    data = aelab.data.loading.load("fashion-mnist", data_dir=str(mine), splits="original")
    assert (data.name, list(data.splits)) == ("fashion-mnist", ["train", "validation"])


def test_listing_data_sets_imports_no_torch() -> None:
    code = "import sys, aelab.data.loading as a; assert a.LOADERS and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_measuring_on_some_inputs_leaves_training_as_it_is() -> None:
    digits = aelab.data.loading.load("digits")
    some = digits.measured_on(20)
    assert some.split("train") is digits.split("train")
    for name in ("validation", "test"):
        assert some.split(name).index.tolist() == digits.split(name).index[:20].tolist()
    assert some.sha256 == digits.sha256
    assert some.most_codes == 100
