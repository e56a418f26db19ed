"""Folding in exact rationals: what is substituted, what it costs, what may be left out."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from scipy import sparse

from redy.domain import Box
from redy.edits import Criterion, Edit, Edits
from redy.errors import UnsupportedError
from redy.network.cost import Cost, cost
from redy.network.evaluate import evaluate
from redy.network.fold import (
    chain,
    is_chain,
    layer_edits,
    materialise,
    plan,
    plan_many,
    unit_counts,
)
from redy.network.form import Layer, Network, dense
from redy.network.reach import unread
from tests.exact import exact_preactivations, exact_ranges

Vector = list[Fraction]


def dyadic(rng, shape):
    """Quarters, no zero: sums and products of a few of them are exact in float64."""
    return rng.choice([-6, -4, -3, -2, -1, 1, 2, 3, 5], size=shape) / 4


def random_network(rng, widths=(2, 3, 4, 3, 2), skips=True, kind=np.array):
    layers = []
    for k, units in enumerate(widths[1:], start=1):
        sources = {k - 1} | {j for j in range(k - 1) if skips and rng.random() < 0.5}
        if skips and k > 1 and rng.random() < 0.15:
            sources.discard(k - 1)
        relu = (rng.random(units) < (0.75 if skips else 2)) & (k < len(widths) - 1)
        weights = {j: kind(dyadic(rng, (units, widths[j]))) for j in sources}
        layers.append(Layer(weights, dyadic(rng, units), relu))
    return Network(widths[0], tuple(layers))


def plain(codes) -> Edits:
    codes = np.asarray(codes, dtype=np.uint8)
    return Edits.plain(codes, np.where(codes == Edit.KEEP, 0, Criterion.FORWARD).astype(np.uint8))


def random_edits(rng, network, count=1) -> list[Edits]:
    """Edits of all kinds, with lines, some of them constant, and some corrections."""
    found = []
    for share in rng.dirichlet([1] * len(Edit), size=count):
        part = plain(rng.choice(len(Edit), size=len(network.neurons), p=share))
        lines = dyadic(rng, part.lines.shape)
        lines[rng.random(len(lines)) < 0.3, 0] = 0.0
        lines[part.codes != Edit.AFFINE] = 0.0
        correction = dyadic(rng, (network.outputs, network.inputs + 1))
        correction[:, :-1] *= rng.random() < 0.6
        corrected = rng.random() < 0.4
        found.append(replace(part, lines=lines, correction=correction if corrected else None))
    return found


def plans(network, edits: list[Edits]):
    """Of many slices at once."""
    shapes = np.array([part.shape for part in edits])
    return plan_many(network, shapes, np.array([part.skips_input for part in edits]))


def edited_outputs(network, edits: Edits, point) -> Vector:
    """The outputs with every activation replaced as ``edits`` says, exactly."""
    posts: list[Vector] = [[Fraction(float(x)) for x in point]]
    of_neuron = {
        neuron: (code, [Fraction(float(v)) for v in line])
        for neuron, code, line in zip(network.neurons, edits.codes, edits.lines, strict=True)
    }
    for k, layer in enumerate(network.layers, start=1):
        post = []
        for i in range(layer.units):
            z = Fraction(float(layer.bias[i]))
            for j, matrix in layer.weights.items():
                row = dense(matrix)[i]
                z += sum(Fraction(float(w)) * h for w, h in zip(row, posts[j], strict=True))
            code, (slope, intercept) = of_neuron.get((k, i), (Edit.IDENTITY, [0, 0]))
            match code:
                case Edit.ZERO:
                    post.append(Fraction(0))
                case Edit.IDENTITY:
                    post.append(z)
                case Edit.AFFINE:
                    post.append(slope * z + intercept)
                case _:
                    post.append(max(z, Fraction(0)))
        posts.append(post)
    if edits.correction is None:
        return posts[-1]
    rows = [[Fraction(float(c)) for c in row] for row in edits.correction]
    return [
        y + sum(c * x for c, x in zip(row, [*posts[0], 1], strict=True))
        for y, row in zip(posts[-1], rows, strict=True)
    ]


@pytest.mark.parametrize("seed", range(25))
def test_every_plan_equals_the_edited_network(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng, kind=sparse.csr_array if seed % 5 == 4 else np.array)
    for edits in random_edits(rng, network, 4):
        points = rng.integers(-8, 9, size=(4, network.inputs)) / 4
        expected = [edited_outputs(network, edits, point) for point in points]
        for folded in product((True, False), repeat=network.depth):
            built = materialise(network, edits, folded)
            for point, outputs in zip(points, expected, strict=True):
                assert list(exact_preactivations(built, point)[-1]) == outputs
            exact = np.array([[float(v) for v in outputs] for outputs in expected])
            assert np.array_equal(evaluate(built, points), exact)


@pytest.mark.parametrize("seed", range(60))
def test_plans_cost_what_they_say(seed):
    rng = np.random.default_rng([1, seed])
    widths = (int(rng.integers(1, 6)), *(int(w) for w in rng.integers(1, 9, size=3)), 2)
    network = random_network(rng, widths)
    edits = random_edits(rng, network, 12)
    folded, macs = plans(network, edits)
    for row, part in enumerate(edits):
        prices = {
            way: cost(materialise(network, part, way)).macs
            for way in product((True, False), repeat=network.depth)
        }
        assert prices[tuple(bool(f) for f in folded[row])] == macs[row]
        assert macs[row] == min(prices.values())
        alone, price = plan(network, part)
        assert (alone.tolist(), price) == (folded[row].tolist(), macs[row])


def test_a_deep_network_is_priced_too():
    """More hidden layers than are tried exhaustively: the price still is what it costs."""
    rng = np.random.default_rng(0)
    network = random_network(rng, (3, *[4] * 10, 2))
    edits = random_edits(rng, network, 6)
    folded, macs = plans(network, edits)
    points = rng.integers(-4, 5, size=(2, 3)) / 4
    for row in range(len(edits)):
        built = materialise(network, edits[row], folded[row])
        assert cost(built).macs == macs[row]
        for point in points:
            expected = [float(v) for v in edited_outputs(network, edits[row], point)]
            outputs = [float(v) for v in exact_preactivations(built, point)[-1]]
            assert outputs == pytest.approx(expected, rel=1e-9)


def test_all_removed_by_hand():
    """Two neurons active, all folded: 2 inputs x 1 output are left; all kept: the same network."""
    network = random_network(np.random.default_rng(0), (2, 2, 1), skips=False)
    active, dead = (np.full((1, 2), e, dtype=np.uint8) for e in (Edit.IDENTITY, Edit.ZERO))
    folded, macs = plan_many(network, active)
    assert folded.tolist() == [[True]]
    assert macs.tolist() == [2]
    assert cost(materialise(network, plain(active[0]), [True])) == Cost(0, 0, 2, 3)
    assert cost(materialise(network, plain(active[0]), [False])) == Cost(0, 2, 6, 9)
    folded, macs = plan_many(network, dead)
    assert macs.tolist() == [0]
    constant = materialise(network, plain(dead[0]), folded[0])
    assert constant.layers[-1].bias.tolist() == network.layers[-1].bias.tolist()
    assert evaluate(constant, np.ones((3, 2))).tolist() == [network.layers[-1].bias.tolist()] * 3


def test_few_linear_units_are_kept_and_many_folded():
    """One active neuron among others that stay, between 20 inputs and 20 outputs."""
    rng = np.random.default_rng(0)
    network = random_network(rng, (20, 10, 20), skips=False)
    edits = np.zeros((2, 10), dtype=np.uint8)
    edits[0, 0] = Edit.IDENTITY  # kept: 1 * (20 + 20), folded: 20 * 20
    edits[1] = Edit.ZERO
    edits[1, 1:] = Edit.IDENTITY
    folded, macs = plan_many(network, edits)
    assert folded[:, 0].tolist() == [False, False]
    assert macs.tolist() == [10 * 40, 9 * 40]
    narrow = random_network(rng, (2, 10, 2), skips=False)
    folded, macs = plan_many(narrow, edits)
    assert folded[:, 0].tolist() == [True, True]
    assert macs.tolist() == [9 * 4 + 4, 4]


def test_counts_of_units():
    rng = np.random.default_rng(0)
    network = random_network(rng)
    edits = random_edits(rng, network, 8)
    kept, linear = unit_counts(network, np.array([part.shape for part in edits]))
    for row, part in enumerate(edits):
        built = materialise(network, part, [False] * network.depth)
        assert kept[row].tolist() == [int(layer.relu.sum()) for layer in built.layers[:-1]]
        units = [layer.units for layer in built.layers[:-1]]
        assert (kept[row] + linear[row]).tolist() == units


def test_codes_by_layer():
    network = random_network(np.random.default_rng(0), (2, 2, 3, 1), skips=False)
    codes = np.array([0, 1, 2, 3, 1], dtype=np.uint8)
    assert [part.tolist() for part in layer_edits(network, codes)] == [[0, 1], [2, 3, 1]]
    several = layer_edits(network, np.stack([codes, codes]))
    assert [part.shape for part in several] == [(2, 2), (2, 3)]


@pytest.mark.parametrize("seed", range(12))
def test_what_nobody_reads_does_not_matter(seed):
    rng = np.random.default_rng([2, seed])
    network = thinned(rng, random_network(rng, (2, 4, 4, 3, 1)))
    points = rng.integers(-8, 9, size=(3, 2)) / 4
    for part in random_edits(rng, network, 6):
        passes = part.shape != Edit.ZERO
        (which,) = unread(network, passes[None])
        expected = [edited_outputs(network, part, point) for point in points]
        for code in (Edit.KEEP, Edit.ZERO, Edit.IDENTITY):
            codes = np.where(which, np.uint8(code), part.codes)
            criteria = np.where(codes == Edit.KEEP, 0, Criterion.FORWARD).astype(np.uint8)
            lines = np.where(which[:, None], 0.0, part.lines)
            changed = Edits(codes, criteria, lines, part.correction)
            assert [edited_outputs(network, changed, point) for point in points] == expected
        built = materialise(network, part, [False] * network.depth)
        for n in np.flatnonzero(~which & passes):
            assert is_read(network, passes, network.neurons[n])
        assert len(built.neurons) == (~which & (part.codes == Edit.KEEP)).sum()


def thinned(rng, network):
    layers = [
        Layer(
            {
                j: sparse.csr_array(m) if rng.random() < 0.3 else m
                for j, m in ((j, m * (rng.random(m.shape) < 0.5)) for j, m in part.weights.items())
            },
            part.bias,
            part.relu,
        )
        for part in network.layers
    ]
    return Network(network.inputs, tuple(layers))


def is_read(network, passes, neuron):
    """Whether a path of non-zero weights leads from ``neuron`` to an output, by search."""
    passing = dict(zip(network.neurons, passes, strict=True))
    frontier = [neuron]
    while frontier:
        j, i = frontier.pop()
        for k in range(j + 1, network.depth + 2):
            matrix = network.layers[k - 1].weights.get(j)
            readers = [] if matrix is None else np.flatnonzero(dense(matrix)[:, i]).tolist()
            if readers and k == network.depth + 1:
                return True
            frontier += [(k, r) for r in readers if passing.get((k, r), True)]
    return False


def test_unread_by_hand():
    """Neuron (1, 1) is read by (2, 0) only, which is removed; (1, 0) by the output as well."""
    network = Network(
        1,
        (
            Layer({0: np.ones((2, 1))}, np.zeros(2), np.ones(2, bool)),
            Layer({1: np.ones((1, 2))}, np.zeros(1), np.ones(1, bool)),
            Layer({1: np.array([[1.0, 0.0]]), 2: np.ones((1, 1))}, np.zeros(1), np.zeros(1, bool)),
        ),
    )
    passes = np.array([[True, True, True], [True, True, False]])
    assert unread(network, passes).tolist() == [[False, False, False], [False, True, False]]
    constant = replace(plain([0, 0, Edit.AFFINE]), lines=np.array([[0, 0], [0, 0], [0, 0.5]]))
    built = materialise(network, constant, [False, False])
    assert [layer.units for layer in built.layers] == [1, 0, 1]
    assert evaluate(built, np.array([[3.0], [-1.0]])).tolist() == [[3.5], [0.5]]


def test_nothing_left_but_a_correction():
    """All neurons zero: an affine network, of the output's bias and the correction."""
    network = random_network(np.random.default_rng(0), (2, 3, 2), skips=False)
    zero = plain([Edit.ZERO] * 3)
    correction = np.array([[1.0, 2.0, 3.0], [0.5, 0.25, -1.0]])
    for part, macs in ((replace(zero, correction=correction), 4),
                       (replace(zero, correction=correction * [0, 0, 1]), 0)):  # fmt: skip
        folded, price = plan(network, part)
        built = materialise(network, part, folded)
        assert price == cost(built).macs == macs
        points = np.array([[1.0, 0.0], [0.5, -0.25]])
        added = points @ part.correction[:, :-1].T + part.correction[:, -1]
        assert evaluate(built, points).tolist() == (network.layers[-1].bias + added).tolist()


