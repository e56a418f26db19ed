"""A network beside its edited copy, and the proof that the winner stays."""

from __future__ import annotations

import numpy as np
import pytest

import redy
from redy.branching.compare import WINNER
from redy.criteria.comparison import Claim, Outcome, Region
from redy.criteria.winner import WinnerComparer, constant_winner, keeps_winner
from redy.edits import Criterion, Edit, Edits
from redy.errors import UnsupportedError
from redy.network.beside import beside
from redy.network.evaluate import evaluate, preactivations
from redy.network.exact import exact_outputs
from redy.network.fold import materialise
from redy.network.form import Layer, Network

MIN = Claim.winner("min")
NONE = np.zeros(2, dtype=bool)


def searched(*codes: int) -> Edits:
    of = np.array(codes, dtype=np.uint8)
    return Edits.plain(of, np.where(of == 0, 0, Criterion.DECISION).astype(np.uint8))


def region(network: Network, lower: float, upper: float) -> Region:
    """All inputs in [lower, upper]; nothing is known."""
    ends = np.full(network.inputs, lower), np.full(network.inputs, upper)
    rest = np.full(sum(layer.units for layer in network.layers), np.inf)
    return Region(*ends, np.concatenate([ends[0], -rest]), np.concatenate([ends[1], rest]))


def kinked(bias: float, other: float) -> Network:
    """f_0 = relu(x + bias), f_1 = other."""
    hidden = Layer({0: np.array([[1.0]])}, np.array([bias]), np.array([True]))
    outputs = Layer({1: np.array([[1.0], [0.0]])}, np.array([0.0, other]), np.zeros(2, bool))
    return Network(1, (hidden, outputs))


@pytest.mark.parametrize(
    ("code", "bias", "other"),
    [
        (Edit.IDENTITY, 0.75, -0.0625),  # f'_0 < f_1 for x < -0.8125 only
        (Edit.ZERO, -0.75, 0.0625),  # f_0 > f_1 for x > 0.8125 only
    ],
)
def test_an_edit_that_is_wrong_in_a_corner_is_not_proved(code, bias, other):
    network = kinked(bias, other)
    comparer, on = WinnerComparer(network), region(network, -1.0, 1.0)
    assert comparer.decide(searched(code), MIN, on, 1).outcome is Outcome.UNKNOWN
    found = comparer.decide(searched(code), MIN, on, 1000)
    assert found.outcome is Outcome.REFUTED
    assert abs(found.witness[0]) > 0.8125


@pytest.mark.parametrize(
    ("code", "bias", "other"),
    [
        (Edit.IDENTITY, 0.75, 0.5),  # the tie is at x = -0.25, where the neuron is active
        (Edit.ZERO, -0.75, -0.5),  # f_1 wins everywhere
        (Edit.ZERO, -2.0, 0.0),  # stable
    ],
)
def test_an_edit_that_is_right_where_the_winner_changes_is_proved(code, bias, other):
    network = kinked(bias, other)
    found = WinnerComparer(network).decide(searched(code), MIN, region(network, -1.0, 1.0), 200)
    assert found.outcome is Outcome.PROVED
    assert found.removed.all()


def test_a_constant_winner():
    network = kinked(0.75, -0.5)
    comparer, on = WinnerComparer(network), region(network, -1.0, 1.0)
    assert comparer.constant(1, 1, on, 100).outcome is Outcome.PROVED
    assert comparer.constant(1, 0, on, 100).outcome is Outcome.REFUTED
    # Where they tie, or nearly so, nothing is claimed.
    narrow = region(network, -1.0, -0.75)
    for other in (0.0, 1e-17, 1e-3):
        found = WinnerComparer(kinked(0.75, other)).constant(1, 1, narrow, 100)
        assert found.outcome is not Outcome.PROVED


@pytest.mark.parametrize("linear", [False, True])
def test_what_reads_the_input_past_the_neurons_is_no_constant(linear):
    """f_0 = x - relu(x) always wins against 1/2, but x + d, which is left of it, does not."""
    if linear:
        hidden = Layer({0: np.ones((2, 1))}, np.zeros(2), np.array([True, False]))
        outputs = Layer({1: np.array([[-1.0, 1.0], [0.0, 0.0]])}, np.array([0, 0.5]), NONE)
    else:
        hidden = Layer({0: np.ones((1, 1))}, np.zeros(1), np.array([True]))
        weights = {0: np.array([[1.0], [0.0]]), 1: np.array([[-1.0], [0.0]])}
        outputs = Layer(weights, np.array([0, 0.5]), NONE)
    network = Network(1, (hidden, outputs))
    on = region(network, -1.0, 1.0)
    assert WinnerComparer(network).constant(1, 0, on, 100).outcome is Outcome.PROVED
    points = np.linspace(-1.0, 1.0, 201)[:, None]
    edits = constant_winner(network, Edits.none(network), 1.0, 0)
    assert not keeps_winner(network, edits, 1, 0)
    for stages in (None, ["phase", "milp"]):
        box = redy.Box([-1.0], [1.0])
        bundle = redy.simplify(network, box, guarantee="decision", budget=200, stages=stages)
        assert (bundle(points).argmin(axis=1) == 0).all()


