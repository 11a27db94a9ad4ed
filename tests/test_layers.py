"""Layers of aelab's own against PyTorch's, and what noise does to an input."""

import pytest
import torch
from torch import nn

from aelab.data.specs import InputSpec
from aelab.evaluate.reconstruction import operations
from aelab.machine import seeded
from aelab.models.layers import corrupt
from aelab.models.networks.convolutional import UpConvolution
from aelab.models.networks.dense import DenseNetwork
from aelab.models.zoo import build


@pytest.mark.parametrize("odd", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_an_up_convolution_is_a_transposed_convolution(odd: tuple[int, int]) -> None:
    layer = UpConvolution(5, 1, odd).double()
    x = torch.rand(3, 5, 6, 7, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(3, 1, 12 + odd[0], 14 + odd[1], dtype=torch.float64)
    results = []
    for forward in (layer.forward, lambda x: nn.ConvTranspose2d.forward(layer, x)):
        y = forward(x)
        results.append((y, *torch.autograd.grad((y * weights).sum(), (x, *layer.parameters()))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_up_convolution_counts_as_many_operations() -> None:
    layer = UpConvolution(5, 1, (0, 0))
    x = torch.rand(1, 5, 6, 7)
    assert operations(lambda: layer(x)) == 2 * x.numel() * 16
    assert operations(lambda: nn.ConvTranspose2d.forward(layer, x)) == 2 * x.numel() * 16


# Corruption, of inputs from 0 to 4


def corrupted(kind: str, level: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs from 1 to 3, far from both ends, and a noisy copy."""
    x = 1 + 2 * torch.rand(20, 2, 50, 50, generator=torch.Generator().manual_seed(0))
    with seeded(0):
        return x, corrupt(x, kind, level, 4.0)


@pytest.mark.parametrize("level", [0.1, 0.5])
def test_half_is_salt_and_half_is_pepper(level: float) -> None:
    x, noisy = corrupted("salt-and-pepper", level)
    pepper, salt = noisy == 0, noisy == 4
    assert pepper.float().mean().item() == pytest.approx(level / 2, abs=0.005)
    assert salt.float().mean().item() == pytest.approx(level / 2, abs=0.005)
    assert torch.equal(noisy[~(pepper | salt)], x[~(pepper | salt)])


@pytest.mark.parametrize("level", [0.1, 0.5])
def test_a_share_is_masked(level: float) -> None:
    x, noisy = corrupted("masking", level)
    masked = noisy == 0
    assert masked.float().mean().item() == pytest.approx(level, abs=0.005)
    assert torch.equal(noisy[~masked], x[~masked])


def test_gaussian_noise_is_a_share_of_the_range() -> None:
    x, noisy = corrupted("gaussian", 0.05)  # clipped where it is beyond five deviations
    noise = noisy - x
    assert noise.mean().item() == pytest.approx(0, abs=0.005)
    assert noise.std().item() == pytest.approx(0.05 * 4, rel=0.01)
    _, strong = corrupted("gaussian", 2.0)
    assert (strong.min().item(), strong.max().item()) == (0, 4)


# Gated layers


def test_gated_layers_by_hand() -> None:
    with seeded(0):
        network = DenseNetwork(InputSpec((4,)), 2, hidden=(5, 3), activation="gated")
        x, z = torch.randn(6, 4), torch.randn(6, 2)

    def gated(y: torch.Tensor, layer: nn.Module) -> torch.Tensor:
        assert isinstance(layer, nn.Linear)
        (w, v), (b, c) = layer.weight.chunk(2), layer.bias.chunk(2)
        return (y @ w.T + b) * (y @ v.T + c).sigmoid()

    encoder, decoder = network.encoder, network.decoder
    torch.testing.assert_close(network.encode(x), gated(gated(x, encoder[0]), encoder[2]))
    y = gated(gated(z, decoder[0]), decoder[2])
    torch.testing.assert_close(network.decode(z), decoder[4](y))
    assert network.features == 3


def test_a_code_of_activations_over_gated_layers_is_of_silu() -> None:
    model = build("multilayer", InputSpec((4,)), activation="gated", latent_dim=2)
    assert isinstance(model.activate, nn.SiLU)
    assert model.encode(torch.rand(3, 4)).shape == (3, 2)


def test_gated_layers_do_not_start_from_principal_components() -> None:
    with pytest.raises(ValueError, match="positive numbers as they are, not gated; with gated"):
        build("vae", InputSpec((4,)), activation="gated", initialisation="pca")
