"""Figures of runs and studies: what is drawn is what was measured, on the same images."""

import base64
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import aelab
from aelab.cli.named import named
from aelab.cli.verbs import main, parse
from aelab.data import graphs
from aelab.data.input_sets import InputDataset
from aelab.evaluate.links import auc, split_scores
from aelab.figures import grids, names, style
from aelab.files import InputError, MissingFileError, read_tensors
from aelab.machine import seeded
from aelab.models.layers import corrupt
from aelab.models.sampling import between, sample, traversal
from aelab.models.zoo import resolve
from aelab.report import anomalies, codes, fronts, generated, nodes, restored, scores, tiles
from aelab.report import training as curves
from aelab.report.material import Material, gather
from aelab.report.measured import command, settings_of, unrecorded
from aelab.report.page import write_report
from aelab.runs.measure import reconstructions
from aelab.runs.store import Run
from aelab.runs.train import train_run
from aelab.settings import DataSettings, Recipe, RunSettings, thaw
from aelab.studies.asked import CompareOptions, train_options, training
from aelab.studies.compare import Result, compare
from aelab.studies.results import ResultRow, Results, Spread
from aelab.studies.study import Asked, parse_study
from tiny_data import named_tiny

STUDY = """
title = "A few <rows> & more"
metrics = ["reconstruction", "robustness", "bound"]
[data]
name = "tiny"
[recipe]
epochs = 2
batch_size = 100
[rows.pca]
hyperparameters = { latent_dim = 8 }
recipe = { epochs = 0 }
[rows.vanilla]
hyperparameters = { latent_dim = 8 }
[rows.vae]
hyperparameters = { latent_dim = 8, hidden = [20] }
[rows.plane]
model = "vae"
hyperparameters = { latent_dim = 2, hidden = [] }
[rows.conv-vae-switches]
hyperparameters = { channels = [4, 4, 4] }
recipe = { epochs = 0.2 }
"""


@pytest.fixture(scope="module")
def study(
    slice_of_fashion: InputDataset, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Result]:
    with pytest.MonkeyPatch.context() as patch:
        named_tiny(patch, slice_of_fashion)
        folder = tmp_path_factory.mktemp("studies")
        result = compare(parse_study("few", STUDY), out=folder, seeds=(0, 1))
        for runs in result.runs.values():
            for run in runs:
                add_audit(run)
        path = result.folder / "results.json"
        path.write_text(json.dumps(result.results.to_json()))
        yield result


def add_audit(run: Run) -> None:
    """What an audit found is text, and may hold what is markup in a page."""
    audits = {"side channel": {"found": "12 % <follow> it", "clean": False}}
    (run.folder / "metrics.json").write_text(json.dumps(run.metrics | {"audits": audits}))


@pytest.fixture(scope="module")
def data(study: Result, slice_of_fashion: InputDataset) -> InputDataset:
    return slice_of_fashion


@pytest.fixture(scope="module")
def runs(study: Result) -> dict[str, Run]:
    return {name: of_row[0] for name, of_row in study.runs.items()}


@pytest.fixture
def copy(study: Result, tmp_path: Path) -> Path:
    shutil.copytree(study.folder, tmp_path / "copy")
    return tmp_path / "copy"


@torch.no_grad()
def squared_errors(run: Run, data: InputDataset, i: torch.Tensor) -> torch.Tensor:
    x = data.split("test").batch(i)
    return (run.model(x) - x).square().mean((1, 2, 3))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def pixels(figure: Figure) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(style.png(figure))).convert("RGB")).astype(int)


# Tiles


def test_a_mosaic_holds_its_images_pixel_by_pixel() -> None:
    ramp = np.arange(28 * 28).reshape(28, 28) // 8
    tile = np.repeat(ramp.astype(np.uint8)[None, :, :, None], 3, 3)
    rows = [tiles.TileRow("row", np.concatenate([tile, 255 - tile]), ("a", "b"))]
    figure = tiles.mosaic("title", rows, "told", heads=("one", "two"))
    drawn = pixels(figure)
    big = tile[0].repeat(2, 0).repeat(2, 1).astype(int)
    (y,), bottom = tiles.row_places(rows, 56, 30 + tiles.HEAD)
    assert bottom > y + 56
    x = round(2 * tiles.MARGIN + tiles.text_width("row"))
    assert np.abs(drawn[y : y + 56, x : x + 56] - big).max() <= 2
    assert np.abs(drawn[y : y + 56, x + 60 : x + 116] - (255 - big)).max() <= 2
    assert {"title", "row", "one", "two", "a", "b"} == set(texts(figure))
    assert figure.get_label() == "told"


def test_errors_have_one_scale(blobs: InputDataset) -> None:
    x = torch.zeros(1, 2, 1, 3)
    x_hat = torch.tensor([[[[0.0, 0.5, 0.9]], [[0.0, 0.5, 0.9]]]])
    colours = matplotlib.colormaps["magma"]
    found = tiles.error_tiles(x_hat, x, blobs.spec)[0, 0]
    for at, value in ((0, 0.0), (1, 1.0), (2, 1.0)):
        expected = [round(255 * part) for part in colours(value)[:3]]
        assert found[at].tolist() == pytest.approx(expected, abs=1)


