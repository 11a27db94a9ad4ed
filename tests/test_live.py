"""The page's live part in Chromium: what its networks give is what PyTorch's give."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import aelab
from aelab.apps.links import top_missing_links
from aelab.cli.verbs import main
from aelab.data.loading import load
from aelab.files import InputError
from aelab.report import live, programs
from aelab.report.live_links import likeliest
from aelab.report.material import Material, gather
from aelab.report.page import Report, as_html, write_report
from aelab.runs.store import Run
from aelab.studies.compare import compare
from aelab.studies.study import parse_study

selenium = pytest.importorskip("selenium")

from selenium.webdriver.chrome.webdriver import WebDriver  # noqa: E402 - where selenium is
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

ENGINE = (Path(live.__file__).parent / "engine.js").read_text("utf-8")

AGREEMENT = 0.01
"""Of the pixels' range."""

STUDY = """
metrics = ["reconstruction"]
[data]
name = "digits"
[recipe]
epochs = 0.5
[rows.vae.hyperparameters]
latent_dim = 4
hidden = [64]
[rows.convolutional.hyperparameters]
latent_dim = 3
channels = [8, 8]
[rows.strided]
model = "conv-vae"
hyperparameters = { latent_dim = 2, channels = [8], hidden = [32], resampling = "stride" }
[rows.sparse.hyperparameters]
latent_dim = 32
active = 5
[rows.graph-vae.hyperparameters]
latent_dim = 6
channels = [4]
hidden = [16]
"""


@cache
def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def kept_largest(x: Tensor) -> Tensor:
    kept = x.topk(3, dim=1)
    return torch.zeros_like(x).scatter(1, kept.indices, kept.values)


OPERATIONS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    **{
        name: (getattr(F, name), (1, 9))
        for name in ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "glu")
    },
    "exp": (torch.exp, (1, 9)),
    "linear": (lambda x: F.linear(x, drawn(1, 4, 9), drawn(2, 4)), (1, 9)),
    "mm": (lambda x: x @ drawn(1, 9, 5) - drawn(2, 5), (1, 9)),
    "bmm": (lambda x: drawn(1, 2, 3).expand(4, -1, -1) @ x, (4, 3, 5)),
    "bmm-column": (lambda x: drawn(1, 4, 2, 3) @ x, (4, 3, 1)),
    "arithmetic": (lambda x: 2 * x + drawn(1, 3, 1) * x - x + 0.5, (1, 3, 4)),
    "permute": (lambda x: x.permute(2, 0, 1).transpose(0, -1).contiguous() * 1, (2, 3, 4)),
    "split": (lambda x: x.chunk(3, dim=1)[1], (1, 9)),
    "slice": (lambda x: x[:, 1:3].clone() * x[:, -2:], (1, 5, 3)),
    "cat": (lambda x: torch.cat([x, 2 * x[:, :1]], 1), (1, 3, 2)),
    "topk": (kept_largest, (1, 9)),
    "max_pool": (lambda x: F.max_pool2d(x, 2), (1, 2, 7, 8)),
    "upsample": (lambda x: F.interpolate(x, size=(7, 9)), (1, 2, 3, 4)),
    "convolution": (
        lambda x: F.conv2d(x, drawn(1, 3, 2, 3, 3), drawn(2, 3), padding=1), (1, 2, 5, 6)
    ),
    "strided": (
        lambda x: F.conv2d(x, drawn(1, 3, 2, 4, 4), stride=2, padding=1), (1, 2, 7, 8)
    ),
    "transposed": (
        lambda x: F.conv_transpose2d(
            x, drawn(1, 2, 3, 4, 4), drawn(2, 3), stride=2, padding=1, output_padding=(1, 0)
        ),
        (1, 2, 3, 4),
    ),
    "col2im": (lambda x: F.fold(x, (6, 7), 4, padding=1, stride=2), (1, 32, 9)),
    "bag": (
        lambda x: F.embedding_bag(
            torch.tensor([0, 2, 1]), x, torch.tensor([0, 2]), mode="sum",
            per_sample_weights=torch.tensor([0.5, 2.0, -1.0]),
        ),
        (3, 4),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_page_computes_what_pytorch_does(name: str, chromium: WebDriver) -> None:
    function, shape = OPERATIONS[name]
    x = drawn(0, *shape) if name != "glu" else drawn(0, 1, 10)
    expected = function(x)  # and weights are drawn, which tracing then finds
    program = programs.traced(function, x)
    assert program.unknown == []
    asked = json.dumps([program.as_json({}, {}), x.flatten().tolist(), list(x.shape)])
    chromium.get("data:text/html,<title>engine</title>")
    found = chromium.execute_async_script(
        f"{ENGINE}; const [program, data, shape] = {asked}; const done = arguments[0];"
        "loaded(program).then((p) => done([...run(p, {data: Float32Array.from(data), shape})]))"
        ".catch((error) => done(String(error)))"
    )
    assert isinstance(found, list), found
    assert torch.allclose(torch.tensor(found), expected.flatten(), atol=5e-3, rtol=2e-3)


def test_what_has_no_step_is_named() -> None:
    found = programs.traced(lambda x: x.relu().sin(), drawn(0, 1, 3))
    assert found.unknown == ["sin"]
    with pytest.raises(InputError, match="the page has no step for sin"):
        live.known(found)


def within(material: Material) -> live.Live:
    parts = live.live_parts(material)
    assert parts is not None
    return parts.within(taken=0)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = compare(parse_study("few", STUDY), out=tmp_path_factory.mktemp("studies"))
    material = gather(result.folder)
    path = result.folder / "report.html"
    path.write_text(as_html(material, [], within(material)), "utf-8")
    return path


@pytest.fixture
def shown(chromium: WebDriver, page: Path) -> WebDriver:
    chromium.get(page.as_uri())
    found = chromium.execute_async_script(
        "const done = arguments[0]; live.then(() => done(''), (error) => done(error.stack))"
    )
    assert found == ""
    return chromium


def choose(browser: WebDriver, name: str) -> None:
    Select(browser.find_element(By.ID, "live-model")).select_by_visible_text(name)
    next_frame(browser)


def next_frame(browser: WebDriver) -> None:
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
    )


