"""What was found out about each neuron of one slice, and what becomes of it.

A :class:`Status` is one small integer per neuron: its phase, as far as it is known. An
:class:`Edit` is what replaces its activation, a :class:`Criterion` why, and :class:`Edits` are
those of all neurons of one slice. Most follow from the status (:meth:`Edits.exact`), which is then
all that is kept of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

import numpy as np

from redy.network.form import Network
from redy.network.reach import unread
from redy.verdict import Proof, Proved, Reason, Refuted, Unknown, Verdict


class Edit(IntEnum):
    """The replacement of a neuron's activation; all but KEEP remove the neuron."""

    KEEP = 0
    ZERO = 1
    IDENTITY = 2
    AFFINE = 3


class Criterion(IntEnum):
    """Why a neuron may be removed (paper, section III)."""

    KEPT = 0
    PHASE = 1
    FORWARD = 2
    DECISION = 3
    RELAXED = 4


class Status(IntEnum):
    """What is known of the claim "this neuron has one phase on the whole slice"."""

    UNKNOWN_BUDGET = 0
    UNKNOWN_TIME = 1
    UNKNOWN_NUMERICAL = 2
    REFUTED = 3
    INACTIVE_PROPAGATION = 4
    ACTIVE_PROPAGATION = 5
    INACTIVE_BRANCHING = 6
    ACTIVE_BRANCHING = 7
    INACTIVE_SOLVER = 8
    ACTIVE_SOLVER = 9
    INACTIVE_DUAL = 10
    ACTIVE_DUAL = 11
    UNKNOWN_WORKER = 12


INACTIVE = {
    Proof.PROPAGATION: Status.INACTIVE_PROPAGATION,
    Proof.BRANCH_AND_BOUND: Status.INACTIVE_BRANCHING,
    Proof.SOLVER: Status.INACTIVE_SOLVER,
    Proof.LP_DUAL: Status.INACTIVE_DUAL,
}
"""What a phase is proved by -> the status that says so of an inactive neuron."""

ACTIVE = {
    Proof.PROPAGATION: Status.ACTIVE_PROPAGATION,
    Proof.BRANCH_AND_BOUND: Status.ACTIVE_BRANCHING,
    Proof.SOLVER: Status.ACTIVE_SOLVER,
    Proof.LP_DUAL: Status.ACTIVE_DUAL,
}
"""The same of an active neuron."""

_PROOF_OF = {status: proof for phase in (INACTIVE, ACTIVE) for proof, status in phase.items()}

_INVOLVED = (Proof.SOLVER, Proof.LP_DUAL, Proof.BRANCH_AND_BOUND)
"""Proofs by what they ask one to believe, most first."""

_EDIT_OF = np.zeros(len(Status), dtype=np.uint8)
_EDIT_OF[list(INACTIVE.values())] = Edit.ZERO
_EDIT_OF[list(ACTIVE.values())] = Edit.IDENTITY


def edits_of(status: np.ndarray) -> np.ndarray:
    """The exact edit that each status allows: (...,) of :class:`Edit` as uint8, same shape."""
    edits: np.ndarray = _EDIT_OF[status]
    return edits


