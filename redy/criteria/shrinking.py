"""Removes ever fewer neurons until what is left of a proposal can be proved.

A proposal that fails says why: a witness speaks against some of its edits, and boxes that had to be
cut often blame the edits that disagree with the original there. Those are given back within one
search of the tree; what is left is proved from scratch. Then as many as work is left for are tried
again, where a survey by random dives promises a proof.
"""

from __future__ import annotations

from math import inf
from typing import Protocol

import numpy as np

from redy.criteria.comparison import Claim, Comparison, Outcome, Region, Survey
from redy.edits import Edits
from redy.search.work import Work

_DIVES = 64
"""Random dives of a survey."""
_SHARE = 4
"""One part in so many of the work left may go into one proof."""
_QUOTAS = 40
"""An edit is given back when it kept one in so many of the boxes of a proof open."""


class Shrinkable(Protocol):
    """A kind of proposal: neurons to remove, of the n of a :class:`redy.search.reduced.Reduced`."""

    @property
    def neurons(self) -> np.ndarray:
        """(n,) the neurons, as rows of ``network.neurons``."""

    def edits(self, removed: np.ndarray) -> Edits:
        """The edits that remove ``removed`` (n,)."""

    def witness(self, removed: np.ndarray) -> np.ndarray | None:
        """A point (inputs,) that speaks against removing ``removed`` (n,), if one is at hand."""

    def repaired(self, removed: np.ndarray, witness: np.ndarray) -> np.ndarray:
        """``removed`` (n,) less what makes the claim fail at ``witness`` (inputs,)."""


class Decider(Protocol):
    """What decides claims: :class:`redy.criteria.comparison.Comparer`, or one for some of them."""

    def decide(
        self, edits: Edits, claim: Claim, region: Region, budget: int, *, quota: float = inf
    ) -> Comparison:
        """Whether ``edits`` keep ``claim`` on ``region``."""

    def survey(self, edits: Edits, claim: Claim, region: Region, dives: int) -> Survey:
        """How many boxes that would take."""


class Prover:
    """Decides one claim on one slice, at the cost of ``work``."""

    def __init__(self, comparer: Decider, claim: Claim, region: Region, work: Work) -> None:
        self._comparer, self._claim, self._region, self.work = comparer, claim, region, work

    def decide(self, edits: Edits, budget: int) -> Comparison:
        """Whether ``edits`` keep the claim, examining at most ``budget`` boxes."""
        found = self._comparer.decide(edits, self._claim, self._region, budget)
        self.work.proof(found.boxes, found.outcome.value)
        return found

    def promising(self, edits: Edits, budget: float) -> bool | np.ndarray:
        """Whether a proof seems to take at most ``budget`` boxes; or a witness (inputs,)."""
        survey = self._comparer.survey(edits, self._claim, self._region, _DIVES)
        self.work.guess(survey.boxes)
        return survey.estimate <= budget if survey.witness is None else survey.witness

    def _thinned(self, edits: Edits, budget: int) -> Comparison:
        """As :meth:`decide`, but edits that would make it long are given back."""
        quota = budget / _QUOTAS
        found = self._comparer.decide(edits, self._claim, self._region, budget, quota=quota)
        if found.outcome is Outcome.UNKNOWN:
            self.work.guess(found.boxes)
        else:
            self.work.proof(found.boxes, found.outcome.value)
        return found

    def largest(
        self, proposal: Shrinkable, removed: np.ndarray, fewest: int
    ) -> tuple[Edits, Comparison] | None:
        """Edits of as many of ``removed`` (n,) as can be proved, at least ``fewest``; or None."""
        tried = removed.copy()
        found = self._shrunk(proposal, removed, fewest)
        return None if found is None else self._grown(proposal, tried, *found)

    def _shrunk(
        self, proposal: Shrinkable, removed: np.ndarray, fewest: int
    ) -> tuple[np.ndarray, Edits, Comparison] | None:
        """The first proof of what is left of ``removed``."""
        ready = False
        while removed.sum() >= fewest and self.work.left > 0:
            witness = proposal.witness(removed)
            if witness is not None:
                removed = proposal.repaired(removed, witness)
                continue
            edits, budget = proposal.edits(removed), self.work.left // _SHARE + 1
            found = (self.decide if ready else self._thinned)(edits, budget)
            match found.outcome:
                case Outcome.PROVED:
                    return removed, edits, found
                case Outcome.REFUTED:
                    removed = removed & found.removed[proposal.neurons]
                    removed = proposal.repaired(removed, found.witness)
                case Outcome.UNKNOWN:
                    # What the search went through to the end should be proved as fast.
                    ready = not ready and found.boxes < budget
                    removed = removed & found.removed[proposal.neurons]
        return None

    def _grown(
        self,
        proposal: Shrinkable,
        tried: np.ndarray,
        best: np.ndarray,
        edits: Edits,
        found: Comparison,
    ) -> tuple[Edits, Comparison]:
        """What was proved, with as many of what was given back of ``tried`` as work is left for."""
        groups = [np.flatnonzero(tried & ~best)]
        while groups and self.work.left > 0:
            group = groups.pop()
            more = best.copy()
            more[group] = True
            if proposal.witness(more) is None:
                budget = self.work.left // _SHARE + 1
                larger = proposal.edits(more)
                if self.promising(larger, budget) is True:
                    outcome = self.decide(larger, budget)
                    if outcome.outcome is Outcome.PROVED:
                        best, edits, found = more, larger, outcome
                        continue
            if group.size > 1:
                groups += [group[: group.size // 2], group[group.size // 2 :]]
        return edits, found
