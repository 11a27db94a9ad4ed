"""Run folders: what was trained, bit for bit; resumed to the same bytes; refused if foreign."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
import torch
from PIL import Image

import aelab
from aelab.data.input_sets import InputDataset
from aelab.files import AelabError, InputError, MissingFileError, read_tensors
from aelab.models.contract import Autoencoder
from aelab.models.sampling import sample
from aelab.models.zoo import ZOO, blueprint_of, resolve
from aelab.report.measured import run_command
from aelab.runs.measure import evaluate_run
from aelab.runs.record import describe, same_work
from aelab.runs.resumable import Progress
from aelab.runs.store import Run
from aelab.runs.train import train_run
from aelab.settings import Recipe, RunSettings

RECIPE = Recipe(epochs=3, batch_size=32, learning_rate=1e-2)
SETTINGS = RunSettings("vanilla", {"latent_dim": 6}, recipe=RECIPE)
SAME_BYTES = (
    "config.json",
    "history.jsonl",
    "metrics.json",
    "model.safetensors",
    "priors/fitted-mixture.safetensors",
    "steps.safetensors",
    "reconstructions.png",
    "samples.png",
)


IMAGE_MODELS = [name for name in ZOO if issubclass(resolve(name).model, Autoencoder)]


def sampled(run: Run, n: int) -> torch.Tensor:
    return sample(run.autoencoder, n, seed=run.settings.seed, prior=run.prior)


def files_in(folder: Path) -> dict[Path, bytes]:
    """The bytes of every file in a folder, and in those in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def kept_run(blobs: InputDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of SETTINGS of one epoch, to be copied."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    train_run(replace(SETTINGS, recipe=replace(RECIPE, epochs=1)), blobs, folder)
    return folder


@pytest.fixture
def trained(kept_run: Path, tmp_path: Path) -> Path:
    """A run of SETTINGS of one epoch, of the test's own."""
    return Path(shutil.copytree(kept_run, tmp_path / "run"))


class KilledError(Exception):
    """Stands for a process that ends at once."""


def stop_after(reports: int) -> object:
    seen = []

    def on_progress(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == reports:
            raise KilledError

    return on_progress


@pytest.mark.parametrize("name", [name for name in IMAGE_MODELS if name != "conv-vae-switches"])
def test_a_run_is_the_model_bit_for_bit(blobs: InputDataset, tmp_path: Path, name: str) -> None:
    arguments = {"latent_dim": 16} if name == "pca" else {}
    recipe = replace(RECIPE, epochs=0 if name == "pca" else 1)
    settings = RunSettings(name, arguments, recipe=recipe)
    run = train_run(settings, blobs, tmp_path / "run")
    first, second = Run.open(tmp_path / "run").model, Run.open(tmp_path / "run").model
    x = blobs.split("test").batch(torch.arange(40))
    assert torch.equal(first(x), second(x))
    assert run.metrics["mse"] == pytest.approx((first(x) - x).square().mean().item(), rel=1e-5)
    assert sampled(run, 3).shape == (3, 1, 12, 10)
    assert not (tmp_path / "run" / "checkpoint").exists()
    for picture in ("reconstructions.png", "samples.png"):
        with Image.open(tmp_path / "run" / picture) as opened:
            assert opened.width > 100


def test_a_fitted_prior_is_of_the_training_codes(blobs: InputDataset, tmp_path: Path) -> None:
    settings = replace(SETTINGS, recipe=replace(RECIPE, epochs=1))  # there is one epoch to keep
    run = train_run(settings, blobs, tmp_path / "run")
    kept = read_tensors(run.priors.path("fitted-mixture"))
    train = blobs.split("train")
    codes = run.model.encode(train.batch(torch.arange(len(train))))
    torch.testing.assert_close(kept["mean"], codes.mean(0))
    assert torch.equal(kept["low"], codes.min(0).values)
    assert torch.equal(kept["high"], codes.max(0).values)
    # Images that the model is not trained on do not move it.
    held_out = {
        name: replace(blobs.split(name), index=train.index) for name in ("validation", "test")
    }
    other = train_run(
        settings, replace(blobs, splits={**blobs.splits, **held_out}), tmp_path / "other"
    )
    moved = read_tensors(other.priors.path("fitted-mixture"))
    assert all(torch.equal(moved[name], tensor) for name, tensor in kept.items())


KILLED = [("vanilla", reports) for reports in (1, 5, 8, 11)] + [
    pytest.param(model, reports, marks=() if reports == last else pytest.mark.slow)
    for model, last in (("vae", 5), ("hvae", 11), ("convolutional", 8))
    for reports in (1, 5, 8, 11)
]
"""Models, and the reports of four an epoch after which they are killed."""


def killed_settings(model: str) -> RunSettings:
    # A layout of its own must not get lost on the way through the checkpoint.
    recipe = replace(RECIPE, channels_last=model == "convolutional")
    return RunSettings(model, {"latent_dim": 6}, recipe=recipe)


@pytest.fixture(scope="module")
def whole_runs(
    blobs: InputDataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of a model's run that nobody killed."""

    @cache
    def whole(model: str) -> Path:
        folder = tmp_path_factory.mktemp("whole") / model
        train_run(killed_settings(model), blobs, folder)
        return folder

    return whole


@pytest.mark.parametrize(("model", "reports"), KILLED)
def test_a_killed_run_goes_on_to_the_same_bytes(
    blobs: InputDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole_runs: Callable[[str], Path],
    reports: int,
    model: str,
) -> None:
    whole, settings = whole_runs(model), killed_settings(model)
    monkeypatch.setattr("aelab.runs.resumable.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KilledError):
        train_run(settings, blobs, tmp_path / "killed", on_progress=stop_after(reports))
    with pytest.raises(MissingFileError, match="not finished"):
        _ = Run.open(tmp_path / "killed").model
    went_on: list[Progress] = []
    train_run(settings, blobs, tmp_path / "killed", on_progress=went_on.append)
    assert len(went_on) <= 12 - (reports - reports % 4)  # four steps an epoch, none done twice
    for name in SAME_BYTES:
        assert (whole / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_a_run_killed_between_training_and_evaluation_is_finished(
    blobs: InputDataset, tmp_path: Path
) -> None:
    run = train_run(SETTINGS, blobs, tmp_path / "run")
    metrics = (tmp_path / "run" / "metrics.json").read_bytes()
    weights = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    (tmp_path / "run" / "metrics.json").unlink()
    train_run(SETTINGS, blobs, tmp_path / "run")
    assert (tmp_path / "run" / "metrics.json").read_bytes() == metrics
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == weights
    assert run.is_finished("test")
    assert not run.is_finished("validation")


def test_a_run_killed_when_patience_ends_it_trains_no_further(
    blobs: InputDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aelab.runs.resumable.CHECKPOINT_SECONDS", 0.0)
    recipe = Recipe(epochs=30, batch_size=32, learning_rate=0.5, schedule="constant", patience=2)
    settings = RunSettings("vanilla", {}, recipe=recipe)
    train_run(settings, blobs, tmp_path / "whole")

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("aelab.runs.priors.fit_prior", killed)
        with pytest.raises(KilledError):
            train_run(settings, blobs, tmp_path / "killed")
    train_run(settings, blobs, tmp_path / "killed")
    for name in SAME_BYTES:
        whole, killed_file = (tmp_path / folder / name for folder in ("whole", "killed"))
        assert whole.read_bytes() == killed_file.read_bytes(), name


def test_best_epoch_is_kept_and_patience_ends_it(blobs: InputDataset, tmp_path: Path) -> None:
    recipe = Recipe(epochs=30, batch_size=32, learning_rate=0.1, schedule="constant", patience=2)
    train_run(RunSettings("vanilla", {}, recipe=recipe), blobs, tmp_path / "best", groups=())
    history = [
        json.loads(line) for line in (tmp_path / "best" / "history.jsonl").read_text().splitlines()
    ]
    losses = [past["validation_loss"] for past in history]
    assert 3 < len(losses) < 30
    assert len(set(losses)) == len(losses)
    assert len(losses) == losses.index(min(losses)) + 3
    x = blobs.split("validation").batch(torch.arange(40))
    model = Run.open(tmp_path / "best").model
    loss = sum(model.loss(x).values()).item()
    assert loss == pytest.approx(min(losses), rel=1e-4)
    last = replace(recipe, keep="last")
    train_run(RunSettings("vanilla", {}, recipe=last), blobs, tmp_path / "last", groups=())
    loss = sum(Run.open(tmp_path / "last").model.loss(x).values()).item()
    assert loss == pytest.approx(losses[-1], rel=1e-4)


SCORES = [
    ("vanilla", "validation_loss", [3.0, 1.0, 2.0]),  # less is better
    ("gae", "validation_auc", [0.6, 0.9, 0.7]),  # more is
]


@pytest.mark.parametrize(("keep", "epoch"), [("best", 1), ("last", 2)])
@pytest.mark.parametrize(("model", "figure", "scores"), SCORES)
def test_the_kept_weights_are_those_of_the_best_or_the_last_epoch(
    blobs: InputDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    figure: str,
    scores: list[float],
    keep: Literal["best", "last"],
    epoch: int,
) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def score(model: torch.nn.Module, _: object) -> float:
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return scores[len(seen) - 1]

    monkeypatch.setattr(f"aelab.evaluate.protocol.{figure}", score)
    data = blobs if model == "vanilla" else aelab.load_data("karate")
    settings = RunSettings(model, recipe=replace(RECIPE, keep=keep))
    train_run(settings, data, tmp_path / "run", groups=("reconstruction",))
    kept = read_tensors(tmp_path / "run" / "model.safetensors")
    same = [all(torch.equal(kept[name], past[name]) for name in kept) for past in seen]
    assert same == [number == epoch for number in range(3)]


def test_config_records_every_setting(blobs: InputDataset, tmp_path: Path) -> None:
    train_run(SETTINGS, blobs, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["hyperparameters"] == {
        "latent_dim": 6,
        "activated_code": True,
        "output": None,
        "noise": "gaussian",
        "noise_level": 0.0,
        "hidden": [],
        "decoder_hidden": [],
        "activation": "relu",
        "initialisation": "random",
        "components": None,
    }
    assert config["recipe"]["batch_size"] == 32
    assert config["data"]["sha256"] == "made up"
    assert set(config["versions"]) >= {"aelab", "torch", "python"}
    assert Run.open(tmp_path / "run").settings.recipe == RECIPE


def test_other_settings_or_files_are_never_overwritten(blobs: InputDataset, tmp_path: Path) -> None:
    train_run(SETTINGS, blobs, tmp_path / "run")
    before = files_in(tmp_path / "run")
    with pytest.raises(InputError, match="holds a run with other settings"):
        train_run(replace(SETTINGS, seed=1), blobs, tmp_path / "run")
    with pytest.raises(InputError, match="holds a run with other settings or data"):
        train_run(SETTINGS, replace(blobs, sha256="others"), tmp_path / "run")
    assert files_in(tmp_path / "run") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        train_run(SETTINGS, blobs, tmp_path / "mine")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no folder"):
        train_run(SETTINGS, blobs, tmp_path / "file")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (RunSettings("vanilla", {"latent": 3}), "latent is unknown; did you mean latent_dim"),
        (RunSettings("vanilla", {"latent_dim": "3"}), "latent_dim must be int or none, not '3'"),
        (RunSettings("vanilla", {"activation": "rleu"}), "activation must be 'relu' or"),
        (RunSettings("vanilla", {"latent_dim": -3}), "latent_dim must be 1 or more"),
        (RunSettings("vae", {"hidden": 500}), "hidden must be a list of int, not 500"),
        (RunSettings("vanila"), "did you mean 'vanilla'"),
        (RunSettings("vanilla", recipe=Recipe(device="tpu9")), "device 'tpu9'"),
        (RunSettings("conv-vae-switches"), "16×16 pixels or more, not 12×10"),
    ],
)
def test_wrong_settings_are_named_and_leave_nothing(
    blobs: InputDataset, tmp_path: Path, settings: RunSettings, said: str
) -> None:
    with pytest.raises(AelabError, match=said):
        train_run(settings, blobs, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_lists_from_files_are_tuples(blobs: InputDataset) -> None:
    settings = RunSettings("vanilla", {"hidden": [20, 10]})
    assert blueprint_of(settings).complete(settings.hyperparameters)["hidden"] == (20, 10)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: shutil.rmtree(run), "is no run"),
        (lambda run: (run / "config.json").unlink(), "is no run"),
        (lambda run: (run / "config.json").write_text("{"), "config.json is damaged"),
        (lambda run: (run / "config.json").write_text("[]"), "no config of a run"),
        (lambda run: (run / "config.json").write_text('{"format": 1}'), "damaged"),
        (lambda run: (run / "model.safetensors").unlink(), "not finished"),
        (lambda run: (run / "model.safetensors").write_bytes(b"PK"), "damaged"),
    ],
)
def test_damaged_runs_are_told(trained: Path, spoil: object, said: str) -> None:
    spoil(trained)
    with pytest.raises(AelabError, match=said):
        _ = Run.open(trained).model


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("", "model", 7),
        ("", "network", True),
        ("data", "binarise", "../../escaped"),
        ("data", "leave_out", ["a", 1]),
        ("data", "range", [1.0]),
        ("recipe", "epochs", "many"),
        ("input", "classes", ["a", "b", "c", -1]),
    ],
)
def test_a_config_of_other_types_is_damaged(
    trained: Path, part: str, key: str, value: object
) -> None:
    config = json.loads((trained / "config.json").read_text())
    (config[part] if part else config)[key] = value
    (trained / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=key):
        assert Run.open(trained).model


def test_codes_that_are_all_the_same_cost_no_run(blobs: InputDataset, tmp_path: Path) -> None:
    dead = InputDataset(
        "dark",
        {
            name: replace(images, values=torch.zeros_like(images.values))
            for name, images in blobs.splits.items()
        },
        blobs.classes,
        sha256="dark",
    )
    run = train_run(RunSettings("pca", {"latent_dim": 3}, recipe=Recipe(epochs=0)), dead, tmp_path)
    torch.testing.assert_close(sampled(run, 2), torch.zeros(2, 1, 12, 10), atol=1e-3, rtol=0)


def test_a_run_is_evaluated_on_its_own_data_only(blobs: InputDataset, trained: Path) -> None:
    before = (trained / "metrics.json").read_bytes()
    with pytest.raises(InputError, match="trained on other data"):
        evaluate_run(Run.open(trained), replace(blobs, sha256="changed"), "test")
    assert (trained / "metrics.json").read_bytes() == before


def test_links_of_another_split_are_refused(tmp_path: Path) -> None:
    settings = RunSettings("gae", recipe=Recipe(epochs=2, batch_size=1))
    run = train_run(settings, aelab.load_data("karate", seed=0), tmp_path / "run")
    with pytest.raises(InputError, match="on another split"):
        evaluate_run(run, aelab.load_data("karate", seed=1), "test")


def test_a_folder_does_not_decide_what_is_imported(
    blobs: InputDataset, tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = trained / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "model": "evil_module:Model"}))
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="names the class evil_module:Model"):
        _ = Run.open(trained).model
    with pytest.raises(InputError, match="names the class evil_module:Model"):
        run_command(Run.open(trained))
    with pytest.raises(InputError, match="with other settings"):
        train_run(SETTINGS, blobs, trained)


