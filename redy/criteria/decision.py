"""Result-preserving redundancy: edits that may change the outputs, but never the winner.

Paper: section III. Where one output wins on the whole slice, no neuron is needed. Elsewhere the
winner changes on the *decision boundary*, where two outputs tie for the best, and a network that
decides alike must have the same boundary. Away from it, all that matters is which side one is on.
So a neuron that has one phase on the boundary, though both on the slice, is proposed to be replaced
as if it had that phase everywhere; branch and bound proves it for all of them together, and what
keeps boxes open or is contradicted by a witness is given back.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np

from redy.criteria.base import Effort, SliceState, stage
from redy.criteria.comparison import Claim, Outcome, Region
from redy.criteria.sampling import logged, slice_points
from redy.criteria.shrinking import Prover
from redy.criteria.winner import (
    WinnerComparer,
    constant_winner,
    decision_criteria,
    keeps_winner,
)
from redy.edits import Edit, Edits, without_unread
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.network.form import Network
from redy.search.boundary import Boundary
from redy.search.reduced import Reduced
from redy.search.work import SEARCH_FROM, Work, extreme_boxes
from redy.verdict import Proof

_POINTS = 8192
_LEAST_POINTS = 2048
"""A point costs about as much as 16 boxes: the boundary is sampled with as many pairs of them."""


def keep_winner(
    network: Network,
    comparer: WinnerComparer,
    edits: Edits,
    winner: str,
    region: Region,
    points: np.ndarray,
    work: Work,
) -> Edits | None:
    """More edits than the exact ``edits``, proved together to keep the winner.

    Args:
        winner: ``min`` or ``max``.
        points: (m, inputs) points of the slice that propose.
        work: what may be spent.

    Returns:
        The edits, or None if nothing more could be proved.
    """
    search = _Search(network, comparer, edits, winner, region, points, work)
    if not search.reduced.count:
        return None
    constant = search.constant()
    if constant is not None or work.left < SEARCH_FROM:
        return constant
    return search.by_boundary()


class _Search:
    def __init__(
        self,
        network: Network,
        comparer: WinnerComparer,
        edits: Edits,
        winner: str,
        region: Region,
        points: np.ndarray,
        work: Work,
    ) -> None:
        self._network, self._exact, self._comparer = network, edits, comparer
        self._region, self._work = region, work
        self._claim = Claim.winner(winner)
        self._prover = Prover(comparer, self._claim, region, work)
        self.reduced = Reduced(network, edits)
        self._points = points
        self.boundary = Boundary(self.reduced, self._claim.sign, points)
        self._active = np.zeros(self.reduced.count, dtype=bool)

    @property
    def neurons(self) -> np.ndarray:
        """The neurons that may be removed."""
        return self.reduced.neurons

    def constant(self) -> Edits | None:
        """All outputs constant, the only winner best by a margin; None if another wins too.

        A witness of another winner joins the points of the boundary.
        """
        if self.boundary.winners.size > 1:
            return None
        best = int(self.boundary.winners[0])
        sign = self._claim.sign
        edits = constant_winner(self._network, self._exact, sign, best)
        if not keeps_winner(self._network, edits, int(sign), best):
            return None
        share = extreme_boxes(self._work.left)
        found = self._comparer.constant(int(sign), best, self._region, share)
        self._work.proof(found.boxes, found.outcome.value)
        if found.outcome is Outcome.REFUTED:
            points = np.concatenate([self._points, found.witness[None]])
            self.boundary = Boundary(self.reduced, self._claim.sign, points)
        return edits if found.outcome is Outcome.PROVED else None

    def by_boundary(self) -> Edits | None:
        """Edit what has one phase on the boundary, less what turns out to matter."""
        if self.boundary.winners.size == 1:
            return None
        removed, self._active = self.boundary.phases()
        proved = self._prover.largest(self, removed, 1)
        return None if proved is None else proved[0]

    def witness(self, removed: np.ndarray) -> None:
        """None: the boundary's own points have proposed what is removed."""

    def repaired(self, removed: np.ndarray, witness: np.ndarray) -> np.ndarray:
        """``removed`` less what makes the winner differ at ``witness``."""
        return self.boundary.repaired(removed, self._active, witness)

    def edits(self, removed: np.ndarray) -> Edits:
        """Each of ``removed`` in the one phase that it has on the boundary."""
        codes = self._exact.codes.copy()
        codes[self.neurons[removed & self._active]] = Edit.IDENTITY
        codes[self.neurons[removed & ~self._active]] = Edit.ZERO
        criteria = decision_criteria(self._exact, codes)
        return Edits(codes, criteria, self._exact.lines, self._exact.correction)


@stage("decision", ["decision"], "may change the outputs as long as the winner stays")
class DecisionStage:
    """Removes what the winner does not depend on."""

    def __init__(self, loaded: LoadedNetwork, guarantee: Guarantee, effort: Effort) -> None:
        del effort
        self._network, self._winner = loaded.network, guarantee.winner
        self._comparer = WinnerComparer(loaded.network)

    def run(self, state: SliceState, effort: Effort) -> SliceState:
        """``state`` with edits that keep the winner; unchanged if none could be proved."""
        state = state.with_exact_edits(self._network)
        work = Work(effort.budget, effort.time_limit)
        region = Region.of(state)
        points = slice_points(state, min(_POINTS, max(_LEAST_POINTS, effort.budget // 16)))
        edits = keep_winner(
            self._network, self._comparer, state.edits, self._winner, region, points, work
        )
        if edits is not None:
            edits = without_unread(self._network, edits)
            state = replace(state, edits=edits, eps_proved=inf, proof=Proof.BRANCH_AND_BOUND)
        return replace(state, cut_short=state.cut_short or work.timed_out).logged(
            logged("decision", work)
        )
