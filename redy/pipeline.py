"""What is done to one slice, stage after stage: phase, replay, forward, fold, check.

Paper: section IV, figure 3. Every stage takes what is known of the slice and adds facts or edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from redy.criteria.forward import with_unread
from redy.criteria.phase import PhaseDecider, Phases
from redy.edits import Status, edits_of
from redy.formats.networks import LoadedNetwork, Reference
from redy.network.evaluate import evaluate
from redy.network.fold import materialise, plan_many
from redy.search.witnesses import Witnesses, both_phases, pool_points, signs_of


@dataclass(frozen=True)
class Effort:
    """How much work a slice may cost.

    Attributes:
        budget: boxes that branch and bound may examine, about. The result depends on it alone.
        time_limit: seconds, an outer guard; None for no guard.
        check_points: points at which the folded network is compared with the original.
    """

    budget: int
    time_limit: float | None
    check_points: int


@dataclass(frozen=True, eq=False)
class SliceResult:
    """What a run keeps of one slice.

    Attributes:
        slice: its index.
        status: (neurons,) uint8 of :class:`redy.edits.Status`.
        witnesses: points that refute, confirmed by replay on the original network.
        boxes: boxes examined.
        cut_short: the time limit ended the search.
        deviation: largest |folded network - original in onnxruntime| over the check points.
    """

    slice: int
    status: np.ndarray
    witnesses: Witnesses
    boxes: int
    cut_short: bool
    deviation: float


class Pipeline:
    """Simplifies the slices of one network."""

    def __init__(self, loaded: LoadedNetwork, effort: Effort) -> None:
        self._network = loaded.network
        self._effort = effort
        self._phase = PhaseDecider(loaded.network)
        self._reference = Reference(loaded)

    def run(self, slices: Sequence[int], lower: np.ndarray, upper: np.ndarray) -> list[SliceResult]:
        """Simplify ``slices`` with the boxes [lower, upper] (slices, inputs)."""
        phases = [self._phases(*box) for box in zip(lower, upper, strict=True)]
        edits = with_unread(self._network, edits_of(np.stack([p.status for p in phases])))
        folded, _ = plan_many(self._network, edits)
        deviations = [
            self._deviation(*of_slice)
            for of_slice in zip(slices, lower, upper, edits, folded, strict=True)
        ]
        return [
            SliceResult(index, p.status, p.witnesses, p.boxes, p.cut_short, deviation)
            for index, p, deviation in zip(slices, phases, deviations, strict=True)
        ]

    def _phases(self, lower: np.ndarray, upper: np.ndarray) -> Phases:
        effort = self._effort
        phases = self._phase.decide(lower, upper, effort.budget, effort.time_limit)
        status = self._replayed(phases.status, phases.witnesses, lower, upper)
        return replace(phases, status=status)

    def _deviation(
        self,
        index: int,
        lower: np.ndarray,
        upper: np.ndarray,
        edits: np.ndarray,
        folded: np.ndarray,
    ) -> float:
        """How far the folded network is from the original in onnxruntime, at the check points."""
        simplified = materialise(self._network, edits, folded)
        points = check_points(index, lower, upper, self._effort.check_points)
        difference = np.abs(evaluate(simplified, points) - self._reference.outputs(points))
        return float(difference.max(initial=0.0))

    def _replayed(
        self, status: np.ndarray, witnesses: Witnesses, lower: np.ndarray, upper: np.ndarray
    ) -> np.ndarray:
        """``status``, where a refutation counts only if the original network shows it too."""
        points = witnesses.points(lower, upper, self._phase.pool)
        if not len(points):
            return status
        signs = signs_of(self._reference.preactivations(points), self._network)
        unconfirmed = (status == Status.REFUTED) & ~both_phases(signs)
        status = status.copy()
        status[unconfirmed] = Status.UNKNOWN_NUMERICAL
        return status


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
