"""A network and a bundle, slice by slice.

Nothing that the bundle says of its own proofs is believed: of each slice only the edits are taken,
and what is known of the neurons' phases there is found out anew. Where the bundle was made from
the very network it is compared with, the edits are compared with the original by branch and bound
on the difference (:mod:`redy.criteria.comparison`); against another network, the slice's folded
network is, its float64 weights taken as exact numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Any

import numpy as np

from redy.criteria import comparison
from redy.criteria.affine import AffineComparer
from redy.criteria.comparison import Claim, Comparer, Comparison, Region
from redy.criteria.phase import PhaseDecider
from redy.criteria.winner import WinnerComparer, only_winner
from redy.domain import Box
from redy.edits import Edits
from redy.errors import NetworkError, UnsupportedError
from redy.formats.networks import LoadedNetwork, in_memory
from redy.network.fold import materialise
from redy.network.form import Network
from redy.slicing import Slicing
from redy.verification.answer import Finding, Outcome, Witness
from redy.verification.networks import attacked, decide_networks
from redy.verification.parts import Effort, Part
from redy.verification.promise import Promise
from redy.verification.subject import Subject, confirmed

_FIRST_BUDGET = 128
_MORE = 8
"""A slice that a budget does not suffice for gets so many times as much, up to the one allowed."""


@dataclass(frozen=True, eq=False)
class SliceTask:
    """One slice to check.

    Attributes:
        index: the slice.
        box: the part of it that lies in the domain.
        edits, folded: what the bundle makes of the network there; None for a slice that it leaves
            as it is.
        effort: boxes for this slice, and when all has to end.
    """

    index: int
    box: Box
    edits: Edits | None
    folded: np.ndarray | None
    effort: Effort


@dataclass(frozen=True, eq=False)
class Checked:
    """What became of slice ``index``."""

    index: int
    finding: Finding


@dataclass(frozen=True, eq=False)
class SliceChecker:
    """Checks slices of a bundle against a network.

    Attributes:
        loaded: the network.
        base: the network of which the bundle has edits.
        slicing: the bundle's; it says which slice a point belongs to.
        promise: what has to hold.
    """

    loaded: LoadedNetwork
    base: Network
    slicing: Slicing
    promise: Promise

    def __getstate__(self) -> dict[str, Any]:
        fields = ("loaded", "base", "slicing", "promise")
        return {name: self.__dict__[name] for name in fields}

    def __call__(self, tasks: Sequence[SliceTask]) -> list[Checked]:
        """Check some slices."""
        return [Checked(task.index, self.check(task)) for task in tasks]

    def check(self, task: SliceTask) -> Finding:
        """Check one slice."""
        if time.time() > task.effort.deadline:
            return _unknown(0, "time limit reached")
        if self.own and task.edits is None:
            return Finding(Outcome.PROVED, 0, 1.0, 0.0)
        try:
            if self.own and task.edits is not None:
                return self._compared(task, task.edits)
            return self._against_another(task)
        except (NetworkError, UnsupportedError) as error:
            return _unknown(0, str(error))  # the folded network overflows

    @cached_property
    def own(self) -> bool:
        """Whether the bundle was made from the network it is compared with."""
        return self.base.sha256 == self.loaded.network.sha256

    @cached_property
    def _first(self) -> Subject:
        return Subject(self.loaded)

    @cached_property
    def _comparer(self) -> Comparer:
        return Comparer(self.loaded.network)

    @cached_property
    def _affine(self) -> AffineComparer:
        return AffineComparer(self.loaded.network)

    @cached_property
    def _winner(self) -> WinnerComparer:
        return WinnerComparer(self.loaded.network)

    @cached_property
    def _decider(self) -> PhaseDecider:
        return PhaseDecider(self.loaded.network)

    def _against_another(self, task: SliceTask) -> Finding:
        part = [Part(task.box, 1.0)]
        second = self._second(task)
        found = decide_networks(self._first, second, self.promise, part, task.effort)
        return self._owned(task, second, found)

    def _owned(self, task: SliceTask, second: Subject, found: Finding) -> Finding:
        """``found``, whose witness counts only if the slice is the one that is evaluated there."""
        if found.witness is None:
            return found
        witness = self._witness(task, second, found.witness.point)
        if witness is not None:
            return replace(found, witness=witness)
        return _unknown(found.boxes, "a witness on a face that belongs to another slice")

    def _second(self, task: SliceTask) -> Subject:
        if task.edits is None or task.folded is None:
            return Subject(in_memory(self.base))
        folded = in_memory(materialise(self.base, task.edits, task.folded))
        return Subject(folded, self.base, task.edits) if self.own else Subject(folded)

    def _compared(self, task: SliceTask, edits: Edits) -> Finding:
        boxes, found = 0, None
        for budget in _budgets(task.effort.budget):
            found = self._attempt(task.box, edits, budget)
            boxes += found.boxes
            if found.outcome is comparison.Outcome.PROVED:
                eps = inf if self.promise.decision else found.error
                return Finding(Outcome.PROVED, boxes, 1.0, eps)
            late = time.time() > task.effort.deadline
            if found.outcome is comparison.Outcome.REFUTED or late:
                break
        return self._refuted(task, boxes, found)

    def _attempt(self, box: Box, edits: Edits, budget: int) -> Comparison:
        phases = self._decider.decide(box.lower, box.upper, budget)
        region = Region(box.lower, box.upper, phases.known_lower, phases.known_upper)
        found = self._extreme(edits, region, budget)
        if found is None:
            found = self._comparer.decide(edits, self._claim, region, budget)
        return replace(found, boxes=found.boxes + phases.boxes)

    def _extreme(self, edits: Edits, region: Region, budget: int) -> Comparison | None:
        """The same where no neuron is left, which is decided faster; else None."""
        match self.promise.guarantee.kind:
            case "exact":
                return None
            case "eps":
                return self._affine.within(edits, self.promise.eps, region, budget)
            case "decision":
                sign = int(self._claim.sign)
                best = only_winner(self.loaded.network, edits, sign)
                return None if best is None else self._winner.constant(sign, best, region, budget)

    @property
    def _claim(self) -> Claim:
        match self.promise.guarantee.kind:
            case "exact":
                return Claim.same()
            case "eps":
                return Claim.within(self.promise.eps)
            case "decision":
                return Claim.winner(self.promise.guarantee.winner)

    def _refuted(self, task: SliceTask, boxes: int, found: Comparison | None) -> Finding:
        """Refuted if a witness is found; else unknown, whatever the comparison took for one."""
        second = self._second(task)
        points = []
        if found is not None and found.outcome is comparison.Outcome.REFUTED:
            points.append(found.witness)
        more = attacked(self._first, second, self.promise, task.box)
        points += [] if more is None else [more.point]
        for point in points:
            witness = self._witness(task, second, point)
            if witness is not None:
                return Finding(Outcome.REFUTED, boxes, 0.0, inf, witness=witness)
        if points:
            return _unknown(boxes, "a point seemed to refute, but its replay did not confirm it")
        late = time.time() > task.effort.deadline
        return _unknown(boxes, "time limit reached" if late else "budget spent")

    def _witness(self, task: SliceTask, second: Subject, point: np.ndarray) -> Witness | None:
        """``point`` as a witness; off upper faces, which belong to the next slice, by a little."""
        for candidate in (point, _off_upper_faces(point, task.box)):
            if self.slicing.slice_of(candidate[None])[0] == task.index:
                witness = confirmed(self._first, second, self.promise, candidate)
                if witness is not None:
                    return witness
        return None


def _budgets(most: int) -> Iterator[int]:
    budget = _FIRST_BUDGET
    while budget < most:
        yield budget
        budget *= _MORE
    yield most


def _unknown(boxes: int, reason: str) -> Finding:
    return Finding(Outcome.UNKNOWN, boxes, 0.0, inf, reason=reason)


def _off_upper_faces(point: np.ndarray, box: Box) -> np.ndarray:
    with np.errstate(over="ignore"):
        below = np.nextafter(point.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    inside = (point >= box.upper) & (below >= box.lower)
    return np.where(inside, below, point)
