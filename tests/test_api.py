"""Python in one line a step: training, a trained run's arrays and tensors, and studies."""

import gc
import inspect
import re
import sys
from dataclasses import fields
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.datasets import load_digits
from torch import Tensor

import aelab
from aelab import api
from aelab.api import TrainedRun
from aelab.cli import verbs
from aelab.data.input_sets import InputDataset
from aelab.data.loading import load
from aelab.data.preparation import prepare
from aelab.files import AelabError, InputError
from aelab.models.sampling import sample
from aelab.runs.resumable import Note, Progress
from aelab.runs.screen import TrainingScreen
from aelab.settings import DataSettings, Recipe
from aelab.studies.asked import (
    CompareOptions,
    TrainOptions,
    option_name,
    training_options,
)
from aelab.studies.keywords import keywords
from test_cli import ends_with

FEW: dict[str, Any] = {"latent_dim": 3, "hidden": (12,), "epochs": 1}


@pytest.fixture(scope="module")
def vae() -> TrainedRun:
    return api.train("vae", "digits", **FEW)


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """As scikit-learn has them, but bytes: 30 images of 8×8 without an axis of channels."""
    return load_digits().images[:30].astype(np.uint8)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def test_it_is_the_command_line_s_run(vae: TrainedRun, outside: Path) -> None:
    """The same files, byte for byte, but for what was measured with a clock."""
    arguments = ["--data", "digits", "--latent-dim", "3", "--hidden", "12", "--epochs", "1"]
    ends_with(0, "train", "vae", *arguments, "--out", "run")
    for name in ("config.json", "model.safetensors", "metrics.json", "samples.png"):
        assert (vae.folder / name).read_bytes() == Path("run", name).read_bytes(), name


def test_every_option_of_the_command_line_is_a_keyword() -> None:
    blueprint, options = training_options("vae")
    names = {option_name(one) for of in (TrainOptions, DataSettings, Recipe) for one in fields(of)}
    assert keywords(options).keys() == names | {"network", "prior"} | set(blueprint.hyperparameters)
    assert keywords(CompareOptions).keys() == {one.name for one in fields(CompareOptions)}