def test_the_first_images_of_each_class_are_shown(data: InputDataset) -> None:
    labels = data.split("test").classes_of(torch.arange(150)).tolist()
    found = tiles.chosen(data, "test", ("Bag", "Sandal"), 3)
    assert list(found) == ["Bag", "Sandal"]
    for name, members in found.items():
        number = data.classes.index(name)
        assert members.tolist() == [i for i, label in enumerate(labels) if label == number][:3]
    with pytest.raises(InputError, match="no class 'Hat'; it has T-shirt/top, Trouser"):
        tiles.chosen(data, "test", ("Hat",))


# Images that are given


def test_every_restored_image_has_its_own_error(runs: dict[str, Run], data: InputDataset) -> None:
    members = tiles.chosen(data, "test", per_class=3)["Sneaker"]
    expected = squared_errors(runs["vae"], data, members)
    written = texts(restored.reconstructions(runs["vae"], data))
    assert [f"MSE {error:.4f}" in written for error in expected.tolist()] == [True] * 3
    only = texts(restored.reconstructions(runs["vae"], data, classes=("Sneaker",)))
    assert sum(text.startswith("MSE") for text in only) == 9
    assert "Sandal" not in only


def test_all_models_are_given_the_same_images(runs: dict[str, Run], data: InputDataset) -> None:
    figure = restored.compared(runs, data, classes=("Bag", "Sandal"))
    written = texts(figure)
    members, heads = restored.across(data, "test", ("Bag", "Sandal"))
    assert heads == ["Bag"] * 5 + ["Sandal"] * 5
    notes = [text for text in written if re.fullmatch(r"\d\.\d{4}", text)]
    expected = [
        f"{error:.4f}" for run in runs.values() for error in squared_errors(run, data, members)
    ]
    assert notes == expected
    mean = squared_errors(runs["vanilla"], data, members).mean().item()
    assert f"vanilla {mean:.4f}" in str(figure.get_label())


def test_noise_is_the_same_for_every_model(runs: dict[str, Run], data: InputDataset) -> None:
    written = texts(restored.denoising(runs, data, levels=(0.2, 0.4)))
    x = data.split("test").batch(restored.across(data, "test")[0][:3])
    decibels = []
    for level in (0.2, 0.4):
        with seeded(0, "picture"):
            noisy = corrupt(x, "gaussian", level, 1.0)
        decibels += [-10 * error.log10() for error in (noisy - x).square().mean((1, 2, 3))]
    notes = [text for text in written if text.endswith(" dB")]
    assert notes[:6] == [f"{value:.1f} dB" for value in decibels]
    assert len(notes) == 6 * (1 + len(runs))


def test_the_worst_come_first(runs: dict[str, Run], data: InputDataset, copy: Path) -> None:
    figure = restored.worst({"vae": runs["vae"]}, data, count=4)
    worst = squared_errors(runs["vae"], data, torch.arange(150)).sort(descending=True)
    notes = [text for text in texts(figure) if re.fullmatch(r"\d\.\d{3}", text)]
    assert notes == [f"{error:.3f}" for error in worst.values[:4].tolist()]
    run = Run.open(copy / "vae" / "seed-0")
    for wrong in ([], [{"index": 150, "mse": 1.0}], [{"mse": 1.0}], None, "x"):
        (run.folder / "metrics.json").write_text(json.dumps(run.metrics | {"worst": wrong}))
        with pytest.raises(InputError, match="worst images"):
            restored.worst({"vae": run}, data)


def test_a_runs_own_picture_has_a_row_for_each_class(
    runs: dict[str, Run], data: InputDataset
) -> None:
    drawn = np.asarray(reconstructions(runs["vanilla"], data, "test"))
    images = data.split("test")
    for row, members in enumerate(tiles.chosen(data, "test").values()):
        top = grids.HEAD_HEIGHT + grids.GAP + row * (56 + grids.GAP)
        left = grids.LABEL_WIDTH + grids.GAP
        original = (255 * images.batch(members)[0, 0]).round().numpy()
        assert np.array_equal(drawn[top : top + 56 : 2, left : left + 56 : 2, 0], original)


# What models make by themselves


def test_samples_stand_above_their_nearest_training_image(
    runs: dict[str, Run], data: InputDataset
) -> None:
    figure = generated.samples({"vae": runs["vae"]}, data, n=3)
    model, seed = runs["vae"].autoencoder, runs["vae"].settings.seed
    priors = [runs["vae"].priors.named(name) for name in ("own", "fitted-mixture")]
    drawn = torch.cat([sample(model, 3, seed=seed, prior=prior) for prior in priors]).flatten(1)
    training_images = data.split("train").batch(torch.arange(500)).flatten(1)
    nearest = torch.cdist(drawn.double(), training_images.double()).min(1).values
    assert [t for t in texts(figure) if t.startswith("at")] == [f"at {d:.1f}" for d in nearest]


