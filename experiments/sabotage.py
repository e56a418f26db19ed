"""False claims on purpose: edits of a slice, one of them spoiled, to see whether an attack notices.

A spoiled edit need not break the promise: a neuron that is kept may be one that could go. So each
claim is put to redy's own branch and bound as well, which proves it, refutes it, or does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

import redy
from experiments.opponent import Promise
from redy.branching.packed import pack
from redy.criteria import SliceState
from redy.criteria.comparison import Claim, Comparer, Outcome, Region
from redy.edits import Criterion, Edit, Edits, edits_of
from redy.network.evaluate import preactivations
from redy.network.fold import materialise, plan
from redy.network.form import Network

_BEYOND = 1.01
"""Outputs are shifted by so many times the error that is promised."""

_HARDLY = 2.0**-20
"""By how much where no error, or only the winner, is promised; relative to the outputs."""


def spoiled(
    promise: Promise, points: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, Promise]]:
    """What was spoiled, and the promise that is made of it."""
    edits = promise.edits
    kept = np.flatnonzero(edits.codes == Edit.KEEP)
    if kept.size:
        active = rng.random() < 0.5
        yield "a random ReLU flipped", _made(promise, _without(edits, rng.choice(kept), active))
        neuron, active = _hardest(promise.original, kept, points)
        yield "the hardest ReLU flipped", _made(promise, _without(edits, neuron, active))
    affine = np.flatnonzero(edits.codes == Edit.AFFINE)
    if affine.size:
        lines = edits.lines.copy()
        lines[rng.choice(affine), 1] += _BEYOND * promise.limit * rng.choice([-1.0, 1.0])
        yield "an intercept shifted", _made(promise, replace(edits, lines=_single(lines)))
    yield "an output shifted", _made(promise, _shifted(promise, points, rng))


def _made(promise: Promise, edits: Edits) -> Promise:
    folded, _ = plan(promise.original, edits)
    return replace(promise, edits=edits, simplified=materialise(promise.original, edits, folded))


def _without(edits: Edits, neuron: int, active: bool) -> Edits:
    codes, criteria = edits.codes.copy(), edits.criteria.copy()
    codes[neuron] = Edit.IDENTITY if active else Edit.ZERO
    criteria[neuron] = Criterion.FORWARD
    return replace(edits, codes=codes, criteria=criteria)


def _hardest(network: Network, kept: np.ndarray, points: np.ndarray) -> tuple[int, bool]:
    """The neuron that is nearest to having one phase, and whether that is the active one."""
    pre = [
        z[:, layer.relu]
        for z, layer in zip(preactivations(network, points), network.layers, strict=True)
    ]
    values = np.concatenate(pre, axis=1)[:, kept]
    above, below = values.max(axis=0).clip(0.0), (-values).max(axis=0).clip(0.0)
    best = int(np.minimum(above, below).argmin())
    return int(kept[best]), bool(above[best] > below[best])


def _shifted(promise: Promise, points: np.ndarray, rng: np.random.Generator) -> Edits:
    edits, network = promise.edits, promise.original
    shape = (network.outputs, network.inputs + 1)
    correction = np.zeros(shape) if edits.correction is None else edits.correction.copy()
    before, _ = promise.outputs(points)
    winner = int(np.bincount((promise.sign * before).argmin(axis=1)).argmax())
    by = _BEYOND * promise.limit
    if promise.on_winner or promise.limit == 0.0:
        by = _HARDLY * float(np.abs(before).max())
    # What wins most often is made to win less often, or any output is moved either way.
    side = promise.sign if promise.on_winner else rng.choice([-1.0, 1.0])
    correction[winner, -1] += by * side
    return replace(edits, correction=_single(correction))


def _single(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.float32).astype(np.float64)


class Judge:
    """What branch and bound says about a promise."""

    def __init__(self, network: Network, budget: int) -> None:
        self._network, self._budget = network, budget
        self._comparer = Comparer(network)
        self._units = np.flatnonzero(pack(network).relu)

    def __call__(self, promise: Promise, part: redy.Slice) -> Outcome:
        """Whether ``promise`` holds on ``part``, whose phases are taken for granted."""
        claim = Claim.within(promise.limit)
        if promise.on_winner:
            claim = Claim.winner("min" if promise.sign > 0 else "max")
        elif promise.limit == 0.0:
            claim = Claim.same()
        region = self._region(part)
        return self._comparer.decide(promise.edits, claim, region, self._budget).outcome

    def _region(self, part: redy.Slice) -> Region:
        state = SliceState.start(self._network, part.index, part.box.lower, part.box.upper)
        phase = edits_of(part.status)
        state.known_lower[self._units[phase == Edit.IDENTITY]] = 0.0
        state.known_upper[self._units[phase == Edit.ZERO]] = 0.0
        return Region.of(state)
