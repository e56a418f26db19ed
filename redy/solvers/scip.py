"""SCIP, through pyscipopt."""

from __future__ import annotations

from typing import Any

import numpy as np

from redy.solvers.backend import SEED, Backend
from redy.solvers.base import register
from redy.solvers.checks import Reads
from redy.solvers.problem import Answer, Limits, Outcome, Problem
from redy.tolerances import SCIP_SMALLEST, SOLVER_INFINITY, SOLVER_TOLERANCE

OUTCOMES = {
    "optimal": Outcome.OPTIMAL,
    "infeasible": Outcome.INFEASIBLE,
    "unbounded": Outcome.UNBOUNDED,
    "inforunbd": Outcome.UNBOUNDED,
    "timelimit": Outcome.LIMIT,
    "nodelimit": Outcome.LIMIT,
    "totalnodelimit": Outcome.LIMIT,
}
"""What the words of ``Model.getStatus`` mean; any other is a failure."""

PARAMETERS: dict[str, object] = {
    "display/verblevel": 0,
    "misc/catchctrlc": False,
    "randomization/randomseedshift": SEED,
    "randomization/permutationseed": SEED,
    "lp/threads": 1,
    "parallel/maxnthreads": 1,
    "numerics/epsilon": SCIP_SMALLEST,
    "numerics/feastol": SOLVER_TOLERANCE,
    "numerics/dualfeastol": SOLVER_TOLERANCE,
    "numerics/infinity": SOLVER_INFINITY,
    "limits/gap": 0.0,
    "limits/absgap": 0.0,
}

PLAIN_LP: dict[str, object] = {
    "presolving/maxrounds": 0,
    "propagating/maxrounds": 0,
    "propagating/maxroundsroot": 0,
    "separating/maxrounds": 0,
    "separating/maxroundsroot": 0,
    "conflict/enable": False,
}
"""For a problem without integers: SCIP's root LP is the problem itself, and its duals are ours."""


@register
class Scip(Backend):
    """Branch and cut; an LP is solved at the root without presolving, for the sake of its duals."""

    name = "scip"
    module = "pyscipopt"
    package = "pyscipopt"
    reads = Reads(smallest=SCIP_SMALLEST, infinity=SOLVER_INFINITY)

    def version(self) -> str:
        """Version of the solver."""
        model = self.library().Model()
        numbers = (model.getMajorVersion(), model.getMinorVersion(), model.getTechVersion())
        return ".".join(str(number) for number in numbers)

    def run(self, problem: Problem, limits: Limits, start: np.ndarray | None) -> Answer:
        """Solve with pyscipopt."""
        pyscipopt = self.library()
        mip = bool(problem.integer.any())
        model = pyscipopt.Model()
        model.setParams(PARAMETERS | ({} if mip else PLAIN_LP) | _limits(limits))
        if not mip:
            model.setHeuristics(pyscipopt.SCIP_PARAMSETTING.OFF)
        x = _variables(model, problem)
        rows = _rows(pyscipopt.scip, model, problem, x, mip=mip)
        if start is not None:
            _warm_start(model, x, start)
        model.optimizeNogil()
        return _answer(model, x, rows, mip=mip)


def _limits(limits: Limits) -> dict[str, object]:
    parameters: dict[str, object] = {}
    if limits.seconds is not None:
        parameters["limits/time"] = max(limits.seconds, 0.0)
    if limits.nodes is not None:
        parameters["limits/totalnodes"] = limits.nodes
    return parameters


def _variables(model: Any, problem: Problem) -> list[Any]:
    ends = (problem.lower.tolist(), problem.upper.tolist())
    kinds = np.where(problem.integer, "I", "C").tolist()
    return [
        model.addVar(vtype=kind, lb=lower, ub=upper, obj=cost)
        for lower, upper, kind, cost in zip(*ends, kinds, problem.objective.tolist(), strict=True)
    ]


def _rows(scip: Any, model: Any, problem: Problem, x: list[Any], *, mip: bool) -> list[Any]:
    """One constraint per row, from its terms directly: adding expressions up is slow.

    In an LP they are modifiable, which keeps SCIP from turning rows of one variable into ends of
    the variable, without duals.
    """
    terms = [scip.Term(variable) for variable in x]
    matrix = problem.rows
    columns, values = matrix.indices.tolist(), matrix.data.tolist()
    starts = matrix.indptr.tolist()
    ends = zip(problem.row_lower.tolist(), problem.row_upper.tolist(), strict=True)
    constraints = []
    for i, (lower, upper) in enumerate(ends):
        span = range(starts[i], starts[i + 1])
        row = scip.Expr({terms[columns[k]]: values[k] for k in span})
        constraints.append(model.addCons(scip.ExprCons(row, lower, upper), modifiable=not mip))
    return constraints


def _warm_start(model: Any, x: list[Any], start: np.ndarray) -> None:
    solution = model.createSol()
    for variable, value in zip(x, start.tolist(), strict=True):
        model.setSolVal(solution, variable, value)
    model.addSol(solution)


def _answer(model: Any, x: list[Any], rows: list[Any], *, mip: bool) -> Answer:
    status = model.getStatus()
    best = model.getBestSol() if model.getNSols() else None
    optimal_lp = status == "optimal" and not mip
    return Answer(
        OUTCOMES.get(status, Outcome.FAILED),
        bound=model.getDualbound(),
        point=None if best is None else np.array([model.getSolVal(best, v) for v in x]),
        dual=np.array([model.getDualsolLinear(row) for row in rows]) if optimal_lp else None,
        nodes=model.getNTotalNodes(),
        detail=f"scip: {status}",
    )
