"""The original network and d = h' - h of the neurons that differ: the difference encoding.

With dz = sum of W dh, a neuron replaced by a z' + b has dh = a dz + (a z + b - h); one that stays
has dh = relu(z + dz) - h, which is dz, -z, z + dz or zero where both phases are known, and lies
between 0 and dz everywhere (ReluDiff, Paulsen et al., ICSE 2020; NeuroDiff, ASE 2020; VeryDiff,
Teuber et al., 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf

import numpy as np

from redy.edits import Edit
from redy.encodings.builder import ZERO, Expression, linear_unit, preactivation, relu_unit
from redy.encodings.copies import NOTHING, Columns, Copies, affine, enclosing
from redy.encodings.ranges import Ends
from redy.encodings.rows import Duplicated
from redy.network.form import Layer


@dataclass(frozen=True, eq=False)
class _Unit:
    """One unit: z and dz as expressions, the column of h or ZERO, and ranges."""

    z: Expression
    dz: Expression
    h: int
    z_ends: Ends
    dz_ends: Ends
    edited_ends: Ends

    @property
    def same(self) -> bool:
        """Nothing on its way differs."""
        return not self.dz.columns.size

    @property
    def active(self) -> bool:
        """h = z."""
        return self.z_ends.lower >= 0.0


class Differences(Copies):
    """One copy, and the differences."""

    def difference(self) -> Duplicated:
        """The original with all differences."""
        columns = self.original()
        original = self.targets(columns)
        differences: Columns = {0: np.full(self.inputs.size, ZERO)}
        for k in range(1, self.last):
            units = range(self.network.width(k))
            differences[k] = np.array([self._unit(k, i, columns, differences) for i in units])
        outputs = range(self.network.width(self.last))
        second = np.array([self._target(i, differences) for i in outputs])
        return Duplicated(self.builder.problem(), self.inputs, original, second, plain=False)

    def _unit(self, k: int, i: int, columns: Columns, differences: Columns) -> int:
        layer = self.network.layers[k - 1]
        unit = _Unit(
            z=preactivation(layer, i, columns),
            dz=_without_bias(layer, i, differences),
            h=int(columns[k][i]),
            z_ends=self.ranges.z(k, i),
            dz_ends=self.ranges.dz(k, i),
            edited_ends=self.ranges.edited_z(k, i),
        )
        if not layer.relu[i]:
            return self._as_dz(unit)
        match self.codes[k, i]:
            case Edit.KEEP:
                return self._kept(unit)
            case Edit.ZERO:
                return self._minus_h(unit)
            case Edit.IDENTITY:
                return self._identity(unit)
            case _:
                return self._line(unit, *self.lines[k, i])

    def _as_dz(self, unit: _Unit) -> int:
        """dh = dz."""
        return ZERO if unit.same else linear_unit(self.builder, unit.dz, *unit.dz_ends)

    def _minus_h(self, unit: _Unit) -> int:
        """dh = -h."""
        if unit.h == ZERO:
            return ZERO
        d = self.builder.variable(-max(0.0, unit.z_ends.upper), -max(0.0, unit.z_ends.lower))
        self.equation({d: 1.0, unit.h: 1.0}, 0.0)
        return d

    def _identity(self, unit: _Unit) -> int:
        """dh = z + dz - h."""
        if unit.active:
            return self._as_dz(unit)
        d = self.builder.variable(*_ends_of_line(unit, 1.0, 0.0))
        edited = _sum(unit.z, unit.dz)
        constant = edited.constant
        self.builder.row(edited, {d: 1.0} | _term(unit.h, 1.0), constant, constant)
        return d

    def _line(self, unit: _Unit, slope: float, intercept: float) -> int:
        """dh = slope dz + (slope z + intercept - h), with z and dz as variables."""
        d = self.builder.variable(*_ends_of_line(unit, slope, intercept))
        terms = {d: 1.0} | _term(unit.h, 1.0)
        if slope:
            terms[linear_unit(self.builder, unit.z, *unit.z_ends)] = -slope
        if slope and not unit.same:
            terms[linear_unit(self.builder, unit.dz, *unit.dz_ends)] = -slope
        self.equation(terms, intercept)
        return d

    def _kept(self, unit: _Unit) -> int:
        """dh = relu(z + dz) - h."""
        if unit.same or (unit.h == ZERO and unit.edited_ends.upper <= 0.0):
            return ZERO
        if unit.active and unit.edited_ends.lower >= 0.0:
            return self._as_dz(unit)
        dz = linear_unit(self.builder, unit.dz, *unit.dz_ends)
        edited = _sum(unit.z, Expression(np.array([dz]), np.ones(1), 0.0))
        h = relu_unit(self.builder, edited, *unit.edited_ends, exact=True)
        low, high = unit.dz_ends
        d = self.builder.variable(min(0.0, low), max(0.0, high))
        self.equation({d: 1.0} | _term(unit.h, 1.0) | _term(h, -1.0), 0.0)
        self._between_zero_and(dz, unit.dz_ends, d)
        return d

    def _between_zero_and(self, dz: int, ends: Ends, d: int) -> None:
        """Rows for min(0, dz) <= d <= max(0, dz), chords of both over the range of dz.

        With any slope s, d - s dz <= max over dz of (max(0, dz) - s dz), which is convex and so
        largest at an end; the chord's slope makes both ends equal. Below likewise.
        """
        low, high = ends
        rising = 1.0 if low >= 0.0 else (0.0 if high <= 0.0 else high / (high - low))
        for sign, slope in ((1, rising), (-1, 1.0 - rising)):
            if slope == 0.0:
                continue  # the ends of d say it
            gaps = [
                max(Fraction(0), sign * Fraction(end)) - sign * Fraction(slope) * Fraction(end)
                for end in ends
            ]
            most = enclosing(gaps).upper
            sides = (-inf, most) if sign > 0 else (-most, inf)
            self.builder.row(NOTHING, {d: 1.0, dz: -slope}, *sides)

    def _target(self, i: int, differences: Columns) -> int:
        """f'_i - f_i, correction included."""
        dz = _without_bias(self.network.layers[self.last - 1], i, differences)
        linear, constant = self.correction_of(i)
        dz = _sum(dz, linear)
        if not dz.columns.size and not constant:
            return ZERO
        d = self.builder.variable(*self.ranges.dz(self.last, i))
        self.builder.row(dz, {d: 1.0}, constant, constant)
        return d


def _term(column: int, factor: float) -> dict[int, float]:
    return {} if column == ZERO else {column: factor}


def _sum(first: Expression, second: Expression) -> Expression:
    """Their sum; they have no column in common, and ``second`` no constant."""
    columns = np.concatenate([first.columns, second.columns])
    coefficients = np.concatenate([first.coefficients, second.coefficients])
    return Expression(columns, coefficients, first.constant)


def _without_bias(layer: Layer, i: int, columns: Mapping[int, np.ndarray]) -> Expression:
    return replace(preactivation(layer, i, columns), constant=0.0)


def _ends_of_line(unit: _Unit, slope: float, intercept: float) -> Ends:
    """Range of slope dz + (slope z + intercept - relu(z)), the bracket extreme at ends and kink."""
    low, high = unit.z_ends
    apart = [
        Fraction(slope) * Fraction(z) + Fraction(intercept) - Fraction(max(z, 0.0))
        for z in (low, high, min(max(0.0, low), high))
    ]
    return enclosing(p + q for p in apart for q in affine(slope, 0.0, unit.dz_ends))
