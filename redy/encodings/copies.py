"""The original and the edited network as two complete copies: the plain encoding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import inf, nextafter

import numpy as np

from redy.domain import Box
from redy.edits import Edit, Edits
from redy.encodings.builder import (
    ZERO,
    Builder,
    Expression,
    linear_unit,
    preactivation,
    relu_unit,
)
from redy.encodings.ranges import Ends, Ranges
from redy.encodings.rows import Duplicated
from redy.network.form import Layer, Network

Columns = dict[int, np.ndarray]
"""Layer j -> columns of its units, or ZERO."""

NOTHING = Expression(np.zeros(0, dtype=int), np.zeros(0), 0.0)


class Copies:
    """A problem in which copies of a network's units are entered, layer by layer.

    Args:
        ranges: of the units up to ``layer`` on ``box``, for ``edits``.
        layer: the layer that is compared; a correction counts where it is the last.
    """

    def __init__(
        self, network: Network, edits: Edits, box: Box, ranges: Ranges, layer: int
    ) -> None:
        self.network, self.ranges, self.last = network, ranges, layer
        self.codes = dict(zip(network.neurons, edits.codes.tolist(), strict=True))
        self.lines = dict(zip(network.neurons, edits.lines.tolist(), strict=True))
        self.correction = edits.correction if layer == network.depth + 1 else None
        self.builder = Builder()
        ends = zip(box.lower, box.upper, strict=True)
        self.inputs = np.array([self.builder.variable(*end) for end in ends])

    def plain(self) -> Duplicated:
        """Both copies."""
        original = self.targets(self.original())
        columns: Columns = {0: self.inputs}
        for k in range(1, self.last):
            units = range(self.network.width(k))
            columns[k] = np.array([self._edited_unit(k, i, columns) for i in units])
        edited = self._edited_targets(columns)
        return Duplicated(self.builder.problem(), self.inputs, original, edited, plain=True)

    def original(self) -> Columns:
        """Columns of h, of every layer before the one that is compared."""
        columns: Columns = {0: self.inputs}
        for k in range(1, self.last):
            units = range(self.network.width(k))
            columns[k] = np.array([self._original_unit(k, i, columns) for i in units])
        return columns

    def targets(self, columns: Columns) -> np.ndarray:
        """Columns of f, the pre-activations compared."""
        layer, ends = self.network.layers[self.last - 1], self.ranges.z
        pres = [preactivation(layer, i, columns) for i in range(layer.units)]
        return np.array(
            [linear_unit(self.builder, pre, *ends(self.last, i)) for i, pre in enumerate(pres)]
        )

    def equation(self, terms: Mapping[int, float], value: float) -> None:
        """The row  sum of terms[j] x_j = value."""
        self.builder.row(NOTHING, terms, value, value)

    def correction_of(self, i: int) -> tuple[Expression, float]:
        """What the correction adds to output ``i``: its linear part and its constant."""
        if self.correction is None:
            return NOTHING, 0.0
        slopes, constant = self.correction[i, :-1], float(self.correction[i, -1])
        read = np.flatnonzero(slopes)
        return Expression(self.inputs[read], slopes[read], 0.0), constant

    def _layer(self, k: int) -> Layer:
        return self.network.layers[k - 1]

    def _original_unit(self, k: int, i: int, columns: Columns) -> int:
        pre, ends = preactivation(self._layer(k), i, columns), self.ranges.z(k, i)
        if self._layer(k).relu[i]:
            return relu_unit(self.builder, pre, *ends, exact=True)
        return linear_unit(self.builder, pre, *ends)

    def _edited_unit(self, k: int, i: int, columns: Columns) -> int:
        """h' of a unit that stays, that is linear, or that a line replaces."""
        pre, ends = preactivation(self._layer(k), i, columns), self.ranges.edited_z(k, i)
        match self.codes.get((k, i), Edit.IDENTITY):
            case Edit.KEEP:
                return relu_unit(self.builder, pre, *ends, exact=True)
            case Edit.ZERO:
                return ZERO
            case Edit.IDENTITY:
                return linear_unit(self.builder, pre, *ends)
            case _:
                slope, intercept = self.lines[k, i]
                z = linear_unit(self.builder, pre, *ends)
                h = self.builder.variable(*enclosing(affine(slope, intercept, ends)))
                self.equation({h: 1.0, z: -slope}, intercept)
                return h

    def _edited_targets(self, columns: Columns) -> np.ndarray:
        """Columns of f', correction included."""
        layer, units = self._layer(self.last), []
        for i in range(layer.units):
            pre, ends = preactivation(layer, i, columns), self.ranges.edited_z(self.last, i)
            linear, constant = self.correction_of(i)
            if not linear.columns.size and not constant:
                units.append(linear_unit(self.builder, pre, *ends))
                continue
            plain = linear_unit(self.builder, pre, -inf, inf)
            units.append(self.builder.variable(*ends))
            self.builder.row(linear, {units[-1]: 1.0, plain: -1.0}, constant, constant)
        return np.array(units)


def affine(slope: float, intercept: float, ends: Ends) -> list[Fraction]:
    """slope x + intercept at both finite ends, exactly."""
    return [Fraction(slope) * Fraction(end) + Fraction(intercept) for end in ends]


def enclosing(values: Iterable[Fraction]) -> Ends:
    """A range of float64 ends that holds all ``values``."""
    values = list(values)
    return Ends(_rounded(min(values), -inf), _rounded(max(values), inf))


def _rounded(exact: Fraction, towards: float) -> float:
    """A float64 next to ``exact``, on that side; beyond all of them, the infinity."""
    try:
        nearest = float(exact)
    except OverflowError:
        return towards
    beyond = exact < nearest if towards < 0 else exact > nearest
    return nextafter(nearest, towards) if beyond else nearest
