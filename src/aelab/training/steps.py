"""One step of training: a batch, its loss, the gradients, the optimiser.

On a GPU small models leave the device waiting for the next call from Python. There a step is
recorded, and replayed for each batch of the same size (a CUDA graph): it computes the same.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.optim.adam import adam

from aelab.data.batch import Batch
from aelab.data.dataset import TrainingData
from aelab.models.contract import Losses, Trainable
from aelab.settings import Recipe
from aelab.training.processes import Processes

IMAGE_DIMENSIONS = 4
"""Of a batch of images, whose channels can be innermost."""

TAKEN_FIRST = 3
"""Steps before one is recorded: in the first ones, libraries set themselves up."""

RECORDABLE = {"aelab", "torch", "zuko"}
"""Packages whose modules do the same in each step. A recording would repeat what a class of one's
own draws, counts or reads in Python as it was in the step that was recorded."""


class Steps:
    """Takes steps of training, one after another.

    >>> from aelab.data.loading import load
    >>> from aelab.models.zoo import build
    >>> from aelab.training.processes import ALONE
    >>> digits = load("digits")
    >>> _ = torch.manual_seed(0)
    >>> model = build("vanilla", digits.spec, latent_dim=2)
    >>> optimizer = Adam(dict(model.named_parameters()), {}, 0)
    >>> steps = Steps(model, digits.split("train"), Recipe(), optimizer, ALONE)
    >>> before, after = (total(steps.take(torch.arange(99), 0.01)) for _ in range(2))
    >>> bool(after < before)
    True
    """

    def __init__(
        self,
        model: Trainable,
        data: TrainingData,
        recipe: Recipe,
        optimizer: "Adam",
        processes: Processes,
    ) -> None:
        """Of a model that is on the recipe's device, in its memory layout."""
        self.model, self.data, self.recipe = model, data, recipe
        self.optimizer, self.processes = optimizer, processes
        device = torch.device(recipe.device)
        half = recipe.precision == "bfloat16"
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=half)
        self.rate = torch.zeros((), device=device) if device.type == "cuda" else None
        self.recorded = self.rate is not None and processes.count == 1 and is_recordable(model)
        self.recording: Recording | None = None
        self.taken = 0

    def take(self, examples: Int64[Tensor, " batch"], learning_rate: float) -> Losses:
        """Take a step on these examples; what the losses were before it."""
        share = self.processes.share(len(examples))
        with self.processes.noise(share):
            batch = laid_out(self.data.batch(examples[share.rows]), self.recipe)
            if self.rate is not None:
                self.rate.fill_(learning_rate)
            if self.recorded and isinstance(batch, Batch) and len(batch) == self.recipe.batch_size:
                return self.take_recorded(batch)
            losses = self.losses(batch)
        losses = self.processes.weighed(losses, share)
        return self.follow(losses, learning_rate if self.rate is None else self.rate)

    def losses(self, batch: Any) -> Losses:  # noqa: ANN401 - what a model takes
        """The model's losses, in the recipe's precision."""
        with self.autocast:
            return self.model.loss(batch)

    def follow(self, losses: Losses, learning_rate: float | Tensor) -> Losses:
        """Change the parameters by the gradients of the losses."""
        self.optimizer.forget_gradients()
        total(losses).backward()
        losses = self.processes.add_up(self.optimizer.parameters.values(), losses)
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimizer.step(learning_rate)
        return {name: value.detach().float() for name, value in losses.items()}

    def take_recorded(self, batch: Batch) -> Losses:
        """Take a step by a recording, which is made when some were taken without."""
        assert self.rate is not None
        rate = self.rate
        self.taken += 1
        if self.recording is None and self.taken == TAKEN_FIRST:
            self.recorded = never_waits(lambda: total(self.losses(batch)).backward())
        if self.taken <= TAKEN_FIRST:
            return self.follow(self.losses(batch), rate)
        if self.recording is None:
            self.recording = Recording(lambda known: self.follow(self.losses(known), rate), batch)
        return self.recording.replay(batch)


