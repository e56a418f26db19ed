"""The encoding of one network: no point of it is lost, and nothing is spent on stable units."""

from __future__ import annotations

from fractions import Fraction
from math import inf, nextafter

import numpy as np
import pytest
from scipy import sparse

from redy.bounds import bound
from redy.bounds.refined import Refined
from redy.domain import Box
from redy.encodings.builder import ZERO, Builder, _chord_multiple, preactivation, relu_unit
from redy.encodings.single import encode, usable
from redy.formats.domains import ACASXU
from redy.formats.networks import load
from redy.network.form import Layer, Network
from redy.solvers import SOLVERS, Capabilities, Outcome, fits
from tests.commands import ONNX
from tests.exact import exact_preactivations, exact_ranges

PIP_LICENCE = Capabilities(True, "", "", 2000, 2000, True, False, True, True)


def skipping(seed: int, kind=np.array, scale: float = 1.0) -> Network:
    """Three layers with linear units, skips, and a last layer that reads all of them."""
    rng = np.random.default_rng(seed)
    widths, relus = [2, 4, 3, 2], [[True, False, True, True], [True, True, False], [False, False]]
    sources = [(0,), (0, 1), (0, 1, 2)]
    layers = []
    for k, relu in enumerate(relus, start=1):
        weights = {j: kind(scale * rng.normal(size=(widths[k], widths[j]))) for j in sources[k - 1]}
        layers.append(Layer(weights, rng.normal(size=len(relu)) / 4, np.array(relu)))
    return Network(2, tuple(layers))


BOX = Box([-0.5, 0.0], [0.5, 1.0])


def known(network: Network, box: Box = BOX, method: str = "crown") -> Refined:
    return Refined.of(bound(network, [box], method))


def encoded(network: Network, k: int, exact: bool, box: Box = BOX):
    ends = known(network, box)
    return encode(network, box, ends.lower, ends.upper, k, exact)


def assignment(network: Network, encoding, ends: Refined, point, k: int, exact: bool):
    """Exact values of the variables at ``point``, in the order in which they are entered."""
    pres = exact_preactivations(network, point)
    values = [Fraction(x) for x in point]
    for j in range(1, k):
        for i, relu in enumerate(network.layers[j - 1].relu):
            lower, upper, z = ends.lower[j - 1][i], ends.upper[j - 1][i], pres[j - 1][i]
            if relu and upper <= 0:
                continue
            values.append(max(z, Fraction(0)) if relu else z)
            if exact and relu and lower < 0:
                values.append(Fraction(int(z > 0)))
    assert len(values) == encoding.base.lower.size
    return values, pres[k - 1]


def inside(value: Fraction, lower: float, upper: float) -> bool:
    return (lower == -inf or Fraction(lower) <= value) and (
        upper == inf or value <= Fraction(upper)
    )


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e8, 1e-8])
def test_every_point_of_the_network_is_kept_exactly(exact: bool, scale: float) -> None:
    rng = np.random.default_rng(1)
    for seed in range(6):
        network = skipping(seed, scale=scale)
        ends = known(network)
        for k in (2, 3):
            encoding = encoded(network, k, exact)
            problem = encoding.base
            rows = problem.rows.toarray()
            corners = [(x, y) for x in (-0.5, 0.5) for y in (0.0, 1.0)]
            for point in [*corners, *BOX.sample(12, rng)]:
                values, pre = assignment(network, encoding, ends, point, k, exact)
                assert all(map(inside, values, problem.lower, problem.upper))
                for row, *row_ends in zip(rows, problem.row_lower, problem.row_upper, strict=True):
                    terms = zip(row, values, strict=True)
                    assert inside(sum(Fraction(w) * v for w, v in terms if w), *row_ends)
                for i, z in enumerate(pre):
                    asked = encoding.problem(i, -1)
                    terms = zip(asked.objective, values, strict=True)
                    value = sum(Fraction(w) * v for w, v in terms) + Fraction(asked.constant)
                    assert value == -z


def test_the_exact_encoding_has_the_exact_range() -> None:
    for seed in range(5):
        network = skipping(seed)
        ranges = exact_ranges(network, BOX)
        for k in (2, 3):
            encoding = encoded(network, k, exact=True)
            for i, (low, high) in enumerate(ranges[k - 1]):
                for sign, end in ((1, low), (-1, -high)):
                    answer = SOLVERS["highs"].solve(encoding.problem(i, sign))
                    assert answer.outcome is Outcome.OPTIMAL
                    assert answer.bound == pytest.approx(float(end), abs=1e-6)


def test_the_relaxation_is_the_triangle() -> None:
    """h = relu(x) on [-1, 3]: at most 3 (x + 1) / 4, so that x - h is least at x = -1 and 3."""
    first = Layer({0: np.eye(1)}, np.zeros(1), np.array([True]))
    last = Layer({0: np.eye(1), 1: -np.eye(1)}, np.zeros(1), np.array([False]))
    network, box = Network(1, (first, last)), Box([-1.0], [3.0])
    encoding = encode(network, box, [np.array([-1.0])], [np.array([3.0])], 2, exact=False)
    assert encoding.base.lower.size == 2
    low = SOLVERS["highs"].solve(encoding.problem(0, 1))
    high = SOLVERS["highs"].solve(encoding.problem(0, -1))
    assert (low.bound, high.bound) == (pytest.approx(-1.0), pytest.approx(0.0))


