"""What backs the edits of a bundle: status, criteria, proofs and witnesses, sealed until asked for.

The dispatcher needs none of it. Each table is one zlib stream, and its size follows from tables
that were checked before: no stream is decompressed any further than that.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, prod

import numpy as np
from numpy.typing import DTypeLike

from redy.edits import Criterion, Edit, Status, edits_of
from redy.search.witnesses import Witnesses
from redy.verdict import Proof

PROOFS = tuple(Proof)
_NAMES = [proof.name for proof in PROOFS]
_FROM_RUN = 0xFFFF
"""Marks a witness that is not of the pool."""

_LEVEL = 6
_TABLES = (
    "reasons", "proof", "boxes", "pool", "witness_count", "witness_pool", "witness_found",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was found out about m slices, and why their edits are allowed.

    Attributes:
        status: (m, neurons) uint8 of :class:`redy.edits.Status`.
        criteria: (m, neurons) uint8 of :class:`redy.edits.Criterion`.
        proof: (m,) uint8, what the proof of the edits as a whole rests on: a place in PROOFS.
        boxes: (m,) boxes that each slice cost.
        pool: (p, inputs) float64 relative positions that witnesses refer to.
        witness_count: (m,) witnesses of each slice.
        witness_pool: (all,) rows of the pool; for a witness of its own, the mark 0xFFFF.
        witness_found: (own, inputs) float32, the witnesses of their own, in order.
    """

    status: np.ndarray
    criteria: np.ndarray
    proof: np.ndarray
    boxes: np.ndarray
    pool: np.ndarray
    witness_count: np.ndarray
    witness_pool: np.ndarray
    witness_found: np.ndarray

    def require_fit(self, codes: np.ndarray) -> None:
        """Raise ValueError unless it can back the edits ``codes`` (m, neurons).

        A neuron is removed for its phase if a phase is proved, and the edit is what that phase is;
        or zero, where no output reads the neuron, or a correction of the outputs says all.
        """
        consistent = (
            codes.shape == self.status.shape == self.criteria.shape
            and self.status.max(initial=0) < len(Status)
            and self.criteria.max(initial=0) < len(Criterion)
            and ((codes == Edit.KEEP) == (self.criteria == Criterion.KEPT)).all()
            and not self._unproved_phases(codes).any()
        )
        if not consistent:
            raise ValueError("its edits are not what their reasons allow")

    def _unproved_phases(self, codes: np.ndarray) -> np.ndarray:
        phases = edits_of(self.status)
        zero = (codes == Edit.ZERO) & (phases == Edit.IDENTITY)
        return np.asarray((self.criteria == Criterion.PHASE) & (codes != phases) & ~zero)

    def witnesses(self, row: int) -> Witnesses:
        """Those of the slice in ``row``."""
        first, last = self._first_witness[row : row + 2]
        rows = self.witness_pool[first:last]
        found = self.witness_found[self._own_before[first] : self._own_before[last]]
        return Witnesses(rows[rows != _FROM_RUN], found)

    @cached_property
    def _first_witness(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.witness_count, dtype=np.int64)])

    @cached_property
    def _own_before(self) -> np.ndarray:
        own = self.witness_pool == _FROM_RUN
        return np.concatenate([[0], np.cumsum(own, dtype=np.int64)])


def join_witnesses(pool: np.ndarray, found: int) -> np.ndarray:
    """The ``witness_pool`` entries of one slice: ``pool`` rows, then ``found`` marks."""
    marks = np.full(found, _FROM_RUN, dtype=np.uint16)
    return np.concatenate([pool.astype(np.uint16), marks])


@dataclass(frozen=True, eq=False)
class Sealed:
    """Evidence as a file holds it.

    Attributes:
        streams: table -> zlib stream, as an array of bytes.
        proofs: the names of the proofs that table ``proof`` counts.
        positions: number p of positions in the pool.
        room: bytes that a table may take; a file of any size can ask for a thousand times that.

    Raises:
        ValueError, LookupError: a stream is missing, or is no array of bytes.
    """

    streams: Mapping[str, np.ndarray]
    proofs: Sequence[str]
    positions: int
    room: float = inf

    def __post_init__(self) -> None:
        if any(self.streams[name].dtype != np.uint8 for name in _TABLES):
            raise ValueError("its evidence is no compressed bytes")
        if not isinstance(self.proofs, list) or any(name not in _NAMES for name in self.proofs):
            raise ValueError("its proofs are none that there are")
        if type(self.positions) is not int or not 0 <= self.positions < _FROM_RUN:
            raise ValueError("its pool of witnesses has another size than redy's")

    @classmethod
    def seal(cls, evidence: Evidence) -> Sealed:
        """``evidence``, compressed."""
        # Neuron by neuron: neighbouring slices agree in most, and half of the bytes are saved.
        reasons = (evidence.status | evidence.criteria << 4).T
        tables = {
            "reasons": reasons.astype(np.uint8),
            "proof": evidence.proof.astype(np.uint8),
            "boxes": evidence.boxes.astype("<u4"),
            "pool": evidence.pool.astype("<f8"),
            "witness_count": evidence.witness_count.astype("<u2"),
            "witness_pool": evidence.witness_pool.astype("<u2"),
            "witness_found": evidence.witness_found.astype("<f4"),
        }
        streams = {name: zlib.compress(table.tobytes(), _LEVEL) for name, table in tables.items()}
        return cls(
            {name: np.frombuffer(stream, dtype=np.uint8) for name, stream in streams.items()},
            [proof.name for proof in PROOFS],
            len(evidence.pool),
        )

    def opened(self, slices: int, neurons: int, inputs: int) -> Evidence:
        """The evidence of so many slices; whether it fits their edits, it has to be asked.

        Raises:
            ValueError, LookupError, zlib.error: it is none.
        """
        reasons = np.ascontiguousarray(self._table("reasons", np.uint8, (neurons, slices)).T)
        kinds = np.array([PROOFS.index(Proof[name]) for name in self.proofs], dtype=np.uint8)
        count = self._table("witness_count", "<u2", (slices,))
        rows = self._table("witness_pool", "<u2", (int(count.sum()),))
        own = int((rows == _FROM_RUN).sum())
        if ((rows >= self.positions) & (rows != _FROM_RUN)).any():
            raise ValueError("its witnesses are of no position in the pool")
        return Evidence(
            status=reasons & 0x0F,
            criteria=reasons >> 4,
            proof=kinds[self._table("proof", np.uint8, (slices,))],
            boxes=self._table("boxes", "<u4", (slices,)),
            pool=self._table("pool", "<f8", (self.positions, inputs)),
            witness_count=count,
            witness_pool=rows,
            witness_found=self._table("witness_found", "<f4", (own, inputs)),
        )

    def _table(self, name: str, dtype: DTypeLike, shape: tuple[int, ...]) -> np.ndarray:
        size = prod(shape) * np.dtype(dtype).itemsize
        if size > self.room:
            raise ValueError(f"its table {name} is out of proportion to the file")
        stream = zlib.decompressobj()
        content = stream.decompress(self.streams[name].tobytes(), size + 1)
        if len(content) != size or not stream.eof or stream.unused_data:
            raise ValueError(f"its table {name} has another size than it must have")
        return np.frombuffer(content, dtype).reshape(shape)
