"""fit(): the one training loop. It never asks which model or data it has, and touches no file."""

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.dataset import TrainingData
from aelab.files import AelabError
from aelab.machine import permutation_at, seeded, set_global, threads
from aelab.models.contract import Trainable
from aelab.settings import Recipe
from aelab.training.precision import with_precision
from aelab.training.processes import ALONE, Processes
from aelab.training.steps import Adam, Steps

REPORTS_PER_EPOCH = 20

LONGEST_CHUNK = 2.0
"""Seconds of steps after which a state is yielded, however long the epoch is."""


class TrainingDivergedError(AelabError):
    """The loss is not finite; the weights are lost, the settings are to blame.

    >>> state = TrainState(step=1, steps_per_epoch=1, trace={"mse": torch.tensor([torch.nan])})
    >>> refuse_divergence(state, Recipe())
    Traceback (most recent call last):
    aelab.training.loop.TrainingDivergedError: the loss term 'mse' became nan by step 1: try a lower
    --learning-rate (now 0.002), --clip-norm 1, or --precision float32
    """


@dataclass
class TrainState:
    """How far training has come; with the model's tensors, all that going on needs.

    >>> TrainState(step=30, steps=100, steps_per_epoch=20).epoch
    1.5
    """

    step: int = 0
    """Steps done."""

    steps: int = 0
    """Steps in all."""

    steps_per_epoch: int = 0

    trace: dict[str, Float[Tensor, " steps"]] = field(default_factory=dict)
    """Each loss term at every step done."""

    moments: dict[str, Tensor] = field(default_factory=dict)
    """Adam's running averages, as ``exp_avg.<parameter>`` and ``exp_avg_sq.<parameter>``."""

    seconds: float = 0.0
    """Time spent in steps and in the closed form before them, without evaluation. A measurement:
    nothing depends on it."""

    @property
    def epoch_ended(self) -> bool:
        """An epoch has just been completed, or training has."""
        return self.step % self.steps_per_epoch == 0 or self.step == self.steps

    @property
    def epoch(self) -> float:
        """Epochs done."""
        return self.step / self.steps_per_epoch

    @property
    def losses(self) -> dict[str, float]:
        """Mean of each loss term over the current epoch's steps so far."""
        steps = (self.step - 1) % self.steps_per_epoch + 1
        return {name: terms[-steps:].double().mean().item() for name, terms in self.trace.items()}


def fit(
    model: Trainable,
    data: TrainingData,
    recipe: Recipe,
    *,
    seed: int = 0,
    state: TrainState | None = None,
    initialise: bool = True,
    first: TrainingData | None = None,
    processes: Processes = ALONE,
) -> Generator[TrainState, None, None]:
    """Train `model` in place, yielding the state at the end of each epoch and now and then.

    The order of an epoch follows from (seed, epoch), the noise of a step from (seed, step), the
    learning rate from the step. So training taken up at a `state` that was yielded earlier, with
    the model as it was then, goes on to the same bytes. A caller that has seen enough stops
    iterating. The caller's generators and thread count are its own at every yield. The model is
    left on the recipe's device, in its memory layout, and in evaluation mode. With `initialise`
    false, a model whose weights are trained already keeps all of them. What is found in closed form
    is found on the processor, of `first` where the data are elsewhere.

    Of several `processes` each calls it with the same data and recipe. The model and the state are
    the first one's; the others go as far as it does.

    Raises:
        TrainingDivergedError: a loss term is not finite.
        InputError: the model cannot be trained in several processes.
        PeerLostError: another of the processes has ended.
    """
    recipe = with_precision(recipe, getattr(model, "spec", None))
    state = state or TrainState()
    if state.step == 0 and initialise and not processes.rank:
        start = time.perf_counter()
        with threads(recipe.threads), seeded(seed, "closed form"):
            model.initialise(data if first is None else first)
        state.seconds += time.perf_counter() - start
    model.to(recipe.device)
    parameters = dict(model.named_parameters())
    if not parameters:
        return
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state.step = int(processes.told(state.step))
    optimizer = Adam(parameters, state.moments, state.step)
    state.moments = optimizer.moments
    processes.take_firsts([*model.state_dict().values(), *state.moments.values()])
    state.steps_per_epoch, state.steps = count_steps(len(data), recipe)
    processes.refuse_whole(model, data, recipe.batch_size, seed)
    steps = Steps(model, data, recipe, optimizer, processes)
    order, order_of = torch.empty(0), -1
    begun = state.step, state.seconds

    while (end := int(processes.told(chunk_end(state, begun, processes)))) > state.step:
        epoch = state.step // state.steps_per_epoch
        start = time.perf_counter()
        if order_of != epoch:
            order, order_of = epoch_order(len(data), recipe, seed, epoch), epoch
        with threads(recipe.threads), seeded(seed):
            terms = run_steps(steps, range(state.step, end), order, seed)
        state.seconds += time.perf_counter() - start
        state.step += len(next(iter(terms.values())))
        state.trace = {
            name: torch.cat([state.trace.get(name, torch.empty(0)), values])
            for name, values in terms.items()
        }
        refuse_divergence(state, recipe)
        try:
            yield state
        except GeneratorExit:
            processes.told(state.step)  # no further: the others end here, too
            raise