@pytest.mark.parametrize(
    ("keyword", "value", "place"),
    [
        ("seed", 5, "seed"),
        ("pixel_scale", 0.5, "data.scale"),
        ("splits", "original", "data.splits"),
        ("batch_size", 99, "recipe.batch_size"),
        ("patience", 4, "recipe.patience"),
        ("beta", 2.0, "hyperparameters.beta"),
        ("network", "convolutional", "network"),
    ],
)
def test_a_keyword_arrives(
    keyword: str, value: object, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def stopped(settings: Any, *_: object, **__: object) -> None:
        asked.append(settings)
        raise InputError("stopped")

    monkeypatch.setattr("aelab.runs.train.train_run", stopped)
    with pytest.raises(InputError, match="stopped"):
        api.train("vae", "digits", **{keyword: value})
    found = asked[0]
    for name in place.split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    assert found == value


def test_one_help_for_a_verb_and_its_function() -> None:
    for name, options in (
        ("train", (TrainOptions, DataSettings, Recipe)),
        ("compare", (CompareOptions,)),
    ):
        function, verb = getattr(api, name), verbs.VERBS[name]
        told = inspect.getdoc(function) or ""
        assert told.splitlines()[0] == (verb.__doc__ or "").splitlines()[0]
        listed = set(re.findall(r"^    (\w+): .", told.partition("Keywords:")[2], re.MULTILINE))
        assert listed == {option_name(one) for of in options for one in fields(of)}


def test_a_folder_that_nobody_named_lives_as_long_as_its_run(outside: Path) -> None:
    run = api.train("pca", "digits", latent_dim=2)
    folder, model = run.folder, run.model
    assert (folder / "model.safetensors").is_file()
    del run
    gc.collect()
    assert not folder.exists()
    assert model.code_size == 2
    assert not list(outside.iterdir())


def test_a_training_that_fails_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(InputError, match="vae over the network dense is a model of images"):
        api.train("vae", "karate")
    assert not list(tmp_path.iterdir())


def test_a_named_folder_stays_and_opens_to_the_same(outside: Path, digits: np.ndarray) -> None:
    run = api.train("vae", "digits", out="here", **FEW)
    codes, page = run.encode(digits), run.report()
    assert page == Path("here/report.html")
    assert page.is_file()
    del run
    gc.collect()
    again = aelab.load("here")
    assert np.array_equal(again.encode(digits), codes)
    assert again.settings.hyperparameters["latent_dim"] == 3


def test_codes_and_outputs_are_the_model_s(vae: TrainedRun) -> None:
    data = load("digits")
    split = data.split("test")
    some = torch.arange(20)
    x, stored = split.batch(some).x, split.stored(some)
    with torch.inference_mode():
        z, x_hat = vae.model.encode(x), vae.model(x)
    assert torch.equal(vae.encode(stored), z)
    # Digits are stored as whole numbers of 0 to 16, and x = stored / 16.
    whole = (16 * x_hat).round().to(torch.uint8)
    assert torch.equal(vae.reconstruct(stored), whole)
    assert torch.equal(vae.decode(z), whole)
    drawn = sample(vae.autoencoder, 5, seed=7, temperature=0.5, prior=vae.prior)
    assert torch.equal(vae.sample(5, seed=7, temperature=0.5), (16 * drawn).round().to(torch.uint8))
    assert torch.equal(vae.sample(3), vae.sample(5, seed=0)[:3])


def test_arrays_give_arrays_and_tensors_tensors(vae: TrainedRun, digits: np.ndarray) -> None:
    for call in (vae.encode, vae.reconstruct, vae.score, lambda x: vae.decode(vae.encode(x))):
        array, tensor = call(digits), call(torch.from_numpy(digits))
        assert isinstance(array, np.ndarray)
        assert isinstance(tensor, Tensor)
        assert np.array_equal(array, tensor.numpy())
        assert len(array) == len(digits)


@pytest.mark.parametrize("shape", [(30, 8, 8), (30, 1, 8, 8), (30, 8, 8, 1)])
def test_a_reconstruction_has_the_axes_and_type_of_its_input(
    vae: TrainedRun, digits: np.ndarray, shape: tuple[int, ...]
) -> None:
    x = digits.reshape(shape)
    restored = vae.reconstruct(x)
    assert (restored.shape, restored.dtype) == (shape, np.uint8)
    assert np.array_equal(restored.ravel(), vae.reconstruct(digits).ravel())
    assert np.array_equal(vae.encode(x), vae.encode(digits))


def test_codes_can_take_part_in_gradients(vae: TrainedRun, digits: np.ndarray) -> None:
    weight = torch.ones(3, requires_grad=True)
    (vae.encode(torch.from_numpy(digits)) * weight).sum().backward()
    assert weight.grad is not None


def test_what_is_no_batch_of_such_inputs_is_refused(vae: TrainedRun, digits: np.ndarray) -> None:
    cases = [
        (digits[0], r"x has the shape \(8, 8\), of one input without a batch axis; give x\[None\]"),
        (digits[0][..., None], "one input without a batch axis"),
        (digits[:, :4], "holds images of 4×8 with 1 channel"),
        (digits / 16, r"\(float32\); the run takes images of 8×8 with 1 channel \(uint8\)"),
        (digits.astype(str), "inputs are numbers"),
        ([[1.0]], "must be a NumPy array or a torch tensor, not list"),
    ]
    for x, said in cases:
        with pytest.raises(InputError, match=said) as caught:
            vae.encode(x)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"z has the shape \(3,\); .*give a batch, z\[None\]"):
        vae.decode(np.zeros(3))
    with pytest.raises(InputError, match=r"codes have the shape \[n, 3\]"):
        vae.decode(torch.zeros(2, 4))


def test_an_input_in_colour_without_a_batch_axis_is_refused() -> None:
    run = api.train("pca", noise(20, 3, 4, 5), latent_dim=2)
    for x in (noise(3, 4, 5), noise(4, 5, 3)):
        with pytest.raises(InputError, match="without a batch axis"):
            run.encode(x)
    assert run.encode(noise(2, 4, 5, 3)).shape == (2, 2)


def test_a_table_s_columns_are_standardised_as_the_run_s_own(outside: Path) -> None:
    values = np.random.default_rng(1).normal([3.0, -50.0, 1e4], [1.0, 20.0, 5e3], (60, 3))
    lines = [",".join(map(repr, row)) for row in values.tolist()]
    Path("t.csv").write_text("\n".join(["a,b,c", *lines]))
    run = api.train("pca", Path("t.csv"), latent_dim=3)
    assert run.settings.data.rows == "inputs"
    # As many components as columns: nothing is lost, whatever the scales.
    assert np.allclose(run.reconstruct(values), values, rtol=1e-3)
    expected = run.model.encode(prepare(torch.from_numpy(values), run.autoencoder.spec))
    assert np.allclose(run.encode(values), expected.detach())
    values[4, 1] = np.nan
    with pytest.raises(InputError, match="example 4 holds a value that is not finite"):
        run.encode(values)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_an_array_is_the_data_set_that_its_file_is(kind: Any, outside: Path) -> None:
    values = noise(50, 4, 6, dtype=np.float32)
    np.save("x.npy", values)
    file, memory = load("x.npy"), aelab.load_data(kind(values))
    assert isinstance(memory, InputDataset)
    assert (memory.spec, memory.notes) == (file.spec, file.notes)
    for name, split in file.splits.items():
        assert torch.equal(memory.split(name).index, split.index)
        some = torch.arange(len(split))
        assert torch.equal(memory.split(name).batch(some), split.batch(some))


