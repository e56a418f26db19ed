"""Branch and bound on the input box: the hull of the bounds on its parts.

The parts cover the box, so per unit the least lower and the greatest upper bound over them hold on
the box; like every bound on a part (:mod:`redy.branching.box`) they hold over the reals. The parts
whose bounds reach farthest beyond what points attain are cut, a share of all parts at a time.
Worth its time for few inputs only, as a cut halves one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from redy.bounds.attained import attained
from redy.bounds.refined import Claim, Refined
from redy.bounds.registry import Effort, refinement
from redy.branching.box import workspace
from redy.branching.compiled import call
from redy.branching.hull import bound_parts
from redy.branching.packed import pack
from redy.domain import Box
from redy.network.form import Network

_SHARE = 0.2
"""Part of the boxes that is cut before the next look at where the bounds are loosest."""

_PHASE = 1.0
"""Weight of a phase that a box keeps open, against that of an excess as wide as the bounds."""


@refinement("branch")
def bounds(network: Network, box: Box, known: Refined, effort: Effort) -> Refined:
    """Pre-activation bounds by branch and bound, one search per layer that reads another one.

    Half of the budget goes into the search for the outputs, which bounds all layers, the rest
    evenly into those for single layers, whose boxes are cheaper. An end that a search narrows
    rests on a solver's word if ``known`` does in a layer before.
    """
    layers = layers_above_inputs(network)
    values = attained(network, box)
    result = known
    searches = []
    for k in layers:
        share = 2 if k == layers[-1] else 2 * (len(layers) - 1)
        searches.append(Search(network, box, known, k, max(1, effort.budget // share), values))
    for hull in effort.spread("branch and bound, layers", Search.run, searches):
        for k, claims in hull.items():
            result = result.narrowed(k, claims, proved=known.proved(k))
    return result


def layers_above_inputs(network: Network) -> list[int]:
    """The layers for which intervals are not exact: those that read another than the input."""
    return [k for k, layer in enumerate(network.layers, start=1) if any(layer.weights)]


class Parts(NamedTuple):
    """Parts of a box, and what is known of each.

    Attributes:
        lower, upper: (parts, inputs).
        known_lower, known_upper: (parts, units of all layers searched, inputs first) bounds.
        cut: (parts,) the input to cut next, -1 for none.
    """

    lower: np.ndarray
    upper: np.ndarray
    known_lower: np.ndarray
    known_upper: np.ndarray
    cut: np.ndarray

    def halved(self, chosen: np.ndarray) -> Parts:
        """Both halves of the ``chosen`` parts, all lower ones first; they inherit the bounds."""
        halves = Parts(*(np.concatenate([part[chosen], part[chosen]]) for part in self))
        first, d = np.arange(chosen.size), self.cut[chosen]
        middle = 0.5 * self.lower[chosen, d] + 0.5 * self.upper[chosen, d]
        halves.upper[first, d] = middle
        halves.lower[first + chosen.size, d] = middle
        return halves

    def replaced(self, chosen: np.ndarray, halves: Parts) -> Parts:
        """``halves`` in place of the ``chosen`` parts."""
        kept = np.ones(self.cut.size, dtype=bool)
        kept[chosen] = False
        pairs = zip(self, halves, strict=True)
        return Parts(*(np.concatenate([mine[kept], new]) for mine, new in pairs))


@dataclass(frozen=True, eq=False)
class Search:
    """Branch and bound for the units up to layer ``k``, examining ``budget`` boxes at most.

    ``attained`` are, per layer, the least and greatest value (units,) at points of the box.
    """

    network: Network
    box: Box
    known: Refined
    k: int
    budget: int
    attained: list[tuple[np.ndarray, np.ndarray]]

    def run(self) -> dict[int, list[Claim]]:
        """Per layer up to ``k`` the hull of the bounds over all parts of the box."""
        net = pack(self.network)
        work = workspace(net)
        parts, values = self._begin()
        call(bound_parts, net, work, self.k, parts[:2], parts[2:4], values, parts.cut)
        left = self.budget - 1
        while left >= 2:
            chosen = _loosest(parts, values)[: left // 2]
            if not chosen.size:
                break
            halves = parts.halved(chosen)
            call(bound_parts, net, work, self.k, halves[:2], halves[2:4], values, halves.cut)
            parts = parts.replaced(chosen, halves)
            left -= halves.cut.size
        start = net.start
        return {k: _hull(parts, slice(start[k], start[k + 1])) for k in range(1, self.k + 1)}

    def _begin(self) -> tuple[Parts, tuple[np.ndarray, np.ndarray]]:
        """The box in one part, with what is known of it, and the values attained."""
        lower = np.concatenate([self.box.lower, *self.known.lower[: self.k]])
        upper = np.concatenate([self.box.upper, *self.known.upper[: self.k]])
        least = np.concatenate([self.box.lower, *(low for low, _ in self.attained[: self.k])])
        greatest = np.concatenate([self.box.upper, *(high for _, high in self.attained[: self.k])])
        box = (self.box.lower[None].copy(), self.box.upper[None].copy())
        return Parts(*box, lower[None], upper[None], np.full(1, -1)), (least, greatest)


def _hull(parts: Parts, units: slice) -> list[Claim]:
    lower = parts.known_lower[:, units].min(axis=0)
    upper = parts.known_upper[:, units].max(axis=0)
    claims = [Claim(i, 1, float(end)) for i, end in enumerate(lower)]
    return claims + [Claim(i, -1, -float(end)) for i, end in enumerate(upper)]


def _loosest(parts: Parts, attained: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The parts to cut next, loosest first.

    A part counts, per unit and side, how far its bound reaches beyond the values attained, as a
    share of the width of the hull, and more where it may be what keeps the unit's phase open.
    """
    lower, upper = parts.known_lower, parts.known_upper
    least, greatest = attained
    with np.errstate(invalid="ignore", over="ignore"):
        width = upper.max(axis=0) - lower.min(axis=0)
        width = np.where(width > 0, width, 1.0)
        below = np.maximum(least - lower, 0) / width
        above = np.maximum(upper - greatest, 0) / width
    # Infinite bounds are as loose as can be.
    below, above = (np.nan_to_num(excess, nan=1.0, posinf=1.0) for excess in (below, above))
    below += _PHASE * ((least >= 0) & (lower < 0))
    above += _PHASE * ((greatest <= 0) & (upper > 0))
    score = below.sum(axis=1) + above.sum(axis=1)
    score[parts.cut < 0] = 0
    most = max(1, int(_SHARE * score.size))
    order = np.argsort(-score, kind="stable")[:most]
    return np.asarray(order[score[order] > 0])
