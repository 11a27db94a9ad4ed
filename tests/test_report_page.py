"""The page as its reader has it, in Debian's Chromium: sorted, silent, and narrow enough."""

import json
from pathlib import Path
from typing import Any

import pytest

from aelab.data.input_sets import InputDataset
from aelab.report.page import write_report
from aelab.studies.compare import compare
from aelab.studies.study import parse_study
from tiny_data import named_tiny

selenium = pytest.importorskip("selenium")

from selenium.webdriver.chrome.webdriver import WebDriver  # noqa: E402 - where selenium is
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

STUDY = """
metrics = ["reconstruction", "bound"]
[data]
name = "tiny"
[recipe]
epochs = 1
batch_size = 100
[rows.b-pca]
model = "pca"
hyperparameters = { latent_dim = 16 }
recipe = { epochs = 0 }
[rows.c-vae]
model = "vae"
hyperparameters = { latent_dim = 4, hidden = [20] }
[rows.a-pca]
model = "pca"
hyperparameters = { latent_dim = 100 }
recipe = { epochs = 0 }
"""


@pytest.fixture(scope="module")
def page(slice_of_fashion: InputDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        named_tiny(patch, slice_of_fashion)
        result = compare(parse_study("few", STUDY), out=tmp_path_factory.mktemp("studies"))
        return write_report(result.folder).path


@pytest.fixture
def shown(chromium: WebDriver, page: Path) -> WebDriver:
    chromium.get(page.as_uri())
    return chromium


def column(browser: WebDriver, number: int) -> list[str]:
    return [
        cell.text
        for cell in browser.find_elements(
            By.CSS_SELECTOR, f"table.sortable tbody tr > :nth-child({number})"
        )
    ]


def head(browser: WebDriver, number: int) -> Any:
    selector = f"table.sortable thead tr:last-child th:nth-child({number})"
    found = browser.find_element(By.CSS_SELECTOR, selector)
    browser.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found
    )
    return found


def test_a_head_sorts_by_its_column(shown: WebDriver) -> None:
    assert column(shown, 1) == ["b-pca", "c-vae", "a-pca"]
    assert head(shown, 2).get_attribute("aria-sort") == "none"
    head(shown, 2).find_element(By.TAG_NAME, "button").click()
    assert column(shown, 2) == ["4", "16", "100"]  # as numbers, not as text
    assert column(shown, 1) == ["c-vae", "b-pca", "a-pca"]
    assert head(shown, 2).get_attribute("aria-sort") == "ascending"
    head(shown, 2).find_element(By.TAG_NAME, "button").click()
    assert column(shown, 2) == ["100", "16", "4"]
    assert head(shown, 2).get_attribute("aria-sort") == "descending"


def test_the_keyboard_sorts_too(shown: WebDriver) -> None:
    head(shown, 1).find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert column(shown, 1) == ["a-pca", "b-pca", "c-vae"]
    assert head(shown, 1).get_attribute("aria-sort") == "ascending"


def test_cells_without_a_number_stay_last(shown: WebDriver) -> None:
    titles = [cell.text for cell in shown.find_elements(By.CSS_SELECTOR, "thead tr:last-child th")]
    number = next(i for i, title in enumerate(titles, start=1) if title.startswith("KL"))
    for _ in range(2):
        head(shown, number).find_element(By.TAG_NAME, "button").click()
        assert column(shown, number)[1:] == ["–", "–"]


def test_it_logs_nothing_and_asks_for_nothing(shown: WebDriver, page: Path) -> None:
    shown.get_log("browser")
    shown.get_log("performance")
    shown.get(page.as_uri())
    head(shown, 1).find_element(By.TAG_NAME, "button").click()
    messages = [json.loads(entry["message"])["message"] for entry in shown.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert asked[0] == page.as_uri()
    assert all(address.startswith("data:") for address in asked[1:])
    assert shown.get_log("browser") == []


def test_every_picture_is_there(shown: WebDriver) -> None:
    widths = shown.execute_script(
        "return [...document.images].map(i => [i.naturalWidth, i.width, i.alt.length])"
    )
    assert len(widths) == 19
    assert all(natural > 100 and width > 100 and told > 20 for natural, width, told in widths)


@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_itself_never_scrolls_sideways(shown: WebDriver, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 400}
    shown.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert shown.execute_script("return innerWidth") == width
        assert shown.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        shown.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_mode_is_dark(shown: WebDriver) -> None:
    def brightness() -> float:
        colour = shown.execute_script("return getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour[4:-1].split(",")) / 3

    for scheme, low, high in (("light", 200, 255), ("dark", 0, 60)):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        assert low <= brightness() <= high
