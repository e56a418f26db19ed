"""Solvers behind one interface: Gurobi, SCIP, HiGHS and Z3.

Every backend is a class in :data:`SOLVERS`, in a module of its own in this package; adding one is
adding that module. Importing this package imports no solver's library.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import numpy as np

from redy.errors import SolverError
from redy.solvers.base import SOLVERS, Capabilities, Solver
from redy.solvers.problem import Answer, Limits, Outcome, Problem

__all__ = [
    "PREFERENCE",
    "SOLVERS",
    "Answer",
    "Capabilities",
    "Limits",
    "Outcome",
    "Problem",
    "Solver",
    "auto",
    "fits",
    "solver",
    "versions",
]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

PREFERENCE = ("gurobi", "highs", "scip")
"""The backends that :func:`auto` may take. Z3 is not among them: it is for small queries that need
an exact answer."""


def preferred(problem: Problem) -> tuple[str, ...]:
    """The names in :data:`PREFERENCE` in the order in which they are tried for ``problem``.

    For MILPs SCIP comes before HiGHS: of 216 recorded queries it decided 107, HiGHS 89
    (experiments/PERFORMANCE.md).
    """
    return ("gurobi", "scip", "highs") if problem.integer.any() else PREFERENCE


def solver(name: str) -> Solver:
    """The backend of that name, ready to use.

    Raises:
        SolverError: there is none of that name, or it is not installed or not licensed.
    """
    if name not in SOLVERS:
        raise SolverError(f"no solver {name!r}; there are {', '.join(sorted(SOLVERS))}")
    capabilities = SOLVERS[name].probe()
    if not capabilities.available:
        raise SolverError(f"solver {name}: {capabilities.why_not}")
    return SOLVERS[name]


def auto(problem: Problem) -> Solver:
    """The first of the :func:`preferred` backends that is there and whose licence fits.

    Raises:
        SolverError: there is none.
    """
    reasons = []
    for name in preferred(problem):
        capabilities = SOLVERS[name].probe()
        if capabilities.available and fits(problem, capabilities):
            return SOLVERS[name]
        reasons.append(f"{name}: {capabilities.why_not or 'the licence allows only smaller ones'}")
    raise SolverError(f"no solver for this problem; {'; '.join(reasons)}")


def versions(name: str) -> dict[str, str]:
    """The backends that ``name``, which may be "auto", may stand for here, and their versions.

    Raises:
        SolverError: there is none.
    """
    if name != "auto":
        return {name: solver(name).probe().version}
    probed = {other: SOLVERS[other].probe() for other in PREFERENCE}
    found = {other: probe.version for other, probe in probed.items() if probe.available}
    if not found:
        reasons = "; ".join(f"{other}: {probe.why_not}" for other, probe in probed.items())
        raise SolverError(f"no solver is there; {reasons}")
    return found


def fits(problem: Problem, capabilities: Capabilities) -> bool:
    """Whether the licence allows a problem of this size; a row with two ends counts twice."""
    ends = np.isfinite(problem.row_lower).astype(int) + np.isfinite(problem.row_upper)
    rows = int(np.where(problem.row_lower == problem.row_upper, 1, ends).sum())
    most_variables, most_rows = capabilities.most_variables, capabilities.most_rows
    return (most_variables is None or problem.lower.size <= most_variables) and (
        most_rows is None or rows <= most_rows
    )
