"""What is done to a valid file: bytes changed, and the structure inside, with its checksums."""

import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Rewrap = Callable[[bytes], bytes]
"""Puts a changed part back into its file."""

MOST_BYTES = 2**20
"""Of a mutant: larger ones only cost time."""

NUMBERS = [0, 1, -1, 7, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40]
NUMBERS += [2**63 - 1, 2**64 - 1]

TOKENS = [
    *(
        b"\0",
        b"\xff\xff\xff\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\n",
        b"\r",
        b",",
    ),
    *(b";", b"\t", b'"', b"'", b"#", b"-", b"nan", b"inf", b"-inf", b"1e999", b"1e-999", b"1e300"),
    *(b"9" * 40, b"9" * 5000, b"../../escaped", b"/tmp/escaped", b"planted:Model", b"\\ud800"),
    *(
        b"[" * 5000,
        b'{"a":' * 5000,
        b"[[rows",
        b"[",
        b"]",
        b"{",
        b"}",
        b"= 1",
        b"a.b.c",
        b"\x1b[2J",
    ),
    *(b"true", b"null", b"1.234,5", b"2020-01-01", b"None", b"\xc3\xa9", b"NA", b"?", b"\x80\x05"),
]

STRANGE: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 1.5, -0.0, 1e308, 10**30, 2**31, 2**63, 10**400),
    *("", "x", "../../escaped", "/tmp/escaped", "planted:Model", "planted", "\ud800", "\0", "a\nb"),
    *(":", "own", "nan", "\x1b[2J", "cuda", "float64", "object", "9" * 5000, "[" * 3000),
    *(
        [],
        {},
        [[]],
        [None],
        [1],
        [-1, 0],
        [1e308] * 3,
        ["a", 1],
        [10**9, 10**9],
        {"a": 1},
        {"": {}},
    ),
]


def mutant(content: bytes, others: list[bytes], random: Random) -> bytes:
    """One to four changes of a file, or of a part in it; `others` are files to take pieces of."""
    parts = [(content, lambda changed: changed), *within(content)]
    part, rewrap = random.choice(parts)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        part = changed(part, others, random)
    return rewrap(part)[:MOST_BYTES]


def changed(content: bytes, others: list[bytes], random: Random) -> bytes:
    """One change."""
    if random.random() < 0.6 and (found := structural(content, random)) is not None:
        return found
    ways = (
        flip,
        flip,
        number,
        number,
        cut,
        truncate,
        insert,
        insert,
        repeat,
        splice,
        digits,
        digits,
    )
    return random.choice(ways)(content, others, random)


def place(content: bytes, random: Random) -> int:
    """Anywhere; half the time near the beginning or the end, where headers and footers are."""
    end = len(content)
    near = min(end, 64)
    return random.choice(
        (random.randint(0, near), end - random.randint(0, near), *2 * [random.randint(0, end)])
    )


def flip(content: bytes, others: list[bytes], random: Random) -> bytes:
    """A bit, or a byte."""
    if not content:
        return b"\0"
    array, at = bytearray(content), min(place(content, random), len(content) - 1)
    array[at] = random.choice((array[at] ^ 1 << random.randrange(8), random.randrange(256)))
    return bytes(array)


def number(content: bytes, others: list[bytes], random: Random) -> bytes:
    """A number of two, four or eight bytes, either end first."""
    size, at = random.choice((2, 4, 8)), place(content, random)
    value = (random.choice(NUMBERS) % 2 ** (8 * size)).to_bytes(
        size, random.choice(("little", "big"))
    )
    return content[:at] + value + content[at + size :]


def cut(content: bytes, others: list[bytes], random: Random) -> bytes:
    """Some bytes left out."""
    at = place(content, random)
    return content[:at] + content[at + random.choice((1, 2, 4, random.randint(1, 200))) :]


def truncate(content: bytes, others: list[bytes], random: Random) -> bytes:
    """The rest left out."""
    return content[: place(content, random)]


def insert(content: bytes, others: list[bytes], random: Random) -> bytes:
    """A token, or random bytes."""
    at = place(content, random)
    token = (
        random.choice(TOKENS) if random.random() < 0.8 else random.randbytes(random.randint(1, 16))
    )
    return content[:at] + token + content[at + random.choice((0, 0, len(token))) :]


