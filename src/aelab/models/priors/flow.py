"""A normalising flow as a prior that is trained with its model, `flow`."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from aelab.models.priors.contract import Codes, PerCode, Prior

HIDDEN = (64, 64)

MOST_TRANSFORMS = 64
"""So a stranger's settings cannot ask for hours of building."""


def spline_flow(size: int, *, context: int = 0, transforms: int = 4) -> Any:  # noqa: ANN401
    """A neural spline flow of coupling layers (of autoregressive ones, for fewer than two numbers).

    Outside of [-5, 5] it is the identity.
    """
    import zuko  # takes a moment, and most models have none

    return zuko.flows.NSF(
        size,
        context,
        transforms=transforms,
        hidden_features=HIDDEN,
        passes=2 if size > 1 else None,
        randperm=True,
    )


class Flow(Prior):
    """A neural spline flow, learnt: ``z = f(eps)``, eps ~ N(0, I).

    ``log p(z) = log N(f^-1(z); 0, I) + log |det d f^-1 / d z|`` with coupling layers of monotonic
    splines (Durkan et al. 2019, arXiv 1906.04032; as a VAE's prior: Chen et al. 2017,
    arXiv 1611.02731).

    Args:
        code_size: Numbers in a code.
        flow_transforms: How many coupling layers, at most 64.

    >>> Flow(2).log_prob(torch.zeros(3, 2)).shape
    torch.Size([3])
    """

    trained_with_model: ClassVar[bool] = True
    told = "the normalising flow that it was trained with"

    def __init__(self, code_size: int, *, flow_transforms: int = 4) -> None:
        super().__init__(code_size)
        if not 1 <= flow_transforms <= MOST_TRANSFORMS:
            raise ValueError(
                f"flow_transforms must be from 1 to {MOST_TRANSFORMS}, not {flow_transforms}"
            )
        self.flow = spline_flow(code_size, transforms=flow_transforms)

    def log_prob(self, z: Codes) -> PerCode:
        """As in the class's docstring."""
        found: Tensor = self.flow().log_prob(z)
        return found

    def sample_codes(self, n: int, temperature: float = 1.0) -> Codes:
        """``f(temperature eps)``, eps drawn from the global generator."""
        device = next(self.parameters()).device
        z: Tensor = self.flow().transform.inv(
            temperature * torch.randn(n, self.code_size, device=device)
        )
        return z
