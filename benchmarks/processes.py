"""What a second process of one training is worth: seconds of steps, in alternation.

    python benchmarks/processes.py [MODEL] [STEPS] [ROUNDS]

Made-up images of 64×64 pixels; each process has one thread, on loopback.
"""

import os
import socket
import subprocess
import sys
from statistics import median

import torch
from torch import distributed

from aelab.data.input_sets import InputSplit
from aelab.data.specs import InputSpec
from aelab.machine import seeded
from aelab.models.zoo import build
from aelab.settings import Recipe
from aelab.training.loop import fit
from aelab.training.processes import Processes

BATCH_SIZE = 128


def seconds(name: str, steps: int, processes: Processes) -> float:
    """Of so many steps, after a few to warm up."""
    generator = torch.Generator().manual_seed(0)
    size = (4 * BATCH_SIZE, 1, 64, 64)
    values = torch.randint(256, size, dtype=torch.uint8, generator=generator)
    index = torch.arange(len(values))
    data = InputSplit(values, index % 3, index, InputSpec((1, 64, 64)))
    with seeded(0):
        model = build(name, data.spec)
    recipe = Recipe(epochs=(steps + 4) / 4, batch_size=BATCH_SIZE, channels_last=True)
    states = fit(model, data, recipe, processes=processes)
    first = next(state for state in states if state.step >= 4)
    begun = first.step, first.seconds
    *_, last = states
    return (last.seconds - begun[1]) / (last.step - begun[0]) * steps


def one_of(name: str, steps: int) -> None:
    """One process's part, told by the variables that torchrun sets."""
    count, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    if count > 1:
        distributed.init_process_group("gloo")
    found = seconds(name, steps, Processes(rank, count))
    if rank == 0:
        print(found)


def together(count: int, name: str, steps: int) -> float:
    """Seconds of so many processes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    started = [
        subprocess.Popen(
            [sys.executable, __file__, name, str(steps), "0"],
            env={**os.environ, **told, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    return float(started[0].communicate()[0])


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    name, steps = given.get(1, "conv-vae"), int(given.get(2, 40))
    rounds = int(given.get(3, 3))
    if rounds == 0:
        one_of(name, steps)
        sys.exit()
    pairs = [(together(1, name, steps), together(2, name, steps)) for _ in range(rounds)]
    for one, two in pairs:
        print(f"{name}, {steps} steps: one {one:.1f} s, two {two:.1f} s: {one / two:.2f} times")
    print(f"median: {median(one / two for one, two in pairs):.2f} times")