def test_no_neurons_at_all():
    network = Network(2, (Layer({0: np.ones((1, 2))}, np.zeros(1), np.zeros(1, bool)),))
    edits = np.zeros((3, 0), dtype=np.uint8)
    folded, macs = plan_many(network, edits)
    assert folded.shape == (3, 0)
    assert macs.tolist() == [2, 2, 2]
    assert unread(network, edits != Edit.ZERO).shape == (3, 0)
    assert cost(materialise(network, plain(edits[0]), folded[0])).macs == 2


@pytest.mark.parametrize("seed", range(15))
def test_a_chain_agrees_on_the_slice(seed):
    """With the phases that hold on the box, exactly; a layer of which nothing is left included."""
    rng = np.random.default_rng([3, seed])
    network = random_network(rng, (2, 3, 3, 2, 2), skips=False)
    lower = rng.integers(-8, 8, size=2) / 4
    box = Box(lower, lower + rng.choice([0.0, 0.25, 1.0], size=2))
    ranges = exact_ranges(network, box)
    edits = np.zeros(len(network.neurons), dtype=np.uint8)
    for n, (k, i) in enumerate(network.neurons):
        low, high = ranges[k - 1][i]
        edits[n] = Edit.ZERO if high <= 0 else Edit.IDENTITY if low >= 0 else Edit.KEEP
    built = chain(network, plain(edits))
    assert is_chain(built)
    assert sum(layer.units for layer in built.layers[:-1]) >= (edits != Edit.ZERO).sum()
    for point in lower + rng.integers(0, 5, size=(6, 2)) / 4 * (box.upper - lower):
        expected = exact_preactivations(network, point)[-1]
        assert exact_preactivations(built, point)[-1] == expected
        assert edited_outputs(network, plain(edits), point) == list(expected)


def test_a_chain_without_a_layer_keeps_its_depth():
    network = random_network(np.random.default_rng(0), (2, 3, 3, 1), skips=False)
    edits = np.zeros(6, dtype=np.uint8)
    edits[:3] = Edit.ZERO
    built = chain(network, plain(edits))
    assert [layer.units for layer in built.layers] == [1, 3, 1]
    assert edited_outputs(network, plain(edits), [0.5, 0.25]) == list(
        exact_preactivations(built, [0.5, 0.25])[-1]
    )


def test_only_a_chain_becomes_a_chain():
    rng = np.random.default_rng(0)
    network = random_network(rng)
    assert not is_chain(network)
    with pytest.raises(UnsupportedError, match="no chain"):
        chain(network, Edits.none(network))


def test_lines_and_corrections_are_no_chain():
    network = random_network(np.random.default_rng(0), (2, 3, 1), skips=False)
    none = Edits.none(network)
    line = replace(plain([0, Edit.AFFINE, 0]), lines=np.array([[0, 0], [1, 0], [0, 0]]))
    for edits in (line, replace(none, correction=np.zeros((1, 3)))):
        with pytest.raises(UnsupportedError, match="is no chain of ReLU layers"):
            chain(network, edits)
