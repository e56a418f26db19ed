"""What was found out about each neuron of one slice, and the edit that follows from it.

A :class:`Status` is one small integer per neuron, so that a slice is a row of bytes in the store
and a row of half bytes in the bundle; :func:`verdict` spells it out.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from redy.verdict import Proof, Proved, Reason, Refuted, Unknown, Verdict


class Edit(IntEnum):
    """The replacement of a neuron's activation; all but KEEP remove the neuron."""

    KEEP = 0
    ZERO = 1
    IDENTITY = 2


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


_INACTIVE = (Status.INACTIVE_PROPAGATION, Status.INACTIVE_BRANCHING)
_ACTIVE = (Status.ACTIVE_PROPAGATION, Status.ACTIVE_BRANCHING)
_EDIT_OF = np.zeros(len(Status), dtype=np.uint8)
_EDIT_OF[list(_INACTIVE)] = Edit.ZERO
_EDIT_OF[list(_ACTIVE)] = Edit.IDENTITY


def edits_of(status: np.ndarray) -> np.ndarray:
    """The exact edit that each status allows: (...,) of :class:`Edit` as uint8, same shape."""
    edits: np.ndarray = _EDIT_OF[status]
    return edits


def verdict(status: Status, witnesses: np.ndarray) -> Verdict:
    """``status`` as a verdict; ``witnesses`` (m, inputs) are the slice's points that refute."""
    match status:
        case Status.INACTIVE_PROPAGATION | Status.ACTIVE_PROPAGATION:
            return Proved(Proof.PROPAGATION)
        case Status.INACTIVE_BRANCHING | Status.ACTIVE_BRANCHING:
            return Proved(Proof.BRANCH_AND_BOUND)
        case Status.REFUTED:
            return Refuted(witnesses)
        case Status.UNKNOWN_BUDGET:
            return Unknown(Reason.BUDGET)
        case Status.UNKNOWN_TIME:
            return Unknown(Reason.TIME_LIMIT)
        case Status.UNKNOWN_NUMERICAL:
            return Unknown(Reason.NUMERICAL)
