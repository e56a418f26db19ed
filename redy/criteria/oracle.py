"""A solver asked about one slice: LP bounds that need no belief, and claims that do.

A claim is sign * z > 0 for one pre-activation z on the whole slice. Its negation is closed and
widened: the solver is asked for a point with sign * z <= outward, :func:`redy.bounds.milp.outward`
being what its tolerances may amount to. Only the answer that there is none proves the claim, on the
solver's word. A point counts once its replay, rounded to single precision, shows the negation.

A wrong word cannot be told from a right one in general, but three things give a liar away: it finds
a problem infeasible whose inputs are fixed at a point of the slice; a point found later contradicts
what it said; it fails again and again. It is not believed, or not asked, on that slice any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from math import inf, nextafter

import numpy as np

from redy.bounds.milp import outward
from redy.bounds.queries import chosen
from redy.criteria.base import Effort
from redy.encodings.rows import with_rows
from redy.encodings.single import SingleEncoding
from redy.search.witnesses import inner_ends
from redy.solvers import Answer, Limits, Outcome, Problem
from redy.solvers.certificate import lp_bound
from redy.tolerances import WITNESS_MARGIN
from redy.verdict import Proof, Proved, Reason, Refuted, Unknown, Verdict

GUARD = 60.0
"""Seconds for one question where no time limit is given: only against solvers that hang."""

PATIENCE = 3
"""Failures on one slice after which a solver is not asked any more."""

_PARTS = 4
"""One part in so many of the nodes may go into one question."""

Refutes = Callable[[np.ndarray], bool]
"""Whether a point (inputs,) shows the negation of a claim."""


class Oracle:
    """The solver of ``effort``, asked about the slice with the inputs [lower, upper].

    It may spend ``effort.budget`` nodes, a question without any counting as one, and by default is
    stopped by nothing else, so that the answers do not depend on the machine.

    Attributes:
        believed: nothing has spoken against it yet.
        cut_short: seconds, not nodes, ended a question.
        nodes: nodes spent.
        questions: asked so far.
    """

    def __init__(self, lower: np.ndarray, upper: np.ndarray, effort: Effort) -> None:
        self._inner = inner_ends(lower, upper)
        self._solver, self._budget = effort.solver, effort.budget
        limit = effort.time_limit
        self._end = None if limit is None else time.perf_counter() + limit
        self._failures = 0
        self.believed, self.cut_short = True, False
        self.nodes = self.questions = 0

    @property
    def left(self) -> int:
        """Nodes that may still be spent; 0 if it shall not be asked any more."""
        if not self.believed or self._failures >= PATIENCE:
            return 0
        if self._end is not None and time.perf_counter() >= self._end:
            self.cut_short = True
            return 0
        return max(0, self._budget - self.nodes)

    def share(self, questions: int) -> int:
        """Nodes for one of so many questions: an equal share of those left, or a larger one.

        Most are easy or hopeless, so that a part of the budget is worth more than an equal share.
        """
        equal = -(-self.left // max(1, questions))
        return min(self.left, max(equal, self._budget // _PARTS))

    def least(self, problem: Problem) -> float:
        """A lower bound of an LP's minimum that is proved from its dual; -inf claims nothing."""
        dual = self._ask(problem, nodes=None).dual
        return -inf if dual is None else lp_bound(problem, dual)

    def positive(
        self, encoding: SingleEncoding, unit: int, sign: int, nodes: int, refutes: Refutes
    ) -> Verdict:
        """Whether sign * z > 0 on the slice, z of target ``unit``, in at most ``nodes`` nodes."""
        for by in (-outward(encoding.problem(unit, sign)), WITNESS_MARGIN):
            if self.left == 0:
                return self._unknown()
            answer = self._ask(_negation(encoding, unit, sign, by), nodes)
            verdict = self._read(answer, encoding, refutes, proves=by < 0)
            if verdict is not None:
                return verdict
        return Unknown(Reason.NUMERICAL)

    def feasible(self, encoding: SingleEncoding, point: np.ndarray) -> None:
        """Not believed any more if it finds ``encoding`` without a point where ``point`` is one."""
        base = encoding.base
        lower, upper = base.lower.copy(), base.upper.copy()
        lower[encoding.inputs] = upper[encoding.inputs] = point
        answer = self._ask(replace(base, lower=lower, upper=upper), nodes=1)
        if answer.outcome is Outcome.INFEASIBLE:
            self.believed = False

    def _read(
        self, answer: Answer, encoding: SingleEncoding, refutes: Refutes, *, proves: bool
    ) -> Verdict | None:
        """What an answer comes to; None where its point does not survive the replay."""
        match answer.outcome:
            case Outcome.INFEASIBLE:
                return Proved(Proof.SOLVER) if proves else Unknown(Reason.NUMERICAL)
            case Outcome.OPTIMAL | Outcome.LIMIT:
                if answer.point is None:
                    return self._unknown()
                point = self._rounded(answer.point[encoding.inputs])
                return Refuted(point[None]) if refutes(point) else None
            case Outcome.UNBOUNDED | Outcome.FAILED:
                return Unknown(Reason.NUMERICAL)

    def _rounded(self, point: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            single = point.astype(np.float32).astype(np.float64)
        return np.asarray(np.clip(single, *self._inner))

    def _unknown(self) -> Unknown:
        return Unknown(Reason.TIME_LIMIT if self.cut_short else Reason.BUDGET)

    def _ask(self, problem: Problem, nodes: int | None) -> Answer:
        seconds = GUARD if self._end is None else min(GUARD, self._end - time.perf_counter())
        if seconds <= 0:
            self.cut_short = True
            return Answer(Outcome.LIMIT, detail="no time is left")
        answer = chosen(self._solver, problem).solve(problem, Limits(seconds, nodes))
        self.questions += 1
        self.nodes += max(1, answer.nodes)
        self._failures += answer.outcome is Outcome.FAILED
        self.cut_short |= answer.seconds >= seconds
        return answer


def _negation(encoding: SingleEncoding, unit: int, sign: int, by: float) -> Problem:
    """The points of ``encoding`` with sign * z <= -by, z = coefficients . x + constant."""
    target = encoding.targets[unit]
    factors = (-sign * target.coefficients).tolist()
    least = nextafter(by + sign * target.constant, -inf)
    return with_rows(
        encoding.base, [(dict(zip(target.columns.tolist(), factors, strict=True)), least)]
    )
