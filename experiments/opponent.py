"""An opponent who looks for a point of a slice at which a simplified network breaks its promise.

Many points are tried at once: inside, on faces, between corners. From the worst ones, and from
points that bring removed neurons into the phase in which their edit is wrong, projected gradient
ascent goes on (Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR
2018). For a promise about the winner, the hardest points are those next to the decision boundary:
the opponent finds the boundary of either network by bisection between points of different winners,
and looks at both sides of it, there and from 1e-9 to 1e-6 of the way further.

What looks worst in float64 is judged in exact arithmetic: a promise is broken over the reals, or it
is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import redy
from redy.edits import Criterion, Edit, Edits
from redy.network.evaluate import evaluate, preactivations
from redy.network.exact import exact_outputs
from redy.network.form import Network, dense
from redy.search.witnesses import pool_points
from redy.tolerances import DIFFERENT

_CHUNK = 16_384
_CORNERS = 1024
_BISECTIONS = 50
_FEW = 8192
_PROVOCATIONS = 4
_AROUND = 48
_OTHERS = 0.3
_PROVOKES = np.zeros(len(Edit))
_PROVOKES[[Edit.ZERO, Edit.IDENTITY]] = 1.0, -1.0
"""Sign of the pre-activation at which an edit differs from the ReLU."""
_ASIDE = (1e-6, 1e-7, 1e-8, 1e-9)

Outputs = tuple[np.ndarray, np.ndarray]
"""Of the original and of the simplified network, (n, outputs) each."""

Aim = Callable[[Outputs], tuple[np.ndarray, Outputs]]
"""Outputs -> a value for each point (n,), and its derivative in the outputs of both networks."""

Slope = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Points (n, inputs) -> a value for each (n,), and its gradient."""


@dataclass(frozen=True)
class Strength:
    """How hard a slice is attacked.

    Attributes:
        points: points tried at once.
        starts: points from which ascent begins, per output and sign or per pair of outputs.
        steps: steps of an ascent.
        pairs: segments on which the boundary is looked for, per network.
        judged: points judged in exact arithmetic.
    """

    points: int
    starts: int = 24
    steps: int = 60
    pairs: int = 2048
    judged: int = 16


