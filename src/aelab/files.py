"""Files that are whole or absent, and the errors that users see.

Every file is written beside its place and renamed into it, so a reader, or a run that was killed,
never meets half of one. What cannot be written or read is told in one line that names the path.
"""

import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

JSON_LIMIT = 64 * 2**20

MOST_SHOWN = 2000
"""Characters of an error's line."""

JOINT = ": "
"""Between the keys of a path to a number."""


TEMPORARY = re.compile(r"\.[0-9a-f]{16}(\.\w+)?")
"""Names of files that are being written."""


class AelabError(Exception):
    r"""A mistake the user can mend; the command line shows its one line and exits with 2.

    Whatever a name or a file's content puts into it, its text is one plain line.

    >>> print(AelabError("the row 'a\nb\x1b[2J' is unknown"))
    the row 'a\nb\x1b[2J' is unknown
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    r"""Text without what ends a line or steers a terminal; of a very long one the two ends.

    >>> one_line("a\nb"), one_line("é" * 5000)[999:1002]
    ('a\\nb', 'é…é')
    """
    if len(text) > MOST_SHOWN:
        text = f"{text[: MOST_SHOWN // 2]}…{text[-MOST_SHOWN // 2 :]}"
    plain = (c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return "".join(plain)


class InputError(AelabError, ValueError):
    """A value, or a file's content, that cannot be used.

    >>> read_json("/")
    Traceback (most recent call last):
    aelab.files.InputError: cannot read /: Is a directory
    """


class WriteError(InputError):
    """A file that cannot be written: the disk or its owner is to blame, and no setting.

    >>> write_text("/proc/nowhere", "text")
    Traceback (most recent call last):
    aelab.files.WriteError: cannot write /proc/nowhere: No such file or directory
    """


class MissingFileError(AelabError, FileNotFoundError):
    """A file that is not where it was looked for.

    >>> read_json("/nowhere")
    Traceback (most recent call last):
    aelab.files.MissingFileError: /nowhere does not exist; check the path
    """


NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "can't start new thread")
"""What PyTorch's and Python's errors say where memory is short."""


@contextmanager
def told_memory(advice: str) -> Iterator[None]:
    """Raise an AelabError of one line, with this advice, where the memory does not suffice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = str(error).strip()
        if not isinstance(error, MemoryError) and not any(words in said for words in NO_MEMORY):
            raise
        asked = re.search(r"allocate ([\d.]+ ?\w+)", said)
        amount = f" (it was to give {asked[1]} more)" if asked else ""
        raise AelabError(f"the memory does not suffice{amount}: {advice}") from error


def told_os_error(error: OSError) -> str:
    """What the operating system refused, in one line.

    >>> told_os_error(FileNotFoundError(2, "No such file or directory", "x.npy"))
    'cannot use x.npy: No such file or directory'
    """
    what = f"cannot use {error.filename}" if error.filename else "cannot read or write"
    return f"{what}: {error.strerror or error}"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, of the same suffix, to write one file to.

    The file is renamed to `path` when the body ends, and removed when it fails or is interrupted;
    what stood at `path` is untouched until then. Folders above `path` are made.

    Raises:
        WriteError: the operating system refuses, for instance because the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # or a power cut could leave the new name with no content
        temporary.replace(path)
    except AelabError:
        raise
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # where the folder could not be made, there is nothing to remove
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside `path` to write many files to.

    It is renamed to `path` when the body ends, and removed when it fails or is interrupted.

    Raises:
        InputError: `path` holds something already, or the operating system refuses.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise InputError(f"{path} is there already; name a new folder")
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(path)
    except AelabError as error:  # it may name a file in the temporary folder
        raise InputError(str(error).replace(str(temporary), str(path))) from error
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_temporaries(folder: Path) -> None:
    """Remove what processes that were killed in the middle of a write left, here and further in.

    Only for a folder that nobody else writes in.
    """
    for path in folder.rglob(".*"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, with the line ends it has."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: str | Path, value: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    """Write `value` as JSON: two spaces of indent, keys in their order, a newline at the end.

    Raises:
        ValueError: `value` holds a NaN or an infinity, which JSON has not.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_picture(path: str | Path, picture: "Image") -> Path:
    """Write a picture of Pillow's as PNG; the path.

    Raises:
        InputError: `path` cannot be written.
    """
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")
    return Path(path)


def not_finite(value: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number in `value` that is not finite, with its path.

    >>> list(not_finite({"mse": 1.0, "by_class": {"cats": math.inf}, "worst": [0.0, -math.inf]}))
    [('by_class: cats', inf), ('worst: 1', -inf)]
    """
    if isinstance(value, float) and not math.isfinite(value):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from not_finite(item, f"{path}{JOINT}{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from not_finite(item, f"{path}{JOINT}{number}")


def read_json(path: str | Path, limit: int = JSON_LIMIT) -> Any:  # noqa: ANN401
    """Read the value in a JSON file of at most `limit` bytes.

    Raises:
        MissingFileError: there is no such file.
        InputError: it cannot be read, is too large, or is not JSON.
    """
    try:
        with Path(path).open("rb") as file:  # which takes memory for as much as it is asked for
            content = file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)
    except OSError as error:
        _refuse(path, error)
    if len(content) > limit:
        raise InputError(f"{path} is larger than {limit:,} bytes: not a JSON file of aelab's")
    try:
        return json.loads(
            content.decode("utf-8"), parse_constant=_no_constant, parse_int=_whole_number
        )
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged or not JSON ({error}); restore it, or delete it and write it anew"
        ) from error


def write_tensors(
    path: str | Path,
    tensors: Mapping[str, "torch.Tensor"],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `tensors` as safetensors; the same tensors and metadata give the same bytes."""
    from safetensors.torch import save

    # safetensors orders metadata at random; as one entry, the bytes are always the same.
    entry = {"aelab": json.dumps(metadata, sort_keys=True)} if metadata else None
    content = save({name: t.detach().contiguous() for name, t in tensors.items()}, entry)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def user_cache(*parts: str) -> Path:
    """A place in the user's cache, which may be deleted at any time."""
    import pooch

    return Path(pooch.os_cache("aelab"), *parts)


def read_tensors(path: str | Path) -> dict[str, "torch.Tensor"]:
    """Read the tensors of a safetensors file, by name.

    Raises:
        MissingFileError: there is no such file.
        InputError: it cannot be read, or is damaged or of another kind.
    """
    from safetensors.torch import load_file

    with _safetensors_errors(path):
        return load_file(path)


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read what `write_tensors` was given beside the tensors; empty if nothing."""
    from safetensors import safe_open

    with _safetensors_errors(path), safe_open(path, "pt") as file:
        return dict(json.loads((file.metadata() or {}).get("aelab", "{}")))


@contextmanager
def _safetensors_errors(path: str | Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        with Path(path).open("rb"):  # its errors say more than safetensors'
            yield
    except OSError as error:
        _refuse(path, error)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged or not safetensors ({error}); restore it, or train the model again"
        ) from error


def _refuse(path: str | Path, error: OSError) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise MissingFileError(f"{path} does not exist; check the path") from error
    raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _whole_number(text: str) -> int:
    """A number that a float can be near to: one of hundreds of digits is none of aelab's."""
    if math.isinf(float(text)):
        raise ValueError(f"a whole number of {len(text):,} digits")
    return int(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
