"""Z3: exact rationals, for small queries.

Every float64 becomes the fraction it stands for, so an outcome is exact, without tolerances:
what Z3 claims is of the reals. Only ``bound``, ``value`` and ``point`` are rounded on return, the
bound downward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, inf, isfinite, nextafter
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from redy.errors import SolverError
from redy.solvers.backend import Backend
from redy.solvers.base import register
from redy.solvers.problem import Answer, Limits, Outcome, Problem
from redy.tolerances import Z3_WORK_PER_NODE

LIMIT_WORDS = ("timeout", "cancel", "resource limit")
"""Words in Z3's reason for `unknown` that mean a limit; any other reason is a failure."""


@register
class Z3(Backend):
    """Feasibility by a plain solver; the minimum over whole numbers by a search of our own.

    Z3's optimiser is trusted with nothing: its minima of mixed problems are wrong at times (z3
    5.4: minimise x + y with 2x + 3y >= -17, x whole from -9.5 on, 2y <= 1). It proposes, for fixed
    whole numbers; a plain solver then has to find nothing below, and every point is checked here.

    A node is :data:`~redy.tolerances.Z3_WORK_PER_NODE` of Z3's resource count.
    """

    name = "z3"
    module = "z3"
    package = "z3-solver"
    exact = True
    warm_starts = False
    duals = False

    def version(self) -> str:
        """Version of the solver."""
        return str(self.library().get_version_string())

    def run(self, problem: Problem, limits: Limits, start: np.ndarray | None) -> Answer:
        """Solve with z3; the starting point is not used."""
        z3 = self.library()
        budget = _Budget(limits)
        if not problem.objective.any():
            return _Query(z3, problem, budget).search(-inf)
        relaxed = replace(problem, integer=np.zeros_like(problem.integer))
        relaxation = _Query(z3, relaxed, budget).linear_minimum()
        if relaxation.outcome is not Outcome.OPTIMAL or not problem.integer.any():
            return relaxation
        return _Query(z3, problem, budget).search(relaxation.bound)


class _Budget:
    """What is left of the limits, over several queries."""

    def __init__(self, limits: Limits) -> None:
        self._ends = perf_counter() + (inf if limits.seconds is None else limits.seconds)
        self._work = inf if limits.nodes is None else max(1, limits.nodes) * Z3_WORK_PER_NODE

    def check(self, solver: Any) -> Any:
        """Have ``solver`` check what it holds, within what is left."""
        if self._ends < inf:
            solver.set("timeout", max(1, ceil(1000 * (self._ends - perf_counter()))))
        if self._work < inf:
            solver.set("rlimit", int(max(1, self._work)))
        before = _work_of(solver)
        result = solver.check()
        self._work -= _work_of(solver) - before
        return result

    def spent(self, reason: str) -> bool:
        """Whether a limit explains that Z3 gave up for ``reason``."""
        late = perf_counter() >= self._ends or self._work <= 0
        return late or any(word in reason for word in LIMIT_WORDS)


def _work_of(solver: Any) -> int:
    """The count so far, of all queries in the solver's context."""
    counts = solver.statistics()
    counted = list(counts.keys())
    return counts.get_key_value("rlimit count") if "rlimit count" in counted else 0


class _Point(NamedTuple):
    """A point that has been checked, and its objective, exactly."""

    x: list[Fraction]
    value: Fraction


class _Query:
    """A problem in Z3's terms, in a context of its own: nothing of earlier queries matters."""

    def __init__(self, z3: Any, problem: Problem, budget: _Budget) -> None:
        self._z3 = z3
        self._context = z3.Context()
        self._problem = problem
        self._budget = budget
        self._x, self._claims = _variables(z3, self._context, problem)
        for i in range(problem.row_lower.size):
            columns, values = _row(problem, i)
            row = self._sum(values, [self._x[j] for j in columns])
            ends = float(problem.row_lower[i]), float(problem.row_upper[i])
            self._claims += _between(row, *ends, z3, self._context)
        self._objective = self._sum(problem.objective.tolist(), self._x)

    def search(self, bound: float) -> Answer:
        """The minimum, of which ``bound`` is a proven lower bound: better points until none is.

        Z3 finds any point that is better than the last; its whole numbers are kept and the rest
        is optimised. It ends: a problem with a bounded relaxation has few values to try.
        """
        solver = self._loaded(self._z3.Solver(ctx=self._context))
        best: _Point | None = None
        while (result := self._budget.check(solver)) == self._z3.sat:
            best = self._improved(self._point(solver.model()))
            if not self._problem.objective.any():
                return replace(_optimal(best), detail="z3: sat")
            solver.add(self._objective < self._numeral(best.value))
        if result == self._z3.unsat:
            return _optimal(best) if best else Answer(Outcome.INFEASIBLE, detail="z3: unsat")
        return replace(self._gave_up(solver), bound=bound, point=_rounded(best))

    def linear_minimum(self) -> Answer:
        """The minimum of a problem without integers, confirmed by a plain solver."""
        optimiser = self._loaded(self._z3.Optimize(ctx=self._context))
        handle = optimiser.minimize(self._objective)
        result = self._budget.check(optimiser)
        if result == self._z3.unsat:
            return Answer(Outcome.INFEASIBLE, detail="z3: unsat")
        if result != self._z3.sat:
            return self._gave_up(optimiser)
        if _fraction(optimiser.lower_values(handle)[0]):
            return Answer(Outcome.UNBOUNDED, detail=f"z3: sat, minimum {handle.lower()}")
        return self._confirmed(self._point(optimiser.model()))

    def _confirmed(self, point: _Point) -> Answer:
        solver = self._loaded(self._z3.Solver(ctx=self._context))
        solver.add(self._objective < self._numeral(point.value))
        result = self._budget.check(solver)
        if result == self._z3.unsat:
            return _optimal(point)
        if result == self._z3.sat:
            return Answer(Outcome.FAILED, detail=f"z3: {point.value} is not the minimum it claims")
        return replace(self._gave_up(solver), point=_rounded(point))

    def _improved(self, point: _Point) -> _Point:
        """The best that Z3 proposes with the whole numbers of ``point``; at worst, ``point``."""
        if not self._problem.objective.any() or self._problem.integer.all():
            return point
        optimiser = self._loaded(self._z3.Optimize(ctx=self._context))
        for j in np.flatnonzero(self._problem.integer):
            optimiser.add(self._x[j] == self._numeral(point.x[j]))
        optimiser.minimize(self._objective)
        if self._budget.check(optimiser) != self._z3.sat:
            return point
        return min(point, self._point(optimiser.model()), key=lambda p: p.value)

    def _loaded(self, solver: Any) -> Any:
        solver.add(self._claims)
        return solver

    def _point(self, model: Any) -> _Point:
        """The point of a model; raises SolverError unless it is feasible, exactly."""
        x = [_fraction(model.eval(term, model_completion=True)) for term in self._x]
        if why := _violated(self._problem, x):
            raise SolverError(f"Z3's model has {why}")
        return _Point(x, _dot(self._problem.objective.tolist(), x))

    def _gave_up(self, solver: Any) -> Answer:
        reason = solver.reason_unknown()
        outcome = Outcome.LIMIT if self._budget.spent(reason) else Outcome.FAILED
        return Answer(outcome, detail=f"z3: unknown, {reason}")

    def _sum(self, weights: Sequence[float], x: Sequence[Any]) -> Any:
        zero = self._numeral(Fraction(0))
        pairs = zip(weights, x, strict=True)
        return self._z3.Sum([zero, *(self._numeral(Fraction(w)) * t for w, t in pairs if w)])

    def _numeral(self, exact: Fraction) -> Any:
        return _numeral(self._z3, self._context, exact)


