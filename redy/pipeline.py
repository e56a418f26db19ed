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
from redy.edits import Edit, Edits, Status, exact_codes, proof_of, proved_by
from redy.formats.networks import LoadedNetwork, Reference
from redy.guarantee import EXACT, Guarantee
from redy.network.evaluate import evaluate
from redy.network.fold import materialise, plan_many
from redy.network.winner import winners_changed
from redy.search.witnesses import Witnesses, both_phases, pool_points, signs_of, unit_pool
from redy.tolerances import DIFFERENT
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
        deviation: largest |folded network - original in onnxruntime| over the check points.
        winners_changed: under ``decision``, check points with another winner; else 0.
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

    @property
    def boxes(self) -> int:
        """Boxes examined by all stages."""
        return sum(entry.boxes for entry in self.log)


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
        implied = self._implied(states)
        return [self._result(*of_slice) for of_slice in zip(states, folded, implied, strict=True)]

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

    def _result(self, state: SliceState, folded: np.ndarray, implied: bool) -> SliceResult:
        deviation, changed = self._checked(state, folded)
        return SliceResult(
            slice=state.index,
            status=state.status,
            witnesses=state.witnesses,
            edits=None if implied else state.edits,
            eps_proved=state.eps_proved,
            proof=state.proof or proof_of(state.status),
            log=state.log,
            cut_short=state.cut_short,
            deviation=deviation,
            winners_changed=changed,
        )

    def _checked(self, state: SliceState, folded: np.ndarray) -> tuple[float, int]:
        """How far the folded network is from the original, at how many points another wins."""
        simplified = materialise(self._network, state.edits, folded)
        points = check_points(state.index, state.lower, state.upper, self._effort.check_points)
        outputs, original = evaluate(simplified, points), self._reference.outputs(points)
        deviation = float(np.abs(outputs - original).max(initial=0.0))
        if self._guarantee.kind != "decision":
            return deviation, 0
        # The original in its own precision and in float64: what rounding does to a difference.
        precise = evaluate(self._network, points)
        rounding = 2 * np.abs(precise - original).max(initial=0.0)
        rounding += DIFFERENT * np.abs(precise).max(initial=0.0)
        return deviation, winners_changed(precise, outputs, self._guarantee.winner, rounding)


def _honest(before: SliceState, after: SliceState) -> SliceState:
    """``after``, its proof a solver's word if new edits were proved from phases that are one."""
    if after.proof is None or after.edits is before.edits:
        return after
    trusts = bool(proved_by(before.status, Proof.SOLVER).any())
    return replace(after, proof=Proof.SOLVER) if trusts else after


def check_points(index: int, lower: np.ndarray, upper: np.ndarray, count: int) -> np.ndarray:
    """``count`` points of a slice, half inside and half on its faces and corners: (count, inputs).

    They are single precision numbers where the slice holds such, and the same at every run.
    """
    rng = np.random.default_rng([20210526, index])
    unit = rng.random((count, lower.size))
    on_faces = unit[::2]
    snapped = rng.random(on_faces.shape) < rng.random((len(on_faces), 1))
    on_faces[snapped] = on_faces[snapped].round()
    return pool_points(lower, upper, unit)
