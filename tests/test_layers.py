"""Layers of aelab's own against PyTorch's, and what noise does to an input."""

import pytest
import torch
from torch import nn

from aelab.evaluate.reconstruction import operations
from aelab.machine import seeded
from aelab.models.layers import corrupt
from aelab.models.networks.convolutional import UpConvolution


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
