"""The state of one import: layers made so far, and whether what was composed is exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from redy.errors import UnsupportedError
from redy.formats import affine
from redy.formats.affine import Affine
from redy.formats.onnx_graph import Node, Value
from redy.network.form import Layer, Matrix

_PER_UNIT = 8
_PER_STEP = 1024
"""What a unit of a layer, and a node or a matrix of an expression, take besides their weights: in
numbers, as those are counted. Time is bounded thereby as memory is."""

# Above this many weights per value an expression that several neurons need is kept as a layer of
# linear units: shorter than repeating its weights, and free of rounding.
_HELD_ABOVE = 4

# Share of non-zero weights above which a matrix is kept dense.
_DENSE_ABOVE = 0.25


@dataclass(frozen=True, eq=False)
class Entry:
    """scale * tensor[index] + offset, where ``tensor`` is one of the original model.

    Args:
        tensor: the tensor's name, or None for ``offset`` alone.
        index: (units,) positions in the flattened tensor.
        scale: factor.
        offset: (units,) or scalar.
    """

    tensor: str | None
    index: np.ndarray
    scale: float = 1.0
    offset: float | np.ndarray = 0.0

    def read(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Value from ``tensors``, each (n, size) by name: (n, units), or (units,) if constant."""
        if self.tensor is None:
            return np.broadcast_to(self.offset, self.index.shape)
        picked = tensors[self.tensor][:, self.index]
        return picked if self._plain else picked * self.scale + self.offset

    @property
    def _plain(self) -> bool:
        return self.scale == 1.0 and not np.any(self.offset)

    def negated(self) -> Entry:
        """The entry of the opposite value."""
        return Entry(self.tensor, self.index, -self.scale, -np.asarray(self.offset))

    def at(self, rows: np.ndarray) -> Entry:
        """The entry for units ``rows`` only."""
        offset = self.offset if np.ndim(self.offset) == 0 else np.asarray(self.offset)[rows]
        return Entry(self.tensor, self.index[rows], self.scale, offset)


@dataclass(frozen=True, eq=False)
class Readout:
    """Where the pre-activations of one layer stand in the original model.

    z = max over ``plus`` - max over ``minus`` (0 if empty). A plain ReLU has one entry in ``plus``,
    the tensor that feeds it.
    """

    plus: tuple[Entry, ...]
    minus: tuple[Entry, ...] = ()

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the tensors read."""
        names = (entry.tensor for entry in self.plus + self.minus)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def read(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Pre-activations (n, units) from ``tensors``, each (n, size) by name."""
        result = _maximum(self.plus, tensors)
        if self.minus:
            result = result - _maximum(self.minus, tensors)
        return result


def _maximum(entries: Sequence[Entry], tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    result = entries[0].read(tensors)
    for entry in entries[1:]:
        result = np.maximum(result, entry.read(tensors))
    return result


@dataclass(frozen=True, eq=False)
class Operand:
    """A vector of values, and the entries of the original model whose maximum it is."""

    value: Affine
    entries: tuple[Entry, ...]

    def at(self, rows: np.ndarray) -> Operand:
        """The operand of values ``rows`` only."""
        return Operand(affine.take(self.value, rows), tuple(e.at(rows) for e in self.entries))


class Import:
    """Collects layers and their readouts while nodes are propagated in order.

    Every method that may round clears ``exact``; :meth:`finish_node` turns that into a record of
    the node's name in ``rounded``.
    """

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.readouts: list[Readout] = []
        self.rounded: list[str] = []
        self.exact = True
        self._taken = 0

    def finish_node(self, node: Node, results: Sequence[Value]) -> None:
        """Record the node if it rounded, and keep count of the memory its results take."""
        if not self.exact:
            self.rounded.append(node.label)
        self.exact = True
        for result in results:
            self._take(result.size)
            if isinstance(result, Affine):
                self._take(result.weights + _PER_STEP * len(result.terms))
        self._take(_PER_STEP)

    def _take(self, numbers: int) -> None:
        self._taken += numbers
        if self._taken > affine.room():
            raise UnsupportedError(
                f"the model needs more than {affine.room()} numbers by here, which is out of "
                "proportion to its file"
            )

    def add(self, left: Affine, right: Affine) -> Affine:
        """left + right, of one shape."""
        result, exact = affine.add(left, right)
        self.exact = self.exact and exact
        return result

    def subtract(self, left: Affine, right: Affine) -> Affine:
        """left - right, of one shape."""
        return self.add(left, affine.negate(right))

    def scale(self, value: Affine, factors: np.ndarray) -> Affine:
        """value times factors, entry by entry."""
        result, exact = affine.scale(value, factors)
        self.exact = self.exact and exact
        return result

    def apply(self, matrix: csr_array, value: Affine, shape: Sequence[int]) -> Affine:
        """matrix @ value as a tensor of ``shape``."""
        result, exact = affine.apply(matrix, value, shape)
        self.exact = self.exact and exact
        return result

    def activate(self, value: Affine, readout: Readout) -> Affine:
        """max(value, 0): a new hidden layer of ReLU neurons."""
        return self._layer(value, readout, relu=True)

    def hold(self, operand: Operand) -> Operand:
        """The operand as linear units of a new layer, where that is shorter than its weights."""
        if operand.value.weights <= _HELD_ABOVE * operand.value.size:
            return operand
        held = self._layer(operand.value, Readout(operand.entries), relu=False)
        return Operand(held, operand.entries)

    def maximum(self, left: Operand, right: Operand) -> Operand:
        """max(left, right) = right + relu(left - right), vectors of one size."""
        if left.value.weights < right.value.weights:
            left, right = right, left
        right = self.hold(right)
        gap = self.subtract(left.value, right.value)
        readout = Readout(left.entries, right.entries)
        value = self.add(right.value, self.activate(gap, readout))
        return Operand(value, left.entries + right.entries)

    def _layer(self, value: Affine, readout: Readout, *, relu: bool) -> Affine:
        self._take(_PER_UNIT * value.size + value.weights + _PER_STEP * len(value.terms))
        self.layers.append(layer_of(value, relu=relu))
        self.readouts.append(readout)
        return affine.identity(len(self.layers), value.shape)


def layer_of(value: Affine, *, relu: bool) -> Layer:
    """The layer whose pre-activations are ``value``."""
    weights = {j: _compact(matrix) for j, matrix in value.terms.items() if matrix.count_nonzero()}
    return Layer(weights, value.bias, np.full(value.size, relu))


def _compact(matrix: csr_array) -> Matrix:
    if matrix.nnz > _DENSE_ABOVE * matrix.shape[0] * matrix.shape[1]:
        return np.asarray(matrix.toarray())
    matrix.sort_indices()
    return matrix
