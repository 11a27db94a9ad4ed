"""Columns of words: which can be inputs, and their words as numbers.

A word of a column is its place in the list of the column's words, until the training rows are
known; then each word that these hold gets a value of its own, 1 or 0 (one-hot).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import pyarrow.compute  # type: ignore[import-untyped]
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from aelab.data.specs import BOOLEAN, Columns
from aelab.data.table_files import listed
from aelab.files import InputError

MOST_WORDS, MOST_ASKED = 100, 1000
"""Different words of a column that is an input, of one that nobody asked for and one that is."""

LONGEST = 200
"""Letters of a word."""

NUMBER = r"^\s*[-+]?[\d.]+([eE][-+]?\d+)?\s*$"
DATE = (
    r"^\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ]\d{1,2}:\d\d.*)?\s*$"
)
"""With or without the time of day."""

Codes = Float[Tensor, "rows columns"]
"""Numbers as they are, and the places of words; NaN where a value is missing."""

Words = tuple[tuple[str, ...], ...]
"""Of each column; none of numbers."""


def is_numeric(kind: pyarrow.DataType) -> bool:
    """Whether values of a column's type are numbers."""
    types = pyarrow.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def as_text(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """The words of a column, without blanks around them; nothing in place of blanks alone."""
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    text = pyarrow.compute.utf8_trim_whitespace(column.cast(pyarrow.string()))
    return pyarrow.compute.if_else(pyarrow.compute.equal(text, ""), None, text)


def holds_words(kind: pyarrow.DataType) -> bool:
    """Whether values of a column's type are words, or false and true."""
    types = pyarrow.types
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return bool(text or types.is_boolean(kind) or types.is_dictionary(kind))


def no_input(column: pyarrow.ChunkedArray, *, asked: bool) -> str:
    """Why a column of words is no input; nothing if it is one.

    Where most are numbers and some are not, it is one of numbers that is not clean; where all are,
    somebody wrote numbers as words, as codes of classes. Words that nearly all rows have another
    of name the rows, and say nothing of the next one: they are no inputs unless they are asked for.
    """
    known = as_text(column).drop_null()
    if not len(known):
        return "empty"
    numbers = pyarrow.compute.sum(pyarrow.compute.match_substring_regex(known, NUMBER)).as_py()
    if not pyarrow.types.is_dictionary(column.type) and len(known) < 2 * numbers < 2 * len(known):
        return first_that(column, NUMBER)
    if pyarrow.compute.all(pyarrow.compute.match_substring_regex(known, DATE)).as_py():
        return "dates"
    if pyarrow.compute.max(pyarrow.compute.utf8_length(known)).as_py() > LONGEST:
        return "long text"
    different = len(pyarrow.compute.unique(known))
    if asked:
        limit = f"; {MOST_ASKED:,} are the most"
        return f"{different:,} different words{limit}" if different > MOST_ASKED else ""
    if 1 < different == len(known):
        return "another word in each row"
    if different > MOST_WORDS or 2 * different > len(known) > 2:
        return f"{different:,} different words in {len(known):,} rows"
    return ""


def first_that(column: pyarrow.ChunkedArray, pattern: str) -> str:
    """The first value of a column that does not follow a pattern, and its row."""
    text = as_text(column)
    row = pyarrow.compute.index(pyarrow.compute.match_substring_regex(text, pattern), False).as_py()
    return f"{text[row].as_py()!r} in row {row + 1}" if row >= 0 else "numbers as text"


def codes_of(column: pyarrow.ChunkedArray) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The words of a column in alphabetical order, and the place of each row's, NaN for none.

    However false and true are spelt, they are these.
    """
    text = as_text(column)
    lower = pyarrow.compute.utf8_lower(text)
    if set(pyarrow.compute.unique(lower).to_pylist()) <= {None, *BOOLEAN}:
        text = lower
    encoded = text.combine_chunks().dictionary_encode()
    if isinstance(encoded, pyarrow.ChunkedArray):
        encoded = encoded.combine_chunks()
    found = encoded.dictionary.to_pylist()
    words = tuple(sorted(found))
    place = np.array([words.index(word) for word in found] + [math.nan])
    which = encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    return place[which], words


def recoded(codes: Codes, words: Words, onto: Words) -> Codes:
    """The same rows by other lists of words; NaN for a word that these lack.

    >>> recoded(torch.tensor([[0.0], [1.0]]), (("blue", "red"),), (("red",),))
    tensor([[nan], [0.]])
    """
    if words == onto:
        return codes
    found = codes.clone()
    for place, (own, new) in enumerate(zip(words, onto, strict=True)):
        if own != new:
            places = {word: float(number) for number, word in enumerate(new)}
            of_own = torch.tensor([*(places.get(word, math.nan) for word in own), math.nan])
            code = codes[:, place].nan_to_num(nan=len(own)).long()
            found[:, place] = of_own.to(codes)[code]
    return found


def together(lists: Sequence[Words]) -> Words:
    """The words of each column in any of some tables of the same columns."""
    return tuple(tuple(sorted(set().union(*of))) for of in zip(*lists, strict=True))


def occurring(codes: Codes, words: Words) -> Words:
    """Of each column the words that some rows have."""
    present = [
        column[~column.isnan()].unique().long().tolist() if of else []
        for of, column in zip(words, codes.T, strict=True)
    ]
    return tuple(
        tuple(of[code] for code in found) for of, found in zip(words, present, strict=True)
    )


def one_hot(codes: Codes, columns: Columns) -> Float[Tensor, "rows features"]:
    """A value for each word of a column, 1 or 0; NaN in all of them where the word is missing.

    >>> columns = Columns(("eyes",), (0.0,), (1.0,), words=(("blue", "brown"),))
    >>> one_hot(torch.tensor([[1.0], [torch.nan]]), columns)
    tensor([[0., 1.], [nan, nan]])
    """
    if not columns.mixed:
        return codes
    found = codes.new_zeros(len(codes), columns.size)
    for block, column in zip(columns.blocks, codes.T, strict=True):
        if block.kind == "words":
            places = torch.arange(len(block.words))
            values = (column[:, None] == places).to(codes)
            found[:, block.values] = torch.where(column.isnan()[:, None], math.nan, values)
        else:
            found[:, block.start] = column
    return found


def as_codes(values: Float[Tensor, "rows features"], columns: Columns) -> Codes:
    """The inverse of `one_hot`, of probabilities too: the place of the likeliest word.

    >>> columns = Columns(("eyes",), (0.0,), (1.0,), words=(("blue", "brown"),))
    >>> as_codes(torch.tensor([[0.3, 0.7]]), columns)
    tensor([[1.]])
    """
    found = []
    for block in columns.blocks:
        of = values[:, block.values]
        if block.kind == "words":
            of = of.argmax(1, keepdim=True)
        elif block.kind == "boolean":
            of = of > 0.5
        found.append(of.to(values))
    return torch.cat(found, 1)


def refuse_unseen(
    where: Path | str, codes: Codes, known: Codes, words: Words, columns: Columns
) -> None:
    """Raise InputError if rows have a word that no training row had."""
    for place, (name, own) in enumerate(zip(columns.names, words, strict=True)):
        unseen = (known[:, place].isnan() & ~codes[:, place].isnan()).nonzero()
        if len(unseen):
            row = int(unseen[0])
            more = f" and {len(unseen) - 1:,} more rows" if len(unseen) > 1 else ""
            empty = ", or empty it: the run takes missing values" if columns.may_lack else ""
            raise InputError(
                f"{where}: the column {name} has {own[int(codes[row, place])]!r} in row "
                f"{row + 1}{more}, which no training row had ({listed(columns.words[place])}); "
                f"mend the cell, or leave the row out{empty}"
            )


def told_unseen(unseen: Mapping[str, int], words: Collection[str], name: str) -> str:
    """A sentence on words of a column that only rows outside training have."""
    rows = " and ".join(f"{count:,} of {split}" for split, count in unseen.items() if count)
    return (
        f"column {name}: words that no training row has ({listed(sorted(words))}) are taken for "
        f"missing: {rows}"
    )


def types_of(columns: Columns) -> dict[str, pyarrow.DataType]:
    """The columns of a table that holds such inputs."""
    of = {"number": pyarrow.float64(), "boolean": pyarrow.bool_(), "words": pyarrow.string()}
    return {block.name: of[block.kind] for block in columns.blocks}


def in_words(
    stored: Float[Tensor, "rows features"],
    columns: Columns,
    generator: torch.Generator | None = None,
) -> dict[str, NDArray[Any]]:
    """The columns of a table, of inputs as they are stored: numbers, false and true, and words.

    Each word is the likeliest one, or drawn by its probability where there is a generator.

    >>> columns = Columns(("eyes",), (0.0,), (1.0,), words=(("blue", "brown"),))
    >>> in_words(torch.tensor([[0.2, 0.8]]), columns)["eyes"].tolist()
    ['brown']
    """
    if generator is not None:
        stored = drawn(stored, columns, generator)
    found: dict[str, NDArray[Any]] = {}
    for block, codes in zip(columns.blocks, as_codes(stored, columns).T, strict=True):
        values = codes.numpy()
        if block.kind == "boolean":
            values = values > 0
        elif block.kind == "words":
            values = np.array(block.words, dtype=object)[values.astype(int)]
        found[block.name] = values
    return found


def drawn(
    stored: Float[Tensor, "rows features"], columns: Columns, generator: torch.Generator
) -> Float[Tensor, "rows features"]:
    """Rows with a word of each column, drawn by its probability; a share below 0 is none.

    Raises:
        InputError: a value is not finite.
    """
    if not stored.isfinite().all():
        raise InputError("samples are not finite: the weights or the prior are damaged")
    found = stored.clone()
    for block in columns.blocks:
        shares = stored[:, block.values].clamp(0, 1)
        if block.kind == "boolean":
            found[:, block.values] = torch.bernoulli(shares, generator=generator)
        elif block.kind == "words":
            word = torch.multinomial(shares + 1e-12, 1, generator=generator)
            found[:, block.values] = torch.zeros_like(shares).scatter(1, word, 1.0)
    return found
