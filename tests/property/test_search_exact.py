"""What the relaxed and the decision stage find on small networks, against exact enumeration."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from redy.criteria import STAGES, Effort, SliceState
from redy.domain import Box
from redy.edits import Criterion, Edit, Edits
from redy.formats.networks import in_memory
from redy.guarantee import Guarantee
from redy.network.form import Layer, Network
from redy.search.lines import Lines
from redy.search.reduced import Reduced
from redy.search.work import Work
from tests.property.test_comparison_exact import broken_pairs, differences

BOX = Box([-1.0, -0.5], [1.0, 1.5])
EFFORT = Effort(20_000, None, 100)


def deep(seed: int, depth: int = 2) -> Network:
    rng = np.random.default_rng(seed)
    widths = [2, *[6] * depth, 3]
    layers = []
    for k in range(1, depth + 2):
        weights = rng.normal(size=(widths[k], widths[k - 1])) / np.sqrt(widths[k - 1])
        bias = 0.3 * rng.normal(size=widths[k])
        layers.append(Layer({k - 1: weights}, bias, np.full(widths[k], k <= depth)))
    return Network(2, tuple(layers))


def after(network: Network, guarantee: str) -> SliceState:
    """The slice after the default stages."""
    promised, loaded = Guarantee.parse(guarantee), in_memory(network)
    state = SliceState.start(network, 0, BOX.lower, BOX.upper)
    for name in ("phase", promised.kind if promised.kind == "decision" else "relaxed"):
        state = STAGES[name].make(loaded, promised, EFFORT).run(state, EFFORT)
    return state


@pytest.mark.parametrize("eps", [0.01, 0.1, 0.3])
def test_relaxed_edits_are_as_far_off_as_was_proved(eps: float) -> None:
    removed = 0
    for seed in range(6):
        network = deep(seed)
        state = after(network, f"eps={eps}")
        worst = max(max(-low, high) for low, high in differences(network, state.edits, BOX))
        assert worst <= Fraction(state.eps_proved) <= Fraction(eps)
        removed += int(state.edits.by(Criterion.RELAXED).sum())
    assert removed > (3 if eps < 0.1 else 12)


def test_decision_edits_keep_every_winner() -> None:
    removed = 0
    for seed in range(12):
        network = deep(seed)
        state = after(network, "decision")
        assert not broken_pairs(network, state.edits, BOX, 1, 0.0)
        removed += int(state.edits.by(Criterion.DECISION).sum())
    assert removed > 20


def lines_on(network: Network, *, fitted: bool) -> Lines:
    points = BOX.sample(500, np.random.default_rng(0))
    reduced = Reduced(network, Edits.none(network))
    return Lines(reduced, BOX.lower, BOX.upper, points, fitted=fitted)


@pytest.mark.parametrize("fitted", [False, True])
def test_prospects_are_exact_where_nothing_lies_behind(fitted: bool) -> None:
    lines = lines_on(deep(3, depth=1), fitted=fitted)
    some = np.array([True, False, False, True, False, False])
    error, cost = lines._prospects(some)
    assert (cost >= error).all()
    for neuron in np.flatnonzero(~some):
        more = some.copy()
        more[neuron] = True
        assert error[neuron] == pytest.approx(lines._error(more), rel=1e-9)


@pytest.mark.parametrize("fitted", [False, True])
def test_a_ladder_climbs_to_the_error_allowed(fitted: bool) -> None:
    lines = lines_on(deep(4), fitted=fitted)
    rungs = lines.ladder(0.2, 10**6, Work(10**6))
    assert rungs
    for lower, higher in pairwise(rungs):
        assert (higher | ~lower).all()
        assert higher.sum() > lower.sum()
    assert max(lines._error(removed) for removed in rungs) <= 0.2
    # By one more, in whatever way, more than that.
    for neuron in np.flatnonzero(~rungs[-1]):
        more = rungs[-1].copy()
        more[neuron] = True
        assert lines._error(more) > 0.2 or lines._prospects(rungs[-1])[0][neuron] > 0.2


def test_work_ends_a_ladder() -> None:
    lines = lines_on(deep(4), fitted=True)
    work = Work(10**6)
    assert len(lines.ladder(0.2, 200, work)) < len(lines.ladder(0.2, 10**6, Work(10**6)))
    assert work.left < 10**6


def test_edits_without_a_proof_are_not_kept() -> None:
    """Three boxes prove nothing here: the exact edits stay."""
    network, promised = deep(1), Guarantee.parse("eps=0.05")
    state = SliceState.start(network, 0, BOX.lower, BOX.upper)
    state = STAGES["phase"].make(in_memory(network), promised, EFFORT).run(state, EFFORT)
    little = replace(EFFORT, budget=3)
    found = STAGES["relaxed"].make(in_memory(network), promised, little).run(state, little)
    assert found.proof is None
    assert not found.edits.by(Criterion.RELAXED).any()
    assert (found.edits.codes == Edits.exact(network, state.status).codes).all()
    assert (found.edits.codes == Edit.KEEP).any()