def exact_codes(network: Network, status: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edits and criteria that follow from ``status`` (slices, neurons): two arrays of its shape.

    A neuron with one phase is replaced exactly; one that no output reads any more, directly or
    through others, becomes zero, whatever it computes. The outputs are the same over the reals.
    """
    by_phase = edits_of(status)
    loose = unread(network, by_phase != Edit.ZERO)
    codes = np.where(loose, np.uint8(Edit.ZERO), by_phase)
    reason = np.where(by_phase == Edit.KEEP, np.uint8(Criterion.FORWARD), np.uint8(Criterion.PHASE))
    return codes, np.where(codes == Edit.KEEP, np.uint8(Criterion.KEPT), reason)


@dataclass(frozen=True, eq=False)
class Replacements:
    """What becomes of the neurons and outputs of one slice: all that its network depends on.

    A neuron of code ZERO, IDENTITY or AFFINE has its activation max(z, 0) replaced by 0, z or
    a z + b. The simplified outputs are y' = g(x) + C x + d, with g the network so edited.

    Attributes:
        codes: (neurons,) uint8 of :class:`Edit`.
        lines: (neurons, 2) float64, slope a and intercept b; zero unless AFFINE.
        correction: (outputs, inputs + 1) float64, [C | d]; None for none.

    All lines and corrections are single precision numbers.

    Raises:
        ValueError: the parts do not fit together, or a number is not one of single precision.
    """

    codes: np.ndarray
    lines: np.ndarray
    correction: np.ndarray | None = None

    def __post_init__(self) -> None:
        neurons = self.codes.size
        if self.codes.shape != (neurons,) or self.codes.max(initial=0) > max(Edit):
            raise ValueError("an edit that does not exist")
        if self.lines.shape != (neurons, 2):
            raise ValueError(f"lines {self.lines.shape} for {neurons} neurons")
        if self.lines.any():
            self._check_lines()
        if self.correction is not None and not is_single(self.correction):
            raise ValueError("a correction that is not of finite single precision")

    def _check_lines(self) -> None:
        if self.lines[self.codes != Edit.AFFINE].any():
            raise ValueError("lines for neurons that are not affine")
        if not is_single(self.lines):
            raise ValueError("a line that is not of finite single precision")

    @property
    def removed(self) -> int:
        """How many neurons are removed."""
        return int((self.codes != Edit.KEEP).sum())

    @cached_property
    def shape(self) -> np.ndarray:
        """(neurons,) ``codes``, but ZERO for constant lines: what a network's size depends on."""
        constant = (self.codes == Edit.AFFINE) & (self.lines[:, 0] == 0.0)
        return np.where(constant, np.uint8(Edit.ZERO), self.codes)

    @property
    def skips_input(self) -> bool:
        """Whether the correction makes outputs read the input."""
        return self.correction is not None and bool(self.correction[:, :-1].any())


@dataclass(frozen=True, eq=False, init=False)
class Edits(Replacements):
    """Replacements, and the criterion of each.

    Attributes:
        codes, lines, correction: see :class:`Replacements`.
        criteria: (neurons,) uint8 of :class:`Criterion`; KEPT where the code is KEEP, only there.

    Raises:
        ValueError: the parts do not fit together, or a number is not one of single precision.
    """

    criteria: np.ndarray = field(kw_only=True)

    def __init__(
        self,
        codes: np.ndarray,
        criteria: np.ndarray,
        lines: np.ndarray,
        correction: np.ndarray | None = None,
    ) -> None:
        object.__setattr__(self, "criteria", criteria)
        super().__init__(codes, lines, correction)

    def __post_init__(self) -> None:
        if self.codes.shape != self.criteria.shape:
            raise ValueError(f"edits {self.codes.shape} and criteria {self.criteria.shape}")
        if self.criteria.max(initial=0) > max(Criterion):
            raise ValueError("a criterion that does not exist")
        super().__post_init__()
        if ((self.codes == Edit.KEEP) != (self.criteria == Criterion.KEPT)).any():
            raise ValueError("a neuron is removed without a criterion, or kept with one")
        if (self.criteria[self.codes == Edit.AFFINE] == Criterion.PHASE).any():
            raise ValueError("a phase replaces a neuron by zero or the identity, by no other line")

    @classmethod
    def plain(cls, codes: np.ndarray, criteria: np.ndarray) -> Edits:
        """Edits without lines and correction."""
        return cls(codes, criteria, np.zeros((codes.size, 2)))

    @classmethod
    def none(cls, network: Network) -> Edits:
        """Every neuron stays."""
        zeros = np.zeros(len(network.neurons), dtype=np.uint8)
        return cls.plain(zeros, zeros)

    @classmethod
    def by_phase(cls, status: np.ndarray) -> Edits:
        """The edits that ``status`` (neurons,) allows, and no others."""
        codes = edits_of(status)
        removed = codes != Edit.KEEP
        return cls.plain(codes, np.where(removed, np.uint8(Criterion.PHASE), np.uint8(0)))

    @classmethod
    def exact(cls, network: Network, status: np.ndarray) -> Edits:
        """What follows from ``status`` (neurons,) alone; see :func:`exact_codes`."""
        codes, criteria = exact_codes(network, status[None])
        return cls.plain(codes[0], criteria[0])

    def by(self, criterion: Criterion) -> np.ndarray:
        """Which neurons ``criterion`` removed: (neurons,) bool."""
        return np.asarray(self.criteria == criterion)

    def same_as(self, other: Edits) -> bool:
        """Whether both say the same, criteria included."""
        if (self.correction is None) != (other.correction is None):
            return False
        return (
            np.array_equal(self.codes, other.codes)
            and np.array_equal(self.criteria, other.criteria)
            and np.array_equal(self.lines, other.lines)
            and (
                self.correction is None
                or other.correction is None
                or np.array_equal(self.correction, other.correction)
            )
        )

    def follows_from(self, network: Network, status: np.ndarray) -> bool:
        """Whether the phases of ``status`` (neurons,) alone prove that these edits are exact.

        Some of its phase edits do, as each leaves every activation on the slice as it is; zeros
        for what nothing reads any more do together with all of them.
        """
        if self.correction is not None:
            return False
        some = ((self.codes == Edit.KEEP) | (self.codes == edits_of(status))).all()
        return bool(some or np.array_equal(self.codes, exact_codes(network, status[None])[0][0]))


def without_unread(network: Network, edits: Edits) -> Edits:
    """``edits``, and zero for the neurons that no output reads once they are made.

    What these compute makes no difference to the outputs: whatever holds of ``edits`` still does.
    """
    passes = ~(
        (edits.codes == Edit.ZERO) | ((edits.codes == Edit.AFFINE) & (edits.lines[:, 0] == 0))
    )
    loose = unread(network, passes[None])[0] & (edits.codes == Edit.KEEP)
    codes, criteria = edits.codes.copy(), edits.criteria.copy()
    codes[loose], criteria[loose] = Edit.ZERO, Criterion.FORWARD
    return Edits(codes, criteria, edits.lines, edits.correction)


def is_single(numbers: np.ndarray) -> bool:
    """Whether all ``numbers`` are finite and of single precision."""
    with np.errstate(over="ignore"):
        return bool((np.isfinite(numbers) & (numbers == numbers.astype(np.float32))).all())


def without_proofs(status: np.ndarray) -> np.ndarray:
    """``status`` (...,), no phase of which is believed any more."""
    return np.where(edits_of(status) == Edit.KEEP, status, np.uint8(Status.UNKNOWN_NUMERICAL))


def proof_of(status: np.ndarray) -> Proof:
    """What the edits that follow from ``status`` (neurons,) rest on: the most involved proof."""
    present = (proof for proof in _INVOLVED if proved_by(status, proof).any())
    return next(present, Proof.PROPAGATION)


def proved_by(status: np.ndarray, proof: Proof) -> np.ndarray:
    """Where the phase of ``status`` (...,) rests on ``proof``: bool of the same shape."""
    return np.asarray((status == INACTIVE[proof]) | (status == ACTIVE[proof]))


def verdict(status: Status, witnesses: np.ndarray) -> Verdict:
    """``status`` as a verdict; ``witnesses`` (m, inputs) are the slice's points that refute."""
    match status:
        case Status.REFUTED:
            return Refuted(witnesses)
        case Status.UNKNOWN_BUDGET:
            return Unknown(Reason.BUDGET)
        case Status.UNKNOWN_TIME:
            return Unknown(Reason.TIME_LIMIT)
        case Status.UNKNOWN_NUMERICAL:
            return Unknown(Reason.NUMERICAL)
        case Status.UNKNOWN_WORKER:
            return Unknown(Reason.WORKER)
        case _:
            return Proved(_PROOF_OF[status])
