"""Problems rewritten so that a backend reads what is meant, each with what is claimed of it."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
from scipy import sparse

from redy.errors import SolverError
from redy.solvers.problem import Problem


def canonical(problem: Problem) -> Problem:
    """The same problem with the columns of each row in order.

    Raises:
        SolverError: a row holds two coefficients of one variable, which solvers read differently.
    """
    if problem.rows.has_canonical_format:
        return problem
    rows = problem.rows.copy()
    rows.sort_indices()
    if not rows.has_canonical_format:
        raise SolverError("a row holds two coefficients of one variable; add them up first")
    return replace(problem, rows=rows)


def whole_ends(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """(lower, upper) with the ends of integer variables moved inward to whole numbers, exactly.

    HiGHS 1.15 answers with fractional points, and Z3 5.4 with wrong minima, where an integer
    variable has a fractional end.
    """
    lower = np.where(problem.integer, np.ceil(problem.lower), problem.lower)
    upper = np.where(problem.integer, np.floor(problem.upper), problem.upper)
    return lower, upper


def readable(problem: Problem, smallest: float) -> Problem:
    """``problem`` with integer ends whole, and without the coefficients that a backend drops.

    Claimed: every feasible point of ``problem`` is feasible, because the rows that lose
    coefficients of at most ``smallest`` gain, outward, what those can amount to.
    """
    lower, upper = whole_ends(problem)
    problem = replace(problem, lower=lower, upper=upper)
    kept = np.abs(problem.rows.data) > smallest
    if kept.all():
        return problem
    lost = loss(problem, smallest)
    rows = sparse.csr_array(problem.rows, copy=True)
    rows.data[~kept] = 0.0
    rows.eliminate_zeros()
    return replace(
        problem,
        rows=rows,
        row_lower=_moved(problem.row_lower, lost, -inf),
        row_upper=_moved(problem.row_upper, lost, inf),
    )


def loss(problem: Problem, smallest: float) -> np.ndarray:
    """(m,) most by which a row changes without its coefficients of at most ``smallest``."""
    magnitudes = np.abs(problem.rows.data)
    dropped = (magnitudes > 0) & (magnitudes <= smallest)
    reach = np.maximum(np.abs(problem.lower), np.abs(problem.upper))[problem.rows.indices[dropped]]
    row = np.repeat(np.arange(problem.rows.shape[0]), np.diff(problem.rows.indptr))[dropped]
    terms = magnitudes[dropped] * reach
    return np.bincount(row, weights=terms, minlength=problem.rows.shape[0])


def _moved(ends: np.ndarray, lost: np.ndarray, towards: float) -> np.ndarray:
    """``ends`` by twice ``lost``, which also pays for the rounding of ``lost``, and one ulp."""
    step = np.copysign(2.0 * lost, towards)
    return np.where(lost > 0, np.nextafter(ends + step, towards), ends)
