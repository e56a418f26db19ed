"""Two networks side by side as one, in which what they have in common is there once.

Hidden layers of both networks are layers of the pair. A unit of the second network that computes
what a unit of the first does, over the same sources with the same weights and bias, *is* that
unit. The last hidden layer of the pair holds the outputs of both networks as linear units, and its
outputs are the differences, second minus first; where both are one unit, the difference is
structurally zero.

What is left of the second network is often close to the first (rounded weights, a neuron removed):
each such neuron may have a *partner* in the first, in an earlier layer of the pair, whose value is
near its own at sampled points. Any choice of partners is sound (:mod:`redy.branching.pair`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from redy.domain import Box
from redy.errors import NetworkError
from redy.network.evaluate import preactivations
from redy.network.form import Layer, Matrix, Network, dense
from redy.search.witnesses import pool_points, unit_pool

_POINTS = 256
"""Points at which partners are looked for."""

_ALIKE = 0.25
"""Mean square distance of partners at most, relative to the mean square of the value itself."""


@dataclass(frozen=True, eq=False)
class Phases:
    """What is proved of a network's units on a box.

    Attributes:
        active, inactive: (total units,) bool, inputs first: z >= 0, z <= 0 on all of the box.
    """

    active: np.ndarray
    inactive: np.ndarray

    @classmethod
    def none(cls, network: Network) -> Phases:
        """Nothing is known."""
        nothing = np.zeros(_starts(network)[-1], dtype=bool)
        return cls(nothing, nothing)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two networks as one.

    Attributes:
        network: as the module says.
        first, second: (outputs,) units, numbered through with inputs first, that hold the outputs
            of the first and of the second network.
        partner: (total units,) the unit each is compared with, -1 for none.
    """

    network: Network
    first: np.ndarray
    second: np.ndarray
    partner: np.ndarray

    @cached_property
    def identical(self) -> bool:
        """Whether both networks are structurally the same, hence equal over the reals."""
        return bool((self.first == self.second).all())


def require_alike(first: Network, second: Network) -> None:
    """Raise :class:`NetworkError` unless both networks have as many inputs and outputs."""
    for what in ("inputs", "outputs"):
        counts = getattr(first, what), getattr(second, what)
        if counts[0] != counts[1]:
            raise NetworkError(
                f"the networks have {counts[0]} and {counts[1]} {what}: they cannot be compared"
            )


def structurally_same(first: Network, second: Network, of_first: Phases, of_second: Phases) -> bool:
    """Whether both networks compute the same over the reals wherever the phases hold.

    Units are compared from the inputs on: two pre-activations are one function if bias and weights
    are the same over sources that are; sources that are zero do not count, nor does it matter
    whether an active unit is a ReLU.
    """
    shared = _shared(first, second, of_first, of_second)[-1]
    begin = _starts(first)[-2]
    return bool((shared == np.arange(begin, begin + first.outputs)).all())


def pair(first: Network, second: Network, box: Box) -> Pair:
    """Both networks as one; partners are looked for at points of ``box``.

    Raises:
        NetworkError: the numbers of inputs or outputs differ.
    """
    require_alike(first, second)
    shared = _shared(first, second, Phases.none(first), Phases.none(second))
    partners = _partners(first, second, shared, box)
    return _Builder(first, second, shared, partners).pair()


def _starts(network: Network) -> np.ndarray:
    """(layers + 2,) the first unit of every layer, inputs first, and the total."""
    widths = [network.width(k) for k in range(len(network.layers) + 1)]
    return np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)


def _shared(
    first: Network, second: Network, of_first: Phases, of_second: Phases
) -> list[np.ndarray]:
    """Per layer of ``second``, inputs first: (units,) the unit of ``first`` it is, or -1.

    No unit of ``first`` stands for two hidden ones: a consumer of both would add their weights up.
    """
    start, start_second = _starts(first), _starts(second)
    units = [np.arange(start[k], start[k + 1]) for k in range(len(start) - 1)]
    known: dict[bytes, list[int]] = defaultdict(list)
    relu = np.concatenate([np.zeros(first.inputs, bool), *(layer.relu for layer in first.layers)])
    for k, layer in enumerate(first.layers, start=1):
        for key, unit in zip(_keys(layer, units, of_first.inactive), units[k], strict=True):
            known[_placed(key, k > first.depth)].append(int(unit))
    result = [units[0]]
    for k, layer in enumerate(second.layers, start=1):
        own = np.arange(start_second[k], start_second[k + 1])
        # A unit of the second network is numbered below zero unless it is one of the first.
        sources = [
            np.where(found >= 0, found, -1 - start_second[j] - np.arange(found.size))
            for j, found in enumerate(result)
        ]
        zero = _Either(of_first.inactive, of_second.inactive)
        found = np.full(layer.units, -1)
        is_output = k > second.depth
        for i, key in enumerate(_keys(layer, sources, zero)):
            candidates = known.get(_placed(key, is_output), [])
            alike = [
                unit
                for unit in candidates
                if relu[unit] == layer.relu[i] or of_first.active[unit] or of_second.active[own[i]]
            ]
            if is_output and start[-2] + i in alike:
                found[i] = start[-2] + i
            elif alike:
                found[i] = alike[0]
                if not is_output:
                    candidates.remove(alike[0])
        result.append(found)
    return result


