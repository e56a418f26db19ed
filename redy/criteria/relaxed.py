"""Relaxed redundancy: ReLUs replaced by lines, the error of the outputs proved.

Paper: section III, where the line l_m halves the worst error of one neuron. Here lines are fitted
for the outputs, in the place of ever fewer neurons (:mod:`redy.search.lines`), until branch and
bound proves that no output is off by more than eps. Before that, affine outputs are tried in the
place of all of the network (:mod:`redy.criteria.affine`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from redy.criteria.affine import AffineComparer
from redy.criteria.base import Effort, SliceState, stage
from redy.criteria.comparison import Claim, Comparer, Comparison, Outcome, Region
from redy.criteria.sampling import logged, slice_points
from redy.criteria.shrinking import Prover
from redy.edits import Criterion, Edit, Edits, without_unread
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.network.form import Network
from redy.search.affine import fit_affine
from redy.search.lines import Lines, Proposal
from redy.search.reduced import Reduced
from redy.search.work import SEARCH_FROM, Work, extreme_boxes
from redy.verdict import Proof

_HOPEFUL = 0.97
"""Share of eps that the sampled error may use up before a proof is tried."""
_LADDER = 1.3
"""Sets are chosen up to this many times eps: there with a correction of least squares, which one of
least largest error improves."""
_HARDENING = 3
"""Times that lines, or affine outputs, are fitted anew to the counterexamples found."""
_PROPOSAL_COST = 3
"""Fits that a proposal and the attack on it count for."""
_ROUNDS = 6
"""Ladders that may be built, each with the counterexamples to the one before."""
_SHARES = (8, 2)
"""A proof may seem to take one part in so many of the work left, at first and then."""
_POINTS = 4096


class Deciders(NamedTuple):
    """What decides claims: of affine outputs, and of other edits."""

    affine: AffineComparer
    others: Comparer


def relax(
    network: Network,
    deciders: Deciders,
    edits: Edits,
    eps: float,
    region: Region,
    points: np.ndarray,
    work: Work,
) -> tuple[Edits, float]:
    """More edits than the exact ``edits``, proved together to keep all outputs within ``eps``.

    Args:
        points: (m, inputs) points of the slice to fit the lines at.
        work: what may be spent.

    Returns:
        The edits and their proved error; ``edits`` and 0 if nothing more could be proved.
    """
    search = _Search(network, deciders, edits, eps, region, points, work)
    if not search.reduced.count:
        return edits, 0.0
    search.everything()
    if search.best is edits and work.left >= SEARCH_FROM:
        search.shrink(share=2)
        search.climb(share=1)
    if search.best is edits:
        return edits, 0.0
    return without_unread(network, search.best), search.error


class _Search:
    def __init__(
        self,
        network: Network,
        deciders: Deciders,
        edits: Edits,
        eps: float,
        region: Region,
        points: np.ndarray,
        work: Work,
    ) -> None:
        self._affine, self._exact = deciders.affine, edits
        self._eps, self._region, self._work = eps, region, work
        self._prover = Prover(deciders.others, Claim.within(eps), region, work)
        self.reduced = Reduced(network, edits)
        self._points = points
        self.best, self.error, self._most = edits, 0.0, 0

    def _use(self, *, fitted: bool) -> None:
        region = self._region
        self._lines = Lines(self.reduced, region.lower, region.upper, self._points, fitted=fitted)

    @property
    def neurons(self) -> np.ndarray:
        """The neurons that may be removed."""
        return self.reduced.neurons

    def everything(self) -> None:
        """Try affine outputs, for which no neuron is needed.

        Counterexamples join the points of all that is tried later.
        """
        for _ in range(_HARDENING):
            edits, error = self._affine_outputs()
            if edits is None or not error <= _HOPEFUL * self._eps:
                return
            boxes = extreme_boxes(self._work.left)
            found = self._affine.within(edits, self._eps, self._region, boxes)
            if found is None:
                return
            self._work.proof(found.boxes, found.outcome.value)
            self._keep(edits, found)
            if found.outcome is not Outcome.REFUTED:
                return
            self._points = np.concatenate([self._points, found.witness[None]])

    def _affine_outputs(self) -> tuple[Edits | None, float]:
        """The affine outputs nearest to those at the points, if there can be such; their error."""
        values = self.reduced.values(self._points)
        fit = fit_affine(self._points, values, self._region.lower, self._region.upper)
        return self._affine.edits(self._exact, fit.coefficients), fit.error

    def shrink(self, share: int) -> None:
        """Prove what can be proved of the largest set found to follow its prevailing phases.

        One part in ``share`` of the work left may be spent.
        """
        self._work.allot(share)
        self._use(fitted=False)
        rungs = self._ladder(_HOPEFUL * self._eps)
        if rungs:
            proved = self._prover.largest(self, rungs[-1], self._most + 1)
            if proved is not None:
                self._keep(*proved)
        self._work.release()

    def climb(self, share: int) -> None:
        """Prove a rung of a ladder of fitted lines that seems easy, then the highest within reach.

        One part in ``share`` of the work left may be spent.
        """
        self._work.allot(share)
        self._use(fitted=True)
        rungs = self._ladder(_LADDER * self._eps)
        proved, high = 0, len(rungs)
        for part in _SHARES:
            while proved < high:
                rung, edits = self._highest(rungs, proved, high, self._work.left / part)
                if edits is None:
                    break
                found = self._prover.decide(
                    edits, min(3 * self._work.left // part, self._work.left)
                )
                self._keep(edits, found)
                if found.outcome is Outcome.PROVED:
                    proved = rung
                else:
                    high = (proved + rung) // 2
        self._work.release()

    def _ladder(self, allowed: float) -> list[np.ndarray]:
        """Sets beyond what is proved, chosen anew until an attack on the largest finds nothing."""
        rungs: list[np.ndarray] = []
        for _ in range(_ROUNDS):
            rungs = self._lines.ladder(allowed, self._work.left // 4, self._work)
            rungs = [removed for removed in rungs if removed.sum() > self._most]
            if not rungs or self._work.left == 0:
                break
            found = self._contradictions(self._lines.propose(rungs[-1]))
            if found is None:
                break
            self._lines.add(found)
        return rungs

    def _highest(
        self, rungs: list[np.ndarray], low: int, high: int, boxes: float
    ) -> tuple[int, Edits | None]:
        """The highest of rungs low + 1 to high whose proof seems to take at most ``boxes``."""
        best: tuple[int, Edits | None] = (low, None)
        while low < high:
            middle = (low + high + 1) // 2
            edits = self._hopeful(rungs[middle - 1], boxes)
            if edits is None:
                high = middle - 1
            else:
                low, best = middle, (middle, edits)
        return best

    def _hopeful(self, removed: np.ndarray, boxes: float) -> Edits | None:
        """Edits for ``removed`` whose proof seems to take at most ``boxes``, or None."""
        for _ in range(_HARDENING):
            proposal = self._lines.propose(removed)
            self._work.fits(_PROPOSAL_COST)
            if self._work.left == 0 or proposal.error > _HOPEFUL * self._eps:
                return None
            found = self._contradictions(proposal)
            if found is None:
                edits = self._edits(proposal)
                seems = self._prover.promising(edits, boxes)
                if isinstance(seems, bool):
                    return edits if seems else None
                found = seems[None]
            self._lines.add(found)
        return None

    def _contradictions(self, proposal: Proposal) -> np.ndarray | None:
        """Points of too large an error, the worst first: sampled or found by attack; or None."""
        if proposal.error > _HOPEFUL * self._eps:
            return self._lines.worst(proposal)[None]
        points = self._lines.attack(proposal)
        errors = self._lines.errors_at(proposal, points)
        if errors.max() <= _HOPEFUL * self._eps:
            return None
        return np.asarray(points[np.argsort(-errors, kind="stable")])

    def edits(self, removed: np.ndarray) -> Edits:
        """The edits of a proposal that removes ``removed``."""
        return self._edits(self._lines.propose(removed))

    def witness(self, removed: np.ndarray) -> np.ndarray | None:
        """A point at which the error is too large; more of them are sampled from then on."""
        self._work.fits(_PROPOSAL_COST)
        found = self._contradictions(self._lines.propose(removed))
        if found is None:
            return None
        self._lines.add(found)
        return np.asarray(found[0])

    def repaired(self, removed: np.ndarray, witness: np.ndarray) -> np.ndarray:
        """``removed`` without the neuron whose return mends most at ``witness``."""
        self._lines.add(witness[None])
        fewer = removed.copy()
        fewer[self._lines.culprit(removed, witness)] = False
        return fewer

    def _keep(self, edits: Edits, found: Comparison) -> None:
        if found.outcome is Outcome.PROVED:
            self.best, self.error, self._most = edits, found.error, self._count(edits)

    def _count(self, edits: Edits) -> int:
        return edits.removed - self._exact.removed

    def _edits(self, proposal: Proposal) -> Edits:
        neurons = self.reduced.neurons[proposal.removed]
        codes, criteria = self._exact.codes.copy(), self._exact.criteria.copy()
        lines = self._exact.lines.copy()
        criteria[neurons] = Criterion.RELAXED
        lines[neurons] = proposal.lines[proposal.removed]
        codes[neurons] = _codes_of(lines[neurons])
        lines[codes != Edit.AFFINE] = 0.0
        if not proposal.correction.any():
            return Edits(codes, criteria, lines)
        if proposal.removed.all():
            # Nothing is left to read: all of the function may be in the correction.
            whole, _ = self._affine_outputs()
            if whole is not None:
                return whole
        return Edits(codes, criteria, lines, proposal.correction)


def _codes_of(lines: np.ndarray) -> np.ndarray:
    """The edit that each of ``lines`` (m, 2) is: (m,) uint8."""
    codes = np.full(len(lines), Edit.AFFINE, dtype=np.uint8)
    codes[~lines.any(axis=1)] = Edit.ZERO
    codes[(lines == (1.0, 0.0)).all(axis=1)] = Edit.IDENTITY
    return codes


@stage("relaxed", ["eps"], "may change the outputs by up to eps")
class RelaxedStage:
    """Replaces neurons by lines, all outputs proved to stay within eps."""

    def __init__(self, loaded: LoadedNetwork, guarantee: Guarantee, effort: Effort) -> None:
        del effort
        self._network, self._eps = loaded.network, guarantee.eps
        self._deciders = Deciders(AffineComparer(loaded.network), Comparer(loaded.network))

    def run(self, state: SliceState, effort: Effort) -> SliceState:
        """``state`` with lines; unchanged if none could be proved."""
        state = state.with_exact_edits(self._network)
        work = Work(effort.budget, effort.time_limit)
        region = Region.of(state)
        points = slice_points(state, _POINTS)
        edits, error = relax(
            self._network,
            self._deciders,
            state.edits,
            self._eps,
            region,
            points,
            work,
        )
        if edits is not state.edits:
            proof = Proof.BRANCH_AND_BOUND
            state = replace(state, edits=edits, eps_proved=error, proof=proof)
        return replace(state, cut_short=state.cut_short or work.timed_out).logged(
            logged("relaxed", work)
        )
