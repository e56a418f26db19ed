"""Edits as arrays of a file: half a byte per neuron, lines and corrections in single precision."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from redy.edit_table import ExtraEdits
from redy.edits import Criterion, Edit, Edits
from redy.network.form import Network
from redy.verdict import Proof

_PREFIX = "edits."
_KINDS = len(Edit) - 1
"""Edits that remove; with a criterion each, 12 pairs and KEEP fit into half a byte."""


def pack_halves(codes: np.ndarray) -> np.ndarray:
    """(m, n) codes below 16 as (m, ceil(n / 2)) bytes."""
    padded = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)))
    return np.asarray(padded[:, 0::2] | padded[:, 1::2] << 4)


def unpack_halves(halves: np.ndarray, count: int) -> np.ndarray:
    """The inverse of :func:`pack_halves`: (m, count)."""
    if halves.ndim != 2 or halves.shape[1] != (count + 1) // 2:
        raise ValueError("its tables have another width than the network")
    codes = np.empty((len(halves), 2 * halves.shape[1]), dtype=np.uint8)
    codes[:, 0::2] = halves & 0x0F
    codes[:, 1::2] = halves >> 4
    return codes[:, :count]


def to_tensors(extra: ExtraEdits) -> dict[str, np.ndarray]:
    """The arrays of a file that hold ``extra``; none if it holds no slice."""
    if not len(extra.rows):
        return {}
    kinds = tuple(Proof)
    tensors = {
        "rows": extra.rows.astype("<u4"),
        "neurons": pack_halves(_pairs(extra.codes, extra.criteria)),
        "lines": extra.lines.astype("<f4"),
        "corrected": extra.corrected.astype(np.uint8),
        "corrections": extra.corrections.astype("<f4"),
        "eps_proved": extra.eps_proved.astype("<f8"),
        "proof": np.array([kinds.index(proof) for proof in extra.proofs], dtype=np.uint8),
        "proofs": np.frombuffer("\n".join(kind.name for kind in kinds).encode(), dtype=np.uint8),
    }
    return {_PREFIX + name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def from_tensors(tensors: dict[str, np.ndarray], network: Network, slices: int) -> ExtraEdits:
    """The edits that ``tensors`` hold, of a table of ``slices`` rows.

    Raises:
        ValueError, LookupError: they are no edits of ``network``, or of no such row.
    """
    if _PREFIX + "rows" not in tensors:
        return ExtraEdits.collect(network, [], [], [])
    extra = _restore(tensors, len(network.neurons))
    if not (extra.rows < slices).all():
        raise ValueError("its edits are of slices that are not there")
    if extra.corrections.shape[1:] != (network.outputs, network.inputs + 1):
        raise ValueError("its corrections have another shape than the network")
    return extra


def _restore(tensors: dict[str, np.ndarray], neurons: int) -> ExtraEdits:
    part = {name: tensors[_PREFIX + name] for name in _NAMES}
    codes, criteria = _unpaired(unpack_halves(part["neurons"], neurons))
    if not np.isin(part["corrected"], (0, 1)).all():
        raise ValueError("its edits have marks that are neither 0 nor 1")
    names = part["proofs"].tobytes().decode().split("\n")
    return ExtraEdits(
        rows=part["rows"].astype(np.int64),
        codes=codes,
        criteria=criteria,
        lines=part["lines"].astype(np.float64),
        corrected=part["corrected"].astype(bool),
        corrections=part["corrections"].astype(np.float64),
        eps_proved=part["eps_proved"].astype(np.float64),
        proofs=tuple(Proof[names[kind]] for kind in part["proof"]),
    )


_NAMES = (
    "rows", "neurons", "lines", "corrected", "corrections", "eps_proved", "proof", "proofs",
)  # fmt: skip


def edits_to_bytes(edits: Edits | None, network: Network) -> bytes:
    """The edits of one slice, or nothing."""
    if edits is None:
        return b""
    extra = ExtraEdits.collect(network, [edits], [0.0], [Proof.STRUCTURE])
    return bytes(save_tensors(to_tensors(extra)))


def edits_from_bytes(content: bytes, network: Network) -> Edits | None:
    """The inverse of :func:`edits_to_bytes`."""
    return from_tensors(load_tensors(content), network, 1).at(0) if content else None


def _pairs(codes: np.ndarray, criteria: np.ndarray) -> np.ndarray:
    """Edit and criterion of each neuron as one number: 0 if it stays, else 1 to 12."""
    pairs = _KINDS * (criteria.astype(np.int64) - 1) + codes
    return np.where(codes == Edit.KEEP, 0, pairs).astype(np.uint8)


def _unpaired(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if (pairs > _KINDS * max(Criterion)).any():
        raise ValueError("its edits hold a code that stands for nothing")
    kept = pairs == 0
    codes = np.where(kept, Edit.KEEP, (pairs.astype(np.int64) - 1) % _KINDS + 1)
    criteria = np.where(kept, Criterion.KEPT, (pairs.astype(np.int64) - 1) // _KINDS + 1)
    return codes.astype(np.uint8), criteria.astype(np.uint8)
