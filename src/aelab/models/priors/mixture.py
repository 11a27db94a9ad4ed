"""A mixture of Gaussians as a prior that is trained with its model, `mixture`."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from aelab.models.layers import positive
from aelab.models.losses import log_normal
from aelab.models.priors.contract import Codes, PerCode, Prior


class Mixture(Prior):
    """A mixture of Gaussians, learnt: ``p(z) = sum_k w_k N(z; mu_k, diag(sigma_k^2))``.

    The components' means start at random points of N(0, I), each as wide as that (Dilokthanakul
    et al. 2016, arXiv 1611.02648, without its second level; Tomczak & Welling 2018,
    arXiv 1705.07120, section 2).

    Args:
        code_size: Numbers in a code.
        prior_components: How many Gaussians.

    >>> Mixture(2).log_prob(torch.zeros(3, 2)).shape
    torch.Size([3])
    """

    trained_with_model: ClassVar[bool] = True
    told = "the mixture of Gaussians that it was trained with"

    def __init__(self, code_size: int, *, prior_components: int = 50) -> None:
        super().__init__(code_size)
        positive("prior_components", prior_components)
        self.logits = nn.Parameter(torch.zeros(prior_components))
        self.means = nn.Parameter(torch.randn(prior_components, code_size))
        self.log_vars = nn.Parameter(torch.zeros(prior_components, code_size))

    def log_prob(self, z: Codes) -> PerCode:
        """As in the class's docstring."""
        of_each = log_normal(z[:, None], self.means, self.log_vars)
        log_density: Tensor = (self.logits.log_softmax(0) + of_each).logsumexp(1)
        return log_density

    def sample_codes(self, n: int, temperature: float = 1.0) -> Codes:
        """`n` codes from the global generator; the temperature 0 gives the means."""
        component = self.logits.softmax(0).multinomial(n, replacement=True)
        deviation = (self.log_vars[component] / 2).exp()
        return self.means[component] + temperature * deviation * torch.randn_like(deviation)
