"""Each cell of a study's tables is the figure that its heading names, in the unit that it names."""

import csv
import json
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev

import pytest

from aelab.cli.verbs import main
from aelab.data.input_sets import InputDataset
from aelab.evaluate.columns import METRICS
from tiny_data import named_tiny

STUDY = """
metrics = ["reconstruction"]
seeds = [0, 3, 8]
[data]
name = "tiny"
[recipe]
epochs = 0
[rows.pca]
hyperparameters = { latent_dim = 2 }
published = { mse = 0.25, kl = 31.5 }
[rows.near]
model = "pca"
[rows.far]
model = "pca"
hyperparameters = { latent_dim = 5 }
published = { kl = 62.5 }
"""

ROWS = ("pca", "near", "far")
SEEDS = (0, 3, 8)

HEADINGS = {
    "mse": ("Reconstruction", "MSE, pixel", 4),
    "pca_mse": ("Reconstruction", "PCA's, MSE", 4),
    "pca_share": ("Reconstruction", "share, of PCA's", 2),
    "words_wrong": ("Reconstruction", "words, wrong", 3),
    "pca_words_wrong": ("Reconstruction", "PCA's, words", 3),
    "psnr": ("Reconstruction", "PSNR, dB", 1),
    "ssim": ("Reconstruction", "SSIM, to 1", 3),
    "original_figure": ("Reconstruction", "original's, ours", 4),
    "noisy_mse_0.1": ("Robustness", "noise 0.1, MSE", 4),
    "noisy_mse_0.2": ("Robustness", "noise 0.2, MSE", 4),
    "noisy_mse_0.4": ("Robustness", "noise 0.4, MSE", 4),
    "masked_mse": ("Robustness", "masked, MSE", 4),
    "active_fraction": ("The code", "non-zero, share", 2),
    "active_units": ("The code", "active, units", 1),
    "probe": ("The code", "probe, accuracy", 3),
    "pca_probe": ("The code", "PCA's, probe", 3),
    "pixel_probe": ("The code", "pixels', probe", 3),
    "knn": ("The code", "5-NN, accuracy", 3),
    "pca_knn": ("The code", "PCA's, 5-NN", 3),
    "pixel_knn": ("The code", "pixels', 5-NN", 3),
    "reconstruction_gaussian": ("Likelihood: the bound", "rec. Gauss, nats", 1),
    "reconstruction_bernoulli": ("Likelihood: the bound", "rec. Bern., nats", 1),
    "reconstruction_continuous_bernoulli": ("Likelihood: the bound", "rec. CB, nats", 1),
    "reconstruction_mixed": ("Likelihood: the bound", "rec. mixed, nats", 1),
    "kl": ("Likelihood: the bound", "KL, nats", 1),
    "negative_elbo_gaussian": ("Likelihood: the bound", "-ELBO Gauss, nats", 1),
    "negative_elbo_bernoulli": ("Likelihood: the bound", "-ELBO Bern., nats", 1),
    "negative_elbo_continuous_bernoulli": ("Likelihood: the bound", "-ELBO CB, nats", 1),
    "negative_elbo_mixed": ("Likelihood: the bound", "-ELBO mixed, nats", 1),
    "importance_bound_gaussian": ("Likelihood: importance-weighted", "-log p Gauss, nats", 1),
    "importance_bound_bernoulli": ("Likelihood: importance-weighted", "-log p Bern., nats", 1),
    "importance_bound_continuous_bernoulli": (
        "Likelihood: importance-weighted",
        "-log p CB, nats",
        1,
    ),
    "importance_bound_mixed": ("Likelihood: importance-weighted", "-log p mixed, nats", 1),
    "frechet": ("Samples", "samples, Fréchet", 2),
    "frechet_own": ("Samples", "own prior, Fréchet", 2),
    "frechet_fitted": ("Samples", "fitted, Fréchet", 2),
    "frechet_reconstructions": ("Samples", "restored, Fréchet", 2),
    "frechet_floor": ("Samples", "Fréchet, floor", 2),
    "frechet_flow": ("Samples from other priors", "flow, Fréchet", 2),
    "frechet_two_stage": ("Samples from other priors", "two-stage, Fréchet", 2),
    "precision": ("Samples", "precision, share", 2),
    "recall": ("Samples", "recall, share", 2),
    "nearest": ("Samples", "nearest, distance", 2),
    "nearest_test": ("Samples", "nearest, of test", 2),
    "anomaly_auroc": ("Anomalies", "anomaly, AUROC", 4),
    "neighbours_auroc": ("Anomalies", "5-NN, AUROC", 4),
    "lof_auroc": ("Anomalies", "LOF, AUROC", 4),
    "forest_auroc": ("Anomalies", "forest, AUROC", 4),
    "ocsvm_auroc": ("Anomalies", "OC-SVM, AUROC", 4),
    "pca_auroc": ("Anomalies", "PCA's, AUROC", 4),
    "auc": ("Links", "AUC, links", 4),
    "ap": ("Links", "AP, links", 4),
}
"""Where each metric stands in the tables, under what heading, and with how many digits."""