def of_live(browser: WebDriver, expression: str) -> Any:
    return browser.execute_async_script(
        f"const done = arguments[0]; live.then((it) => done({expression}))"
    )


def pixels(browser: WebDriver, selector: str) -> Tensor:
    """What a canvas shows, from 0 to 1."""
    found = browser.execute_script(
        "const c = document.querySelector(arguments[0]);"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]",
        f"{selector} canvas",
    )
    return torch.tensor(found).reshape(-1, 4)[:, 0] / 255


def decoded(page: Path, name: str, code: list[float]) -> Tensor:
    model = Run.open(page.parent / name / "seed-0").autoencoder
    with torch.no_grad():
        return model.decode(torch.tensor([code]))[0].flatten() / model.spec.peak


def agrees(shown: Tensor, expected: Tensor) -> bool:
    return bool((shown - expected.clamp(0, 1)).abs().max() < AGREEMENT + 0.5 / 255)


ROWS = ["vae", "convolutional", "strided", "sparse", "graph-vae"]


@pytest.mark.parametrize("name", ROWS)
def test_the_decoder_answers_a_pointer_and_a_slider(
    name: str, shown: WebDriver, page: Path
) -> None:
    choose(shown, name)
    canvas = shown.find_element(By.ID, "live-map")
    before = pixels(shown, "#live-answer")
    ActionChains(shown).move_to_element_with_offset(canvas, 60, -40).perform()
    next_frame(shown)
    code = of_live(shown, "[...it.code]")
    after = pixels(shown, "#live-answer")
    assert agrees(after, decoded(page, name, code))
    assert not torch.equal(after, before)
    slider = shown.find_element(By.CSS_SELECTOR, "#live-sliders input")
    slider.send_keys(Keys.HOME)
    next_frame(shown)
    moved = of_live(shown, "[...it.code]")
    number = int(slider.get_attribute("data-number") or "")
    assert [i for i, (a, b) in enumerate(zip(code, moved, strict=True)) if a != b] == [number]
    assert moved[number] == pytest.approx(float(slider.get_attribute("min") or ""), abs=1e-3)
    assert agrees(pixels(shown, "#live-answer"), decoded(page, name, moved))


def test_the_keyboard_moves_over_the_map(shown: WebDriver) -> None:
    canvas, place = shown.find_element(By.ID, "live-map"), "it.chart.place"
    before = of_live(shown, place)
    canvas.send_keys(Keys.ARROW_RIGHT)
    next_frame(shown)
    after = of_live(shown, place)
    assert after[0] > before[0]
    assert after[1] == pytest.approx(before[1])


