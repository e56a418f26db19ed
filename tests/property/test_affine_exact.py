"""Affine outputs in the place of a whole network: what is proved of their error, in rationals."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redy.criteria.affine import AffineComparer, _down
from redy.criteria.comparison import Claim, Comparer, Outcome
from redy.domain import Box
from redy.edits import Criterion, Edit, Edits, is_single
from redy.guarantee import Guarantee
from redy.network.evaluate import evaluate
from redy.network.form import Layer, Network
from redy.search.affine import fit_affine
from redy.slicing.growth import Guide
from tests.property.test_comparison_exact import (
    BUDGETS,
    STRATEGIES,
    differences,
    region_of,
)

NONE = np.zeros(1, dtype=bool)


def chain(network: Network) -> Network:
    """``network`` without linear units in between, each layer reading the one before alone."""
    built = []
    for k, layer in enumerate(network.layers):
        weights = layer.weights.get(k, np.ones((layer.units, network.width(k))))
        hidden = np.full(layer.units, k < network.depth)
        built.append(replace(layer, weights={k: weights}, relu=hidden))
    return Network(network.inputs, tuple(built))


def fitted(network: Network, box: Box) -> np.ndarray:
    """Affine outputs that are near the network's at some points of the box."""
    points = box.sample(64, np.random.default_rng(0))
    with np.errstate(all="ignore"):
        values = evaluate(network, points)
        if not np.isfinite(values).all() or np.abs(values).max() > 1e30:
            return np.zeros((network.outputs, network.inputs + 1))
        return fit_affine(points, values, box.lower, box.upper).coefficients


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_what_is_proved_is_true_over_the_reals(name: str) -> None:
    """Also where eps is the exact error, rounded down or up, or a little less or more."""
    seen: Counter[object] = Counter()

    @settings(max_examples=25)
    @given(STRATEGIES[name], BUDGETS, st.sampled_from([0.999, 1.0, 1.001, 2.0]))
    def run(problem, budget, share):
        network, _, box = problem
        network = chain(network)
        comparer = AffineComparer(network)
        edits = comparer.edits(Edits.none(network), fitted(network, box))
        if edits is None:
            seen["too large"] += 1
            return
        assert (edits.codes == Edit.ZERO).all()
        assert (edits.criteria == Criterion.RELAXED).all()
        worst = max(max(-low, high) for low, high in differences(network, edits, box))
        try:
            eps = share * float(worst)
        except OverflowError:
            return
        if not eps < np.inf:
            return
        found = comparer.within(edits, eps, region_of(network, box), budget)
        if found is None:
            return
        seen[found.outcome] += 1
        if found.outcome is Outcome.PROVED:
            assert found.error == eps
            assert worst <= Fraction(eps)
        if found.outcome is Outcome.REFUTED:
            assert worst > Fraction(eps)
            assert box.contains(found.witness[None]).all()

    run()
    assert sum(seen.values()) > 0


def test_all_outcomes_occur_and_the_other_comparer_agrees() -> None:
    seen: Counter[Outcome] = Counter()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        hidden = Layer({0: rng.normal(size=(4, 2))}, rng.normal(size=4), np.ones(4, bool))
        network = Network(
            2, (hidden, Layer({1: rng.normal(size=(2, 4))}, np.zeros(2), NONE[[0, 0]]))
        )
        box = Box([-1.0, -1.0], [1.0, 1.0])
        comparer, region = AffineComparer(network), region_of(network, box)
        edits = comparer.edits(Edits.none(network), fitted(network, box))
        assert edits is not None
        worst = max(max(-low, high) for low, high in differences(network, edits, box))
        for share in (0.5, 1.0, 1.5):
            found = comparer.within(edits, share * float(worst) + 1e-9, region, 2000)
            other = Comparer(network).decide(
                edits, Claim.within(share * float(worst) + 1e-9), region, 2000
            )
            assert found is not None
            assert {found.outcome, other.outcome} != {Outcome.PROVED, Outcome.REFUTED}
            seen[found.outcome] += 1
    assert seen[Outcome.PROVED] >= 30
    assert seen[Outcome.REFUTED] >= 15


def test_a_slice_does_not_remember_the_one_before() -> None:
    """The claims' numbers are changed in place."""
    network = Network(
        1,
        (
            Layer({0: np.ones((1, 1))}, np.zeros(1), ~NONE),
            Layer({1: np.ones((1, 1))}, NONE * 1.0, NONE),
        ),
    )
    comparer, box = AffineComparer(network), Box([-1.0], [1.0])
    flat = comparer.edits(Edits.none(network), np.array([[0.0, 0.5]]))
    line = comparer.edits(Edits.none(network), np.array([[0.5, 0.25]]))
    assert flat is not None
    assert line is not None
    for _ in range(2):
        outcomes = []
        for edits in (flat, line):
            found = comparer.within(edits, 0.375, region_of(network, box), 100)
            assert found is not None
            outcomes.append(found.outcome)
        assert outcomes == [Outcome.REFUTED, Outcome.PROVED]


