"""Arrays as text in a page: rounded to what they need, deflated, in a dense code."""

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

Packed = list[Any]
"""Kind, shape, step of whole numbers or 0, bytes as they are deflated, text."""

MOST = 2047
"""The largest whole number that is packed: eight bits and four."""

ALPHABET = bytes(c for c in range(33, 127) if chr(c) not in '"\\<')
"""The 91 printable characters that need no escape in a page's JSON."""

LARGEST_HALF = 65504.0


def packed(values: Tensor, step: float | None = None) -> Packed:
    """An array as `unpack` of engine.js reads it.

    Bytes and indices stay what they are. Others are rounded to half precision; or, given a step,
    to whole multiples of it. Of these the low four bits stand apart: they are noise, and the
    others are few enough to be deflated well.

    >>> packed(torch.tensor([0, 255], dtype=torch.uint8))
    ['u8', [2], 0, 10, "MHTGrqP#'_!d!!"]
    >>> packed(torch.tensor([0.5, -1.0]), step=0.25)[:3]
    ['whole', [2], 0.25]
    """
    shape, array = list(values.shape), values.contiguous().numpy().reshape(-1)
    if values.dtype == torch.uint8:
        return ["u8", shape, 0, *as_text(array.tobytes())]
    if values.dtype == torch.int64:
        return ["u32", shape, 0, *as_text(array.astype("<u4").tobytes())]
    if step is None:
        half = array.clip(-LARGEST_HALF, LARGEST_HALF).astype("<f2")
        return ["half", shape, 0, *as_text(half.tobytes())]
    whole = np.rint(array / step).astype(np.int16)
    low = np.append(whole & 15, [0] * (len(whole) % 2)).astype(np.uint8)
    content = (whole >> 4).astype(np.int8).tobytes() + (low[::2] | low[1::2] << 4).tobytes()
    return ["whole", shape, step, *as_text(content)]


def as_text(content: bytes) -> tuple[int, str]:
    """Deflated: how many bytes, and two characters for 13 bits, a thirteenth less than base64.

    >>> as_text(bytes(1000))
    (17, 'MHTEP/!~4~0+,M!!#E!!#H')
    """
    deflated = zlib.compress(content, 6)  # 9 takes eight times as long for half a per cent
    bits = np.unpackbits(np.frombuffer(deflated, np.uint8))
    groups = np.append(bits, np.zeros(-len(bits) % 13, np.uint8)).reshape(-1, 13)
    numbers = groups.astype(np.int64) @ (1 << np.arange(12, -1, -1))
    pairs = np.stack(np.divmod(numbers, len(ALPHABET)), 1)
    return len(deflated), np.frombuffer(ALPHABET, np.uint8)[pairs].tobytes().decode()
