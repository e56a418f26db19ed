"""Problems that every solver backend must get right, with their answers derived by hand.

Data are small whole numbers or binary fractions where the exact answer matters, so that the real
problem is the one that is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product
from math import inf

import numpy as np
from scipy import sparse

from redy.solvers import Limits, Outcome, Problem

OPTIMAL, INFEASIBLE, UNBOUNDED = Outcome.OPTIMAL, Outcome.INFEASIBLE, Outcome.UNBOUNDED
LIMIT, FAILED = Outcome.LIMIT, Outcome.FAILED


@dataclass(frozen=True)
class Case:
    """A problem and its answer.

    Attributes:
        outcome: the exact answer, which an exact backend must give unless limits stop it.
        minimum: of an optimal one.
        also: what tolerances, limits or refusals explain besides, for backends that are not exact.
        accuracy: by how much tolerances, or decimals in the data, can move the minimum.
        exactly: the data are the intended reals, so an exact backend has no such excuse.
        exact_also: what limits explain for an exact backend.
    """

    problem: Problem
    outcome: Outcome
    minimum: float = inf
    also: frozenset[Outcome] = frozenset()
    accuracy: float = 1e-7
    exactly: bool = True
    exact_also: frozenset[Outcome] = frozenset()
    limits: Limits = field(default_factory=Limits)


def problem(
    rows: Sequence[Sequence[float]] | np.ndarray | sparse.csr_array,
    sides: Sequence[tuple[float, float]],
    ends: Sequence[tuple[float, float]],
    objective: Sequence[float] | np.ndarray | None = None,
    integer: Sequence[int] | bool = False,
    constant: float = 0.0,
) -> Problem:
    """From dense rows and pairs of ends; ``integer`` names variables, or says it of all."""
    n = len(ends)
    whole = np.full(n, integer) if isinstance(integer, bool) else np.isin(range(n), integer)
    low, high = np.array(ends, float).reshape(-1, 2).T
    row_low, row_high = np.array(sides, float).reshape(-1, 2).T
    if not isinstance(rows, sparse.csr_array):
        rows = sparse.csr_array(np.array(rows, float).reshape(len(sides), n))
    costs = np.zeros(n) if objective is None else np.array(objective, float)
    return Problem(low, high, whole, rows, row_low, row_high, costs, constant)


FREE, POSITIVE, UNIT, ANY = (-inf, inf), (0, inf), (0, 1), (-inf, inf)


def at_least(end: float) -> tuple[float, float]:
    return end, inf


def at_most(end: float) -> tuple[float, float]:
    return -inf, end


def equal(end: float) -> tuple[float, float]:
    return end, end


CASES: dict[str, Callable[[], Case]] = {}


def case(function: Callable[[], Case]) -> Callable[[], Case]:
    CASES[function.__name__] = function
    return function


# Linear problems


@case
def feasible_lp() -> Case:
    p = problem([[1, 2], [3, 1]], [at_most(4), at_most(6)], [POSITIVE] * 2, [-1, -1])
    return Case(p, OPTIMAL, -2.8)  # the vertex (8/5, 6/5)


@case
def constant_in_objective() -> Case:
    p = problem([[1, 1]], [at_least(1)], [(0, 4)] * 2, [2, 3], constant=-0.5)
    return Case(p, OPTIMAL, 1.5)


@case
def infeasible_lp() -> Case:
    return Case(problem([[1, 1], [1, 1]], [at_least(3), at_most(2)], [FREE] * 2), INFEASIBLE)


@case
def unbounded_lp() -> Case:
    return Case(problem([[1, -1]], [(-1, 1)], [POSITIVE] * 2, [-1, -1]), UNBOUNDED)


@case
def unbounded_without_rows() -> Case:
    return Case(problem([], [], [FREE, UNIT], [1, 1]), UNBOUNDED)


@case
def infeasible_with_an_improving_ray() -> Case:
    """Neither it nor its dual is feasible: solvers say infeasible, unbounded, or one of the two."""
    p = problem([[1, -1], [1, -1]], [at_least(1), at_most(0)], [FREE] * 2, [-1, -1])
    return Case(p, INFEASIBLE)


@case
def degenerate_vertex() -> Case:
    rows = [[1, 0], [0, 1], [1, 1], [2, 1], [1, 2], [3, 1]]
    p = problem(rows, [at_most(s) for s in (1, 1, 2, 3, 3, 4)], [POSITIVE] * 2, [-1, -1])
    return Case(p, OPTIMAL, -2)


@case
def beale_cycling() -> Case:
    """Beale's LP, on which the simplex method with the textbook rule cycles."""
    rows = [[0.25, -60, -0.04, 9], [0.5, -90, -0.02, 3], [0, 0, 1, 0]]
    p = problem(rows, [at_most(0), at_most(0), at_most(1)], [POSITIVE] * 4, [-0.75, 150, -0.02, 6])
    return Case(p, OPTIMAL, -0.05, exactly=False)


