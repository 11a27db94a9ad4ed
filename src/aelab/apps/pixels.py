"""Stored values as image files, in the format that an original has."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aelab.files import InputError

MODES = {
    ("uint8", 1): "L",
    ("uint8", 2): "LA",
    ("uint8", 3): "RGB",
    ("uint8", 4): "RGBA",
    ("uint16", 1): "I;16",
    ("float32", 1): "F",
}
"""Pillow's, by type and number of channels; what has none is written by tifffile."""

BEST: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95},
}
"""How formats that may lose something are written."""


def write_image(path: Path, values: NDArray[Any], original: Path) -> None:
    """Write ``values[channels, height, width]`` in the format of `original`, to `path`.

    Raises:
        InputError: the format cannot hold such values.
        OSError: the operating system refuses.
    """
    form = format_of(original)
    mode = MODES.get((str(values.dtype), len(values)))
    try:
        if mode is None:
            write_tiff(path, values, form)
        else:
            rows = values[0] if len(values) == 1 else values.transpose(1, 2, 0)
            picture = Image.frombytes(mode, rows.shape[1::-1], np.ascontiguousarray(rows).tobytes())
            picture.save(path, format=form, **BEST.get(form, {}))
    except OSError as error:
        if error.errno is not None:  # a full disk, for instance; Pillow's own have no number
            raise
        raise InputError(f"{original}: {form} cannot hold this image ({error})") from error


def format_of(path: Path) -> str:
    """Pillow's name of an image file's format: by its suffix, or else by its content."""
    by_suffix = Image.registered_extensions().get(path.suffix.lower())
    if by_suffix in Image.SAVE:
        return by_suffix
    with Image.open(path) as picture:
        return "JPEG" if picture.format == "MPO" else str(picture.format)


def write_tiff(path: Path, values: NDArray[Any], form: str) -> None:
    """Write what Pillow has no mode for: colours of 16 bits, more than four channels."""
    if form != "TIFF":
        raise OSError(f"{len(values)} channels of {values.dtype}")
    import tifffile

    kind = "rgb" if len(values) == 3 else "minisblack"
    rows = np.ascontiguousarray(values.transpose(1, 2, 0))
    tifffile.imwrite(path, rows, photometric=kind, planarconfig="contig")
