"""One image file: what it holds, told by its head, and its values, nothing rescaled on the way."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF", "TGA")
"""What is read. Not PostScript, which is a program."""

PIXEL_LIMIT = 2**26
"""Pixels of an image; a small file may claim more than memory holds."""

MOST_CHANNELS = 1024

VOLUME_AXES = 4
"""Channels, depth, height, width."""

KEPT = ("L", "LA", "RGB", "RGBA", "I;16", "F")
CONVERTED = {
    "1": "L",
    "La": "LA",
    "PA": "RGBA",
    "RGBa": "RGBA",
    **dict.fromkeys(("RGBX", "CMYK", "YCbCr", "LAB", "HSV"), "RGB"),
    **dict.fromkeys(("I;16B", "I;16L"), "I;16"),
}
"""Pillow's modes that are read as another, which has a value of its own for each of theirs."""

DTYPES = {"I;16": "uint16", "F": "float32"}
GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as in JPEG


class UnreadableError(Exception):
    """An image file that cannot be used; its text says why in a few words.

    >>> refuse_frames(3)
    Traceback (most recent call last):
    aelab.data.image_files.UnreadableError: has 3 frames or pages: split it, or train with --volume
    """


@dataclass(frozen=True)
class Kind:
    """What all images of a data set have in common.

    >>> print(Kind((3, 32, 48), "uint8"))
    32×48, 3 channels, uint8
    """

    shape: tuple[int, ...]
    """Channels, height, width; of a volume, channels, depth, height, width."""

    dtype: str

    def __str__(self) -> str:
        channels, *positions = self.shape
        plural = "s" if channels > 1 else ""
        sides = "×".join(map(str, positions))
        return f"{sides}, {channels} channel{plural}, {self.dtype}"


@dataclass(frozen=True)
class Wanted:
    """What is done with every image that is read.

    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile(suffix=".png") as file:
    ...     Image.new("RGB", (96, 64)).save(file)
    ...     kind_of(Path(file.name), Wanted(size=(32, 48), grayscale=True))
    Kind(shape=(1, 32, 48), dtype='uint8')
    """

    size: tuple[int, int] | None = None
    """Height and width that it is resized to."""

    grayscale: bool = False

    stacked: bool = field(default=False, repr=False)  # not in the cache's key of what is older
    """The pages of a file are the layers of a volume."""


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's warnings are left out: our own limit holds, and an unreadable image is told."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        yield


@contextmanager
def unlogged(name: str) -> Iterator[None]:
    """A logger's messages reach standard error only if the program asked for them.

    Our own one line says what is wrong with an image.
    """
    logger, nowhere = logging.getLogger(name), logging.NullHandler()
    logger.addHandler(nowhere)
    try:
        yield
    finally:
        logger.removeHandler(nowhere)


def kind_of(path: Path, wanted: Wanted) -> Kind | str:
    """What the image will be when it is read, without decoding it; or why it cannot be."""
    try:
        with opened(path, stacked=wanted.stacked) as source:
            kind = source.kind()
    except Exception as error:  # whatever a decoder raises on what is no image
        return reason(error)
    if wanted.stacked:
        return kind
    channels, height, width = kind.shape
    if wanted.grayscale and channels > 4:
        return f"has {channels} channels, and no grey version"
    channels = 1 if wanted.grayscale else channels
    return Kind((channels, *(wanted.size or (height, width))), kind.dtype)


def read(path: Path, wanted: Wanted) -> NDArray[Any] | str:
    """The image's values, ``[channels, height, width]``, upright; or why they cannot be read."""
    try:
        with opened(path, stacked=wanted.stacked) as source:
            values = source.values()
    except Exception as error:  # as above
        return reason(error)
    if wanted.grayscale:
        values = grey(values)
    return values if wanted.size in (None, values.shape[1:]) else resize(values, wanted.size)


def reason(error: Exception) -> str:
    """Why an image cannot be read, in a few words."""
    if isinstance(error, UnreadableError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"has more than {PIXEL_LIMIT:,} pixels"
    if isinstance(error, UnidentifiedImageError):
        return "is no image, or of no kind that is read"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    return f"is damaged: {text}"


class Source:
    """An image that Pillow reads without loss.

    >>> Source(Image.new("CMYK", (48, 32))).kind()
    Kind(shape=(3, 32, 48), dtype='uint8')
    """

    def __init__(self, picture: Image.Image) -> None:
        self.picture = picture

    @property
    def mode(self) -> str:
        """What it is read as."""
        mode = self.picture.mode
        if mode == "P":
            return "RGBA" if "transparency" in self.picture.info else "RGB"
        mode = CONVERTED.get(mode, mode)
        if mode not in KEPT:
            raise UnreadableError(f"is of Pillow's mode {mode}, which is not read")
        return mode

    def kind(self) -> Kind:
        """Shape and type of `values`."""
        width, height = self.picture.size
        if self.picture.getexif().get(0x0112, 1) >= 5:  # the orientations on their side
            width, height = height, width
        mode = self.mode
        channels = len(Image.new(mode, (1, 1)).getbands())
        return Kind((channels, height, width), DTYPES.get(mode, "uint8"))

    def values(self) -> NDArray[Any]:
        """Decode it, and turn it upright."""
        mode = self.mode
        picture = ImageOps.exif_transpose(self.picture)
        values = np.asarray(picture if picture.mode == mode else picture.convert(mode))
        values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
        return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))