class _Either:
    """Facts of units numbered from 0 on, and of others numbered -1, -2, ..."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._first, self._second = first, second

    def __getitem__(self, units: np.ndarray) -> np.ndarray:
        own = units < 0
        facts = self._first[np.where(own, 0, units)]
        return np.where(own, self._second[np.where(own, -1 - units, 0)], facts)


def _placed(key: bytes, is_output: bool) -> bytes:
    """Outputs stand for outputs alone."""
    return (b"output" if is_output else b"hidden") + key


def _keys(layer: Layer, units: Sequence[np.ndarray], zero: np.ndarray | _Either) -> list[bytes]:
    """Per unit of ``layer`` what its pre-activation is: non-zero weights by source, and bias."""
    numbers = np.concatenate([units[j] for j in layer.weights] or [np.zeros(0, dtype=np.int64)])
    matrix = np.concatenate(
        [dense(block) for block in layer.weights.values()] or [np.zeros((layer.units, 0))], axis=1
    )
    order = np.argsort(numbers)
    order = order[~zero[numbers[order]]]
    numbers, matrix = numbers[order].astype(np.int64), matrix[:, order]
    reads = matrix != 0.0
    return [
        numbers[of_row].tobytes() + row[of_row].tobytes() + (bias + 0.0).tobytes()
        for row, of_row, bias in zip(matrix, reads, layer.bias, strict=True)
    ]


def _partners(
    first: Network, second: Network, shared: Sequence[np.ndarray], box: Box
) -> list[np.ndarray]:
    """Per layer of ``second``, inputs first: (units,) the partner in ``first``, or -1."""
    points = pool_points(box.lower, box.upper, unit_pool(box.dimension, _POINTS))
    relu = np.concatenate([np.zeros(first.inputs, bool), *(layer.relu for layer in first.layers)])
    partners = np.flatnonzero(relu)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.concatenate([points, *preactivations(first, points)], axis=1)[:, partners]
        result = [np.full(first.inputs, -1)]
        for layer, own, pre in zip(
            second.layers, shared[1:], preactivations(second, points), strict=True
        ):
            found = np.full(layer.units, -1)
            mine = np.flatnonzero(layer.relu & (own < 0))
            if mine.size and partners.size:
                found[mine] = _nearest(pre[:, mine], values, partners)
            result.append(found)
    return result


def _nearest(mine: np.ndarray, values: np.ndarray, partners: np.ndarray) -> np.ndarray:
    """For each column of ``mine`` (points, m) the nearest of ``values``, -1 if none is near."""
    size = (mine**2).sum(axis=0)
    apart = size[:, None] + (values**2).sum(axis=0) - 2.0 * mine.T @ values
    best = apart.argmin(axis=1)
    near = apart[np.arange(best.size), best] <= _ALIKE * size
    return np.where(near, partners[best], -1)


class _Builder:
    """Puts the layers of both networks in an order in which sources and partners come before."""

    def __init__(
        self,
        first: Network,
        second: Network,
        shared: Sequence[np.ndarray],
        partners: Sequence[np.ndarray],
    ) -> None:
        self._first, self._second = first, second
        self._shared, self._partners = shared, partners
        self._start = _starts(first)
        self._layer_of = np.repeat(np.arange(len(self._start) - 1), np.diff(self._start))
        self._own = [np.flatnonzero(found < 0) for found in shared]
        """Per layer of the second network, the units that are not of the first."""
        order = self._order()
        self._place = {(0, 0): 0} | {key: place for place, key in enumerate(order, start=1)}
        self._layers = [self._layer(*key) for key in order]

    def _order(self) -> list[tuple[int, int]]:
        """(network, layer) of the pair's hidden layers but the last."""
        order, place = [(k, 0, k) for k in range(1, self._first.depth + 1)], 0
        for k in range(1, self._second.depth + 1):
            sources = [self._shared[j] for j in self._second.layers[k - 1].weights]
            before = np.concatenate([self._partners[k][self._own[k]], *sources])
            latest = self._layer_of[before[before >= 0]].max(initial=0)
            place = max(place, int(latest), min(k, self._first.depth))
            if self._own[k].size:
                order.append((place, 1, k))
        return [(side, k) for _, side, k in sorted(order)]

    def _layer(self, side: int, k: int) -> Layer:
        network = self._second if side else self._first
        layer = network.layers[k - 1]
        rows = self._own[k] if side else np.arange(layer.units)
        return Layer(self._reads(side, layer, rows), layer.bias[rows], layer.relu[rows])

    def _reads(self, side: int, layer: Layer, rows: np.ndarray) -> dict[int, np.ndarray]:
        """The weights of ``rows`` of a layer, by layer of the pair."""
        result: dict[int, np.ndarray] = {}
        for j, matrix in layer.weights.items():
            weights = _rows(matrix, rows)
            if side == 0 or j == 0:
                self._add(result, (0, j), np.arange(weights.shape[1]), weights)
                continue
            units = self._shared[j]
            own = self._own[j]
            if own.size:
                self._add(result, (1, j), np.arange(own.size), weights[:, own])
            for a in np.unique(self._layer_of[units[units >= 0]]):
                of_first = (units >= 0) & (self._layer_of[units] == a)
                columns = units[of_first] - self._start[a]
                self._add(result, (0, int(a)), columns, weights[:, of_first])
        return result

    def _add(
        self,
        result: dict[int, np.ndarray],
        source: tuple[int, int],
        columns: np.ndarray,
        weights: np.ndarray,
    ) -> None:
        """Set the weights from ``columns`` of a source; no column is set twice."""
        side, k = source
        width = self._own[k].size if side else self._first.width(k)
        block = result.setdefault(self._place[source], np.zeros((len(weights), width)))
        block[:, columns] = weights

    def pair(self) -> Pair:
        """The pair."""
        outputs = self._outputs()
        count, last = self._first.outputs, len(self._layers) + 1
        network_start = self._first.inputs + sum(layer.units for layer in self._layers)
        second = self._shared[-1] - self._start[-2]
        own = self._own[-1]
        second[own] = count + np.arange(own.size)
        differences = np.zeros((count, outputs.units))
        np.add.at(differences, (np.arange(count), second), 1.0)
        np.add.at(differences, (np.arange(count), np.arange(count)), -1.0)
        top = Layer({last: differences}, np.zeros(count), np.zeros(count, dtype=bool))
        network = Network(self._first.inputs, (*self._layers, outputs, top))
        return Pair(
            network,
            network_start + np.arange(count),
            network_start + second,
            self._joint_partners(network),
        )

    def _outputs(self) -> Layer:
        """The outputs of both networks, as one layer of linear units."""
        of_first, of_second = self._first.layers[-1], self._second.layers[-1]
        own = self._own[-1]
        parts = [
            (self._reads(0, of_first, np.arange(of_first.units)), of_first.units),
            (self._reads(1, of_second, own), own.size),
        ]
        weights = {}
        for place in sorted({place for reads, _ in parts for place in reads}):
            width = next(reads[place].shape[1] for reads, _ in parts if place in reads)
            weights[place] = np.concatenate(
                [reads.get(place, np.zeros((rows, width))) for reads, rows in parts]
            )
        bias = np.concatenate([of_first.bias, of_second.bias[own]])
        return Layer(weights, bias, np.zeros(bias.size, dtype=bool))

    def _joint_partners(self, network: Network) -> np.ndarray:
        joint = _starts(network)
        result = np.full(joint[-1], -1)
        for (side, k), place in self._place.items():
            if side == 0:
                continue
            partners = self._partners[k][self._own[k]]
            for i in np.flatnonzero(partners >= 0):
                a = int(self._layer_of[partners[i]])
                result[joint[place] + i] = joint[self._place[0, a]] + partners[i] - self._start[a]
        return result


def _rows(matrix: Matrix, rows: np.ndarray) -> np.ndarray:
    selected: Matrix = matrix[rows]
    return dense(selected)