def test_an_array_s_classes_are_its_labels(outside: Path) -> None:
    x, names = noise(40, 3), ["odd", "even"] * 20
    np.savez("both.npz", x=x, y=np.array(names))
    file, memory = load("both.npz"), aelab.load_data(x, labels=names)
    assert memory.classes == file.classes == ("even", "odd")
    assert torch.equal(memory.split("test").classes, file.split("test").classes)
    assert memory.sha256 != aelab.load_data(x).sha256
    with pytest.raises(InputError, match="classes are 40 whole numbers or names"):
        aelab.load_data(x, labels=[1])
    with pytest.raises(InputError, match="labels are for an array in memory"):
        aelab.load_data("digits", labels=names)
    only = aelab.load_data(x, labels=names, classes=("odd",))
    assert only.split("train").classes.unique().tolist() == [1]


def test_the_content_of_an_array_tells_whether_it_is_the_same() -> None:
    values = noise(30, 4)
    same = [values.copy(), np.asfortranarray(values), torch.from_numpy(values)]
    other = [values + 1, values.reshape(30, 2, 2), values.astype(np.int16)]
    sha256 = aelab.load_data(values).sha256
    assert {aelab.load_data(x).sha256 for x in same} == {sha256}
    assert sha256 not in {aelab.load_data(x).sha256 for x in other}


def test_a_reversed_array_is_read_as_it_stands() -> None:
    values = noise(30, 4)
    assert torch.equal(
        aelab.load_data(values[::-1]).splits["train"].values, torch.from_numpy(values[::-1].copy())
    )


def test_a_run_of_an_array_is_evaluated_and_drawn_from_it(outside: Path) -> None:
    x = noise(60, 6, 6)
    run = api.train("vanilla", x, latent_dim=2, epochs=1, out="run")
    assert run.evaluate("validation", ["reconstruction"])["split"] == "validation"
    assert "an array in memory, so no command gives" in run.report().read_text()
    again = api.load("run")
    with pytest.raises(InputError, match=r"were an array in memory, .*: give the array"):
        again.report()
    with pytest.raises(InputError, match="was trained on other data"):
        again.evaluate(data=x + 1)
    assert again.evaluate("test", data=x)["mse"] == pytest.approx(
        float(
            np.mean(
                (again.model(prepared(again, x)).detach().numpy() - prepared(again, x).numpy()) ** 2
            )
        ),
        rel=0.5,
    )
    ends_with(2, "evaluate", "run")


def prepared(run: TrainedRun, x: np.ndarray) -> Tensor:
    return prepare(torch.from_numpy(x)[:, None], run.autoencoder.spec)


def test_a_data_set_object_is_trained_on_as_it_is(blobs: InputDataset) -> None:
    run = api.train("pca", blobs, latent_dim=2, classes=("small", "middle"))
    assert run.settings.data == DataSettings("blobs", classes=("small", "middle"))
    assert "anomaly_auroc" in run.metrics
    assert run.evaluate(data=blobs)["mse"] == run.metrics["mse"]
    with pytest.raises(InputError, match="blobs is loaded already; give size to aelab"):
        api.train("pca", blobs, size="9")


def test_training_goes_on_from_a_run_with_its_settings_and_data() -> None:
    x = noise(40, 5)
    first = api.train("vae", x, beta=3.0, batch_size=30, **FEW)
    second = api.train("vae", start=first, learning_rate=1e-30, seed=4)
    assert np.allclose(second.encode(x), first.encode(x), atol=1e-6)
    assert second.settings.hyperparameters == first.settings.hyperparameters
    assert second.settings.recipe.batch_size == 30
    assert second.own_data().sha256 == first.own_data().sha256
    with pytest.raises(InputError, match="is a vae, not a vanilla"):
        api.train("vanilla", x, start=first)
    with pytest.raises(InputError, match="digits has inputs of shape 1×8×8"):
        api.train("vae", "digits", start=str(first.folder))


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ({"latent_dimm": 3}, "aelab.train: latent_dimm is unknown; did you mean latent_dim?"),
        ({"batch_sise": 3}, "batch_sise is unknown; did you mean batch_size?"),
        ({"epochs": "ten"}, "aelab.train: epochs must be float, not 'ten'"),
        ({"epochs": -1}, "epochs must be 0 or more, not -1"),
        ({"classes": "Bag"}, "classes must be a list of str or none, not 'Bag'"),
        ({"split": "tests"}, "split must be 'train' or 'validation' or 'test' or none"),
        ({"network": "densse"}, "did you mean 'dense'?"),
        ({"network": 3}, "aelab.train: network must be str or none, not 3"),
        ({"data": "digitz"}, "did you mean digits?"),
        ({"data": [1.0]}, "data must be a NumPy array or a torch tensor, not list"),
        ({"data": np.zeros(5)}, r"data has the shape \(5,\); an array of inputs has the shape"),
        ({"start": "nowhere"}, "nowhere is no run"),
    ],
)
def test_a_mistake_is_told_in_one_line(mistake: dict[str, Any], said: str) -> None:
    with pytest.raises(AelabError, match=said.replace("?", r"\?")) as caught:
        api.train("vae", **{"data": "digits", **mistake})
    assert "\n" not in str(caught.value)


