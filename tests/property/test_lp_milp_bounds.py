"""LP, MILP and branch-and-bound bounds against exact enumeration, and solvers that lie."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from redy.bounds import REFINEMENTS, Effort, Refined, bound, milp, queries, refine
from redy.bounds.milp import Gaps, believed
from redy.bounds.refined import Claim
from redy.domain import Box
from redy.network.form import Layer, Network
from redy.solvers import SOLVERS, Answer, Limits, Outcome, Problem, certificate
from redy.solvers.certificate import lp_bound
from tests.exact import ExactRanges, encloses, exact_ranges
from tests.property.test_bounds_exact import CANCELLING, MIXED, PLAIN, problems

FEW = settings(max_examples=40, deadline=None)
EFFORT = Effort(budget=120, solver="highs", time_limit=10.0)
PROVING = ["branch", "lp"]


class InProcess:
    """A backend without the child process that guards it: thousands of tiny questions are asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    def probe(self):
        return SOLVERS[self.name].probe()

    def solve(self, problem, limits=None, start=None):
        return SOLVERS[self.name].solve(problem, limits, start)


class Liar:
    """Solves with HiGHS and then says something else."""

    name = "highs"

    def __init__(self, lie) -> None:
        self._lie = lie
        self.lies = 0

    def solve(self, problem, limits=None, start=None):
        answer = SOLVERS["highs"].solve(problem, limits, start)
        self.lies += 1
        return self._lie(problem, answer)


@pytest.fixture(autouse=True)
def unguarded(monkeypatch):
    monkeypatch.setattr(queries, "_guarded", InProcess)


def check(refined: Refined, exact: ExactRanges, what: str) -> None:
    for name in ("", "proved_"):
        lower, upper = getattr(refined, f"{name}lower"), getattr(refined, f"{name}upper")
        for k, layer in enumerate(exact):
            for i, extremes in enumerate(layer):
                ends = float(lower[k][i]), float(upper[k][i])
                assert encloses(*ends, extremes), (
                    f"{what} {name}: z[{k + 1}, {i}] is in {[*map(float, extremes)]}, not {ends}"
                )


def check_tighter(refined: Refined, known: Refined) -> None:
    ends = (refined.lower, known.lower, known.upper, refined.upper)
    for low, known_low, known_high, high in zip(*ends, strict=True):
        assert (low >= known_low).all()
        assert (high <= known_high).all()


# Bounds.


@pytest.mark.parametrize("method", sorted(REFINEMENTS))
@FEW
@given(problems(PLAIN))
def test_bounds_contain_the_exact_range_and_are_as_tight_as_crown(method, problem):
    network, box = problem
    refined = refine(network, box, method, EFFORT)
    check(refined, exact_ranges(network, box), method)
    check_tighter(refined, Refined.of(bound(network, [box])))


@pytest.mark.parametrize("method", PROVING)
@pytest.mark.parametrize("weight", [CANCELLING, MIXED], ids=["cancelling", "mixed"])
def test_proved_bounds_of_hostile_networks_contain_the_exact_range(method, weight):
    @FEW
    @given(problems(weight))
    def run(problem):
        network, box = problem
        check(refine(network, box, method, EFFORT), exact_ranges(network, box), method)

    run()


@FEW
@given(problems(PLAIN))
def test_milps_are_exact_up_to_the_tolerances(problem):
    network, box = problem
    refined = refine(network, box, "milp", EFFORT)
    for k, layer in enumerate(exact_ranges(network, box)):
        for i, (low, high) in enumerate(layer):
            width = float(high - low)
            assert refined.lower[k][i] >= low - 1e-3 * (1 + width)
            assert refined.upper[k][i] <= high + 1e-3 * (1 + width)


def crossing_network(units: int = 6) -> tuple[Network, Box]:
    rng = np.random.default_rng(4)
    widths = [2, units, units, 3]
    layers = [
        Layer(
            {k: rng.normal(size=(widths[k + 1], widths[k]))},
            rng.normal(size=widths[k + 1]) / 4,
            np.full(widths[k + 1], k < 2),
        )
        for k in range(3)
    ]
    return Network(2, tuple(layers)), Box([-1.0, -1.0], [1.0, 1.0])


def width(refined: Refined) -> float:
    ends = zip(refined.lower, refined.upper, strict=True)
    return float(sum((high - low).sum() for low, high in ends))


@pytest.mark.parametrize("method", sorted(REFINEMENTS))
def test_each_refinement_narrows(method):
    network, box = crossing_network()
    assert width(refine(network, box, method, EFFORT)) < 0.99 * width(
        Refined.of(bound(network, [box]))
    )


