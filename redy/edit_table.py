"""The edits of many slices in few bytes: two bits per neuron, and what is the same only once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from redy.edits import Edit, Edits, Replacements, exact_codes
from redy.network.form import Network

_PER_BYTE = 4
_SHIFTS = np.arange(0, 8, 2, dtype=np.uint8)


def pack(codes: np.ndarray) -> np.ndarray:
    """(m, n) codes of :class:`Edit` as (m, ceil(n / 4)) bytes, the first neuron in the low bits."""
    padded = np.pad(codes, ((0, 0), (0, -codes.shape[1] % _PER_BYTE)))
    packed = np.zeros((len(codes), padded.shape[1] // _PER_BYTE), dtype=np.uint8)
    for place, shift in enumerate(_SHIFTS):
        packed |= padded[:, place::_PER_BYTE] << shift
    return packed


def unpack(packed: np.ndarray, count: int) -> np.ndarray:
    """The inverse of :func:`pack`: (m, count) uint8."""
    codes = np.empty((len(packed), packed.shape[1] * _PER_BYTE), dtype=np.uint8)
    for place, shift in enumerate(_SHIFTS):
        codes[:, place::_PER_BYTE] = packed >> shift & 3
    return codes[:, :count]


@dataclass(frozen=True, eq=False)
class EditTable:
    """What becomes of the neurons and outputs of m slices, see :class:`redy.edits.Replacements`.

    Slices whose neurons are all removed have the same codes, which are held once, and at most a
    correction of their own.

    Attributes:
        neurons: their number n.
        number: (m,) uint32, the slice's row of ``packed``.
        packed: (distinct, ceil(n / 4)) uint8, see :func:`pack`. Rows differ, or else their lines.
        lines: (all, 2) float32 slopes and intercepts of the AFFINE neurons, row after row.
        correction: (m,) uint32, 0 for none, else 1 + the slice's row of ``corrections``.
        corrections: (distinct, outputs, inputs + 1) float32.

    Raises:
        ValueError: the parts do not fit together.
    """

    neurons: int
    number: np.ndarray
    packed: np.ndarray
    lines: np.ndarray
    correction: np.ndarray
    corrections: np.ndarray

    def __post_init__(self) -> None:
        full, rest = divmod(self.neurons, _PER_BYTE)
        consistent = (
            self.packed.shape[1:] == (full + bool(rest),)
            and not (rest and (self.packed[:, -1] >> _SHIFTS[rest]).any())
            and self.number.shape == self.correction.shape == (len(self.number),)
            and bool((self.number < len(self.packed)).all())
            and len(self.packed) <= len(self.number)
            and self.correction.max(initial=0) <= len(self.corrections)
            and self.lines.shape == (self._first_line[-1], 2)
            and bool(np.isfinite(self.lines).all())
            and self.corrections.ndim == 3
            and bool(np.isfinite(self.corrections).all())
        )
        if not consistent:
            raise ValueError("its tables of edits do not fit together")

    @classmethod
    def collect(
        cls, network: Network, codes: np.ndarray, edits: Sequence[Edits | None]
    ) -> EditTable:
        """Of all slices in order: ``codes`` (m, n), and edits where there may be more to them."""
        packed = pack(codes)
        lines = [_lines(part).astype("<f4") for part in edits]
        number, rows = _numbered(
            row.tobytes() + of_row.tobytes() for row, of_row in zip(packed, lines, strict=True)
        )
        shape = (network.outputs, network.inputs + 1)
        given = [None if part is None else part.correction for part in edits]
        own = [np.zeros(shape)] + [each for each in given if each is not None]
        singles = np.stack(own).astype("<f4")
        which, firsts = _numbered(each.tobytes() for each in singles[1:])
        corrected = np.array([each is not None for each in given], dtype=bool)
        correction = np.zeros(len(codes), dtype="<u4")
        correction[corrected] = which + 1
        return cls(
            neurons=codes.shape[1],
            number=number,
            packed=packed[rows],
            lines=np.concatenate([np.zeros((0, 2), dtype="<f4"), *(lines[row] for row in rows)]),
            correction=correction,
            corrections=singles[1:][firsts],
        )

    def at(self, row: int) -> Replacements:
        """Those of the slice in ``row``."""
        number, place = int(self.number[row]), int(self.correction[row])
        codes = unpack(self.packed[number : number + 1], self.neurons)[0]
        lines = np.zeros((self.neurons, 2))
        lines[codes == Edit.AFFINE] = self.lines[slice(*self._first_line[number : number + 2])]
        correction = self.corrections[place - 1].astype(np.float64) if place else None
        return Replacements(codes, lines, correction)

    @property
    def codes(self) -> np.ndarray:
        """(m, n) uint8 of :class:`Edit`."""
        return np.asarray(unpack(self.packed, self.neurons)[self.number])

    @property
    def shapes(self) -> np.ndarray:
        """(m, n) uint8, see :attr:`redy.edits.Replacements.shape`."""
        codes = unpack(self.packed, self.neurons)
        slopes = np.ones(codes.shape, dtype=np.float32)
        slopes[codes == Edit.AFFINE] = self.lines[:, 0]
        return np.asarray(np.where(slopes == 0.0, np.uint8(Edit.ZERO), codes)[self.number])

    @property
    def skips_input(self) -> np.ndarray:
        """(m,) bool, see :attr:`redy.edits.Replacements.skips_input`."""
        skips = self.corrections[:, :, :-1].any(axis=(1, 2))
        return np.asarray(np.concatenate([[False], skips])[self.correction])

    @cached_property
    def _first_line(self) -> np.ndarray:
        """(distinct + 1,) where the lines of each row of ``packed`` begin."""
        affine = self.packed & self.packed >> 1 & 0b01010101  # AFFINE is 3, both bits set
        lines = np.bitwise_count(affine).sum(axis=1, dtype=np.int64)
        return np.concatenate([[0], np.cumsum(lines)])


def codes_and_criteria(
    network: Network, status: np.ndarray, edits: Sequence[Edits | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Of all slices: (m, neurons) uint8 each; None stands for what follows from ``status``."""
    codes, criteria = exact_codes(network, status)
    for row, part in enumerate(edits):
        if part is not None:
            codes[row], criteria[row] = part.codes, part.criteria
    return codes, criteria


def _lines(edits: Edits | None) -> np.ndarray:
    return np.zeros((0, 2)) if edits is None else edits.lines[edits.codes == Edit.AFFINE]


def _numbered(keys: Iterable[bytes]) -> tuple[np.ndarray, list[int]]:
    """Per key, the number of those before its first that differ; and where the first ones are."""
    seen: dict[bytes, int] = {}
    numbers: list[int] = []
    firsts: list[int] = []
    for place, key in enumerate(keys):
        if seen.setdefault(key, len(seen)) == len(firsts):
            firsts.append(place)
        numbers.append(seen[key])
    return np.array(numbers, dtype="<u4"), firsts
