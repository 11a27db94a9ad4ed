"""One training in several processes: each takes its share of every batch.

A step of several is that of one: the batch is the same, and so is its order. Each process draws the
noise of the whole batch and keeps what belongs to its share; then gradients and losses are added
up, each weighing as the share does. The first process is in charge: it has the run's folder, and
tells the others how far to go.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from aelab.data.dataset import TrainingData
from aelab.files import AelabError, InputError
from aelab.machine import seeded
from aelab.models.contract import Losses, Trainable

AGREEMENT = 1e-4
"""How far the loss of shares may be from the whole batch's: more than float32's rounding."""


class PeerLostError(AelabError):
    """Another process of the training has ended.

    >>> raise PeerLostError("process 1 ended")
    Traceback (most recent call last):
    aelab.training.processes.PeerLostError: process 1 ended
    """


DONE = -1.0
"""What the first process says instead of epochs, where there are no more."""


@dataclass(frozen=True)
class Share:
    """The examples of a batch that a process takes, `start` to `stop` of `whole`.

    >>> Share(2, 4, whole=4, weight=0.5).rows
    slice(2, 4, None)
    """

    start: int
    stop: int
    whole: int
    weight: float
    """Of its mean in the whole batch's."""

    @property
    def rows(self) -> slice:
        """Where they are in the batch."""
        return slice(self.start, self.stop)


