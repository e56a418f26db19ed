"""Damage to bytes, text and JSON: what broken disks, careless editors and adversaries leave behind.

Every change is drawn from the generator it is given, so that a case can be made again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Change = Callable[[bytes, np.random.Generator], bytes]

_MOST_CHANGES = 4

NUMBERS = (
    "1e999", "-1e999", "nan", "-inf", "Infinity", "1e-400", "0", "-0", "-1", "1.5", "1_0", "0x10",
    "2147483648", "9223372036854775808", "9" * 40, "9" * 5000, "1" * 400, "1e1000000", "", "true",
    "\u0661", "--1", "1e", ".", "+", "1e999999999999",
)  # fmt: skip
"""Numbers that are too large, too long, or none."""

WORDS = (
    "(", ")", "[", "]", "{", "}", '"', "|", ",", ";", "\0", "\n", "\r", "\x1b[31m", "\u2028",
    "(" * 3000, "[" * 100_000, '{"a":' * 2000, "," * 2000, " " * 10_000, "0," * 3000, "\ufeff",
    "X_0", "Y_0", "X_999999999", "(assert (<= X_0 0.5))", "(or", "(and", "//", "lower",
)  # fmt: skip

SIZES = (0, 1, 2, 3, 127, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**32 - 1, 2**48, 2**63 - 1)
"""What stands in a field that says how large something is."""


def any_of(items: Sequence[Any], rng: np.random.Generator) -> Any:
    """One of ``items``."""
    return items[int(rng.integers(len(items)))]


def _place(content: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(len(content) + 1))


def _span(content: bytes, rng: np.random.Generator, most: int = 64) -> tuple[int, int]:
    start = _place(content, rng)
    return start, min(len(content), start + int(rng.integers(1, most + 1)))


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    if not content:
        return b"\0"
    altered = bytearray(content)
    altered[int(rng.integers(len(altered)))] ^= 1 << int(rng.integers(8))
    return bytes(altered)


def _noise(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(content, rng, 8)
    return content[:start] + rng.bytes(end - start) + content[end:]


def _truncate(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: _place(content, rng)]


def _delete(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(content, rng)
    return content[:start] + content[end:]


def _repeat(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(content, rng, 256)
    times = any_of((2, 3, 100), rng)
    return content[:start] + content[start:end] * times + content[end:]


def _move(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(content, rng, 256)
    to = _place(content, rng)
    return content[:to] + content[start:end] + content[to:]


def _size(content: bytes, rng: np.random.Generator) -> bytes:
    """Eight, four or two bytes become a number that is too large for what follows."""
    width = any_of((2, 4, 8), rng)
    number = any_of(SIZES, rng) % 2 ** (8 * width)
    start = _place(content, rng)
    field = number.to_bytes(width, any_of(("little", "big"), rng))
    return content[:start] + field + content[start + width :]


def _varint(content: bytes, rng: np.random.Generator) -> bytes:
    start = _place(content, rng)
    return content[:start] + b"\xff" * int(rng.integers(1, 10)) + b"\x7f" + content[start + 1 :]


BYTES: tuple[Change, ...] = (
    _flip, _flip, _noise, _truncate, _delete, _repeat, _move, _size, _varint,
)  # fmt: skip


_NUMBER = re.compile(rb"[-+]?[0-9][0-9.eE+-]*")


def _number(content: bytes, rng: np.random.Generator) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return content
    match = any_of(found, rng)
    return content[: match.start()] + any_of(NUMBERS, rng).encode() + content[match.end() :]


def _word(content: bytes, rng: np.random.Generator) -> bytes:
    start = _place(content, rng)
    return content[:start] + any_of(WORDS, rng).encode() + content[start:]


def _line(content: bytes, rng: np.random.Generator) -> bytes:
    """A line is left out, doubled or joined to the next one."""
    lines = content.split(b"\n")
    at = int(rng.integers(len(lines)))
    kept = any_of(([], [lines[at]] * 2, [lines[at] * 50], [b",".join(lines[at : at + 2])]), rng)
    return b"\n".join(lines[:at] + kept + lines[at + 1 :])


TEXT: tuple[Change, ...] = (*BYTES, _number, _number, _number, _word, _word, _line)


def mutated(content: bytes, changes: Sequence[Change], rng: np.random.Generator) -> bytes:
    """``content`` after one to a few of ``changes``."""
    for _ in range(min(int(rng.geometric(0.6)), _MOST_CHANGES)):
        content = any_of(changes, rng)(content, rng)
    return content


def mutated_json(text: bytes, rng: np.random.Generator) -> bytes:
    """The JSON ``text`` with one or two of its values replaced by others, or left out."""
    try:
        value = json.loads(text)
    except ValueError:  # of a change before this one
        return text
    for _ in range(int(rng.integers(1, 3))):
        places = list(_places(value))
        if places:
            _replace(*any_of(places, rng), value, rng)
    return json.dumps(value).encode()


def _places(value: Any) -> Any:
    """Every container of ``value`` with every key or place in it."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _replace(container: Any, key: Any, whole: Any, rng: np.random.Generator) -> None:
    if rng.random() < 0.15:
        del container[key]
    elif rng.random() < 0.15:
        other, at = any_of(list(_places(whole)), rng)
        container[key] = json.loads(json.dumps(other[at]))
    else:
        container[key] = any_value(rng)


def any_value(rng: np.random.Generator) -> Any:
    """A value of JSON: of another type, too large, or nothing at all."""
    values = (
        None, True, [], {}, "", "x", "\x1b[2J", "\ud800", -1, 0, 1, 2, 0.5, 1e308, float("nan"),
        float("inf"), *SIZES, 10**40, [[]], [0], [1e9] * 3, {"0": 0}, "0x1p+1023", "nan",
        "A" * 9000,
    )  # fmt: skip
    return any_of(values, rng)