def total(losses: Losses) -> Tensor:
    """The sum of the losses."""
    return reduce(torch.add, losses.values())


class Recording:
    """What a GPU did in a step, to be done again with other batches of the same size.

    Random numbers are drawn anew from the generator as it is at each replay.
    """

    def __init__(self, step: Callable[[Batch], Losses], batch: Batch) -> None:
        """Record the step, which is not taken by that."""
        x, present, labels, noise_level = (None if p is None else p.clone() for p in parts(batch))
        assert x is not None
        self.batch = Batch(x, present=present, labels=labels, noise_level=noise_level)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.losses = step(self.batch)

    def replay(self, batch: Batch) -> Losses:
        """Take the step on another batch."""
        for own, given in zip(parts(self.batch), parts(batch), strict=True):
            if own is not None and given is not None:
                own.copy_(given)
        self.graph.replay()
        return {name: value.clone() for name, value in self.losses.items()}


def parts(batch: Batch) -> tuple[Tensor | None, ...]:
    """The inputs of a batch, and what else is known of them."""
    return batch.x, batch.present, batch.labels, batch.noise_level


def is_recordable(model: nn.Module) -> bool:
    """Whether every module of a model is of a package that is known to do the same in each step."""
    return all(type(module).__module__.split(".")[0] in RECORDABLE for module in model.modules())


def never_waits(compute: Callable[[], object]) -> bool:
    """Whether the processor never waits for the GPU's result in what is computed.

    Where it does, as for a choice by a value, nothing can be recorded. The generators stay as they
    were.
    """
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch tells that this way to ask may change
        torch.cuda.set_sync_debug_mode("error")
        try:
            compute()
        except RuntimeError:
            return False
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return True


def laid_out(batch: Any, recipe: Recipe) -> Any:  # noqa: ANN401 - what a model takes
    """A batch in the recipe's memory layout, if it is one of images."""
    if recipe.channels_last and isinstance(batch, Batch) and batch.dim() == IMAGE_DIMENSIONS:
        return batch.with_inputs(batch.contiguous(memory_format=torch.channels_last))
    return batch


class Adam:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) with its running averages by parameter's name.

    The step is PyTorch's own, fused. Its optimizer's class sets that step up anew each time, which
    takes as long as the step itself where there are few and small parameters.

    >>> weight = nn.Parameter(torch.ones(2))
    >>> weight.sum().backward()
    >>> Adam({"weight": weight}, {}, steps=0).step(learning_rate=0.1)
    >>> weight.data
    tensor([0.9000, 0.9000])
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], moments: Mapping[str, Tensor], steps: int
    ) -> None:
        """Begin with the averages after so many steps, if there are any, and else with zeros."""
        self.parameters = parameters
        self.moments: dict[str, Tensor] = {}
        for name, parameter in parameters.items():
            for kind in ("exp_avg", "exp_avg_sq"):
                # In the parameter's own memory layout: the fused steps rely on it.
                moment = self.moments[f"{kind}.{name}"] = torch.zeros_like(parameter)
                if moments:
                    moment.copy_(moments[f"{kind}.{name}"])
        self.steps = {
            name: torch.tensor(float(steps), device=p.device) for name, p in parameters.items()
        }

    def forget_gradients(self) -> None:
        """Before gradients are computed: they would add up."""
        for parameter in self.parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float | Tensor) -> None:
        """Change the parameters that have gradients."""
        gradients = {n: p.grad for n, p in self.parameters.items() if p.grad is not None}
        adam(
            [self.parameters[name] for name in gradients],
            list(gradients.values()),
            [self.moments[f"exp_avg.{name}"] for name in gradients],
            [self.moments[f"exp_avg_sq.{name}"] for name in gradients],
            [],
            [self.steps[name] for name in gradients],
            fused=True,
            amsgrad=False,
            lr=learning_rate,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            weight_decay=0.0,
            maximize=False,
        )