@pytest.mark.parametrize(
    ("name", "value"), [("hidden", [10**9]), ("hidden", [10**5] * 3), ("latent_dim", 10**9)]
)
def test_a_folder_does_not_decide_how_much_memory_is_taken(
    trained: Path, name: str, value: object
) -> None:
    path = trained / "config.json"
    config = json.loads(path.read_text())
    hyperparameters = {**config["hyperparameters"], name: value}
    path.write_text(json.dumps({**config, "hyperparameters": hyperparameters}))
    with pytest.raises(InputError, match=r"damaged.*numbers are asked for"):
        _ = Run.open(trained).model


OPENING = """
import sys
from aelab.runs.store import Run
for folder in sys.argv[1:]:
    model = Run.open(folder).model
    unwanted = {"matplotlib", "sklearn", "scipy", "PIL", "pandas", "pyarrow"} & sys.modules.keys()
    if unwanted or not list(model.parameters()):
        sys.exit(f"imported for {folder}: {unwanted}")
"""


def test_opening_a_run_imports_nothing_that_draws_or_measures(
    blobs: InputDataset, outside: Path
) -> None:
    models = ["vanilla", "vae", "hvae", "graph-vae"]
    for model in models:
        recipe = replace(RECIPE, epochs=0)
        train_run(RunSettings(model, recipe=recipe), blobs, model, groups=())
    arguments = [sys.executable, "-c", OPENING, *models]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "content"),
    [("metrics.json", "{}"), ("timings.json", "{}"), ("priors/fitted-mixture.safetensors", None)],
)
def test_missing_parts_of_a_run_are_told(trained: Path, name: str, content: str | None) -> None:
    path = trained / name
    path.unlink() if content is None else path.write_text(content)
    run = Run.open(trained)
    with pytest.raises(AelabError, match=r"is damaged|has no prior fitted-mixture"):
        _ = (run.metrics, run.timings, sampled(run, 1))


