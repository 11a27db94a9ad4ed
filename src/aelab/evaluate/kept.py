"""What follows from the data alone is computed once, and kept in files of the user's cache."""

import hashlib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

import torch
from torch import Tensor

from aelab.data.input_sets import InputDataset
from aelab.files import AelabError, read_metadata, read_tensors, user_cache, write_tensors

P = ParamSpec("P")

Tensors = dict[str, Tensor]

VERSION = 2
"""Of what is computed. Whoever changes any of it counts it up."""


def kept(
    compute: Callable[Concatenate[InputDataset, P], Tensors],
) -> Callable[Concatenate[InputDataset, P], Tensors]:
    """Keep the tensors that `compute` makes of a data set and plain arguments, in a file.

    A file that is not as it was written is made anew.

    >>> from aelab.api import load_data
    >>> from aelab.evaluate.reconstruction import all_components
    >>> all_components(load_data("digits"), 3)["components"].shape
    torch.Size([3, 64])

    Raises:
        InputError: the cache cannot be written.
    """

    @wraps(compute)
    def found(data: InputDataset, /, *args: P.args, **kwargs: P.kwargs) -> Tensors:
        if not data.sha256:  # of somebody's own, whose content nobody knows
            return compute(data, *args, **kwargs)
        path = place(data, compute.__name__, *args, *sorted(kwargs.items()))
        try:
            tensors = read_tensors(path)
            if read_metadata(path).get("sha256") == digest(tensors):
                return tensors
        except AelabError:
            pass  # there is none, or it is damaged
        tensors = compute(data, *args, **kwargs)
        write_tensors(path, tensors, {"sha256": digest(tensors)})
        return tensors

    return found


def place(data: InputDataset, *what: object) -> Path:
    """Where it is kept: by the data's content, classes, splits and preparation, and by what it is.

    Two versions of PyTorch may differ in the last bits.
    """
    facts = (VERSION, torch.__version__, data.sha256, data.spec, data.classes, what)
    key = hashlib.sha256(repr(facts).encode())
    for name, images in data.splits.items():
        key.update(name.encode())
        for numbers in (images.index, images.classes):
            key.update(numbers.cpu().numpy().tobytes())
    return user_cache("figures", f"{key.hexdigest()[:32]}.safetensors")


def digest(tensors: Tensors) -> str:
    """Of their names, shapes and values."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()
