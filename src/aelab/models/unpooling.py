"""Max-pooling that remembers where its maxima stood, and un-pooling that puts values back there.

As in Zeiler, Taylor & Fergus 2011 (section 3): the places of the maxima are its *switches*.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

FeatureMap = Float[Tensor, "batch features rows columns"]
Pooled = Float[Tensor, "batch features half_rows half_columns"]
Places = Int64[Tensor, "batch features half_rows half_columns"]
Index = Int64[Tensor, "batch places"]
Windows = Float[Tensor, "2 2 batch half_rows half_columns features"]


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


def pool(maps: FeatureMap) -> tuple[Pooled, Switches]:
    """2×2 max-pooling (an odd size loses its last row or column), and where the maxima stood."""
    values, places = F.max_pool2d(maps, 2, return_indices=True)
    return values, Switches(places, (maps.shape[2], maps.shape[3]), maps)


# Below, channels are innermost, as in training: so large maps are not copied to another layout.


def index_of(places: Places) -> Index:
    """Where in an example's maps, channels innermost, places in each channel's map are."""
    channels = places.shape[1]
    channel = torch.arange(channels, device=places.device)
    return (channels * channels_innermost(places) + channel).flatten(1)


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
    """A view."""
    return maps.permute(0, 2, 3, 1)


def windows(maps: FeatureMap) -> Windows:
    """A view of each 2×2 window's four numbers; an odd size loses its last row or column."""
    rows, columns = (n - n % 2 for n in maps.shape[2:])
    even = channels_innermost(maps)[:, :rows, :columns]
    apart: Tensor = even.unflatten(1, (-1, 2)).unflatten(3, (-1, 2))
    return apart.permute(2, 4, 0, 1, 3, 5)


def sum_of_four(x: Windows) -> Float[Tensor, "batch half_rows half_columns features"]:
    """The sum of each window's numbers, in a third of the time that ``x.sum((0, 1))`` takes."""
    return x[0, 0] + x[0, 1] + x[1, 0] + x[1, 1]


class StraightThroughUnpooling(torch.autograd.Function):
    """Un-pooling whose gradient reaches the maps that were pooled, by their switches.

    At place i of a window it puts ``u_i = v h_i``: v the window's value, h_i 1 where the maximum
    stood and else 0. That has no gradient by f, the window's four numbers, so for the gradient
    ``h = softmax(f / t)`` is taken: a straight-through estimator (Bengio, Léonard & Courville 2013,
    arXiv 1308.3432), with a softmax as in Jang, Gu & Poole 2017 (arXiv 1611.01144, section 2.2)::

        dL/df_i = v h_i (g_i - sum_j h_j g_j) / t    with g = dL/du

    The temperature t is the mean of ``max f - f`` over all windows, so f's unit does not matter.
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
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: FeatureMap,
    ) -> tuple[Pooled, None, FeatureMap]:
        """The gradients of values and maps."""
        values, index, maps = ctx.saved_tensors
        # In place wherever it can be: what leaves the processor's cache takes most of the time.
        four = windows(maps).clone(memory_format=torch.contiguous_format)
        four -= four.amax((0, 1))
        temperature = -four.mean()
        sharpness = torch.where(temperature > 0, 1 / temperature, 0)  # flat maps get no gradient
        h = four.mul_(sharpness).exp_()  # of the softmax, but for its denominator
        whole = sum_of_four(h)
        slope = windows(gradient) * h
        slope.addcmul_(h, sum_of_four(slope) / whole, value=-1)
        slope *= channels_innermost(values) * sharpness / whole
        wanted = torch.zeros_like(maps)
        windows(wanted).copy_(slope)
        return take(gradient, index), None, wanted