LESS = {
    "words_wrong",
    "negative_elbo_mixed",
    "importance_bound_mixed",
    *("mse", "pca_share", "noisy_mse_0.1", "noisy_mse_0.2", "noisy_mse_0.4", "masked_mse"),
    *(name for name in HEADINGS if name.startswith(("negative_elbo", "importance_bound"))),
    *("frechet", "frechet_own", "frechet_fitted", "frechet_reconstructions"),
    *("frechet_flow", "frechet_two_stage"),
}
MORE = {
    *("psnr", "ssim", "probe", "knn", "precision", "recall", "anomaly_auroc", "auc", "ap"),
}  # fmt: skip
"""The metrics of which less, or more, is better; only these have marks."""

COSTS = {
    "train_seconds": ("training, s", 1, 1),
    "images_per_second": ("speed, images/s", 1, 0),
    "epochs": ("epochs", 1, 1),
    "peak_memory_bytes": ("memory, MB", 10**6, 0),
}
"""Heading, the unit in what is recorded, digits."""


def seeds_of(place: int, row: str) -> list[float]:
    """A row's figures by seed, in the metric at a place: no two places or rows have the same mean.

    From seed to seed, `far` is above `pca` by nearly the same, so that they are told apart;
    `near`, between them, is above or below either.
    """
    middle = place / 4 + 0.02 + 0.04 * ROWS.index(row)
    steps = {"pca": (-2, -1, 3), "near": (3, -1, -2), "far": (-2.01, -1, 3.01)}
    return [middle + step * (0.02 + place / 5000) for step in steps[row]]


def costs_of(row: str) -> dict[str, list[float]]:
    """What a row's training cost, by seed, in seconds, images a second, epochs and bytes."""
    units = {"train_seconds": 10.0, "images_per_second": 1000.0, "epochs": 2.0}
    units["peak_memory_bytes"] = 5e7
    return {
        name: [unit * value for value in seeds_of(60 + place, row)]
        for place, (name, unit) in enumerate(units.items())
    }


def facts_of(row: str) -> dict[str, int]:
    """What every seed of a row has in common."""
    place = 1 + ROWS.index(row)
    return {
        "code_size": 70 + 10 * place,
        "side_channel_size": 10 + place,
        "side_channel_bits": 1000 * place + 7,
        "parameters": 123_400 + place,
        "multiply_adds": 5_670_000 * place,
    }


METRIC_VALUES = {
    (name, row): seeds_of(place, row)
    for place, name in enumerate(HEADINGS, start=1)
    for row in ROWS
    if (name, row) != ("probe", "near")
}
"""By metric and row; one is missing."""