def test_linear_units_that_read_nothing_are_constants():
    hidden = Layer({0: np.array([[1.0], [0.0]])}, np.array([0.0, 3.0]), np.array([True, False]))
    outputs = Layer({1: np.array([[-1.0, 0.0], [0.0, 2.0]])}, np.array([0.0, -1.0]), NONE)
    network = Network(1, (hidden, outputs))
    edits = constant_winner(network, Edits.none(network), 1.0, 0)
    assert keeps_winner(network, edits, 1, 0)
    assert edits.correction is not None
    kept = exact_outputs(network, np.zeros(1), edits)
    # The outputs would be 0 and 5: the other one is off the winner by the next power of two.
    assert [float(value) for value in kept] == [0.0, 8.0]


def test_constants_too_large_for_single_precision_have_no_winner():
    hidden = Layer({0: np.ones((1, 1))}, np.zeros(1), np.array([True]))
    for bias, kept in ((1e300, False), (1e37, True)):
        outputs = Layer({1: np.ones((2, 1))}, np.array([bias, -bias]), NONE)
        network = Network(1, (hidden, outputs))
        edits = constant_winner(network, Edits.none(network), 1.0, 0)
        assert keeps_winner(network, edits, 1, 0) is kept


@pytest.mark.parametrize("claim", [Claim.within(1.0), Claim.same(), Claim(WINNER, layer=1)])
def test_another_claim_is_refused(claim):
    network = kinked(0.75, 0.5)
    with pytest.raises(UnsupportedError, match="which output wins"):
        WinnerComparer(network).decide(searched(0), claim, region(network, -1.0, 1.0), 10)


def random_network(rng: np.random.Generator) -> Network:
    """Three hidden layers with linear units, and a skip connection."""
    widths = [3, 4, 5, 4, 3]
    layers = []
    for k in range(1, 5):
        weights = {k - 1: rng.normal(size=(widths[k], widths[k - 1]))}
        if k == 3:
            weights[1] = rng.normal(size=(widths[3], widths[1]))
        relu = (rng.random(widths[k]) < 0.8) & (k < 4)
        layers.append(Layer(weights, rng.normal(size=widths[k]), relu))
    return Network(3, tuple(layers))


@pytest.mark.parametrize("seed", range(20))
def test_both_networks_are_there(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    edits = searched(*rng.choice([0, 1, 2], len(network.neurons), p=[0.6, 0.2, 0.2]))
    both = beside(network, edits)
    points = rng.normal(size=(50, 3))
    values = np.concatenate([points, *preactivations(both.network, points)], axis=1)
    own = np.concatenate([points, *preactivations(network, points)], axis=1)
    np.testing.assert_allclose(values[:, both.original], own)
    edited = evaluate(materialise(network, edits, [True] * network.depth), points)
    np.testing.assert_allclose(values[:, both.outputs[0]], evaluate(network, points))
    np.testing.assert_allclose(values[:, both.outputs[1]], edited)
    differences = evaluate(both.network, points).reshape(50, 2, -1)
    for side in range(2):
        outputs = values[:, both.outputs[side]]
        for p, (c, j) in enumerate(both.pairs):
            np.testing.assert_allclose(differences[:, side, p], outputs[:, j] - outputs[:, c])
    neurons = np.array(network.neurons)[both.neurons]
    assert (edits.codes[both.neurons] == np.where(both.active, Edit.IDENTITY, Edit.ZERO)).all()
    start = np.concatenate([[0, 3], 3 + np.cumsum([layer.units for layer in network.layers])])
    assert (both.original[[start[k] + i for k, i in neurons]] == both.removed).all()


def test_what_is_not_changed_is_there_once():
    network = random_network(np.random.default_rng(0))
    both = beside(network, searched(*np.zeros(len(network.neurons), dtype=int)))
    assert [layer.units for layer in both.network.layers[:-1]] == [4, 5, 4, 3]
    np.testing.assert_array_equal(*both.outputs)


def test_lines_and_corrections_are_refused():
    network = kinked(0.0, 0.0)
    corrected = Edits(
        np.zeros(1, np.uint8), np.zeros(1, np.uint8), np.zeros((1, 2)), np.ones((2, 2))
    )
    affine = np.array([Edit.AFFINE], dtype=np.uint8), np.array([Criterion.RELAXED], dtype=np.uint8)
    for edits in (corrected, Edits(*affine, np.array([[0.5, 0.25]]))):
        with pytest.raises(UnsupportedError, match="zero and the identity"):
            beside(network, edits)
