"""A library call leaves the process, and a caller's model, as it found them."""

import copy
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor, nn

from aelab.data.input_sets import InputDataset
from aelab.data.loading import load
from aelab.data.specs import InputSpec
from aelab.evaluate.protocol import evaluate
from aelab.models.contract import Autoencoder
from aelab.runs.jobs import run_all
from aelab.runs.train import train_run
from aelab.settings import Recipe, RunSettings
from test_cli import FAST, ends_with
from tiny_jobs import allocator_is_set

RECIPE = Recipe(epochs=1, batch_size=100)


CALLS = """
import json, logging, os, random, sys
import numpy as np
import torch
import aelab
from aelab.evaluate.protocol import evaluate
from aelab.models.sampling import sample
from aelab.runs.train import train_run
from aelab.training.loop import fit

def state():
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    return {
        "path": list(sys.path),
        # PyTorch notes the place of its own cache when its compiler is imported.
        "environment": {k: v for k, v in os.environ.items() if "TORCHINDUCTOR" not in k},
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "type": str(torch.get_default_dtype()),
        "random": repr(random.getstate()),
        "numpy": repr(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "handlers": [repr(h) for logger in loggers for h in getattr(logger, "handlers", [])],
        "level": logging.root.level,
    }

before = state()
changed = lambda: [name for name, value in state().items() if value != before[name]]
told = {}
data = aelab.load_data("digits")
told["load"] = changed()
recipe = aelab.Recipe(epochs=0.2, threads=torch.get_num_threads() + 1)
train_run(aelab.RunSettings("vanilla", {"hidden": [9]}, recipe=recipe), data, "run")
told["train_run"] = changed()
run = aelab.train("vanilla", data, hidden=[9], epochs=0.2, threads=recipe.threads)
told["train"] = changed()
model = aelab.load("run").model
told["load a run"] = changed()
evaluate(model, data)
told["evaluate"] = changed()
run.sample(3)
told["sample"] = changed()
run.score(data.split("test").values[:9])
told["score"] = changed()
next(fit(model, data.split("train"), recipe))
told["fit"] = changed()
print(json.dumps(told))
"""


def test_calls_change_no_setting_of_the_process(outside: Path) -> None:
    """In a process of its own: the checks of types that tests run under draw at random."""
    done = subprocess.run([sys.executable, "-c", CALLS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    calls = ["load", "train_run", "train", "load a run", "evaluate", "sample", "score", "fit"]
    assert list(told) == calls
    assert not any(told.values()), told


def test_reading_a_tiff_leaves_its_logger_alone(tmp_path: Path) -> None:
    before = list(logging.getLogger("tifffile").handlers)
    values = np.arange(4 * 8 * 9 * 3, dtype=np.uint16).reshape(4, 8, 9, 3)
    for number, image in enumerate(values):  # in colour of 16 bits, which Pillow has not
        tifffile.imwrite(tmp_path / f"{number}.tif", image, photometric="rgb")
    assert load(str(tmp_path)).spec.shape == (3, 8, 9)
    assert logging.getLogger("tifffile").handlers == before


def test_only_programs_set_the_allocator(
    tiny_blobs: InputDataset, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr("aelab.machine.keep_freed_memory", lambda: calls.append(1))
    monkeypatch.setattr("aelab.runs.jobs.keep_freed_memory", lambda: calls.append(1))
    train_run(RunSettings("vanilla", recipe=RECIPE), tiny_blobs, "run")
    dict(run_all(allocator_is_set, range(2), 1))
    assert calls == []
    ends_with(0, "train", "vanilla", *FAST)
    assert calls == [1]
    Path("one.toml").write_text('[data]\nname = "tiny"\n[recipe]\nepochs = 0.1\n[rows.vanilla]\n')
    ends_with(0, "compare", "one.toml", "--no-report")
    assert calls == [1, 1]


def test_processes_of_our_own_set_the_allocator() -> None:
    assert dict(run_all(allocator_is_set, range(3), 2)) == {0: True, 1: True, 2: True}


class Convolutions(Autoencoder):
    """Convolutions, and what behaves otherwise in training."""

    code_size = 2

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(spec)
        self.inward = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)
        self.outward = nn.Conv2d(3, 1, 3, padding=1)

    def encode(self, x: Tensor) -> Tensor:
        y = self.outward(self.drop(self.norm(self.inward(x))))
        return y.flatten(1)[:, :2]

    def decode(self, z: Tensor) -> Tensor:
        return z.mean(1)[:, None, None, None].expand(-1, *self.spec.shape)


def layout_of(model: nn.Module) -> Iterator[object]:
    """All of a tensor that its numbers do not tell."""
    for name, tensor in model.named_parameters():
        yield name, tensor.data_ptr(), tensor.stride(), tensor.requires_grad
        yield tensor.grad is not None and tensor.grad.stride()
    for name, module in model.named_modules():
        yield name, module.training


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_evaluation_leaves_a_model_as_it_was(
    blobs: InputDataset, layout: torch.memory_format
) -> None:
    model = Convolutions(blobs.spec).to(memory_format=layout)
    model.outward.weight.requires_grad_(False)
    sum(model.loss(blobs.split("train").batch(torch.arange(8))).values()).backward()
    model.norm.eval()
    before, values = list(layout_of(model)), copy.deepcopy(model.state_dict())
    figures = evaluate(model, blobs, "test")
    assert list(layout_of(model)) == before
    assert all(torch.equal(values[name], now) for name, now in model.state_dict().items())
    # Evaluated as a model in use, not as one in training.
    assert evaluate(model.eval(), blobs, "test") == figures


def test_an_evaluation_that_fails_leaves_a_model_as_it_was(
    blobs: InputDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aelab.evaluate.protocol.evaluate_inputs", failing)
    model = Convolutions(blobs.spec)
    before = list(layout_of(model))
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, blobs, "test")
    assert list(layout_of(model)) == before