@pytest.fixture(scope="module")
def written(
    blobs: InputDataset, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Path]]:
    """What prints a study and writes its tables and page, whose figures were all made up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("made-up"))
        named_tiny(patch, blobs)
        patch.setattr("aelab.report.page.drawn", lambda *_: ())  # the table is enough
        Path("made-up.toml").write_text(STUDY)
        folder = Path("runs/made-up").resolve()
        assert main(["compare", "made-up.toml", "--no-report"]) == 0
        for row in ROWS:
            for number, seed in enumerate(SEEDS):
                make_up(folder / row / f"seed-{seed}", row, number)

        def again() -> Path:
            assert main(["compare", "made-up.toml"]) == 0
            return folder

        yield again


def make_up(run: Path, row: str, number: int) -> None:
    """Write other figures in place of those that a run was found to have."""
    figures = {name: values[number] for (name, of), values in METRIC_VALUES.items() if of == row}
    metrics = json.loads((run / "metrics.json").read_text())
    metrics = {name: value for name, value in metrics.items() if name not in HEADINGS}
    (run / "metrics.json").write_text(json.dumps({**metrics, **figures, **facts_of(row)}))
    timings = json.loads((run / "timings.json").read_text())
    costs = {name: values[number] for name, values in costs_of(row).items()}
    assert costs.keys() <= timings.keys()
    (run / "timings.json").write_text(json.dumps({**timings, **costs}))


# What must be found


def told(values: list[float] | None, digits: int, mark: str = "") -> str:
    """Mean and standard deviation over seeds; one digit where there are tens."""
    if values is None:
        return "–"
    digits = 1 if mean(values) >= 10 and digits > 1 else digits
    return f"{mean(values):,.{digits}f} ± {stdev(values):,.{digits}f}{mark}"


def mark_of(name: str, row: str) -> str:
    """The mark of the best and of what is not told apart from it: `near`, where it has a figure."""
    close = {"pca", "near"} if name in LESS else {"near", "far"} if name in MORE else set()
    return " ≈" if row in close and (name, "near") in METRIC_VALUES else ""


def columns() -> dict[tuple[str, str], list[str]]:
    """The cells of every column, by section and heading."""
    found = {
        (section, heading): [
            told(METRIC_VALUES.get((name, row)), digits, mark_of(name, row)) for row in ROWS
        ]
        for name, (section, heading, digits) in HEADINGS.items()
    }
    found["Published", "MSE, published"] = ["0.25", "–", "–"]
    found["Published", "KL, published"] = ["31.5", "–", "62.5"]
    found["Cost", "parameters"] = ["123,401", "123,402", "123,403"]
    found["Cost", "multiply-adds, millions"] = ["5.67", "11.34", "17.01"]
    for name, (heading, unit, digits) in COSTS.items():
        means = [mean(costs_of(row)[name]) for row in ROWS]
        found["Cost", heading] = [f"{value / unit:,.{digits}f}" for value in means]
    return found


def sorted_by() -> dict[tuple[str, str], list[float | None]]:
    """The numbers that the page sorts each column by: unrounded, in the unit of its heading."""
    found: dict[tuple[str, str], list[float | None]] = {
        (section, heading): [
            mean(values) if (values := METRIC_VALUES.get((name, row))) else None for row in ROWS
        ]
        for name, (section, heading, _) in HEADINGS.items()
    }
    found["", "row"] = [None, None, None]
    found["", "code, numbers"] = [69, 78, 87]
    found["Published", "MSE, published"] = [0.25, None, None]
    found["Published", "KL, published"] = [31.5, None, 62.5]
    found["Cost", "parameters"] = [123_401, 123_402, 123_403]
    found["Cost", "multiply-adds, millions"] = [5.67, 11.34, 17.01]
    for name, (heading, unit, _) in COSTS.items():
        found["Cost", heading] = [mean(costs_of(row)[name]) / unit for row in ROWS]
    return found


FIRST = {"row": list(ROWS), "code, numbers": [f"{60 + 9 * n} + {n},007 bits" for n in (1, 2, 3)]}
"""The columns that every table begins with."""


# What is found


def table_of(lines: list[list[str]]) -> dict[str, list[str]]:
    """The cells below each heading."""
    heads, *rows = lines
    assert len(set(heads)) == len(heads)
    return dict(zip(heads, map(list, zip(*rows, strict=True)), strict=True))


def test_markdown_has_every_figure_in_its_unit(written: Callable[[], Path]) -> None:
    _, *sections = (written() / "results.md").read_text().split("\n## ")
    found: dict[tuple[str, str], list[str]] = {}
    for section in sections:
        title, _, text = section.partition("\n\n")
        if title == "Audits":
            continue
        lines = [line.strip("| ").split(" | ") for line in text.split("\n\n")[0].splitlines()]
        assert set(lines.pop(1)[1:]) == {"---:"}
        table = table_of(lines)
        assert {heading: table.pop(heading) for heading in FIRST} == FIRST
        found |= {(title, heading): cells for heading, cells in table.items()}
    assert found == columns()


def test_csv_has_every_figure_unrounded(written: Callable[[], Path]) -> None:
    with (written() / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    for row, line in zip(ROWS, lines, strict=True):
        figures = {name: values for (name, of), values in METRIC_VALUES.items() if of == row}
        expected = {f"{name}_mean": mean(values) for name, values in figures.items()}
        expected |= {f"{name}_std": stdev(values) for name, values in figures.items()}
        expected |= {name: mean(values) for name, values in costs_of(row).items()}
        expected |= {name: facts_of(row)[name] for name in CSV_FACTS}
        words = {
            "row": row,
            "model": "pca",
            "budget": "",
            "split": "test",
            "seeds": "0 3 8",
            "published": {"pca": "mse=0.25 kl=31.5", "near": "", "far": "kl=62.5"}[row],
        }
        units = line.pop("units")
        assert "mse: squared error a pixel, pixels in [0, 1]; " in units
        assert "train_seconds: seconds of training, without evaluation" in units
        assert all(f"{name}: " in units for name in HEADINGS)
        missing = dict.fromkeys(line.keys() - expected.keys() - words.keys(), "")
        assert missing.keys() == ({"probe_mean", "probe_std"} if row == "near" else set())
        assert {name: line[name] for name in (*words, *missing)} == words | missing
        assert {name: float(line[name]) for name in expected} == pytest.approx(expected, rel=1e-12)


CSV_FACTS = ("code_size", "parameters", "multiply_adds")


def test_json_has_every_seed(written: Callable[[], Path]) -> None:
    rows = json.loads((written() / "results.json").read_text())["rows"]
    assert [row["row"] for row in rows] == list(ROWS)
    for row in rows:
        assert row["seeds"] == list(SEEDS)
        for name in HEADINGS:
            values = METRIC_VALUES.get((name, row["row"]))
            assert row["metrics"].get(name, {}).get("values") == values


def test_the_page_has_every_figure_in_its_unit(written: Callable[[], Path]) -> None:
    page = PageTable()
    page.feed((written() / "report.html").read_text())
    groups = [group for group, columns in page.groups for _ in range(columns)]
    heads = list(zip(groups, page.heads, strict=True))
    table = dict(zip(heads, map(list, zip(*page.cells, strict=True)), strict=True))
    assert len(table) == len(heads)
    assert table == {("", heading): cells for heading, cells in FIRST.items()} | columns()
    expected = sorted_by()
    for head, *keys in zip(heads, *page.keys, strict=True):
        for key, number in zip(keys, expected[head], strict=True):
            assert (key is None) == (number is None), head
            assert number is None or float(key) == pytest.approx(number, rel=1e-12), head


class PageTable(HTMLParser):
    """The page's one table that can be sorted."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = self.in_body = False
        self.groups: list[tuple[str, int]] = []
        self.heads: list[str] = []
        self.cells: list[list[str]] = []
        self.keys: list[list[str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            self.inside = given.get("class") == "sortable"
        if not self.inside:
            return
        self.in_body = self.in_body or tag == "tbody"
        if tag == "tr" and self.in_body:
            self.cells.append([])
            self.keys.append([])
        elif tag in ("th", "td") and self.in_body:
            self.cells[-1].append("")
            self.keys[-1].append(given.get("data-key"))
        elif tag == "th" and "colspan" in given:
            self.groups.append(("", int(given["colspan"] or 0)))
        elif tag == "th":
            self.heads.append("")
        elif tag == "small":
            self.heads[-1] += ", "

    def handle_data(self, data: str) -> None:
        if not self.inside or not data.strip():
            return
        if self.in_body:
            self.cells[-1][-1] += data
        elif self.heads:
            self.heads[-1] += data
        else:
            name, columns = self.groups[-1]
            self.groups[-1] = (name + data, columns)

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "table"


ON_SCREEN = (
    *("mse", "pca_share", "ssim", "noisy_mse_0.2", "probe", "kl", "frechet"),
    *("anomaly_auroc", "neighbours_auroc", "forest_auroc", "pca_auroc"),
    *("auc", "ap", "original_figure"),
)


def test_the_screen_has_the_main_figures(
    written: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    written()
    shown = capsys.readouterr().out.splitlines()
    heads = [cells_of(line, "┃") for line in shown if line.startswith("┃")]
    rows = [cells_of(line, "│") for line in shown if line.startswith("│")]
    titles = [", ".join(filter(None, parts)) for parts in zip(*heads, strict=True)]
    every = columns()
    expected = {HEADINGS[name][1]: every[HEADINGS[name][:2]] for name in ON_SCREEN}
    costs = {heading: every["Cost", heading] for heading in ("parameters", "training, s")}
    published = {
        heading: cells for (title, heading), cells in every.items() if title == "Published"
    }
    assert table_of([titles, *rows]) == FIRST | expected | costs | published


def cells_of(line: str, edge: str) -> list[str]:
    """The cells of one line of a table on the screen."""
    return [cell.strip() for cell in line.strip(edge).split(edge)]


def test_every_metric_has_a_heading_here() -> None:
    assert METRICS.keys() == HEADINGS.keys()
    assert {name for name, metric in METRICS.items() if metric.better == "less"} == LESS
    assert {name for name, metric in METRICS.items() if metric.better == "more"} == MORE
