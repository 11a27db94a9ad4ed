"""The rate of floating-point operations in training, as a share of a large matrix product's."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from harness import Table, alternate, new_model, ratios, shown, spread

from aelab.data.input_sets import InputSplit
from aelab.evaluate.reconstruction import operations
from aelab.machine import processor_has_bfloat16, threads
from aelab.models.contract import Autoencoder
from aelab.settings import RunSettings
from aelab.studies.compare import dataset
from aelab.studies.study import load_study
from aelab.training.loop import fit
from aelab.training.precision import with_precision

SIDE = 2048
SIDE_WITHOUT_INSTRUCTIONS = 512
"""Of a product in bfloat16 on a processor that has none: the larger may take a minute."""
STEPS = 100
MOST_SHOWN = 6


def product_rate(dtype: torch.dtype, count: int) -> Callable[[], float]:
    """Operations a second of a product of two square matrices: the best of five."""
    native = dtype is torch.float32 or processor_has_bfloat16()
    side = SIDE if native else SIDE_WITHOUT_INSTRUCTIONS
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))

    def measured() -> float:
        seconds = []
        with threads(count):
            for _ in range(5):
                start = time.perf_counter()
                a @ b
                seconds.append(time.perf_counter() - start)
        return 2 * side**3 / min(seconds)

    return measured


def step_operations(model: Autoencoder, images: InputSplit, batch_size: int) -> int:
    """Operations of a step, forward and back."""
    x = images.batch(torch.arange(batch_size))
    found = operations(lambda: torch.stack(list(model.loss(x).values())).sum().backward())
    model.zero_grad()
    return found


def epoch_rate(settings: RunSettings, images: InputSplit) -> float:
    """Operations a second over an epoch."""
    model = model_for(settings)
    work = step_operations(model, images, settings.recipe.batch_size)
    (*_, state) = fit(model, images, settings.recipe, initialise=False)
    return work * state.step / state.seconds


def model_for(settings: RunSettings) -> Autoencoder:
    model = new_model(settings, dataset(settings.data, None, 0))
    assert isinstance(model, Autoencoder)
    return model


def where_time_goes(settings: RunSettings, images: InputSplit) -> dict[str, float]:
    """The operations that take the most time themselves, as shares of the whole."""
    few = replace(images, index=images.index[: 20 * settings.recipe.batch_size])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        list(fit(model_for(settings), few, settings.recipe, initialise=False))
    events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
    whole = sum(event.self_cpu_time_total for event in events)
    return {event.key: event.self_cpu_time_total / whole for event in events[:MOST_SHOWN]}


def measure(rounds: int) -> dict[str, Any]:
    """Row by row of the study `default`."""
    study = load_study("default")
    found: dict[str, Any] = {}
    table = Table(
        f"Thousand million operations a second in training, and of a {SIDE}×{SIDE} product",
        *("row", "threads", "batch", "precision", "training", "product, float32"),
        *("product, bfloat16", "of float32", "of bfloat16"),
    )
    for row in study.rows:
        if not row.settings.recipe.epochs:
            continue
        settings = replace(row.settings, recipe=replace(row.settings.recipe, epochs=1))
        whole = dataset(settings.data, None, 0).split("train")
        assert isinstance(whole, InputSplit)
        images = replace(whole, index=whole.index[: STEPS * settings.recipe.batch_size])
        count = settings.recipe.threads
        precision = with_precision(settings.recipe, images.spec).precision
        rates = alternate(
            {
                "training": lambda: epoch_rate(settings, images),  # noqa: B023
                "float32": product_rate(torch.float32, count),
                "bfloat16": product_rate(torch.bfloat16, count),
            },
            rounds,
        )
        shares = {name: ratios(rates["training"], rates[name]) for name in ("float32", "bfloat16")}
        profile = where_time_goes(settings, images)
        found[row.name] = {
            "threads": count,
            "batch_size": settings.recipe.batch_size,
            "precision": precision,
            "gigaflops": {name: spread([v / 1e9 for v in rates[name]]) for name in rates},
            "share": shares,
            "profile": profile,
        }
        table.add(
            row.name,
            str(count),
            str(settings.recipe.batch_size),
            precision,
            *(shown(found[row.name]["gigaflops"][name]) for name in rates),
            *(shown(share, 2) for share in shares.values()),
        )
        print("         ", ", ".join(f"{key} {share:.0%}" for key, share in profile.items()))
    table.show()
    return found