@pytest.mark.parametrize("name", ROWS)
def test_noise_is_restored_as_pytorch_does(name: str, shown: WebDriver, page: Path) -> None:
    shown.find_element(By.ID, "live-level").send_keys(Keys.END)
    next_frame(shown)
    assert shown.find_element(By.ID, "live-sigma").text == "0.50"
    assert of_live(shown, "it.models.every((model) => model.encoder !== null)")
    place = ROWS.index(name)
    noisy = of_live(shown, f"[...it.models[{place}].restored(0, it.scene.levels.length - 1).noisy]")
    model = Run.open(page.parent / name / "seed-0").autoencoder
    with torch.no_grad():
        x_hat = model(torch.tensor(noisy).reshape(1, 1, 8, 8)).flatten() / model.spec.peak
    assert agrees(pixels(shown, f"#live-restored figure:nth-child({place + 3})"), x_hat)


def test_a_way_and_samples(shown: WebDriver, page: Path) -> None:
    shown.find_element(By.ID, "live-share").send_keys(Keys.HOME)
    next_frame(shown)
    first = of_live(shown, "[...it.model.row(it.model.codes, it.scene.chosen[0])]")
    way = pixels(shown, "#live-way figure:nth-child(2)")
    assert agrees(way, decoded(page, "vae", first))
    before = pixels(shown, "#live-drawn")
    shown.find_element(By.ID, "live-draw").send_keys(Keys.ENTER)
    code = of_live(shown, "[...it.model.row(it.model.samples, 10)]")
    after = pixels(shown, "#live-drawn")
    assert agrees(after, decoded(page, "vae", code))
    assert not torch.equal(before, after)


def test_a_point_shows_its_image(shown: WebDriver) -> None:
    third = load("digits").split("test").batch(torch.arange(3))[2].flatten()
    of_live(shown, "it.goTo(it.points[2])")
    next_frame(shown)
    images = pixels(shown, "#live-answer figure:nth-child(2)")
    assert torch.allclose(images, Tensor(third), atol=0.01)


@pytest.mark.parametrize("width", [375, 1280])
def test_it_is_no_wider_than_the_window(shown: WebDriver, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 400}
    shown.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert shown.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        shown.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_without_a_script_nothing_is_there(page: Path) -> None:
    html = page.read_text("utf-8")
    assert re.search(r'<section id="live-part" [^>]*hidden>', html)
    assert re.search(r'<a href="#live" id="live-link" hidden>', html)


def test_two_processes_write_the_same_page(page: Path, tmp_path: Path) -> None:
    one, two = (
        write_report(page.parent, out=tmp_path / str(at_once), at_once=at_once).path.read_bytes()
        for at_once in (1, 2)
    )
    assert b'id="live"' in one
    assert one == two


def test_what_has_no_room_is_told(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    material = gather(page.parent)
    monkeypatch.setattr(live, "MOST_BYTES", 60_000)
    found = within(material)
    assert "graph-vae" in found.without
    assert len(found.content) < 60_000
    assert all("room" in reason for reason in found.without.values())


def test_explore_writes_a_page_and_opens_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: not opened.append(url))
    path = Path("run") / "report.html"
    monkeypatch.setattr("aelab.report.page.write_report", lambda *_, **__: Report(path, ()))
    assert main(["explore", "run", "--no-open"]) == 0
    assert not opened
    assert main(["explore", "run"]) == 0
    assert opened == [path.absolute().as_uri()]
    assert capsys.readouterr().out == 2 * f"The page: {path}\n"


def test_a_node_tells_its_likeliest_links(chromium: WebDriver, tmp_path: Path) -> None:
    run = aelab.train("gae", "karate", epochs=5, out=tmp_path / "gae")
    data = run.graph(load("karate"))
    best, scores = likeliest(run.link_model, data)
    source, target, score = top_missing_links(run.link_model, data, 1)[0]
    node = data.index[source]
    assert best[node, 0] == data.index[target]
    assert scores[node, 0].item() == pytest.approx(score)
    known = {tuple(pair) for pair in data.whole.edge_index.T.tolist()}
    assert not any((i, j) in known for i, of in enumerate(best.tolist()) for j in of)
    html = as_html(gather(run.folder), [], within(gather(run.folder)))
    (path := tmp_path / "page.html").write_text(html, "utf-8")
    chromium.get(path.as_uri())
    of_live(chromium, f"it.choose({node})")
    assert f"Node {source}," in chromium.find_element(By.ID, "live-node").text
    first = chromium.find_element(By.CSS_SELECTOR, "#live-links li").text
    assert first == f"{target}, score {score:.3f}"