class WholeBatchNoise(TorchFunctionMode):
    """Has random numbers drawn for the whole batch, of which a process gets its share's.

    That concerns tensors of as many rows as the share has, or so many times as many.

    >>> with WholeBatchNoise(Share(2, 4, whole=4, weight=0.5)):
    ...     _ = torch.manual_seed(0)
    ...     of_share = torch.randn(2, 3)
    >>> _ = torch.manual_seed(0)
    >>> torch.equal(of_share, torch.randn(4, 3)[2:])
    True
    """

    OF_SIZE = (torch.rand, torch.randn)
    OF_TENSOR = (torch.rand_like, torch.randn_like, torch.bernoulli, Tensor.bernoulli, F.dropout)
    IN_PLACE = (Tensor.normal_, Tensor.uniform_, Tensor.bernoulli_, Tensor.exponential_)

    def __init__(self, share: Share) -> None:
        super().__init__()
        self.share, self.count = share, share.stop - share.start

    def __torch_function__(  # torch's own interface
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Do what is asked for, of the whole batch where it is to draw for a share of it."""
        kwargs = kwargs or {}
        if kwargs.get("generator") is not None or not args:
            return func(*args, **kwargs)
        if func in self.OF_SIZE:
            first, *others = args[0] if isinstance(args[0], tuple | list) else args
            if first % self.count == 0:
                times = first // self.count
                return func(times * self.share.whole, *others, **kwargs)[self.rows(times)]
        elif func in self.OF_TENSOR + self.IN_PLACE:
            given, *others = args
            if given.dim() and given.shape[0] % self.count == 0:
                rows = self.rows(given.shape[0] // self.count)
                found = func(self.of_whole(given), *others, **kwargs)[rows]
                return given.copy_(found) if func in self.IN_PLACE else found
        return func(*args, **kwargs)

    def rows(self, times: int) -> slice:
        """Where the share's rows are, of so many for each example."""
        return slice(times * self.share.start, times * self.share.stop)

    def of_whole(self, given: Tensor) -> Tensor:
        """A tensor for the whole batch, with what is given in the share's rows, laid out as it."""
        times = given.shape[0] // self.count
        # Numbers are drawn in the order of memory.
        whole = torch.empty_like(given[:1].expand(times * self.share.whole, *given.shape[1:]))
        whole.zero_()
        whole[self.rows(times)] = given
        return whole


@dataclass(frozen=True)
class Processes:
    """Those of one training, as one of them sees them.

    >>> Processes(rank=1, count=2).share(5)
    Share(start=2, stop=5, whole=5, weight=0.6)
    >>> ALONE.told(7)
    7
    """

    rank: int = 0
    count: int = 1

    def share(self, n: int) -> Share:
        """Its share of a batch of `n` examples; where there are too few, one that weighs nothing.

        So every process knows the losses by name.
        """
        start, stop = n * self.rank // self.count, n * (self.rank + 1) // self.count
        if start == stop:
            return Share(0, 1, n, 0.0)
        return Share(start, stop, n, (stop - start) / n)

    def told(self, number: float) -> float:
        """What the first process says, whatever the others do."""
        if self.count == 1:
            return number
        heard = torch.tensor(number, dtype=torch.float64)
        with of_peers():
            dist.broadcast(heard, 0)
        return heard.item()

    def let_go(self) -> None:
        """By the first: there is nothing more to train. What comes is its own, as it is alone's."""
        self.told(DONE)
        if self.count > 1:
            dist.destroy_process_group()  # libraries that find one would wait for the others

    def agree(self, what: str) -> None:
        """Raise InputError unless what all are asked for is the same text."""
        own = float(int.from_bytes(blake2b(what.encode(), digest_size=6).digest()))
        if self.told(own) != own:
            raise InputError(
                "its options, its data or its version of aelab are not the first process's"
            )

    @torch.no_grad()
    def take_firsts(self, tensors: Sequence[Tensor]) -> None:
        """Give each of the tensors the first process's values."""
        for tensor in tensors if self.count > 1 else ():
            values = tensor.contiguous()
            with of_peers():
                dist.broadcast(values, 0)
            tensor.copy_(values)

    def summed(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The sum of each over the processes."""
        flat = torch.cat([tensor.detach().flatten().float() for tensor in tensors])
        with of_peers():
            dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        return [part.view_as(of) for part, of in zip(parts, tensors, strict=True)]

    def noise(self, share: Share) -> AbstractContextManager[object]:
        """Inside, random numbers are drawn for the whole batch."""
        return nullcontext() if self.count == 1 else WholeBatchNoise(share)

    def weighed(self, losses: Losses, share: Share) -> Losses:
        """The losses of a share as parts of the whole batch's."""
        if self.count == 1:
            return losses
        return {name: share.weight * loss for name, loss in losses.items()}

    def add_up(self, parameters: Collection[nn.Parameter], losses: Losses) -> Losses:
        """Give the parameters the gradients of the whole batch; its losses."""
        if self.count == 1:
            return losses
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        found = self.summed([*losses.values(), *gradients])
        for parameter, own, whole in zip(parameters, gradients, found[len(losses) :], strict=True):
            parameter.grad = own.copy_(whole)  # in its memory layout, which the optimiser relies on
        return dict(zip(losses, found, strict=False))

    @torch.no_grad()
    def refuse_whole(
        self, model: Trainable, data: TrainingData, batch_size: int, seed: int
    ) -> None:
        """Raise InputError where a batch's loss is not what its shares add up to.

        Models whose loss, or whose buffers, follow from the batch as a whole, as those with batch
        normalisation, are not trained in shares.
        """
        if self.count == 1:
            return
        name = type(model).__name__
        if len(data) == 1:
            raise InputError(
                f"a {name} is trained on one example, which several processes cannot share: train "
                f"it in one, without torchrun"
            )
        before = {name: buffer.clone() for name, buffer in model.named_buffers()}
        model.train()
        # Of both sizes that batches have: of the last, and of all others.
        near = [
            self.adds_up(model, data, torch.arange(size), seed)
            for size in sorted({min(len(data), batch_size), len(data) % batch_size} - {0})
        ]
        model.eval()
        kept = [torch.equal(buffer, before[name]) for name, buffer in model.named_buffers()]
        if not all(near + kept):
            raise InputError(
                f"a {name} learns from a batch as a whole, which several processes cannot share: "
                f"train it in one, without torchrun"
            )

    def adds_up(self, model: Trainable, data: TrainingData, i: Tensor, seed: int) -> bool:
        """Whether the losses of the shares of a batch are the batch's."""
        share = self.share(len(i))
        with seeded(seed, "noise"):
            whole = model.loss(data.batch(i))
        with seeded(seed, "noise"), self.noise(share):
            losses = self.weighed(model.loss(data.batch(i[share.rows])), share)
        found = torch.stack(self.summed(list(losses.values())))
        asked = torch.stack([loss.float() for loss in whole.values()])
        near = (found - asked).abs() <= AGREEMENT * asked.abs().max()
        return bool((near | ~asked.isfinite()).all())


ALONE = Processes()
"""The usual case: one process."""


@contextmanager
def of_peers() -> Iterator[None]:
    """Raise PeerLostError where another process does not answer."""
    try:
        yield
    except (RuntimeError, ValueError) as error:  # where the group is gone, and where it never was
        raise PeerLostError(
            "another process of this training ended: what was done is kept, and the same command "
            "goes on from there"
        ) from error
