"""What priors that are fitted to codes share: coordinates, classes, and training by gradients."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.machine import generator_at, permutation_at, seeded
from aelab.models.priors.contract import Codes, Labels, PerCode, Prior

MOST_DIMENSIONS = 128

LEAST_DEVIATION = 1e-12
"""Of codes along a direction: its square is a number in float32."""

HELD_OUT = 0.1
"""Share of the codes that a fit is scored by, and not made of."""

STEPS, BATCH, RATE = 1500, 256, 2e-3
"""Of a fit by gradients, by Adam with a rate that falls to nothing."""

SCORED = 100
"""Steps between two scores on the codes held out: the best weights are kept."""

Coordinates = Float[Tensor, "batch dimensions"]
PerClass = Float[Tensor, "batch classes"]


class FittedPrior(Prior):
    """A density of the principal coordinates u of a model's codes, class by class.

    ``z = clip(m + u B)`` and ``p(u) = sum_c w_c p(u | c)``: the rows of B are principal directions
    of the training codes, as long as the codes' deviation along them, w_c is the share of class c
    (of one class where the data have no labels), and codes are clipped to the range each number
    had in training: activations that were never negative are not drawn negative. At most 128
    coordinates are modelled, and only those that vary; along the others every sample is at the
    mean. `log_prob` is that of the unclipped density within the plane of B.

    A subclass gives ``p(u | c)``: `build`, `fit_coordinates`, `log_density` and `draw`.

    >>> from aelab.models.priors.fitted_mixture import FittedMixture
    >>> prior = FittedMixture(2)
    >>> prior.fit(torch.randn(60, 2), torch.arange(60) % 3)
    >>> prior.classes, prior.shares
    (3, tensor([0.3333, 0.3333, 0.3333]))
    """

    trained_with_model: ClassVar[bool] = False

    mean: Float[Tensor, " code"]
    basis: Float[Tensor, "dimensions code"]
    low: Float[Tensor, " code"]
    high: Float[Tensor, " code"]
    shares: Float[Tensor, " classes"]

    def __init__(self, code_size: int) -> None:
        super().__init__(code_size)
        self._place(
            {
                "mean": torch.zeros(code_size),
                "basis": torch.eye(min(1, code_size), code_size),
                "low": torch.full((code_size,), -torch.inf),
                "high": torch.full((code_size,), torch.inf),
                "shares": torch.ones(1),
            }
        )

    @abstractmethod
    def build(self, dimensions: int, classes: int, tensors: Mapping[str, Tensor]) -> None:
        """Make the parts of ``p(u | c)``, in the sizes of `tensors`, as far as these tell any."""

    @abstractmethod
    def fit_coordinates(self, u: Coordinates, labels: Labels, seed: int) -> None:
        """Fit ``p(u | c)``; every class has a code."""

    @abstractmethod
    def log_density(self, u: Coordinates) -> PerClass:
        """``log p(u | c)`` for each class."""

    @abstractmethod
    def draw(self, labels: Labels, temperature: float) -> Coordinates:
        """One u of each label's class, from the global generator."""

    @property
    def classes(self) -> int:
        """Those that it was fitted with; 0, if it was fitted to all codes as one."""
        return len(self.shares) if len(self.shares) > 1 else 0

    def log_prob(self, z: Codes) -> PerCode:
        """``log sum_c w_c p(u | c) - log |B|``, u the coordinates of z."""
        log_density: Tensor = (self.shares.log() + self.log_prob_of_classes(z)).logsumexp(1)
        return log_density

    def log_prob_of_classes(self, z: Codes) -> PerClass:
        """``log p(u | c) - log |B|`` for each class."""
        spread = self.basis.norm(dim=1)
        u = (z - self.mean) @ (self.basis / spread.square()[:, None]).T
        of_each: Tensor = self.log_density(u) - spread.log().sum()
        return of_each

    def sample_codes(self, n: int, temperature: float = 1.0) -> Codes:
        """`n` codes of any class, drawn from the global generator."""
        return self._codes(self.shares.multinomial(n, replacement=True), temperature)

    def sample_class(self, n: int, label: int, temperature: float = 1.0) -> Codes:
        """`n` codes of one class, drawn from the global generator."""
        return self._codes(torch.full((n,), label), temperature)

    def fit(self, codes: Codes, labels: Labels | None = None, *, seed: int = 0) -> None:
        """Fit it to codes, class by class where each of the labels' classes has one."""
        labels = torch.zeros(len(codes), dtype=torch.int64) if labels is None else labels
        shares = labels.bincount() / len(labels)
        if not (shares > 0).all():
            labels, shares = torch.zeros_like(labels), torch.ones(1)
        mean, basis = principal_plane(codes)
        range_ = {"low": codes.amin(0), "high": codes.amax(0)}
        self._place({"mean": mean, "basis": basis, "shares": shares, **range_})
        u = (codes - mean) @ (basis / basis.square().sum(1, keepdim=True)).T
        with seeded(seed, "prior"):
            self.build(len(basis), len(shares), {})
            self.fit_coordinates(u, labels, seed)
        self.eval()

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], code_size: int) -> "FittedPrior":
        """The inverse of `tensors`.

        Raises:
            RuntimeError: they are those of another prior, or do not fit together.
        """
        prior = cls(code_size)
        own = ("mean", "basis", "low", "high", "shares")
        try:
            prior._place({name: tensors[name] for name in own})
            prior.build(len(tensors["basis"]), len(tensors["shares"]), tensors)
        except (KeyError, IndexError, TypeError) as error:
            raise RuntimeError(f"these are no tensors of a {cls.__name__}: {error}") from error
        if tensors["basis"].shape[1:] != (code_size,) or tensors["mean"].shape != (code_size,):
            raise RuntimeError(f"these are of codes of another size than {code_size}")
        prior.load_state_dict(dict(tensors))
        prior.eval()
        try:
            with seeded(0):  # a code of each class
                codes = prior._codes(torch.arange(len(prior.shares)), 1.0)
        except (IndexError, ValueError) as error:
            raise RuntimeError(f"no code can be drawn from it: {error}") from error
        if not (codes.isfinite().all() and prior.shares.isfinite().all()):
            raise RuntimeError("codes that are drawn from it are not finite")
        return prior

    def _codes(self, labels: Labels, temperature: float) -> Codes:
        z = self.mean + self.draw(labels, temperature) @ self.basis
        return z.clamp(self.low, self.high)

    def _place(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)


