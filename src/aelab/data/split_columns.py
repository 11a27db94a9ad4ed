"""What keeps examples together, or puts them in order: a table's column, or an image's path."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute  # type: ignore[import-untyped]
from numpy.typing import NDArray

from aelab.data.splits import ALL, By, split_named
from aelab.data.table_files import first_missing, without_blanks
from aelab.files import InputError
from aelab.settings import DataSettings

FOLDER = "folder"
"""The groups that are the first folders on the way to images."""

DAY_FIRST = re.compile(r"\s*\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")
"""Text whose order is not that of time."""


def by_column(settings: DataSettings, values: Mapping[str, NDArray[Any] | None]) -> By | None:
    """What decides the splits of a table, by the values of its column; nothing unless asked."""
    column = settings.group_by or settings.split_by
    of_each = {part: of for part, of in values.items() if of is not None}
    if column is None or not of_each:
        return None
    if settings.split_by is None:
        return By(f"column {column}", of_each)
    as_text = False
    for of in of_each.values():
        refuse_day_first(settings.name, column, of)
        as_text = as_text or of.dtype.kind == "U"
    return By(f"column {column}{', as text' if as_text else ''}", of_each, ordered=True)


def refuse_day_first(name: str, column: str, values: NDArray[Any]) -> None:
    """Raise InputError for dates in text that are not sorted as it is."""
    if values.dtype.kind == "U":
        for row, value in enumerate(values, 1):
            if DAY_FIRST.match(value):
                raise InputError(
                    f"{name}: column {column} has {str(value)!r} in row {row}: text, whose order "
                    f"is not that of time; write dates as 2026-12-31"
                )


def column_values(path: Path | str, name: str, column: pyarrow.ChunkedArray) -> NDArray[Any]:
    """The values of a column, none missing: numbers and times as such, all others as text."""
    column = without_blanks(column)
    kind = column.type
    types = pyarrow.types
    if types.is_floating(kind):
        column = pyarrow.compute.if_else(pyarrow.compute.is_nan(column), None, column)
    if column.null_count:
        raise InputError(
            f"{path}: row {first_missing(column)} has no value in the column {name!r}, which "
            f"decides its split; fill it in"
        )
    if types.is_decimal(kind):
        column = column.cast(pyarrow.float64(), safe=False)
    if not (
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_timestamp(kind)
        or types.is_date(kind)
    ):
        try:
            return np.asarray(column.cast(pyarrow.string()).to_pylist(), dtype=np.str_)
        except pyarrow.ArrowException as error:
            raise InputError(
                f"{path}: column {name!r} holds {kind}, which splits nothing"
            ) from error
    return np.asarray(column.to_numpy())


def by_path(settings: DataSettings, names: Sequence[str], parts: Mapping[str, object]) -> By | None:
    """The groups of images by the paths of their files, below the folder of their split if any."""
    if settings.group_by is None:
        return None
    of_each: dict[str, list[str]] = {part: [] for part in parts}
    for name in names:
        top, _, rest = name.partition("/")
        part, path = (ALL, name) if ALL in parts else (split_named(top), rest)
        of_each[part].append(group_of(settings.name, path, settings.group_by))
    told = FOLDER if settings.group_by == FOLDER else f"pattern {settings.group_by}"
    return By(told, {part: np.array(groups, dtype=np.str_) for part, groups in of_each.items()})


def group_of(root: str, path: str, how: str) -> str:
    r"""The group of the file at `path` in the folder `root`.

    >>> group_of("photos", "ward/patient07_03.png", "folder")
    'ward'
    >>> group_of("photos", "ward/patient07_03.png", r"patient(\d+)")
    '07'

    Raises:
        InputError: it has none, or `how` is no regular expression.
    """
    if how == FOLDER:
        folder, divided, _ = path.partition("/")
        if not divided:
            raise InputError(f"{root}: {path} is in no folder, and group-by folder needs one")
        return folder
    try:
        found = re.search(how, path)
    except re.error as error:
        raise InputError(
            f"group-by {how!r} is no regular expression ({error}); give {FOLDER}, or one such as "
            f"'(patient\\d+)'"
        ) from error
    group = found and found[1 if found.re.groups else 0]
    if not group:
        raise InputError(f"{root}: {path} has no group by {how!r}; mend the pattern or the name")
    return group