def test_a_larger_budget_is_no_wider():
    network, box = crossing_network()
    widths = [
        width(refine(network, box, "branch", replace(EFFORT, budget=b))) for b in (1, 50, 500)
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[2] < 0.9 * widths[0]


def test_only_milps_and_what_follows_from_them_rest_on_a_solver():
    network, box = crossing_network()
    effort = replace(EFFORT, budget=1)
    for method in PROVING:
        refined = refine(network, box, method, effort)
        assert refined.proved(4)
    refined = refine(network, box, "milp", effort)
    assert not refined.proved(4)
    proved = replace(refined, lower=refined.proved_lower, upper=refined.proved_upper)
    assert width(refined) < width(proved)
    assert width(proved) <= width(refine(network, box, "lp", effort))


def test_bounds_that_rest_on_a_solver_taint_what_is_derived_from_them():
    network, box = crossing_network()
    known = Refined.of(bound(network, [box]))
    told = known.narrowed(1, [Claim(0, 1, float(known.lower[0][0]) / 2)], proved=False)
    for method in PROVING:
        refined = REFINEMENTS[method](network, box, told, EFFORT)
        for k in (1, 2):
            assert np.array_equal(refined.proved_lower[k], known.lower[k])
            assert np.array_equal(refined.proved_upper[k], known.upper[k])
        assert width(refined) < width(told)


@pytest.mark.parametrize("solver", ["gurobi", "highs", "scip", "z3"])
def test_every_solver_can_be_asked(solver):
    if not SOLVERS[solver].probe().available:
        pytest.skip(f"{solver} is not here")
    network, box = crossing_network(units=3)
    exact = exact_ranges(network, box)
    for method in ("lp", "milp"):
        refined = refine(network, box, method, replace(EFFORT, solver=solver))
        check(refined, exact, method)


def test_infinite_bounds_are_left_as_they_are():
    first = Layer({0: np.full((2, 1), 1e300)}, np.zeros(2), np.array([True, True]))
    second = Layer({1: np.array([[1e300, -1e300]])}, np.zeros(1), np.array([True]))
    last = Layer({2: np.ones((1, 1))}, np.zeros(1), np.array([False]))
    network, box = Network(1, (first, second, last)), Box([-1.0], [1.0])
    for method in REFINEMENTS:
        check(refine(network, box, method, EFFORT), exact_ranges(network, box), method)


# The part that a refinement starts from.


def test_claims_that_contradict_or_are_none_are_not_taken():
    known = Refined.of(bound(*_one_neuron()))
    for claim in (nan, inf, -inf, 5.0, -5.0):
        for sign in (1, -1):
            again = known.narrowed(1, [Claim(0, sign, claim)], proved=True)
            assert (again.lower[0], again.upper[0]) == (known.lower[0], known.upper[0])
    again = known.narrowed(1, [Claim(0, 1, -0.5), Claim(0, -1, -0.25)], proved=True)
    assert (again.lower[0], again.upper[0]) == (-0.5, 0.25)


def _one_neuron():
    first = Layer({0: np.eye(1)}, np.zeros(1), np.array([True]))
    last = Layer({1: np.eye(1)}, np.zeros(1), np.array([False]))
    return Network(1, (first, last)), [Box([-1.0], [1.0])]


# Solvers that lie.


def _random_dual(problem: Problem, answer: Answer) -> Answer:
    rng = np.random.default_rng(problem.rows.nnz)
    return replace(
        answer, dual=10.0 ** rng.integers(-9, 9) * rng.normal(size=problem.row_lower.size)
    )


LIES = {
    "random duals": _random_dual,
    "negated duals": lambda _, a: replace(a, dual=None if a.dual is None else -a.dual),
    "huge duals": lambda p, a: replace(a, dual=np.full(p.row_lower.size, 1e308)),
    "infinite duals": lambda p, a: replace(a, dual=np.full(p.row_lower.size, inf)),
    "NaN duals": lambda p, a: replace(a, dual=np.full(p.row_lower.size, nan)),
    "too few duals": lambda _, a: replace(a, dual=np.ones(1)),
    "no duals": lambda _, a: replace(a, dual=None),
    "infeasible": lambda *_: Answer(Outcome.INFEASIBLE, bound=inf),
    "unbounded": lambda *_: Answer(Outcome.UNBOUNDED),
    "failed": lambda *_: Answer(Outcome.FAILED),
    "high bound": lambda _, a: replace(a, bound=1e9, value=1e9),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_solver_never_yields_a_wrong_lp_bound(lie, monkeypatch):
    network, box = crossing_network()
    liar = Liar(LIES[lie])
    monkeypatch.setattr(queries, "_guarded", lambda _name: liar)
    refined = refine(network, box, "lp", EFFORT)
    check(refined, exact_ranges(network, box), lie)
    assert liar.lies > 0


FAILURES = {
    "infeasible": Answer(Outcome.INFEASIBLE, bound=inf),
    "unbounded": Answer(Outcome.UNBOUNDED, bound=0.0),
    "failed": Answer(Outcome.FAILED, bound=0.0),
    "nothing in time": Answer(Outcome.LIMIT),
    "NaN": Answer(Outcome.OPTIMAL, bound=nan),
    "infinite": Answer(Outcome.OPTIMAL, bound=inf),
    "beyond what points attain": Answer(Outcome.OPTIMAL, bound=1e9),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_milps_that_fail_leave_the_bounds_before(failure, monkeypatch):
    network, box = crossing_network()
    before = refine(network, box, "lp", EFFORT)
    monkeypatch.setattr(milp, "_FEW_INPUTS", 0)
    liar = Liar(lambda p, a: FAILURES[failure] if p.integer.any() else a)
    monkeypatch.setattr(queries, "_guarded", lambda _name: liar)
    refined = refine(network, box, "milp", EFFORT)
    for name in ("lower", "upper", "proved_lower", "proved_upper"):
        pairs = zip(getattr(refined, name), getattr(before, name), strict=True)
        assert all(np.array_equal(*pair) for pair in pairs)


def test_a_milp_stopped_by_its_limit_is_believed_at_its_dual_bound():
    answer = Answer(Outcome.LIMIT, bound=-3.0, value=7.0)
    problem = _problem([[1.0]], [(-1, 1)], [(-2.0, 5.0)], [1.0], 2.0)
    assert -3.0 - 1e-3 < believed(problem, answer) < -3.0


def test_the_milp_method_asks_open_units_first_and_nothing_without_a_gap():
    lower, upper = (np.array([-1.0, -1.0, 1.0]),), (np.array([1.0, 1.0, 4.0]),)
    known = Refined(lower, upper, lower, upper)
    gaps = Gaps(known, 1, np.array([-1.0, -0.5, 2.0]), np.array([1.0, 0.9, 4.0]))
    assert gaps.worthwhile() == [(1, 1), (1, -1), (2, 1)]
    assert gaps.pays(Claim(1, 1, -0.9))
    assert not gaps.pays(Claim(1, 1, -0.999))
    assert not gaps.pays(Claim(1, 1, nan))
    assert not gaps.pays(Claim(1, 1, -0.1))  # a point is below


# The certificate.


def _problem(rows, row_ends, ends, objective, constant=0.0) -> Problem:
    rows = np.array(rows, dtype=float).reshape(len(row_ends), len(ends))
    return Problem(
        lower=np.array([low for low, _ in ends], dtype=float),
        upper=np.array([high for _, high in ends], dtype=float),
        integer=np.zeros(len(ends), dtype=bool),
        rows=sparse.csr_array(rows),
        row_lower=np.array([low for low, _ in row_ends], dtype=float),
        row_upper=np.array([high for _, high in row_ends], dtype=float),
        objective=np.array(objective, dtype=float),
        constant=constant,
    )


def dual_value(problem: Problem, dual) -> Fraction | float:
    """The dual objective in rationals; -inf where an infinite end is asked for by a variable."""
    total = Fraction(problem.constant)
    used = []
    for y, low, high in zip(dual, problem.row_lower, problem.row_upper, strict=True):
        end = low if y > 0 else high
        used.append(Fraction(0) if np.isinf(end) else Fraction(y))
        total += used[-1] * (0 if np.isinf(end) else Fraction(end))
    columns = problem.rows.toarray().T
    variables = zip(columns, problem.objective, problem.lower, problem.upper, strict=True)
    for column, cost, low, high in variables:
        reduced = Fraction(cost) - sum(Fraction(a) * y for a, y in zip(column, used, strict=True))
        end = low if reduced > 0 else high
        if reduced and np.isinf(end):
            return -inf
        total += reduced * Fraction(end) if reduced else 0
    return total


@st.composite
def certificates(draw, number, infinite=True):
    end = st.one_of(number, st.just(inf)) if infinite else number
    m, n = draw(st.integers(0, 4)), draw(st.integers(1, 4))

    def ends(count):
        pairs = [(draw(end), draw(end)) for _ in range(count)]
        return [
            (-abs(a) if np.isinf(a) else min(a, b), max(a, b) if b < inf else b) for a, b in pairs
        ]

    rows = [[draw(number) for _ in range(n)] for _ in range(m)]
    problem = _problem(rows, ends(m), ends(n), [draw(number) for _ in range(n)], draw(number))
    return problem, np.array([draw(number) for _ in range(m)])


@pytest.mark.parametrize("number", [PLAIN, CANCELLING, MIXED], ids=["plain", "cancelling", "mixed"])
def test_the_certificate_is_at_most_the_exact_dual_value(number):
    @settings(max_examples=300, deadline=None)
    @given(certificates(number))
    def run(case):
        problem, dual = case
        value, claimed = dual_value(problem, dual), lp_bound(problem, dual)
        assert claimed == -inf or Fraction(claimed) <= value

    run()


@settings(max_examples=200, deadline=None)
@given(certificates(PLAIN, infinite=False))
def test_the_certificate_is_close_to_the_exact_dual_value(case):
    problem, dual = case
    assert lp_bound(problem, dual) == pytest.approx(float(dual_value(problem, dual)), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(certificates(PLAIN, infinite=False))
def test_the_certificate_of_an_optimal_dual_is_the_minimum(case):
    problem, _ = case
    answer = SOLVERS["highs"].solve(problem, Limits(seconds=10))
    if answer.outcome is Outcome.OPTIMAL:
        assert answer.dual is not None
        assert lp_bound(problem, answer.dual) == pytest.approx(answer.value, abs=1e-6)


@pytest.mark.parametrize("dual", [[nan], [inf], [-inf], [1.0, 2.0], [], [[1.0]]])
def test_what_is_no_dual_vector_certifies_nothing(dual):
    problem = _problem([[1.0]], [(0.0, 1.0)], [(0.0, 1.0)], [1.0])
    assert lp_bound(problem, np.array(dual)) == -inf


def test_multipliers_of_infinite_row_ends_count_as_zero():
    problem = _problem([[1.0]], [(-inf, 1.0)], [(2.0, 3.0)], [1.0])
    assert lp_bound(problem, np.array([1e6])) == pytest.approx(2.0)


def test_a_free_variable_is_bounded_only_by_a_reduced_cost_of_zero():
    free = [(-inf, inf), (0.0, 1.0)]
    assert lp_bound(_problem([], [], free, [0.0, -1.0]), np.zeros(0)) == pytest.approx(-1.0)
    assert lp_bound(_problem([], [], free, [1.0, -1.0]), np.zeros(0)) == -inf
    assert lp_bound(_problem([[1.0, 0.0]], [(1.0, 1.0)], free, [1.0, 0.0]), np.ones(1)) == -inf


def test_overflow_certifies_nothing():
    problem = _problem([[1e308]], [(0.0, 1e308)], [(-1e308, 1e308)], [1.0])
    for dual in (1e308, -1e308, 1.0, -1.0):
        assert lp_bound(problem, np.array([dual])) == -inf


@pytest.mark.parametrize("name", ["gamma", "FLOOR"])
def test_the_certificate_needs_its_rounding(name, monkeypatch):
    tiny = _problem([[1e-200]], [(-inf, -1e-200)], [(-1e300, 1e300)], [0.0])
    ends, box = [(0.1, 0.3), (0.2, 0.9)], [(-3.1, 7.3), (-3.1, 7.3)]
    thirds = _problem([[0.1, 0.7], [0.3, 1 / 3]], ends, box, [0.7, 0.1])
    duals = [np.array([a / 7, b / 11]) for a in range(-9, 9) for b in range(-9, 9)]
    rounded = [(thirds, dual) for dual in duals]
    underflow = [(tiny, np.array([-1e-200])), (tiny, np.array([-1e-130]))]
    cases = rounded if name == "gamma" else underflow
    assert all(Fraction(lp_bound(p, y)) <= dual_value(p, y) for p, y in cases)
    monkeypatch.setattr(certificate, name, (lambda _terms: 0.0) if name == "gamma" else 0.0)
    assert not all(Fraction(lp_bound(p, y)) <= dual_value(p, y) for p, y in cases)


# Attained values are only a guide, but they guide.


@FEW
@given(problems(PLAIN))
def test_points_attain_what_is_said(problem):
    network, box = problem
    exact = exact_ranges(network, box)
    for (least, greatest), layer in zip(milp.attained(network, box), exact, strict=True):
        for low, high, (exact_low, exact_high) in zip(least, greatest, layer, strict=True):
            slack = 1e-9 * (1 + abs(float(exact_low)) + abs(float(exact_high)))
            assert exact_low - slack <= low <= high <= exact_high + slack
