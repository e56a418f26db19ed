"""Two networks on a domain: their pair is searched box by box, or proved the same by phases.

Bounds leave room for rounding, so they prove ``eps`` and ``decision``. That two networks are
*exactly* equal is proved where they are structurally the same, perhaps after what is stable on a
part of the domain is taken out of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from redy.branching.box import workspace
from redy.branching.compiled import call
from redy.branching.packed import pack
from redy.branching.pair import CLOSED, REFUTED, WINNER, WITHIN, Sides, explore
from redy.criteria.phase import PhaseDecider
from redy.domain import Box
from redy.edits import Edit, edits_of
from redy.network.form import Network
from redy.network.pair import Pair, Phases, pair, require_alike, structurally_same
from redy.search.witnesses import inner_ends
from redy.verification.answer import Finding, Outcome, Witness
from redy.verification.attack import attack
from redy.verification.parts import (
    Effort,
    Examined,
    Part,
    Search,
    Spread,
    Task,
    Told,
    here,
    silent,
)
from redy.verification.promise import Promise
from redy.verification.subject import Subject, confirmed

_EXACT_REASON = (
    "over the reals only networks that are structurally the same, or become so by their phases, "
    "are proved equal; bounds can prove eps=1e-9"
)
_PHASE_BOXES = 512
"""Boxes that the phases of one network may cost on one part of the domain."""
_TASK_OPERATIONS = 2**31
"""Floating point operations in one task of a search, about: a second or less."""


def decide_networks(
    first: Subject,
    second: Subject,
    promise: Promise,
    parts: Sequence[Part],
    effort: Effort,
    spread: Spread = here,
    told: Told = silent,
) -> Finding:
    """Whether ``second`` keeps ``promise`` to ``first`` on the domain that ``parts`` make up.

    Raises:
        NetworkError: the numbers of inputs or outputs differ.
    """
    require_alike(first.network, second.network)
    domain = _hull(part.box for part in parts)
    nothing = Phases.none(first.network), Phases.none(second.network)
    if structurally_same(first.network, second.network, *nothing):
        return Finding(Outcome.PROVED, 0, 1.0, 0.0)
    witness = attacked(first, second, promise, domain)
    if witness is not None:
        return Finding(Outcome.REFUTED, 0, 0.0, np.inf, witness=witness)
    make = PhaseProver if promise.guarantee.kind == "exact" else PairProver
    return Search(make(first, second, promise, domain), effort, spread, told).run(parts)


def attacked(first: Subject, second: Subject, promise: Promise, box: Box) -> Witness | None:
    """A witness that a search by points finds in ``box``, or None."""

    def excess(points: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return promise.excess(first.evaluate(points), second.evaluate(points))

    for point in attack(excess, box):
        witness = confirmed(first, second, promise, point)
        if witness is not None:
            return witness
    return None


def _hull(boxes: Iterable[Box]) -> Box:
    ends = [(box.lower, box.upper) for box in boxes]
    return Box(np.min([low for low, _ in ends], axis=0), np.max([up for _, up in ends], axis=0))


@dataclass(frozen=True, eq=False)
class _Sides:
    """What both provers are made from; the domain is what partners are looked for on."""

    first: Subject
    second: Subject
    promise: Promise
    domain: Box

    def confirm(self, point: np.ndarray) -> Witness | None:
        """``point`` as a witness, if it is one."""
        return confirmed(self.first, self.second, self.promise, point)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made anew faster than it is sent to another process."""
        left_out = ("_packed", "_deciders")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}


