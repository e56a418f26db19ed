"""Whether one output wins on a whole slice, for networks with too many inputs to cut.

Then no neuron is needed: constant outputs have the same winner (paper, section III, at its
extreme). Sampling names the winner c; that sign * (f_j - f_c) > 0 for every other output j is
proved by CROWN, or else an LP's dual, or else a MILP, on the network followed by one layer that
takes these differences, whose weights of -1 and 1 bring no rounding in.
"""

from __future__ import annotations

from math import inf

import numpy as np

from redy.bounds.refined import Refined
from redy.criteria.base import SliceState
from redy.criteria.oracle import Oracle, Refutes
from redy.criteria.slice_bounds import known_bounds, tightened
from redy.criteria.winner import constant_winner, keeps_winner
from redy.domain import Box
from redy.edits import Edits
from redy.encodings.single import SingleEncoding, encode, usable
from redy.network.evaluate import evaluate
from redy.network.form import Network
from redy.network.winner import differences
from redy.verdict import Proof, Proved


def prove_winner(
    network: Network, state: SliceState, winner: str, points: np.ndarray, oracle: Oracle
) -> tuple[Edits, Proof] | None:
    """Constant outputs that keep the winner on the slice, and what proves that they do.

    Args:
        winner: ``min`` or ``max``.
        points: (m, inputs) points of the slice, which name the only output that may win.

    Returns:
        The edits and their proof, or None if another output wins at a point, or nothing is proved.
    """
    sign = 1 if winner == "min" else -1
    values = evaluate(network, points)
    winners = np.unique((sign * values).argmin(axis=1))
    if winners.size > 1 or not np.isfinite(values).all():
        return None
    best = int(winners[0])
    edits = constant_winner(network, state.edits, float(sign), best)
    if not keeps_winner(network, edits, sign, best):
        return None
    proof = _Differences(network, state, sign, best, points[0], oracle).proof()
    return None if proof is None else (edits, proof)


class _Differences:
    """The claims that all outputs of :func:`differences` are positive on a slice."""

    def __init__(
        self,
        network: Network,
        state: SliceState,
        sign: int,
        best: int,
        point: np.ndarray,
        oracle: Oracle,
    ) -> None:
        self._network = differences(network, sign, best)
        self._box = Box(state.lower, state.upper)
        self._point, self._oracle = point, oracle
        self._k = len(self._network.layers)
        self._known = tightened(self._network, self._box, _extended(known_bounds(network, state)))

    def proof(self) -> Proof | None:
        """What they rest on, the cheapest that does; None where one is not proved."""
        known, k = self._known, self._k
        if (known.proved_lower[k - 1] > 0).all():
            return Proof.PROPAGATION
        if not usable(self._network, known.lower, known.upper, k):
            return None
        rivals = self._by_duals(np.flatnonzero(~(known.proved_lower[k - 1] > 0)))
        if not rivals:
            return Proof.LP_DUAL if known.proved(k) else Proof.SOLVER
        return Proof.SOLVER if self._by_solver(rivals) else None

    def _by_duals(self, rivals: np.ndarray) -> list[int]:
        """Those of ``rivals`` that LPs leave open, the most dangerous first."""
        relaxed = self._encoded(exact=False)
        least = {
            int(j): self._oracle.least(relaxed.problem(int(j), 1))
            for j in rivals
            if self._oracle.left
        }
        open_ = [int(j) for j in rivals if not least.get(int(j), -inf) > 0]
        return sorted(open_, key=lambda j: least.get(j, -inf))

    def _by_solver(self, rivals: list[int]) -> bool:
        """Whether the solver says of all ``rivals`` that they never win, and is believed."""
        exact = self._encoded(exact=True)
        self._oracle.feasible(exact, self._point)
        for asked, j in enumerate(rivals):
            share = self._oracle.share(len(rivals) - asked)
            verdict = self._oracle.positive(exact, j, 1, share, self._beaten_by(j))
            if not isinstance(verdict, Proved):
                return False
        return self._oracle.believed

    def _encoded(self, exact: bool) -> SingleEncoding:
        known = self._known
        return encode(self._network, self._box, known.lower, known.upper, self._k, exact)

    def _beaten_by(self, j: int) -> Refutes:
        return lambda point: bool(evaluate(self._network, point[None])[0, j] < 0)


def _extended(known: Refined) -> Refined:
    """With one more layer, of ``known.lower[-1].size - 1`` units, of which nothing is known."""
    nothing = np.full(known.lower[-1].size - 1, inf)
    return Refined(
        (*known.lower, -nothing),
        (*known.upper, nothing),
        (*known.proved_lower, -nothing),
        (*known.proved_upper, nothing),
    )