class TiffSource:
    """A TIFF that Pillow does not read, or not whole: 16-bit colours, more than four channels.

    >>> from types import SimpleNamespace
    >>> TiffSource(SimpleNamespace(axes="YXS", shape=(32, 48, 3), dtype="uint16")).kind()
    Kind(shape=(3, 32, 48), dtype='uint16')
    """

    def __init__(self, page: Any) -> None:  # noqa: ANN401 - tifffile's
        self.page = page

    def kind(self) -> Kind:
        """Shape and type of `values`."""
        axes, shape = self.page.axes, self.page.shape
        sizes = dict(zip(axes, shape, strict=True))
        if set(axes) - set("YXS"):
            raise UnreadableError(f"has the axes {axes}; only height, width, channels are read")
        channels = sizes.get("S", 1)
        dtype = str(np.dtype(self.page.dtype).newbyteorder("="))
        if dtype not in ("uint8", "uint16", "float32"):
            raise UnreadableError(f"holds {dtype}; uint8, uint16 and float32 are read")
        if sizes["Y"] * sizes["X"] > PIXEL_LIMIT or channels > MOST_CHANNELS:
            raise UnreadableError(f"has more than {PIXEL_LIMIT:,} pixels")
        return Kind((channels, sizes["Y"], sizes["X"]), dtype)

    def values(self) -> NDArray[Any]:
        """Decode it."""
        kind = self.kind()
        values = self.page.asarray()
        values = values[None] if values.ndim == 2 else values
        if self.page.axes == "YXS":
            values = values.transpose(2, 0, 1)
        return np.ascontiguousarray(values, dtype=kind.dtype)


class StackSource:
    """A TIFF whose pages are the layers of a volume with one channel.

    >>> from types import SimpleNamespace
    >>> page = SimpleNamespace(axes="YX", shape=(32, 48), dtype="uint16")
    >>> StackSource([page] * 9).kind()
    Kind(shape=(1, 9, 32, 48), dtype='uint16')
    """

    def __init__(self, pages: Any) -> None:  # noqa: ANN401 - tifffile's
        self.layers = [TiffSource(page) for page in pages]

    def kind(self) -> Kind:
        """Shape and type of `values`."""
        kinds = {layer.kind() for layer in self.layers}
        if len(self.layers) < 2 or len(kinds) > 1:
            raise UnreadableError("is no volume: it has one page, or pages of several kinds")
        channels, height, width = (kind := kinds.pop()).shape
        if channels > 1:
            raise UnreadableError(f"has {channels} channels; volumes of one are read")
        if len(self.layers) * height * width > PIXEL_LIMIT:
            raise UnreadableError(f"has more than {PIXEL_LIMIT:,} values")
        return Kind((1, len(self.layers), height, width), kind.dtype)

    def values(self) -> NDArray[Any]:
        """Decode it."""
        self.kind()
        return np.concatenate([layer.values() for layer in self.layers])[None]


@contextmanager
def opened(path: Path, *, stacked: bool = False) -> "Iterator[Source | TiffSource | StackSource]":
    """An image file, by what can read all of it; or an UnreadableError."""
    if stacked:
        with tiff_pages(path) as pages:
            yield StackSource(pages)
        return
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > PIXEL_LIMIT:
                raise UnreadableError(f"has more than {PIXEL_LIMIT:,} pixels")
            # A phone's MPO is one photograph, with others of the same beside it.
            refuse_frames(1 if picture.format == "MPO" else getattr(picture, "n_frames", 1))
            if not loses_depth(picture):
                yield Source(picture)
                return
            if picture.format != "TIFF":
                raise UnreadableError(
                    "has 16 bits a channel in colour, of which 8 would be lost: save it as TIFF"
                )
    except UnidentifiedImageError:
        with path.open("rb") as file:
            if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                raise
    with tiff_pages(path) as pages:
        refuse_frames(len(pages))
        yield TiffSource(pages[0])


@contextmanager
def tiff_pages(path: Path) -> Iterator[Any]:
    """The pages of a TIFF."""
    import tifffile

    with unlogged("tifffile"), tifffile.TiffFile(path) as tiff:
        yield tiff.pages


def refuse_frames(count: int) -> None:
    """Raise UnreadableError of more than one frame or page."""
    if count > 1:
        raise UnreadableError(f"has {count} frames or pages: split it, or train with --volume")


def loses_depth(picture: ImageFile.ImageFile) -> bool:
    """Whether Pillow keeps only 8 of an image's 16 bits a channel."""
    deep = any(";16" in str(tile.args) for tile in picture.tile)
    return deep and not picture.mode.startswith("I;16")


def grey(values: NDArray[Any]) -> NDArray[Any]:
    """The luminance of colours, rounded where values are integers; an alpha channel is left out."""
    if len(values) < 3:
        return values[:1]
    luminance = np.tensordot(GREY, values[:3].astype(np.float64), 1)[None]
    whole = np.issubdtype(values.dtype, np.integer)
    return (luminance.round() if whole else luminance).astype(values.dtype)


def resize(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Each channel brought to `size` by a triangle filter, which averages where it shrinks."""
    channels = (Image.fromarray(channel.astype(np.float32)) for channel in values)
    triangle = Image.Resampling.BILINEAR
    resized = np.stack([np.asarray(channel.resize(size[::-1], triangle)) for channel in channels])
    whole = np.issubdtype(values.dtype, np.integer)
    return (resized.round() if whole else resized).astype(values.dtype)
