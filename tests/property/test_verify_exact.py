"""Verdicts on two networks, against exact rational enumeration on small and on hostile pairs.

No tolerance anywhere: a bound that is proved holds over the reals, and a witness breaks the promise
over the reals.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from redy.branching.box import workspace
from redy.branching.packed import pack
from redy.branching.pair import WITHIN, Sides, _apart, explore, propagate_pair
from redy.domain import Box
from redy.edits import Criterion, Edit, Edits
from redy.errors import NetworkError
from redy.guarantee import Guarantee
from redy.network.exact import exact_outputs
from redy.network.fold import materialise
from redy.network.form import Layer, Network
from redy.network.pair import Pair, Phases, pair, structurally_same
from redy.search.witnesses import inner_ends
from redy.verification.answer import Finding, Outcome
from redy.verification.networks import decide_networks
from redy.verification.parts import Effort, Part
from redy.verification.promise import Promise
from redy.verification.subject import Subject
from tests.exact import exact_preactivations, exact_ranges
from tests.property.test_phase_exact import CANCELLING, MIXED, PLAIN, boxes, layers

NEAR = st.sampled_from([0.0, 0.0, 0.0, 1e-300, 2.0**-53, 1e-9, 1e-3, -1e-3, 0.1, -0.25])


@st.composite
def networks(draw, weight=PLAIN, outputs=2):
    """Two inputs, at most five hidden units, some of them linear."""
    widths = [2]
    built = []
    for k in range(1, draw(st.integers(1, 2)) + 1):
        built.append(draw(layers(widths, k, weight, draw(st.integers(1, 3)))))
        widths.append(built[-1].units)
    last = draw(layers(widths, len(built) + 1, weight, outputs))
    return Network(2, (*built, replace(last, relu=np.zeros(outputs, bool))))


def _near(draw, network: Network) -> Network:
    """Some numbers moved by a little, or by a lot."""
    moved = []
    for layer in network.layers:
        weights = {
            j: matrix + np.array([[draw(NEAR) for _ in row] for row in matrix])
            for j, matrix in layer.weights.items()
        }
        moved.append(replace(layer, weights=weights))
    return Network(network.inputs, tuple(moved))


def _single(network: Network) -> Network:
    """Rounded to single precision, where that is finite."""

    def single(matrix: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            rounded = matrix.astype(np.float32).astype(np.float64)
        return np.where(np.isfinite(rounded), rounded, matrix)

    return Network(
        network.inputs,
        tuple(
            Layer({j: single(m) for j, m in layer.weights.items()}, single(layer.bias), layer.relu)
            for layer in network.layers
        ),
    )


def _without(network: Network, k: int, i: int) -> Network:
    """Without unit ``i`` of hidden layer ``k``; all other layers that read it do so no more."""
    result = []
    for number, layer in enumerate(network.layers, start=1):
        stays = np.arange(layer.units) != i if number == k else np.ones(layer.units, dtype=bool)
        weights = {
            j: np.delete(matrix[stays], i, axis=1) if j == k else matrix[stays]
            for j, matrix in layer.weights.items()
        }
        result.append(Layer(weights, layer.bias[stays], layer.relu[stays]))
    return Network(network.inputs, tuple(result))


@st.composite
def pairs(draw, weight=PLAIN):
    """Two networks and a box."""
    first = draw(networks(weight))
    kind = draw(st.sampled_from(["near", "near", "rounded", "without", "other", "same"]))
    event(kind)
    match kind:
        case "near":
            second = _near(draw, first)
        case "rounded":
            second = _single(first)
        case "without":
            k = draw(st.integers(1, first.depth))
            second = _without(first, k, draw(st.integers(0, first.width(k) - 1)))
        case "other":
            second = draw(networks(weight))
        case _:
            second = first
    return first, second, draw(boxes(2))


def decide(
    first: Network,
    second: Network,
    box: Box,
    text: str,
    budget: int = 40,
    winner: str | None = None,
) -> Finding:
    try:
        subjects = Subject.of(first), Subject.of(second)
    except NetworkError:  # folded for onnxruntime, its weights overflow
        assume(False)
        raise
    return decide_networks(
        *subjects,
        Promise(Guarantee.parse(text, winner)),
        [Part(box, 1.0)],
        Effort(budget),
    )


def largest(both: Pair, box: Box) -> Fraction:
    """max |difference| over the box, exactly."""
    return max(max(abs(low), abs(high)) for low, high in exact_ranges(both.network, box)[-1])


def some_points(box: Box) -> list[np.ndarray]:
    ends = (box.lower, 0.75 * box.lower + 0.25 * box.upper, box.upper)
    return [np.array(point) for point in product(*zip(*ends, strict=True))]


@settings(max_examples=150)
@given(pairs(MIXED))
def test_a_pair_computes_the_difference_exactly(problem) -> None:
    first, second, box = problem
    both = pair(first, second, box)
    for point in some_points(box):
        values = [z for layer in exact_preactivations(both.network, point) for z in layer]
        outputs = [exact_preactivations(network, point)[-1] for network in (first, second)]
        for units, expected in zip((both.first, both.second), outputs, strict=True):
            assert tuple(values[unit - 2] for unit in units) == expected
        difference = tuple(b - a for a, b in zip(*outputs, strict=True))
        assert tuple(values[-2:]) == difference
        assert not both.identical or not any(difference)


@settings(max_examples=60)
@given(networks(MIXED), st.data())
def test_exact_outputs(network: Network, data) -> None:
    point = np.array([data.draw(MIXED), data.draw(MIXED)])
    assert tuple(exact_outputs(network, point)) == exact_preactivations(network, point)[-1]
    count = len(network.neurons)
    codes = np.array([data.draw(st.integers(0, 2)) for _ in range(count)], dtype=np.uint8)
    criteria = np.where(codes == Edit.KEEP, 0, Criterion.FORWARD).astype(np.uint8)
    edits = Edits.plain(codes, criteria)
    kept = materialise(network, edits, np.zeros(network.depth, dtype=bool))
    assert exact_outputs(network, point, edits) == exact_outputs(kept, point)


def test_exact_outputs_of_lines_and_a_correction() -> None:
    hidden = Layer({0: np.array([[1.0], [2.0]])}, np.array([0.5, -0.25]), np.array([True, True]))
    network = Network(1, (hidden, Layer({1: np.ones((1, 2))}, np.array([3.0]), np.array([False]))))
    edits = Edits(
        np.array([Edit.AFFINE, Edit.KEEP], dtype=np.uint8),
        np.array([Criterion.RELAXED, Criterion.KEPT], dtype=np.uint8),
        np.array([[0.5, 0.125], [0.0, 0.0]]),
        np.array([[2.0, -1.0]]),
    )
    # 0.5 (x + 0.5) + 0.125 + max(2 x - 0.25, 0) + 3 + 2 x - 1
    tenth = 0.1
    expected = Fraction(tenth) * Fraction(5, 2) + Fraction(19, 8)
    assert exact_outputs(network, np.array([tenth]), edits) == [expected]


def bound_of(both: Pair, box: Box, budget: int, partner: np.ndarray | None = None) -> float:
    """A bound of all differences that ``explore`` proves with ``budget`` boxes."""
    net = pack(both.network)
    layer = np.repeat(np.arange(net.start.size - 1), np.diff(net.start))
    sides = Sides(both.partner if partner is None else partner, layer, both.first, both.second)
    inner = inner_ends(box.lower, box.upper)
    ends = (np.array(box.lower), np.array(box.upper))
    point = np.zeros(2)
    _, _, _, _, worst, left = explore(
        net, workspace(net), sides, (WITHIN, 0.0, 1.0), ends, inner, budget, False, point
    )
    return max([worst, *left[3]])


@pytest.mark.parametrize("weight", [PLAIN, CANCELLING, MIXED], ids=["plain", "cancel", "mixed"])
def test_bounds_hold_over_the_reals(weight) -> None:
    tight = Counter()

    @settings(max_examples=120)
    @given(pairs(weight), st.sampled_from([1, 2, 9]))
    def check(problem, budget: int) -> None:
        both = pair(*problem)
        exact = largest(both, problem[2])
        bound = bound_of(both, problem[2], budget)
        assert bound >= exact
        tight[np.isfinite(bound)] += 1

    check()
    assert tight[True] > 60


@settings(max_examples=80)
@given(st.data())
def test_the_form_of_a_difference_holds_over_the_reals(data) -> None:
    """For two neurons over the inputs, at corners: with no slack, rounding would show."""
    weight = st.one_of(PLAIN, CANCELLING, st.just(0.1))
    rows = np.array([[data.draw(weight) for _ in range(2)]] * 2)
    rows[1] += [data.draw(NEAR), data.draw(NEAR)]
    bias = np.array([0.1, 0.1 + data.draw(NEAR)])
    box = data.draw(boxes(2, width=st.sampled_from([0.1, 0.7, 3.0])))
    relu, sources = np.array([True]), ({0: rows[:1]}, {0: rows[1:]})
    hidden = [Layer(sources[i], bias[i : i + 1], relu) for i in range(2)]
    last = Layer({2: np.ones((1, 1))}, np.zeros(1), ~relu)
    net = pack(Network(2, (*hidden, last)))
    work = workspace(net)
    sides = Sides(np.array([-1, -1, -1, 2, -1]), np.array([0, 0, 1, 2, 3]), *np.zeros((2, 0), int))
    known = np.full(5, -np.inf), np.full(5, np.inf)
    propagate_pair(net, work, sides, np.array(box.lower), np.array(box.upper), *known, 3)
    assume(known[0][2] < 0 < known[1][2])
    center, slack, reach = _apart(work, sides, 3)
    for corner in product(*zip(box.lower, box.upper, strict=True)):
        exact = [
            sum((Fraction(w) * Fraction(x) for w, x in zip(row, corner, strict=True)), Fraction(b))
            for row, b in zip(rows, bias, strict=True)
        ]
        at_corner = Fraction(center)
        for d, x in enumerate(corner):
            middle, radius = Fraction(work.center[d]), Fraction(work.form[d, d])
            at_corner += Fraction(work.row[d]) * (Fraction(x) - middle) / radius
        assert abs(exact[1] - exact[0] - at_corner) <= Fraction(slack)
        assert abs(exact[1] - exact[0] - Fraction(center)) <= Fraction(reach)


@settings(max_examples=120)
@given(pairs(), st.data())
def test_any_choice_of_partners_is_sound(problem, data) -> None:
    first, second, box = problem
    both = pair(first, second, box)
    partner = both.partner.copy()
    relu = np.concatenate([np.zeros(2, bool), *(layer.relu for layer in both.network.layers)])
    start = np.cumsum([0, 2, *(layer.units for layer in both.network.layers)])
    for unit in np.flatnonzero(relu):
        begin = start[np.searchsorted(start, unit, side="right") - 1]
        earlier = np.flatnonzero(relu[:begin])
        if earlier.size:
            partner[unit] = data.draw(st.sampled_from([-1, *earlier.tolist()]))
    assert bound_of(both, box, 3, partner) >= largest(both, box)


@pytest.mark.parametrize("weight", [PLAIN, MIXED], ids=["plain", "mixed"])
def test_eps(weight) -> None:
    seen = Counter()

    @settings(max_examples=60)
    @given(pairs(weight), st.sampled_from([0.5, 0.999, 1.0, 1.001, 2.0]))
    def check(problem, share: float) -> None:
        first, second, box = problem
        exact = largest(pair(first, second, box), box)
        eps = max(share * float(min(exact, Fraction(10) ** 300)), 1e-12)
        found = decide(first, second, box, f"eps={eps!r}")
        seen[found.outcome] += 1
        match found.outcome:
            case Outcome.PROVED:
                assert exact <= Fraction(eps)
                assert exact <= found.eps <= eps
                assert found.proved == 1.0
            case Outcome.REFUTED:
                assert exact > Fraction(eps)
                point = found.witness.point
                assert box.contains(point[None])[0]
                f, g = exact_outputs(first, point), exact_outputs(second, point)
                assert max(abs(b - a) for a, b in zip(f, g, strict=True)) > Fraction(eps)
            case Outcome.UNKNOWN:
                assert found.eps >= exact
                assert found.proved <= 1.0
                assert found.reason

    check()
    assert seen[Outcome.PROVED] > 4
    assert seen[Outcome.REFUTED] > 4


def _keeps_winner(f: list[Fraction], g: list[Fraction], sign: int) -> bool:
    best = min(range(len(f)), key=lambda i: sign * f[i])
    others = [i for i in range(len(f)) if i != best]
    unique = all(f[i] != f[best] for i in others)
    return not unique or all(sign * g[best] < sign * g[i] for i in others)


def test_decision() -> None:
    seen = Counter()

    @settings(max_examples=200)
    @given(pairs(st.one_of(PLAIN, CANCELLING)), st.sampled_from(["min", "max"]))
    def check(problem, winner: str) -> None:
        first, second, box = problem
        found = decide(first, second, box, "decision", winner=winner)
        seen[found.outcome] += 1
        sign = 1 if winner == "min" else -1
        points = [
            box.lower * (1 - t) + box.upper * t for t in np.random.default_rng(0).random((40, 2))
        ]
        points = [point.clip(box.lower, box.upper) for point in (*points, *some_points(box))]
        kept = [
            _keeps_winner(exact_outputs(first, point), exact_outputs(second, point), sign)
            for point in points
        ]
        match found.outcome:
            case Outcome.PROVED:
                assert all(kept)
            case Outcome.REFUTED:
                point = found.witness.point
                assert box.contains(point[None])[0]
                f, g = exact_outputs(first, point), exact_outputs(second, point)
                assert not _keeps_winner(f, g, sign)
            case Outcome.UNKNOWN:
                assert found.reason

    check()
    assert seen[Outcome.PROVED] > 4
    assert seen[Outcome.REFUTED] > 4


def test_exact() -> None:
    seen = Counter()

    @settings(max_examples=80)
    @given(pairs(st.one_of(PLAIN, CANCELLING)))
    def check(problem) -> None:
        first, second, box = problem
        found = decide(first, second, box, "exact", budget=2000)
        exact = largest(pair(first, second, box), box)
        seen[found.outcome, exact == 0] += 1
        if found.outcome is Outcome.PROVED:
            assert exact == 0
        if found.outcome is Outcome.REFUTED:
            assert exact > 0

    check()
    assert seen[Outcome.PROVED, True] > 10
    assert seen[Outcome.REFUTED, False] > 10


def test_phases_make_networks_the_same() -> None:
    """A neuron that is zero on the box may be missing, and one that is active may be linear."""
    hidden = Layer({0: np.array([[1.0], [1.0]])}, np.array([3.0, -3.0]), np.array([True, True]))
    out = Layer({1: np.array([[2.0, 5.0]])}, np.zeros(1), np.array([False]))
    first = Network(1, (hidden, out))
    less = Layer({0: np.array([[1.0]])}, np.array([3.0]), np.array([False]))
    second = Network(1, (less, Layer({1: np.array([[2.0]])}, np.zeros(1), np.array([False]))))
    nothing = Phases.none(first), Phases.none(second)
    assert not structurally_same(first, second, *nothing)
    assert decide(first, second, Box([-1], [1]), "exact").outcome is Outcome.PROVED
    assert decide(second, first, Box([-1], [1]), "exact").outcome is Outcome.PROVED
    for wider in (Box([-4], [1]), Box([-1], [4])):
        assert decide(first, second, wider, "exact").outcome is Outcome.REFUTED


def test_no_unit_stands_for_two() -> None:
    """Of twins only one is shared: 0.1 + 0.2 + 2**-60 is no float64 number."""
    row = np.array([[1.0]])
    twins = Layer({0: np.ones((2, 1))}, np.zeros(2), np.array([True, True]))
    out = Layer({1: np.array([[0.1, 0.2 + 2.0**-55]])}, np.zeros(1), np.array([False]))
    first = Network(
        1, (Layer({0: row}, np.zeros(1), np.array([True])), replace(out, weights={1: row}))
    )
    second = Network(1, (twins, out))
    both = pair(first, second, Box([0], [1]))
    value = exact_preactivations(both.network, [1.0])[-1][0]
    assert value == Fraction(0.1) + Fraction(0.2 + 2.0**-55) - 1