def chunk_end(state: TrainState, begun: tuple[int, float], processes: Processes) -> int:
    """The step at which the next state is yielded: a twentieth of an epoch on, or its end.

    Several processes take as many steps as LONGEST_CHUNK is enough for by their speed since they
    have `begun`, at a step and a second: to look at the clock would not be the same for all.
    """
    between_reports = math.ceil(state.steps_per_epoch / REPORTS_PER_EPOCH)
    epoch_end = (state.step // state.steps_per_epoch + 1) * state.steps_per_epoch
    if processes.count > 1:
        steps, seconds = state.step - begun[0], state.seconds - begun[1]
        affordable = LONGEST_CHUNK * steps / seconds if steps else 1
        between_reports = min(between_reports, max(1, int(affordable)))
    return min(state.step + between_reports, epoch_end, state.steps)


def run_steps(
    steps: Steps, numbers: range, order: Tensor, seed: int
) -> dict[str, Float[Tensor, " steps"]]:
    """Take the steps of these numbers, of one epoch in its `order`; each loss term at each of them.

    Where one process takes longer for them than LONGEST_CHUNK, it is the first of them only.
    """
    begun = time.perf_counter()
    longest = LONGEST_CHUNK if steps.processes.count == 1 else math.inf
    steps.model.train()
    steps_per_epoch, total_steps = count_steps(len(steps.data), steps.recipe)
    terms: dict[str, list[Tensor]] = {}
    for number in numbers:
        first = number % steps_per_epoch * steps.recipe.batch_size
        examples = order[first : first + steps.recipe.batch_size]
        set_global(seed, "noise", number)
        rate = learning_rate(steps.recipe, number, total_steps)
        for name, value in steps.take(examples, rate).items():
            terms.setdefault(name, []).append(value)  # on the device until the chunk is done
        if time.perf_counter() - begun >= longest:
            break
    steps.model.eval()
    return {name: torch.stack(values).cpu() for name, values in terms.items()}


def count_steps(n: int, recipe: Recipe) -> tuple[int, int]:
    """Steps of an epoch over `n` examples, and of the whole training."""
    per_epoch = math.ceil(n / recipe.batch_size)
    return per_epoch, round(recipe.epochs * per_epoch)


def refuse_divergence(state: TrainState, recipe: Recipe) -> None:
    """Raise TrainingDivergedError if a loss term is not finite."""
    for name, value in state.losses.items():
        if not math.isfinite(value):
            raise TrainingDivergedError(
                f"the loss term {name!r} became {value} by step {state.step}: {remedy(recipe)}"
            )


def refuse_lost_weights(model: Trainable, recipe: Recipe) -> None:
    """Raise TrainingDivergedError if a weight is not finite: the last step may have done that."""
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise TrainingDivergedError(f"{name} has weights that are not finite: {remedy(recipe)}")


def remedy(recipe: Recipe) -> str:
    """What to do about a training that diverged."""
    return (
        f"try a lower --learning-rate (now {recipe.learning_rate:g}), --clip-norm 1, or "
        f"--precision float32"
    )


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Step size of one step, a function of the step alone.

    one-cycle rises along a cosine from 1/25 of the peak over the first 30 % of the steps, and
    falls along a cosine to 1/250,000 of the peak (PyTorch's OneCycleLR without its momentum).

    >>> [round(learning_rate(Recipe(learning_rate=1.0), step, 20), 3) for step in (0, 5, 19)]
    [0.04, 1.0, 0.0]
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    peak, lowest = recipe.learning_rate, recipe.learning_rate / 25
    turn = max(0.3 * steps - 1, 0)
    if step < turn:
        return cosine(lowest, peak, step / turn)
    return cosine(peak, lowest / 1e4, (step - turn) / max(steps - 1 - turn, 1))


def cosine(start: float, end: float, share: float) -> float:
    """From `start` at share 0 to `end` at share 1, along half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def epoch_order(n: int, recipe: Recipe, seed: int, epoch: int) -> Tensor:
    """In which order an epoch goes through the data."""
    return permutation_at(n, seed, "order", epoch) if recipe.shuffle else torch.arange(n)
