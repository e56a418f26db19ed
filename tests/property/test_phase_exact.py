"""Phases proved and refuted, against exact rational enumeration on small and on hostile networks.

No tolerance anywhere: a phase that is proved holds over the reals, and a refuted neuron has
witnesses in the slice at which its exact pre-activation is below and above zero.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from redy.criteria.phase import PhaseDecider
from redy.domain import Box
from redy.edits import ACTIVE, INACTIVE, Edit, Status, edits_of
from redy.network.form import Layer, Network
from redy.verdict import Proof
from tests.exact import ExactRanges, exact_preactivations, exact_ranges

BY_SOLVERS = (Proof.SOLVER, Proof.LP_DUAL)

PLAIN = st.one_of(
    st.integers(-8, 8).map(lambda n: n / 4),
    st.fractions(-2, 2, max_denominator=30).map(float),
    st.floats(-2, 2, allow_subnormal=False),
)
CANCELLING = st.sampled_from([1.0, -1.0, 1e16, -1e16, 2.0**53, -(2.0**53), 0.1, -0.1, 3e-17])
HUGE_AND_TINY = st.sampled_from([1e150, -1e150, 1e-300, -1e-300, 1e-150, -1e-150, 1.0, -1.0, 1e-17])
OVERFLOWING = st.sampled_from([1e308, -1e308, 1.7e308, -1.7e308, 1e200, -1e200, 1.0, -1.0, 0.5])
SUBNORMAL = st.sampled_from(
    [5e-324, -5e-324, 3e-320, -1.7e-310, 1.1e-309, 2.3e-308, -2.3e-308, 1e308, -1e308, 1e300, 1.0]
)
MIXED = st.one_of(PLAIN, CANCELLING, HUGE_AND_TINY, SUBNORMAL, st.just(0.0))
NEGLIGIBLE = st.sampled_from([0.0, 5e-324, 1e-300, 1e-17, 1e-16, 1e-15, 1e-14, 1e-12, 1e-9])
SMALL = st.sampled_from([1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.3])
MOST_NEURONS = 9  # exact enumeration is exponential in them


@st.composite
def layers(draw, widths, k, weight, units):
    """Layer ``k`` with ``units`` units, some linear, reading its predecessor and maybe others."""
    sources = draw(st.sets(st.integers(0, k - 1), max_size=k)) | {k - 1}
    weights = {}
    for j in sorted(sources):
        size = units * widths[j]
        entries = draw(st.lists(weight, min_size=size, max_size=size))
        weights[j] = np.array(entries, dtype=float).reshape(units, widths[j])
    bias = np.array(draw(st.lists(weight, min_size=units, max_size=units)))
    kinds = draw(
        st.lists(st.sampled_from([True, True, True, False]), min_size=units, max_size=units)
    )
    return Layer(weights, bias, np.array(kinds))


@st.composite
def networks(draw, weight=PLAIN, inputs=None):
    widths = [draw(st.integers(2, 3)) if inputs is None else inputs]
    built = []
    left = MOST_NEURONS
    for k in range(1, draw(st.integers(1, 3)) + 1):
        built.append(draw(layers(widths, k, weight, draw(st.integers(1, min(5, left))))))
        widths.append(built[-1].units)
        left = max(1, left - built[-1].units)
    last = Layer({len(built): np.ones((1, widths[-1]))}, np.zeros(1), np.zeros(1, bool))
    return Network(widths[0], (*built, last))


@st.composite
def boxes(draw, inputs, end=PLAIN, width=None):
    width = st.sampled_from([0.0, 1e-9, 0.5, 1.0, 1.0, 3.0]) if width is None else width
    lower = np.array([draw(end) for _ in range(inputs)])
    upper = lower + np.array([draw(width) for _ in range(inputs)])
    return Box(lower, upper)


@st.composite
def problems(draw, weight=PLAIN, end=PLAIN, width=None):
    """A network and a box of its inputs."""
    network = draw(networks(weight))
    return network, draw(boxes(network.inputs, end, width))


@st.composite
def near_zero_margins(draw, weight=PLAIN, shifts=NEGLIGIBLE):
    """A neuron's bias moved so that an exact extreme over the box is zero, or nearly.

    What is left of the extreme is the rounding of the bias, and a shift down to nothing.
    """
    width = st.sampled_from([0.0, 1e-9, 0.5, 1.0, 3.0])
    network, box = draw(problems(weight, width=width))
    if not network.neurons:
        return network, box
    k, i = draw(st.sampled_from(network.neurons[::-1]))  # a late one rather than an early one
    extreme = draw(st.sampled_from(exact_ranges(network, box)[k - 1][i]))
    shift = draw(shifts) * draw(st.sampled_from([1, -1]))
    layer = network.layers[k - 1]
    bias = layer.bias.copy()
    bias[i] = float(Fraction(float(bias[i])) - extreme + Fraction(shift))
    ulps = draw(st.integers(-2, 2))
    bias[i] += ulps * np.spacing(bias[i])
    layers_now = list(network.layers)
    layers_now[k - 1] = replace(layer, bias=bias)
    return Network(network.inputs, tuple(layers_now)), box


@st.composite
def entangled(draw, margins=SMALL):
    """Dense random networks whose last neurons have small margins: smaller boxes decide them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    widths = draw(st.sampled_from([(2, 4, 3, 2), (2, 5, 3), (3, 4, 2), (2, 3, 3, 2)]))
    box = Box(np.full(widths[0], -1.0), np.full(widths[0], 1.0))
    last = Layer({len(widths) - 1: np.ones((1, widths[-1]))}, np.zeros(1), np.zeros(1, bool))
    built = [
        Layer(
            {k: rng.normal(size=(after, before))}, rng.normal(size=after) / 2, np.ones(after, bool)
        )
        for k, (before, after) in enumerate(pairwise(widths))
    ]
    ranges = exact_ranges(Network(widths[0], (*built, last)), box)[-2]
    margin = draw(margins)
    bias = built[-1].bias.copy()
    for i, (low, high) in enumerate(ranges):
        width = float(high - low)
        if rng.random() < 0.5:
            bias[i] += margin * width - float(low)
        else:
            bias[i] -= margin * width + float(high)
    built[-1] = replace(built[-1], bias=bias)
    return Network(widths[0], (*built, last)), box


