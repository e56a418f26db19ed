"""Asks a solver what branch and bound left open: phases, and a constant winner.

For each claim, cheapest proof first: CROWN with all that is known; an LP over the triangle
relaxation, its dual recomputed in outward-rounded arithmetic, so that the solver need not be
believed; a MILP, which is exact but for the solver's tolerances and rests on its word
(:mod:`redy.criteria.oracle`). Layers are taken in order and each proof tightens what is known.
Source: Tjeng, Xiao and Tedrake, *Evaluating Robustness of Neural Networks with Mixed Integer
Programming*, ICLR 2019, section 4.

What does not rest on a solver's word is kept apart (:class:`redy.bounds.refined.Refined`): should
the solver be caught out, everything that needed its word is taken back.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np

from redy.bounds.refined import Claim, Refined
from redy.criteria.base import Effort, SliceState, StageLog
from redy.criteria.constant import prove_winner
from redy.criteria.oracle import Oracle, Refutes
from redy.criteria.phase import POOL
from redy.criteria.sampling import slice_points
from redy.criteria.slice_bounds import known_bounds, tightened
from redy.domain import Box
from redy.edits import ACTIVE, INACTIVE, Criterion, Edit, Edits, Status, edits_of, proved_by
from redy.encodings.single import encode, usable
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.network.form import Network
from redy.search.witnesses import (
    CertainSigns,
    Witnesses,
    both_phases,
    covering,
    pool_points,
    unit_pool,
)
from redy.verdict import Proof, Proved, Reason, Refuted, Unknown, Verdict

_POINTS = 2048
"""Points that are to refute a claim before it is asked."""


class MilpStage:
    """Under ``decision`` a constant winner first, which needs no neuron; then phases."""

    def __init__(self, loaded: LoadedNetwork, guarantee: Guarantee, effort: Effort) -> None:
        del effort
        self._network = loaded.network
        self._winner = guarantee.winner if guarantee.kind == "decision" else None
        self._signs = CertainSigns(loaded.network)
        self._unit = unit_pool(loaded.network.inputs, POOL)

    def run(self, state: SliceState, effort: Effort) -> SliceState:
        """``state`` with what could be proved; its bounds rest on the solver where phases do."""
        oracle = Oracle(state.lower, state.upper, effort)
        points = slice_points(state, _POINTS)
        if self._winner is not None:
            found = prove_winner(self._network, state, self._winner, points, oracle)
            if found is not None:
                edits, proof = found
                state = replace(state, edits=edits, eps_proved=inf, proof=proof)
                return _logged(state, oracle, StageLog("milp", proved=1))
        pool = pool_points(state.lower, state.upper, self._unit)
        known = state.witnesses.points(state.lower, state.upper, self._unit)
        phases = _Phases(
            self._network, state, self._signs, np.concatenate([pool, known, points]), oracle
        )
        asked = phases.decide()
        return _logged(phases.added(len(pool)), oracle, asked)


def _logged(state: SliceState, oracle: Oracle, entry: StageLog) -> SliceState:
    entry = replace(entry, queries=oracle.questions, boxes=oracle.nodes)
    return replace(state, cut_short=state.cut_short or oracle.cut_short).logged(entry)


class _Phases:
    """The phases of one slice that are open, and what is known there.

    Attributes:
        known: bounds of all pre-activations.
        status: (neurons,) of :class:`redy.edits.Status`.
        points, signs: points of the slice, and the certain signs of all neurons there.
    """

    def __init__(
        self,
        network: Network,
        state: SliceState,
        signs_of: CertainSigns,
        points: np.ndarray,
        oracle: Oracle,
    ) -> None:
        self._network, self._state, self._signs_of = network, state, signs_of
        self._box, self._oracle = Box(state.lower, state.upper), oracle
        self._layer_of = np.array([k for k, _ in network.neurons])
        self._asked = np.zeros(len(network.neurons), dtype=bool)
        self.known = known_bounds(network, state)
        self.status = state.status.copy()
        self.points, self.signs = points, signs_of(points)

    def decide(self) -> StageLog:
        """Decide what is open, layer after layer; the log says what became of it."""
        self._refute()
        before = _open(self.status)
        for k in range(1, self._network.depth + 1):
            if not self._open_in(k):
                continue
            self.known = tightened(self._network, self._box, self.known)
            self._by_bounds()
            if usable(self._network, self.known.lower, self.known.upper, k):
                self._by_duals(k)
                self._by_solver(k)
        self._refute()
        if self._contradicted().any():
            self._oracle.believed = False
        if not self._oracle.believed:
            self._take_back()
        proved = int((edits_of(self.status)[before] != Edit.KEEP).sum())
        unknown = int(_open(self.status)[before].sum())
        refuted = int(before.sum()) - proved - unknown
        return StageLog("milp", proved=proved, refuted=refuted, unknown=unknown)

    def added(self, pool: int) -> SliceState:
        """The slice with all that was found; the first ``pool`` points are those of the pool.

        Edits that follow from the phases gain what the new phases allow; others, proved for the
        phases that there were, stay as they are.
        """
        state = self._state
        chosen = covering(self.signs)
        found = self.points[chosen[chosen >= pool]].astype(np.float32)
        witnesses = Witnesses(chosen[chosen < pool].astype(np.uint16), found)
        return replace(
            state,
            status=self.status,
            known_lower=np.concatenate([state.lower, *self.known.lower]),
            known_upper=np.concatenate([state.upper, *self.known.upper]),
            witnesses=witnesses,
            edits=self._edits(),
        )

    def _edits(self) -> Edits:
        before = self._state.edits
        if self._state.proof is not None:
            return before
        if before.by(Criterion.FORWARD).any():
            return Edits.exact(self._network, self.status)
        return Edits.by_phase(self.status)

    def _open_in(self, k: int) -> list[tuple[int, int, int]]:
        """Open neurons of layer ``k``: number, unit, and the sign of the phase that is possible."""
        numbers = [
            n
            for n in np.flatnonzero(_open(self.status)).tolist()
            if self._network.neurons[n][0] == k
        ]
        return [(n, self._network.neurons[n][1], self._sign(n)) for n in numbers]

    def _sign(self, n: int) -> int:
        return 1 if (self.signs[:, n] > 0).any() else -1

    def _refute(self) -> None:
        """What is open and was seen in both phases is refuted."""
        self.status[_open(self.status) & both_phases(self.signs)] = Status.REFUTED

    def _contradicted(self) -> np.ndarray:
        """Neurons with a phase on the solver's word that some point shows in the other one."""
        trusted = proved_by(self.status, Proof.SOLVER)
        return np.asarray(trusted & both_phases(self.signs))

    def _take_back(self) -> None:
        """Everything that rests on the solver's word, in this stage."""
        proved = self.known.proved_lower, self.known.proved_upper
        self.known = Refined(*proved, *proved)
        self.status[proved_by(self.status, Proof.SOLVER)] = Status.UNKNOWN_NUMERICAL
        self._refute()

    def _by_bounds(self) -> None:
        """The phases of open neurons that the bounds show, whatever their layer."""
        known = self.known
        for n in np.flatnonzero(_open(self.status)).tolist():
            k, i = self._network.neurons[n]
            proved = known.proved_lower[k - 1][i], known.proved_upper[k - 1][i]
            best = known.lower[k - 1][i], known.upper[k - 1][i]
            for (lower, upper), proof in ((proved, Proof.PROPAGATION), (best, Proof.SOLVER)):
                if upper <= 0 or lower >= 0:
                    self.status[n] = (INACTIVE if upper <= 0 else ACTIVE)[proof]
                    break

    def _by_duals(self, k: int) -> None:
        """LPs on what is open in layer ``k``, one each."""
        relaxed = encode(
            self._network, self._box, self.known.lower, self.known.upper, k, exact=False
        )
        proof = Proof.LP_DUAL if self.known.proved(k) else Proof.SOLVER
        for n, unit, sign in self._open_in(k):
            if self._oracle.left:
                least = self._oracle.least(relaxed.problem(unit, sign))
                self._learn(n, Claim(unit, sign, least), proof)

    def _learn(self, n: int, claim: Claim, proof: Proof) -> None:
        """A claim on the bounds of neuron ``n``, which may decide its phase."""
        k = self._network.neurons[n][0]
        self.known = self.known.narrowed(k, [claim], proved=proof is not Proof.SOLVER)
        if claim.bound >= 0:
            self.status[n] = (ACTIVE if claim.sign > 0 else INACTIVE)[proof]

    def _by_solver(self, k: int) -> None:
        """MILPs on what is open in layer ``k``, each with an equal share of the nodes left."""
        exact = encode(self._network, self._box, self.known.lower, self.known.upper, k, exact=True)
        checked = False
        for n, unit, sign in self._open_in(k):
            if not _open(self.status[n]):
                continue  # a point found for another neuron has refuted it
            share = self._oracle.share(int((_open(self.status) & ~self._asked).sum()))
            self._asked[n] = True
            verdict = self._oracle.positive(exact, unit, sign, share, self._showing(n, -sign))
            if isinstance(verdict, Proved) and not checked:
                self._oracle.feasible(exact, self.points[0])
                checked = True
            self._take(n, Claim(unit, sign, 0.0), verdict)

    def _showing(self, n: int, sign: int) -> Refutes:
        return lambda point: bool(self._signs_of(point[None])[0, n] == sign)

    def _take(self, n: int, claim: Claim, verdict: Verdict) -> None:
        match verdict:
            case Proved() if self._oracle.believed:
                self._learn(n, claim, Proof.SOLVER)
            case Proved():
                self.status[n] = Status.UNKNOWN_NUMERICAL
            case Refuted(point):
                self.points = np.concatenate([self.points, point])
                self.signs = np.concatenate([self.signs, self._signs_of(point)])
                self._refute()
            case Unknown(reason):
                self.status[n] = _UNKNOWN[reason]


_UNKNOWN = {
    Reason.BUDGET: Status.UNKNOWN_BUDGET,
    Reason.TIME_LIMIT: Status.UNKNOWN_TIME,
    Reason.NUMERICAL: Status.UNKNOWN_NUMERICAL,
}


def _open(status: np.ndarray) -> np.ndarray:
    """Where ``status`` says neither proved nor refuted: bool of its shape."""
    return np.asarray(status < Status.REFUTED)
