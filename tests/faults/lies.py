"""Answers that contradict themselves or :data:`QUESTION`, each with what is to be said of it."""

from __future__ import annotations

from math import inf, nan

import numpy as np

from redy.solvers import Answer, Outcome
from tests.conformance.problems import at_least, problem

# min x + 2y with x + y >= 1, whole: 1 at (1, 0).
QUESTION = problem([[1, 1]], [at_least(1)], [(0, 1)] * 2, [1, 2], integer=True)
POINT = np.array([1.0, 0.0])
GOOD = Answer(Outcome.OPTIMAL, bound=1.0, value=1.0, point=POINT, detail="good")


def optimal(bound: float, value: float, point: np.ndarray | None) -> Answer:
    return Answer(Outcome.OPTIMAL, bound=bound, value=value, point=point)


LIES = [
    (optimal(nan, 1.0, POINT), "bound nan"),
    (optimal(1.0, 1.0, POINT * nan), "no feasible point"),
    (optimal(1.0, nan, None), "no feasible point"),
    (optimal(1.0, 1.0, POINT[:1]), "no feasible point"),
    (optimal(0.5, 0.5, POINT / 2), "no feasible point"),
    (optimal(1.25, 1.25, np.array([0.75, 0.25])), "no feasible point"),
    (optimal(1.5, 1.5, POINT), "bound 1.5 exceeds value 1.0"),
    (Answer(Outcome.LIMIT, bound=nan), "bound nan"),
    (Answer(Outcome.LIMIT, bound=inf), "bound inf"),
    (Answer(Outcome.FAILED, bound=7.0, point=POINT, detail="gave up"), "gave up"),
]
