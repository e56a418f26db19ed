"""What can be said of a problem before it is solved, and of an answer once it is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from scipy import sparse

from redy.solvers.forms import loss, whole_ends
from redy.solvers.problem import Answer, Outcome, Problem
from redy.tolerances import POINT_TOLERANCE, SOLVER_TOLERANCE


@dataclass(frozen=True)
class Reads:
    """Which numbers a backend takes as they are.

    Attributes:
        smallest: matrix coefficients whose magnitude is at most this may be dropped.
        largest: matrix coefficients whose magnitude is at least this are refused.
        infinity: ends whose magnitude is at least this count as infinite.
    """

    smallest: float = 0.0
    largest: float = inf
    infinity: float = inf


def misread(problem: Problem, reads: Reads) -> str:
    """Why the backend would solve another problem than this one; empty if it would not.

    Dropped coefficients are accepted where all those of a row, at the variables' largest
    magnitudes, add up to no more than the solver's tolerance.
    """
    return next(_complaints(problem, reads), "")


def _complaints(problem: Problem, reads: Reads) -> Iterator[str]:
    ends = (problem.lower, problem.upper, problem.row_lower, problem.row_upper)
    magnitudes = np.abs(problem.rows.data)
    if any(np.isnan(end).any() for end in ends):
        yield "an end of a variable or a row is NaN"
    if not (np.isfinite(problem.objective).all() and np.isfinite(problem.constant)):
        yield "the objective is not finite"
    if not np.isfinite(magnitudes).all():
        yield "a coefficient is not finite"
    if (magnitudes >= reads.largest).any():
        yield f"a coefficient of {magnitudes.max():.3g} is beyond what the solver takes"
    if any((np.isfinite(end) & (np.abs(end) >= reads.infinity)).any() for end in ends):
        yield f"the solver would take an end of {reads.infinity:g} or more for infinite"
    if loss(problem, reads.smallest).max(initial=0.0) > SOLVER_TOLERANCE:
        yield f"the solver would drop coefficients of {reads.smallest:g} or less that matter"


def empty(problem: Problem) -> str:
    """An exact reason, seen without a solver, why no point is feasible; empty if none is seen."""
    lower, upper = whole_ends(problem)
    if _reversed(lower, upper).any():
        return "a variable has nothing between its ends"
    if _reversed(problem.row_lower, problem.row_upper).any():
        return "the ends of a row exclude each other"
    blank = np.diff(problem.rows.indptr) == 0
    if (blank & ((problem.row_lower > 0) | (problem.row_upper < 0))).any():
        return "a row without coefficients excludes zero"
    return ""


def _reversed(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    reverse: np.ndarray = (lower > upper) | (lower == inf) | (upper == -inf)
    return reverse


def dual_value(problem: Problem, dual: np.ndarray) -> float:
    """The dual objective of an LP at row duals ``dual`` (m,), in plain float64.

    With r = objective - rows^T y it is the sum of y_i times the row's lower end where y_i > 0 and
    its upper end where y_i < 0, the same for r_j and the variables, and the constant. A y_i or r_j
    that points to an infinite end is taken as zero up to the solver's tolerance; beyond, -inf.
    """
    rows_part, dual = _at_ends(dual, problem.row_lower, problem.row_upper)
    reduced = problem.objective - problem.rows.T @ dual
    variables_part, _ = _at_ends(reduced, problem.lower, problem.upper)
    return rows_part + variables_part + problem.constant


def _at_ends(weights: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[float, np.ndarray]:
    """Least of weights . t over lower <= t <= upper, and the weights but for what is ignored."""
    end = np.where(weights > 0, lower, upper)
    ignored = (weights == 0) | (np.isinf(end) & (np.abs(weights) <= SOLVER_TOLERANCE))
    weights = np.where(ignored, 0.0, weights)
    if np.isinf(end[~ignored]).any():
        return -inf, weights
    return float(weights[~ignored] @ end[~ignored]), weights


def settled(problem: Problem, answer: Answer) -> Answer:
    """``answer`` with its value recomputed, or FAILED where it contradicts itself or the problem.

    Claimed of what is returned: nothing in it is NaN; a point has every number finite and
    violates nothing by more than POINT_TOLERANCE, relative to the magnitudes summed there; OPTIMAL
    comes with a point; and the bound exceeds no point's value by more than that tolerance. Of an
    infeasible problem the bound is infinity, of a failed or unbounded one -infinity.
    """
    match answer.outcome:
        case Outcome.FAILED:
            return failed(answer, answer.detail)
        case Outcome.INFEASIBLE:
            return replace(answer, bound=inf, value=inf, point=None, dual=None)
        case Outcome.UNBOUNDED:
            return replace(answer, bound=-inf, value=inf, point=None, dual=None)
        case Outcome.OPTIMAL | Outcome.LIMIT:
            return _consistent(problem, answer)


def failed(answer: Answer, why: str) -> Answer:
    """Nothing but the effort of ``answer`` is kept."""
    return Answer(Outcome.FAILED, seconds=answer.seconds, nodes=answer.nodes, detail=why)


def _consistent(problem: Problem, answer: Answer) -> Answer:
    answer = _with_sound_dual(problem, answer)
    if not answer.bound < inf:
        return failed(answer, f"bound {answer.bound} ({answer.detail})")
    point, value = _sound_point(problem, answer.point)
    if point is None and answer.outcome is Outcome.OPTIMAL:
        return failed(answer, f"no feasible point comes with it ({answer.detail})")
    if answer.bound > value + POINT_TOLERANCE * max(1.0, abs(value)):
        return failed(answer, f"bound {answer.bound} exceeds value {value} ({answer.detail})")
    return replace(answer, point=point, value=value)


def _sound_point(problem: Problem, point: np.ndarray | None) -> tuple[np.ndarray | None, float]:
    """``point`` and its value; None and infinity if it is not feasible."""
    if point is None or not _feasible(problem, point):
        return None, inf
    value = float(problem.objective @ point) + problem.constant
    return (point, value) if np.isfinite(value) else (None, inf)


def _feasible(problem: Problem, point: np.ndarray) -> bool:
    if point.shape != problem.lower.shape or not np.isfinite(point).all():
        return False
    spread = sparse.csr_array(abs(problem.rows)) @ np.abs(point)
    whole = point[problem.integer]
    return (
        _within(point, problem.lower, problem.upper, np.abs(point))
        and _within(problem.rows @ point, problem.row_lower, problem.row_upper, spread)
        and _within(whole, np.round(whole), np.round(whole), np.zeros_like(whole))
    )


def _within(x: np.ndarray, lower: np.ndarray, upper: np.ndarray, magnitude: np.ndarray) -> bool:
    slack = POINT_TOLERANCE * np.maximum(1.0, magnitude)
    return bool(((x >= lower - slack) & (x <= upper + slack)).all())


def _with_sound_dual(problem: Problem, answer: Answer) -> Answer:
    """Without the dual where it is none: wrong shape, not finite, or given for a MILP."""
    dual = answer.dual
    if dual is None:
        return answer
    sound = dual.shape == problem.row_lower.shape and np.isfinite(dual).all()
    return answer if sound and not problem.integer.any() else replace(answer, dual=None)
