"""The loop: exact resume, randomness by address, schedules; held against plain PyTorch."""

import ctypes
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, OneCycleLR

from aelab import machine
from aelab.data.input_sets import InputDataset
from aelab.data.specs import InputSpec
from aelab.machine import permutation_at, seed_at, seeded, threads
from aelab.models.contract import Autoencoder
from aelab.models.zoo import build
from aelab.settings import Recipe
from aelab.training.loop import TrainingDivergedError, TrainState, fit, learning_rate
from aelab.training.precision import with_precision

RECIPE = Recipe(epochs=2, batch_size=32, learning_rate=1e-2)


def fresh(data: InputDataset, name: str = "vae", **arguments: object) -> Autoencoder:
    with seeded(0):
        return build(name, data.spec, **arguments)


def exhaust(states: Iterator[TrainState]) -> TrainState:
    *_, last = states
    return last


def same(a: Autoencoder, b: Autoencoder) -> bool:
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", ["vae", "denoising", "sparse", "conv-vae"])
def test_same_seed_same_bytes_and_another_seed_others(blobs: InputDataset, name: str) -> None:
    models = [fresh(blobs, name) for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        torch.randn(seed + 3)  # what a caller draws in between has no influence
        exhaust(fit(model, blobs.split("train"), RECIPE, seed=seed))
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_a_stopped_training_goes_on_to_the_same_bytes(blobs: InputDataset, stop_after: int) -> None:
    data = blobs.split("train")
    whole, first, second = (fresh(blobs) for _ in range(3))
    end = exhaust(fit(whole, data, RECIPE))
    states = fit(first, data, RECIPE)
    for _ in range(stop_after):
        state = next(states)
    saved = replace(
        state,
        trace=dict(state.trace),
        moments={name: tensor.clone() for name, tensor in state.moments.items()},
    )
    second.load_state_dict({name: t.clone() for name, t in first.state_dict().items()})
    states.close()
    resumed = exhaust(fit(second, data, RECIPE, state=saved))
    assert resumed.step == end.step == 8
    assert all(torch.equal(resumed.trace[name], end.trace[name]) for name in end.trace)
    assert same(whole, second)


def test_callers_generator_and_threads_are_left_alone(blobs: InputDataset) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    before = torch.get_num_threads()
    for _ in fit(fresh(blobs), blobs.split("train"), replace(RECIPE, threads=2)):
        assert torch.get_num_threads() == before
    assert torch.equal(torch.rand(3), expected)


def reconstruction_error(model: Autoencoder, x: torch.Tensor) -> torch.Tensor:
    return (model(x) - x).square().sum() / len(x)


def error_from_noisy_inputs(model: Autoencoder, x: torch.Tensor) -> torch.Tensor:
    noisy = (x + 0.3 * torch.randn_like(x)).clamp(0, 1)
    return (model(noisy) - x).square().sum() / len(x)


def negative_bound(model: Autoencoder, x: torch.Tensor) -> torch.Tensor:
    """Without its constant, for Gaussians of variance 1/2."""
    mu, log_var = model.heads(model.network.encoder(x.flatten(1))).chunk(2, dim=1)
    z = mu + (log_var / 2).exp() * torch.randn_like(mu)
    error = (model.network.decoder(z).sigmoid() - x.flatten(1)).square().sum()
    return (error + (mu.square() + log_var.exp() - log_var - 1).sum() / 2) / len(x)


@pytest.mark.parametrize(
    ("name", "arguments", "loss_of", "constant"),
    [
        ("vanilla", {"latent_dim": 5}, reconstruction_error, 0.0),
        ("denoising", {"channels": (4,), "noise_level": 0.3}, error_from_noisy_inputs, 0.0),
        ("vae", {"likelihood": "gaussian-fixed"}, negative_bound, 60 * math.log(math.pi)),
    ],
    ids=["vanilla", "denoising", "vae"],
)
@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
def test_fit_is_a_plain_loop(
    blobs: InputDataset,
    name: str,
    arguments: dict[str, Any],
    loss_of: Callable[[Autoencoder, torch.Tensor], torch.Tensor],
    constant: float,
    schedule: Literal["constant", "one-cycle"],
) -> None:
    data, losses = blobs.split("train"), []
    ours, plain = (fresh(blobs, name, **arguments) for _ in range(2))
    state = exhaust(fit(ours, data, replace(RECIPE, schedule=schedule), seed=3))
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-2)
    if schedule == "one-cycle":
        rate = OneCycleLR(optimizer, max_lr=1e-2, total_steps=8, cycle_momentum=False)
    else:
        rate = ConstantLR(optimizer, factor=1.0)
    with threads(1), torch.random.fork_rng():
        for epoch in range(2):
            for i in permutation_at(120, 3, "order", epoch).split(32):
                torch.manual_seed(seed_at(3, "noise", len(losses)))
                loss = loss_of(plain, data.batch(i))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                rate.step()
                losses.append(loss.item() + constant)
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert sum(state.trace.values()).tolist() == pytest.approx(losses, rel=1e-4)
    assert sum(state.losses.values()) == pytest.approx(sum(losses[4:]) / 4, rel=1e-4)