def test_the_way_between_two_codes(runs: dict[str, Run], data: InputDataset) -> None:
    shares = torch.tensor([0.0, 0.25, 1.0])
    x = data.split("test").batch(torch.arange(2))
    with torch.no_grad():
        linear = runs["pca"].autoencoder
        z = linear.encode(x)
        way = linear.decode(between(linear, z[:1], z[1:], shares))
        ends = linear(x)
        assert torch.allclose(way[1], 0.75 * ends[0] + 0.25 * ends[1], atol=1e-5)
        switches = runs["conv-vae-switches"].autoencoder
        z = switches.encode(x)
        codes_between = between(switches, z[:1], z[1:], shares)
    assert torch.equal(codes_between[:, 32:], z[[0, 0, 1], 32:])
    assert torch.allclose(codes_between[1, :32], 0.75 * z[0, :32] + 0.25 * z[1, :32])
    figure = generated.interpolation(runs, data, classes=("Trouser", "Bag"), steps=5)
    assert {"blended pixels", "0%", "25%", "100%", *runs} <= set(texts(figure))


def test_a_traversal_changes_one_number(runs: dict[str, Run], data: InputDataset) -> None:
    model = runs["pca"].autoencoder
    z = model.encode(data.split("test").batch(torch.tensor([5])))
    images = traversal(model, z, 3, torch.tensor([-1.0, 1.0]))
    difference = (images[1] - images[0]).flatten()
    assert torch.allclose(difference, 2 * model.components[3], atol=1e-5)


# Codes


def test_the_most_used_numbers_come_first(runs: dict[str, Run], data: InputDataset) -> None:
    model = runs["vae"].autoencoder
    use, _, _ = codes.use_of(runs["vae"], data, "test")
    posterior = model.posterior(data.split("test").batch(torch.arange(150)))
    kl = posterior.kl(model.prior, posterior.mu).mean()
    assert use.sum().item() == pytest.approx(kl.item(), rel=1e-5)
    written = [t for t in texts(codes.traversals(runs["vae"], data)) if t.startswith("number")]
    assert [float(t.split()[-2]) for t in written] == pytest.approx(
        use.sort(descending=True).values.tolist(), abs=0.006
    )
    order = use.argsort(descending=True, stable=True)
    assert [int(t.split()[1]) for t in written] == [number + 1 for number in order.tolist()]
    spread, _, z = codes.use_of(runs["vanilla"], data, "test")
    assert torch.allclose(spread, z.std(0, correction=0))


def test_a_plane_keeps_its_points(runs: dict[str, Run], data: InputDataset) -> None:
    flat = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    basis = torch.linalg.qr(torch.randn(5, 2, generator=torch.Generator().manual_seed(2))).Q
    points, centre, axes, shares = codes.plane(flat @ basis.T + 3)
    distances = torch.cdist(torch.from_numpy(points), torch.from_numpy(points))
    assert torch.allclose(distances, torch.cdist(flat.double(), flat.double()), atol=1e-5)
    again = centre + torch.from_numpy(points).float() @ axes
    assert torch.allclose(again, flat @ basis.T + 3, atol=1e-4)
    assert sum(shares) == pytest.approx(1)
    own, zero, identity, _ = codes.plane(flat)
    assert np.allclose(own, flat)
    assert torch.equal(zero, torch.zeros(2))
    assert torch.equal(identity, torch.eye(2))
    grid = codes.grid_points(np.array([0.0, 0.0]), np.array([1.0, 2.0]))
    assert grid[0] == pytest.approx([1 / 24, 2 - 1 / 12])  # the top left
    assert grid[-1] == pytest.approx([1 - 1 / 24, 1 / 12])


def test_a_code_without_numbers_has_no_map_and_nothing_to_change(
    slice_of_fashion: InputDataset, tmp_path: Path
) -> None:
    settings = RunSettings("mean", recipe=Recipe(epochs=0))
    run = train_run(settings, slice_of_fashion, tmp_path / "run", groups=("reconstruction",))
    for draw in (codes.latent_map, codes.traversals):
        with pytest.raises(InputError, match="latent numbers"):
            draw(run, slice_of_fashion)


