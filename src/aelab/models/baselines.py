"""Baselines that learn nothing of an image: `mean` and `copy`."""

import torch
from jaxtyping import Float
from torch import Tensor

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.contract import Autoencoder, Code, InputBatch, refuse_array
from aelab.models.pca import mean_input
from aelab.models.priors.normal import Normal


class MeanImage(Autoencoder):
    """Answers every input with the mean of the training inputs; its code has no numbers.

    ``x_hat = m``: the least squared error that can be had of nothing. A model above it is broken.

    Args:
        spec: Shape and preparation of the input.

    >>> model = MeanImage(InputSpec((1, 2, 2)))
    >>> model.encode(torch.ones(3, 1, 2, 2)).shape, model.decode(torch.ones(3, 0)).shape
    (torch.Size([3, 0]), torch.Size([3, 1, 2, 2]))
    """

    mean: Float[Tensor, " size"]

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(spec)
        self.register_buffer("mean", torch.zeros(spec.size))
        self.prior = Normal(0)

    @property
    def code_size(self) -> int:
        """0."""
        return 0

    def encode(self, x: InputBatch) -> Code:
        """Codes without numbers."""
        refuse_array(x)
        return x.flatten(1)[:, :0]

    def decode(self, z: Code) -> InputBatch:
        """The mean, as often as there are codes."""
        return self.mean.expand(z.shape[0], -1).reshape(-1, *self.spec.shape)

    def initialise(self, data: TrainingData) -> None:
        """The mean of the training inputs."""
        self.mean.copy_(mean_input(data))


class Copy(Autoencoder):
    """The identity: its code is the input.

    ``z = x``, ``x_hat = z``. Its error is 0, and from a noisy input that of the noise: what a
    model with a code as large as the input can do without having learnt anything.

    Args:
        spec: Shape and preparation of the input.

    >>> Copy(InputSpec((2,)))(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2.]])
    """

    @property
    def code_size(self) -> int:
        """The size of an input."""
        return self.spec.size

    def encode(self, x: InputBatch) -> Code:
        """The input's values."""
        refuse_array(x)
        return x.flatten(1)

    def decode(self, z: Code) -> InputBatch:
        """The code in the shape of an input."""
        return z.reshape(-1, *self.spec.shape)