def repeat(content: bytes, others: list[bytes], random: Random) -> bytes:
    """A piece several times."""
    at = place(content, random)
    piece = content[at : at + random.randint(1, 100)]
    return content[:at] + piece * random.choice((2, 3, 200)) + content[at + len(piece) :]


def splice(content: bytes, others: list[bytes], random: Random) -> bytes:
    """A piece of another file, in place of the rest or in between."""
    other = random.choice(others)
    here, there = place(content, random), place(other, random)
    length = random.randint(1, 400)
    rest = content[here + random.choice((0, length)) :] if random.random() < 0.7 else b""
    return content[:here] + other[there : there + length] + rest


def digits(content: bytes, others: list[bytes], random: Random) -> bytes:
    """A number in text, by another."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content[:20_000]))
    if not found:
        return flip(content, others, random)
    chosen = random.choice(found)
    new = str(random.choice((*NUMBERS, 1.5, "1e300", "1e40", "nan", "inf", "", "x", "-7"))).encode()
    return content[: chosen.start()] + new + content[chosen.end() :]


def structural(content: bytes, random: Random) -> bytes | None:
    """A change of the value that JSON holds; nothing of what is no JSON."""
    if content[:1] not in (b"{", b"["):
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    places = list(paths(value))
    if not places:
        return None
    holder, key = random.choice(places)
    way = random.random()
    if way < 0.15:
        del holder[key]
    elif way < 0.25:
        other, of = random.choice(places)
        holder[key] = json.loads(json.dumps(other[of]))
    elif way < 0.3 and isinstance(holder, dict):
        holder[random.choice(("x", "../x", "", "\0", "planted:Model"))] = holder.pop(key)
    else:
        holder[key] = random.choice(STRANGE)
    try:
        return json.dumps(value, ensure_ascii=random.random() < 0.5).encode(
            "utf-8", "surrogatepass"
        )
    except (ValueError, RecursionError):
        return None


def paths(value: Any) -> Iterator[tuple[Any, Any]]:
    """Everything in a JSON value: what holds it, and its key there."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield value, key
        yield from paths(item)


def within(content: bytes) -> list[tuple[bytes, Rewrap]]:
    """The parts of a file that has any, each with what puts it back."""
    if content[:4] == b"PK\3\4":
        return list(members(content))
    if content[:2] == b"\x1f\x8b":
        return [(gzip.decompress(content), lambda inner: gzip.compress(inner, 1))]
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return list(chunks(content))
    size = int.from_bytes(content[:8], "little")
    if content[8:9] == b"{" and size < len(content):  # safetensors
        head, body = content[8 : 8 + size], content[8 + size :]
        return [(head, lambda new: len(new).to_bytes(8, "little") + new + body)] * 2
    if content[:6] == b"\x93NUMPY":
        head, body = content[10:128], content[128:]
        return [
            (head, lambda new: content[:8] + struct.pack("<H", len(new) % 2**16) + new + body)
        ] * 2
    return []


def members(content: bytes) -> Iterator[tuple[bytes, Rewrap]]:
    """The files in a zip archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for name, inner in files.items():

        def rewrap(new: bytes, name: str = name) -> bytes:
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for other, old in files.items():
                    archive.writestr(other, new if other == name else old)
            return packed.getvalue()

        yield inner, rewrap
        for part, inside in within(inner):
            yield part, lambda new, inside=inside, rewrap=rewrap: rewrap(inside(new))


def chunks(content: bytes) -> Iterator[tuple[bytes, Rewrap]]:
    """The chunks of a PNG, whose checksums are made anew."""
    at = 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        body, end = content[at + 4 : at + 8 + size], at + 12 + size

        def rewrap(new: bytes, at: int = at, end: int = end) -> bytes:
            length = max(0, len(new) - 4).to_bytes(4, "big")
            return content[:at] + length + new + zlib.crc32(new).to_bytes(4, "big") + content[end:]

        yield body, rewrap
        at = end
