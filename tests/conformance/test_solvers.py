"""Every backend answers every problem rightly, or says what stopped it; no two contradict."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import inf

import numpy as np
import pytest

from redy import solvers
from redy.errors import SolverError
from redy.solvers import SOLVERS, Limits, Outcome, Problem, gurobi, highs, scip, z3
from redy.solvers.forms import readable
from redy.solvers.problem import Answer
from redy.tolerances import HIGHS_SMALLEST, SOLVER_TOLERANCE
from tests.conformance.problems import CASES, Case, at_least, at_most, equal, market_split, problem

BACKENDS = [name for name, backend in sorted(SOLVERS.items()) if backend.probe().available]
MODULES = {"gurobi": gurobi, "highs": highs, "scip": scip, "z3": z3}
LIBRARIES = {"gurobi": "gurobipy", "highs": "highspy", "scip": "pyscipopt", "z3": "z3"}

every_backend = pytest.mark.parametrize("name", BACKENDS)


def accepted(case: Case, *, exact: bool) -> set[Outcome]:
    return {case.outcome} | (case.exact_also if exact else case.also)


# Answers


@pytest.mark.parametrize("build", CASES.values(), ids=CASES)
@every_backend
def test_answer(name: str, build: Callable[[], Case]) -> None:
    case, exact = build(), SOLVERS[name].probe().exact
    answer = SOLVERS[name].solve(case.problem, case.limits)
    assert answer.outcome in accepted(case, exact=exact), answer.detail
    check_shape(case.problem, answer)
    accuracy = max(case.accuracy, SOLVER_TOLERANCE * abs(case.minimum))
    if case.minimum < inf and answer.outcome is Outcome.OPTIMAL:
        assert answer.bound == pytest.approx(case.minimum, rel=0, abs=accuracy)
        assert answer.value == pytest.approx(case.minimum, rel=0, abs=accuracy)
    if case.outcome is Outcome.OPTIMAL:
        assert answer.bound <= case.minimum + accuracy
    if exact and case.exactly and answer.outcome is Outcome.OPTIMAL:
        assert 0 <= case.minimum - answer.bound <= np.spacing(abs(case.minimum))


def check_shape(p: Problem, answer: Answer) -> None:
    """What the contract says of every answer, whatever the problem."""
    assert answer.detail
    assert answer.seconds >= 0
    assert answer.nodes >= 0
    assert not np.isnan(answer.bound)
    match answer.outcome:
        case Outcome.OPTIMAL | Outcome.LIMIT:
            assert (answer.point is None) == (answer.value == inf)
            if answer.point is not None:
                assert answer.value == float(p.objective @ answer.point) + p.constant
        case Outcome.INFEASIBLE:
            assert (answer.bound, answer.point) == (inf, None)
        case Outcome.UNBOUNDED | Outcome.FAILED:
            assert (answer.bound, answer.value, answer.point) == (-inf, inf, None)


def random_problem(seed: int) -> Problem:
    """Small, of whole numbers, with every kind of row and end; a third are LPs."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 6, 2)
    rows = rng.integers(-5, 6, (m, n)) * rng.integers(0, 2, (m, n))
    low = rng.choice([-inf, -3, 0, 0.5], n)
    high = np.where(rng.random(n) < 0.7, rng.choice([3, 4.5, 7], n), inf)
    middle, kind = rng.integers(-6, 7, m).astype(float), rng.integers(0, 4, m)
    width = np.select([kind == 0, kind == 1], [0, 3], inf)
    row_low = np.where(kind == 3, -inf, middle)
    row_high = np.where(kind == 3, middle, middle + width)
    integer = np.flatnonzero(rng.random(n) < 0.6 * (seed % 3 > 0))
    sides, ends = list(zip(row_low, row_high, strict=True)), list(zip(low, high, strict=True))
    return problem(rows, sides, ends, rng.integers(-4, 5, n), integer.tolist())


