"""Which axes of an array are the channels' and which are positions."""

from collections.abc import Sequence
from typing import Literal, NoReturn

from jaxtyping import Shaped
from torch import Tensor

from aelab.files import InputError
from aelab.settings import DataSettings

Axes = Literal["as they are", "no channel", "channels last"]
"""How an array lays out inputs of the shape (channels, positions …), or rows of features."""

Asked = Literal["images", "signals", "volumes"]
"""What an array holds, if not rows of features; images are what is meant unless somebody asks."""

MOST_COLOURS = 4
"""So many channels or fewer an image has that anybody would know for one."""


def asked_for(settings: DataSettings) -> Asked:
    """What an array holds, as the settings say.

    Raises:
        InputError: they say two things.
    """
    if settings.signal and settings.volume:
        raise InputError("an array holds either signals or volumes: leave signal or volume out")
    return "signals" if settings.signal else "volumes" if settings.volume else "images"


def fitting_axes(shape: tuple[int, ...], like: tuple[int, ...]) -> Axes | None:
    """How inputs of a shape have to be read to be of the shape `like`; nothing if they cannot be.

    >>> fitting_axes((28, 28, 3), like=(3, 28, 28)), fitting_axes((140,), like=(1, 140))
    ('channels last', 'no channel')
    """
    if shape == like:
        return "as they are"
    if (1, *shape) == like:
        return "no channel"
    return "channels last" if len(shape) > 1 and (shape[-1], *shape[:-1]) == like else None


def usual_axes(shape: tuple[int, ...], asked: Asked) -> Axes | None:
    """How inputs of a shape are read unless a run says; nothing if they are not `asked` for.

    One axis less than with channels, and there is one channel. A channel's axis is first or last;
    see `channels_last`. Of images, two axes of which one is 1 are a signal: no image has one row.

    >>> usual_axes((28, 28), "images"), usual_axes((1, 140), "images"), usual_axes((5,), "images")
    ('no channel', 'as they are', 'as they are')
    """
    positions = {"signals": 1, "images": 2, "volumes": 3}[asked]
    if asked == "images" and (len(shape) == 1 or is_signal(shape)):
        return "channels last" if len(shape) == 2 and shape[0] != 1 else "as they are"
    if len(shape) == positions:
        return "no channel"
    if len(shape) == positions + 1:
        return "channels last" if channels_last(shape) else "as they are"
    return None


def is_signal(shape: Sequence[int]) -> bool:
    """Whether what might be an image without channels is a signal with one."""
    return len(shape) == 2 and 1 in shape


def channels_last(shape: Sequence[int]) -> bool:
    """Whether inputs of `shape` have their channels innermost.

    Where the positions of an image would be square one way and not the other, that way; otherwise
    the first or the last axis, whichever is shorter; of equals the first.

    >>> channels_last((32, 32, 3)), channels_last((3, 32, 48)), channels_last((9, 9, 200))
    (True, False, True)
    """
    first, *between, last = shape
    if len(between) == 1 and between[0] > 1 and first != last and between[0] in (first, last):
        return between[0] == first
    return last < first


def place(values: Shaped[Tensor, "n *given"], axes: Axes) -> Shaped[Tensor, "n *shape"]:
    """Inputs laid out as `axes` says with their channels first, on the same memory."""
    if axes == "no channel":
        return values[:, None]
    return values.movedim(-1, 1) if axes == "channels last" else values


def told_guess(shape: tuple[int, ...], asked: Asked) -> list[str]:
    """A note on the axes, where they might have been read in another way."""
    written = ", ".join(map(str, shape))
    if asked == "images" and is_signal(shape):
        return [f"an array of the shape [n, {written}] holds signals: no image has one row"]
    sizes = {"signals": 2, "images": 3, "volumes": 4}
    few = [size <= MOST_COLOURS for size in (shape[0], shape[-1])]
    sure = few[0] != few[1] and few[1] == channels_last(shape)
    if len(shape) != sizes[asked] or sure:
        return []
    which = "last" if channels_last(shape) else "first"
    return [
        f"of the axes [n, {written}] the {which} of an input was taken for the channels'; if it "
        f"is another, transpose the array to have the channels before the positions"
    ]


def described_shape(shape: Sequence[int]) -> str:
    """What the inputs of a shape are, for people.

    >>> described_shape((3, 48, 64)), described_shape((30,)), described_shape((1, 140))
    ('images of 48×64 with 3 channels', 'rows of 30 features', 'signals of 140 with 1 channel')
    """
    if len(shape) == 1:
        return f"rows of {shape[0]} features"
    channels, *positions = shape
    what = {1: "signals", 2: "images"}.get(len(positions), "volumes")
    plural = "s" if channels > 1 else ""
    return f"{what} of {'×'.join(map(str, positions))} with {channels} channel{plural}"


def refuse_shape(where: str, shape: Sequence[int], asked: Asked) -> NoReturn:
    """Raise InputError for the shape of an array that holds no such inputs."""
    fitting = {
        "images": "[n, height, width], [n, height, width, channels], [n, channels, height, width] "
        "or [n, features]",
        "signals": "[n, length], [n, channels, length] or [n, length, channels]",
        "volumes": "[n, depth, height, width], or has an axis of channels more",
    }
    inputs = "inputs" if asked == "images" else asked
    hint = "; volumes are read with --volume" if asked == "images" and len(shape) == 5 else ""
    raise InputError(
        f"{where} has the shape {tuple(shape)}; an array of {inputs} has the shape "
        f"{fitting[asked]}{hint}"
    )
