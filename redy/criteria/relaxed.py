"""Relaxed redundancy: ReLUs replaced by lines, the error of the outputs proved.

Paper: section III, where the line l_m halves the worst error of one neuron. Here lines are fitted
for the outputs (:mod:`redy.search.lines`), first in the place of every neuron, then of ever fewer,
until branch and bound proves that no output is off by more than eps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from redy.criteria.base import Effort, SliceState, stage
from redy.criteria.comparison import Claim, Comparer, Outcome, Region
from redy.criteria.sampling import logged, slice_points
from redy.edits import Criterion, Edit, Edits, without_unread
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.network.form import Network
from redy.search.lines import Lines, Proposal
from redy.search.reduced import Reduced
from redy.search.work import Work
from redy.verdict import Proof

_HOPEFUL = 0.97
"""Share of eps that the sampled error may use up before a proof is tried."""
_LADDER = 1.3
"""Sets are chosen up to this many times eps: there with a correction of least squares, which one of
least largest error improves."""
_FIRST_SHARE = 4
"""One part in so many of the work goes into the attempt to replace every neuron."""
_HARDENING = 3
_REPAIRS = 40
"""Witnesses that may each speak against one prevailing phase before a set is given up."""
_COARSE = 1024
"""Points that sets of neurons are chosen with; lines are fitted with all."""
_DIVES = 200
_SHARES = (8, 2)
"""A proof may seem to take one part in so many of the work left, at first and then."""
_POINTS = 4096
_LADDER_FROM = 10_000
"""Work below which the ladder, which costs thousands of fits, is not begun."""


def relax(
    network: Network,
    comparer: Comparer,
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
    search = _Search(network, comparer, edits, eps, region, points, work)
    if not search.reduced.count:
        return edits, 0.0
    search.everything()
    if search.best is edits and work.left >= _LADDER_FROM:
        search.climb(fitted=False, share=2)
        search.climb(fitted=True, share=1)
    return without_unread(network, search.best), search.error


class _Search:
    def __init__(
        self,
        network: Network,
        comparer: Comparer,
        edits: Edits,
        eps: float,
        region: Region,
        points: np.ndarray,
        work: Work,
    ) -> None:
        self._network, self._comparer, self._exact = network, comparer, edits
        self._eps, self._region, self._work = eps, region, work
        self.reduced = Reduced(network, edits)
        self._points = points
        self._lines = self._lines_on(points, fitted=True)
        self.best, self.error, self._most = edits, 0.0, 0
        # Neurons whose prevailing phase a witness spoke against.
        self._fragile = np.zeros(self.reduced.count, dtype=bool)

    def _lines_on(self, points: np.ndarray, *, fitted: bool) -> Lines:
        region = self._region
        return Lines(self.reduced, region.lower, region.upper, points, fitted=fitted)

    def everything(self) -> None:
        """Try to replace every neuron: the outputs become affine."""
        budget = self._work.left // _FIRST_SHARE + 1
        edits = self._hopeful(np.ones(self.reduced.count, dtype=bool), budget)
        if edits is not None:
            self._prove(edits, 2 * budget)

    def climb(self, *, fitted: bool, share: int) -> None:
        """Prove a rung of a ladder that seems easy, then the highest one within reach.

        One part in ``share`` of the work left may be spent.
        """
        allowed = self._eps * (_LADDER if fitted else _HOPEFUL)
        self._work.allot(share)
        coarse = self._lines_on(self._points[:_COARSE], fitted=fitted)
        rungs = coarse.ladder(allowed, self._work.left // 3, self._work)
        rungs = [removed for removed in rungs if removed.sum() > self._most]
        self._lines = self._lines_on(self._points, fitted=fitted)
        proved, high = 0, len(rungs)
        for part in _SHARES:
            while proved < high:
                rung, edits = self._highest(rungs, proved, high, self._work.left / part)
                if edits is None:
                    break
                if self._prove(edits, min(3 * self._work.left // part, self._work.left)):
                    proved = rung
                else:
                    high = rung - 1
        self._work.release()

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
        for _ in range(_HARDENING if self._lines.fitted else _REPAIRS):
            removed = removed & ~self._fragile
            proposal = self._lines.propose(removed)
            self._work.fits(_HARDENING)
            if self._work.left == 0 or proposal.error > _HOPEFUL * self._eps:
                return None
            found = self._contradictions(proposal)
            if found is None:
                survey = self._comparer.survey(
                    edits := self._edits(proposal), self._claim, self._region, _DIVES
                )
                self._work.guess(survey.boxes)
                if survey.witness is None:
                    return edits if survey.estimate <= boxes else None
                found = survey.witness[None]
            self._lines.add(found)
            if not self._lines.fitted and removed.any():
                self._fragile[self._lines.culprit(removed, found[0])] = True
        return None

    def _contradictions(self, proposal: Proposal) -> np.ndarray | None:
        """Points, the worst first, at which an attack finds too large an error; or None."""
        points = self._lines.attack(proposal)
        errors = self._lines.errors_at(proposal, points)
        if errors.max() <= _HOPEFUL * self._eps:
            return None
        return np.asarray(points[np.argsort(-errors, kind="stable")])

    @property
    def _claim(self) -> Claim:
        return Claim.within(self._eps)

    def _prove(self, edits: Edits, budget: int) -> bool:
        found = self._comparer.decide(edits, self._claim, self._region, budget)
        self._work.proof(found.boxes, found.outcome.value)
        if found.outcome is Outcome.PROVED:
            self.best, self.error, self._most = edits, found.error, self._count(edits)
        return found.outcome is Outcome.PROVED

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
            # Nothing is left to read: all of the function is in the correction.
            return self._affine(proposal, criteria)
        return Edits(codes, criteria, lines, proposal.correction)

    def _affine(self, proposal: Proposal, criteria: np.ndarray) -> Edits:
        """Every neuron zero, the outputs given by their correction alone."""
        zeros = np.full(self._exact.codes.size, Edit.ZERO, dtype=np.uint8)
        correction = self._lines.affine_outputs(proposal) - self._bias()
        correction = correction.astype(np.float32).astype(np.float64)
        return Edits(zeros, criteria, np.zeros((zeros.size, 2)), correction)

    def _bias(self) -> np.ndarray:
        """What the outputs are when every neuron is zero, as a correction: only a constant."""
        layer = self._network.layers[-1]
        bias = np.zeros((self._network.outputs, self._network.inputs + 1))
        bias[:, -1] = layer.bias
        return bias


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
        self._comparer = Comparer(loaded.network)

    def run(self, state: SliceState, effort: Effort) -> SliceState:
        """``state`` with lines; unchanged if none could be proved."""
        work = Work(effort.budget, effort.time_limit)
        region = Region.of(state)
        points = slice_points(state, _POINTS)
        edits, error = relax(
            self._network, self._comparer, state.edits, self._eps, region, points, work
        )
        if edits is not state.edits:
            proof = Proof.BRANCH_AND_BOUND
            state = replace(state, edits=edits, eps_proved=error, proof=proof)
        return replace(state, cut_short=state.cut_short or work.timed_out).logged(
            logged("relaxed", work)
        )