@dataclass(frozen=True, eq=False)
class Promise:
    """What a simplified network promises on a slice.

    Attributes:
        original: the network f.
        edits: of which the promise holds over the reals.
        simplified: f', the edits folded.
        box: the slice.
        limit: no output differs by more; infinite where only the winner is promised.
        sign: the smallest of sign times the outputs wins.
    """

    original: Network
    edits: Edits
    simplified: Network
    box: redy.Box
    limit: float
    sign: float

    @property
    def on_winner(self) -> bool:
        """Whether the winner alone is promised."""
        return bool(np.isinf(self.limit))

    def outputs(self, points: np.ndarray) -> Outputs:
        """Outputs of both networks in float64."""
        chunks = np.array_split(points, 1 + len(points) // _CHUNK)
        first, second = (
            np.concatenate([evaluate(network, chunk) for chunk in chunks])
            for network in (self.original, self.simplified)
        )
        return first, second

    def excess(self, outputs: Outputs) -> np.ndarray:
        """(n,) by how much each point goes beyond the promise; below zero it keeps it."""
        if self.on_winner:
            winner, other = self.contest(outputs)
            value, _ = self.steal(winner, other)(outputs)
            return value
        apart = np.abs(outputs[1] - outputs[0]).max(axis=1)
        return np.asarray(apart - self.limit)

    def contest(self, outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        """The winner by the original, and the best of all others by the simplified network."""
        winner = (self.sign * outputs[0]).argmin(axis=1)
        others = self.sign * outputs[1]
        others[np.arange(len(others)), winner] = np.inf
        return winner, others.argmin(axis=1)

    def broken_at(self, point: np.ndarray) -> bool:
        """Whether the promise is broken at ``point`` (inputs,), over the reals."""
        before = exact_outputs(self.original, point)
        after = exact_outputs(self.original, point, self.edits)
        if not self.on_winner:
            limit = float(self.limit)
            return any(abs(a - b) > limit for a, b in zip(after, before, strict=True))
        best, winner = min((int(self.sign) * b, i) for i, b in enumerate(before))
        if sum(int(self.sign) * b == best for b in before) > 1:
            return False
        return any(
            int(self.sign) * (a - after[winner]) <= 0 for i, a in enumerate(after) if i != winner
        )

    def rise(self, output: np.ndarray, side: np.ndarray) -> Aim:
        """Point r: ``side[r]`` times the difference of ``output[r]``."""

        def aim(outputs: Outputs) -> tuple[np.ndarray, Outputs]:
            before, after = outputs
            rows = np.arange(len(before))
            slope = np.zeros_like(before)
            slope[rows, output] = side
            return side * (after - before)[rows, output], (-slope, slope)

        return aim

    def steal(self, winner: np.ndarray, thief: np.ndarray) -> Aim:
        """Point r: ``winner[r]`` wins in the original, and loses to ``thief[r]`` in the other.

        The value is the smaller one of the two margins.
        """

        def aim(outputs: Outputs) -> tuple[np.ndarray, Outputs]:
            before, after = outputs
            rows = np.arange(len(before))
            margin, slope = _lead(before, winner, self.sign)
            lost = self.sign * (after[rows, winner] - after[rows, thief])
            slope_lost = np.zeros_like(after)
            slope_lost[rows, winner] += self.sign
            slope_lost[rows, thief] -= self.sign
            first = (margin <= lost)[:, None]
            slopes = (np.where(first, slope, 0.0), np.where(first, 0.0, slope_lost))
            return np.minimum(margin, lost), slopes

        return aim

    def win(self, output: np.ndarray, network: int) -> Aim:
        """Point r: by how much ``output[r]`` wins in the original (0) or the simplified (1)."""

        def aim(outputs: Outputs) -> tuple[np.ndarray, Outputs]:
            margin, slope = _lead(outputs[network], output, self.sign)
            none = np.zeros_like(slope)
            return margin, ((slope, none) if network == 0 else (none, slope))

        return aim


def _lead(outputs: np.ndarray, which: np.ndarray, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """By how much ``which`` (n,) wins, and the derivative in ``outputs`` (n, outputs)."""
    rows = np.arange(len(outputs))
    others = sign * outputs
    others[rows, which] = np.inf
    next_best = others.argmin(axis=1)
    slope = np.zeros_like(outputs)
    slope[rows, next_best] += sign
    slope[rows, which] -= sign
    return sign * (outputs[rows, next_best] - outputs[rows, which]), slope


class Traced:
    """A network that can be differentiated."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._weights = [
            {j: dense(matrix) for j, matrix in layer.weights.items()} for layer in network.layers
        ]

    def forward(self, points: np.ndarray) -> list[np.ndarray]:
        """Pre-activations of all layers, outputs last."""
        return list(preactivations(self._network, points))

    def backward(self, pre: list[np.ndarray], slope: np.ndarray) -> np.ndarray:
        """(n, inputs): the gradient of ``slope`` (n, units) times the last of ``pre``."""
        network = self._network
        adjoint = [np.zeros((len(slope), network.width(j))) for j in range(len(pre))]
        adjoint.append(slope)
        for k in range(len(pre), 0, -1):
            relu = network.layers[k - 1].relu & (k < len(pre))
            back = np.where(relu & (pre[k - 1] <= 0), 0.0, adjoint[k])
            for j, matrix in self._weights[k - 1].items():
                adjoint[j] += back @ matrix
        return adjoint[0]


@dataclass(frozen=True, eq=False)
class Finding:
    """What the opponent saw.

    Attributes:
        points: how many points were looked at.
        worst: (m, inputs) those that go furthest beyond the promise, or come nearest to it.
        excess: (m,) by how much, in float64.
        difference: the largest difference of an output.
        margin: the smallest margin above zero by which the original had a winner.
        size: the largest magnitude of an output.
    """

    points: int
    worst: np.ndarray
    excess: np.ndarray
    difference: float
    margin: float
    size: float

    @property
    def beyond_rounding(self) -> bool:
        """Whether the promise is broken in float64 by more than rounding explains."""
        return bool((self.excess > DIFFERENT * max(1.0, self.size)).any())


class Opponent:
    """Attacks one promise."""

    def __init__(self, promise: Promise, strength: Strength, rng: np.random.Generator) -> None:
        self._promise, self._strength, self._rng = promise, strength, rng
        self._traced = Traced(promise.original), Traced(promise.simplified)
        inputs = promise.original.inputs
        self._finding = Finding(0, np.zeros((0, inputs)), np.zeros(0), 0.0, np.inf, 0.0)

    def attack(self, points: np.ndarray) -> Finding:
        """What is found from ``points`` (n, inputs) of the slice on."""
        provoked = self._provoked(points)
        points = np.concatenate([points, provoked])
        outputs = self._look(points)
        if self._promise.on_winner:
            self._attack_winner(points, outputs, provoked)
        else:
            self._attack_values(points, outputs)
        return self._finding

    def broken(self) -> Iterator[np.ndarray]:
        """Those of the worst points at which the promise is broken over the reals."""
        for point in self._finding.worst:
            if not bool(self._promise.box.contains(point[None])[0]):
                raise AssertionError("the opponent left the slice")
            if self._promise.broken_at(point):
                yield point

    def _look(self, points: np.ndarray) -> Outputs:
        """Take note of what is at ``points``."""
        outputs = self._promise.outputs(points)
        before, after = outputs
        excess = np.nan_to_num(self._promise.excess(outputs), nan=np.inf)
        found = self._finding
        excess = np.concatenate([found.excess, excess])
        worst = np.argsort(-excess, kind="stable")[: self._strength.judged]
        margins, _ = _lead(before, (self._promise.sign * before).argmin(axis=1), self._promise.sign)
        self._finding = Finding(
            found.points + len(points),
            np.concatenate([found.worst, points])[worst],
            excess[worst],
            max(found.difference, float(np.abs(after - before).max(initial=0.0))),
            min(found.margin, float(margins[margins > 0].min(initial=np.inf))),
            max(found.size, float(np.abs(before).max(initial=0.0))),
        )
        return outputs

    def _attack_values(self, points: np.ndarray, outputs: Outputs) -> None:
        """Ascend to the largest difference of every output, either way."""
        apart = outputs[1] - outputs[0]
        for side in (1.0, -1.0):
            for output in range(apart.shape[1]):
                start = self._best(side * apart[:, output])
                aim = self._promise.rise(np.full(len(start), output), np.full(len(start), side))
                self._look(self._ascend(self._to(aim), points[start]))

    def _attack_winner(self, points: np.ndarray, outputs: Outputs, provoked: np.ndarray) -> None:
        """Look beside the boundaries, and ascend from there."""
        points = np.concatenate([points, *self._hunted(points, outputs)])
        near = [*self._beside_boundaries(points), *self._beside_boundaries(provoked)]
        points = np.concatenate([self._finding.worst, *near])
        outputs = self._look(points)
        start = self._best(self._promise.excess(outputs), 8 * self._strength.starts)
        some = self._rng.integers(0, len(points), len(start))
        start = np.concatenate([start, some])
        winner, thief = self._promise.contest((outputs[0][start], outputs[1][start]))
        aim = self._promise.steal(winner, thief)
        self._look(self._ascend(self._to(aim), points[start]))

    def _provoked(self, points: np.ndarray) -> np.ndarray:
        """Points that bring removed neurons into the phase in which the edit is wrong."""
        network, edits = self._promise.original, self._promise.edits
        neurons = np.array(network.neurons).reshape(-1, 2)
        signs = _PROVOKES[edits.codes] * (edits.criteria != Criterion.PHASE)
        some = points[self._rng.choice(len(points), min(_FEW, len(points)))]
        pre, found = self._traced[0].forward(some), [points[:0]]
        for k in np.unique(neurons[signs != 0, 0]):
            mine = np.flatnonzero((neurons[:, 0] == k) & (signs != 0))
            units, sign = neurons[mine, 1], signs[mine]
            start = (sign * pre[k - 1][:, units]).argsort(axis=0)[-_PROVOCATIONS:]
            slope = self._into_phase(k, np.tile(units, len(start)), np.tile(sign, len(start)))
            reached = self._ascend(slope, some[start.ravel()])
            found += [some[start.ravel()], reached, self._around(reached)]
        return np.concatenate(found)

    def _around(self, points: np.ndarray) -> np.ndarray:
        """Each of ``points`` (n, inputs) with other coordinates in the place of some of its own."""
        box, points = self._promise.box, np.repeat(points, _AROUND, axis=0)
        others = self._rng.uniform(box.lower, box.upper, points.shape)
        return np.where(self._rng.random(points.shape) < _OTHERS, others, points)

    def _hunted(self, points: np.ndarray, outputs: Outputs) -> Iterator[np.ndarray]:
        """Points at which each output wins, or comes near to it, in either network."""
        for network in (0, 1):
            for output in range(outputs[network].shape[1]):
                whole = np.full(len(points), output)
                value, _ = self._promise.win(whole, network)(outputs)
                start = self._best(value)
                aim = self._promise.win(np.full(len(start), output), network)
                reached = self._ascend(self._to(aim), points[start])
                self._look(reached)
                yield reached

    def _beside_boundaries(self, points: np.ndarray) -> Iterator[np.ndarray]:
        """Points beside the boundary of either network, found among ``points``."""
        outputs = self._promise.outputs(points)
        for network in (0, 1):
            winner = (self._promise.sign * outputs[network]).argmin(axis=1)
            present = np.unique(winner)
            if present.size < 2:
                continue
            share = self._strength.pairs // present.size
            ends = [
                (self._rng.choice(np.flatnonzero(mine), share), self._rng.choice(others, share))
                for mine in (winner == output for output in present)
                if (others := np.flatnonzero(~mine)).size
            ]
            inside, outside = (points[np.concatenate(end)] for end in zip(*ends, strict=True))
            yield from self._beside(network, inside, outside)

    def _beside(
        self, network: int, inside: np.ndarray, outside: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Points on the segments, on both sides of where the winner changes."""
        which = (self._promise.original, self._promise.simplified)[network]
        sign, along = self._promise.sign, outside - inside
        winner = (sign * evaluate(which, inside)).argmin(axis=1)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (inside + outside)
            same = ((sign * evaluate(which, middle)).argmin(axis=1) == winner)[:, None]
            inside, outside = np.where(same, middle, inside), np.where(same, outside, middle)
        yield inside
        yield outside
        for step in _ASIDE:
            yield self._clipped(inside - step * along)
            yield self._clipped(outside + step * along)

    def _best(self, values: np.ndarray, count: int | None = None) -> np.ndarray:
        """Where the largest values are."""
        count = min(count or self._strength.starts, len(values))
        return np.argpartition(-values, count - 1)[:count]

    def _clipped(self, points: np.ndarray) -> np.ndarray:
        return np.clip(points, self._promise.box.lower, self._promise.box.upper)

    def _ascend(self, slope: Slope, points: np.ndarray) -> np.ndarray:
        """Points of larger value, from ``points`` (n, inputs), row by row.

        A step goes along the sign of the gradient, along some of its coordinates, or anywhere: at
        the kinks, of which the values are full, the gradient alone gets stuck. What no step helps
        takes smaller ones from then on, what one helps takes larger ones again.
        """
        width = self._promise.box.upper - self._promise.box.lower
        step = np.ones((len(points), 1))
        value, gradient = slope(points)
        for _ in range(self._strength.steps):
            better = np.zeros(len(points), dtype=bool)
            for kind in range(3):
                moved = self._clipped(points + step * width * self._direction(gradient, kind))
                new_value, new_gradient = slope(moved)
                higher = new_value > value
                points = np.where(higher[:, None], moved, points)
                gradient = np.where(higher[:, None], new_gradient, gradient)
                value = np.where(higher, new_value, value)
                better |= higher
            step = np.where(better[:, None], np.minimum(2.0 * step, 1.0), 0.5 * step)
        return points

    def _direction(self, gradient: np.ndarray, kind: int) -> np.ndarray:
        """Within [-1, 1]: the sign of the gradient, the same on some coordinates, or random."""
        if kind == 0:
            return np.sign(gradient)
        some = self._rng.random(gradient.shape) < 0.5
        if kind == 1:
            return np.where(some, np.sign(gradient), 0.0)
        return np.where(some, self._rng.uniform(-1.0, 1.0, gradient.shape), 0.0)

    def _to(self, aim: Aim) -> Slope:
        def slope(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            pre = [traced.forward(points) for traced in self._traced]
            value, slopes = aim((pre[0][-1], pre[1][-1]))
            gradient = np.zeros_like(points)
            for traced, of_one, each in zip(self._traced, pre, slopes, strict=True):
                if each.any():
                    gradient += traced.backward(of_one, each)
            return value, gradient

        return slope

    def _into_phase(self, layer: int, units: np.ndarray, signs: np.ndarray) -> Slope:
        """Point r: ``signs[r]`` times the pre-activation of ``units[r]`` of the original."""

        def slope(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            pre = self._traced[0].forward(points)[:layer]
            rows = np.arange(len(points))
            each = np.zeros_like(pre[-1])
            each[rows, units] = signs
            return signs * pre[-1][rows, units], self._traced[0].backward(pre, each)

        return slope


def spread(box: redy.Box, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` points: corners, on segments between corners, on faces and edges, inside.

    They are single precision numbers where the slice holds such, so that the original network as
    onnxruntime runs it sees the same points.
    """
    unit = rng.random((count, box.dimension))
    on_faces = unit[::3]
    snapped = rng.random(on_faces.shape) < rng.random((len(on_faces), 1))
    on_faces[snapped] = on_faces[snapped].round()
    ends = rng.integers(0, 2, (2, len(unit[1::3]), box.dimension))
    along = rng.random((len(unit[1::3]), 1))
    unit[1::3] = ends[0] + along * (ends[1] - ends[0])
    if 2**box.dimension <= _CORNERS:
        corners = (np.arange(2**box.dimension)[:, None] >> np.arange(box.dimension)) & 1
    else:
        corners = rng.integers(0, 2, (_CORNERS, box.dimension))
    unit[: len(corners)] = corners[:count]
    return pool_points(box.lower, box.upper, unit)


def true_faces(box: redy.Box, points: np.ndarray) -> np.ndarray:
    """Those of ``points`` on faces of the slice's single precision numbers, moved to its own."""
    low, high = points.min(axis=0), points.max(axis=0)
    moved = np.where(points == low, box.lower, np.where(points == high, box.upper, points))
    return moved[((points == low) | (points == high)).any(axis=1)]
