"""What the methods that ask a solver share: one problem per neuron side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from redy.bounds.refined import Claim
from redy.bounds.registry import Effort
from redy.encodings.single import SingleEncoding
from redy.solvers import Answer, Limits, Problem, Solver, auto, solver
from redy.solvers.guarded import Guarded


class Side(NamedTuple):
    """One side of a unit's range: sign +1 is its lower, -1 its upper end."""

    unit: int
    sign: int


Reading = Callable[[Problem, Answer], float]
"""What a solver's answer is taken to prove: a lower bound of the minimum; -inf is nothing."""


@dataclass(frozen=True, eq=False)
class Query:
    """Asks for sides of one layer's units, minimising sign * z.

    Attributes:
        encoding: the layer.
        effort: the solver and its time limit.
        reading: what is believed of an answer.
    """

    encoding: SingleEncoding
    effort: Effort
    reading: Reading

    def __call__(self, side: Side) -> Claim:
        """The claim sign * z_i >= bound, which may claim nothing.

        Raises:
            SolverError: no solver is there, or none whose licence allows a problem of this size.
        """
        problem = self.encoding.problem(*side)
        backend = chosen(self.effort.solver, problem)
        answer = backend.solve(problem, Limits(seconds=self.effort.time_limit))
        return Claim(*side, self.reading(problem, answer))


def chosen(name: str, problem: Problem) -> Solver:
    """The backend ``name``, or the one that "auto" stands for, where it can be ended."""
    backend = auto(problem) if name == "auto" else solver(name)
    return _guarded(backend.name)


@cache
def _guarded(name: str) -> Guarded:
    """One child process per backend and process of ours."""
    return Guarded(name)
