"""Compressed text: read into memory as far as a file of its size can be expected to go."""

import gzip
import zlib
from io import BufferedReader, BytesIO
from pathlib import Path

from aelab.files import InputError, MissingFileError

# A list of edges shrinks to a third or a tenth. What grows a hundredfold is no such list, and
# would fill the memory from a file that looks harmless.
MOST_GROWTH, ALWAYS_ALLOWED, MOST_BYTES = 100, 2**26, 2**31


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed, by its suffix."""
    return path.suffix.lower() == ".gz"


def inner_suffix(path: Path) -> str:
    """What a file is, by its suffix; of a compressed one by the suffix before .gz.

    >>> inner_suffix(Path("a.MTX")), inner_suffix(Path("a.csv.gz"))
    ('.mtx', '.csv')
    """
    return (Path(path.stem) if is_compressed(path) else path).suffix.lower()


def opened(path: Path) -> BytesIO | BufferedReader:
    """A file to read bytes from; a compressed one is decompressed into memory.

    Raises:
        InputError: it is damaged, or grows beyond the limit.
        FileNotFoundError: there is no such file.
    """
    return BytesIO(decompressed(path)) if is_compressed(path) else path.open("rb")


def decompressed(path: Path) -> bytes:
    """The content of a ``.gz`` file; raises as `opened`."""
    size = path.stat().st_size
    limit = min(MOST_BYTES, max(ALWAYS_ALLOWED, MOST_GROWTH * size))
    try:
        with gzip.open(path) as file:
            content = file.read(limit + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged or not compressed by gzip ({error})") from error
    if len(content) > limit:
        raise InputError(
            f"{path} has {size:,} bytes and decompresses to more than {limit:,}, where reading "
            f"stopped; if that is right, decompress it yourself (gunzip) and give that file"
        )
    return content


def text_source(path: Path) -> Path | BytesIO:
    """What PyArrow reads text from: it would decompress without a limit."""
    try:
        return BytesIO(decompressed(path)) if is_compressed(path) else path
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist; check the path") from error
