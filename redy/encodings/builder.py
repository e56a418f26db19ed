"""The blocks that encodings are made of: a problem that grows, and neurons entered into it.

Weights go into rows as they are, so that they stay the exact reals of the network's file. What has
to be computed from bounds is rounded so that it only ever admits more points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite, nextafter

import numpy as np
from scipy import sparse

from redy.network.form import Layer
from redy.solvers.problem import Problem

ZERO = -1
"""In place of a variable: the unit is zero."""

_STEEPEST = 1e6
"""Largest multiple of h in a chord row; a smaller one admits more and is kinder to solvers."""


@dataclass(frozen=True, eq=False)
class Expression:
    """The affine form constant + sum of coefficients * x[columns], the columns distinct."""

    columns: np.ndarray
    coefficients: np.ndarray
    constant: float


class Builder:
    """Accumulates variables and rows."""

    def __init__(self) -> None:
        self._lower: list[float] = []
        self._upper: list[float] = []
        self._integer: list[bool] = []
        self._columns: list[np.ndarray] = []
        self._coefficients: list[np.ndarray] = []
        self._row_lower: list[float] = []
        self._row_upper: list[float] = []

    def variable(self, lower: float, upper: float, *, integer: bool = False) -> int:
        """A new variable; returns its column."""
        self._lower.append(float(lower))
        self._upper.append(float(upper))
        self._integer.append(integer)
        return len(self._lower) - 1

    def row(
        self,
        expression: Expression,
        extra: Mapping[int, float],
        lower: float = -inf,
        upper: float = inf,
    ) -> None:
        """The row  lower <= sum of extra[j] x_j - linear part of ``expression`` <= upper."""
        self._columns.append(np.concatenate([np.array([*extra], dtype=int), expression.columns]))
        self._coefficients.append(np.concatenate([[*extra.values()], -expression.coefficients]))
        self._row_lower.append(lower)
        self._row_upper.append(upper)

    def problem(self) -> Problem:
        """What was accumulated, with objective zero."""
        ends = np.cumsum([0, *(columns.size for columns in self._columns)])
        none = np.zeros(0)
        rows = sparse.csr_array(
            (
                np.concatenate([none, *self._coefficients]),
                np.concatenate([none.astype(int), *self._columns]),
                ends,
            ),
            shape=(len(self._columns), len(self._lower)),
        )
        return Problem(
            lower=np.array(self._lower, dtype=float),
            upper=np.array(self._upper, dtype=float),
            integer=np.array(self._integer, dtype=bool),
            rows=rows,
            row_lower=np.array(self._row_lower, dtype=float),
            row_upper=np.array(self._row_upper, dtype=float),
            objective=np.zeros(len(self._lower)),
        )


def minimise(problem: Problem, expression: Expression, sign: int) -> Problem:
    """``problem`` with the objective sign * ``expression``, sign +1 or -1."""
    objective = np.zeros_like(problem.objective)
    objective[expression.columns] = sign * expression.coefficients
    return replace(problem, objective=objective, constant=sign * expression.constant)


def preactivation(layer: Layer, i: int, columns: Mapping[int, np.ndarray]) -> Expression:
    """Pre-activation of unit ``i``; ``columns[j]`` (width of j,) are those of h_j, or ZERO."""
    parts = [_entries(matrix, i, columns[j]) for j, matrix in layer.weights.items()]
    return Expression(
        np.concatenate([np.zeros(0, dtype=int), *(part[0] for part in parts)]),
        np.concatenate([np.zeros(0), *(part[1] for part in parts)]),
        float(layer.bias[i]),
    )


def linear_unit(builder: Builder, pre: Expression, lower: float, upper: float) -> int:
    """The unit h = z, with z in [lower, upper]; returns its column."""
    h = builder.variable(lower, upper)
    builder.row(pre, {h: 1.0}, pre.constant, pre.constant)
    return h


def relu_unit(builder: Builder, pre: Expression, lower: float, upper: float, exact: bool) -> int:
    """The unit h = max(z, 0), with z in [lower, upper], finite; returns its column or ZERO.

    If one phase covers the bounds, it is exact in one equation or none. Else h >= 0, h >= z, and:

    - if ``exact``: h <= z - lower (1 - a) and h <= upper a with a binary a (big-M; Tjeng, Xiao and
      Tedrake, *Evaluating Robustness of Neural Networks with Mixed Integer Programming*, ICLR
      2019, section 4.1);
    - else the chord, multiplied by (upper - lower) / upper so that the weights stay as they are:
      (upper - lower) / upper h <= z - lower (the triangle of Ehlers, *Formal Verification of
      Piece-Wise Linear Feed-Forward Neural Networks*, ATVA 2017, section 4.1).
    """
    if upper <= 0:
        return ZERO
    if lower >= 0:
        return linear_unit(builder, pre, lower, upper)
    h = builder.variable(0.0, upper)
    builder.row(pre, {h: 1.0}, lower=pre.constant)
    # z - lower, less its part that is linear in variables, rounded upward: more points, not fewer.
    above = nextafter(pre.constant - lower, inf)
    if exact:
        phase = builder.variable(0.0, 1.0, integer=True)
        builder.row(pre, {h: 1.0, phase: -lower}, upper=above)
        builder.row(_NOTHING, {h: 1.0, phase: -upper}, upper=0.0)
    else:
        builder.row(pre, {h: _chord_multiple(lower, upper)}, upper=above)
    return h


_NOTHING = Expression(np.zeros(0, dtype=int), np.zeros(0), 0.0)


def _chord_multiple(lower: float, upper: float) -> float:
    """At most (upper - lower) / upper, at least 1.

    With any such k, k h <= z - lower holds at z = lower, 0 and upper, and h is convex in z.
    """
    width = nextafter(upper - lower, 0.0)
    multiple = nextafter(width / upper, 0.0) if isfinite(width) else 1.0
    return max(1.0, min(multiple, _STEEPEST))


def _entries(
    matrix: np.ndarray | sparse.csr_array, i: int, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Columns and weights of row ``i`` that matter: not zero, of units that are not zero."""
    if isinstance(matrix, np.ndarray):
        places, values = np.arange(matrix.shape[1]), matrix[i]
    else:
        row = slice(matrix.indptr[i], matrix.indptr[i + 1])
        places, values = matrix.indices[row], matrix.data[row]
    kept = (values != 0) & (columns[places] != ZERO)
    return columns[places[kept]], values[kept]
