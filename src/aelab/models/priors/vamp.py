"""The variational mixture of posteriors, `vamp`."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from aelab.data.dataset import TrainingData
from aelab.machine import permutation_at
from aelab.models.layers import positive
from aelab.models.priors.contract import Codes, PerCode, Prior


class Vamp(Prior):
    """The VampPrior: the mean of the model's own posteriors at K inputs u_k that are learnt.

    ``p(z) = 1/K sum_k q(z | u_k)`` (Tomczak & Welling 2018, arXiv 1705.07120, eq. 9). The
    pseudo-inputs start at training inputs, and are kept in the inputs' range.

    Args:
        code_size: Numbers in a code.
        pseudo_inputs: How many inputs are learnt.

    >>> from aelab.data.specs import InputSpec
    >>> from aelab.models.zoo import build
    >>> model = build("vae", InputSpec((6,)), prior="vamp", latent_dim=2, pseudo_inputs=5)
    >>> model.prior.sample_codes(3).shape
    torch.Size([3, 2])
    """

    trained_with_model: ClassVar[bool] = True
    of_posteriors: ClassVar[bool] = True
    told = "the mixture of posteriors that it was trained with"

    def __init__(self, code_size: int, *, pseudo_inputs: int = 200) -> None:
        super().__init__(code_size)
        positive("pseudo_inputs", pseudo_inputs)
        self.components = pseudo_inputs

    def follow(self, posterior: Callable[[Any], Any], shape: tuple[int, ...], peak: float) -> None:
        """Have pseudo-inputs of that shape, and ask that posterior of them."""
        self.posterior_of, self.peak = posterior, peak
        self.pseudo_inputs = nn.Parameter(torch.rand(self.components, *shape))

    def initialise(self, data: TrainingData) -> None:
        """Start at training inputs; with noise, where there are fewer than pseudo-inputs."""
        chosen = permutation_at(len(data), 0, "pseudo-inputs").repeat(
            math.ceil(self.components / len(data))
        )[: self.components]
        x = data.batch(chosen)
        with torch.no_grad():
            self.pseudo_inputs.copy_(x + 0.01 * torch.randn(x.shape, device=x.device))

    def inputs(self) -> Tensor:
        """The pseudo-inputs, in the range of inputs."""
        bounds = (-math.inf, math.inf) if math.isinf(self.peak) else (0.0, self.peak)
        return self.pseudo_inputs.clamp(*bounds)

    def log_prob(self, z: Codes) -> PerCode:
        """As in the class's docstring."""
        of_each = self.posterior_of(self.inputs()).log_prob_of_each(z)
        log_density: Tensor = of_each.logsumexp(1) - math.log(self.components)
        return log_density

    def sample_codes(self, n: int, temperature: float = 1.0) -> Codes:
        """`n` codes of posteriors chosen at random; the temperature 0 gives their means."""
        chosen = torch.randint(self.components, (n,))
        posterior = self.posterior_of(self.inputs()[chosen])
        noise = torch.randn(n, posterior.noise_size, device=self.pseudo_inputs.device)
        z: Codes = posterior.sample(temperature * noise)
        return z
