"""What is done to one slice: stage after stage, then replay, fold, check.

Paper: section IV, figure 3. Every stage takes what is known of the slice and adds facts or edits
(:mod:`redy.criteria.base`); here is what holds for all of them: no edits without a proof that the
guarantee allows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from redy.criteria import STAGES, Effort, SliceState, Stage, StageLog, chosen_stages
from redy.criteria.phase import POOL
from redy.edits import Edit, Edits, Status, exact_codes, proof_of, proved_by, without_proofs
from redy.float_check import Finding, FloatCheck
from redy.formats.networks import LoadedNetwork, Reference
from redy.guarantee import EXACT, Guarantee
from redy.network.fold import materialise, plan, plan_many
from redy.network.form import Network
from redy.search.witnesses import Witnesses, both_phases, signs_of, unit_pool
from redy.verdict import Proof


@dataclass(frozen=True, eq=False)
class SliceResult:
    """What a run keeps of one slice.

    Attributes:
        slice: its index.
        status: (neurons,) uint8 of :class:`redy.edits.Status`.
        witnesses: points that refute, confirmed by replay on the original network.
        edits: what becomes of the neurons; None if that is ``Edits.exact`` of the status.
        eps_proved: proved bound on the output error; infinite where only the winner is the same.
        proof: what the proof of the edits as a whole rests on.
        log: what each stage did.
        cut_short: the time limit ended a search.
        deviation, winners_changed: see :class:`redy.float_check.Finding`, of the edits here.
        contradicted: a check contradicted the proof of other edits, which were given back.
    """

    slice: int
    status: np.ndarray
    witnesses: Witnesses
    edits: Edits | None
    eps_proved: float
    proof: Proof
    log: tuple[StageLog, ...]
    cut_short: bool
    deviation: float
    winners_changed: int
    contradicted: bool = False

    @property
    def boxes(self) -> int:
        """Boxes examined by all stages."""
        return sum(entry.boxes for entry in self.log)

    @property
    def failed(self) -> bool:
        """Its workers died: nothing was found out, see :func:`unsimplified`."""
        return not self.log


def unsimplified(network: Network, index: int) -> SliceResult:
    """Slice ``index`` as it is, because workers died of it: no stage was run to its end.

    What no output reads goes, as it would anywhere; that is no matter of the slice.
    """
    none = Witnesses(np.zeros(0, dtype=np.uint16), np.zeros((0, network.inputs)))
    return SliceResult(
        slice=index,
        status=np.full(len(network.neurons), Status.UNKNOWN_WORKER, dtype=np.uint8),
        witnesses=none,
        edits=None,
        eps_proved=0.0,
        proof=Proof.STRUCTURE,
        log=(),
        cut_short=False,
        deviation=0.0,
        winners_changed=0,
    )


class Pipeline:
    """Simplifies the slices of one network."""

    def __init__(
        self,
        loaded: LoadedNetwork,
        effort: Effort,
        guarantee: Guarantee = EXACT,
        stages: Sequence[str] | None = None,
    ) -> None:
        self._network = loaded.network
        self._effort = effort
        self._guarantee = guarantee
        self._stages = {
            name: STAGES[name].make(loaded, guarantee, effort)
            for name in chosen_stages(guarantee, stages)
        }
        self._reference = Reference(loaded)
        self._check = FloatCheck(loaded.network, self._reference, guarantee, effort.check_points)
        # Linear units vanish where a network made in memory is written and read; neurons do not.
        self._replayed_on = loaded.reference.network
        self._pool = unit_pool(loaded.network.inputs, POOL)

    def run(self, slices: Sequence[int], lower: np.ndarray, upper: np.ndarray) -> list[SliceResult]:
        """Simplify ``slices`` with the boxes [lower, upper] (slices, inputs)."""
        states = [
            self._simplified(SliceState.start(self._network, *part))
            for part in zip(slices, lower, upper, strict=True)
        ]
        shapes = np.stack([state.edits.shape for state in states])
        skips = np.array([state.edits.skips_input for state in states])
        folded, _ = plan_many(self._network, shapes, skips)
        checked = [self._checked(*of_slice) for of_slice in zip(states, folded, strict=True)]
        implied = self._implied([state for state, *_ in checked])
        return [_result(*found, same) for found, same in zip(checked, implied, strict=True)]

    def _simplified(self, state: SliceState) -> SliceState:
        begin = time.perf_counter()
        for name, stage in self._stages.items():
            if state.edits.removed and (state.edits.codes == Edit.ZERO).all():
                break  # what is left is constant, or affine
            effort = self._left(time.perf_counter() - begin)
            if effort is None:
                state = replace(state, cut_short=True).logged(StageLog(name))
            else:
                state = self._step(name, stage, state, effort)
        return replace(state, status=self._replayed(state))

    def _left(self, elapsed: float) -> Effort | None:
        """The effort with the time that is left; None if none is."""
        limit = self._effort.time_limit
        if limit is None:
            return self._effort
        return replace(self._effort, time_limit=limit - elapsed) if elapsed < limit else None

    def _step(self, name: str, stage: Stage, before: SliceState, effort: Effort) -> SliceState:
        """One stage, its time and what it removed."""
        begin = time.perf_counter()
        after = self._proved(before, _honest(before, stage.run(before, effort)))
        entry = replace(
            after.log[-1] if len(after.log) > len(before.log) else StageLog(name),
            removed=after.edits.removed - before.edits.removed,
            seconds=time.perf_counter() - begin,
        )
        return replace(after, log=(*before.log, entry))

    def _proved(self, before: SliceState, after: SliceState) -> SliceState:
        """``after``, but without edits that lack a proof that the guarantee allows."""
        if after.edits.follows_from(self._network, after.status):
            return replace(after, eps_proved=0.0, proof=None)
        if after.proof is not None and 0.0 <= after.eps_proved <= self._guarantee.eps:
            return after
        if before.proof is not None:
            return replace(
                after, edits=before.edits, eps_proved=before.eps_proved, proof=before.proof
            )
        exact = Edits.exact(self._network, after.status)
        return replace(after, edits=exact, eps_proved=0.0, proof=None)

    def _replayed(self, state: SliceState) -> np.ndarray:
        """The status, where a refutation counts only if the original network shows it too."""
        points = state.witnesses.points(state.lower, state.upper, self._pool)
        if not len(points):
            return state.status
        signs = signs_of(self._reference.preactivations(points), self._replayed_on)
        status = state.status.copy()
        status[(status == Status.REFUTED) & ~both_phases(signs)] = Status.UNKNOWN_NUMERICAL
        return status

    def _implied(self, states: Sequence[SliceState]) -> list[bool]:
        """Of which slices the edits are exactly those that follow from the status."""
        codes, criteria = exact_codes(self._network, np.stack([state.status for state in states]))
        exact = (Edits.plain(*of_slice) for of_slice in zip(codes, criteria, strict=True))
        return [state.edits.same_as(other) for state, other in zip(states, exact, strict=True)]

    def _checked(self, state: SliceState, folded: np.ndarray) -> tuple[SliceState, Finding, bool]:
        """``state`` with edits that the check does not contradict, and whether it did others."""
        finding = self._finding(state, folded)
        if not finding.contradicts:
            return state, finding, False
        for status in (state.status, without_proofs(state.status)):
            state = self._given_back(state, status)
            finding = self._finding(state, plan(self._network, state.edits)[0])
            if not finding.contradicts:
                break
        return state, finding, True

    def _finding(self, state: SliceState, folded: np.ndarray) -> Finding:
        simplified = materialise(self._network, state.edits, folded)
        return self._check(simplified, state.index, state.lower, state.upper, state.eps_proved)

    def _given_back(self, state: SliceState, status: np.ndarray) -> SliceState:
        """``state`` with no edits but those that follow from ``status``."""
        edits = Edits.exact(self._network, status)
        first, *others = (replace(entry, removed=0) for entry in state.log)
        return replace(
            state,
            status=status,
            edits=edits,
            eps_proved=0.0,
            proof=None,
            log=(replace(first, removed=edits.removed), *others),
        )


def _result(state: SliceState, finding: Finding, contradicted: bool, implied: bool) -> SliceResult:
    return SliceResult(
        slice=state.index,
        status=state.status,
        witnesses=state.witnesses,
        edits=None if implied else state.edits,
        eps_proved=state.eps_proved,
        proof=state.proof or proof_of(state.status),
        log=state.log,
        cut_short=state.cut_short,
        deviation=finding.deviation,
        winners_changed=finding.winners_changed,
        contradicted=contradicted,
    )


def _honest(before: SliceState, after: SliceState) -> SliceState:
    """``after``, its proof a solver's word if new edits were proved from phases that are one."""
    if after.proof is None or after.edits is before.edits:
        return after
    trusts = bool(proved_by(before.status, Proof.SOLVER).any())
    return replace(after, proof=Proof.SOLVER) if trusts else after