@st.composite
def cancelling_twice(draw):
    """Neurons that compute big + x - big, in one sum or over two layers, and little else."""
    big = draw(st.sampled_from([1e16, 2.0**53, 2.0**54, 1e17, 3e15]))
    small = [draw(st.sampled_from([1.0, -1.0, 0.5, 3.0, 0.1, -0.7])) for _ in range(4)]
    first = Layer(
        {0: np.array([[big, small[0]], [big, 0.0], [small[1], -big], [0.0, small[2]]])},
        np.array([small[3], 0.0, big, 0.0]),
        np.array([True, True, draw(st.booleans()), True]),
    )
    second = Layer(
        {
            0: np.array([[draw(PLAIN), 0.0], [-big, draw(PLAIN)]]),
            1: np.array([[1.0, -1.0, draw(PLAIN), 0.0], [1.0, draw(PLAIN), 0.0, big]]),
        },
        np.array([draw(st.sampled_from([0.0, 1.0, -1.0, -small[3], 1e-3])), -small[3]]),
        np.array([True, True]),
    )
    last = Layer({2: np.ones((1, 2))}, np.zeros(1), np.zeros(1, bool))
    network = Network(2, (first, second, last))
    ends = st.sampled_from([0.0, 1.0, 0.5, 1.0 + 2.0**-52, 0.1, 1 / 3])
    return network, draw(boxes(2, ends, st.sampled_from([0.0, 0.0, 2.0**-40, 1.0])))


@st.composite
def repeated_and_dead(draw):
    """Duplicates, negated duplicates, dead neurons and rows of zeros, layer after layer."""
    inputs = 2
    weight = draw(st.lists(PLAIN, min_size=inputs, max_size=inputs))
    bias = draw(PLAIN)
    negated = [-w for w in weight]
    first = Layer(
        {0: np.array([weight, weight, negated, [0.0] * inputs])},
        np.array([bias, bias, -bias, draw(st.sampled_from([0.0, -1.0, 1.0, -5e-324]))]),
        np.ones(4, bool),
    )
    # h0 - h1 is zero, h0 - h2 is z0, h0 + h2 is |z0|: all of it hidden from a relaxation.
    second = Layer(
        {1: np.array([[1.0, -1.0, 0, 0], [1, 0, -1, 0], [1, 0, 1, 0], [0, 0, 0, draw(PLAIN)]])},
        np.array([draw(st.sampled_from([0.0, 1e-17, -1e-17, 0.25])), 0.0, draw(PLAIN), 0.0]),
        np.ones(4, bool),
    )
    last = Layer({2: np.ones((1, 4))}, np.zeros(1), np.zeros(1, bool))
    return Network(inputs, (first, second, last)), draw(boxes(inputs))


