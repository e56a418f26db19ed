"""Whether every unit of one more layer is at least zero on a slice: what extremes come down to.

One output always wins, or the outputs are affine but for eps: both are linear in the outputs of the
original network, which no edited copy has to follow. Branch and bound then takes eight boxes of one
network at once (:mod:`redy.branching.layer`).
"""

from __future__ import annotations

from math import inf

import numpy as np

from redy.branching.compiled import call
from redy.branching.layer import PROVED, REFUTED, decide_layer
from redy.branching.octet import Octet, octet
from redy.branching.packed import Packed, pack
from redy.criteria.comparison import Comparison, Outcome, Region
from redy.network.form import Network
from redy.search.witnesses import inner_ends

_FOUND = 4
"""Points that refute; one would do."""


class Rows:
    """Decides claims on the last layer of ``network``, slice after slice.

    Attributes:
        net: the network for compiled code; the last layer's numbers may be changed in place.
    """

    def __init__(self, network: Network) -> None:
        self.net: Packed = pack(network)
        self._eight: Octet = octet(self.net)
        self._last = len(network.layers)
        self._rows = network.outputs

    def decide(self, region: Region, budget: int, neurons: int, error: float = inf) -> Comparison:
        """Whether all outputs are at least 0 on ``region``, examining at most ``budget`` boxes.

        Args:
            region: what is known on it is of all layers but the last.
            neurons: their number, for a :class:`Comparison` that gives none back.
            error: what the proof is of.
        """
        nothing = np.full(self._rows, inf)
        found = np.zeros((_FOUND, region.lower.size))
        state, _, boxes, points = call(
            decide_layer,
            self.net,
            self._eight,
            self._last,
            region.lower,
            region.upper,
            inner_ends(region.lower, region.upper),
            np.concatenate([region.known_lower, -nothing]),
            np.concatenate([region.known_upper, nothing]),
            np.ones(self._rows, dtype=np.int8),
            budget,
            found,
        )
        outcome = Outcome.UNKNOWN
        if (state == PROVED).all():
            outcome = Outcome.PROVED
        elif points and (state == REFUTED).any():
            outcome = Outcome.REFUTED
        return Comparison(
            outcome, boxes, error, found[0], np.zeros(neurons), np.ones(neurons, dtype=bool)
        )