def test_the_map_has_every_class_and_the_plane_decoded(
    runs: dict[str, Run], data: InputDataset
) -> None:
    figure = codes.latent_map(runs["plane"], data)
    left, right = figure.axes
    assert left.get_xlabel() == "number 1"
    assert set(data.classes) < set(texts(figure))
    z = runs["plane"].model.encode(data.split("test").batch(torch.arange(150))).detach()
    drawn = np.concatenate([np.asarray(part.get_offsets()) for part in left.collections])
    assert np.allclose(np.sort(drawn[:, 0]), np.sort(z[:, 0].numpy()), atol=1e-5)
    labels = data.split("test").classes[:150]
    for number, (name, part) in enumerate(zip(data.classes, left.collections, strict=True)):
        own = z[labels == number].numpy()
        assert np.allclose(np.asarray(part.get_offsets()), own, atol=1e-5)
        (text,) = (text for text in left.texts if text.get_text() == name)
        assert text.get_position()[0] == pytest.approx(np.median(own[:, 0]), abs=1e-5)
    colours = {tuple(part.get_facecolor()[0]) for part in left.collections}
    assert len(colours) == len(data.classes)
    stitched = np.asarray(right.images[0].get_array())
    low, high = np.quantile(z.numpy(), codes.INNER, axis=0)
    corner = torch.tensor([low[0] + (high - low)[0] / 24, high[1] - (high - low)[1] / 24])
    expected = runs["plane"].model.decode(corner[None].float()).detach()[0, 0]
    assert np.abs(stitched[:28, :28, 0] / 255 - expected.numpy()).max() < 0.01
    other = codes.latent_map(runs["conv-vae-switches"], data)
    assert "side numbers" in other.axes[1].get_title()


def test_names_do_not_stand_on_one_another() -> None:
    places = {name: np.array([0.0, 0.0]) for name in "abc"}
    free = codes.apart(places, np.array([1.0, 1.0]))
    heights = sorted(place[1] for place in free.values())
    assert np.diff(heights) == pytest.approx([0.035, 0.035])


# Anomalies


def test_the_threshold_stands_among_the_validation_scores(runs: dict[str, Run]) -> None:
    run = runs["vae"]
    figure = anomalies.validation_scores(run)
    (axes,) = figure.axes
    kept = read_tensors(run.folder / "anomaly_scores.safetensors")["bound/validation"]
    limit = axes.lines[0].get_xdata()[0]
    share = (kept > limit).double().mean().item()
    assert share <= 0.05
    assert (kept >= limit).double().mean().item() > 0.05
    assert sum(patch.get_height() for patch in axes.patches) == len(kept)
    assert f"{100 * share:.3g} %" in figure.get_label()


# Training


def test_curves_are_the_recorded_losses(runs: dict[str, Run], copy: Path) -> None:
    figure = curves.training_curves(runs["vae"])
    whole, *terms, epochs = figure.axes
    assert len(terms) == 2
    steps = [axes.lines[0].get_ydata() for axes in (whole, *terms)]
    assert len(steps[0]) == 10
    assert np.allclose(steps[0], steps[1] + steps[2])
    history = [
        json.loads(line) for line in (runs["vae"].folder / "history.jsonl").read_text().splitlines()
    ]
    validation = [epoch["validation_loss"] for epoch in history]
    assert list(epochs.lines[1].get_ydata()) == validation
    best = epochs.lines[2].get_xdata()[0]
    assert best == history[int(np.argmin(validation))]["epoch"]
    with pytest.raises(InputError, match="nothing was trained"):
        curves.training_curves(runs["pca"])
    run = Run.open(copy / "vae" / "seed-0")
    (run.folder / "steps.safetensors").unlink()
    assert len(curves.training_curves(run).axes) == 1  # the epochs are still there
    (run.folder / "history.jsonl").write_text('{"epoch": 1}\n')
    with pytest.raises(InputError, match=r"history\.jsonl is damaged"):
        curves.training_curves(run)


# The table's figures


def row(name: str, model: str, code: int, **metrics: float | None) -> ResultRow:
    return ResultRow(
        name=name,
        model=model,
        code_size=code,
        parameters=1,
        audits={},
        input_size=784,
        budget="",
        seeds=(0, 1),
        train_seconds=2.0,
        epochs=1.0,
        metrics={key: spread(value) for key, value in metrics.items()},
        published={},
    )


def spread(mean: float | None) -> Spread:
    if mean is None:
        return Spread.of([None, None])
    return Spread(mean, 0.001, (mean - 0.0007, mean + 0.0007))


def results(*rows: ResultRow, asked: Asked | None = None) -> Results:
    return Results(
        study="s", asked=asked, title="", quick=False, data="d", split="test", units={}, rows=rows
    )


def test_bars_are_on_one_scale_with_pcas_line() -> None:
    figure = scores.comparison(
        results(
            row("a", "vanilla", 8, mse=0.02, pca_mse=0.01),
            row("b", "denoising", 1568, mse=0.004, pca_mse=None),
            row("c", "vae", 8, mse=0.03, pca_mse=0.01, kl=5.0),
        )
    )
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    assert [bar.get_height() for bar in left.patches] == [0.02, 0.004]
    assert [bar.get_height() for bar in right.patches] == [0.03]
    assert left.patches[1].get_hatch() == "//"
    lines = [line for line in left.collections if line.get_linewidth()[0] == 2]
    assert [line.get_segments()[0][0][1] for line in lines] == [0.01]
    error_bars = [line for line in left.collections if line not in lines]
    assert error_bars[0].get_segments()[0][:, 1] == pytest.approx([0.019, 0.021])
    assert [t.get_text() for t in left.get_xticklabels()] == ["a\n8", "b\n1,568*"]
    with pytest.raises(InputError, match="no row has an MSE"):
        scores.comparison(results(row("g", "gae", 8, auc=0.9)))


