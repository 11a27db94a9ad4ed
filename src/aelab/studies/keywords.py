"""The options of the command line as keywords of Python: their names, types and help."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from inspect import cleandoc
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from docstring_parser import parse_from_object

from aelab.files import InputError
from aelab.settings import check_value
from aelab.studies.asked import GENERAL, option_name

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def keywords(options: type[Any]) -> dict[str, tuple[str, str, Any]]:
    """The options of a class by their names, each with its part, its field there, and its type.

    The part is the field of `options` that holds it; of what `options` has itself, nothing.

    >>> from aelab.models.zoo import resolve
    >>> from aelab.studies.asked import train_options
    >>> keywords(train_options(resolve("pca")))["pixel_scale"]
    ('data', 'scale', <class 'float'>)
    """
    found: dict[str, tuple[str, str, Any]] = {}
    for name, hint in get_type_hints(options).items():
        if hint in GENERAL:
            hints = get_type_hints(hint)
            found |= {option_name(own): (name, own.name, hints[own.name]) for own in fields(hint)}
        else:
            found[name] = ("", name, hint)
    return found


def filled(options: type[T], given: Mapping[str, Any], where: str) -> T:
    """Options from Python's keywords, by the names and of the types of the command line's.

    >>> from aelab.studies.asked import CompareOptions
    >>> filled(CompareOptions, {"study": "links", "seeds": [1, 2], "out": "there"}, "compare").seeds
    (1, 2)

    Raises:
        InputError: naming `where` and the keyword: there is none of that name, its value is of
            another type or out of range, or one is missing.
    """
    known = keywords(options)
    hints = {name: hint for name, (_, _, hint) in known.items()}
    of_part: dict[str, dict[str, Any]] = {}
    for key, value in given.items():
        value = as_option(value, hints.get(key))
        check_value(f"{where}: {key}", key, value, hints)
        part, name, _ = known[key]
        of_part.setdefault(part, {})[name] = value
    values = of_part.pop("", {})
    defaults: dict[str, Any] = {own.name: own.default for own in fields(options)}  # type: ignore[arg-type]
    needed = [n for n, default in defaults.items() if default is MISSING and n not in values]
    if needed:
        raise InputError(f"{where} needs {', '.join(needed)}")
    try:
        parts = {part: replace(defaults[part], **own) for part, own in of_part.items()}
        return options(**values, **parts)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def as_option(value: object, hint: object) -> object:
    """A value as the command line has it: tuples for lists, paths for text or text for paths.

    Whole numbers are 1.0 where a number with decimals is wanted.

    >>> as_option([1, 2], tuple[int, ...]), as_option(1, float | None), as_option(True, float)
    ((1, 2), 1.0, True)
    """
    types = (hint, *get_args(hint))
    if isinstance(value, list | range):
        return tuple(value)
    if isinstance(value, str) and Path in types:
        return Path(value)
    if isinstance(value, Path) and str in types and Path not in types:
        return str(value)
    if type(value) is int and float in types and int not in types:  # True is no number
        return float(value)
    return value


def with_help(*options: type[Any]) -> Callable[[F], F]:
    """Let a function's docstring end with the help of the options that it takes as keywords."""

    def add(function: F) -> F:
        told = [line for one in options for line in help_lines(one)]
        function.__doc__ = "\n".join([cleandoc(function.__doc__ or ""), "", "Keywords:", *told])
        return function

    return add


def help_lines(options: type[Any]) -> list[str]:
    """Each option of a class with its help, as on the command line.

    >>> from aelab.studies.asked import DataOptions
    >>> help_lines(DataOptions)[0]
    "    data_dir: Folder where the data's files are looked for first; $AELAB_DATA names one too."
    """
    names = {option.name: option_name(option) for option in fields(options)}
    return [
        f"    {names[one.arg_name]}: {' '.join((one.description or '').split())}"
        for one in parse_from_object(options).params
        if one.arg_name in names
    ]
