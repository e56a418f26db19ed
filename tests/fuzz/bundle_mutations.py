"""Bundles with a right checksum that redy never wrote: what a forger can make."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np

from redy.formats.bundle import _HEADER, _MAGIC, SCHEMA
from tests.bundle_files import Tensors, file_of, tensors_of
from tests.fuzz.mutations import BYTES, SIZES, any_of, mutated, mutated_json

_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "?")


def forged(content: bytes, rng: np.random.Generator) -> bytes:
    """The bundle ``content`` with other content and the checksum of that."""
    if rng.random() < 0.2:
        return sealed(_other_payload(content[_HEADER.size :], rng))
    tensors = tensors_of(content)
    for _ in range(int(rng.integers(1, 4))):
        name = any_of(sorted(tensors), rng)
        change = any_of((_bytes, _bytes, _type, _shape, _missing, _named, _numbers), rng)
        if name == "description" and rng.random() < 0.9:
            change = _described
        elif name.startswith("evidence.") and rng.random() < 0.8:
            change = _inside
        change(tensors, name, rng)
        if not tensors:
            break
    return file_of(tensors)


def sealed(payload: bytes) -> bytes:
    """The bundle with this payload."""
    return _HEADER.pack(_MAGIC, SCHEMA, len(payload), hashlib.sha256(payload).digest()) + payload


def _other_payload(payload: bytes, rng: np.random.Generator) -> bytes:
    """Damage to the safetensors themselves, the header mostly."""
    size = int.from_bytes(payload[:8], "little")
    if rng.random() < 0.3:
        return mutated(payload, BYTES, rng)
    header = payload[8 : 8 + size].rstrip()
    changed = mutated_json(header, rng) if rng.random() < 0.7 else mutated(header, BYTES, rng)
    claimed = len(changed) if rng.random() < 0.8 else any_of(SIZES, rng)
    return claimed.to_bytes(8, "little") + changed + payload[8 + size :]


def _bytes(tensors: Tensors, name: str, rng: np.random.Generator) -> None:
    array = tensors[name]
    content = bytearray(array.tobytes())
    for _ in range(int(rng.integers(1, 4)) if content else 0):
        content[int(rng.integers(len(content)))] = int(rng.integers(256))
    tensors[name] = np.frombuffer(bytes(content), array.dtype).reshape(array.shape)


def _numbers(tensors: Tensors, name: str, rng: np.random.Generator) -> None:
    """All numbers of a table are the same one, which may be too large or none."""
    if tensors[name].dtype.kind == "f":
        number = any_of((np.nan, np.inf, -np.inf, 0.0, -1.0, 1e308, 1e-308), rng)
    else:
        number = any_of((0, 1, 2, 3, 255), rng)
    with np.errstate(all="ignore"):
        tensors[name] = np.full_like(tensors[name], number)


def _type(tensors: Tensors, name: str, rng: np.random.Generator) -> None:
    with np.errstate(all="ignore"):
        tensors[name] = tensors[name].astype(any_of(_TYPES, rng))


def _shape(tensors: Tensors, name: str, rng: np.random.Generator) -> None:
    array = tensors[name]
    shapes = [array.ravel(), array[None], array[..., None], array[:-1], array.T, array[:0]]
    shapes.append(np.concatenate([array, array]))
    shapes.append(np.zeros((*array.shape[:-1], 0), array.dtype))
    tensors[name] = any_of(shapes, rng)


def _missing(tensors: Tensors, name: str, rng: np.random.Generator) -> None:
    del rng
    del tensors[name]


def _named(tensors: Tensors, name: str, rng: np.random.Generator) -> None:
    names = ("slices", "slicing.cuts", "slicing.weights", "layer.1.from.0", "layer.9.bias", "x")
    tensors[any_of(names, rng)] = tensors[name]


def _described(tensors: Tensors, name: str, rng: np.random.Generator) -> None:
    text = mutated_json(tensors[name].tobytes(), rng)
    tensors[name] = np.frombuffer(text, dtype=np.uint8)


def _inside(tensors: Tensors, name: str, rng: np.random.Generator) -> None:
    """Another table in the stream, or more of it than it may hold."""
    try:
        table = zlib.decompress(tensors[name].tobytes())
    except zlib.error:  # of a change before this one
        return
    change = any_of(("bytes", "bytes", "more", "bomb", "twice"), rng)
    if change == "bytes":
        table = mutated(table, BYTES[:3], rng)
    elif change == "more":
        table += b"\0" * int(any_of((1, 2, 4, 100), rng))
    elif change == "bomb":
        table += b"\0" * 2**24
    stream = zlib.compress(table) * (2 if change == "twice" else 1)
    tensors[name] = np.frombuffer(stream, dtype=np.uint8)