def test_the_front_is_drawn_through_the_rows_that_none_beats() -> None:
    rows = [
        replace(row(name, model, size, mse=error, frechet=distance), train_seconds=seconds)
        for name, model, size, error, distance, seconds in (
            ("pca", "pca", 8, 0.03, 9.0, 1.0),
            ("a", "vanilla", 8, 0.02, 7.0, 5.0),
            ("b", "vae", 8, 0.025, 5.0, 6.0),
            ("wide", "vae", 16, 0.001, 1.0, 1.0),
            ("mean", "mean", 0, 0.9, 99.0, 0.1),
        )
    ]
    figure = fronts.error_against_time(results(*rows))
    line, *_ = figure.axes[0].lines
    assert list(zip(*line.get_data(), strict=True)) == [(1, 0.03), (5, 0.03), (5, 0.02)]
    assert [text.get_text() for text in figure.axes[0].texts] == ["pca", "a", "b", "wide (16)"]
    assert str(figure.get_label()).endswith("wide 0.0010 at 1.0. On the front: pca, a.")
    line, *_ = fronts.error_against_samples(results(*rows)).axes[0].lines
    assert list(zip(*line.get_data(), strict=True)) == [(5, 0.025), (7, 0.025), (7, 0.02)]
    with pytest.raises(InputError, match="fewer than two rows"):
        fronts.error_against_samples(results(*(replace(r, metrics={}) for r in rows)))


def test_names_of_points_cover_neither_points_nor_each_other() -> None:
    figure = style.new_figure(5, 4, "")
    axes = figure.subplots()
    points = {f"name {i}": (1 + i / 20, 1 + i % 2 / 50) for i in range(6)}
    axes.plot(*zip(*points.values(), strict=True), "o")
    axes.set(xlim=(0, 2), ylim=(0, 2))
    names.name_points(figure, axes, points)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    at = axes.transData.transform(list(points.values()))
    assert not any(box.contains(*point) for box in boxes for point in at)


def test_psnr_falls_with_noise() -> None:
    noisy = {"noisy_mse_0.1": 0.01, "noisy_mse_0.4": 0.1}
    figure = scores.psnr_against_noise(results(row("a", "vanilla", 8, mse=0.001, **noisy)))
    (line,) = figure.axes[0].lines
    assert list(line.get_xdata()) == [0, 0.1, 0.4]
    assert line.get_ydata() == pytest.approx([30, 20, 10])


def test_error_against_size_needs_three_sizes() -> None:
    sizes = {2: 0.05, 8: 0.03, 128: 0.01}
    rows = [row(f"v-{n}", "vae", n, mse=e, pca_mse=2 * e) for n, e in sizes.items()]
    figure = scores.error_against_size(results(rows[2], rows[0], rows[1]))
    pca, *_ = figure.axes[0].lines
    # Lines go from the smallest code to the largest, as numbers: 128 is after 8.
    assert [list(part) for part in pca.get_data()] == [[2, 8, 128], [0.1, 0.06, 0.02]]
    drawn = figure.axes[0].containers[0].lines[0]
    assert [list(part) for part in drawn.get_data()] == [[2, 8, 128], [0.05, 0.03, 0.01]]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["2", "8", "128"]
    assert "vae from 0.0500 at 2 to 0.0100 at 128" in str(figure.get_label())
    with pytest.raises(InputError, match="no model has rows of 3"):
        scores.error_against_size(results(*rows[:2]))


def test_errors_by_class_are_the_runs_own(study: Result) -> None:
    figure = scores.errors_by_class(study.results)
    shades = figure.axes[0].images[0].get_array()
    by_class = study.results.rows[1].by_class
    assert by_class == study.runs["vanilla"][0].metrics["by_class"]
    assert shades[1].tolist() == list(by_class.values())
    assert f"{1000 * by_class['Bag']:.1f}" in texts(figure)
    named = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert named == list(by_class)


# Graphs


@pytest.fixture(scope="module")
def karate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, graphs.GraphDataset]:
    settings = RunSettings(
        "gae", {}, DataSettings("karate"), Recipe(epochs=5, batch_size=1, learning_rate=0.01)
    )
    data = graphs.load("karate")
    return train_run(settings, data, tmp_path_factory.mktemp("karate") / "run"), data


def test_link_curves_of_several_models(karate: tuple[Run, graphs.GraphDataset]) -> None:
    run, data = karate
    figure = style.link_curves({"a": run.link_model, "b": run.link_model}, data, "test")
    area = auc(*split_scores(run.link_model, data, "test"))
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == [f"a {area:.3f}", f"b {area:.3f}", "chance"]