def test_a_run_of_another_model_is_not_loaded_into_this_one(
    trained: Path,
) -> None:
    config = json.loads((trained / "config.json").read_text())
    config["hyperparameters"]["latent_dim"] = 7
    (trained / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"model\.safetensors or config\.json is damaged"):
        _ = Run.open(trained).model


def test_each_step_has_its_losses(blobs: InputDataset, tmp_path: Path) -> None:
    settings = RunSettings("vae", {"hidden": (8,)}, recipe=Recipe(epochs=2, batch_size=50))
    run = train_run(settings, blobs, tmp_path / "run")
    steps = read_tensors(run.folder / "steps.safetensors")
    assert {name: len(values) for name, values in steps.items()} == {"reconstruction": 6, "kl": 6}
    last = json.loads((run.folder / "history.jsonl").read_text().splitlines()[-1])
    assert last["losses"]["kl"] == pytest.approx(steps["kl"][3:].mean().item())


@pytest.mark.parametrize(("native", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_the_precision_that_auto_stands_for_is_recorded(
    slice_of_fashion: InputDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    native: bool,
    precision: str,
) -> None:
    monkeypatch.setattr("aelab.machine.processor_has_bfloat16", lambda: native)
    recipe = Recipe(epochs=0.1, batch_size=100, precision="auto")
    settings = RunSettings("vanilla", {"latent_dim": 4}, recipe=recipe)
    run = train_run(settings, slice_of_fashion, tmp_path / "run", groups=())
    assert run.config["recipe"]["precision"] == precision
    assert same_work(run.config, describe(settings, slice_of_fashion))


def test_a_config_of_before_there_was_a_hyperparameter_is_the_same_work(
    blobs: InputDataset,
) -> None:
    settings = RunSettings("vanilla")
    older = json.loads(json.dumps(describe(settings, blobs)))
    del older["hyperparameters"]["initialisation"]
    assert same_work(older, describe(settings, blobs))
    other = replace(settings, hyperparameters={"initialisation": "pca"})
    assert not same_work(older, describe(other, blobs))


@pytest.mark.parametrize(
    ("table", "field", "other"),
    [
        ("recipe", "clip_norm", 0.5),
        ("recipe", "device", "cuda"),
        ("data", "binarise", True),
        ("data", "classes", ["small"]),
        ("input", "binarise", True),
        ("input", "graph", {"edges": [[0, 1]], "positions": [[0.0], [1.0]]}),
    ],
)
def test_a_setting_younger_than_a_config_has_its_default_there(
    blobs: InputDataset, table: str, field: str, other: object
) -> None:
    wanted = describe(RunSettings("vae"), blobs)
    older = json.loads(json.dumps(wanted))
    del older[table][field]
    assert same_work(older, wanted)
    older[table][field] = other
    assert not same_work(older, wanted)


@pytest.mark.parametrize(
    "content", ["{", '{"format": 1}', '{"format": 2, "model": "vanilla", "hyperparameters": 3}']
)
def test_a_run_whose_config_cannot_be_read_is_left_as_it_is(
    blobs: InputDataset, tmp_path: Path, content: str
) -> None:
    settings = RunSettings("vanilla", recipe=Recipe(epochs=0))
    run = train_run(settings, blobs, tmp_path / "run")
    (run.folder / "config.json").write_text(content)
    before = files_in(run.folder)
    for recipe in (Recipe(epochs=0), Recipe(seconds=0.1)):
        with pytest.raises(InputError, match=r"damaged or of another version; name another folder"):
            train_run(replace(settings, recipe=recipe), blobs, tmp_path / "run")
    assert files_in(run.folder) == before


def test_a_budget_of_seconds_is_recorded_as_epochs(blobs: InputDataset, tmp_path: Path) -> None:
    settings = RunSettings("vanilla", recipe=Recipe(seconds=0.2, batch_size=50))
    run = train_run(settings, blobs, tmp_path / "run")
    epochs = run.config["recipe"]["epochs"]
    assert epochs * 3 == pytest.approx(
        len(read_tensors(run.folder / "steps.safetensors")["squared_error"])
    )
    # Asked for again, it is the same run, however fast the machine is now.
    assert train_run(settings, blobs, tmp_path / "run").config == run.config
    assert same_work(run.config, describe(settings, blobs))
    slower = replace(settings, recipe=replace(settings.recipe, seconds=0.4))
    with pytest.raises(InputError, match="other settings"):
        train_run(slower, blobs, tmp_path / "run")
