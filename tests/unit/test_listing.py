"""Programs that list the units left of a network: which slices have them, what they compute."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from redy.dispatch import folding, kernels
from redy.dispatch.evaluator import Evaluator
from redy.dispatch.listing import Lister
from redy.network.evaluate import evaluate
from redy.network.fold import materialise
from redy.network.form import Layer, Network
from tests.unit.test_evaluator import DOMAIN, chain_content
from tests.unit.test_fold import random_network

WIDTHS = (2, 37, 20, 3)


@pytest.mark.parametrize("precision", [32, 64])
@pytest.mark.parametrize("removed", [0.0, 0.2, 0.6, 0.97])
def test_slices_that_keep_much_compute_what_their_networks_do(
    removed: float, precision: int
) -> None:
    content = chain_content(removed)
    network, slicing = content.network, content.slicing
    evaluator = Evaluator(content, precision=precision)
    points = DOMAIN.sample(400, np.random.default_rng(0)).astype(np.float32)
    single = np.array([evaluator.one(point) for point in points.astype(evaluator._dtype)])
    together = evaluator(np.repeat(points, 3, axis=0))[::3]
    owners = slicing.slice_of(points.astype(np.float64))
    close = 1e-12 if precision == 64 else 1e-5
    for index in range(16):
        here = owners == index
        alone = materialise(network, content.edits.at(index), [True] * network.depth)
        expected = evaluate(alone, points[here].astype(np.float64))
        size = 1.0 + np.abs(expected).max(initial=0.0)
        np.testing.assert_allclose(single[here], expected, rtol=0, atol=close * size)
        np.testing.assert_allclose(together[here], expected, rtol=0, atol=close * size)
    plan, _ = evaluator.tables
    programs = plan[plan[kernels.PROGRAMS] : plan[kernels.PROGRAMS] + 16]
    listed = plan[programs] == kernels.MISSING
    assert listed.all() or removed > 0.5


def test_what_a_list_costs_is_what_pays() -> None:
    network = chain_content(0.0).network
    lister = Lister(network, np.dtype(np.float64))
    code = np.full(sum(WIDTHS), folding.RELU)
    code[:2] = code[-3:] = folding.LINE
    lines = np.tile([1.0, 0.0], (code.size, 1))
    macs = sum(a * b for a, b in pairwise(WIDTHS))
    assert lister.pays(code)
    assert lister.pays(code, macs)
    assert not lister.pays(code, macs // 2)
    code[10:45] = folding.LINE
    assert not lister.pays(code)
    assert lister(code, lines) is not None
    lines[12] = 0.5, 0.0
    assert lister(code, lines) is None


def test_other_networks_have_none() -> None:
    skips = random_network(np.random.default_rng(1), WIDTHS, skips=True)
    assert not len(Lister(skips, np.dtype(np.float64)).layers)
    first, *others = chain_content(0.0).network.layers
    huge = Layer({0: 1e300 * first.weights[0]}, first.bias, first.relu)
    network = Network(2, (huge, *others))
    assert not len(Lister(network, np.dtype(np.float32)).layers)
    assert len(Lister(network, np.dtype(np.float64)).layers) == 3


def test_a_slice_without_neurons_is_folded() -> None:
    network = chain_content(0.0).network
    lister = Lister(network, np.dtype(np.float32))
    code = np.full(sum(WIDTHS), folding.NOTHING)
    code[:2] = code[-3:] = folding.LINE
    assert lister(code, np.tile([1.0, 0.0], (code.size, 1))) is None
