"""Edits: what is refused, what follows from a status, what a store keeps of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from redy.edits import Criterion, Edit, Edits, Status, exact_codes, proof_of
from redy.formats.edit_tensors import edits_from_bytes, edits_to_bytes
from redy.network.form import Layer, Network
from redy.verdict import Proof

ACTIVE, INACTIVE = Status.ACTIVE_PROPAGATION, Status.INACTIVE_BRANCHING

CHAIN = Network(
    1,
    (
        Layer({0: np.ones((2, 1))}, np.zeros(2), np.ones(2, bool)),
        Layer({1: np.array([[0.0, 1.0]])}, np.zeros(1), np.ones(1, bool)),
        Layer({1: np.array([[1.0, 0.0]]), 2: np.ones((1, 1))}, np.zeros(1), np.zeros(1, bool)),
    ),
)
"""Neuron (1, 1) is read by (2, 0) only, (1, 0) by the output only."""


def edits(codes, criteria, lines=None, correction=None) -> Edits:
    lines = np.zeros((len(codes), 2)) if lines is None else np.array(lines, dtype=float)
    return Edits(np.uint8(codes), np.uint8(criteria), lines, correction)


def some_edits(rng) -> Edits:
    codes = rng.integers(0, 4, size=3).astype(np.uint8)
    criteria = np.where(codes == 0, 0, rng.integers(2, 5, size=3)).astype(np.uint8)
    lines = rng.standard_normal((3, 2)).astype(np.float32) * (codes == Edit.AFFINE)[:, None]
    lines[0, 0] = 0.0
    correction = rng.standard_normal((1, 2)).astype(np.float32).astype(float)
    correction[:, :-1] *= rng.random() < 0.5
    return edits(codes, criteria, lines, correction if rng.random() < 0.5 else None)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        (([0, 1], [0, 0]), "without a criterion"),
        (([0, 1], [1, 1]), "kept with one"),
        (([0, 4], [0, 2]), "does not exist"),
        (([0, 1], [0, 5]), "does not exist"),
        (([0, 3], [0, 1]), "by no other line"),
        (([0, 1], [0, 2, 0]), "edits"),
        (([0, 1], [0, 2], [[0, 0], [1, 0]]), "not affine"),
        (([0, 3], [0, 2], [[0, 0]]), "lines .1, 2. for 2 neurons"),
        (([0, 3], [0, 2], [[0, 0], [0.1, 0]]), "single precision"),
        (([0, 3], [0, 2], [[0, 0], [np.nan, 0]]), "single precision"),
        (([0, 3], [0, 2], [[0, 0], [np.inf, 0]]), "single precision"),
        (([0, 3], [0, 2], [[0, 0], [1e300, 0]]), "single precision"),
        (([0, 1], [0, 2], None, np.array([[0.1]])), "single precision"),
        (([0, 1], [0, 2], None, np.array([[np.inf]])), "single precision"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, why):
    with pytest.raises(ValueError, match=why):
        edits(*parts)


def test_figures_of_edits():
    part = edits([0, 3, 3], [0, 2, 4], [[0, 0], [0.5, 1], [0, 2]])
    assert part.removed == 2
    assert part.by(Criterion.RELAXED).tolist() == [False, False, True]
    assert part.shape.tolist() == [Edit.KEEP, Edit.AFFINE, Edit.ZERO]
    assert not part.skips_input
    assert not replace(part, correction=np.array([[0.0, 1.0]])).skips_input
    assert replace(part, correction=np.array([[1.0, 0.0]])).skips_input


def test_what_follows_from_phases():
    """Once (2, 0) is zero nobody reads (1, 1); a phase that was proved stays the reason."""
    unknown = Status.UNKNOWN_BUDGET
    status = np.array(
        [[unknown, unknown, INACTIVE], [ACTIVE, ACTIVE, INACTIVE], [unknown, ACTIVE, unknown]]
    )
    codes, criteria = exact_codes(CHAIN, status)
    assert codes.tolist() == [[0, Edit.ZERO, Edit.ZERO], [Edit.IDENTITY, Edit.ZERO, Edit.ZERO],
                              [0, Edit.IDENTITY, 0]]  # fmt: skip
    phase, forward = Criterion.PHASE, Criterion.FORWARD
    assert criteria.tolist() == [[0, forward, phase], [phase, phase, phase], [0, phase, 0]]
    for row in range(3):
        exact = Edits.exact(CHAIN, status[row])
        assert exact.same_as(Edits.plain(codes[row], criteria[row]))
        assert exact.follows_from(CHAIN, status[row])
        assert Edits.by_phase(status[row]).follows_from(CHAIN, status[row])
        assert Edits.none(CHAIN).follows_from(CHAIN, status[row])


@pytest.mark.parametrize(
    "part",
    [
        edits([0, 1, 0], [0, 2, 0]),  # zero for what (2, 0) reads, which stays
        edits([2, 0, 1], [1, 0, 1]),  # another phase than was proved
        edits([0, 0, 3], [0, 0, 2], [[0, 0], [0, 0], [0, 0]]),
        edits([0, 0, 1], [0, 0, 1], None, np.zeros((1, 2))),
    ],
)
def test_what_does_not_follow_from_phases(part):
    status = np.array([Status.REFUTED, Status.UNKNOWN_TIME, INACTIVE])
    assert not part.follows_from(CHAIN, status)


def test_the_same():
    part = edits([0, 3, 3], [0, 2, 4], [[0, 0], [0.5, 1], [0, 2]], np.array([[1.0, 0.5]]))
    assert part.same_as(replace(part))
    for other in (
        replace(part, correction=None),
        replace(part, correction=np.array([[1.0, 0.25]])),
        replace(part, criteria=np.uint8([0, 2, 3])),
        replace(part, lines=np.array([[0, 0], [0.5, 1], [0, 3]])),
        edits([0, 0, 3], [0, 0, 4], [[0, 0], [0, 0], [0, 2]], part.correction),
    ):
        assert not part.same_as(other)
        assert not other.same_as(part)


def test_the_proof_of_a_status():
    assert proof_of(np.array([ACTIVE, Status.REFUTED])) == Proof.PROPAGATION
    assert proof_of(np.array([ACTIVE, INACTIVE])) == Proof.BRANCH_AND_BOUND


@pytest.mark.parametrize("part", [None, *(some_edits(np.random.default_rng(k)) for k in range(9))])
def test_a_store_gives_back_what_it_holds(part):
    restored = edits_from_bytes(edits_to_bytes(part))
    assert restored is part is None or restored.same_as(part)