@case
def assignment() -> Case:
    """An LP as degenerate as they come: most basic variables of every vertex are zero."""
    cost = np.random.default_rng(1).integers(1, 20, (5, 5))
    rows = [np.kron(np.eye(5)[i], np.ones(5)) for i in range(5)]
    rows += [np.kron(np.ones(5), np.eye(5)[i]) for i in range(5)]
    best = min(sum(cost[i, j] for i, j in enumerate(order)) for order in permutations(range(5)))
    return Case(problem(rows, [equal(1)] * 10, [UNIT] * 25, cost.ravel()), OPTIMAL, best)


@case
def transport() -> Case:
    rows = [[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]]
    sides = [at_most(20), at_most(30), at_least(25), at_least(15)]
    return Case(
        problem(rows, sides, [POSITIVE] * 4, [2, 4, 5, 3]), OPTIMAL, 20 * 2 + 5 * 5 + 15 * 3
    )


@case
def free_variables() -> Case:
    """|x - 3| as an LP, in free variables."""
    p = problem([[1, -1], [-1, -1]], [at_most(3), at_most(-3)], [FREE] * 2, [0, 1])
    return Case(p, OPTIMAL, 0)


@case
def nothing_bounded_but_by_rows() -> Case:
    p = problem([[1, 1], [1, -1]], [(-2, 5), (-3, 7)], [FREE] * 2, [2, 0])
    return Case(p, OPTIMAL, -5)


@case
def equations() -> Case:
    p = problem([[2, 1], [1, -1]], [equal(4), equal(-1)], [FREE] * 2, [1, 1])
    return Case(p, OPTIMAL, 3)  # (1, 2)


@case
def inconsistent_equations() -> Case:
    rows = [[1, 2, 3], [2, 1, 1], [3, 3, 4]]
    return Case(problem(rows, [equal(6), equal(4), equal(11)], [FREE] * 3), INFEASIBLE)


@case
def fixed_variables() -> Case:
    p = problem([[1, 1, 1]], [at_least(6)], [equal(2), equal(1), (0, 5)], [1, 1, 1])
    return Case(p, OPTIMAL, 6)


@case
def all_fixed_against_a_row() -> Case:
    return Case(problem([[1, 1]], [at_least(6)], [equal(2), equal(3)], [1, 1]), INFEASIBLE)


@case
def rows_without_coefficients() -> Case:
    p = problem([[0, 0], [1, 1], [0, 0]], [(-1, 1), at_least(1), equal(0)], [UNIT] * 2, [1, 2])
    return Case(p, OPTIMAL, 1)


@case
def row_without_coefficients_excludes_zero() -> Case:
    return Case(problem([[0, 0]], [at_least(1)], [UNIT] * 2), INFEASIBLE)


@case
def stored_zeros_and_columns_out_of_order() -> Case:
    rows = sparse.csr_array(
        (np.array([0.0, 2.0, 1.0, 0.0]), np.array([1, 0, 2, 0]), np.array([0, 2, 4])), shape=(2, 3)
    )
    return Case(problem(rows, [at_least(1), at_least(2)], [(0, 9)] * 3, [1, 1, 1]), OPTIMAL, 2.5)


@case
def no_rows() -> Case:
    return Case(problem([], [], [(-2, 3), (1, 4)], [1, -1]), OPTIMAL, -6)


@case
def no_rows_and_no_objective() -> Case:
    return Case(problem([], [], [(-2, 3), FREE]), OPTIMAL, 0)


@case
def no_variables() -> Case:
    return Case(problem([[]], [(-1, 1)], [], constant=7.0), OPTIMAL, 7)