@st.composite
def underflowing(draw):
    """Products of weights that underflow although the products with the values between do not."""
    first, second = draw(st.sampled_from([(1e100, 1e-200), (1e150, 1e-170), (1e300, 1e-310)]))
    shift = draw(PLAIN)
    small = draw(st.sampled_from([1e-200, 3e-170, 1e-150, 5e-324]))
    layer_1 = Layer(
        {0: np.array([[first, 0.0], [-first, 0.0], [first, first]])},
        np.array([-shift, shift, draw(PLAIN)]) * first,
        np.ones(3, bool),
    )
    layer_2 = Layer(
        {1: np.array([[second, second, 0.0], [second, 0.0, -second]])},
        np.zeros(2),
        np.array([False, draw(st.booleans())]),
    )
    size = float(first * second * small)
    layer_3 = Layer(
        {2: np.array([[small, 0.0], [-small, small]])},
        np.array([size * draw(PLAIN) * draw(st.sampled_from([1.0, 1e-3, 1e-6])), 0.0]),
        np.ones(2, bool),
    )
    last = Layer({3: np.ones((1, 2))}, np.zeros(1), np.zeros(1, bool))
    return Network(2, (layer_1, layer_2, layer_3, last)), draw(boxes(2))


@st.composite
def subnormal_inputs(draw):
    """Subnormal inputs that enormous weights bring back: no rounding error may underflow."""
    weight = st.integers(2**51, 2**53).map(lambda n: n * 2.0**970)
    weights = [draw(weight) * draw(st.sampled_from([1, -1])) for _ in range(3)]
    point = [draw(st.integers(2**40, 2**44)) * 5e-324 for _ in range(3)]
    # The last weight cancels the others, but for its rounding.
    total = sum(Fraction(w) * Fraction(x) for w, x in zip(weights, point, strict=True))
    point.append(4 * max(point))
    weights.append(float(-total / Fraction(point[-1])))
    network = Network(
        4,
        (
            Layer({0: np.array([weights])}, np.zeros(1), np.ones(1, bool)),
            Layer({1: np.ones((1, 1))}, np.zeros(1), np.zeros(1, bool)),
        ),
    )
    return network, Box(np.array(point), np.array(point))


@st.composite
def overflowing_sums(draw):
    """Sums whose terms are finite and whose partial sums are not."""
    inputs = draw(st.integers(3, 6))
    sign = st.sampled_from([1.7e308, -1.7e308, 1e308, -1e308])
    weights = np.array([draw(st.lists(sign, min_size=inputs, max_size=inputs)) for _ in range(2)])
    bias = np.array([draw(st.sampled_from([0.0, 1e308, -1e308])) for _ in range(2)])
    network = Network(
        inputs,
        (
            Layer({0: weights}, bias, np.ones(2, bool)),
            Layer({1: np.ones((1, 2))}, np.zeros(1), np.zeros(1, bool)),
        ),
    )
    return network, draw(boxes(inputs, st.just(0.5), st.sampled_from([0.0, 0.0, 0.1])))


EMPTY_OF_SINGLES = st.sampled_from([1e-12, 1e-10, 2.0**-40])  # after 1.0 + 1e-9 no float32 in reach

STRATEGIES = {
    "plain": problems(),
    "near zero margins": near_zero_margins(),
    "small margins": near_zero_margins(shifts=SMALL),
    "entangled": entangled(),
    "entangled, near zero": entangled(NEGLIGIBLE),
    "near zero margins, mixed": near_zero_margins(st.one_of(PLAIN, CANCELLING)),
    "huge and tiny weights": problems(HUGE_AND_TINY),
    "overflow": problems(OVERFLOWING),
    "partial sums overflow": overflowing_sums(),
    "underflow": underflowing(),
    "subnormal numbers": problems(SUBNORMAL, st.one_of(SUBNORMAL.filter(lambda x: abs(x) < 1))),
    "subnormal inputs": subnormal_inputs(),
    "cancelling weights": problems(CANCELLING),
    "cancelling twice": cancelling_twice(),
    "all kinds of weights": problems(MIXED),
    "points": problems(width=st.just(0.0)),
    "flat boxes": problems(width=st.sampled_from([0.0, 1.0])),
    "one ulp wide": problems(st.one_of(PLAIN, CANCELLING), st.just(1.0), st.just(2.0**-52)),
    "between single precision numbers": problems(
        end=st.sampled_from([1.0 + 1e-9, -1.0 - 1e-7, 0.3]), width=EMPTY_OF_SINGLES
    ),
    "beyond single precision": problems(end=st.sampled_from([1e40, -1e150, 1e150, -1e40])),
    "wide boxes": problems(end=st.just(-1e9), width=st.sampled_from([2e9, 1e9, 1e150])),
    "repeated and dead": repeated_and_dead(),
    "zero weights": problems(st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0])),
}


