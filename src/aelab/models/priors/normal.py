"""The standard normal prior, `normal`."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.models.priors.contract import Codes, PerCode, Prior


class Normal(Prior):
    """The standard normal distribution N(0, I) (Kingma & Welling 2014, arXiv 1312.6114).

    ``log p(z) = -(K log(2 pi) + |z|^2) / 2`` for codes of K numbers. Nothing is learnt.

    Args:
        code_size: Numbers in a code.

    >>> Normal(2).log_prob(torch.zeros(1, 2))  # -log(2 pi)
    tensor([-1.8379])
    """

    trained_with_model: ClassVar[bool] = True

    origin: Float[Tensor, " code"]

    def __init__(self, code_size: int) -> None:
        super().__init__(code_size)
        # Knows the device that the prior was moved to; there is nothing to keep in a file.
        self.register_buffer("origin", torch.zeros(code_size), persistent=False)
        self.told = "the prior N(0, 1)" if code_size else "nothing: codes have no numbers"

    def log_prob(self, z: Codes) -> PerCode:
        """As in the class's docstring."""
        return -(z.square() + math.log(2 * math.pi)).sum(1) / 2

    def sample_codes(self, n: int, temperature: float = 1.0) -> Codes:
        """`n` codes from N(0, temperature²), drawn from the global generator."""
        return temperature * torch.randn(n, self.code_size, device=self.origin.device)