@pytest.mark.skipif("z3" not in BACKENDS, reason="the exact answers come from Z3")
@pytest.mark.parametrize("seed", range(60))
def test_random_problems_as_in_exact_arithmetic(seed: int) -> None:
    p, limits = random_problem(seed), Limits(seconds=10)
    exact = SOLVERS["z3"].solve(p, limits)
    assert exact.outcome in {Outcome.OPTIMAL, Outcome.INFEASIBLE, Outcome.UNBOUNDED}
    for name in BACKENDS:
        answer = SOLVERS[name].solve(p, limits)
        assert answer.outcome is exact.outcome, (name, answer.detail)
        assert answer.bound == pytest.approx(exact.bound, abs=1e-7), name
        assert answer.value == pytest.approx(exact.value, abs=1e-7), name


@pytest.mark.skipif("z3" not in BACKENDS, reason="of Z3")
@pytest.mark.parametrize("sevenths", range(-3, 4))
def test_an_exact_bound_is_rounded_down(sevenths: int) -> None:
    """min x with 7x >= k; 3/7, for one, is nearer to the float64 above it."""
    p = problem([[7]], [at_least(sevenths)], [(-1, 1)], [1])
    bound = SOLVERS["z3"].solve(p).bound
    above = np.nextafter(bound, inf)
    assert Fraction(bound) <= Fraction(sevenths, 7) < Fraction(float(above))


def test_rows_that_lose_coefficients_lose_no_point() -> None:
    tiny = 2.0**-50
    rows, sides = [[tiny, 1], [-tiny, 1], [0, 1]], [(3, 3 + tiny), equal(3), equal(3)]
    p = problem(rows, sides, [(-1, 1), (-9, 9)])
    read = readable(p, HIGHS_SMALLEST)
    assert read.rows.toarray().tolist() == [[0, 1]] * 3
    for i in range(2):
        assert Fraction(read.row_lower[i]) <= Fraction(p.row_lower[i]) - Fraction(tiny)
        assert Fraction(read.row_upper[i]) >= Fraction(p.row_upper[i]) + Fraction(tiny)
    assert (read.row_lower[2], read.row_upper[2]) == (3, 3)


# Duals


def exact_dual_value(p: Problem, dual: np.ndarray) -> Fraction:
    """The bound that ``dual`` gives, by the contract's signs; only for problems with all ends."""
    y = [Fraction(t) for t in dual.tolist()]
    rows = p.rows.toarray().tolist()
    total = Fraction(p.constant)
    for t, low, high in zip(y, p.row_lower, p.row_upper, strict=True):
        total += t * Fraction(float(low if t > 0 else high)) if t else 0
    for j, cost in enumerate(p.objective.tolist()):
        reduced = Fraction(cost) - sum(Fraction(row[j]) * t for row, t in zip(rows, y, strict=True))
        total += reduced * Fraction(float(p.lower[j] if reduced > 0 else p.upper[j]))
    return total


def boxed_lps() -> list[str]:
    names = []
    for name, build in CASES.items():
        case = build()
        ends = np.concatenate([case.problem.lower, case.problem.upper])
        if case.outcome is Outcome.OPTIMAL and not case.problem.integer.any():
            names += [name] if np.isfinite(ends).all() and not case.also else []
    return names


@pytest.mark.parametrize("build", [CASES[name] for name in boxed_lps()], ids=boxed_lps())
@pytest.mark.parametrize("name", [n for n in BACKENDS if SOLVERS[n].probe().duals])
def test_duals_of_an_lp_reach_its_minimum(name: str, build: Callable[[], Case]) -> None:
    case = build()
    answer = SOLVERS[name].solve(case.problem)
    assert answer.dual is not None
    assert answer.dual.shape == case.problem.row_lower.shape
    # A y of 1e-17 that points to an infinite end would make the bound -infinity.
    away = np.where(answer.dual > 0, case.problem.row_lower, case.problem.row_upper)
    dual = np.where(np.isinf(away) & (np.abs(answer.dual) <= SOLVER_TOLERANCE), 0, answer.dual)
    accuracy = max(case.accuracy, SOLVER_TOLERANCE * abs(case.minimum))
    bound = exact_dual_value(case.problem, dual)
    assert float(bound) == pytest.approx(case.minimum, rel=0, abs=accuracy)


