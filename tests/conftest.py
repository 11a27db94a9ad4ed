"""Shapes and types are checked while testing; small real data are shared by the tests."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxtyping import install_import_hook

with install_import_hook("aelab", "typecheck.check"):
    import aelab.cli
    import aelab.cli.options
    import aelab.cli.screen
    import aelab.data.arrays
    import aelab.data.folders
    import aelab.data.inputs
    import aelab.data.sounds
    import aelab.data.table_rows
    import aelab.evaluate.features
    import aelab.evaluate.importance
    import aelab.evaluate.samples
    import aelab.figures.grids
    import aelab.models.autoencoder
    import aelab.models.baselines
    import aelab.models.hierarchical
    import aelab.models.leaky
    import aelab.models.links
    import aelab.models.networks.convolutional
    import aelab.models.networks.dense
    import aelab.models.networks.graph
    import aelab.models.pca
    import aelab.models.priors.fitted
    import aelab.models.priors.fitted_flow
    import aelab.models.priors.fitted_mixture
    import aelab.models.priors.flow
    import aelab.models.priors.given_class
    import aelab.models.priors.mixture
    import aelab.models.priors.two_stage
    import aelab.models.priors.vamp
    import aelab.models.sparse
    import aelab.models.variational
    import aelab.studies.compare

import pytest
import torch
from hypothesis import settings

from aelab.data.input_sets import InputDataset, InputSplit
from aelab.data.specs import InputSpec
from aelab.files import MissingFileError
from tiny_data import named_tiny

torch.set_num_threads(1)  # tests are small, and may share their processors

# How long an example takes depends on what was imported before it, and on the machine.
settings.register_profile("aelab", deadline=None)
settings.load_profile("aelab")


@pytest.fixture(scope="session", autouse=True)
def kept_figures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache for what follows from the data alone: what earlier versions kept is not looked at."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aelab.evaluate.kept.user_cache", lambda *parts: folder.joinpath(*parts))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def one_core() -> Iterator[None]:
    """A page is written by one process: another one knows no data sets that a test made up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aelab.machine.cores", lambda: 1)
        yield


@pytest.fixture(scope="session")
def fashion() -> InputDataset:
    """FashionMNIST, all of it."""
    try:
        return aelab.data.loading.load("fashion-mnist")
    except MissingFileError as error:
        pytest.skip(f"FashionMNIST is not on this machine: {error}")


@pytest.fixture(scope="session")
def slice_of_fashion(fashion: InputDataset) -> InputDataset:
    """The first 500 training, 150 validation and 150 test images."""
    sizes = {"train": 500, "validation": 150, "test": 150}
    splits = {
        name: replace(fashion.split(name), index=fashion.split(name).index[:size])
        for name, size in sizes.items()
    }
    return replace(fashion, splits=splits)


@pytest.fixture(scope="session")
def blobs() -> InputDataset:
    """Small made-up images: a bright spot of one of three widths at any place, on 12×10 pixels."""
    generator = torch.Generator().manual_seed(0)
    n = 200
    rows = torch.rand(n, 1, 1, generator=generator) * 12
    columns = torch.rand(n, 1, 1, generator=generator) * 10
    labels = torch.randint(3, (n,), generator=generator)
    distance = (torch.arange(12.0)[:, None] - rows) ** 2 + (torch.arange(10.0) - columns) ** 2
    pixels = (255 * torch.exp(-distance / (2.0 + 3 * labels[:, None, None]))).to(torch.uint8)
    spec = InputSpec((1, 12, 10))
    splits = {
        name: InputSplit(pixels[:, None], labels, torch.arange(first, last), spec)
        for name, first, last in (("train", 0, 120), ("validation", 120, 160), ("test", 160, 200))
    }
    return InputDataset("blobs", splits, ("small", "middle", "large"), sha256="made up")


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tiny(slice_of_fashion: InputDataset, monkeypatch: pytest.MonkeyPatch) -> InputDataset:
    """The slice as a data set with a name of its own, ``tiny``."""
    return named_tiny(monkeypatch, slice_of_fashion)


@pytest.fixture
def tiny_blobs(blobs: InputDataset, monkeypatch: pytest.MonkeyPatch) -> InputDataset:
    """The blobs as the data set ``tiny``: measuring them takes a tenth of the time."""
    return named_tiny(monkeypatch, blobs)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, which the page is tested in."""
    webdriver = pytest.importorskip("selenium.webdriver")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("there is no Chromium with its chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(driver)
    with webdriver.Chrome(options=options, service=service) as opened:
        yield opened