@case
def rows_with_two_ends() -> Case:
    p = problem([[1, 1], [1, -1]], [(1, 2), (-1, 1)], [FREE] * 2, [1, 3])
    return Case(p, OPTIMAL, 1)  # (1, 0), where one lower and one upper end hold


@case
def rows_without_ends() -> Case:
    p = problem([[1, 1], [1, 0]], [ANY, ANY], [(1, 2)] * 2, [1, 1])
    return Case(p, OPTIMAL, 2)


@case
def copies_of_rows() -> Case:
    rows = np.tile([[1.0, 2.0], [2.0, 4.0]], (60, 1))
    sides = [at_least(3), at_least(6)] * 60
    return Case(problem(rows, sides, [(0, 9)] * 2, [1, 1]), OPTIMAL, 1.5)


@case
def redundant_rows() -> Case:
    rows = [[np.cos(t), np.sin(t)] for t in np.linspace(0, 6, 80)]
    p = problem([*rows, [1, 1]], [at_most(50)] * 80 + [at_least(-3)], [(-9, 9)] * 2, [1, 1])
    return Case(p, OPTIMAL, -3)


@case
def ends_that_just_exclude_each_other() -> Case:
    return Case(problem([], [], [(1 + 1e-12, 1.0)], [1]), INFEASIBLE)


# Networks


