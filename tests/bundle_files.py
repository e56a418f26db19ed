"""Bundle files taken apart and put together again, with other content and the right checksum."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from redy.formats.bundle import _HEADER, _MAGIC, SCHEMA

Tensors = dict[str, np.ndarray]


def tensors_of(content: bytes) -> Tensors:
    """What the bundle ``content`` holds, to be altered."""
    return {name: tensor.copy() for name, tensor in load(content[_HEADER.size :]).items()}


def file_of(tensors: Tensors) -> bytes:
    """The bundle that holds ``tensors``."""
    payload = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    return _HEADER.pack(_MAGIC, SCHEMA, len(payload), hashlib.sha256(payload).digest()) + payload


def write_file(tensors: Tensors, path: Path) -> Path:
    """Write the bundle that holds ``tensors`` to ``path``."""
    path.write_bytes(file_of(tensors))
    return path


def stream(content: bytes | np.ndarray) -> np.ndarray:
    """``content`` as the tensor of a table of evidence."""
    data = content if isinstance(content, bytes) else content.tobytes()
    return np.frombuffer(zlib.compress(data), dtype=np.uint8)


def table(tensors: Tensors, name: str, dtype: str = "u1") -> np.ndarray:
    """The table ``name`` of evidence, flat."""
    return np.frombuffer(zlib.decompress(tensors[f"evidence.{name}"].tobytes()), dtype).copy()
