"""Edits as arrays of a file: two bits per neuron, lines and corrections in single precision."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from redy.edit_table import EditTable
from redy.edits import Edit, Edits
from redy.network.form import Network

_PREFIX = "edits."
_DTYPES: Mapping[str, DTypeLike] = {
    "number": "<u4", "packed": "u1", "lines": "<f4", "correction": "<u4", "corrections": "<f4",
}  # fmt: skip


def to_tensors(table: EditTable) -> dict[str, np.ndarray]:
    """The arrays of a file that hold ``table``."""
    return {_PREFIX + name: getattr(table, name).astype(kind) for name, kind in _DTYPES.items()}


def from_tensors(tensors: Mapping[str, np.ndarray], network: Network) -> EditTable:
    """The edits that ``tensors`` hold.

    Raises:
        ValueError, LookupError: they are no edits of ``network``.
    """
    parts = {name: typed(tensors, _PREFIX + name, kind) for name, kind in _DTYPES.items()}
    table = EditTable(len(network.neurons), **parts)
    if table.corrections.shape[1:] != (network.outputs, network.inputs + 1):
        raise ValueError("its corrections have another shape than the network")
    return table


def typed(tensors: Mapping[str, np.ndarray], name: str, dtype: DTypeLike) -> np.ndarray:
    """The tensor ``name``; raises ValueError if its numbers are of another type."""
    if tensors[name].dtype != np.dtype(dtype):
        raise ValueError(f"its tensor {name} holds numbers of another type")
    return tensors[name]


def edits_to_bytes(edits: Edits | None) -> bytes:
    """The edits of one slice, or nothing."""
    if edits is None:
        return b""
    tensors = {
        "codes": edits.codes,
        "criteria": edits.criteria,
        "lines": edits.lines[edits.codes == Edit.AFFINE].astype("<f4"),
    }
    if edits.correction is not None:
        tensors["correction"] = edits.correction.astype("<f4")
    return bytes(save_tensors({name: np.ascontiguousarray(t) for name, t in tensors.items()}))


def edits_from_bytes(content: bytes) -> Edits | None:
    """The inverse of :func:`edits_to_bytes`."""
    if not content:
        return None
    tensors = load_tensors(content)
    codes, correction = tensors["codes"], tensors.get("correction")
    lines = np.zeros((codes.size, 2))
    lines[codes == Edit.AFFINE] = tensors["lines"]
    double = None if correction is None else correction.astype(np.float64)
    return Edits(codes, tensors["criteria"], lines, double)