def test_a_parameter_that_no_loss_reaches_stays_as_it_is(blobs: InputDataset) -> None:
    used, alone = fresh(blobs, "vanilla"), fresh(blobs, "vanilla")
    used.idle = torch.nn.Parameter(torch.ones(3))
    for model in (used, alone):
        exhaust(fit(model, blobs.split("train"), RECIPE))
    assert torch.equal(used.idle, torch.ones(3))
    assert torch.equal(used.to_code.weight, alone.to_code.weight)


def test_one_cycle_is_pytorchs() -> None:
    recipe = Recipe(learning_rate=0.3)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = OneCycleLR(optimizer, max_lr=0.3, total_steps=50, cycle_momentum=False)
    for step in range(50):
        assert learning_rate(recipe, step, 50) == pytest.approx(
            reference.get_last_lr()[0], abs=1e-9
        )
        optimizer.step()
        if step < 49:
            reference.step()


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10])
def test_one_cycle_of_few_steps_is_finite(steps: int) -> None:
    rates = [learning_rate(Recipe(), step, steps) for step in range(steps)]
    assert all(0 <= rate <= Recipe().learning_rate for rate in rates)
    assert max(rates) > 0


def test_epochs_may_be_a_fraction_or_none(blobs: InputDataset) -> None:
    data = blobs.split("train")
    assert exhaust(fit(fresh(blobs), data, replace(RECIPE, epochs=1.5))).step == 6
    model = fresh(blobs)
    assert list(fit(model, data, replace(RECIPE, epochs=0))) == []
    assert same(model, fresh(blobs)) is False  # it was initialised from the data all the same


def test_a_closed_form_needs_no_steps(blobs: InputDataset) -> None:
    pca = fresh(blobs, "pca", latent_dim=4)
    assert list(fit(pca, blobs.split("train"), replace(RECIPE, epochs=0))) == []
    assert pca.mean.abs().sum() > 0


def test_gradients_are_clipped(blobs: InputDataset) -> None:
    data = blobs.split("train")
    free, clipped = fresh(blobs, "vanilla"), fresh(blobs, "vanilla")
    next(fit(free, data, RECIPE))
    next(fit(clipped, data, replace(RECIPE, clip_norm=1e-3)))
    norm = math.sqrt(sum(p.grad.square().sum().item() for p in clipped.parameters()))
    assert norm == pytest.approx(1e-3, rel=1e-3)
    assert math.sqrt(sum(p.grad.square().sum().item() for p in free.parameters())) > 1


def test_bfloat16_trains_to_about_the_same(blobs: InputDataset) -> None:
    data = blobs.split("train")
    states = [
        exhaust(fit(fresh(blobs, "vanilla"), data, replace(RECIPE, precision=precision, epochs=4)))
        for precision in ("float32", "bfloat16")
    ]
    exact, rounded = (state.losses["squared_error"] for state in states)
    assert exact != rounded
    assert rounded == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fpu avx512f avx512_bf16 amx_tile", "bfloat16"),
        ("fpu avx512f", "float32"),
        (None, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_computes_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str | None, precision: str
) -> None:
    told = tmp_path / "cpuinfo"
    if flags is not None:
        told.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr(machine, "PROCESSOR", told)
    machine.processor_has_bfloat16.cache_clear()
    images, table = InputSpec((1, 28, 28)), InputSpec((30,))
    auto, named = Recipe(precision="auto"), Recipe(precision="bfloat16")
    assert with_precision(auto, images).precision == precision
    assert with_precision(replace(auto, device="cuda"), images).precision == "bfloat16"
    assert with_precision(auto, table).precision == "float32"  # too few numbers to gain by
    assert with_precision(auto, None).precision == "float32"
    assert with_precision(named, table) == named  # asked for by name
    machine.processor_has_bfloat16.cache_clear()


def test_a_loss_that_is_not_finite_stops_with_advice(blobs: InputDataset) -> None:
    with pytest.raises(TrainingDivergedError, match="try a lower --learning-rate"):
        exhaust(
            fit(
                fresh(blobs, "vanilla", output="linear"),
                blobs.split("train"),
                replace(RECIPE, learning_rate=1e30, epochs=9, schedule="constant"),
            )
        )


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": -1}, {"epochs": math.nan}, {"batch_size": 0}, {"learning_rate": 0.0},
     {"learning_rate": math.nan}, {"threads": 0}, {"clip_norm": 0.0}, {"patience": 0}],
)  # fmt: skip
def test_recipes_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc's alone"
)
def test_freed_memory_is_used_again() -> None:
    code = """
import resource, torch
from aelab.machine import keep_freed_memory
torch.set_num_threads(1)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        maps = [torch.ones(2**21) for _ in range(4)]  # of 8 MiB, or 2,048 pages
        del maps
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults()
keep_freed_memory()
faults()
print(given_back, faults())
"""
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"},  # all larger blocks are given back
        check=True,
        capture_output=True,
        text=True,
    )
    given_back, kept = map(int, told.stdout.split())
    assert given_back >= 40 * 2048
    assert kept < 100