def test_compare_is_the_command(tiny: InputDataset, outside: Path) -> None:
    Path("two.toml").write_text(
        '[data]\nname = "tiny"\n[recipe]\nepochs = 1\nbatch_size = 200\n'
        "[rows.pca]\nhyperparameters = {latent_dim = 2}\n"
        "[rows.mean]\n"
    )
    asked = {"seeds": range(2), "quick": True, "jobs": 1, "out": "results", "no_report": True}
    result = aelab.compare("two.toml", **asked)
    assert [run.settings.seed for run in result.runs["pca"]] == [0, 1]
    assert result.folder == Path("results/two-quick")
    assert "<table>" in result._repr_html_()
    assert not (result.folder / "report.html").exists()
    written = (result.folder / "results.json").read_bytes()
    command = "compare two.toml --seeds 0 1 --quick --jobs 1 --out results --no-report"
    ends_with(0, *command.split())
    assert (result.folder / "results.json").read_bytes() == written
    for mistake, said in (
        ({"sedes": [1]}, "aelab.compare: sedes is unknown; did you mean seeds?"),
        ({"jobs": 0}, "aelab.compare: jobs must be 1 or more, not 0"),
        ({"study": "defualt"}, "there is no study 'defualt'"),
    ):
        with pytest.raises(AelabError, match=said.replace("?", r"\?")):
            aelab.compare(**mistake)


def test_a_run_shows_itself(vae: TrainedRun) -> None:
    shown = vae._repr_html_()
    assert f"<td>{vae.metrics['mse']:.4f}</td>" in shown
    assert shown.count("data:image/png;base64,") == 2
    assert str(vae) == f"<run of vae, seed 0, in {vae.folder}>"
    (unfinished := vae.folder.parent / "no-run").mkdir(exist_ok=True)
    assert "is not finished" in TrainedRun(unfinished, vae.config)._repr_html_()
    unfinished.rmdir()


PROGRESS = Progress(0.5, 2.0, {"loss": 1.25}, {}, 100.0, 3.0)


def test_progress_shows_in_a_terminal_and_nowhere_else(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api.train("vanilla", "digits", latent_dim=2, epochs=1)
    assert capfd.readouterr() == ("", "")
    terminal = StringIO()
    monkeypatch.setattr(
        "aelab.runs.screen.Console",
        lambda stderr: Console(file=terminal, force_terminal=True, width=120),
    )
    api.train("vanilla", "digits", latent_dim=2, epochs=1, quiet=True)
    assert terminal.getvalue() == ""
    api.train("vanilla", "digits", latent_dim=2, epochs=1)
    assert "digits: 1,437 train" in terminal.getvalue() or "digits:" in terminal.getvalue()
    assert "epoch 1/1" in terminal.getvalue()
    assert capfd.readouterr() == ("", "")


def test_progress_in_a_notebook_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    handle = SimpleNamespace(update=shown.append)
    ipython = SimpleNamespace(HTML=str, display=lambda html, display_id: handle)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=ipython))
    monkeypatch.setitem(sys.modules, "IPython.display", ipython)
    monkeypatch.setattr(
        "aelab.runs.screen.Console", lambda stderr: Console(file=StringIO(), force_jupyter=True)
    )
    with TrainingScreen() as screen:
        screen.tell("a<b", PROGRESS)
        screen.tell("vae", PROGRESS)
        screen.tell("a<b", "no memory")
        screen.tell("vae", Note("moved"))
    assert shown[-1] == (
        "<pre>a&lt;b failed: no memory\nvae epoch 1/2 | loss 1.25 | 100/s\nvae: moved</pre>"
    )


def test_a_plain_screen_prints_ends_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    for plain, expected in ((True, "vae: moved\nvae: failed: no memory\n"), (False, "")):
        with TrainingScreen(plain=plain) as screen:
            screen.tell("vae", PROGRESS)
            screen.tell("vae", Note("moved"))
            screen.tell("vae", "no memory")
        assert capsys.readouterr() == ("", expected)