def test_nodes_stand_where_their_codes_are(karate: tuple[Run, graphs.GraphDataset]) -> None:
    run, data = karate
    figure = nodes.node_map(run, data)
    edges, *groups = figure.axes[0].collections
    assert len(edges.get_segments()) == 78
    assert data.labels is not None
    assert [len(group.get_offsets()) for group in groups] == data.labels.bincount().tolist()
    z = run.link_model.encode(data.split("train").graph).detach()
    points = np.concatenate([np.asarray(group.get_offsets()) for group in groups])
    assert points.mean(0) == pytest.approx([0, 0], abs=1e-4)
    placed = codes.plane(z)[0]
    for number, group in enumerate(groups):
        own = placed[(data.labels == number).numpy()]
        assert np.allclose(np.asarray(group.get_offsets()), own, atol=1e-5)
        (text,) = (t for t in figure.axes[0].texts if t.get_text() == f"class {number + 1}")
        assert text.get_position()[0] == pytest.approx(np.median(own[:, 0]), abs=1e-5)
    variance = torch.linalg.eigvalsh(z.T.cov())[-2:].flip(0)
    assert points.var(0, ddof=1) == pytest.approx(variance.tolist(), rel=1e-3)
    without = figure = nodes.node_map(run, replace(data, labels=None))
    assert len(without.axes[0].collections) == 2


def test_a_run_of_a_graph_has_a_page(
    karate: tuple[Run, graphs.GraphDataset], tmp_path: Path
) -> None:
    write_report(karate[0].folder, out=tmp_path)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"gae-training.png", "gae-nodes.png", "roc-and-precision-recall.png"}
    assert "<strong>Links:</strong> AUC " in (tmp_path / "report.html").read_text()


# Missing, half-finished, foreign


def test_rows_that_are_not_there_are_named_and_left_out(copy: Path) -> None:
    shutil.rmtree(copy / "vanilla")
    (copy / "pca" / "seed-0" / "model.safetensors").unlink()
    shutil.rmtree(copy / "vae")
    shutil.copytree(copy / "plane", copy / "vae")
    (copy / "plane" / "seed-1" / "config.json").write_text("{}")
    config = json.loads((copy / "conv-vae-switches" / "seed-0" / "config.json").read_text())
    config["data"]["sha256"] = "another"
    (copy / "conv-vae-switches" / "seed-0" / "config.json").write_text(json.dumps(config))
    found = gather(copy)
    assert list(found.runs) == ["pca", "vae", "plane"]
    assert found.runs["pca"].settings.seed == 1
    assert [one.name for one in found.results.rows] == ["pca", "vae", "plane"]
    told = "\n".join(found.left_out)
    assert "Row vanilla, seed 0:" in told
    assert "Row pca, seed 0:" in told
    assert "Row plane, seed 1:" in told
    assert "Row conv-vae-switches:" in told
    assert "trained on other data" in told


def test_a_run_of_another_model_is_no_row(copy: Path) -> None:
    shutil.rmtree(copy / "vae")
    shutil.copytree(copy / "vanilla", copy / "vae")
    assert any("is a run of vanilla, not of vae" in line for line in gather(copy).left_out)


def test_a_failed_row_is_named(copy: Path) -> None:
    content = json.loads((copy / "results.json").read_text())
    content["errors"] = {"bad": "the loss became nan"}
    (copy / "results.json").write_text(json.dumps(content))
    assert gather(copy).left_out == ("Row bad failed: the loss became nan",)


def test_of_data_that_changed_the_page_has_what_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    np.save(path, x)
    run = aelab.train("pca", path, latent_dim=2, out=tmp_path / "run")
    np.save(path, 255 - x)
    found = write_report(run.folder)
    (told,) = found.left_out
    assert "cannot be had" in told
    assert "was trained on other data" in told
    assert found.path.stat().st_size > 10_000
    assert not (run.folder / "figures" / "worst.png").exists()


def test_the_page_of_one_run_speaks_of_that_run(tmp_path: Path) -> None:
    run = aelab.train("pca", "digits", latent_dim=4, out=tmp_path / "run")
    page = write_report(run.folder).path.read_text("utf-8")
    assert "10 samples of pca, and the nearest training image of each" in page
    assert "images that pca restores worst" in page
    assert "The model restores the noisy image" in page
    for several in ("every model", "Every model", "each model"):
        assert several not in page


@pytest.mark.parametrize("content", ["[]", "{}", '{"rows": 3}', "no JSON", '{"rows": [{}]}'])
def test_a_foreign_table_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=r"results\.json"):
        gather(tmp_path)


