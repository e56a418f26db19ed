"""What a solver backend is, and the registry of those there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from redy.solvers.problem import Answer, Limits, Problem


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do here, found out without failing.

    Attributes:
        available: it is installed and licensed.
        why_not: what is missing, and how to get it; empty if it is available.
        version: of the solver.
        most_variables, most_rows: size that the licence allows; None if any.
        integers: it solves problems with integer variables.
        exact: it computes in exact rationals.
        warm_starts: it takes a starting point.
        duals: it returns row duals of an LP.
    """

    available: bool
    why_not: str
    version: str
    most_variables: int | None
    most_rows: int | None
    integers: bool
    exact: bool
    warm_starts: bool
    duals: bool


class Solver(Protocol):
    """A backend; one file of this package each."""

    name: str

    def probe(self) -> Capabilities:
        """What it can do on this machine; never raises."""

    def solve(
        self, problem: Problem, limits: Limits | None = None, start: np.ndarray | None = None
    ) -> Answer:
        """Solve ``problem``; never raises for what the solver does, FAILED says that."""


SOLVERS: dict[str, Solver] = {}
"""Backends by name: a module of this package adds its own with :func:`register`."""


def register(solver: Callable[[], Solver]) -> Callable[[], Solver]:
    """Decorator: enter a backend class in :data:`SOLVERS` under its name."""
    backend = solver()
    SOLVERS[backend.name] = backend
    return solver
