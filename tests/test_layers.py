"""Layers of aelab's own, against PyTorch's."""

import pytest
import torch
from torch import nn

from aelab.evaluate.images import operations
from aelab.layers import UpConvolution


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
