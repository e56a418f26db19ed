"""Verdicts on a claim: proved, refuted with a witness, or unknown for a stated reason.

Never a bool: a timeout is not a refutation, and only :class:`Proved` allows an edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np


class Proof(Enum):
    """What a :class:`Proved` verdict rests on."""

    PROPAGATION = "propagation"
    BRANCH_AND_BOUND = "branch and bound"
    LP_DUAL = "LP dual, recomputed with rounding outward"
    SOLVER = "solver status"
    STRUCTURE = "no output reads it"


class Reason(Enum):
    """Why a claim is undecided."""

    BUDGET = "work budget spent"
    TIME_LIMIT = "time limit reached"
    NUMERICAL = "numerical"
    WORKER = "its worker process died"


@dataclass(frozen=True)
class Proved:
    """The claim holds on the whole slice, over the reals."""

    proof: Proof


@dataclass(frozen=True, eq=False)
class Refuted:
    """The claim fails, as ``witnesses`` (m, inputs), points of the slice, show."""

    witnesses: np.ndarray


@dataclass(frozen=True)
class Unknown:
    """The claim was neither proved nor refuted; the neuron stays."""

    reason: Reason


Verdict = Proved | Refuted | Unknown
