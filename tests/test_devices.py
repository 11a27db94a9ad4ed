"""Devices: what is asked for, what goes there, and that nothing of two devices is mixed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import aelab.data.input_sets
from aelab.data.graphs import load as load_graph
from aelab.data.input_sets import InputDataset
from aelab.evaluate.protocol import validate
from aelab.files import InputError
from aelab.machine import NoiseOfProcessor, device_named, has_bfloat16, seeded
from aelab.models.zoo import PRIORS, ZOO, build
from aelab.runs.store import Run
from aelab.runs.train import refuse_device, train_run
from aelab.settings import DataSettings, Recipe, RunSettings
from aelab.studies.compare import compare
from aelab.studies.study import load_study, parse_study
from aelab.training.loop import fit
from aelab.training.steps import is_recordable

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
needs_none = pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")

LINKS = ["gae", "vgae"]
TRAINED = [name for name in ZOO if name not in {*LINKS, "pca", "mean", "copy"}]
MODELS = ["multilayer", "convolutional", "denoising", "noise-conditional", "hvae", "graph-vae"]


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, device in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=cuda: there)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda there=mps: there)
        assert device_named("auto") == device
    assert device_named("cuda:1") == "cuda:1"
    assert not has_bfloat16("mps")


@needs_none
def test_a_device_that_is_not_here_is_told_in_a_line() -> None:
    with pytest.raises(InputError, match=r"^device 'cuda' cannot be used \(.*\); try --device cpu"):
        refuse_device("cuda")


@needs_none
def test_a_study_on_a_device_that_is_not_here_trains_nothing(tmp_path: Path) -> None:
    study = parse_study("small", '[rows.vanilla]\ndata.name = "digits"').on_device("cuda")
    with pytest.raises(InputError, match="device 'cuda' cannot be used"):
        compare(study, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_study_on_a_device_leaves_rows_without_training_where_they_are() -> None:
    study = load_study("default").on_device("cuda")
    devices = {row.name: row.settings.recipe.device for row in study.rows}
    assert (study.name, devices["vae"], devices["pca"]) == ("default-cuda", "cuda", "cpu")


def test_stored_values_go_to_a_device_once(blobs: InputDataset) -> None:
    there = blobs.each(lambda images: replace(images, device="meta")).to("cpu")
    assert len({id(split.values) for split in there.splits.values()}) == 1
    assert all(split.device is None for split in there.splits.values())
    assert there.split("test").batch(torch.arange(2)).device.type == "cpu"


def test_on_a_device_without_room_inputs_come_batch_by_batch(blobs: InputDataset) -> None:
    moved = blobs.to("meta").split("train")  # of which nobody knows what it has room for
    assert moved.values is blobs.split("train").values
    batch = moved.batch(torch.arange(5))
    assert (batch.device.type, batch.labels.device.type) == ("meta", "meta")


def test_on_a_device_with_room_they_are_there(
    blobs: InputDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aelab.data.input_sets, "room_for_data", lambda device: 1e9)
    moved = blobs.to("meta")
    assert moved.split("train").values.device.type == "meta"
    assert moved.split("train").values is moved.split("test").values
    assert moved.split("train").batch(torch.arange(5)).shape == (5, 1, 12, 10)


@pytest.mark.parametrize("name", MODELS)
def test_a_loss_is_where_the_model_is(blobs: InputDataset, name: str) -> None:
    model = build(name, blobs.spec).to("meta")
    losses = model.loss(blobs.to("meta").split("train").batch(torch.arange(5)))
    assert {loss.device.type for loss in losses.values()} == {"meta"}


DRAWS: list[Callable[[Tensor], Tensor]] = [
    torch.randn_like,
    torch.rand_like,
    torch.bernoulli,
    lambda p: p.bernoulli(),
    lambda p: torch.randn(len(p), device=p.device),
    lambda p: torch.rand(len(p), 2),
]


@pytest.mark.parametrize("draw", DRAWS)
def test_noise_of_the_processor_is_its_own(draw: Callable[[Tensor], Tensor]) -> None:
    p = torch.linspace(0, 1, 20)
    torch.manual_seed(0)
    usual = draw(p)
    torch.manual_seed(0)
    with NoiseOfProcessor():
        assert torch.equal(draw(p), usual)
        if draw not in DRAWS[2:4]:  # which are by its values
            assert draw(p.to("meta")).shape == usual.shape


def test_closed_forms_are_found_on_the_processor(blobs: InputDataset) -> None:
    data = blobs.split("train")
    bright = data.where(torch.arange(len(data)) < 60)
    models = [build("pca", blobs.spec, latent_dim=2) for _ in range(2)]
    list(fit(models[0], data, Recipe(epochs=0), first=bright))
    list(fit(models[1], bright, Recipe(epochs=0)))
    assert torch.equal(models[0].components, models[1].components)


def test_a_run_that_was_trained_elsewhere_opens_here(blobs: InputDataset, tmp_path: Path) -> None:
    settings = RunSettings("vanilla", {"latent_dim": 3}, DataSettings("blobs"), Recipe(epochs=0))
    run = train_run(settings, blobs, tmp_path / "run", groups=())
    config = json.loads((run.folder / "config.json").read_text())
    config["recipe"]["device"] = "cuda"
    (run.folder / "config.json").write_text(json.dumps(config))
    opened = Run.open(run.folder)
    assert opened.settings.recipe.device == "cuda"
    assert opened.autoencoder.encode(torch.zeros(2, *blobs.spec.shape)).shape == (2, 3)


@needs_gpu
@pytest.mark.parametrize("name", ["vanilla", "conv-vae"])
def test_a_gpu_trains_as_the_processor_does(blobs: InputDataset, name: str) -> None:
    losses = []
    for device in ("cpu", "cuda"):
        recipe = Recipe(epochs=1, batch_size=32, device=device)
        data = blobs.to(device)
        with seeded(0):
            model = build(name, blobs.spec)
        *_, state = fit(model, data.split("train"), recipe, first=blobs.split("train"))
        losses.append(sum(state.losses.values()))
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@needs_gpu
@pytest.mark.parametrize("name", ["vanilla", "vae", "noise-conditional"])
def test_validation_is_the_same_on_a_gpu(blobs: InputDataset, name: str) -> None:
    with seeded(0):
        model = build(name, blobs.spec).eval()
    here = validate(model, blobs)
    there = validate(model.to("cuda"), blobs.to("cuda"))
    assert here.loss == pytest.approx(there.loss, rel=1e-4)
    assert here.shown == pytest.approx(there.shown, rel=1e-4)


@needs_gpu
def test_a_run_trained_on_a_gpu_is_evaluated(blobs: InputDataset, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch_size=32, device="auto", precision="auto")
    settings = RunSettings("vae", {"latent_dim": 3}, DataSettings("blobs"), recipe)
    run = train_run(settings, blobs, tmp_path / "run")
    assert run.settings.recipe.device == "cuda"
    assert run.metrics["mse"] > 0


@needs_gpu
@pytest.mark.parametrize(
    ("name", "prior"), [*((name, None) for name in TRAINED), *(("vae", prior) for prior in PRIORS)]
)
def test_every_model_is_trained_on_a_gpu(
    slice_of_fashion: InputDataset, name: str, prior: str | None
) -> None:
    data = slice_of_fashion.to("cuda")
    for precision in ("float32", "bfloat16"):
        recipe = Recipe(
            epochs=1, batch_size=100, device="cuda", precision=precision, channels_last=True
        )
        with seeded(0):
            model = build(name, slice_of_fashion.spec, prior=prior)
        *_, state = fit(model, data.split("train"), recipe, first=slice_of_fashion.split("train"))
        assert state.step == 5
        assert {p.device.type for p in model.state_dict().values()} == {"cuda"}
        there = validate(model, data)
        here = validate(model.to("cpu"), slice_of_fashion)
        assert there.loss == pytest.approx(here.loss, rel=1e-3)


@needs_gpu
@pytest.mark.parametrize(
    ("name", "prior"), [*((name, None) for name in TRAINED), *(("vae", prior) for prior in PRIORS)]
)
def test_a_recorded_step_is_the_step(
    slice_of_fashion: InputDataset, monkeypatch: pytest.MonkeyPatch, name: str, prior: str | None
) -> None:
    data = slice_of_fashion.to("cuda").split("train")
    recipe = Recipe(epochs=1, batch_size=60, device="cuda", learning_rate=1e-3, clip_norm=9.0)
    traces = []
    for recordable in (True, False):
        monkeypatch.setattr("aelab.training.steps.is_recordable", lambda model, r=recordable: r)
        with seeded(0):
            model = build(name, slice_of_fashion.spec, prior=prior)
        *_, state = fit(model, data, recipe, first=slice_of_fashion.split("train"))
        traces.append(torch.stack(list(state.trace.values())).sum(0))
    assert torch.allclose(*traces, rtol=1e-3)


@needs_gpu
@pytest.mark.parametrize("name", LINKS)
def test_a_graph_is_embedded_on_a_gpu(name: str) -> None:
    data = load_graph("karate")
    losses = []
    for device in ("cpu", "cuda"):
        with seeded(0):
            model = build(name, data.spec, latent_dim=4)
        recipe = Recipe(epochs=200, device=device, learning_rate=0.01)
        *_, state = fit(model, data.to(device).split("train"), recipe, first=data.split("train"))
        losses.append(sum(state.losses.values()))
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_a_class_of_ones_own_is_not_recorded(blobs: InputDataset) -> None:
    class Counts(nn.Module):
        """A part that could count its steps."""

    model = build("vae", blobs.spec)
    assert is_recordable(model)
    model.counts = Counts()
    assert not is_recordable(model)
