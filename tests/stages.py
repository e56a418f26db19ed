"""Stages that make edits by hand on :func:`tiny`: right ones, and others that must not get far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

import redy
from redy.criteria import STAGES, Effort, SliceState, StageLog, stage
from redy.edits import Criterion, Edit, Edits, Status
from redy.run import execute
from redy.verdict import Proof

BOX = redy.Box([-1, -1], [1, 1])


def tiny() -> redy.Network:
    """Outputs |x0 - x1| + relu(x0 + x1 + 10) and 20, on whose domain the last neuron is active."""
    into = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    hidden = redy.Layer({0: into}, np.array([0.0, 0.0, 10.0]), np.full(3, True))
    out = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    return redy.Network(2, (hidden, redy.Layer({1: out}, np.array([0.0, 20.0]), np.full(2, False))))


Change = Callable[[SliceState], SliceState]


@contextmanager
def registered(name: str, change: Change, criterion: str = "eps") -> Iterator[None]:
    """A stage ``name`` that makes ``change``, while the block runs."""

    class ByHand:
        def __init__(self, *_: object) -> None:
            pass

        def run(self, state: SliceState, effort: Effort) -> SliceState:
            del effort
            return change(state).logged(StageLog(name, queries=2, boxes=5, proved=1, unknown=1))

    before = dict(STAGES)
    execute._pipelines.clear()  # one with another stage of this name might be there
    stage(name, [criterion], "changes outputs")(ByHand)
    try:
        yield
    finally:
        STAGES.clear()
        STAGES.update(before)


def as_line(state: SliceState) -> SliceState:
    """The active neuron is z + 0: the same function."""
    edits = Edits(
        np.array([0, 0, Edit.AFFINE], dtype=np.uint8),
        np.array([0, 0, Criterion.RELAXED], dtype=np.uint8),
        np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]),
    )
    return replace(state, edits=edits, eps_proved=0.25, proof=Proof.BRANCH_AND_BOUND)


def as_correction(state: SliceState) -> SliceState:
    """The active neuron is zero, and the output corrected by x0 + x1 + 10: the same function."""
    edits = Edits(
        np.array([0, 0, Edit.ZERO], dtype=np.uint8),
        np.array([0, 0, Criterion.RELAXED], dtype=np.uint8),
        np.zeros((3, 2)),
        np.array([[1.0, 1.0, 10.0], [0.0, 0.0, 0.0]]),
    )
    return replace(state, edits=edits, eps_proved=0.25, proof=Proof.LP_DUAL)


def constant_winner(state: SliceState) -> SliceState:
    """All neurons zero, on a solver's word: the greatest output is the second one all the same."""
    return _without_neurons(state, None)


def wrong(state: SliceState) -> SliceState:
    """All neurons zero, the first output 30: the other one wins, on a solver's word."""
    return _without_neurons(state, np.array([[0.0, 0.0, 30.0], [0.0, 0.0, 0.0]]))


def wrong_phase(state: SliceState) -> SliceState:
    """The active neuron is said to be inactive, and edited so."""
    status = state.status.copy()
    status[2] = Status.INACTIVE_SOLVER
    edits = Edits.by_phase(status)
    return replace(state, status=status, edits=edits, eps_proved=0.0, proof=None)


def _without_neurons(state: SliceState, correction: np.ndarray | None) -> SliceState:
    edits = Edits(
        np.full(3, Edit.ZERO, dtype=np.uint8),
        np.full(3, Criterion.DECISION, dtype=np.uint8),
        np.zeros((3, 2)),
        correction,
    )
    return replace(state, edits=edits, eps_proved=np.inf, proof=Proof.SOLVER)
