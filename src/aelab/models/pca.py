"""Principal component analysis: the closed-form baseline, `pca`."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from aelab.data.dataset import TrainingData
from aelab.data.specs import InputSpec
from aelab.models.contract import Autoencoder, Code, InputBatch, refuse_array
from aelab.models.layers import positive

CHUNK, CHUNK_VALUES = 4096, 2**24
"""InputBatch read at a time, and the values in them, at most."""

EXACT_SIZE = 4096
"""InputBatch up to this size have their whole covariance matrix decomposed."""

FEW = 1 / 3
"""Up to so many inputs for each of their values, they themselves are: that is quicker."""


class PCA(Autoencoder):
    """The linear autoencoder of least squared error (Pearson 1901; Baldi & Hornik 1989).

    ``z = W (x - m)``, ``x_hat = W^T z + m``: m is the mean of the training inputs, and the rows
    of W are the eigenvectors of their covariance matrix with the largest eigenvalues. Found in
    closed form by `initialise`; there is nothing to train, so its recipe has no epochs.

    Args:
        spec: Shape and preparation of the input.
        latent_dim: Numbers in the code; at most the size of an input.

    >>> model = PCA(InputSpec((3,)), latent_dim=2)
    >>> model.encode(torch.tensor([[1.0, 2.0, 3.0]]))  # before it is fitted, the first axes
    tensor([[1., 2.]])
    """

    mean: Float[Tensor, " size"]
    components: Float[Tensor, "latent size"]

    def __init__(self, spec: InputSpec, *, latent_dim: int = 64) -> None:
        super().__init__(spec)
        positive("latent_dim", latent_dim)
        if latent_dim > spec.size:
            raise ValueError(
                f"latent_dim must be at most the size of an input, {spec.size}, not {latent_dim}"
            )
        self.latent_dim = latent_dim
        self.register_buffer("mean", torch.zeros(spec.size))
        self.register_buffer("components", torch.eye(latent_dim, spec.size))

    @property
    def code_size(self) -> int:
        """`latent_dim`."""
        return self.latent_dim

    def encode(self, x: InputBatch) -> Code:
        """Coordinates along the components."""
        refuse_array(x)
        return (x.flatten(1) - self.mean) @ self.components.T

    def decode(self, z: Code) -> InputBatch:
        """The point with those coordinates."""
        return (z @ self.components + self.mean).reshape(-1, *self.spec.shape)

    def initialise(self, data: TrainingData) -> None:
        """Mean and components of the training inputs."""
        mean, components = principal_components(data, self.latent_dim)
        self.mean.copy_(mean)
        self.components.copy_(components)


def principal_components(
    data: TrainingData, n: int
) -> tuple[Float[Tensor, " size"], Float[Tensor, "n size"]]:
    """Mean and first `n` principal components of all inputs, each of length 1, largest first.

    The sign of a component is such that its largest entry is positive. InputBatch are read in
    chunks. Up to 4,096 values an input the covariance matrix is decomposed exactly; beyond, by
    subspace iteration (Halko, Martinsson & Tropp 2011, arXiv 0909.4061, algorithm 4.4).
    """
    mean = mean_input(data)
    chunks = in_chunks(data)
    if len(mean) > EXACT_SIZE:
        basis = subspace_iteration(data, mean, n)
    elif n <= len(data) <= FEW * len(mean):
        centred = torch.cat([data.batch(i).flatten(1) - mean for i in chunks])
        basis = torch.linalg.svd(centred.double(), full_matrices=False).Vh[:n].T
    else:
        scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=mean.device)
        for i in chunks:
            centred = data.batch(i).flatten(1) - mean
            scatter += centred.T @ centred
        basis = torch.linalg.eigh(scatter).eigenvectors[:, -n:].flip(1)
    largest = basis.gather(0, basis.abs().argmax(0, keepdim=True))
    components: Tensor = (basis * largest.sign()).T.float()
    return mean, components


def mean_input(data: TrainingData) -> Float[Tensor, " size"]:
    """The mean of all inputs, flat, read in chunks."""
    chunks = in_chunks(data)
    total = torch.stack([data.batch(i).flatten(1).double().sum(0) for i in chunks]).sum(0)
    return (total / len(data)).float()


def in_chunks(data: TrainingData) -> Sequence[Int64[Tensor, " chunk"]]:
    """The numbers of all inputs, as many together as memory has room for."""
    size = data.batch(torch.arange(1)).numel()
    chunks: Sequence[Tensor] = torch.arange(len(data)).split(
        max(1, min(CHUNK, CHUNK_VALUES // size))
    )
    return chunks


def subspace_iteration(
    data: TrainingData, mean: Float[Tensor, " size"], n: int, rounds: int = 8
) -> Float[Tensor, "size n"]:
    """The leading eigenvectors of the covariance matrix without forming it."""
    generator = torch.Generator().manual_seed(0)
    columns = min(n + 10, len(mean))
    basis = torch.randn(len(mean), columns, generator=generator).to(mean.device)
    leading = basis
    for _ in range(rounds):
        basis = torch.linalg.qr(basis).Q
        product = torch.zeros_like(basis)
        for i in in_chunks(data):
            centred = data.batch(i).flatten(1) - mean
            product += centred.T @ (centred @ basis)
        # Rayleigh-Ritz: within the subspace, the eigenvectors themselves, largest first.
        rotation = torch.linalg.eigh(basis.T @ product).eigenvectors.flip(1)
        leading, basis = basis @ rotation, product
    return leading[:, :n]
