"""Gurobi, through gurobipy; the licence that comes with pip allows 2000 variables and 2000 rows."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from math import inf
from typing import Any

import numpy as np
from scipy import sparse

from redy.solvers.backend import SEED, Backend
from redy.solvers.base import register
from redy.solvers.checks import Reads
from redy.solvers.problem import Answer, Limits, Outcome, Problem
from redy.tolerances import GUROBI_SMALLEST, SOLVER_INFINITY, SOLVER_TOLERANCE

OUTCOMES = {
    "OPTIMAL": Outcome.OPTIMAL,
    "INFEASIBLE": Outcome.INFEASIBLE,
    "INF_OR_UNBD": Outcome.UNBOUNDED,
    "UNBOUNDED": Outcome.UNBOUNDED,
    "TIME_LIMIT": Outcome.LIMIT,
    "NODE_LIMIT": Outcome.LIMIT,
}
"""What the names in ``GRB.Status`` mean; any other is a failure."""

RESTRICTED = 2000
"""Variables, and rows, that the licence in the pip package allows."""

PARAMETERS = {
    "Threads": 1,
    "Seed": SEED,
    "FeasibilityTol": SOLVER_TOLERANCE,
    "OptimalityTol": SOLVER_TOLERANCE,
    "IntFeasTol": SOLVER_TOLERANCE,
    "MIPGap": 0.0,
    "MIPGapAbs": 0.0,
}


@register
class Gurobi(Backend):
    """One constraint per finite end of a row (an equation is one), as ranges cost a variable."""

    name = "gurobi"
    module = "gurobipy"
    package = "gurobipy"
    reads = Reads(smallest=GUROBI_SMALLEST, infinity=SOLVER_INFINITY)

    def version(self) -> str:
        """Version of the solver."""
        return ".".join(str(part) for part in self.library().gurobi.version())

    def size_limits(self) -> tuple[int | None, int | None]:
        """What the licence allows, found out by solving an empty model that is too large."""
        self.library()
        most = _licensed_size()
        return most, most

    def run(self, problem: Problem, limits: Limits, start: np.ndarray | None) -> Answer:
        """Solve with gurobipy."""
        gurobi = self.library()
        sides = _Sides.of(problem)
        with gurobi.Model(env=_environment()) as model:
            kind = np.where(problem.integer, gurobi.GRB.INTEGER, gurobi.GRB.CONTINUOUS)
            x = model.addMVar(
                problem.lower.size, problem.lower, problem.upper, problem.objective, kind
            )
            rows = model.addMConstr(sides.rows, x, sides.sense, sides.end)
            if start is not None:
                x.Start = start
            if limits.seconds is not None:
                model.Params.TimeLimit = max(limits.seconds, 0.0)
            if limits.nodes is not None:
                model.Params.NodeLimit = limits.nodes
            model.optimize()
            status = _names(gurobi.GRB.Status).get(model.Status, "unknown status")
            optimal_lp = status == "OPTIMAL" and not model.IsMIP
            return Answer(
                OUTCOMES.get(status, Outcome.FAILED),
                bound=model.ObjBound if model.IsMIP else -inf,
                point=x.X if model.SolCount else None,
                dual=sides.merged(rows.Pi) if optimal_lp else None,
                nodes=int(model.NodeCount),
                detail=f"gurobi: {status} ({model.Status})",
            )


@dataclass(frozen=True, eq=False)
class _Sides:
    """The finite ends of the rows, one constraint each: of row ``row[k]``, with ``sense[k]``."""

    rows: sparse.csr_array
    sense: np.ndarray
    end: np.ndarray
    row: np.ndarray
    of_rows: int

    @classmethod
    def of(cls, problem: Problem) -> _Sides:
        equal = problem.row_lower == problem.row_upper
        below = np.flatnonzero(np.isfinite(problem.row_lower))
        above = np.flatnonzero(np.isfinite(problem.row_upper) & ~equal)
        row = np.concatenate([below, above])
        sense = np.concatenate([np.where(equal[below], "=", ">"), np.full(above.size, "<")])
        end = np.concatenate([problem.row_lower[below], problem.row_upper[above]])
        return cls(problem.rows[row], sense, end, row, equal.size)

    def merged(self, dual: np.ndarray) -> np.ndarray:
        """Duals of the rows, (m,), from those of their sides: at most one of two is not zero."""
        return np.bincount(self.row, weights=dual, minlength=self.of_rows)


_ENVIRONMENTS: dict[tuple[int, int], Any] = {}


def _environment() -> Any:
    """Silent and strict; one per process and thread, as Gurobi asks, since a licence is taken."""
    here = (os.getpid(), threading.get_ident())
    if here not in _ENVIRONMENTS:
        environment = import_module("gurobipy").Env(empty=True)
        environment.setParam("OutputFlag", 0)
        environment.start()
        for name, value in PARAMETERS.items():
            environment.setParam(name, value)
        _ENVIRONMENTS[here] = environment
    return _ENVIRONMENTS[here]


@cache
def _licensed_size() -> int | None:
    """The most variables that this machine's licence allows; None if any number."""
    gurobi = import_module("gurobipy")
    with gurobi.Model(env=_environment()) as model:
        model.addMVar(RESTRICTED + 1)
        try:
            model.optimize()
        except gurobi.GurobiError as error:
            if error.errno != gurobi.GRB.Error.SIZE_LIMIT_EXCEEDED:
                raise
            return RESTRICTED
    return None


def _names(statuses: Any) -> dict[int, str]:
    return {getattr(statuses, name): name for name in dir(statuses) if name.isupper()}
