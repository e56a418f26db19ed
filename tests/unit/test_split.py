"""Cutting a network in two and joining it: the same function, and what cannot be cut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from redy.edits import Edit, Edits
from redy.errors import UsageError
from redy.network.cost import cost
from redy.network.exact import exact_outputs
from redy.network.fold import chain, is_chain, materialise, plan, plan_many
from redy.network.form import Layer, Network, dense
from redy.network.split import hands_on, join, possible_layers, split

SKIPS = {1: {0}, 2: {1}, 3: {1, 2}, 4: {3}}
"""Layer 3 reads layer 1 past layer 2; the last layer is the output."""


def network(reads: dict[int, set[int]], relu: object = True) -> Network:
    """Layers of 3 units with small quarters as weights: folding rounds nothing."""
    rng = np.random.default_rng(0)
    widths = [2, *(3 for _ in reads)]
    layers = []
    for k, sources in reads.items():
        weights = {j: rng.integers(-8, 9, (3, widths[j])) / 4 for j in sources}
        active = np.zeros(3, bool) if k == len(reads) else np.full(3, relu, dtype=bool)
        layers.append(Layer(weights, rng.integers(-8, 9, 3) / 4, active))
    return Network(2, tuple(layers))


CHAIN = network({1: {0}, 2: {1}, 3: {2}, 4: {3}})
POINTS = np.random.default_rng(1).integers(-64, 65, (40, 2)) / 16


def same(one: Network, other: Network) -> bool:
    return all(exact_outputs(one, x) == exact_outputs(other, x) for x in POINTS)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_suffix_after_the_prefix_is_the_network(k):
    parts = split(CHAIN, k)
    assert parts.prefix.outputs == parts.suffix.inputs == 3
    assert parts.suffix.neurons[0] == (1, 0)
    for x in POINTS:
        z = np.array([float(v) for v in exact_outputs(parts.prefix, x)])
        assert exact_outputs(parts.suffix, z) == exact_outputs(CHAIN, x)
    joined = join(parts.prefix, parts.suffix)
    assert same(joined, CHAIN)
    assert joined.sha256 == CHAIN.sha256


def test_a_layer_that_is_read_past_cannot_be_cut():
    network_with_skip = network(SKIPS)
    assert possible_layers(network_with_skip) == [1, 3]
    assert same(join(*_both(network_with_skip, 1)), network_with_skip)
    with pytest.raises(
        UsageError, match=r"--layer 2: layer 3 reads layer 1 past it.*give one of 1, 3"
    ):
        split(network_with_skip, 2)


def _both(net: Network, k: int) -> tuple[Network, Network]:
    parts = split(net, k)
    return parts.prefix, parts.suffix


@pytest.mark.parametrize("k", [-1, 0, 4, 9])
def test_there_is_no_such_layer(k):
    with pytest.raises(UsageError, match="hidden layers are 1 to 3"):
        split(CHAIN, k)


def test_a_layer_without_relu_is_nothing_to_cut_on():
    linear = network({1: {0}, 2: {1}}, relu=False)
    assert possible_layers(linear) == []
    with pytest.raises(UsageError, match="no ReLU"):
        split(linear, 1)


def test_every_layer_read_past():
    everything = network({1: {0}, 2: {0, 1}})
    with pytest.raises(UsageError, match="none: every hidden layer is read past"):
        split(everything, 1)


def test_handing_on_costs_nothing():
    parts = split(CHAIN, 2)
    assert hands_on(parts.suffix)
    assert not hands_on(CHAIN)
    assert not hands_on(parts.prefix)
    assert cost(parts.prefix).macs + cost(parts.suffix).macs == cost(CHAIN).macs
    assert cost(parts.prefix).parameters + cost(parts.suffix).parameters == cost(CHAIN).parameters


def test_plans_and_costs_of_a_suffix_agree():
    suffix = split(CHAIN, 2).suffix
    rng = np.random.default_rng(2)
    for _ in range(30):
        codes = rng.integers(0, 3, len(suffix.neurons)).astype(np.uint8)
        criteria = np.where(codes == Edit.KEEP, 0, 1).astype(np.uint8)
        edits = Edits.plain(codes, criteria)
        folded, macs = plan(suffix, edits)
        assert not folded[0]
        assert macs == cost(materialise(suffix, edits, folded)).macs


def test_plans_of_a_suffix_too_deep_to_price_them_all():
    deep = network({k: {k - 1} for k in range(1, 12)})
    folded, _ = plan_many(split(deep, 1).suffix, np.full((1, 30), Edit.IDENTITY, dtype=np.uint8))
    assert not folded[0, 0]


def test_joined_with_an_edited_suffix_no_more_is_computed_than_is_read():
    parts = split(CHAIN, 2)
    codes = np.array(
        [Edit.ZERO, Edit.IDENTITY, Edit.KEEP, Edit.KEEP, Edit.ZERO, Edit.KEEP], np.uint8
    )
    edits = Edits.plain(codes, np.where(codes == Edit.KEEP, 0, 1).astype(np.uint8))
    suffix = materialise(parts.suffix, edits, [False, False])
    joined = join(parts.prefix, suffix)
    assert [layer.units for layer in joined.layers] == [3, 2, 2, 3]
    assert joined.layers[1].relu.tolist() == [False, True]
    for x in POINTS:
        z = np.array([float(v) for v in exact_outputs(parts.prefix, x)])
        assert exact_outputs(joined, x) == exact_outputs(parts.suffix, z, edits)


def test_joined_with_a_suffix_that_reads_z_past_its_first_layer():
    parts = split(CHAIN, 2)
    none = Edits.none(parts.suffix)
    correction = np.arange(12.0).reshape(3, 4)
    edits = Edits(none.codes, none.criteria, none.lines, correction)
    joined = join(parts.prefix, materialise(parts.suffix, edits, [False, False]))
    for x in POINTS:
        z = np.array([float(v) for v in exact_outputs(parts.prefix, x)])
        assert exact_outputs(joined, x) == exact_outputs(parts.suffix, z, edits)


def test_joined_with_a_chain_it_is_a_chain():
    parts = split(CHAIN, 2)
    codes = np.array([Edit.ZERO] * 3 + [Edit.KEEP] * 3, dtype=np.uint8)
    edits = Edits.plain(codes, np.where(codes == Edit.KEEP, 0, 1).astype(np.uint8))
    joined = join(parts.prefix, chain(parts.suffix, edits))
    assert is_chain(joined)
    assert not dense(joined.layers[1].weights[1]).any()


def test_a_sparse_matrix_that_adds_two_inputs_hands_nothing_on():
    both = sparse.csr_array(np.array([[1.0, 1.0]]))
    hidden = Layer({0: both}, np.zeros(1), np.ones(1, bool))
    net = Network(2, (hidden, Layer({1: np.ones((1, 1))}, np.zeros(1), np.zeros(1, bool))))
    assert not hands_on(net)
    assert cost(net).macs == 3
