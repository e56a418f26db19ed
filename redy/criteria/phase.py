"""Phase redundancy: a neuron that has one phase on the whole slice is replaced exactly.

Paper: section III. Simulation tells which phase could be proved; branch and bound decides layer
after layer, each with the phases already proved imposed (:mod:`redy.branching.layer`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from redy.branching.compiled import call
from redy.branching.layer import GIVEN_UP, PROVED, REFUTED, decide_layer
from redy.branching.octet import Octet, octet
from redy.branching.packed import pack
from redy.criteria.base import Effort, SliceState, StageLog, stage
from redy.edits import Edits, Status
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.network.form import Network
from redy.search.witnesses import (
    CertainSigns,
    Witnesses,
    both_phases,
    covering,
    inner_ends,
    pool_points,
    unit_pool,
)

POOL = 512
_FOUND = 512  # witnesses that branch and bound may add on one slice


@dataclass(frozen=True, eq=False)
class Phases:
    """Phase status of every neuron on one slice.

    Attributes:
        status: (neurons,) uint8 of :class:`redy.edits.Status`.
        witnesses: points of the slice that show every refuted neuron in both phases.
        boxes: boxes examined.
        cut_short: the time limit, not the budget, ended the search.
        known_lower, known_upper: (total units,) bounds on the pre-activations over the slice, units
            numbered as in :class:`redy.branching.packed.Packed`; infinite where nothing is known.
    """

    status: np.ndarray
    witnesses: Witnesses
    boxes: int
    cut_short: bool
    known_lower: np.ndarray
    known_upper: np.ndarray


class PhaseDecider:
    """Decides the phases of one network's neurons, slice after slice."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._net = pack(network)
        self._octet: Octet = octet(self._net)
        self._signs = CertainSigns(network)
        self.pool = unit_pool(network.inputs, POOL)

    def decide(
        self, lower: np.ndarray, upper: np.ndarray, budget: int, time_limit: float | None = None
    ) -> Phases:
        """Phases on the slice [lower, upper] (inputs,), examining about ``budget`` boxes.

        ``time_limit`` seconds is an outer guard: past it, what is open stays unknown.
        """
        clock = _Clock(time_limit)
        pool = pool_points(lower, upper, self.pool)
        signs = self._signs(pool)
        status = np.full(len(self._network.neurons), Status.UNKNOWN_BUDGET, dtype=np.uint8)
        total = int(self._net.start[-1])
        known = (np.full(total, -np.inf), np.full(total, np.inf))
        inner = inner_ends(lower, upper)
        found = np.zeros((_FOUND, self._network.inputs))
        boxes, points, start = 0, 0, 0
        for k in range(1, self._network.depth + 1):
            relu = self._network.layers[k - 1].relu
            here = slice(start, start + int(relu.sum()))
            start = here.stop
            share = max(1, (budget - boxes) // (self._network.depth + 1 - k))
            allowed, timed = clock.boxes(boxes, share)
            if not allowed:
                status[here] = Status.UNKNOWN_TIME
                continue
            sign = np.zeros(relu.size, dtype=np.int8)
            sign[relu] = _claims(signs[:, here])
            state, at_root, examined, added = call(
                decide_layer,
                self._net,
                self._octet,
                k,
                lower,
                upper,
                inner,
                *known,
                sign,
                allowed,
                found[points:],
            )
            boxes += examined
            points += added
            status[here] = _status(state[relu], at_root[relu], sign[relu], timed)
        for ends, box in zip(known, (lower, upper), strict=True):
            ends[: box.size] = box
        trusted, witnesses = self._confirmed(status, signs, pool, found[:points])
        if not trusted:
            known[0].fill(-np.inf)
            known[1].fill(np.inf)
        return Phases(status, witnesses, boxes, clock.cut_short, *known)

    def _confirmed(
        self, status: np.ndarray, signs: np.ndarray, pool: np.ndarray, found: np.ndarray
    ) -> tuple[bool, Witnesses]:
        """Keep, in ``status``, the refutations that certain signs at the points confirm.

        The others become unknown. Also returns whether no point contradicts a proof.
        """
        points = np.concatenate([pool, found])
        signs = np.concatenate([signs, self._signs(found)]) if len(found) else signs
        refuted = both_phases(signs)
        undecided = ~np.isin(status, _PROVED)
        status[undecided & refuted] = Status.REFUTED
        status[(status == Status.REFUTED) & ~refuted] = Status.UNKNOWN_NUMERICAL
        # A neuron both proved and refuted would be a defect of the proof: never remove it.
        contradicted = ~undecided & refuted
        status[contradicted] = Status.UNKNOWN_NUMERICAL
        chosen = covering(signs)
        from_pool = chosen[chosen < len(pool)].astype(np.uint16)
        with np.errstate(over="ignore"):  # where the slice is beyond single precision
            added = points[chosen[chosen >= len(pool)]].astype(np.float32)
        return not contradicted.any(), Witnesses(from_pool, added)


@stage("phase")
class PhaseStage:
    """Replaces every neuron whose phase it proves."""

    def __init__(self, loaded: LoadedNetwork, guarantee: Guarantee, effort: Effort) -> None:
        del guarantee, effort
        self._decider = PhaseDecider(loaded.network)

    def run(self, state: SliceState, effort: Effort) -> SliceState:
        """``state`` with phases, bounds, witnesses, and the edits that the phases allow."""
        phases = self._decider.decide(state.lower, state.upper, effort.budget, effort.time_limit)
        edits = Edits.by_phase(phases.status)
        refuted = int((phases.status == Status.REFUTED).sum())
        entry = StageLog(
            "phase",
            queries=phases.status.size,
            boxes=phases.boxes,
            proved=edits.removed,
            refuted=refuted,
            unknown=phases.status.size - edits.removed - refuted,
        )
        return replace(
            state,
            status=phases.status,
            known_lower=phases.known_lower,
            known_upper=phases.known_upper,
            edits=edits,
            witnesses=phases.witnesses,
            cut_short=state.cut_short or phases.cut_short,
        ).logged(entry)


_PROVED = (
    Status.INACTIVE_PROPAGATION,
    Status.ACTIVE_PROPAGATION,
    Status.INACTIVE_BRANCHING,
    Status.ACTIVE_BRANCHING,
)


class _Clock:
    """Turns a time limit into a number of boxes, from the pace so far."""

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._start = time.perf_counter()
        self.cut_short = False

    def boxes(self, examined: int, share: int) -> tuple[int, bool]:
        """How many of ``share`` boxes there is time for, and whether that is fewer."""
        if self._limit is None:
            return share, False
        elapsed = time.perf_counter() - self._start
        left = self._limit - elapsed
        if left <= 0.0:
            self.cut_short = True
            return 0, True
        affordable = int(left / elapsed * examined) if examined else share
        if affordable >= share:
            return share, False
        self.cut_short = True
        return max(1, affordable), True


def _claims(signs: np.ndarray) -> np.ndarray:
    """Per neuron the phase that ``signs`` (n, neurons) leave possible: +1, -1, or 0 if refuted."""
    active, inactive = (signs > 0).any(axis=0), (signs < 0).any(axis=0)
    return np.where(active & inactive, 0, np.where(active, 1, -1)).astype(np.int8)


def _status(state: np.ndarray, at_root: np.ndarray, sign: np.ndarray, timed: bool) -> np.ndarray:
    unknown = Status.UNKNOWN_TIME if timed else Status.UNKNOWN_BUDGET
    status = np.full(state.size, unknown, dtype=np.uint8)
    proved = state == PROVED
    status[proved & (sign > 0)] = Status.ACTIVE_BRANCHING
    status[proved & (sign < 0)] = Status.INACTIVE_BRANCHING
    status[proved & at_root & (sign > 0)] = Status.ACTIVE_PROPAGATION
    status[proved & at_root & (sign < 0)] = Status.INACTIVE_PROPAGATION
    status[(state == REFUTED) | ((state == GIVEN_UP) & (sign == 0))] = Status.REFUTED
    return status
