"""Every bound method against exact rational enumeration, on small and on hostile networks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from redy.bounds import METHODS, Bounds, bound
from redy.domain import Box
from redy.network.form import Layer, Network
from tests.exact import ExactRanges, encloses, exact_preactivations, exact_ranges

PLAIN = st.one_of(
    st.integers(-8, 8).map(lambda n: n / 4),
    st.fractions(-2, 2, max_denominator=30).map(float),
    st.floats(-2, 2, allow_subnormal=False),
)
CANCELLING = st.sampled_from([1.0, -1.0, 1e16, -1e16, 2.0**53, -(2.0**53), 0.1, -0.1, 3e-17])
EXTREME = st.sampled_from(
    [1e150, -1e150, 1e-300, -1e-300, 1e-160, 1e200, -1e200, 1e308, -1e308, 5e-324, -5e-324, 1.0]
)
MIXED = st.one_of(PLAIN, CANCELLING, EXTREME, st.just(0.0))
WIDTHS = st.sampled_from([0.0, 0.0, 1e-9, 0.5, 1.0, 1.0, 3.0, 1e9, 1e-300])


@st.composite
def layers(draw, widths, k, weight, last):
    units = draw(st.integers(1, 4))
    sources = draw(st.sets(st.integers(0, k - 1), max_size=k)) | {k - 1}
    if draw(st.integers(0, 9)) == 0:
        sources.discard(k - 1)
    weights = {}
    for j in sources:
        size = units * widths[j]
        entries = draw(st.lists(weight, min_size=size, max_size=size))
        weights[j] = np.array(entries).reshape(units, widths[j])
    bias = np.array(draw(st.lists(weight, min_size=units, max_size=units)))
    if units > 1 and draw(st.booleans()):  # a duplicated neuron, for cancellation further on
        bias[1] = bias[0]
        for matrix in weights.values():
            matrix[1] = matrix[0]
    if draw(st.integers(0, 4)) == 0:  # a dead neuron
        bias[0] = -abs(bias[0])
        for matrix in weights.values():
            matrix[0] = 0
    kinds = draw(st.lists(st.sampled_from([True, True, False]), min_size=units, max_size=units))
    return Layer(weights, bias, np.zeros(units, bool) if last else np.array(kinds))


@st.composite
def networks(draw, weight):
    widths = [draw(st.integers(1, 3))]
    depth = draw(st.integers(1, 3))
    built = []
    for k in range(1, depth + 2):
        built.append(draw(layers(widths, k, weight, last=k == depth + 1)))
        widths.append(built[-1].units)
    return Network(widths[0], tuple(built))


@st.composite
def boxes(draw, inputs, weight):
    ends = []
    for _ in range(inputs):
        lower, width = draw(weight), draw(WIDTHS)
        ends.append(sorted((lower, lower + width)))
    lower, upper = np.array(ends).T
    return Box(lower, upper)


@st.composite
def problems(draw, weight=PLAIN):
    network = draw(networks(weight))
    return network, draw(boxes(network.inputs, weight))


def check(bounds: Bounds, exact: ExactRanges, what: str, row: int = 0) -> None:
    for k, layer in enumerate(exact):
        for i, extremes in enumerate(layer):
            lower, upper = float(bounds.lower[k][row, i]), float(bounds.upper[k][row, i])
            assert encloses(lower, upper, extremes), (
                f"{what}: z[{k + 1}, {i}] is in [{float(extremes[0])!r}, {float(extremes[1])!r}], "
                f"not in [{lower!r}, {upper!r}]"
            )


SLOW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("weight", [PLAIN, CANCELLING, MIXED], ids=["plain", "cancelling", "mixed"])
def test_bounds_contain_the_exact_range(method, weight):
    @SLOW
    @given(problems(weight))
    def run(problem):
        network, box = problem
        exact = exact_ranges(network, box)
        bounds = bound(network, [box], method)
        check(bounds, exact, method)
        event(f"finite {all(bool(b.isfinite().all()) for b in bounds.lower + bounds.upper)}")

    run()


@pytest.mark.parametrize("method", sorted(METHODS))
@SLOW
@given(problems(CANCELLING))
def test_known_bounds_are_used_and_stay_sound(method, problem):
    network, box = problem
    exact = exact_ranges(network, box)
    known = _outward(exact)
    lower, upper = torch.tensor(box.lower)[None], torch.tensor(box.upper)[None]
    bounds = METHODS[method](network, lower, upper, known=known)
    check(bounds, exact, method)
    for k in range(len(exact)):
        assert bool((bounds.lower[k] >= known.lower[k]).all())
        assert bool((bounds.upper[k] <= known.upper[k]).all())


@pytest.mark.parametrize("method", sorted(METHODS))
@settings(SLOW, max_examples=40)
@given(networks(PLAIN), st.data())
def test_every_slice_of_a_batch_is_bounded_on_its_own_box(method, network, data):
    batch = [data.draw(boxes(network.inputs, PLAIN)) for _ in range(3)]
    bounds = bound(network, batch, method)
    for row, box in enumerate(batch):
        check(bounds, exact_ranges(network, box), f"{method}, slice {row}", row)


@settings(SLOW, max_examples=60)
@given(problems(), st.lists(st.tuples(*[st.fractions(0, 1)] * 3), max_size=5))
def test_the_exact_ranges_contain_points_and_are_attained(problem, shares):
    """The enumeration itself: every point is inside, and each extreme is no wider than an LP."""
    network, box = problem
    exact = exact_ranges(network, box)
    for share in shares:
        point = [
            Fraction(float(a)) + s * (Fraction(float(b)) - Fraction(float(a)))
            for a, b, s in zip(box.lower, box.upper, share, strict=False)
        ]
        for layer, pres in zip(exact, exact_preactivations(network, point), strict=True):
            assert all(low <= z <= high for (low, high), z in zip(layer, pres, strict=True))


def _outward(exact: ExactRanges) -> Bounds:
    """Exact ranges as float bounds, rounded outward."""
    lower = [[_round(low, -np.inf) for low, _ in layer] for layer in exact]
    upper = [[_round(high, np.inf) for _, high in layer] for layer in exact]
    return Bounds(
        tuple(torch.tensor([row], dtype=torch.float64) for row in lower),
        tuple(torch.tensor([row], dtype=torch.float64) for row in upper),
    )


def _round(value: Fraction, toward: float) -> float:
    try:
        return float(np.nextafter(float(value), toward))
    except OverflowError:
        return toward