def test_an_error_above_eps_by_the_least_is_not_proved() -> None:
    """relu(x) on [1, 2] is off the constant 2 by 1."""
    hidden = Layer({0: np.ones((1, 1))}, np.zeros(1), ~NONE)
    network = Network(1, (hidden, Layer({1: np.ones((1, 1))}, np.zeros(1), NONE)))
    comparer, region = AffineComparer(network), region_of(network, Box([1.0], [2.0]))
    edits = comparer.edits(Edits.none(network), np.array([[0.0, 2.0]]))
    assert edits is not None
    less = comparer.within(edits, float(np.nextafter(1.0, 0.0)), region, 1000)
    more = comparer.within(edits, 1.0 + 1e-12, region, 1000)
    assert less is not None
    assert more is not None
    assert less.outcome is not Outcome.PROVED
    assert more.outcome is Outcome.PROVED


@given(st.fractions(), st.integers(-1200, 1200))
def test_rounding_down(number: Fraction, power: int) -> None:
    scaled = number * Fraction(2) ** power
    below = _down(scaled)
    if below > -np.inf:
        assert Fraction(below) <= scaled
        assert np.nextafter(below, np.inf) > scaled
    else:
        assert scaled < 0 or abs(scaled) > Fraction(np.finfo(float).max)


def test_outputs_that_read_the_input_past_the_neurons_are_left_to_others() -> None:
    hidden = Layer({0: np.ones((1, 1))}, np.zeros(1), ~NONE)
    output = Layer({0: np.ones((1, 1)), 1: np.ones((1, 1))}, np.zeros(1), NONE)
    network = Network(1, (hidden, output))
    comparer = AffineComparer(network)
    assert not comparer.possible
    assert comparer.edits(Edits.none(network), np.array([[1.0, 0.0]])) is None
    zeros = Edits(
        np.full(1, Edit.ZERO, np.uint8),
        np.full(1, Criterion.RELAXED, np.uint8),
        np.zeros((1, 2)),
        np.zeros((1, 2)),
    )
    region = region_of(network, Box([-1.0], [1.0]))
    assert comparer.within(zeros, 1.0, region, 100) is None


def test_constants_that_no_correction_makes_up_for() -> None:
    """Their sum is not even a float64; trees must not take such boxes for affine either."""
    hidden = Layer({0: np.zeros((2, 1))}, np.full(2, 1e308), np.zeros(2, bool))
    output = Layer({1: np.ones((1, 2))}, np.zeros(1), NONE)
    network = Network(1, (hidden, output))
    comparer = AffineComparer(network)
    assert not comparer.possible
    assert comparer.edits(Edits.none(network), np.zeros((1, 2))) is None


def test_a_tree_does_not_promise_affine_outputs_that_cannot_be() -> None:
    """The output reads the input past the neuron: no correction takes that away."""
    hidden = Layer({0: np.ones((1, 1))}, np.zeros(1), ~NONE)
    for skips, left in ((True, 1.0), (False, 0.0)):
        weights = {1: np.full((1, 1), 1e-9), **({0: np.ones((1, 1))} if skips else {})}
        network = Network(1, (hidden, Layer(weights, np.zeros(1), NONE)))
        box = Box([-1.0], [1.0])
        guide = Guide(network, Guarantee.parse("eps=1e-3"), box)
        assert guide.outlook(box.lower, box.upper, np.full(1, 0.5)).left == left


def test_other_edits_are_left_to_others() -> None:
    network = Network(
        1,
        (
            Layer({0: np.ones((2, 1))}, np.zeros(2), np.ones(2, bool)),
            Layer({1: np.ones((1, 2))}, np.zeros(1), NONE),
        ),
    )
    comparer, region = AffineComparer(network), region_of(network, Box([-1.0], [1.0]))
    some = comparer.edits(Edits.none(network), np.array([[0.0, 0.5]]))
    assert some is not None
    kept = Edits(
        np.array([Edit.ZERO, Edit.KEEP], np.uint8),
        np.array([Criterion.RELAXED, Criterion.KEPT], np.uint8),
        np.zeros((2, 2)),
        some.correction,
    )
    assert comparer.within(kept, 9.0, region, 100) is None
    assert comparer.edits(Edits.none(network), np.array([[0.0, 1e300]])) is None
    assert some.correction is not None
    assert is_single(some.correction)