def relu_rows(
    weights: Sequence[Sequence[float]], lower: Sequence[float], upper: Sequence[float]
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Big-M rows of h = relu(z), z = W x, in (x, h, b): h >= z, h <= z - l(1 - b), h <= u b."""
    w = np.array(weights, float)
    units, eye, none = len(w), np.eye(len(w)), np.zeros_like(np.eye(len(w)))
    low, high = np.diag(lower), np.diag(upper)
    rows = np.block([[-w, eye, none], [-w, eye, -low], [np.zeros_like(w), eye, -high]])
    sides = [at_least(0)] * units + [at_most(-end) for end in lower] + [at_most(0)] * units
    return rows, sides


@case
def relu_encoding() -> Case:
    """min relu(x1 + x2) - relu(x1 - x2) on [-1, 1]^2: at (1, -1)."""
    rows, sides = relu_rows([[1, 1], [1, -1]], [-2, -2], [2, 2])
    ends = [(-1, 1)] * 2 + [(0, 2)] * 2 + [UNIT] * 2
    return Case(problem(rows, sides, ends, [0, 0, 1, -1, 0, 0], [4, 5]), OPTIMAL, -2)


@case
def relu_encoding_without_slack() -> Case:
    """|x| = relu(x) + relu(-x) is x nowhere above 1/4 off: infeasible, by 1/4."""
    rows, sides = relu_rows([[1], [-1]], [-1, -1], [1, 1])
    rows = np.vstack([rows, [[-1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]])
    ends = [(-1, 1), UNIT, UNIT, UNIT, UNIT]
    sides = [*sides, at_most(-0.25), ANY]
    return Case(problem(rows, sides, ends, None, [3, 4]), INFEASIBLE)


@case
def relu_encoding_of_random_network() -> Case:
    """A layer of 8 neurons on 2 inputs; the minimum is at a vertex of its linear pieces."""
    rng = np.random.default_rng(3)
    w, c = rng.integers(-4, 5, (8, 2)), rng.integers(-3, 4, 8)
    reach = np.abs(w).sum(axis=1)
    rows, sides = relu_rows(w.tolist(), (-reach).tolist(), reach.tolist())
    ends = [(-1, 1)] * 2 + [(0, r) for r in reach] + [UNIT] * 8
    p = problem(rows, sides, ends, [0, 0, *c, *[0] * 8], range(10, 18))
    best = min(float(c @ np.maximum(w @ np.array(x), 0)) for x in _breakpoints(w))
    return Case(p, OPTIMAL, best)


def _breakpoints(w: np.ndarray) -> Iterator[tuple[float, float]]:
    """Vertices of the pieces of x -> relu(W x) on [-1, 1]^2: all lines meet at zero and the rim."""
    yield from product((-1.0, 1.0), repeat=2)
    yield 0.0, 0.0
    for a, b in w.tolist():
        for end in (-1.0, 1.0):
            if b and abs(a * end / b) <= 1:
                yield end, -a * end / b
            if a and abs(b * end / a) <= 1:
                yield -b * end / a, end


@case
def loose_big_m() -> Case:
    """y <= 1e6 b and y >= 1/100: b >= 1e-8, so 1; a tolerance of 1e-9 does not get around it."""
    p = problem([[1, -1e6]], [at_most(0)], [(0.01, 10), UNIT], [0, 1], [1])
    return Case(p, OPTIMAL, 1)


@case
def loose_big_m_coupled() -> Case:
    """min b1 + ... + b4 with 0 <= y <= 1e6 b and -y1 + y2 - y3 + y4 = 1/2, y1 - y2 + 2 y3 = 1/4.

    One b would have to be b4 for the first and b1 or b3 for the second equation: two are needed.
    """
    rows = np.block([[np.eye(4), -1e6 * np.eye(4)], [np.zeros((2, 8))]])
    rows[4:, :4] = [[-1, 1, -1, 1], [1, -1, 2, 0]]
    sides = [at_most(0)] * 4 + [equal(0.5), equal(0.25)]
    ends = [(0, 1e6)] * 4 + [UNIT] * 4
    return Case(problem(rows, sides, ends, [0] * 4 + [1] * 4, range(4, 8)), OPTIMAL, 2)


# Whole numbers


@case
def knapsack() -> Case:
    rng = np.random.default_rng(0)
    value, weight = rng.integers(5, 60, 12), rng.integers(5, 40, 12)
    packings = np.array(list(product((0, 1), repeat=12)))
    best = (packings @ value)[packings @ weight <= 100].max()
    return Case(
        problem([weight], [at_most(100)], [UNIT] * 12, -value, integer=True), OPTIMAL, -best
    )


@case
def general_integers() -> Case:
    """min 5x + 7y with 3x + 4y >= 50: enumerated."""
    best = min(5 * x + 7 * y for x, y in product(range(31), repeat=2) if 3 * x + 4 * y >= 50)
    p = problem([[3, 4]], [at_least(50)], [(0, 30)] * 2, [5, 7], integer=True)
    return Case(p, OPTIMAL, best)


@case
def negative_integers() -> Case:
    p = problem([[2, 3]], [at_least(-17)], [(-9.5, 3), (-5.5, 0.5)], [1, 1], [0])
    return Case(p, OPTIMAL, -9 + 1 / 3)  # x = -9, y = 1/3


@case
def integers_with_fractional_ends() -> Case:
    p = problem([[1, 1]], [at_least(1)], [(0.25, 2.75), (-0.5, 1.5)], [1, 1], integer=True)
    return Case(p, OPTIMAL, 1)


@case
def no_integer_between_the_ends() -> Case:
    return Case(problem([[1, 1]], [ANY], [(0.25, 0.75), UNIT], [1, 1], [0]), INFEASIBLE)


@case
def infeasible_by_integrality() -> Case:
    p = problem([[6, 10]], [equal(15)], [(-50, 50)] * 2, [1, 0], integer=True)
    return Case(p, INFEASIBLE)


@case
def infeasible_by_parity() -> Case:
    return Case(problem([[2] * 9], [equal(9)], [UNIT] * 9, integer=True), INFEASIBLE)


@case
def infeasible_by_integrality_without_ends() -> Case:
    p = problem([[3, 6]], [equal(1)], [FREE] * 2, [1, 0], integer=True)
    limited = frozenset({LIMIT, FAILED})
    return Case(p, INFEASIBLE, also=limited, exact_also=limited, limits=Limits(seconds=0.5))


@case
def huge_integers() -> Case:
    """Beyond 32 bits, and beyond the 2e9 that some take for infinite."""
    p = problem([[1, -1]], [at_least(5e9 + 0.5)], [(0, 1e12), (-3, 3)], [1, 0], [0])
    return Case(p, OPTIMAL, 5e9 - 2, accuracy=1e-3, also=frozenset({FAILED}))


@case
def unbounded_integers() -> Case:
    p = problem([[1, -2]], [(-1, 1)], [POSITIVE] * 2, [-1, 0], integer=True)
    return Case(p, UNBOUNDED)


@case
def mixed() -> Case:
    """min x + y, x whole, 2x + 2y >= 7, y <= 3/4."""
    p = problem([[2, 2]], [at_least(7)], [(0, 9), (0, 0.75)], [2, 1], [0])
    return Case(p, OPTIMAL, 6.5)


@case
def feasibility_of_a_mixed_problem() -> Case:
    p = problem([[3, 5, 1]], [equal(8.5)], [(0, 5), (0, 5), (0, 0.5)], None, [0, 1])
    return Case(p, OPTIMAL, 0)


@case
def infeasibility_of_a_mixed_problem() -> Case:
    """3x + 5y in [7, 7.5]: no whole x and y from 0 on make 7."""
    p = problem([[3, 5, 1]], [equal(7.5)], [(0, 5), (0, 5), (0, 0.5)], None, [0, 1])
    return Case(p, INFEASIBLE)


# Numbers of many sizes


@case
def badly_scaled_lp() -> Case:
    rows = [[1e8, 1], [1, -1e-8]]
    p = problem(rows, [at_least(1e8), at_most(1)], [(0, 1e4), (0, 1e8)], [1, 1e-8])
    return Case(p, OPTIMAL, 1)


@case
def badly_scaled_milp() -> Case:
    """Whole x counts 1e8, y counts 1e-8: 1e8 x + 1e-8 y >= 2.5e8, y <= 1e8."""
    p = problem([[1e8, 1e-8]], [at_least(2.5e8)], [(0, 10), (0, 1e8)], [1, 1e-8], [0])
    return Case(p, OPTIMAL, 3)


@case
def infeasible_by_1e_7() -> Case:
    p = problem([[1, 1], [1, 1]], [at_least(1 + 1e-7), at_most(1)], [UNIT] * 2, [1, 2])
    return Case(p, INFEASIBLE)


@case
def infeasible_by_1e_12() -> Case:
    p = problem([[1, 1], [1, 1]], [at_least(1 + 1e-12), at_most(1)], [UNIT] * 2, [1, 2])
    return Case(p, INFEASIBLE, 1, also=frozenset({OPTIMAL}))


@case
def infeasible_by_1e_12_in_a_cycle() -> Case:
    """x <= y <= z <= x - 1e-12: no two rows show it."""
    rows = [[1, -1, 0], [0, 1, -1], [-1, 0, 1]]
    sides = [at_most(0), at_most(0), at_most(-1e-12)]
    return Case(problem(rows, sides, [UNIT] * 3, [1, 0, 0]), INFEASIBLE, 0, frozenset({OPTIMAL}))


@case
def infeasible_by_1e_7_in_a_cycle() -> Case:
    rows = [[1, -1, 0], [0, 1, -1], [-1, 0, 1]]
    sides = [at_most(0), at_most(0), at_most(-1e-7)]
    return Case(problem(rows, sides, [UNIT] * 3, [1, 0, 0]), INFEASIBLE)


@case
def feasible_by_1e_12() -> Case:
    """To call it infeasible would be a wrong proof, whatever the tolerances."""
    p = problem([[1, 1], [1, 1]], [at_least(1 - 1e-12), at_most(1)], [UNIT] * 2, [1, 2])
    return Case(p, OPTIMAL, 1, accuracy=1e-8, exactly=False)


@case
def feasible_at_one_point() -> Case:
    p = problem([[1, 1], [1, -1], [3, 1]], [at_most(2), equal(0), at_least(4)], [FREE] * 2, [1, 0])
    return Case(p, OPTIMAL, 1)


@case
def hilbert_equations() -> Case:
    """H x = H 1: rhs off by 1e-9 moves the sum by 1e-9 times the l1 norm of H^-T 1."""
    h = 1 / (np.arange(6)[:, None] + np.arange(6) + 1.0)
    moved = np.abs(np.linalg.solve(h.T, np.ones(6))).sum()
    sides = [equal(s) for s in h.sum(axis=1)]
    p = problem(h, sides, [(-9, 9)] * 6, np.ones(6))
    return Case(p, OPTIMAL, 6, accuracy=4e-9 * moved, exactly=False)


@case
def nearly_parallel_rows() -> Case:
    """The vertex (1, 1) of lines 1e-6 apart in slope: a row off by 1e-9 moves it by 1e-3."""
    p = problem([[1, 1], [1, 1 + 2**-20]], [equal(2), equal(2 + 2**-20)], [FREE] * 2, [1, 0])
    return Case(p, OPTIMAL, 1, accuracy=1e-2)


@case
def huge_coefficient() -> Case:
    p = problem([[2.0**40, 1]], [at_least(2.0**40)], [(0, 2), UNIT], [1, 1])
    return Case(p, OPTIMAL, 1)


@case
def coefficient_beyond_what_some_take() -> Case:
    p = problem([[2.0**60, 1]], [at_least(2.0**60)], [(0, 2), UNIT], [1, 1])
    return Case(p, OPTIMAL, 1, also=frozenset({FAILED}))


@case
def end_beyond_what_some_take() -> Case:
    return Case(
        problem([[1, -1]], [at_least(0)], [(1e30, inf), UNIT], [1, 0]),
        OPTIMAL,
        1e30,
        also=frozenset({FAILED}),
    )


@case
def tiny_coefficient_that_matters() -> Case:
    """2^-50 x >= 1: without the coefficient, as some would read it, infeasible."""
    p = problem([[2.0**-50, 0]], [at_least(1)], [(0, 2.0**51), UNIT], [2.0**-50, 0])
    return Case(p, OPTIMAL, 1, also=frozenset({FAILED}))


@case
def tiny_coefficient_that_does_not_matter() -> Case:
    return Case(
        problem([[2.0**-50, 1]], [at_least(1)], [UNIT, (0, 2)], [0, 1]), OPTIMAL, 1 - 2**-50
    )


@case
def tiny_objective() -> Case:
    p = problem([[1, 1]], [at_most(1.5)], [UNIT] * 2, [-(2.0**-40), -(2.0**-41)])
    return Case(p, OPTIMAL, -1.25 * 2**-40, accuracy=1e-19)


@case
def tiny_objective_of_whole_numbers() -> Case:
    p = problem([[2, 2]], [at_most(3)], [UNIT] * 2, [-(2.0**-40), -(2.0**-41)], integer=True)
    return Case(p, OPTIMAL, -(2.0**-40), accuracy=1e-19)


@case
def huge_objective() -> Case:
    p = problem([[1, 1]], [at_least(1)], [UNIT] * 2, [1e8, 2e8])
    return Case(p, OPTIMAL, 1e8, accuracy=1.0)


# Hard ones, and limits


def market_split(seed: int = 0) -> tuple[Problem, np.ndarray]:
    """Cornuejols and Dawande's problem, 4 x 30: slacks to minimise, and a planted point of 0.

    Branch and bound takes millions of nodes.
    """
    rng = np.random.default_rng(seed)
    a, planted = rng.integers(0, 100, (4, 30)), rng.integers(0, 2, 30)
    rows = np.hstack([a, np.eye(4), -np.eye(4)])
    ends = [UNIT] * 30 + [(0, 3000)] * 8
    objective = np.concatenate([np.zeros(30), np.ones(8)])
    p = problem(rows, [equal(s) for s in a @ planted], ends, objective, range(30))
    return p, np.concatenate([planted, np.zeros(8)])


@case
def hard_milp_in_10_milliseconds() -> Case:
    late = frozenset({LIMIT})
    return Case(market_split()[0], OPTIMAL, 0, late, exact_also=late, limits=Limits(seconds=0.01))


@case
def hard_milp_in_20_nodes() -> Case:
    late, limits = frozenset({LIMIT}), Limits(nodes=20)
    return Case(market_split()[0], OPTIMAL, 0, late, exact_also=late, limits=limits)


@case
def easy_milp_in_ample_limits() -> Case:
    made = knapsack()
    return Case(made.problem, OPTIMAL, made.minimum, limits=Limits(seconds=60, nodes=10**6))


# What is no problem at all


@case
def nan_in_an_end() -> Case:
    p = problem([[1, 1]], [at_least(np.nan)], [UNIT] * 2, [1, 1])
    return Case(p, FAILED)


@case
def nan_in_the_objective() -> Case:
    return Case(problem([[1, 1]], [at_least(1)], [UNIT] * 2, [1, np.nan]), FAILED)


@case
def infinite_coefficient() -> Case:
    return Case(problem([[1, inf]], [at_least(1)], [UNIT] * 2, [1, 1]), FAILED)


@case
def two_coefficients_of_one_variable() -> Case:
    rows = sparse.csr_array(
        (np.array([1.0, 1.0]), np.array([0, 0]), np.array([0, 2])), shape=(1, 2)
    )
    return Case(problem(rows, [at_least(1)], [UNIT] * 2, [1, 1]), FAILED)
