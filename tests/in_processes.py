"""Trains in one of several processes, for the tests: what the first process finds goes to a file.

``python in_processes.py RANK COUNT PORT FILE``, on loopback.
"""

import json
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from aelab.data.input_sets import InputSplit
from aelab.data.specs import Columns, InputSpec
from aelab.files import InputError
from aelab.machine import seeded
from aelab.models.autoencoder import DeterministicAutoencoder
from aelab.models.contract import Autoencoder
from aelab.models.networks.dense import DenseNetwork
from aelab.models.zoo import build
from aelab.settings import Recipe
from aelab.training.loop import TrainState, fit
from aelab.training.processes import ALONE, Processes

RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=1e-2)

CASES: dict[str, dict[str, Any]] = {
    "vanilla": {},
    "vae": {"latent_dim": 3},
    "denoising": {"channels": (4, 3), "recipe": replace(RECIPE, channels_last=True, clip_norm=1.0)},
    "noise-conditional": {"latent_dim": 3, "hidden": (8,)},
    "hvae": {"latent_dim": 4, "hidden": (8,), "level_hidden": 8},
    "vae of samples": {"latent_dim": 3, "iwae_samples": 3, "prior": "mixture"},
    "vae of pseudo-inputs": {"latent_dim": 3, "prior": "vamp", "pseudo_inputs": 7},
    "vae of coins": {"latent_dim": 3, "likelihood": "bernoulli", "data": "coins"},
    "vae of gaps": {"latent_dim": 3, "data": "gaps"},
    "vanilla of pseudo-noise": {"noise": "masking", "noise_level": 0.3},
}
"""What is trained, by the model's name and a remark; all else is a hyperparameter."""


def images(n: int = 70) -> InputSplit:
    """Made-up ones, so many that the last batch has fewer, and an odd number of them."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(256, (n + 1, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return InputSplit(values, torch.arange(n + 1) % 3, torch.arange(n + 1), InputSpec((1, 8, 8)))


def data_named(name: str) -> InputSplit:
    """Images; pixels as coins; or a table in which values are missing."""
    given = images()
    if name == "coins":
        return replace(given, spec=replace(given.spec, binarise=True))
    if name == "gaps":
        values = torch.randn(71, 4, generator=torch.Generator().manual_seed(1))
        values[values > 1] = torch.nan
        columns = Columns(("a", "b", "c", "d"), (0.0,) * 4, (1.0,) * 4, mask=True)
        return replace(given, values=values, spec=InputSpec((4,), columns=columns))
    return given


@dataclass(frozen=True)
class Counted:
    """Data that know how many inputs they were asked for, by call."""

    data: InputSplit
    asked: list[int]

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, i: Tensor) -> Any:
        self.asked.append(len(i))
        return self.data.batch(i)


def trained(name: str, processes: Processes) -> TrainState:
    """The end of the training of a case."""
    given = dict(CASES[name])
    recipe, data = given.pop("recipe", RECIPE), data_named(given.pop("data", "images"))
    with seeded(processes.rank):  # the first one's weights count
        model = build(name.split()[0], data.spec, **given)
    *_, last = fit(model, data, recipe, processes=processes)
    return last


class Normalised(DeterministicAutoencoder):
    """Learns from a batch as a whole."""

    def __init__(self, track: bool) -> None:
        spec = InputSpec((1, 8, 8))
        super().__init__(spec, DenseNetwork(spec, 4), latent_dim=4)
        self.norm = nn.BatchNorm1d(4, track_running_stats=track)

    def encode(self, x: Tensor) -> Tensor:
        return self.norm(super().encode(x))


def refused(model: Autoencoder, processes: Processes) -> str:
    try:
        next(fit(model, images(), RECIPE, processes=processes))
    except InputError as error:
        return str(error)
    return "trained"


def handed_over(first: Processes, then: Processes) -> TrainState:
    """The end of a training that some processes began, and others went on with."""
    with seeded(0):
        begun, model = (build("vae", images().spec, latent_dim=3) for _ in range(2))
    states = fit(begun, images(), RECIPE, processes=first)
    for _ in range(3):
        saved = next(states)
    states.close()
    model.load_state_dict(begun.state_dict())
    *_, last = fit(model, images(), RECIPE, state=saved, processes=then)
    return last


def as_lists(state: TrainState) -> dict[str, list[float]]:
    return {term: values.tolist() for term, values in state.trace.items()}


def found(processes: Processes) -> dict[str, Any]:
    """What the tests look at."""
    traces = {name: as_lists(trained(name, processes)) for name in CASES}
    counted = Counted(images(), [])
    with seeded(0):
        model = build("vanilla", counted.data.spec)
    states = fit(model, counted, replace(RECIPE, epochs=1), processes=processes)
    next(states)
    counted.asked.clear()  # what there was to be found before the first step
    next(states)
    states.close()  # the others end there, too
    return {
        "traces": traces,
        "asked": counted.asked,
        "taken up by two": as_lists(handed_over(ALONE, processes)),
        "taken up by one": as_lists(handed_over(processes, ALONE)),
        "refused": [refused(Normalised(track), processes) for track in (True, False)],
    }


if __name__ == "__main__":
    rank, count, port = map(int, sys.argv[1:4])
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=60),
    )
    of_all = found(Processes(rank, count))
    if rank == 0:
        Path(sys.argv[4]).write_text(json.dumps(of_all))
