"""Bounds: the result type, the registry, each method by hand, and the need for every rounding."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from math import inf, nan
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import sparse

from redy import tolerances
from redy.bounds import METHODS, Bounds, Range, affine, bound, crown, relaxation, zonotope
from redy.bounds.relaxation import chord
from redy.domain import Box
from redy.errors import DomainError, UsageError
from redy.network.form import Layer, Network
from tests.exact import encloses, exact_preactivations, exact_ranges

ALL = sorted(METHODS)


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def layer(weights, bias, relu=False):
    weights = {j: np.array(matrix, dtype=float) for j, matrix in weights.items()}
    return Layer(weights, np.array(bias, dtype=float), np.full(len(bias), relu))


def random_network(rng, widths):
    depth = len(widths) - 1
    return Network(
        widths[0],
        tuple(
            Layer(
                {k: rng.normal(size=(widths[k + 1], widths[k])) / np.sqrt(widths[k])},
                rng.normal(size=widths[k + 1]) / 4,
                np.full(widths[k + 1], k < depth - 1),
            )
            for k in range(depth)
        ),
    )


# Tolerances.


@pytest.mark.parametrize("terms", [1, 2, 3, 50, 785, 10**6, 2**40, tolerances.MOST_TERMS])
def test_gamma_is_an_upper_bound_and_doubles(terms):
    unit = Fraction(1, 2**53)
    exact = terms * unit / (1 - terms * unit)
    assert exact < Fraction(tolerances.gamma(terms)) <= exact * (1 + 4 * unit)
    assert tolerances.gamma(2 * terms) >= 2 * tolerances.gamma(terms)


def test_gamma_of_too_many_terms_proves_nothing():
    assert tolerances.gamma(tolerances.MOST_TERMS + 1) == inf


def test_the_floor_covers_underflow():
    assert tolerances.gamma(1) * tolerances.FLOOR >= tolerances.TINY > 0


# Ranges and bounds.


def test_what_cannot_be_a_bound_becomes_wide():
    made = Range(tensor([nan, inf, 2.0, -inf, 1.0, nan]), tensor([1.0, inf, 1.0, -inf, nan, nan]))
    assert made.lower.tolist() == [[-inf, -inf, -inf, -inf, 1.0, -inf]]
    assert made.upper.tolist() == [[1.0, inf, inf, inf, inf, inf]]


def test_nan_never_becomes_a_phase():
    bounds = Bounds((tensor([nan, nan, 1.0, 3.0]),), (tensor([nan, -1.0, nan, 2.0]),))
    assert bounds.phases()[0].tolist() == [[0, -1, 1, 0]]


def test_intersection_takes_the_tighter_ends():
    one = Bounds((tensor([-1.0, 0.0]),), (tensor([2.0, inf]),))
    two = Bounds((tensor([-2.0, nan]),), (tensor([1.0, 5.0]),))
    both = one.intersect(two)
    assert both.lower[0].tolist() == [[-1.0, 0.0]]
    assert both.upper[0].tolist() == [[1.0, 5.0]]


def test_contradicting_bounds_keep_the_hull():
    both = Range(tensor([1.0]), tensor([2.0])).intersect(Range(tensor([-3.0]), tensor([-2.0])))
    assert (both.lower.tolist(), both.upper.tolist()) == ([[-3.0]], [[2.0]])


def test_bounds_of_other_shapes_do_not_mix():
    one, two = Bounds((tensor([0.0]),), (tensor([1.0]),)), Bounds((), ())
    with pytest.raises(UsageError, match="cannot be intersected"):
        one.intersect(two)
    with pytest.raises(UsageError, match="shapes"):
        Bounds((tensor([0.0]),), (tensor([1.0, 2.0]),))


def test_phases():
    bounds = Bounds((tensor([0.0, -1.0, -1.0, 0.0]),), (tensor([1.0, 0.0, 1.0, 0.0]),))
    phases = bounds.phases()[0]
    assert phases.dtype == torch.int8
    assert phases.tolist() == [[1, -1, 0, -1]]


# Registry and errors.

TENT = Network(1, (layer({0: [[1], [1]]}, [0, -1], relu=True), layer({1: [[1, -2]]}, [0])))


def test_the_registry_holds_the_methods():
    assert {"interval", "zonotope", "crown"} <= set(METHODS)


def test_unknown_method_names_the_known_ones():
    with pytest.raises(UsageError, match=r"'magic'.*crown, interval, zonotope"):
        bound(TENT, [], "magic")


def test_box_of_another_dimension_is_named():
    boxes = [Box(np.zeros(1), np.ones(1)), Box(np.zeros(2), np.ones(2))]
    with pytest.raises(DomainError, match="box 1 has 2 dimensions"):
        bound(TENT, boxes)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        (tensor([nan]), tensor([1.0])),
        (tensor([0.0]), tensor([inf])),
        (tensor([1.0]), tensor([0.0])),
        (tensor([0.0, 0.0]), tensor([1.0, 1.0])),
        (tensor([0.0]), tensor([1.0], [1.0])),
        (tensor([0.0]).float(), tensor([1.0]).float()),
    ],
)
def test_unusable_boxes_are_refused(method, lower, upper):
    with pytest.raises(DomainError):
        METHODS[method](TENT, lower, upper)


@pytest.mark.parametrize("method", ALL)
def test_known_bounds_of_another_batch_are_refused(method):
    known = bound(TENT, [Box(np.zeros(1), np.ones(1))] * 2)
    with pytest.raises(UsageError, match="known"):
        METHODS[method](TENT, tensor([0.0]), tensor([1.0]), known=known)


def test_flushing_subnormal_numbers_is_refused():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers")
    try:
        with pytest.raises(UsageError, match="set_flush_denormal"):
            bound(TENT, [Box(np.zeros(1), np.ones(1))])
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("method", ALL)
def test_an_empty_batch_has_empty_bounds(method):
    bounds = bound(TENT, [], method)
    assert [tuple(low.shape) for low in bounds.lower] == [(0, 2), (0, 1)]


# What each method finds.


@pytest.mark.parametrize(
    ("method", "expected"), [("interval", (-2, 2)), ("zonotope", (0, 1)), ("crown", (0, 2))]
)
def test_the_tent_by_hand(method, expected):
    """relu(x) - 2 relu(x - 1) on [0, 2], in truth [0, 1]: only relu(x - 1) crosses, below x / 2.

    Interval: [0, 2] - 2 [0, 1]. Zonotope: x - 2 (x/2 - 1/4 -+ 1/4) = 1/2 -+ 1/2. CROWN: at least
    x - 2 (x/2) = 0, at most x - 2 (x - 1) = 2 - x.
    """
    bounds = bound(TENT, [Box([0.0], [2.0])], method)
    low, high = float(bounds.lower[-1]), float(bounds.upper[-1])
    assert low == pytest.approx(expected[0], abs=1e-12)
    assert high == pytest.approx(expected[1], abs=1e-12)


def test_signs_that_the_weights_give_are_proved_without_rounding():
    """Weights, bias and inputs of one sign: z >= 0 holds with equality, and is proved."""
    network = Network(
        2,
        (
            layer({0: [[0.1, 0.7], [-0.1, -0.7], [0, 0]]}, [0, 0, 0], True),
            layer({1: [[1] * 3]}, [0]),
        ),
    )
    for method in ALL:
        bounds = bound(network, [Box([0.0, 0.0], [1.0, 1.0])], method)
        assert bounds.phases()[0].tolist() == [[1, -1, -1]]


def test_an_underflowing_product_is_not_taken_for_zero():
    network = Network(1, (layer({0: [[-1e-300]]}, [0], True), layer({1: [[1]]}, [0])))
    for method in ALL:
        bounds = bound(network, [Box([1e-300], [1e-300])], method)
        assert float(bounds.lower[0]) < 0 < float(bounds.upper[0])


@pytest.mark.parametrize("method", ALL)
def test_overflow_claims_nothing(method):
    network = Network(
        1,
        (
            layer({0: [[1e300], [-1e300]]}, [0, 0], True),
            layer({1: [[1e300, -1e300], [1e300, 1e300], [0, 0]]}, [0, 0, 1]),
            layer({2: [[1, 1, 0], [0, 0, 1]]}, [0, 0]),
        ),
    )
    bounds = bound(network, [Box([-1.0], [1.0])], method)
    assert bounds.lower[1][0, 0] == -inf
    assert bounds.upper[1].tolist()[0] == [inf, inf, pytest.approx(1)]
    assert (float(bounds.lower[2][0, 0]), float(bounds.upper[2][0, 0])) == (-inf, inf)
    assert float(bounds.lower[2][0, 1]) <= 1 <= float(bounds.upper[2][0, 1])


@pytest.mark.parametrize("method", ALL)
def test_skips_linear_units_and_sparse_weights(method):
    rng = np.random.default_rng(0)
    weights = {
        (1, 0): rng.normal(size=(4, 2)),
        (2, 0): rng.normal(size=(3, 2)),
        (2, 1): rng.normal(size=(3, 4)),
        (3, 0): rng.normal(size=(2, 2)),
        (3, 1): rng.normal(size=(2, 4)),
        (3, 2): rng.normal(size=(2, 3)),
    }

    def network(kind):
        relus = [[True, False, True, True], [True, True, False], [False, False]]
        return Network(
            2,
            tuple(
                Layer(
                    {j: kind(w) for (k, j), w in weights.items() if k == n},
                    np.linspace(-0.2, 0.2, len(relu)),
                    np.array(relu),
                )
                for n, relu in enumerate(relus, start=1)
            ),
        )

    box = Box([-0.5, 0.0], [0.5, 1.0])
    dense, thin = (bound(network(kind), [box], method) for kind in (np.array, sparse.csr_array))
    for k, ranges in enumerate(exact_ranges(network(np.array), box)):
        for i, extremes in enumerate(ranges):
            assert encloses(float(dense.lower[k][0, i]), float(dense.upper[k][0, i]), extremes)
        assert torch.equal(dense.lower[k], thin.lower[k])
        assert torch.equal(dense.upper[k], thin.upper[k])


def test_each_method_is_at_least_as_tight_as_intervals():
    network = random_network(np.random.default_rng(3), [4, 20, 20, 20, 3])
    boxes = [Box(np.full(4, c - 0.2), np.full(4, c + 0.2)) for c in (-1.0, 0.0, 0.5)]
    widths = {
        method: [(high - low).sum() for low, high in zip(b.lower, b.upper, strict=True)]
        for method, b in ((method, bound(network, boxes, method)) for method in ALL)
    }
    for method in ("zonotope", "crown"):
        assert all(a <= b for a, b in zip(widths[method], widths["interval"], strict=True))
        assert widths[method][-1] < widths["interval"][-1] / 2


@pytest.mark.parametrize("method", ALL)
def test_a_slice_gets_the_same_bounds_alone_and_in_a_batch(method):
    """Up to rounding: nothing of one slice leaks into another."""
    network = random_network(np.random.default_rng(5), [3, 12, 12, 2])
    rng = np.random.default_rng(6)
    centres = rng.normal(size=(7, 3))
    boxes = [Box(c - w, c + w) for c, w in zip(centres, rng.random((7, 3)), strict=True)]
    # Which units CROWN substitutes depends on the batch, and a unit proved stable keeps cheap
    # bounds: what is compared are the outputs, and phases.
    together = bound(network, boxes, method)
    for row, box in enumerate(boxes):
        alone = bound(network, [box], method)
        assert torch.allclose(alone.lower[-1][0], together.lower[-1][row], rtol=0, atol=1e-9)
        assert torch.allclose(alone.upper[-1][0], together.upper[-1][row], rtol=0, atol=1e-9)
        for one, all_ in zip(alone.phases(), together.phases(), strict=True):
            assert torch.equal(one[0], all_[row])


# Points of a network of real size.


@pytest.mark.parametrize("method", ALL)
def test_points_of_a_network_of_real_size(method):
    """Corners and random points of slices of a 5-50x6-5 network, evaluated in rationals."""
    rng = np.random.default_rng(7)
    network = random_network(rng, [5, *[50] * 6, 5])
    centres = rng.normal(size=(3, 5))
    boxes = [Box(c - 0.3, c + 0.3) for c in centres]
    bounds = bound(network, boxes, method)
    for row, box in enumerate(boxes):
        corners = np.where(rng.integers(0, 2, size=(2, 5)), box.upper, box.lower)
        for point in [*corners, *box.sample(2, rng)]:
            _require_point(network, bounds, row, point)


@pytest.mark.parametrize("method", ALL)
def test_slices_without_width_are_points(method):
    """Zero-width boxes of the same network: nothing but rounding is left, and all of it is in."""
    rng = np.random.default_rng(8)
    network = random_network(rng, [5, *[50] * 6, 5])
    points = rng.normal(size=(4, 5))
    bounds = bound(network, [Box(point, point) for point in points], method)
    assert (
        max(float((high - low).max()) for low, high in zip(bounds.lower, bounds.upper, strict=True))
        < 1e-8
    )
    for row, point in enumerate(points):
        _require_point(network, bounds, row, point)


def _require_point(network, bounds, row, point):
    for k, values in enumerate(exact_preactivations(network, list(point))):
        for i, value in enumerate(values):
            low, high = float(bounds.lower[k][row, i]), float(bounds.upper[k][row, i])
            assert encloses(low, high, (value, value)), f"z[{k + 1}, {i}] at {point}"


# Every rounding term is needed: without it, the bounds of one of these networks are wrong.

BIG, SMALL = 1e16, 0.25  # neither BIG + SMALL nor BIG + 1 is a float64: both round to BIG
ORDERS = list(permutations([BIG, SMALL, -BIG]))


def cancelling_inputs():
    """A sum BIG + SMALL - BIG, in every order, from inputs."""
    return Network(3, (layer({0: ORDERS}, [0] * 6),)), Box([1.0] * 3, [1.0] * 3)


def cancelling_skips():
    """The same behind a layer that does not matter, so that backward methods have work to do."""
    first = Layer({}, np.zeros(1), np.zeros(1, bool))
    return Network(3, (first, layer({0: ORDERS, 1: [[0]] * 6}, [0] * 6))), Box([1.0] * 3, [1.0] * 3)


def cancelling_coefficients():
    """The coefficient of x is BIG + SMALL - BIG."""
    first = layer({0: [[1], [1], [1]]}, [0] * 3)
    return Network(1, (first, layer({1: ORDERS}, [0] * 6))), Box([1.0], [1.0])


def cancelling_generators():
    """The same over a box with width, where the interval is no help."""
    network, _ = cancelling_coefficients()
    return network, Box([-1.0], [1.0])


def cancelling_from_zero():
    """The same where the lower end has no magnitude."""
    network, _ = cancelling_coefficients()
    return network, Box([0.0], [1.0])


def cancelling_then_copied():
    """The same with the damage done one layer earlier, and magnitudes that no longer tell."""
    first, second = cancelling_coefficients()[0].layers
    return Network(1, (first, second, layer({2: np.eye(6)}, [0] * 6))), Box([1.0], [1.0])


def cancelling_constants():
    """The biases of the first layer add up to BIG + SMALL - BIG."""
    first = layer({0: [[0], [0], [0]]}, [1] * 3)
    return Network(1, (first, layer({1: ORDERS}, [0] * 6))), Box([0.0], [0.0])


def cancelling_layers():
    """One constant per layer: BIG, SMALL and -BIG, in every order."""
    rows = [
        Network(
            1,
            (
                layer({0: [[0]]}, [a]),
                layer({1: [[1]]}, [b]),
                layer({2: [[1]]}, [c]),
            ),
        )
        for a, b, c in ORDERS
    ]
    return rows, Box([0.0], [0.0])


def accumulating_skips():
    """BIG x through a skip and x through a layer: the coefficient of x rounds to BIG."""
    first = layer({0: [[1]]}, [0])
    return Network(1, (first, layer({0: [[BIG]], 1: [[1]]}, [0]))), Box([1.0], [1.0])


ROUNDING_CASES = {
    "interval": (affine, [cancelling_inputs, cancelling_constants, accumulating_skips]),
    "zonotope": (
        zonotope,
        [
            cancelling_inputs,
            cancelling_generators,
            cancelling_from_zero,
            cancelling_then_copied,
            cancelling_constants,
            cancelling_layers,
            accumulating_skips,
        ],
    ),
    "crown": (
        crown,
        [
            cancelling_skips,
            cancelling_coefficients,
            cancelling_generators,
            cancelling_from_zero,
            cancelling_then_copied,
            cancelling_constants,
            cancelling_layers,
            accumulating_skips,
        ],
    ),
}


def _contained(method, case):
    networks, box = case()
    networks = networks if isinstance(networks, list) else [networks]
    return [
        encloses(float(low), float(high), extremes)
        for network in networks
        for bounds in [bound(network, [box], method)]
        for ranges, lows, highs in zip(
            exact_ranges(network, box), bounds.lower, bounds.upper, strict=True
        )
        for extremes, low, high in zip(ranges, lows[0], highs[0], strict=True)
    ]


@pytest.mark.parametrize(
    ("method", "module", "case"),
    [
        pytest.param(method, module, case, id=f"{method}-{case.__name__}")
        for method, (module, cases) in ROUNDING_CASES.items()
        for case in cases
    ],
)
def test_the_rounding_term_is_needed_and_suffices(monkeypatch, method, module, case):
    assert all(_contained(method, case))
    unguarded = SimpleNamespace(**vars(tolerances))
    unguarded.gamma = lambda _terms: 0.0
    monkeypatch.setattr(module, "tolerances", unguarded)
    assert not all(_contained(method, case)), "without its rounding term the bound is still right"


def test_underflow_is_paid_for_at_the_size_of_the_values(monkeypatch):
    """The coefficient 1e-600 of x underflows, but stands before 1e308."""

    def case():
        first = layer({0: [[1e-300]]}, [0])
        return Network(1, (first, layer({1: [[1e-300]]}, [0]))), Box([-1e308], [1e308])

    for method in ALL:
        assert all(_contained(method, case))
    unguarded = SimpleNamespace(**vars(tolerances))
    unguarded.TINY = 0.0
    monkeypatch.setattr(crown, "tolerances", unguarded)
    assert not all(_contained("crown", case))


# The pieces, each against rational arithmetic.


def test_accumulating_coefficients_adds_their_rounding():
    claim = crown.Claim({0: tensor([[BIG]]).reshape(1, 1, 1)}, [tensor([0.0])])
    claim.accumulate(0, tensor([[SMALL]]).reshape(1, 1, 1), tensor([3.0]))
    lost = Fraction(BIG) + Fraction(SMALL) - Fraction(float(claim.coefficients[0]))
    assert lost == Fraction(SMALL)
    assert sum(map(Fraction, map(float, claim.errors))) >= lost * 3


@pytest.mark.parametrize(("centre", "radius"), [(BIG, SMALL), (0.1, 0.7), (-1.0, 1e-17)])
def test_the_range_of_a_zonotope_is_rounded_outward(centre, radius):
    made = zonotope.Zonotope(
        tensor([centre]), tensor([[radius]]).reshape(1, 1, 1), tensor([radius]), tensor([0.0])
    ).range()
    ends = (Fraction(centre) - Fraction(radius), Fraction(centre) + Fraction(radius))
    assert encloses(float(made.lower), float(made.upper), ends)


def test_the_zonotope_of_a_box_contains_the_box():
    rng = np.random.default_rng(9)
    ends = np.sort(rng.normal(size=(2, 500)) * 10.0 ** rng.integers(-9, 9, 500), axis=0)
    ends = np.hstack([ends, [[-1.7e308, 5e-324, 0.1], [1.7e308, 5e-324, 0.1]]])
    box = zonotope._box(Range(torch.tensor(ends[:1]), torch.tensor(ends[1:])))
    for low, high, centre, radius in zip(*ends, box.centre[0], box.spread[0], strict=True):
        middle, reach = Fraction(float(centre)), Fraction(float(radius))
        assert middle - reach <= Fraction(low) <= Fraction(high) <= middle + reach


def test_the_zonotope_of_a_relu_contains_its_graph():
    """Z = c + g e + d: relu(z) is off the new affine form by at most new generator + remainder."""
    rng = np.random.default_rng(10)
    cases = rng.normal(size=(300, 3)) * [0.3, 1.0, 1.0] * [1, 1, 0]
    cases[:100, 2] = rng.random(100) / 10
    cases[-1] = [0.0, 5e-324, 0.0]
    for centre, generator, remainder in cases:
        pre = zonotope.Zonotope(
            tensor([centre]),
            tensor([[generator]]).reshape(1, 1, 1),
            tensor([abs(generator)]),
            tensor([remainder]),
        )
        post = zonotope._relu(pre, pre.range(), torch.tensor([True]))
        slopes = [Fraction(float(g)) for g in post.generators.flatten()]
        allowed = sum(slopes[1:]) + Fraction(float(post.remainder))
        for noise in (-1, 1, _kink(centre, generator)):
            for error in (-Fraction(remainder), Fraction(remainder)):
                z = Fraction(centre) + Fraction(generator) * noise + error
                form = Fraction(float(post.centre)) + slopes[0] * noise
                assert abs(max(z, 0) - form) <= allowed


def _kink(centre, generator):
    share = -Fraction(centre) / Fraction(generator)
    return max(Fraction(-1), min(Fraction(1), share))


CHORDS = [(-a / 7, b / 11) for a in range(1, 40) for b in range(1, 40)]


def _chord_is_sound(low, high):
    line = chord(Range(tensor([low]), tensor([high])), torch.tensor([True]))
    slope, intercept = Fraction(float(line.slope)), Fraction(float(line.intercept))
    low, high = Fraction(low), Fraction(high)
    return 0 <= slope <= 1 and intercept >= max(-slope * low, (1 - slope) * high)


def test_the_chord_is_above_relu_as_a_real_line():
    extremes = [
        (-1e300, 1e-300),
        (-1e-300, 1e300),
        (-5e-324, 5e-324),
        (-1.0, 1e-320),
        (-1e308, 1.0),
    ]
    assert all(_chord_is_sound(low, high) for low, high in CHORDS + extremes)


def test_the_chord_needs_its_rounding(monkeypatch):
    unguarded = SimpleNamespace(UPWARD=1.0, TINY=0.0)
    monkeypatch.setattr(relaxation, "tolerances", unguarded)
    assert not all(_chord_is_sound(low, high) for low, high in CHORDS)
