"""Forward redundancy: a neuron whose removal leaves the outputs as they are.

Paper: section III. Once phases are edited, a neuron that no output reads any more, directly or
through others, is redundant whatever it computes; that needs no query. Others are redundant because
whatever reads them is inactive wherever they would make a difference: simulation proposes them, all
at once, and branch and bound proves that the outputs, or the pre-activations of a layer further on
(k-forward redundancy), stay the same.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from redy.criteria.base import Effort, SliceState, StageLog, stage
from redy.criteria.comparison import Claim, Comparer, Outcome, Region
from redy.criteria.sampling import logged, slice_points
from redy.edits import Criterion, Edit, Edits
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.network.form import Network
from redy.search.reduced import Reduced
from redy.search.work import Work
from redy.verdict import Proof

_POINTS = 2048
_SHARE = 8
"""One part in so many of the work left may go into one query."""
_QUERIES_FROM = 10_000
"""Budget below which only what nobody reads is removed: simulating the rest costs more than that
many boxes are worth."""


def forward_redundant(
    network: Network,
    comparer: Comparer,
    edits: Edits,
    region: Region,
    points: np.ndarray,
    work: Work,
    layer: int | None = None,
) -> Edits | None:
    """More edits than the exact ``edits``, proved together to leave the outputs the same.

    Args:
        points: (m, inputs) points of the slice that propose.
        work: what may be spent.
        layer: compare the pre-activations of this layer instead of the outputs, for neurons of
            the layers before it.

    Returns:
        The edits, or None if nothing more could be proved.
    """
    reduced = Reduced(network, edits)
    later = np.array([layer is not None and k >= layer for k, _ in network.neurons])
    codes = np.where(later, np.uint8(Edit.KEEP), proposed_codes(reduced, points, later.size))
    groups = [np.flatnonzero(codes)]
    found: Edits | None = None
    while groups and work.left > 0:
        group = groups.pop()
        group = group[codes[group] != Edit.KEEP]
        if not group.size:
            continue
        candidate = _with(found or edits, group, codes)
        result = comparer.decide(candidate, Claim.same(layer), region, work.left // _SHARE + 1)
        work.proof(result.boxes, result.outcome.value)
        if result.outcome is Outcome.PROVED:
            found = candidate
            continue
        if result.outcome is Outcome.REFUTED:
            # The witness may speak against others as well.
            seen = proposed_codes(reduced, result.witness[None], later.size, codes)
            codes = np.where(seen == codes, codes, np.uint8(Edit.KEEP))
        if group.size > 1:
            groups += [group[: group.size // 2], group[group.size // 2 :]]
    return found


def proposed_codes(
    reduced: Reduced, points: np.ndarray, neurons: int, preferred: np.ndarray | None = None
) -> np.ndarray:
    """For each of all ``neurons`` the edit that no point contradicts, or KEEP: (neurons,) uint8.

    A neuron may be zero if no output depends on it where it is positive, and the identity if none
    does where it is negative. Where both may be, it is as ``preferred`` (neurons,) says, or zero.
    """
    none, lines = np.zeros(reduced.count, dtype=bool), np.zeros((reduced.count, 2))
    pre, _ = reduced.forward(reduced.drive(points), none, lines)
    slopes = (pre > 0).astype(float)
    matters = np.zeros(pre.shape, dtype=bool)
    for output in range(len(reduced.output)):
        matters |= reduced.sensitivity(slopes, output) != 0.0
    codes = np.zeros(neurons, dtype=np.uint8)
    identity, zero = ~(matters & (pre < 0)).any(axis=0), ~(matters & (pre > 0)).any(axis=0)
    if preferred is not None:
        zero &= ~(identity & (preferred[reduced.neurons] == Edit.IDENTITY))
    codes[reduced.neurons[identity]] = Edit.IDENTITY
    codes[reduced.neurons[zero]] = Edit.ZERO
    return codes


def _with(edits: Edits, group: np.ndarray, proposed: np.ndarray) -> Edits:
    codes, criteria = edits.codes.copy(), edits.criteria.copy()
    codes[group], criteria[group] = proposed[group], Criterion.FORWARD
    return Edits(codes, criteria, edits.lines, edits.correction)


@stage("forward")
class ForwardStage:
    """Removes what no output reads any more, and what makes no difference to the outputs."""

    def __init__(self, loaded: LoadedNetwork, guarantee: Guarantee, effort: Effort) -> None:
        del guarantee, effort
        self._network = loaded.network
        self._comparer = Comparer(loaded.network)

    def run(self, state: SliceState, effort: Effort) -> SliceState:
        """``state`` with all edits that follow from its phases, and those that were proved."""
        state = state.with_exact_edits(self._network)
        if effort.budget < _QUERIES_FROM or state.proof is not None:
            return state.logged(StageLog("forward"))
        work = Work(effort.budget, effort.time_limit)
        points = slice_points(state, _POINTS)
        region = Region.of(state)
        edits = forward_redundant(self._network, self._comparer, state.edits, region, points, work)
        if edits is not None:
            state = replace(state, edits=edits, eps_proved=0.0, proof=Proof.BRANCH_AND_BOUND)
        return replace(state, cut_short=state.cut_short or work.timed_out).logged(
            logged("forward", work)
        )