@pytest.mark.parametrize("name", [n for n in BACKENDS if SOLVERS[n].probe().duals])
def test_signs_of_duals(name: str) -> None:
    """min 2x + y at (3/4, 1/4): a tight lower end weighs up, a tight upper end down."""
    rows, sides = [[1, 1], [0, 1], [1, -1]], [at_least(1), at_most(0.25), (-9, 9)]
    dual = SOLVERS[name].solve(problem(rows, sides, [(0, 4)] * 2, [2, 1])).dual
    assert dual is not None
    assert dual.tolist() == pytest.approx([2, -1, 0])


@pytest.mark.parametrize("name", [n for n in BACKENDS if SOLVERS[n].probe().duals])
def test_signs_of_duals_of_equations_and_ranges(name: str) -> None:
    """min x - 2y, x - y = 1, 2 <= x + y <= 5: y1 + y2 = 1, y2 - y1 = -2."""
    rows, sides = [[1, -1], [1, 1]], [equal(1), (2, 5)]
    dual = SOLVERS[name].solve(problem(rows, sides, [(0, 9)] * 2, [1, -2])).dual
    assert dual is not None
    assert dual.tolist() == pytest.approx([1.5, -0.5])


@every_backend
def test_no_duals_of_a_milp(name: str) -> None:
    assert SOLVERS[name].solve(CASES["knapsack"]().problem).dual is None


# Limits, starts, determinism


@pytest.mark.parametrize("name", [n for n in BACKENDS if SOLVERS[n].probe().warm_starts])
def test_a_starting_point_is_used(name: str) -> None:
    """Within 20 nodes no backend finds the planted point by itself, as another test shows."""
    p, planted = market_split()
    answer = SOLVERS[name].solve(p, Limits(nodes=20), planted)
    assert answer.outcome is Outcome.OPTIMAL
    assert (answer.bound, answer.value) == pytest.approx((0, 0), abs=1e-6)


@every_backend
@pytest.mark.parametrize("start", [[9.0, 9.0], [np.nan, 0.0], [1.0]], ids=str)
def test_a_useless_starting_point_does_no_harm(name: str, start: list[float]) -> None:
    p = problem([[2, 2]], [at_least(3)], [(0, 1)] * 2, [1, 3], integer=True)
    answer = SOLVERS[name].solve(p, start=np.array(start))
    assert (answer.outcome, answer.bound) == (Outcome.OPTIMAL, pytest.approx(4))


@every_backend
def test_a_time_limit_is_kept(name: str) -> None:
    answer = SOLVERS[name].solve(market_split()[0], Limits(seconds=0.2))
    assert answer.outcome is Outcome.LIMIT
    assert answer.bound <= 1e-6
    assert answer.seconds < 2


@every_backend
def test_no_time_left(name: str) -> None:
    answer = SOLVERS[name].solve(market_split()[0], Limits(seconds=0.0))
    assert answer.outcome is Outcome.LIMIT
    assert answer.bound == -inf or abs(answer.bound) < 1e-6  # and not -1e20, or -1e100


@every_backend
def test_a_node_limit_stops_at_the_same_place(name: str) -> None:
    first, second = (SOLVERS[name].solve(market_split(1)[0], Limits(nodes=20)) for _ in range(2))
    assert first.outcome is Outcome.LIMIT
    assert (first.bound, first.value, first.nodes) == (second.bound, second.value, second.nodes)


# Statuses