class PairProver(_Sides):
    """Bounds the pair of both networks."""

    reason = ""

    @cached_property
    def _pair(self) -> Pair:
        return pair(self.first.network, self.second.network, self.domain)

    @cached_property
    def task(self) -> int:
        """Boxes worth about a second."""
        network = self._pair.network
        entries = sum(block.size for layer in network.layers for block in layer.weights.values())
        generators = network.inputs + len(network.neurons)
        return int(np.clip(_TASK_OPERATIONS // (entries * generators), 1, 4096))

    @cached_property
    def _packed(self) -> tuple[Any, Any, Sides]:
        net = pack(self._pair.network)
        layer = np.repeat(np.arange(net.start.size - 1), np.diff(net.start))
        sides = Sides(self._pair.partner, layer, self._pair.first, self._pair.second)
        return net, workspace(net), sides

    def __call__(self, task: Task) -> Examined:
        """Examine a part; see :func:`redy.branching.pair.explore`."""
        part = task.part
        if task.late:
            return Examined(0, 0.0, 0.0, 0.0, (part,))
        box = part.box
        point = np.zeros(box.dimension)
        decision = self.promise.decision
        eps = 0.0 if decision else self.promise.eps
        claim = (WINNER if decision else WITHIN, float(eps), float(self.promise.sign))
        state, boxes, proved, stuck, worst, left = call(
            explore,
            *self._packed,
            claim,
            (np.array(box.lower), np.array(box.upper)),
            inner_ends(box.lower, box.upper),
            task.budget,
            task.attack,
            point,
        )
        remaining = () if state == CLOSED else _parts(part, left)
        found = point if state == REFUTED else None
        return Examined(
            boxes, part.share * proved, part.share * stuck, min(worst, part.eps), remaining, found
        )


def _parts(whole: Part, left: tuple[np.ndarray, ...]) -> tuple[Part, ...]:
    return tuple(
        Part(Box(low, up), whole.share * 2.0 ** -int(cuts), min(whole.eps, float(eps)))
        for low, up, cuts, eps in zip(*left, strict=True)
    )


class PhaseProver(_Sides):
    """Proves both networks exactly equal where they are structurally the same but for phases."""

    reason = _EXACT_REASON
    task = 2 * _PHASE_BOXES

    @cached_property
    def _deciders(self) -> tuple[PhaseDecider, PhaseDecider]:
        return PhaseDecider(self.first.network), PhaseDecider(self.second.network)

    def __call__(self, task: Task) -> Examined:
        """Examine a part as a whole; if it is not proved, both halves are left."""
        part = task.part
        if task.late:
            return Examined(0, 0.0, 0.0, 0.0, (part,))
        phases, boxes = [], 0
        for decider, side in zip(self._deciders, (self.first, self.second), strict=True):
            found = decider.decide(part.box.lower, part.box.upper, max(1, task.budget // 2))
            boxes += found.boxes
            phases.append(_phases(side.network, found.status))
        boxes = max(1, boxes)
        if structurally_same(self.first.network, self.second.network, *phases):
            return Examined(boxes, part.share, 0.0, 0.0, ())
        halves = _halves(part, self.domain)
        return Examined(boxes, 0.0, 0.0 if halves else part.share, 0.0, halves)


def _phases(network: Network, status: np.ndarray) -> Phases:
    edits = edits_of(status)
    relu = np.concatenate([np.zeros(network.inputs, bool), *(x.relu for x in network.layers)])
    active, inactive = np.zeros_like(relu), np.zeros_like(relu)
    active[relu], inactive[relu] = edits == Edit.IDENTITY, edits == Edit.ZERO
    return Phases(active, inactive)


def _halves(part: Part, domain: Box) -> tuple[Part, ...]:
    """Both halves of ``part``, cut where it is widest relative to the domain; none if too small."""
    lower, upper = part.box.lower, part.box.upper
    middle = 0.5 * lower + 0.5 * upper
    can = (lower < middle) & (middle < upper)
    if not can.any():
        return ()
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        width = (0.5 * upper - 0.5 * lower) / (0.5 * domain.upper - 0.5 * domain.lower)
    d = int(np.where(can, width, -np.inf).argmax())
    below, above = upper.copy(), lower.copy()
    below[d] = above[d] = middle[d]
    share = 0.5 * part.share
    return Part(Box(lower, below), share), Part(Box(above, upper), share)