def _optimal(best: _Point) -> Answer:
    bound, point = _downward(best.value), _rounded(best)
    return Answer(Outcome.OPTIMAL, bound=bound, point=point, detail="z3: sat, none better")


def _rounded(point: _Point | None) -> np.ndarray | None:
    return None if point is None else np.array([float(t) for t in point.x])


def _variables(z3: Any, context: Any, problem: Problem) -> tuple[list[Any], list[Any]]:
    """Terms for the variables, and what their ends say."""
    x, claims = [], []
    ends = zip(problem.lower.tolist(), problem.upper.tolist(), strict=True)
    for j, (lower, upper) in enumerate(ends):
        if not problem.integer[j]:
            x.append(z3.Real(f"x{j}", context))
        elif (lower, upper) == (0, 1):
            one, zero = z3.RealVal(1, context), z3.RealVal(0, context)
            x.append(z3.If(z3.Bool(f"x{j}", context), one, zero))
            continue
        else:
            x.append(z3.ToReal(z3.Int(f"x{j}", context)))
        claims += _between(x[-1], lower, upper, z3, context)
    return x, claims


def _between(term: Any, lower: float, upper: float, z3: Any, context: Any) -> list[Any]:
    if lower == upper:
        return [term == _numeral(z3, context, Fraction(lower))]
    claims = [term >= _numeral(z3, context, Fraction(lower))] if isfinite(lower) else []
    return claims + ([term <= _numeral(z3, context, Fraction(upper))] if isfinite(upper) else [])


def _numeral(z3: Any, context: Any, exact: Fraction) -> Any:
    return z3.RealVal(f"{exact.numerator}/{exact.denominator}", context)


def _fraction(number: Any) -> Fraction:
    """Of an integer or rational numeral."""
    return Fraction(number.as_string())


def _row(problem: Problem, i: int) -> tuple[list[int], list[float]]:
    """Columns and coefficients of row ``i``."""
    span = slice(problem.rows.indptr[i], problem.rows.indptr[i + 1])
    return problem.rows.indices[span].tolist(), problem.rows.data[span].tolist()


def _violated(problem: Problem, x: Sequence[Fraction]) -> str:
    """What is wrong with the point ``x``, in exact arithmetic; empty if nothing is."""
    for j, (t, whole) in enumerate(zip(x, problem.integer, strict=True)):
        if not _inside(t, problem.lower[j], problem.upper[j]) or (whole and t.denominator != 1):
            return f"variable {j} at {t}"
    for i in range(problem.row_lower.size):
        columns, values = _row(problem, i)
        activity = _dot(values, [x[j] for j in columns])
        if not _inside(activity, problem.row_lower[i], problem.row_upper[i]):
            return f"row {i} at {activity}"
    return ""


def _dot(weights: Sequence[float], x: Sequence[Fraction]) -> Fraction:
    pairs = zip(weights, x, strict=True)
    return sum((Fraction(w) * t for w, t in pairs if w), Fraction(0))


def _inside(t: Fraction, lower: float, upper: float) -> bool:
    """Compared exactly: Python compares a fraction with a float64 as the numbers they are."""
    return bool(float(lower) <= t <= float(upper))


def _downward(exact: Fraction) -> float:
    """The largest float64 that is at most ``exact``."""
    try:
        rounded = float(exact)
    except OverflowError:
        return -inf if exact < 0 else float(np.finfo(np.float64).max)
    return rounded if rounded <= exact else nextafter(rounded, -inf)
