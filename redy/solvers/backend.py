"""What every backend does around its library: find it, mind what it misreads, check it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from importlib import import_module
from math import frexp, inf, ldexp
from time import perf_counter
from types import ModuleType

import numpy as np

from redy.solvers.base import Capabilities
from redy.solvers.checks import Reads, dual_value, empty, misread, settled
from redy.solvers.forms import canonical, readable
from redy.solvers.problem import Answer, Limits, Outcome, Problem

SEED = 0
"""Every backend's seed; each runs on one thread, so that the same question gets the same answer."""


class Backend(ABC):
    """A solver's library behind :class:`~redy.solvers.base.Solver`; subclasses say how to call it.

    Attributes:
        name: what the user calls it.
        module: what Python calls it; imported at first use only.
        package: what pip calls it.
        reads: which numbers it takes as they are.
        exact, warm_starts, duals: as in :class:`~redy.solvers.base.Capabilities`.
    """

    name: str
    module: str
    package: str
    reads: Reads = Reads()
    exact: bool = False
    warm_starts: bool = True
    duals: bool = True

    @abstractmethod
    def version(self) -> str:
        """Version of the solver."""

    @abstractmethod
    def run(self, problem: Problem, limits: Limits, start: np.ndarray | None) -> Answer:
        """Have the library solve ``problem``, which has variables and no NaN; may raise anything.

        UNBOUNDED stands for infeasible-or-unbounded, and ``bound`` includes the constant.
        """

    def size_limits(self) -> tuple[int | None, int | None]:
        """Most variables and most rows that the licence allows; may raise anything."""
        return None, None

    def library(self) -> ModuleType:
        """The solver's library."""
        return import_module(self.module)

    def probe(self) -> Capabilities:
        """What it can do on this machine; never raises."""
        version, why_not = "", ""
        most_variables, most_rows = None, None
        try:
            version = self.version()
            most_variables, most_rows = self.size_limits()
        except ImportError as error:
            why_not = f"{self.module} cannot be imported ({error}); pip install {self.package}"
        except Exception as error:
            why_not = f"{self.module} does not work here: {_one_line(error)}"
        return Capabilities(
            available=not why_not,
            why_not=why_not,
            version=version,
            most_variables=most_variables,
            most_rows=most_rows,
            integers=True,
            exact=self.exact,
            warm_starts=self.warm_starts,
            duals=self.duals,
        )

    def solve(
        self, problem: Problem, limits: Limits | None = None, start: np.ndarray | None = None
    ) -> Answer:
        """Solve ``problem``; whatever goes wrong is FAILED, with the reason in ``detail``."""
        began = perf_counter()
        try:
            answer = settled(problem, self._answer(problem, limits or Limits(), start))
        except Exception as error:
            answer = Answer(Outcome.FAILED, detail=_one_line(error))
        return replace(answer, seconds=perf_counter() - began)

    def _answer(self, problem: Problem, limits: Limits, start: np.ndarray | None) -> Answer:
        problem = canonical(problem)
        if refusal := misread(problem, self.reads):
            return Answer(Outcome.FAILED, detail=refusal)
        if reason := empty(problem):
            return Answer(Outcome.INFEASIBLE, detail=reason)
        if not problem.lower.size:
            return _without_variables(problem)
        if start is not None and not (
            start.shape == problem.lower.shape and np.isfinite(start).all()
        ):
            start = None
        problem = readable(problem, self.reads.smallest)
        began = perf_counter()
        answer = self._run_scaled(problem, limits, start)
        if answer.outcome is Outcome.UNBOUNDED:
            left = _left(limits, perf_counter() - began)
            return self._unbounded_or_infeasible(problem, left, answer)
        return answer

    def _run_scaled(self, problem: Problem, limits: Limits, start: np.ndarray | None) -> Answer:
        """:meth:`run` with a tiny objective scaled up, exactly, to where tolerances are small."""
        _, exponent = frexp(float(np.abs(problem.objective).max()))
        exponent = min(exponent, 0)
        objective = np.ldexp(problem.objective, -exponent)
        scaled = replace(problem, objective=objective, constant=0.0)
        answer = self.run(scaled, limits, start)
        if abs(answer.bound) >= self.reads.infinity:  # the library's way to claim nothing
            answer = replace(answer, bound=-inf)
        if answer.dual is not None and answer.bound == -inf:
            answer = replace(answer, bound=dual_value(scaled, answer.dual))
        dual = None if answer.dual is None else np.ldexp(answer.dual, exponent)
        return replace(answer, bound=ldexp(answer.bound, exponent) + problem.constant, dual=dual)

    def _unbounded_or_infeasible(self, problem: Problem, limits: Limits, answer: Answer) -> Answer:
        """Which of the two it is: a library that sees a ray may not have seen a feasible point."""
        feasibility = replace(problem, objective=np.zeros_like(problem.objective), constant=0.0)
        again = settled(feasibility, self.run(feasibility, limits, None))
        detail = f"{answer.detail}; without objective: {again.detail}"
        if again.outcome is Outcome.OPTIMAL:
            return replace(answer, detail=detail)
        known = again.outcome in {Outcome.INFEASIBLE, Outcome.LIMIT}
        return Answer(again.outcome if known else Outcome.FAILED, detail=detail)


def _without_variables(problem: Problem) -> Answer:
    constant = problem.constant
    return Answer(
        Outcome.OPTIMAL,
        bound=constant,
        value=constant,
        point=np.zeros(0),
        dual=np.zeros(problem.row_lower.size),
        detail="no variables",
    )


def _left(limits: Limits, spent: float) -> Limits:
    return limits if limits.seconds is None else replace(limits, seconds=limits.seconds - spent)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
