"""Max-pooling that remembers where its maxima stood, and un-pooling that puts values back there.

The places of the maxima are its *switches* (Zeiler, Taylor & Fergus 2011).
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

FeatureMap = Float[Tensor, "batch features rows columns"]
Pooled = Float[Tensor, "batch features half_rows half_columns"]
Places = Int64[Tensor, "batch features half_rows half_columns"]
Index = Int64[Tensor, "batch places"]
Windows = Float[Tensor, "batch 2 2 half_rows half_columns features"]


@dataclass(frozen=True)
class Switches:
    """Where the maxima of 2×2 max-pooling stood."""

    places: Places
    """Index of each window's maximum in its map, counted row by row."""

    size: tuple[int, int]
    """Height and width of the maps."""

    maps: FeatureMap | None = None
    """The maps themselves, if gradients are to reach them by the switches."""

    @classmethod
    def numbered(cls, numbers: Places, size: tuple[int, int]) -> "Switches":
        """Of which of its window's four each is, 0 to 3, row by row."""
        further = torch.tensor([0, 1, size[1], size[1] + 1], device=numbers.device)
        return cls(corners(numbers, size[1]) + further[numbers], size)

    def numbers(self) -> Places:
        """Which of its window's four each is, 0 to 3, row by row."""
        width = self.size[1]
        place = self.places - corners(self.places, width)  # 0 or 1, `width` more in the second row
        return torch.where(place > 1, place - (width - 2), place)

    def unpool(self, values: Pooled) -> FeatureMap:
        """Each value at its place in the maps, 0 elsewhere."""
        index = index_of(self.places)
        if self.maps is None:
            return put(values, index, self.size)
        apply = StraightThroughUnpooling.apply
        maps: FeatureMap = apply(values, index, self.maps)  # type: ignore[no-untyped-call]
        return maps


def corners(windows: Tensor, width: int) -> Int64[Tensor, "half_rows half_columns"]:
    """Index of each window's first place in a map of that width."""
    rows = 2 * torch.arange(windows.shape[2], device=windows.device)[:, None]
    return rows * width + 2 * torch.arange(windows.shape[3], device=windows.device)


def pool(maps: FeatureMap, *, straight_through: bool = False) -> tuple[Pooled, Switches]:
    """2×2 max-pooling (an odd size loses its last row or column), and where the maxima stood.

    If `straight_through`, gradients of what is un-pooled by these switches reach the maps.
    """
    values, places = F.max_pool2d(maps, 2, return_indices=True)
    size = (maps.shape[2], maps.shape[3])
    return values, Switches(places, size, maps if straight_through else None)


# Below, channels are innermost, as in training: so large maps are not copied to another layout.


def index_of(places: Places) -> Index:
    """Where in an example's maps, channels innermost, places in each channel's map are."""
    channels = places.shape[1]
    channel = torch.arange(channels, device=places.device)
    return torch.add(channel, channels_innermost(places), alpha=channels).flatten(1)


def put(values: Pooled, index: Index, size: tuple[int, int]) -> FeatureMap:
    """Each value at its place in maps of that size, 0 elsewhere."""
    n, channels = values.shape[:2]
    flat = channels_innermost(values).flatten(1)
    maps = flat.new_zeros(n, size[0] * size[1] * channels).scatter_(1, index, flat)
    unpooled: Tensor = maps.unflatten(1, (*size, channels)).permute(0, 3, 1, 2)
    return unpooled


def take(maps: FeatureMap, index: Index) -> Pooled:
    """What stands at the places, one in each 2×2 window."""
    channels, height, width = maps.shape[1:]
    flat = channels_innermost(maps).flatten(1).gather(1, index)
    values: Tensor = flat.unflatten(1, (height // 2, width // 2, channels)).permute(0, 3, 1, 2)
    return values


def channels_innermost(maps: Tensor) -> Tensor:
    """A view of the shape (batch, rows, columns, features)."""
    return maps.permute(0, 2, 3, 1)


def windows(maps: FeatureMap) -> Windows:
    """A view of each 2×2 window's four numbers; an odd size loses its last row or column."""
    rows, columns = (n - n % 2 for n in maps.shape[2:])
    even = channels_innermost(maps)[:, :rows, :columns]
    apart: Tensor = even.unflatten(1, (-1, 2)).unflatten(3, (-1, 2))
    return apart.permute(0, 2, 4, 1, 3, 5)


def sum_of_four(x: Windows) -> Float[Tensor, "batch 1 1 half_rows half_columns features"]:
    """The sum of each window's numbers; ``x.sum((1, 2), keepdim=True)`` takes longer."""
    left, right = x[:, :, :1], x[:, :, 1:]
    return left[:, :1] + left[:, 1:] + right[:, :1] + right[:, 1:]


class StraightThroughUnpooling(torch.autograd.Function):
    """Un-pooling whose gradient reaches the maps that were pooled, by their switches.

    A window's value v goes to where its maximum stood, ``u_i = v`` there and else 0. That has no
    gradient by f, the window's four numbers. So going back, ``u = v softmax(f / t)`` is taken::

        dL/df_i = v h_i (g_i - sum_j h_j g_j) / t    with h = softmax(f / t) and g = dL/du

    A biased estimator, called straight-through (Bengio, Léonard & Courville 2013, arXiv 1308.3432;
    with a softmax, Jang, Gu & Poole 2017, arXiv 1611.01144, section 2.2, but without its noise);
    what-where autoencoders have the softmax going forward too (Zhao et al. 2015, arXiv 1506.02351).
    The temperature t, held constant, is the mean of ``max f - f`` over all windows of the batch, so
    that f's unit does not matter.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        values: Pooled,
        index: Index,
        maps: FeatureMap,
    ) -> FeatureMap:
        """As `put`."""
        ctx.save_for_backward(values, index, maps)
        return put(values, index, (maps.shape[2], maps.shape[3]))

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: FeatureMap,
    ) -> tuple[Pooled, None, FeatureMap]:
        """The gradients of values and maps."""
        values, index, maps = ctx.saved_tensors
        # Window by window and in place: most of the time goes into fetching what left the cache.
        four, slope = (
            windows(x).clone(memory_format=torch.contiguous_format) for x in (maps, gradient)
        )
        four -= four.amax((1, 2), keepdim=True)
        temperature = -four.mean()
        flat = temperature < torch.finfo(four.dtype).tiny
        sharpness = torch.where(flat, 0, 1 / temperature)  # so flat maps get no gradient
        e = four.mul_(sharpness).exp_()  # h = e / whole
        whole = sum_of_four(e)
        slope *= e
        slope.addcmul_(e, sum_of_four(slope) / whole, value=-1)
        slope *= channels_innermost(values)[:, None, None] * sharpness / whole
        wanted = torch.zeros_like(maps)
        windows(wanted).copy_(slope)
        return take(gradient, index), None, wanted
