"""Files for other runtimes compute what runs do, or are refused by name and leave nothing."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow.csv
import pytest
import torch
from numpy.typing import NDArray

import aelab
from aelab.api import TrainedRun
from aelab.cli import main
from aelab.data.specs import InputSpec
from aelab.exports import checking, formats, model_file
from aelab.exports.formats import followed
from aelab.exports.parts import Whole
from aelab.files import InputError
from aelab.models.zoo import ZOO, build

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 16, 16), dtype=np.uint8)
WITH_INPUTS = [name for name in ZOO if name not in ("gae", "vgae")]
TABLE = "cm,colour,happy,kg\n" + "".join(
    f"{150 + 3 * (i % 17)},{('red', 'green', 'blue')[i % 3] if i % 7 else ''},"
    f"{('true', 'false')[i % 2]},{50 + i % 23 if i % 5 else ''}\n"
    for i in range(120)
)
DOCUMENT = Path(__file__).parents[1] / "docs" / "export.md"


EITHER = [".pt2", pytest.param(".onnx", marks=pytest.mark.slow)]
"""Formats; a file of ONNX takes seconds to write."""


def facts_of(path: Path) -> dict[str, str]:
    return dict(onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map)


def computed(path: Path, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
    if path.suffix == ".onnx":
        return list(onnxruntime.InferenceSession(path).run(None, inputs))
    found = torch.export.load(path).module()(*map(torch.from_numpy, inputs.values()))
    return [value.numpy() for value in (found if isinstance(found, tuple) else (found,))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def vanilla(folder: Path) -> TrainedRun:
    return aelab.train("vanilla", "digits", latent_dim=4, epochs=1, out=folder / "vanilla")


@pytest.fixture(scope="module")
def mixed(folder: Path) -> TrainedRun:
    (folder / "people.csv").write_text(TABLE)
    return aelab.train(
        "vae", folder / "people.csv", missing="mask", latent_dim=2, epochs=1, hidden=(8,),
        out=folder / "mixed",
    )  # fmt: skip


@pytest.fixture
def digits() -> NDArray[np.uint8]:
    from sklearn.datasets import load_digits

    return load_digits().images[:50].astype(np.uint8)


def test_onnx_gives_bytes_for_bytes(
    vanilla: TrainedRun, digits: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "whole.onnx"
    vanilla.export(path)
    for size in (0, 1, 50):
        (found,) = computed(path, x=digits[:size, None])
        assert found.dtype == np.uint8
        assert found.shape == (size, 1, 8, 8)
        wanted = vanilla.reconstruct(digits[:size]) if size else digits[:0]
        assert (np.abs(found[:, 0].astype(int) - wanted) <= 1).all()
        assert (found[:, 0] != wanted).sum() <= 0.01 * found.size
    facts = facts_of(path)
    assert (facts["aelab.part"], facts["aelab.model"], facts["aelab.code_size"]) == (
        "whole", "vanilla", "4",
    )  # fmt: skip
    assert str(Path(__file__).parents[1]).encode() not in path.read_bytes()  # no place of ours


def test_words_and_gaps(mixed: TrainedRun, folder: Path) -> None:
    path = folder / "score.onnx"
    main(["export", str(mixed.folder), str(path), "--part", "score", "--false-alarm-rate", "0.1"])
    facts = facts_of(path)
    columns = json.loads(facts["aelab.columns"])
    assert [column["name"] for column in columns] == ["cm", "colour", "happy", "kg"]
    table = pyarrow.csv.read_csv(folder / "people.csv").to_pandas()
    rows = np.empty((len(table), 4))
    for place, column in enumerate(columns):
        words = {word: i for i, word in enumerate(column["words"])}
        for row, cell in enumerate(table[column["name"]]):
            cell = str(cell).lower() if isinstance(cell, bool | np.bool_) else cell
            rows[row, place] = words.get(cell, np.nan) if words else cell
    score, anomaly = computed(path, x=rows)
    np.testing.assert_allclose(score, mixed.score(table), rtol=1e-5)
    limit = mixed.threshold(0.1)
    assert float(facts["aelab.threshold"]) == limit.score
    assert limit.told in facts["aelab.threshold_told"]
    assert (anomaly == (score > limit.score)).all()
    wrong = rows[:4].copy()
    wrong[0, 1], wrong[1, 1], wrong[2, 0] = 3, 0.5, np.inf  # three words: 3 is none
    score, anomaly = computed(path, x=wrong)
    assert np.isnan(score).tolist() == [True, True, True, False]
    assert anomaly[:3].all()


def test_words_come_out_as_their_places(mixed: TrainedRun, folder: Path) -> None:
    path = folder / "whole.pt2"
    mixed.export(path)
    table = pyarrow.csv.read_csv(folder / "people.csv").to_pandas()
    wanted = mixed.reconstruct(table).to_pandas()
    x = checking.of_validation(mixed.own_data()).inputs["x"]
    program = torch.export.load(path).module()
    assert program(x).shape == x.shape
    row = torch.tensor([[150.0, torch.nan, 1.0, torch.nan]], dtype=torch.float64)
    found = program(row)[0]
    assert ("blue", "green", "red")[int(found[1])] == wanted["colour"][0]
    assert bool(found[2]) == wanted["happy"][0]
    assert found[0].item() == pytest.approx(wanted["cm"][0], rel=1e-5)
    content = {}
    torch.export.load(path, extra_files=(content := {formats.FACTS: ""}))
    assert json.loads(content[formats.FACTS])["part"] == "whole"


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_every_model_can_be_followed(name: str) -> None:
    spec = InputSpec((1, 16, 16))
    model = build(name, spec).eval()
    x = torch.from_numpy(IMAGES[:, None])
    with torch.no_grad():
        part = Whole(model)
        program = followed(part, {"x": x[:2]}).module()
        wanted = model(x.float() / 255)
    for size in (1, 7):
        found = program(x[:size]).double()
        assert ((found - 255 * wanted[:size].clamp(0, 1).double()).abs() < 0.501).all()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", formats.FORMATS)
@pytest.mark.parametrize("name", WITH_INPUTS)
def test_every_part_of_every_model(name: str, suffix: str, tmp_path: Path) -> None:
    epochs = {} if name in ("pca", "mean", "copy") else {"epochs": 1}
    run = aelab.train(name, IMAGES, out=tmp_path / "run", **epochs)
    for part in model_file.PARTS:
        if name == "mean" and part in ("encoder", "decoder"):
            with pytest.raises(InputError, match="no numbers"):
                run.export(tmp_path / f"{part}{suffix}", part)
            continue
        for score in scores(run) if part == "score" else (None,):
            run.export(tmp_path / f"{part}{suffix}", part, score=score)


def scores(run: TrainedRun) -> tuple[str, ...]:
    from aelab.evaluate.scoring import scores_of

    return scores_of(run.autoencoder)


@pytest.mark.parametrize("suffix", EITHER)
def test_the_nearest_codes(
    vanilla: TrainedRun, digits: NDArray[np.uint8], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"distance{suffix}"
    found = vanilla.export(path, "score", score="distance")
    assert found.score == "distance"
    score, _ = computed(path, x=digits[:, None])
    np.testing.assert_allclose(score, vanilla.score(digits, score="distance"), rtol=1e-5)


@pytest.mark.parametrize("suffix", EITHER)
def test_a_model_that_is_told_classes(folder: Path, digits: NDArray[np.uint8], suffix: str) -> None:
    run = aelab.train(
        "vae", "digits", condition="class", latent_dim=2, epochs=0.1, out=folder / "told"
    )
    path = folder / f"told{suffix}"
    run.export(path, "encoder")
    labels = np.arange(50) % 10
    (code,) = computed(path, x=digits[:, None], label=labels)
    wanted = run.encode(digits, labels=labels.astype(str))
    np.testing.assert_allclose(code, wanted, atol=1e-4)
    for label in (-1, 10) if suffix == ".onnx" else ():
        with pytest.raises(Exception, match="invalid index"):
            computed(path, x=digits[:1, None], label=np.array([label]))


def test_decoder_of_signals_in_their_units(folder: Path) -> None:
    x = np.random.default_rng(0).normal(1e6, 3.0, (80, 1, 20))
    run = aelab.train("vanilla", x, latent_dim=3, epochs=1, out=folder / "signals")
    code = run.encode(x)
    run.export(folder / "decoder.pt2", "decoder")
    found = torch.export.load(folder / "decoder.pt2").module()(torch.from_numpy(code))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), run.decode(code), atol=0.2)
    run.export(folder / "whole.pt2")
    with_gap = torch.from_numpy(x[:2].copy())
    with_gap[0, 0, 0] = torch.nan
    found = torch.export.load(folder / "whole.pt2").module()(with_gap)
    assert found.isnan().flatten(1).all(1).tolist() == [True, False]


def test_what_computes_something_else_is_not_written(
    vanilla: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = formats.program_opened

    def disturbed(by: float) -> Callable[[bytes], formats.Compute]:
        return lambda content: (
            lambda inputs: [found + np.float32(by) for found in opened(content)(inputs)]
        )

    codes = vanilla.encode(np.zeros((1, 8, 8), np.uint8))
    assert codes.dtype == np.float32
    for by, fits in ((1e-9, True), (1e-2, False)):
        kind = formats.Format("torch.export", formats.program_bytes, disturbed(by))
        monkeypatch.setitem(formats.FORMATS, ".pt2", kind)
        if fits:
            vanilla.export(tmp_path / "fits.pt2", "encoder")
            continue
        with pytest.raises(InputError, match="another code than the run"):
            vanilla.export(tmp_path / "other.pt2", "encoder")
    assert [path.name for path in tmp_path.iterdir()] == ["fits.pt2"]


def test_made_up_inputs_where_there_are_no_data(mixed: TrainedRun, folder: Path) -> None:
    found = mixed.export(folder / "made.pt2", "encoder", without_data=True)
    assert found.checked == "200 made-up inputs"
    (folder / "people.csv").rename(folder / "elsewhere.csv")
    try:
        with pytest.raises(InputError, match="--data or --data-dir"):
            mixed.export(folder / "none.pt2")
        there = ["--data", str(folder / "elsewhere.csv")]
        assert main(["export", str(mixed.folder), str(folder / "moved.pt2"), *there]) == 0
    finally:
        (folder / "elsewhere.csv").rename(folder / "people.csv")
    assert not (folder / "none.pt2").exists()


REFUSED: dict[str, tuple[list[str], str]] = {
    "suffix": (["m.h5"], "m.h5: models are exported as .onnx (ONNX) or .pt2 (torch.export)"),
    "score": (["m.onnx", "--score", "bound"], "--score belongs to the part score"),
    "no such score": (["m.pt2", "--part", "score", "--score", "bound"], "no score 'bound'"),
    "rate": (["m.pt2", "--part", "score", "--false-alarm-rate", "2"], "rate must be from 0"),
    "folder": (["taken/m.pt2"], "cannot write taken/m.pt2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(
    case: str,
    vanilla: TrainedRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("a file")
    given, told = REFUSED[case]
    assert main(["export", str(vanilla.folder), *given]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_missing_package(
    vanilla: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(InputError, match=re.escape('pip install "aelab[onnx]"')):
        vanilla.export(tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_models_of_links_and_drawn_inputs(folder: Path) -> None:
    (folder / "edges.txt").write_text(
        "".join(f"{i} {(i + k) % 30}\n" for i in range(30) for k in (1, 2))
    )
    gae = aelab.train("gae", folder / "edges.txt", epochs=1, out=folder / "gae")
    with pytest.raises(InputError, match="gae has codes of the nodes"):
        gae.export(folder / "gae.onnx")
    drawn = aelab.train(
        "vae", "digits", binarise=True, latent_dim=2, epochs=0.1, out=folder / "drawn"
    )
    with pytest.raises(InputError, match="--binarise"):
        drawn.export(folder / "drawn.pt2")
    drawn.export(folder / "drawn.pt2", "decoder")


@pytest.mark.slow
def test_the_document_runs(outside: Path) -> None:
    text = DOCUMENT.read_text("utf-8")
    (shell,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for line in shell.splitlines():
        assert main(line.split()[1:]) == 0
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(code.strip().splitlines()) <= 11
    scope: dict[str, Any] = {}
    exec(code, scope)
    assert scope["score"].shape == scope["anomaly"].shape == (5,)
    assert {
        name.removeprefix("aelab.") for name in scope["facts"] if name.startswith("aelab.")
    } <= set(re.findall(r"`(\w+)`", text))
