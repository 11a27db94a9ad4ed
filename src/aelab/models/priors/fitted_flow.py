"""A normalising flow fitted to the codes of a trained model, `fitted-flow`."""

from collections.abc import Mapping

import torch
from torch import Tensor

from aelab.models.priors.contract import Labels, PerCode
from aelab.models.priors.fitted import Coordinates, LearntDensity, PerClass, one_hot
from aelab.models.priors.flow import spline_flow


class FittedFlow(LearntDensity):
    """A neural spline flow over the principal coordinates of a model's codes, given the class.

    ``u = f_c(eps)``, eps ~ N(0, I): coupling layers of monotonic splines (Durkan et al. 2019,
    arXiv 1906.04032), trained on the likelihood of the codes.

    Args:
        code_size: Numbers in a code.

    >>> FittedFlow(2).sample_codes(3).shape
    torch.Size([3, 2])
    """

    def __init__(self, code_size: int) -> None:
        super().__init__(code_size)
        self.told = "a normalising flow fitted to the codes of training inputs"
        self.build(len(self.basis), 1, {})

    def build(self, dimensions: int, classes: int, tensors: Mapping[str, Tensor]) -> None:
        """The flow's networks."""
        self.flow = spline_flow(dimensions, context=classes if classes > 1 else 0)

    def loss(self, u: Coordinates, labels: Labels) -> PerCode:
        """``-log p(u | c)``."""
        found: Tensor = -self.flow(self._context(labels)).log_prob(u)
        return found

    def log_density(self, u: Coordinates) -> PerClass:
        """``log N(f_c^-1(u); 0, I) + log |det d f_c^-1 / d u|`` for each class c."""
        labels = range(len(self.shares))
        return torch.stack([-self.loss(u, torch.full((len(u),), c)) for c in labels], 1)

    def draw(self, labels: Labels, temperature: float) -> Coordinates:
        """``f_c(temperature eps)``."""
        eps = temperature * torch.randn(len(labels), len(self.basis))
        with torch.no_grad():
            u: Tensor = self.flow(self._context(labels)).transform.inv(eps)
        return u

    def _context(self, labels: Labels) -> Tensor | None:
        return one_hot(labels, len(self.shares)) if self.classes else None
