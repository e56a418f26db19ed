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
from redy.criteria.comparison import Claim, Comparer, Outcome, Region
from redy.criteria.sampling import logged, slice_points
from redy.criteria.shrinking import Prover
from redy.edits import Criterion, Edit, Edits, without_unread
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.network.form import Network
from redy.search.boundary import Boundary
from redy.search.reduced import Reduced
from redy.search.work import Work
from redy.verdict import Proof

_POINTS = 8192
_LADDER_FROM = 10_000
"""Work below which only a constant winner is tried."""
_SHARE = 3
"""One part in so many of the work left may go into one proof."""
_CLEAR = 2.0**-10
"""Margin of a constant winner, relative to the size of the outputs; single precision keeps it."""


def keep_winner(
    network: Network,
    comparer: Comparer,
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
    if constant is not None or work.left < _LADDER_FROM:
        return constant
    return search.by_boundary()


class _Search:
    def __init__(
        self,
        network: Network,
        comparer: Comparer,
        edits: Edits,
        winner: str,
        region: Region,
        points: np.ndarray,
        work: Work,
    ) -> None:
        self._network, self._exact = network, edits
        self._work = work
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
        edits = constant_winner(
            self._network, self._exact, self.boundary.values, self._claim.sign, best
        )
        found = self._prover.decide(edits, self._work.left // _SHARE + 1)
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
        criteria = _criteria(self._exact, codes)
        return Edits(codes, criteria, self._exact.lines, self._exact.correction)


def constant_winner(
    network: Network, exact: Edits, values: np.ndarray, sign: float, best: int
) -> Edits:
    """All neurons zero and all outputs constant, ``best`` the winner by a margin.

    Args:
        exact: the edits so far; what they removed keeps its criterion.
        values: (m, outputs) of the network at points, whose means the constants are like.
        sign: +1 if the smallest output wins, -1 if the greatest.
    """
    mean = sign * values.mean(axis=0)
    others = np.delete(mean, best).min(initial=np.inf)
    margin = _CLEAR * max(1.0, float(np.abs(mean).max()))
    mean[best] = min(mean[best], others - margin)
    codes = np.full(exact.codes.size, Edit.ZERO, dtype=np.uint8)
    correction = np.zeros((network.outputs, network.inputs + 1))
    correction[:, -1] = sign * mean - network.layers[-1].bias
    correction = correction.astype(np.float32).astype(np.float64)
    return Edits(codes, _criteria(exact, codes), np.zeros((codes.size, 2)), correction)


def _criteria(exact: Edits, codes: np.ndarray) -> np.ndarray:
    """The criteria of ``codes``: what ``exact`` keeps is removed for the decision."""
    new = (codes != Edit.KEEP) & (exact.codes == Edit.KEEP)
    return np.where(new, np.uint8(Criterion.DECISION), exact.criteria)


@stage("decision", ["decision"], "may change the outputs as long as the winner stays")
class DecisionStage:
    """Removes what the winner does not depend on."""

    def __init__(self, loaded: LoadedNetwork, guarantee: Guarantee, effort: Effort) -> None:
        del effort
        self._network, self._winner = loaded.network, guarantee.winner
        self._comparer = Comparer(loaded.network)

    def run(self, state: SliceState, effort: Effort) -> SliceState:
        """``state`` with edits that keep the winner; unchanged if none could be proved."""
        state = state.with_exact_edits(self._network)
        work = Work(effort.budget, effort.time_limit)
        region = Region.of(state)
        points = slice_points(state, _POINTS)
        edits = keep_winner(
            self._network, self._comparer, state.edits, self._winner, region, points, work
        )
        if edits is not None:
            edits = without_unread(self._network, edits)
            state = replace(state, edits=edits, eps_proved=inf, proof=Proof.BRANCH_AND_BOUND)
        return replace(state, cut_short=state.cut_short or work.timed_out).logged(
            logged("decision", work)
        )