@pytest.mark.parametrize("kind", [np.array, sparse.csr_array])
def test_stable_units_cost_no_binary_and_dead_ones_nothing(kind) -> None:
    weights = kind(np.array([[1.0], [1.0], [1.0], [0.3]]))
    first = Layer(
        {0: weights}, np.array([-2.0, 2.0, 0.0, 0.1]), np.array([True, True, True, False])
    )
    last = Layer({1: kind(np.array([[0.1, 0.7, 1 / 3, 0.0]]))}, np.ones(1), np.array([False]))
    network, box = Network(1, (first, last)), Box([-1.0], [1.0])
    encoding = encoded(network, 2, exact=True, box=box)
    assert encoding.base.lower.size == 1 + 3 + 1
    assert encoding.base.integer.sum() == 1
    assert encoding.base.rows.shape[0] == 1 + 3 + 1
    assert encoding.targets[0].coefficients.tolist() == [0.7, 1 / 3]
    assert encoding.targets[0].constant == 1.0


def test_sparse_weights_give_the_same_problem() -> None:
    for exact in (False, True):
        dense, thin = (
            encoded(skipping(0, kind), 3, exact).base for kind in (np.array, sparse.csr_array)
        )
        assert np.array_equal(dense.rows.toarray(), thin.rows.toarray())
        assert np.array_equal(dense.row_upper, thin.row_upper)


def test_layers_that_are_not_read_are_left_out() -> None:
    unread = Layer({0: np.eye(2)}, np.zeros(2), np.array([True, True]))
    reader = Layer({0: np.ones((1, 2))}, np.zeros(1), np.array([True]))
    last = Layer({2: np.ones((1, 1))}, np.zeros(1), np.array([False]))
    network = Network(2, (unread, reader, last))
    encoding = encoded(network, 3, exact=True)
    assert encoding.base.lower.size == 2 + 2  # the inputs, and h_2 with its phase


def test_a_network_of_300_neurons_fits_into_the_licence_of_pip() -> None:
    network = load(ONNX).network
    for exact in (False, True):
        encoding = encoded(network, 7, exact, ACASXU.domain)
        problem = encoding.problem(0, 1)
        assert problem.lower.size <= 605
        assert fits(problem, PIP_LICENCE)
        of_network = np.concatenate([w.ravel() for n in network.layers for w in n.weights.values()])
        ones_and_bounds = problem.lower.size * 4
        assert np.isin(-problem.rows.data, of_network).sum() >= problem.rows.nnz - ones_and_bounds


def test_infinite_bounds_cannot_be_encoded() -> None:
    network = skipping(0)
    ends = known(network)
    assert usable(network, ends.lower, ends.upper, 3)
    lower = (np.full(4, -inf), *ends.lower[1:])
    assert not usable(network, lower, ends.upper, 3)
    assert usable(network, lower, ends.upper, 1)


EXTREMES = [(-1.0, 5e-324), (-1e308, 1e308), (-5e-324, 1e308), (-1e-300, 1.0), (-1.0, 1e-320)]


def test_the_chord_is_above_the_relu_whatever_is_rounded() -> None:
    """K h <= z - lower at z = lower, 0 and upper, over the reals."""
    for lower, upper in [(-a / 7, b / 11) for a in range(1, 30) for b in range(1, 30)] + EXTREMES:
        multiple = Fraction(_chord_multiple(lower, upper))
        assert multiple >= 1
        assert multiple * Fraction(upper) <= Fraction(upper) - Fraction(lower)


def test_the_big_m_rows_admit_both_phases_whatever_is_rounded() -> None:
    """With z = x + b: the row's upper end is at least b - lower over the reals."""
    for bias, lower in ((0.1, -0.7), (1e16, -1.0), (-3e-17, -1.0)):
        builder = Builder()
        x = builder.variable(-1e17, 1e17)
        layer = Layer({0: np.ones((1, 1))}, np.array([bias]), np.array([True]))
        pre = preactivation(layer, 0, {0: np.array([x])})
        relu_unit(builder, pre, lower, 2e17, exact=True)
        end = builder.problem().row_upper[1]
        assert Fraction(end) >= Fraction(bias) - Fraction(lower)
        assert end <= nextafter(nextafter(bias - lower, inf), inf)


def test_a_unit_that_is_zero_has_no_column() -> None:
    builder = Builder()
    x = builder.variable(-1.0, 1.0)
    layer = Layer({0: np.ones((1, 1))}, np.array([-1.0]), np.array([True]))
    pre = preactivation(layer, 0, {0: np.array([x])})
    assert relu_unit(builder, pre, -2.0, 0.0, exact=True) == ZERO
    assert builder.problem().rows.shape == (0, 1)
    assert preactivation(layer, 0, {0: np.array([ZERO])}).columns.size == 0
