"""The check of finished networks: rounding raises no alarm, and a real difference does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from redy import Box, Layer, Network
from redy.criteria.phase import PhaseDecider
from redy.edits import Edits
from redy.errors import NetworkError
from redy.float_check import Finding, FloatCheck
from redy.formats.networks import Reference, in_memory
from redy.guarantee import EXACT
from redy.network.fold import materialise
from tests.property.test_phase_exact import PLAIN, STRATEGIES, problems


def found(network: Network, box: Box, simplified: Network, eps: float = 0.0) -> Finding:
    check = FloatCheck(network, Reference(in_memory(network)), EXACT, 20)
    return check(simplified, 0, box.lower, box.upper, eps)


@pytest.mark.parametrize("name", STRATEGIES)
def test_rounding_is_no_contradiction(name: str) -> None:
    @settings(max_examples=10)
    @given(STRATEGIES[name], st.booleans())
    def run(problem: tuple[Network, Box], folded: bool) -> None:
        network, box = problem
        status = PhaseDecider(network).decide(box.lower, box.upper, 30).status
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                simplified = materialise(network, Edits.exact(network, status), [folded] * 9)
                finding = found(network, box, simplified)
            except NetworkError:
                reject()  # weights that overflow are refused elsewhere
        assert not finding.contradicts

    run()


def moved(network: Network, by: float) -> Network:
    """``network`` with all outputs moved."""
    *hidden, last = network.layers
    return Network(network.inputs, (*hidden, Layer(last.weights, last.bias + by, last.relu)))


@settings(max_examples=50)
@given(problems(PLAIN), st.sampled_from([1e-6, -1e-3, 1.0, 1e9]))
def test_a_difference_is_a_contradiction(problem: tuple[Network, Box], by: float) -> None:
    network, box = problem
    assert found(network, box, moved(network, by)).contradicts
    assert not found(network, box, moved(network, by), 1.0001 * abs(by)).contradicts


def test_what_is_no_number_is_a_contradiction() -> None:
    layer = Layer({0: np.array([[1.0, 2.0]])}, np.zeros(1), np.zeros(1, dtype=bool))
    network, box = Network(2, (layer,)), Box([-1, -1], [1, 1])
    broken = replace(layer, bias=np.array([np.finfo(float).max]))
    twice = Layer({1: np.array([[2.0]])}, np.zeros(1), np.zeros(1, dtype=bool))
    assert found(network, box, Network(2, (broken, twice))).contradicts
    assert not found(network, box, network).contradicts