def check(network: Network, box: Box, budget: int) -> tuple[np.ndarray, ExactRanges]:
    """Decide the phases and hold every verdict against the exact ranges."""
    decider = PhaseDecider(network)
    phases = decider.decide(box.lower, box.upper, budget)
    exact = exact_ranges(network, box)
    edits = edits_of(phases.status)
    points = phases.witnesses.points(box.lower, box.upper, decider.pool)
    assert box.contains(points).all()
    at_points = [exact_preactivations(network, point) for point in points]
    for (k, i), edit, status in zip(network.neurons, edits, phases.status, strict=True):
        low, high = exact[k - 1][i]
        what = f"neuron ({k}, {i}) with the range [{_shown(low)}, {_shown(high)}]"
        if edit == Edit.IDENTITY:
            assert low >= 0, f"{what} was proved active"
        if edit == Edit.ZERO:
            assert high <= 0, f"{what} was proved inactive"
        if status == Status.REFUTED:
            values = [pre[k - 1][i] for pre in at_points]
            assert min(values) < 0 < max(values), f"{what} was refuted without witnesses"
    return phases.status, exact


def _shown(value: Fraction) -> str:
    try:
        return repr(float(value))
    except OverflowError:
        return "-huge" if value < 0 else "huge"


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_verdict_is_true_over_the_reals(name):
    seen: Counter[int] = Counter()

    @settings(max_examples=120)
    @given(STRATEGIES[name], st.sampled_from([1, 30, 300]))
    def run(problem, budget):
        network, box = problem
        status, _ = check(network, box, budget)
        seen.update(int(code) for code in status)
        event(f"proved {bool((status >= Status.INACTIVE_PROPAGATION).any())}")

    run()
    # That nothing is ever claimed would be no proof of soundness.
    proved = sum(count for code, count in seen.items() if code >= Status.INACTIVE_PROPAGATION)
    wordless = {"partial sums overflow", "subnormal inputs"}
    assert proved > 0 or name in wordless, f"nothing was proved: {seen}"


def test_all_statuses_occur():
    seen: Counter[int] = Counter()

    @settings(max_examples=40)
    @given(entangled())
    def run(problem):
        network, box = problem
        phases = PhaseDecider(network).decide(box.lower, box.upper, 30)
        seen.update(int(code) for code in phases.status)

    run()
    elsewhere = {Status.UNKNOWN_TIME, Status.UNKNOWN_NUMERICAL, Status.UNKNOWN_WORKER}
    elsewhere |= {phase[proof] for phase in (ACTIVE, INACTIVE) for proof in BY_SOLVERS}
    assert set(seen) >= set(Status) - elsewhere


@settings(max_examples=100)
@given(st.one_of(problems(), entangled()))
def test_what_is_clear_is_decided(problem):
    """Proved by a margin of a thousandth of the range, refuted by one of a twentieth."""
    network, box = problem
    status, exact = check(network, box, 2000)
    for (k, i), code in zip(network.neurons, status, strict=True):
        low, high = exact[k - 1][i]
        margin = max(abs(low), abs(high), 1) / 1000
        if low > margin:
            assert code in {Status.ACTIVE_PROPAGATION, Status.ACTIVE_BRANCHING}
        elif high < -margin:
            assert code in {Status.INACTIVE_PROPAGATION, Status.INACTIVE_BRANCHING}
        elif low < -50 * margin and high > 50 * margin:
            assert code == Status.REFUTED


@settings(max_examples=60)
@given(problems(width=st.just(0.0)))
def test_a_point_is_decided_at_once(problem):
    network, box = problem
    status, exact = check(network, box, network.depth)
    for (k, i), code in zip(network.neurons, status, strict=True):
        if abs(exact[k - 1][i][0]) > Fraction(1, 1000):
            assert code in {Status.ACTIVE_PROPAGATION, Status.INACTIVE_PROPAGATION}


@settings(max_examples=60)
@given(problems(), st.integers(1, 30))
def test_more_budget_never_loses_a_verdict_of_the_first_box(problem, budget):
    """And the same call gives the same answer."""
    network, box = problem
    decider = PhaseDecider(network)
    once = decider.decide(box.lower, box.upper, 1).status
    more, again = (decider.decide(box.lower, box.upper, budget).status for _ in range(2))
    assert np.array_equal(more, again)
    first = np.array([k == 1 for k, _ in network.neurons], dtype=bool)
    kept = np.isin(once, [Status.INACTIVE_PROPAGATION, Status.ACTIVE_PROPAGATION]) & first
    assert np.array_equal(once[kept], more[kept])