def principal_plane(
    codes: Codes,
) -> tuple[Float[Tensor, " code"], Float[Tensor, "dimensions code"]]:
    """The mean of codes, and their principal directions, as long as their deviation."""
    z = codes.double()
    mean = z.mean(0)
    _, singular, rows = torch.linalg.svd(z - mean, full_matrices=False)
    spread = (singular / math.sqrt(len(z))).clamp(min=LEAST_DEVIATION)
    # At least one, also of codes that are all the same.
    kept = max(
        1, int((spread[:MOST_DIMENSIONS] > max(1e-4 * spread[0].item(), LEAST_DEVIATION)).sum())
    )
    return mean.float(), (rows[:kept] * spread[:kept, None]).float()


def held_out(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """The numbers of the codes that a fit is made of, and of those that it is scored by.

    >>> [len(part) for part in held_out(50, seed=0)]
    [45, 5]
    """
    order = permutation_at(n, seed, "held out")
    scored = int(HELD_OUT * n)
    return order[scored:], order[:scored]


def one_hot(labels: Labels, classes: int) -> Float[Tensor, "batch classes"]:
    """Labels as numbers for a network; nothing, where there is one class only."""
    if classes < 2:
        return torch.empty(len(labels), 0)
    return torch.nn.functional.one_hot(labels, classes).float()


class LearntDensity(FittedPrior):
    """A fitted prior whose ``p(u | c)`` is made of networks, trained by gradients.

    >>> from aelab.models.priors.two_stage import TwoStage
    >>> TwoStage(2).loss(torch.zeros(5, 1), torch.zeros(5, dtype=torch.int64)).shape
    torch.Size([5])
    """

    @abstractmethod
    def loss(self, u: Coordinates, labels: Labels) -> PerCode:
        """What is minimised: ``-log p(u | c)``, or a bound on it."""

    def fit_coordinates(self, u: Coordinates, labels: Labels, seed: int) -> None:
        """Minimise the loss with Adam; keep the weights that did best on codes held out."""
        chosen, scored = held_out(len(u), seed)
        scored = scored if len(scored) else chosen
        generator = generator_at(seed, "batches")
        optimiser = torch.optim.Adam(self.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        best, kept = math.inf, {n: t.clone() for n, t in self.state_dict().items()}
        for step in range(1, STEPS + 1):
            i = chosen[torch.randint(len(chosen), (min(BATCH, len(chosen)),), generator=generator)]
            optimiser.zero_grad()
            self.loss(u[i], labels[i]).mean().backward()
            torch.nn.utils.clip_grad_norm_(self.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            if step % SCORED == 0:
                with torch.no_grad(), seeded(seed, "scored"):  # the same noise each time
                    score = self.loss(u[scored], labels[scored]).mean().item()
                if score < best:
                    best, kept = score, {n: t.clone() for n, t in self.state_dict().items()}
        self.load_state_dict(kept)
