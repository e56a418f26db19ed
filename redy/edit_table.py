"""The edits of many slices: most follow from the phases' status, the others stand in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from redy.edits import Criterion, Edit, Edits, exact_codes, is_single
from redy.network.form import Network
from redy.verdict import Proof


@dataclass(frozen=True, eq=False)
class ExtraEdits:
    """The edits of the slices of which they do not follow from the status.

    Attributes:
        rows: (e,) int64, ascending: which rows of the table of all slices these are.
        codes, criteria: (e, neurons) uint8, as in :class:`redy.edits.Edits`.
        lines: (all, 2) float64 slopes and intercepts of the AFFINE neurons, row after row.
        corrected: (e,) bool, the slice has a correction.
        corrections: (corrected slices, outputs, inputs + 1) float64.
        eps_proved: (e,) float64, proved bounds on the output error.
        proofs: (e,) what the proof of each slice's edits rests on.

    Raises:
        ValueError: the parts do not fit together.
    """

    rows: np.ndarray
    codes: np.ndarray
    criteria: np.ndarray
    lines: np.ndarray
    corrected: np.ndarray
    corrections: np.ndarray
    eps_proved: np.ndarray
    proofs: tuple[Proof, ...]

    def __post_init__(self) -> None:
        count = len(self.rows)
        consistent = (
            self.codes.shape == self.criteria.shape
            and len(self.codes) == count == len(self.proofs)
            and ((self.codes == Edit.KEEP) == (self.criteria == Criterion.KEPT)).all()
            and not ((self.codes == Edit.AFFINE) & (self.criteria == Criterion.PHASE)).any()
            and self.corrected.shape == self.eps_proved.shape == (count,)
            and (np.diff(self.rows) > 0).all()
            and self.lines.shape == (int((self.codes == Edit.AFFINE).sum()), 2)
            and is_single(self.lines)
            and self.corrections.ndim == 3
            and len(self.corrections) == int(self.corrected.sum())
            and is_single(self.corrections)
            and (self.eps_proved >= 0.0).all()
        )
        if not consistent:
            raise ValueError("its tables of edits do not fit together")

    @classmethod
    def collect(
        cls,
        network: Network,
        edits: Sequence[Edits | None],
        eps_proved: Sequence[float],
        proofs: Sequence[Proof],
    ) -> ExtraEdits:
        """Of all slices in order: their edits, None where they follow from the status."""
        own = [(row, e) for row, e in enumerate(edits) if e is not None]
        rows = np.array([row for row, _ in own], dtype=np.int64)
        corrections = [e.correction for _, e in own if e.correction is not None]
        nothing = np.zeros((0, len(network.neurons)), dtype=np.uint8)
        shape = (0, network.outputs, network.inputs + 1)
        return cls(
            rows=rows,
            codes=np.concatenate([nothing, *(e.codes[None] for _, e in own)]),
            criteria=np.concatenate([nothing, *(e.criteria[None] for _, e in own)]),
            lines=np.concatenate(
                [np.zeros((0, 2)), *(e.lines[e.codes == Edit.AFFINE] for _, e in own)]
            ),
            corrected=np.array([e.correction is not None for _, e in own], dtype=bool),
            corrections=np.concatenate([np.zeros(shape), *(c[None] for c in corrections)]),
            eps_proved=np.array([eps_proved[row] for row in rows], dtype=np.float64),
            proofs=tuple(proofs[row] for row in rows),
        )

    def find(self, row: int) -> int | None:
        """Where the slice in ``row`` of the table of all slices is here, if it is."""
        place = int(np.searchsorted(self.rows, row))
        return place if place < len(self.rows) and self.rows[place] == row else None

    def at(self, place: int) -> Edits:
        """The edits at ``place`` of this table."""
        codes = self.codes[place]
        lines = np.zeros((codes.size, 2))
        lines[codes == Edit.AFFINE] = self.lines[slice(*self._first_line[place : place + 2])]
        correction = None
        if self.corrected[place]:
            correction = self.corrections[int(self.corrected[:place].sum())]
        return Edits(codes, self.criteria[place], lines, correction)

    @cached_property
    def _first_line(self) -> np.ndarray:
        lines = (self.codes == Edit.AFFINE).sum(axis=1)
        return np.concatenate([[0], np.cumsum(lines, dtype=np.int64)])


@dataclass(frozen=True, eq=False)
class AllEdits:
    """The edits of all slices, as far as figures need them.

    Attributes:
        codes, criteria: (slices, neurons) uint8.
        shapes: (slices, neurons) uint8, see :attr:`redy.edits.Edits.shape`.
        skips_input: (slices,) bool, outputs read the input by a correction.
    """

    codes: np.ndarray
    criteria: np.ndarray
    shapes: np.ndarray
    skips_input: np.ndarray

    @classmethod
    def of(cls, network: Network, status: np.ndarray, extra: ExtraEdits) -> AllEdits:
        """Those of ``status`` (slices, neurons), and ``extra`` in their places."""
        codes, criteria = exact_codes(network, status)
        codes[extra.rows], criteria[extra.rows] = extra.codes, extra.criteria
        shapes = codes.copy()
        affine = extra.codes == Edit.AFFINE
        constant = np.zeros_like(affine)
        constant[affine] = extra.lines[:, 0] == 0.0
        shapes[extra.rows] = np.where(constant, np.uint8(Edit.ZERO), extra.codes)
        skips = np.zeros(len(status), dtype=bool)
        corrected = extra.rows[extra.corrected]
        skips[corrected] = extra.corrections[:, :, :-1].any(axis=(1, 2))
        return cls(codes, criteria, shapes, skips)