def test_a_folder_without_a_run_is_refused_in_one_line(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "is neither a run nor a study" in capsys.readouterr().err
    with pytest.raises(MissingFileError):
        gather(tmp_path)
    half = copy / "vae" / "seed-0"
    (half / "model.safetensors").unlink()
    assert main(["report", str(half)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["report", str(copy), "--classes", "Hat"]) == 2
    assert "no class 'Hat'" in capsys.readouterr().err
    shutil.rmtree(copy / "vae")
    for name in ("pca", "plane", "vanilla", "conv-vae-switches"):
        shutil.rmtree(copy / name)
    assert main(["report", str(copy)]) == 2
    assert "has no row with a run" in capsys.readouterr().err


# The page


@pytest.fixture(scope="module")
def page(study: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two rows of the study, to be quick."""
    folder = tmp_path_factory.mktemp("page")
    kept, content = ("pca", "plane"), study.results.to_json()
    content["rows"] = [one for one in content["rows"] if one["row"] in kept]
    (folder / "results.json").write_text(json.dumps(content))
    for one in content["rows"]:
        shutil.copytree(study.folder / one["row"], folder / one["row"])
    return write_report(folder).path


def test_the_same_folder_gives_the_same_bytes(page: Path, tmp_path: Path) -> None:
    again = write_report(page.parent, out=tmp_path).path
    assert again.read_bytes() == page.read_bytes()
    figures = {path.name: path.read_bytes() for path in (page.parent / "figures").iterdir()}
    assert figures == {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert len(figures) == 10 + 4 * 2 - 1  # of the study, of each row; PCA has no training


def decoded_picture(picture: bytes) -> bytes:
    return Image.open(BytesIO(picture)).convert("RGB").tobytes()


def test_every_picture_is_inline_with_words_and_figures(page: Path) -> None:
    html = page.read_text()
    images = re.findall(r'<img src="data:image/webp;base64,([^"]+)"[^>]* alt="([^"]*)"', html)
    assert len(images) == html.count("<img ")
    files = {decoded_picture(path.read_bytes()) for path in (page.parent / "figures").iterdir()}
    assert {decoded_picture(base64.b64decode(content)) for content, _ in images} == files
    assert [told for _, told in images if len(told) <= 20 or not re.search(r"\d", told)] == []


def test_the_page_asks_for_nothing_outside(page: Path) -> None:
    html = re.sub(r"data:image/webp;base64,[^\"]+", "", page.read_text())
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html
    assert not re.search(r'(?:src|href)="(?!#|data:)', html.replace('src=""', ""))
    assert "http" not in html.replace("http-equiv", "")
    assert "style=" not in html


def test_the_page_says_what_it_rests_on(study: Result, page: Path) -> None:
    html = page.read_text()
    assert "A few &lt;rows&gt; &amp; more" in html
    assert "12 % &lt;follow&gt; it" in html
    plane = study.runs["plane"][0]
    assert plane.config["data"]["sha256"] in html
    assert f"torch {torch.__version__.split('+')[0]}" in html
    assert "processors" in html
    assert "The command that gave this study was not recorded" in html  # it came from Python
    assert "<pre" not in html
    assert "first seed of each row: seed 0" in html
    assert settings_of(plane)["hyperparameters"] in html
    order = [html.index(f'id="{place}"') for place in ("answer", "table", "part-1", "models")]
    assert order == sorted(order)
    assert order[-1] < html.index('id="measured"')
    assert "Not drawn: pca/seed-0: nothing was trained step by step." in html


def test_a_run_has_a_page_of_its_own(
    study: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = study.folder / "vae" / "seed-1"
    assert main(["report", str(folder), "--out", str(tmp_path), "--classes", "Bag"]) == 0
    assert f"The page: {tmp_path}/report.html" in capsys.readouterr().out
    html = (tmp_path / "report.html").read_text()
    assert "<strong>Reconstruction:</strong> squared error 0." in html
    assert "a pixel (PCA with 8 numbers: 0." in html


def test_the_command_gives_the_same_run(study: Result) -> None:
    for name in ("vae", "plane", "vanilla", "conv-vae-switches"):
        run = study.runs[name][1]
        said = shlex.split(command(gather(run.folder)))
        assert len(said) < 30  # defaults are not written out
        assert said[:2] == ["aelab", "train"]
        model = resolve(said[2])
        options = train_options(model, data=named(said[3:]).data)
        settings, _ = training(model, parse(options, "train", said[3:], None))
        assert settings.recipe == run.settings.recipe
        assert settings.seed == 1
        assert json.loads(json.dumps(settings.hyperparameters)) == run.settings.hyperparameters


@pytest.mark.parametrize(
    "given",
    [
        ["mine.toml", "--quick", "--time-budget", "2m", "--metrics", "importance", "samples"],
        ["my studies/six-60s-quick.toml", "--seeds", "3", "1", "--split", "validation"],
        ["six-60s.toml", "--quick", "--split", "test", "--time-budget", "60s"],
        ["default"],
        ["links", "--quick", "--seeds", "0"],
        ["likelihood", "--metrics", "samples"],
    ],
)
def test_the_command_of_a_study_asks_for_the_same(
    data: InputDataset, outside: Path, given: list[str]
) -> None:
    if given[0].endswith(".toml"):
        Path(given[0]).parent.mkdir(exist_ok=True)
        Path(given[0]).write_text(STUDY)
    options = parse(CompareOptions, "compare", given, None)
    written = json.dumps(results(asked=options.asked).to_json())
    recorded = Results.from_json(json.loads(written))
    said = shlex.split(command(Material(outside, True, recorded, {}, data)))
    assert said[:2] == ["aelab", "compare"]
    again = parse(CompareOptions, "compare", said[2:], None)
    assert again.chosen == options.chosen
    assert len(said) == 2 + len(given)  # and nothing more


def test_a_study_records_what_the_command_line_asked_for(outside: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 4, 4), dtype=np.uint8)
    np.save("a.npy", images)
    Path("of-2s.toml").write_text(
        'metrics = ["reconstruction"]\n[data]\nname = "a.npy"\n[rows.vae]\n'
        "hyperparameters = { latent_dim = 2, hidden = [4] }\nrecipe = { epochs = 0 }\n"
    )
    given = ["of-2s.toml", "--seeds", "3", "--split", "validation", "--time-budget", "2s"]
    slow = ["--metrics", "importance"]
    for asked in ([*given, *slow], given):
        assert main(["compare", *asked, "--no-report"]) == 0
        # A run keeps the slow figures of an earlier command, so the page shows them too.
        said = shlex.split(command(gather("runs/of-2s-2s")))
        options, again = (
            parse(CompareOptions, "compare", words, None) for words in ([*given, *slow], said[2:])
        )
        assert again.chosen == options.chosen


@pytest.mark.parametrize("asked", [3, {}, {"study": 3}, {"study": "few", "speed": 1}])
def test_a_damaged_record_of_what_was_asked_is_told(copy: Path, asked: object) -> None:
    path = copy / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"asked": asked}))
    with pytest.raises(InputError, match=r"results\.json"):
        command(gather(copy))


def test_the_command_of_a_run_says_where_it_started(
    tiny: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings of the first run are defaults of the second: what undoes them is said."""
    size = ["--latent-dim", "3", "--hidden", "8", "--components", "None"]
    small = ["--data", "tiny", "--epochs", "0.1", "--threads", "1"]
    other = ["--clip-norm", "1", "--no-shuffle", "--beta", "2"]
    assert main(["train", "vae", *small, *size, *other, "--out", "my first"]) == 0
    undone = ["--clip-norm", "None", "--shuffle", "--beta", "1", "--seed", "4"]
    asked = ["--from", "my first", *undone, "--split", "validation"]
    assert main(["train", "vae", *asked, "--out", "second"]) == 0
    material = gather("second")
    run, first = Run.open("second"), Run.open("my first").settings
    shutil.rmtree("my first")  # the record needs no more than itself
    said = shlex.split(command(material))
    vae = resolve("vae")
    options = parse(train_options(vae, first), "train", said[3:], None)
    settings, others = training(vae, options)
    assert settings == replace(
        run.settings, start=None, hyperparameters=thaw(run.settings.hyperparameters)
    )
    assert (others.start, others.split) == (Path("my first"), "validation")
    assert unrecorded(material) == ""
    config = {key: value for key, value in run.config.items() if key != "from"}
    (run.folder / "config.json").write_text(json.dumps(config))
    older = gather("second")
    assert "--from" not in command(older)
    assert f"the SHA-256 {config['start']}. Its folder was not recorded" in unrecorded(older)


def test_the_command_of_a_table_says_nothing_of_its_rows(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    numbers = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)).tolist()
    table.write_text("a,b,c\n" + "".join(f"{a},{b},{c}\n" for a, b, c in numbers))
    out = str(tmp_path / "run")
    given = ["--data", str(table), "--latent-dim", "2", "--epochs", "1", "--hidden", "8"]
    assert main(["train", "vae", *given, "--out", out]) == 0
    said = shlex.split(command(gather(out)))
    vae = resolve("vae")
    options = train_options(vae, data=named(said[3:]).data)
    settings, _ = training(vae, parse(options, "train", said[3:], None))
    assert settings == replace(Run.open(out).settings, hyperparameters=settings.hyperparameters)
    names = {path.name for path in write_report(out).path.parent.glob("figures/*")}
    assert names == {"vae-scores.png", "vae-training.png"}  # a table has no pictures


def test_a_study_shows_itself_in_a_notebook(study: Result) -> None:
    shown = study._repr_html_()
    assert "A few &lt;rows&gt; &amp; more" in shown
    errors = [run.metrics["mse"] for run in study.runs["vae"]]
    assert f"<td>{np.mean(errors):.4f} ± {np.std(errors, ddof=1):.4f}" in shown
    assert shown.count("<img ") == len(study.runs)


def test_compare_ends_with_the_page(
    tiny: InputDataset, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.toml").write_text(
        'metrics = ["reconstruction"]\n[data]\nname = "tiny"\n[rows.pca]\nrecipe = { epochs = 0 }\n'
    )
    assert main(["compare", "mine.toml", "--no-report"]) == 0
    assert "The page" not in capsys.readouterr().out
    assert main(["compare", "mine.toml"]) == 0
    assert "The page: runs/mine/report.html" in capsys.readouterr().out
    assert Path("runs/mine/figures/pca-map.png").is_file()
