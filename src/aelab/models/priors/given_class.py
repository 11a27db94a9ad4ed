"""The prior of a model that is told the class of each input."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from aelab.data.batch import Batch
from aelab.data.dataset import TrainingData
from aelab.machine import permutation_at
from aelab.models.priors.contract import Codes, Labels, PerCode, Prior

MOST_LABELS = 20_000
"""Training inputs that the classes' shares are counted among, at most."""

CHUNK = 500

Latent = Float[Tensor, "batch latent"]


class GivenClass(Prior):
    """Codes ``z = (u, e_c)``: latent numbers u, and the class c as numbers of which one is 1.

    ``p(z) = w_c p(u | c)``: w_c is the share of class c among the training inputs, and p(u | c)
    the density that `latent` has for it; of a `latent` that knows no classes, ``p(u)``.

    Args:
        latent: The prior of the latent numbers.
        class_names: Of the classes, in the order of their numbers.
        shares: Of each class; equal ones until training inputs have been counted.

    >>> from aelab.models.priors.normal import Normal
    >>> prior = GivenClass(Normal(2), ("boot", "bag"))
    >>> prior.sample_class(3, label=1)[:, 2:].tolist()
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """

    trained_with_model: ClassVar[bool] = True

    shares: Float[Tensor, " classes"]

    def __init__(
        self,
        latent: Prior,
        class_names: tuple[str, ...],
        shares: Float[Tensor, " classes"] | None = None,
    ) -> None:
        super().__init__(latent.code_size + len(class_names))
        self.latent, self.class_names = latent, class_names
        equal = torch.full((len(class_names),), 1 / len(class_names))
        self.register_buffer("shares", equal if shares is None else shares.clone())
        self.told = latent.told

    @property
    def classes(self) -> int:
        """As many as have names."""
        return len(self.class_names)

    def log_prob(self, z: Codes) -> PerCode:
        """As in the class's docstring."""
        u, labels = self.split(z)
        log_density = self.latent.log_prob(u)
        if self.latent.classes:
            of_each = self.latent.log_prob_of_classes(u)
            log_density = of_each.gather(1, labels[:, None])[:, 0]
        return log_density + self.shares.log()[labels]

    def sample_codes(self, n: int, temperature: float = 1.0) -> Codes:
        """Classes by their shares, then latent numbers given each."""
        return self.codes(self.shares.multinomial(n, replacement=True), temperature)

    def sample_class(self, n: int, label: int, temperature: float = 1.0) -> Codes:
        """Latent numbers given that class."""
        return self.codes(torch.full((n,), label, device=self.shares.device), temperature)

    def codes(self, labels: Labels, temperature: float) -> Codes:
        """One code of each label's class."""
        n = len(labels)
        if not self.latent.classes:
            u = self.latent.sample_codes(n, temperature)
        else:
            u = self.shares.new_empty(n, self.latent.code_size)
            for label in labels.unique().tolist():
                members = labels == label
                u[members] = self.latent.sample_class(int(members.sum()), label, temperature)
        return torch.cat([u, one_hot(labels, self.classes).to(u)], 1)

    def initialise(self, data: TrainingData) -> None:
        """Count the classes of (at most 20,000) training inputs; start the latent numbers' own."""
        chosen = permutation_at(len(data), 0, "classes")[:MOST_LABELS]
        labels = [Batch.of(data.batch(i)).labels for i in chosen.split(CHUNK)]
        known = torch.cat([some for some in labels if some is not None])
        self.shares.copy_(known.bincount(minlength=self.classes) / len(known))
        self.latent.initialise(data)

    def fit(self, codes: Codes, labels: Labels | None = None, *, seed: int = 0) -> None:
        """Fit the latent numbers' prior, class by class; the classes are in the codes."""
        u, of_each = self.split(codes)
        self.latent.fit(u, of_each, seed=seed)

    def tensors(self) -> dict[str, Tensor]:
        """Those of the latent numbers' prior: the classes' shares are the model's."""
        return self.latent.tensors()

    def split(self, z: Codes) -> tuple[Latent, Labels]:
        """The latent numbers, and the class of each."""
        size = self.latent.code_size
        return z[:, :size], z[:, size:].argmax(1)
