"""Mid-network slicing against exact rationals, on small and on hostile networks.

No tolerance anywhere: what the dispatcher evaluates, over the reals, is what the network computes,
for the cell that float64 chooses, also next to thresholds.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

import redy
from redy.domain import Box
from redy.edits import Edits
from redy.errors import DomainError, NetworkError
from redy.network.evaluate import evaluate
from redy.network.exact import exact_outputs
from redy.network.form import Network
from redy.network.rounding import evaluation_error
from redy.network.split import possible_layers, split
from redy.slicing.mid import Mid
from redy.slicing.mid_fit import Points, cells_of, enclosure
from redy.verification.mid import after_prefix
from redy.verification.promise import Promise
from tests.exact import encloses, exact_preactivations, exact_ranges
from tests.property.test_phase_exact import CANCELLING, MIXED, PLAIN, boxes, networks

CELLS = 6


@st.composite
def cut_networks(draw, weight=PLAIN):
    """A network, a box of its inputs, and a layer at which it can be cut."""
    network = draw(networks(weight))
    layers = possible_layers(network)
    assume(layers)
    return network, draw(boxes(network.inputs)), draw(st.sampled_from(layers))


def points_in(box: Box, count: int) -> np.ndarray:
    """Random points, corners, and points with some coordinates of few bits."""
    rng = np.random.default_rng(0)
    some = box.sample(count, rng)
    some[::3] = np.where(rng.random(some[::3].shape) < 0.5, box.lower, box.upper)
    some[1::3] = np.clip(some[1::3].round(1), box.lower, box.upper)
    return some


def exactly(prefix: Network, x: np.ndarray) -> list[Fraction]:
    return list(exact_preactivations(prefix, x.tolist())[-1])


@settings(max_examples=150)
@given(st.one_of(cut_networks(), cut_networks(MIXED), cut_networks(CANCELLING)))
def test_rounding_errors_and_boxes_of_a_layer(case):
    network, box, k = case
    prefix = split(network, k).prefix
    try:
        around, error = enclosure(prefix, box)
    except DomainError:
        event("overflow")
        return
    points = points_in(box, 12)
    for x, computed in zip(points, evaluate(prefix, points), strict=True):
        for i, z in enumerate(exactly(prefix, x)):
            assert Fraction(around.lower[i]) <= z <= Fraction(around.upper[i])
            assert abs(Fraction(float(computed[i])) - z) <= Fraction(float(error[i]))


def test_without_its_rounding_terms_the_bound_would_be_wrong():
    """Sums that cancel are off by more than a bound without gamma would allow: zero."""
    layer = redy.Layer({0: np.array([[1e16, 1.0, -1e16]])}, np.zeros(1), np.zeros(1, bool))
    network = Network(3, (layer,))
    (computed,) = evaluate(network, np.ones((1, 3)))[0]
    assert computed != 1.0
    assert evaluation_error(network, [np.ones(3)])[0] >= abs(computed - 1.0)


@settings(max_examples=60)
@given(cut_networks())
def test_what_the_layer_can_be_is_in_the_box_of_cell_0(case):
    network, box, k = case
    parts = split(network, k)
    cells = cells_of(parts, box, CELLS, Points.of(None, box))
    ranges = exact_ranges(parts.prefix, box)[-1]
    lower, upper = cells.boxes(np.array([0]))
    assert all(
        encloses(low, high, exact)
        for low, high, exact in zip(lower[0], upper[0], ranges, strict=True)
    )


@settings(max_examples=60)
@given(st.one_of(cut_networks(), cut_networks(CANCELLING)), st.integers(1, CELLS), st.booleans())
def test_the_cell_that_floats_choose_holds_the_real_values(case, count, narrow):
    network, box, k = case
    parts = split(network, k)
    try:
        cells = cells_of(parts, box, count, Points.of(None, box), narrow=narrow)
    except DomainError:
        return
    assert cells.slices <= count
    points = np.concatenate([points_in(box, 20), _next_to_thresholds(parts.prefix, box)])
    chosen = cells.slice_of(evaluate(parts.prefix, points))
    lower, upper = cells.boxes(chosen)
    event(f"cells: {np.unique(chosen).size}")
    for x, low, high in zip(points, lower, upper, strict=True):
        for i, z in enumerate(exactly(parts.prefix, x)):
            assert Fraction(low[i]) <= z <= Fraction(high[i])


def _next_to_thresholds(prefix: Network, box: Box) -> np.ndarray:
    """Points where a pre-activation of the layer is about zero, by bisection in float64."""
    ends = box.sample(20, np.random.default_rng(1)).reshape(2, 10, -1)
    z = [evaluate(prefix, side) for side in ends]
    found = []
    for n, i in np.argwhere(z[0] * z[1] < 0)[:10]:
        below, above = ends[:, n] if z[0][n, i] < 0 else ends[::-1, n]
        for _ in range(60):
            middle = np.clip(0.5 * below + 0.5 * above, box.lower, box.upper)
            if evaluate(prefix, middle[None])[0, i] < 0:
                below = middle
            else:
                above = middle
        found += [below, above]
    return np.array(found).reshape(-1, box.dimension)


def test_a_point_on_a_threshold_is_cell_0s():
    """z = (x0 - x1, x0 + x1); the diagonal lies on the threshold of the first."""
    into = np.array([[1.0, -1.0], [1.0, 1.0]])
    hidden = redy.Layer({0: into}, np.zeros(2), np.ones(2, bool))
    network = Network(2, (hidden, redy.Layer({1: np.ones((1, 2))}, np.zeros(1), np.zeros(1, bool))))
    box = Box([-1, -1], [1, 1])
    cells = cells_of(split(network, 1), box, 8, Points.of(None, box))
    assert cells.slices == 8
    diagonal = np.array([[0.25, 0.25], [0.0, 0.0], [-0.5, -0.5], [0.5, -0.5]])
    z = evaluate(split(network, 1).prefix, diagonal)
    assert cells.slice_of(z).tolist() == [0, 0, 0, 0]
    edge = max(end for end in cells.tree.lower[1:, 0] if end < 0.1) + cells.error[0]
    near = np.array([[0.0, 1.0], [edge * (1 - 1e-9), 1.0], [edge * (1 + 1e-9), 1.0]])
    chosen = cells.slice_of(near)
    assert chosen[0] == chosen[1] == 0 < chosen[2]


@settings(max_examples=25)
@given(cut_networks(), st.sampled_from(["exact", "eps=0.5", "decision"]))
def test_the_bundle_keeps_its_promise_over_the_reals(case, guarantee):
    network, box, k = case
    try:
        bundle = redy.simplify(
            network, box, slicing="mid", layer=k, slices=CELLS, guarantee=guarantee, budget=200
        )
    except NetworkError:
        return
    assert isinstance(bundle.slicing, Mid)
    points = np.concatenate([points_in(box, 8), _next_to_thresholds(bundle.parts.prefix, box)])
    for x, cell in zip(points, bundle.slice_of(points), strict=True):
        part = bundle.slices[int(cell)]
        event(f"removed: {part.replacements.removed > 0}")
        f = exact_outputs(network, x)
        g = _dispatched(network, bundle.parts.prefix, part.replacements, x)
        assert not Promise(bundle.guarantee).fails_at(f, g)


def _dispatched(network: Network, prefix: Network, edits: Edits, x: np.ndarray) -> list[Fraction]:
    """What the prefix and the edited suffix make of ``x``, over the reals."""
    plain = after_prefix(network, Edits(edits.codes, edits.criteria, edits.lines))
    outputs = exact_outputs(network, x, plain)
    if edits.correction is None:
        return outputs
    z = [*exactly(prefix, x), Fraction(1)]
    return [
        y + sum(Fraction(float(c)) * v for c, v in zip(row, z, strict=True))
        for y, row in zip(outputs, edits.correction, strict=True)
    ]
