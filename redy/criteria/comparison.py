"""Whether edits keep what is promised on a slice: proved, refuted with a witness, or unknown.

Forward redundancy, result-preserving redundancy and relaxed redundancy (paper, section III) are all
claims on the difference between the edited and the original network; :mod:`redy.branching.compare`
decides them by branch and bound over the slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any

import numpy as np

from redy.branching.box import workspace
from redy.branching.compare import (
    DEEPEST,
    PROVED,
    REFUTED,
    SAME,
    WINNER,
    WITHIN,
    compare,
    survey,
)
from redy.branching.compiled import call
from redy.branching.difference import Edited, difference_workspace
from redy.branching.packed import pack
from redy.criteria.base import SliceState
from redy.edits import Edit, Edits
from redy.encodings.ranges import Ranges, ranges
from redy.network.form import Network
from redy.search.witnesses import inner_ends

_SEED = 20210526


class Outcome(Enum):
    """What became of a claim."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Claim:
    """What the edited network must keep.

    Attributes:
        kind: SAME (structurally), WITHIN eps, or WINNER.
        eps: the error allowed under WITHIN; the margin by which a winner has to win under WINNER.
        sign: +1 if the smallest output wins, -1 if the largest.
        layer: the layer that is compared; None for the outputs.
        part: one unit and a sign under WITHIN (sign times the unit's difference is at most eps),
            one pair (c, j) of outputs under WINNER (where c wins, c still beats j); None for all.
    """

    kind: int
    eps: float = 0.0
    sign: float = 1.0
    layer: int | None = None
    part: tuple[int, int] | None = None

    @classmethod
    def same(cls, layer: int | None = None) -> Claim:
        """The pre-activations of ``layer``, or the outputs, are the same over the reals."""
        return cls(SAME, layer=layer)

    @classmethod
    def within(cls, eps: float) -> Claim:
        """Every output differs by at most ``eps``."""
        return cls(WITHIN, eps=eps)

    @classmethod
    def winner(cls, which: str) -> Claim:
        """Where the ``min`` or ``max`` of the outputs is unique, it is the same output."""
        return cls(WINNER, sign=1.0 if which == "min" else -1.0)

    def asked(self, units: int) -> np.ndarray:
        """(parts,) bool, the parts as :func:`redy.branching.compare.compare` numbers them."""
        parts = {SAME: units, WITHIN: 2 * units, WINNER: units * units}[self.kind]
        if self.part is None:
            return np.ones(parts, dtype=bool)
        first, second = self.part
        chosen = first * units + second if self.kind == WINNER else 2 * first + (second < 0)
        return np.asarray(np.arange(parts) == chosen)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What branch and bound found out about one claim on one slice.

    Attributes:
        outcome: PROVED holds over the reals; REFUTED and UNKNOWN allow nothing.
        boxes: boxes examined.
        error: under PROVED, a bound of all differences asked for; infinite for a winner.
        witness: (inputs,) under REFUTED, a point where the claim fails in floating point.
        blame: (neurons,) how much each edit kept boxes open.
        removed: (neurons,) bool, the edits that were not given back on the way.
    """

    outcome: Outcome
    boxes: int
    error: float
    witness: np.ndarray
    blame: np.ndarray
    removed: np.ndarray


@dataclass(frozen=True, eq=False)
class Survey:
    """What random dives tell of a claim; nothing of it is proved.

    Attributes:
        boxes: boxes examined.
        estimate: boxes that a proof would examine.
        witness: (inputs,) a point where the claim fails in floating point, or None.
        blame: as in :class:`Comparison`.
    """

    boxes: int
    estimate: float
    witness: np.ndarray | None
    blame: np.ndarray


@dataclass(frozen=True, eq=False)
class Region:
    """A slice and what is known on it.

    Attributes:
        lower, upper: (inputs,) its ends.
        known_lower, known_upper: (total units,) bounds of the pre-activations on it, inputs first.
    """

    lower: np.ndarray
    upper: np.ndarray
    known_lower: np.ndarray
    known_upper: np.ndarray

    @classmethod
    def of(cls, state: SliceState) -> Region:
        """The region of a slice in the pipeline."""
        return cls(state.lower, state.upper, state.known_lower, state.known_upper)


class Comparer:
    """Compares edited networks with one original, slice after slice."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._net = pack(network)
        self._ws = workspace(self._net)
        self._ds = difference_workspace(self._net, self._ws)
        self._units = np.flatnonzero(self._net.relu)
        """The unit of every neuron, in the order of all flat neuron arrays."""

    def decide(
        self,
        edits: Edits,
        claim: Claim,
        region: Region,
        budget: int,
        depth: int = DEEPEST,
        quota: float = inf,
    ) -> Comparison:
        """Whether ``edits`` keep ``claim`` on ``region``, examining at most ``budget`` boxes.

        With a ``depth``, boxes cut more often are passed over: the claim is unknown then, and the
        blame says which edits are at fault. With a ``quota``, edits with more blame than that are
        given back on the way; the claim is unknown if there are any.
        """
        point, blame = self._scratch()
        query = self._query(edits, claim, region)
        state, boxes, _, worst = call(
            compare, *query, budget, min(depth, DEEPEST), float(quota), point, blame
        )
        outcome = {PROVED: Outcome.PROVED, REFUTED: Outcome.REFUTED}.get(state, Outcome.UNKNOWN)
        removed = query[3].removed[self._units]
        return Comparison(outcome, boxes, worst, point, blame[self._units], removed)

    def survey(self, edits: Edits, claim: Claim, region: Region, dives: int) -> Survey:
        """How many boxes :meth:`decide` would take, estimated by ``dives`` random dives."""
        point, blame = self._scratch()
        choices = np.random.default_rng(_SEED).random((dives, DEEPEST)) < 0.5
        state, boxes, estimate = call(
            survey, *self._query(edits, claim, region), choices, point, blame
        )
        witness = point if state == REFUTED else None
        return Survey(boxes, estimate, witness, blame[self._units])

    def ranges(self, edits: Edits, region: Region, layer: int) -> Ranges:
        """Ranges of the original, the edited network and their difference, up to ``layer``."""
        box = (region.lower, region.upper, region.known_lower, region.known_upper)
        return ranges((self._net, self._ws, self._ds), self._edited(edits), layer, box)

    def _scratch(self) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(self._network.inputs), np.zeros(int(self._net.start[-1]))

    def _query(self, edits: Edits, claim: Claim, region: Region) -> tuple[Any, ...]:
        """The first arguments of both kernels."""
        box = (region.lower, region.upper, region.known_lower, region.known_upper)
        layer = self._network.depth + 1 if claim.layer is None else claim.layer
        asked = claim.asked(self._network.width(layer))
        return (
            self._net,
            self._ws,
            self._ds,
            self._edited(edits),
            (claim.kind, float(claim.eps), float(claim.sign), asked),
            layer,
            tuple(np.array(ends, dtype=np.float64) for ends in box),
            inner_ends(region.lower, region.upper),
        )

    def _edited(self, edits: Edits) -> Edited:
        total, network = int(self._net.start[-1]), self._network
        removed, slope, intercept = np.zeros(total, dtype=bool), np.zeros(total), np.zeros(total)
        removed[self._units] = edits.codes != Edit.KEEP
        slope[self._units] = edits.lines[:, 0] + (edits.codes == Edit.IDENTITY)
        intercept[self._units] = edits.lines[:, 1]
        correction = edits.correction
        if correction is None:
            correction = np.zeros((network.outputs, network.inputs + 1))
        return Edited(
            removed,
            slope,
            intercept,
            np.asarray(correction.any(axis=1)),
            np.ascontiguousarray(correction[:, :-1]),
            np.ascontiguousarray(correction[:, -1]),
        )
