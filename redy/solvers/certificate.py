"""An LP bound that rests on arithmetic alone: weak duality, rounded outward."""

from __future__ import annotations

from math import inf, isfinite

import numpy as np

from redy.solvers.problem import Problem
from redy.tolerances import FLOOR, gamma


def lp_bound(problem: Problem, dual: np.ndarray) -> float:
    """A lower bound, over the reals, of the minimum of ``problem``, from any row duals (m,).

    For every y, with r = objective - rows^T y,

        minimum  >=  constant  +  sum_i y_i b_i  +  sum_j min(r_j lower_j, r_j upper_j),

    b_i the lower end of row i where y_i > 0 and its upper end where y_i < 0; a y_i that points to
    an infinite end is taken as zero. So nothing needs to be believed of who made the duals; good
    ones only make the bound tight. As the integers of a MILP are not used, it holds for a MILP too.

    Every sum of n terms is charged gamma(n) times the sum of their magnitudes (Higham, section
    3.1); the error of r_j is multiplied by max(abs(lower_j), abs(upper_j)). Source: Neumaier and
    Shcherbina, *Safe bounds in linear and mixed-integer linear programming*, Mathematical
    Programming 99, 2004, section 3.

    Returns:
        The bound, or -inf where nothing can be claimed: duals of another shape or not finite, a
        variable without the end that r_j asks for, or overflow.
    """
    dual = np.asarray(dual, dtype=np.float64)
    if dual.shape != problem.row_lower.shape or not np.isfinite(dual).all():
        return -inf
    with np.errstate(over="ignore", invalid="ignore"):
        dual, ends = _row_ends(problem, dual)
        reduced, error = _reduced_costs(problem, dual)
        terms = np.concatenate([[problem.constant], dual * ends, _least(problem, reduced, error)])
        rounding = gamma(2 * (terms.size + 8)) * (np.abs(terms).sum() + FLOOR)
        bound = float(terms.sum() - rounding)
    return bound if isfinite(bound) else -inf


def _row_ends(problem: Problem, dual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The duals that may be used, and the row ends they are multiplied by, zero where unused."""
    ends = np.where(dual > 0, problem.row_lower, problem.row_upper)
    used = np.isfinite(ends) & (dual != 0)
    return np.where(used, dual, 0.0), np.where(used, ends, 0.0)


def _reduced_costs(problem: Problem, dual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The reduced costs objective - rows^T dual, and a bound on their error, both (n,).

    The error is zero where nothing is subtracted. Twice the terms pay for the rounding of the
    magnitudes, FLOOR for products that underflow.
    """
    columns = problem.rows.T
    reduced = problem.objective - columns @ dual
    magnitude = np.abs(problem.objective) + abs(columns) @ np.abs(dual)
    used = (abs(columns) > 0).astype(np.float64) @ (dual != 0).astype(np.float64)
    factor = gamma(2 * (dual.size + 4))
    return reduced, np.where(used > 0, factor * (magnitude + FLOOR), 0.0)


def _least(problem: Problem, reduced: np.ndarray, error: np.ndarray) -> np.ndarray:
    """A lower bound of the least of t x over the variable's ends and abs(t - reduced) <= error.

    Up to the rounding of four operations, which the caller charges: a sum of terms is charged for
    what it cancels, so a term here must not cancel. It does not: both parts are added apart.
    """
    low = np.where(reduced == 0, 0.0, reduced * problem.lower)
    high = np.where(reduced == 0, 0.0, reduced * problem.upper)
    reach = np.maximum(np.abs(problem.lower), np.abs(problem.upper))
    return np.concatenate([np.minimum(low, high), np.where(error > 0, -error * reach, 0.0)])
