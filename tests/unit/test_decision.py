"""The decision stage: what it may spend on what."""

from __future__ import annotations

import numpy as np

from redy.criteria.base import STAGES, Effort, SliceState
from redy.criteria.comparison import Outcome, Region
from redy.criteria.winner import WinnerComparer
from redy.edits import Edit
from redy.formats.networks import in_memory
from redy.guarantee import Guarantee
from redy.network.evaluate import evaluate
from redy.network.form import Layer, Network
from tests.unit.test_adaptive import SQUARE, random_network


def test_a_constant_winner_may_take_all_of_a_small_budget() -> None:
    network = barely_won()
    start = SliceState.start(network, 0, SQUARE.lower, SQUARE.upper)
    needed = WinnerComparer(network).constant(1, 0, Region.of(start), 9000)
    assert needed.outcome is Outcome.PROVED
    assert needed.boxes > 20
    effort = Effort(budget=needed.boxes, time_limit=None, check_points=0)
    decision = Guarantee.parse("decision", "min")
    after = STAGES["decision"].make(in_memory(network), decision, effort).run(start, effort)
    assert (after.edits.codes == Edit.ZERO).all()
    assert after.log[-1].boxes == needed.boxes


def barely_won() -> Network:
    """Output 0 is everywhere the smaller of two on the square, by little where that is least."""
    *hidden, last = random_network(0, (2, 24, 24, 2)).layers
    steps = np.linspace(0.0, 1.0, 401)
    unit = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    points = SQUARE.lower + (SQUARE.upper - SQUARE.lower) * unit
    outputs = evaluate(Network(2, (*hidden, last)), points)
    span = np.ptp(outputs[:, 1] - outputs[:, 0])
    won = np.array([0.0, 0.002 * span - (outputs[:, 1] - outputs[:, 0]).min()])
    return Network(2, (*hidden, Layer(last.weights, last.bias + won, last.relu)))
