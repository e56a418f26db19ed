"""A mixed-integer linear problem and what a solver says of it, in no solver's own terms."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf

import numpy as np
from scipy import sparse


@dataclass(frozen=True, eq=False)
class Problem:
    """minimise objective . x + constant; row_lower <= rows x <= row_upper, lower <= x <= upper.

    Every number is meant as the exact real that its float64 stands for.

    Attributes:
        lower, upper: (n,) ends of the variables, infinite where there is none.
        integer: (n,) bool, the variable takes whole numbers only.
        rows: (m, n) sparse matrix.
        row_lower, row_upper: (m,) ends of the rows, infinite where there is none; equal: equation.
        objective: (n,); all zero if only feasibility is asked.
        constant: added to the objective.
    """

    lower: np.ndarray
    upper: np.ndarray
    integer: np.ndarray
    rows: sparse.csr_array
    row_lower: np.ndarray
    row_upper: np.ndarray
    objective: np.ndarray
    constant: float = 0.0


class Outcome(Enum):
    """What a solver concluded; every native status is mapped to one of these."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    LIMIT = "limit reached"
    """Time or nodes ran out; ``bound`` and ``point`` hold what was found until then."""
    FAILED = "failed"
    """Numerical trouble, infeasible-or-unbounded, a crash, or a status nobody mapped."""


@dataclass(frozen=True)
class Limits:
    """When a solver stops.

    Attributes:
        seconds: wall time; a backend that overruns it is ended from outside.
        nodes: nodes of the search tree, work that does not depend on the machine.
    """

    seconds: float | None = None
    nodes: int | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """A solver's answer; a claim of the solver's, with its tolerances, and not a proof.

    Attributes:
        outcome: how it ended.
        bound: dual bound, at most the minimum according to the solver; -inf claims nothing.
        value: objective at ``point``; inf if there is none.
        point: (n,) feasible according to the solver, or None.
        dual: (m,) row duals of an LP: any y bounds the minimum from below
            (:func:`redy.solvers.certificate.lp_bound`); None for a MILP or if there are none.
        seconds: wall time.
        nodes: nodes of the search tree.
        detail: the native status in words.
    """

    outcome: Outcome
    bound: float = -inf
    value: float = inf
    point: np.ndarray | None = None
    dual: np.ndarray | None = None
    seconds: float = 0.0
    nodes: int = 0
    detail: str = ""
