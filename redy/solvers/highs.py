"""HiGHS, through highspy."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from redy.errors import SolverError
from redy.solvers.backend import SEED, Backend
from redy.solvers.base import register
from redy.solvers.checks import Reads
from redy.solvers.problem import Answer, Limits, Outcome, Problem
from redy.tolerances import HIGHS_LARGEST, HIGHS_SMALLEST, SOLVER_INFINITY, SOLVER_TOLERANCE

OUTCOMES = {
    "kOptimal": Outcome.OPTIMAL,
    "kInfeasible": Outcome.INFEASIBLE,
    "kUnbounded": Outcome.UNBOUNDED,
    "kUnboundedOrInfeasible": Outcome.UNBOUNDED,
    "kTimeLimit": Outcome.LIMIT,
    "kSolutionLimit": Outcome.LIMIT,
}
"""What the names of ``HighsModelStatus`` mean; any other is a failure. The node limit comes back
as kSolutionLimit."""

OPTIONS: dict[str, object] = {
    "output_flag": False,
    "threads": 1,
    "parallel": "off",
    "random_seed": SEED,
    "primal_feasibility_tolerance": SOLVER_TOLERANCE,
    "dual_feasibility_tolerance": SOLVER_TOLERANCE,
    "mip_feasibility_tolerance": SOLVER_TOLERANCE,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 0.0,
    "small_matrix_value": HIGHS_SMALLEST,
    "large_matrix_value": HIGHS_LARGEST,
    "infinite_bound": SOLVER_INFINITY,
}


@register
class Highs(Backend):
    """Simplex for LPs; rows with two ends are native."""

    name = "highs"
    module = "highspy"
    package = "highspy"
    reads = Reads(HIGHS_SMALLEST, HIGHS_LARGEST, SOLVER_INFINITY)

    def version(self) -> str:
        """Version of the solver."""
        return str(self.library().Highs().version())

    def run(self, problem: Problem, limits: Limits, start: np.ndarray | None) -> Answer:
        """Solve with highspy."""
        highspy = self.library()
        highs = highspy.Highs()
        for name, value in (OPTIONS | _limits(limits)).items():
            _require(highspy, highs.setOptionValue(name, value), f"option {name}")
        _require(highspy, highs.passModel(_model(highspy, problem)), "model")
        if start is not None:
            solution = highspy.HighsSolution()
            solution.col_value = start.tolist()
            highs.setSolution(solution)
        highs.run()
        return _answer(highspy, highs, mip=bool(problem.integer.any()))


def _limits(limits: Limits) -> dict[str, object]:
    options: dict[str, object] = {}
    if limits.seconds is not None:
        options["time_limit"] = max(limits.seconds, 0.0)
    if limits.nodes is not None:
        options["mip_max_nodes"] = limits.nodes
    return options


def _require(highspy: Any, status: Any, what: str) -> None:
    """Raises SolverError unless HiGHS took ``what`` as it is; a warning says that it did not."""
    if status != highspy.HighsStatus.kOk:
        raise SolverError(f"HiGHS does not take the {what} as it is: {status.name}")


def _model(highspy: Any, problem: Problem) -> Any:
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = problem.rows.shape
    lp.col_cost_ = problem.objective
    lp.col_lower_, lp.col_upper_ = problem.lower, problem.upper
    lp.row_lower_, lp.row_upper_ = problem.row_lower, problem.row_upper
    matrix = lp.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.num_row_, matrix.num_col_ = problem.rows.shape
    matrix.start_, matrix.index_ = problem.rows.indptr, problem.rows.indices
    matrix.value_ = problem.rows.data
    if problem.integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[whole] for whole in problem.integer.tolist()]
    return lp


def _answer(highspy: Any, highs: Any, *, mip: bool) -> Answer:
    status, info, solution = highs.getModelStatus(), highs.getInfo(), highs.getSolution()
    has_point = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    optimal_lp = status == highspy.HighsModelStatus.kOptimal and not mip
    return Answer(
        OUTCOMES.get(status.name, Outcome.FAILED),
        bound=info.mip_dual_bound if mip else -inf,
        point=np.array(solution.col_value) if has_point else None,
        dual=np.array(solution.row_dual) if optimal_lp and solution.dual_valid else None,
        nodes=max(info.mip_node_count, 0),
        detail=f"highs: {status.name}",
    )