@pytest.mark.parametrize("name", [n for n in BACKENDS if n != "z3"])
@pytest.mark.parametrize("build", [CASES["knapsack"], CASES["infeasible_lp"]])
def test_a_status_that_nobody_mapped_is_failed(
    name: str, build: Callable[[], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULES[name], "OUTCOMES", {})
    answer = SOLVERS[name].solve(build().problem)
    assert (answer.outcome, answer.bound, answer.point) == (Outcome.FAILED, -inf, None)
    assert any(word in answer.detail.lower() for word in ("optimal", "infeasible", "inf_or_unbd"))


def test_every_mapped_status_exists() -> None:
    """A typing error in a table would turn an outcome into FAILED, unnoticed."""
    if "gurobi" in BACKENDS:
        assert set(gurobi.OUTCOMES) <= set(dir(sys.modules["gurobipy"].GRB.Status))
    if "highs" in BACKENDS:
        assert set(highs.OUTCOMES) <= set(dir(sys.modules["highspy"].HighsModelStatus))


@every_backend
def test_what_a_library_raises_is_failed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Answer:
        raise MemoryError("of the\nlibrary")

    monkeypatch.setattr(SOLVERS[name], "run", broken)
    answer = SOLVERS[name].solve(CASES["feasible_lp"]().problem)
    assert (answer.outcome, answer.detail) == (Outcome.FAILED, "MemoryError: of the library")


# What there is


def test_importing_redy_solvers_imports_no_library() -> None:
    code = f"import redy.solvers, sys; print(*({set(LIBRARIES.values())} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not out.stdout.strip()


def test_the_four_backends_are_registered() -> None:
    assert set(LIBRARIES) <= set(SOLVERS)
    assert set(solvers.PREFERENCE) <= set(SOLVERS)


@every_backend
def test_probe_of_what_is_there(name: str) -> None:
    capabilities = SOLVERS[name].probe()
    assert capabilities.version[0].isdigit()
    assert capabilities.integers
    assert not capabilities.why_not
    assert capabilities.exact == (name == "z3")
    assert solvers.solver(name) is SOLVERS[name]


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[name], None)
    capabilities = SOLVERS[name].probe()
    assert not capabilities.available
    assert "pip install" in capabilities.why_not
    with pytest.raises(SolverError, match=rf"{name}: .*pip install"):
        solvers.solver(name)
    assert SOLVERS[name].solve(CASES["feasible_lp"]().problem).outcome is Outcome.FAILED


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_broken_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when its shared objects do not fit the machine, or the licence has run out."""

    def broken() -> str:
        raise RuntimeError("no licence")

    monkeypatch.setattr(SOLVERS[name], "version", broken)
    capabilities = SOLVERS[name].probe()
    assert not capabilities.available
    assert "no licence" in capabilities.why_not


def test_an_unknown_name() -> None:
    with pytest.raises(SolverError, match="no solver 'cplex'; there are gurobi, highs, scip, z3"):
        solvers.solver("cplex")


# Automatic choice


def wide(variables: int) -> Problem:
    return problem([], [], [(0, 1)] * variables, np.ones(variables))


@pytest.mark.parametrize("integer", [False, True])
def test_auto_takes_the_first_that_is_there(integer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    p = CASES["knapsack"]().problem if integer else wide(3)
    assert set(solvers.preferred(p)) == set(solvers.PREFERENCE)
    available = [name for name in solvers.preferred(p) if name in BACKENDS]
    for name in available:
        assert solvers.auto(p) is SOLVERS[name]
        monkeypatch.setitem(sys.modules, LIBRARIES[name], None)
    with pytest.raises(SolverError, match="pip install"):
        solvers.auto(p)


def test_auto_minds_the_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = solvers.PREFERENCE[:2]
    small = replace(SOLVERS[first].probe(), available=True, most_variables=5, most_rows=5)
    monkeypatch.setattr(SOLVERS[first], "probe", lambda: small)
    roomy = replace(small, most_variables=None, most_rows=None)
    monkeypatch.setattr(SOLVERS[second], "probe", lambda: roomy)
    assert solvers.auto(wide(5)) is SOLVERS[first]
    assert solvers.auto(wide(6)) is SOLVERS[second]
    two_ended = problem(np.ones((3, 2)), [(0, 1)] * 3, [(0, 1)] * 2)
    assert solvers.auto(two_ended) is SOLVERS[second]
    assert solvers.auto(replace(two_ended, row_lower=np.ones(3))) is SOLVERS[first]


@pytest.mark.skipif("gurobi" not in BACKENDS, reason="gurobi is not here")
def test_a_problem_beyond_gurobis_licence() -> None:
    capabilities = SOLVERS["gurobi"].probe()
    if capabilities.most_variables is None:
        pytest.skip("the licence on this machine has no limit")
    assert (capabilities.most_variables, capabilities.most_rows) == (2000, 2000)
    assert SOLVERS["gurobi"].solve(wide(2000)).outcome is Outcome.OPTIMAL
    answer = SOLVERS["gurobi"].solve(wide(2001))
    assert answer.outcome is Outcome.FAILED
    assert "license" in answer.detail
