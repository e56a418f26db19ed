"""Where a tree of boxes should be cut next: sampled, so that it guides and proves nothing.

Best first: of all leaves, the one whose two halves would leave fewer neurons, by the most, weighted
by what the leaf counts for. How many neurons a box leaves is estimated from the signs of all
pre-activations, and from the outputs, at many points of it; the same points tell what is left of
each half along each input.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from redy.branching.census import phases_within, take_census
from redy.branching.compiled import call
from redy.branching.layer import PROVED, decide_layer
from redy.branching.octet import octet
from redy.branching.packed import pack
from redy.branching.vector import LANES
from redy.criteria.affine import AffineComparer
from redy.criteria.comparison import Comparison, Outcome, Region
from redy.criteria.winner import WinnerComparer
from redy.domain import Box
from redy.edits import Edits
from redy.guarantee import Guarantee
from redy.network.form import Network
from redy.network.reach import unread
from redy.search.affine import fit_affine
from redy.search.witnesses import inner_ends, unit_pool
from redy.slicing.adaptive import Adaptive, middle_of

_POINTS = 4096
"""With 512, winners seem constant where they are not: 4096 leaves of ACAS Xu 1_1 promise 5 % more
neurons removed under decision than they hold, with 4096 one tenth of that."""

_NEARLY = 0.9
"""Share of eps within which affine outputs seem to be provable at all points."""

PROOF_BOXES = 2000
"""Boxes that may be examined to find out whether a box really needs no neuron, by default."""

_TIE = 1e-6
"""Between cuts that gain as much, that of the input along which the outputs change most."""

_HYSTERESIS = 2.0
"""A cut is taken back when another one promises so many times what it gained."""


@dataclass(frozen=True)
class Outlook:
    """What a box leaves, and what its best cut would gain.

    Attributes:
        left: neurons that its slice would keep.
        cut: the input whose halving gains most; -1 if none gains anything.
        gain: by how many neurons fewer the halves would keep, on average.
    """

    left: float
    cut: int
    gain: float


class Guide:
    """Estimates what boxes leave of one network under one guarantee.

    Args:
        network: what is simplified.
        guarantee: what has to hold for it.
        domain: the box that is cut.
        proof_boxes: boxes that may be examined to find out whether a box really needs no neuron.
            Where they do not suffice it counts as if it did, but its halves as if they did not: it
            is cut, along its widest side, until they do.
    """

    def __init__(
        self,
        network: Network,
        guarantee: Guarantee,
        domain: Box,
        proof_boxes: int = PROOF_BOXES,
    ) -> None:
        self._network, self._guarantee = network, guarantee
        self._widths, self._proof_boxes = domain.upper - domain.lower, proof_boxes
        self._net = pack(network)
        self._units = np.flatnonzero(self._net.relu)
        self._octet = octet(self._net)
        self._winner, self._affine = WinnerComparer(network), AffineComparer(network)
        self._layer = np.array([k for k, _ in network.neurons], dtype=np.int64)
        self._chain = [k for k in range(1, network.depth + 1) if _cuts_off(network, k)]
        self._unit = unit_pool(network.inputs, _POINTS)
        self._subsets = np.stack([np.ones(_POINTS, bool), *_halves(self._unit)])
        self._whole: np.ndarray = np.arange(len(self._subsets)) == 0
        self._masks = np.packbits(self._subsets, axis=1, bitorder="little").view(np.uint64)
        basis = np.column_stack([np.ones(_POINTS), self._unit])
        self._bases = [basis[subset] for subset in self._subsets]
        self._solvers = [np.linalg.pinv(part) for part in self._bases]
        total = int(self._net.start[-1])
        self._value, self._post = np.zeros(total * LANES), np.zeros(total * LANES)
        self._positive = np.zeros((total, _POINTS // LANES), dtype=np.uint8)
        self._outputs = np.zeros((_POINTS, network.outputs))

    def outlook(self, lower: np.ndarray, upper: np.ndarray, below: np.ndarray) -> Outlook:
        """That of the box [lower, upper] (inputs,).

        Args:
            below: (inputs,) the share of the box's weight in the half below each middle.
        """
        points = lower * (1.0 - self._unit) + upper * self._unit
        eights = points.reshape(-1, LANES, lower.size).transpose(0, 2, 1)
        rows = np.ascontiguousarray(eights).reshape(len(eights), -1)
        call(take_census, self._net, rows, self._value, self._post, self._positive, self._outputs)
        left, in_doubt = self._left(lower, upper)
        gains = _gains(left, below)
        middle = middle_of(lower, upper)
        gains[~((lower < middle) & (middle < upper))] = 0.0
        if not gains.max() > 0.0:
            return Outlook(float(left[0]), -1, 0.0)
        worth = gains + _TIE * gains.max() * self._pull()
        if in_doubt:
            # That its halves need nothing is believed of all alike. The cut is for the proof.
            with np.errstate(divide="ignore", invalid="ignore"):
                share = (upper - lower) / self._widths
            worth = np.where(gains > 0.0, np.nan_to_num(share), 0.0)
        best = int(worth.argmax())
        return Outlook(float(left[0]), best, float(gains[best]))

    def _pull(self) -> np.ndarray:
        """How much the outputs change along each input of the box, at most 1: (inputs,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            change = np.abs(self._solvers[0] @ self._outputs)[1:].max(axis=1)
        largest = change.max()
        pulled = change / largest if 0.0 < largest < np.inf else np.zeros(change.size)
        return np.asarray(pulled)

    def _left(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, bool]:
        """Neurons that each subset seems to leave: (subsets,).

        And whether it is in doubt that the box as a whole leaves any.
        """
        shape = len(self._masks), self._units.size
        active, inactive = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        signs = self._positive.view(np.uint64)
        call(phases_within, signs, self._units, self._masks, active, inactive)
        trivial, in_doubt = self._is_trivial(), False
        if trivial[0]:
            needing = self._not_trivial(lower, upper)
            in_doubt = bool((needing == self._whole).all())
            trivial &= ~needing
            self._wake(active, needing)
        else:
            self._revive(lower, upper, active)
        kept = (active & inactive & ~unread(self._network, active)).sum(axis=1)
        return np.where(trivial, 0, kept), in_doubt

    def _revive(self, lower: np.ndarray, upper: np.ndarray, active: np.ndarray) -> None:
        """Where a layer seems to be inactive as a whole, look closer; ``active`` is corrected.

        What that layer cuts off needs no neuron, so that much depends on it.
        """
        k = self._inactive(active)
        if k is None:
            return
        region = self._region(lower, upper)
        found = np.zeros((1, lower.size))
        sign = np.full(self._network.width(k), -1, dtype=np.int8)
        inner = inner_ends(lower, upper)
        known = region.known_lower, region.known_upper
        state, _, _, points = call(
            decide_layer, self._net, self._octet, k, lower, upper, inner, *known, sign,
            self._proof_boxes, found,
        )  # fmt: skip
        if not (state == PROVED).all():
            self._wake(active, self._holding(found[0], lower, upper) if points else self._whole)

    def _inactive(self, active: np.ndarray) -> int | None:
        """The last layer that seems to be inactive and cuts off all before it."""
        dead = [k for k in self._chain if not active[0, self._layer == k].any()]
        return dead[-1] if dead else None

    def _wake(self, active: np.ndarray, where: np.ndarray) -> None:
        """Take that layer for active on the subsets ``where``; ``active`` is corrected.

        Where the winner is not the same, for one, as it would be with all that it cuts off gone.
        """
        k = self._inactive(active)
        if k is not None:
            active[np.ix_(np.flatnonzero(where), self._layer == k)] = True

    def _region(self, lower: np.ndarray, upper: np.ndarray) -> Region:
        """The box, on which nothing is known."""
        rest = np.full(int(self._net.start[-1]) - lower.size, np.inf)
        ends = np.concatenate([lower, -rest]), np.concatenate([upper, rest])
        return Region(lower, upper, *ends)

    def _holding(self, point: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """Which parts of the box have ``point`` (inputs,): (subsets,) bool."""
        width = np.where(upper > lower, upper - lower, 1.0)
        place = ((point - lower) / width).clip(0.0, 1.0)
        return np.array([True, *(bool(part[0]) for part in _halves(place[None]))])

    def _is_trivial(self) -> np.ndarray:
        """On which subsets no neuron is needed at all: (subsets,) bool."""
        match self._guarantee.kind:
            case "exact":
                return np.zeros(len(self._subsets), dtype=bool)
            case "decision":
                sign = 1.0 if self._guarantee.winner == "min" else -1.0
                winner = (sign * self._outputs).argmin(axis=1)
                wins = winner[:, None] == np.arange(self._network.outputs)
                return np.asarray(((self._subsets.astype(float) @ wins) > 0).sum(axis=1) == 1)
            case "eps" if not self._affine.possible:
                return np.zeros(len(self._subsets), dtype=bool)
            case "eps":
                return np.array(
                    [
                        self._error(s) <= _NEARLY * self._guarantee.eps
                        for s in range(len(self._subsets))
                    ]
                )

    def _not_trivial(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """Which subsets of a box that seems to need no neuron do need some: (subsets,) bool.

        Points show too rarely that another output wins in a corner of a large box, or that outputs
        are not affine there; the search that will have to prove it finds such a point, and a cut
        can set its corner apart.
        """
        region = self._region(lower, upper)
        affine = self._guarantee.kind == "eps"
        found = self._within(region) if affine else self._constant(region)
        match found.outcome:
            case Outcome.PROVED:
                return np.zeros(len(self._subsets), dtype=bool)
            case Outcome.REFUTED:
                return self._holding(found.witness, lower, upper)
            case Outcome.UNKNOWN:
                return self._whole

    def _constant(self, region: Region) -> Comparison:
        """Whether the output that wins at the points always does."""
        sign = 1 if self._guarantee.winner == "min" else -1
        best = int((sign * self._outputs[0]).argmin())
        return self._winner.constant(sign, best, region, self._proof_boxes)

    def _within(self, region: Region) -> Comparison:
        """Whether the outputs are those of the affine functions that fit them best, but for eps."""
        nothing = Edits.none(self._network)
        points = region.lower * (1.0 - self._unit) + region.upper * self._unit
        fit = fit_affine(points, self._outputs, region.lower, region.upper)
        edits = self._affine.edits(nothing, fit.coefficients)
        found = None
        if edits is not None:
            found = self._affine.within(edits, self._guarantee.eps, region, self._proof_boxes)
        if found is not None:
            return found
        return Comparison(Outcome.UNKNOWN, 0, np.inf, points[0], np.zeros(0), np.zeros(0, bool))

    def _error(self, subset: int) -> float:
        """By how much the outputs are off the affine functions that fit them best."""
        values = self._outputs[self._subsets[subset]]
        rest = values - self._bases[subset] @ (self._solvers[subset] @ values)
        return float(0.5 * (rest.max(axis=0) - rest.min(axis=0)).max())


def _cuts_off(network: Network, k: int) -> bool:
    """Whether nothing before hidden layer ``k`` reaches an output if its neurons are inactive."""
    later = network.layers[k:]
    return bool(network.layers[k - 1].relu.all()) and all(min(x.weights) >= k for x in later)


def _halves(unit: np.ndarray) -> list[np.ndarray]:
    """Which points (m, inputs) of the unit box lie in each half, and in each half of each half.

    In the order of :func:`_gains`: halves (input, side), then (input, side, input, side).
    """
    inputs = range(unit.shape[1])
    halves, quarters = [], []
    for d, side in product(inputs, range(2)):
        half = (unit[:, d] >= 0.5) == bool(side)
        halves.append(half)
        inside = unit.copy()
        inside[:, d] = 2.0 * unit[:, d] - side
        quarters += [half & ((inside[:, e] >= 0.5) == bool(s)) for e in inputs for s in range(2)]
    return halves + quarters


def _gains(left: np.ndarray, below: np.ndarray) -> np.ndarray:
    """What halving each input gains: (inputs,).

    One cut makes one leaf more. Where halving alone gains little, halving both halves again may
    gain much: that makes three, and counts for a third.

    Args:
        left: (1 + 2 inputs + 4 inputs^2,) neurons left of the box and the parts of :func:`_halves`.
        below: (inputs,) the share of the box's weight in each lower half.
    """
    inputs = below.size
    halves = left[1 : 1 + 2 * inputs].reshape(inputs, 2)
    quarters = left[1 + 2 * inputs :].reshape(inputs, 2, inputs, 2)
    share = np.stack([below, 1.0 - below], axis=1)
    once = left[0] - (share * halves).sum(axis=1)
    twice = left[0] - (share * quarters.mean(axis=3).min(axis=2)).sum(axis=1)
    return np.asarray(np.maximum(once, twice / 3.0))


@dataclass(eq=False)
class Node:
    """A box of the tree.

    Attributes:
        lower, upper: (inputs,) its ends.
        weight: what it counts for.
        rows: (n,) which of the user's inputs lie in it, if their shares are the weights.
        outlook: what it leaves; an inner node is cut where its outlook says.
        halves: the nodes below and above the cut; none for a leaf.
    """

    lower: np.ndarray
    upper: np.ndarray
    weight: float
    rows: np.ndarray | None = None
    outlook: Outlook = Outlook(np.inf, -1, 0.0)
    halves: tuple[Node, ...] = ()

    @property
    def promise(self) -> float:
        """What cutting a leaf promises to gain, in neurons times weight."""
        return self.weight * self.outlook.gain

    @property
    def gained(self) -> float:
        """What cutting an inner node has gained, in neurons times weight."""
        left = sum(half.weight * half.outlook.left for half in self.halves)
        return self.weight * self.outlook.left - left

    @property
    def order(self) -> tuple[float, ...]:
        """Different for any two leaves, and the same however the tree came to them."""
        return tuple(self.lower.tolist())


class Tree:
    """A tree of boxes that grows at its leaves.

    Args:
        domain: the root's box.
        inputs: (n, inputs) points of the domain whose shares are the weights; None for volumes.
    """

    def __init__(self, domain: Box, inputs: np.ndarray | None = None) -> None:
        self._domain, self._inputs = domain, inputs
        rows = None if inputs is None else np.arange(len(inputs))
        self.root = Node(domain.lower, domain.upper, 1.0, rows)

    def levels(self) -> Iterator[list[Node]]:
        """All nodes, as :class:`redy.slicing.adaptive.Adaptive` numbers them."""
        level = [self.root]
        while level:
            yield level
            level = [half for node in level for half in node.halves]

    def nodes(self) -> list[Node]:
        """All nodes, level by level."""
        return [node for level in self.levels() for node in level]

    def leaves(self) -> list[Node]:
        """All leaves, level by level."""
        return [node for node in self.nodes() if not node.halves]

    def below(self, node: Node) -> np.ndarray:
        """(inputs,) the share of the weight of ``node`` below the middle of each input."""
        middle = middle_of(node.lower, node.upper)
        if self._inputs is None or node.rows is None or not node.rows.size:
            return np.full(middle.size, 0.5)
        return np.asarray((self._inputs[node.rows] < middle).mean(axis=0))

    def halve(self, node: Node) -> tuple[Node, Node]:
        """Cut a leaf where its outlook says; returns its halves, whose outlooks are not known."""
        d = node.outlook.cut
        middle = float(middle_of(node.lower[d], node.upper[d]))
        lower, upper = node.lower.copy(), node.upper.copy()
        upper[d] = lower[d] = middle
        under, above = self._divided(node, d, middle)
        node.halves = (
            Node(node.lower, upper, *under),
            Node(lower, node.upper, *above),
        )
        return node.halves

    def _divided(
        self, node: Node, d: int, middle: float
    ) -> tuple[tuple[float, np.ndarray | None], tuple[float, np.ndarray | None]]:
        """Weight and rows of what lies below and above ``middle``."""
        if self._inputs is None or node.rows is None:
            return (0.5 * node.weight, None), (0.5 * node.weight, None)
        below = self._inputs[node.rows, d] < middle
        under, above = node.rows[below], node.rows[~below]
        count = len(self._inputs)
        return (under.size / count, under), (above.size / count, above)

    @staticmethod
    def join(node: Node) -> None:
        """Take the cut of a node between two leaves back; it promises what it had gained."""
        node.outlook = replace(node.outlook, gain=max(0.0, node.gained / node.weight))
        node.halves = ()

    def most_promising(self, count: int) -> list[Node]:
        """Up to ``count`` leaves whose cuts promise to gain most, best first."""
        promising = [leaf for leaf in self.leaves() if leaf.promise > 0.0]
        return heapq.nsmallest(count, promising, key=lambda leaf: (-leaf.promise, leaf.order))

    def regrets(self, count: int) -> list[tuple[Node, Node]]:
        """Up to ``count`` pairs: a cut to take back, and a leaf to cut instead."""
        cut = [
            node
            for node in self.nodes()
            if node.halves and not any(half.halves for half in node.halves)
        ]
        worst = heapq.nsmallest(count, cut, key=lambda node: (node.gained, node.order))
        gone = {half.order for node in worst for half in node.halves}
        best = [leaf for leaf in self.most_promising(3 * count) if leaf.order not in gone]
        return [
            (back, instead)
            for back, instead in zip(worst, best, strict=False)
            if instead.promise > _HYSTERESIS * max(0.0, back.gained)
        ]

    def slicing(self) -> Adaptive:
        """The leaves as a slicing."""
        nodes = self.nodes()
        cuts = [node.outlook.cut + 1 if node.halves else 0 for node in nodes]
        weights = None
        if self._inputs is not None:
            weights = np.array([node.weight for node in nodes if not node.halves])
        return Adaptive(self._domain, np.array(cuts, dtype=np.uint16), weights)

    def record(self) -> dict[str, np.ndarray]:
        """The tree as arrays, for :meth:`restore`."""
        nodes = self.nodes()
        return {
            "inner": np.array([bool(node.halves) for node in nodes]),
            "left": np.array([node.outlook.left for node in nodes]),
            "cut": np.array([node.outlook.cut for node in nodes], dtype=np.int32),
            "gain": np.array([node.outlook.gain for node in nodes]),
        }

    def restore(self, record: Mapping[str, np.ndarray]) -> None:
        """Grow the root to what :meth:`record` recorded."""
        place = 0
        for level in self.levels():
            for node in level:
                left, cut, gain = (record[name][place].item() for name in ("left", "cut", "gain"))
                node.outlook = Outlook(left, cut, gain)
                if record["inner"][place]:
                    self.halve(node)
                place += 1
