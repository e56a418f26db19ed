"""Affine functions in the place of a network's outputs, fitted to points; they propose.

Least largest distance, by Lawson's algorithm: weighted least squares, the weights multiplied by the
errors after every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LAWSON_STEPS = 12
_DAMPING = 1e-9


@dataclass(frozen=True, eq=False)
class AffineFit:
    """An affine function [C | d] of the input.

    Attributes:
        coefficients: (outputs, inputs + 1).
        error: its largest distance to an output at the points it was fitted to.
    """

    coefficients: np.ndarray
    error: float


def fit_affine(
    points: np.ndarray, values: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> AffineFit:
    """The affine function nearest to ``values`` (m, outputs) at ``points`` (m, inputs) of a box."""
    width = np.where(upper > lower, upper - lower, 1.0)
    basis = affine_basis(points, lower, width)
    solve = np.linalg.pinv(basis)
    relative = np.stack([chebyshev(basis, solve, column) for column in values.T])
    slope = relative[:, 1:] / width
    coefficients = np.column_stack([slope, relative[:, 0] - slope @ lower])
    rest = values - points @ slope.T - coefficients[:, -1]
    return AffineFit(coefficients, float(np.abs(rest).max(initial=0.0)))


def affine_basis(points: np.ndarray, lower: np.ndarray, width: np.ndarray) -> np.ndarray:
    """1 and the relative position in the box from ``lower`` on: (m, inputs + 1)."""
    return np.concatenate([np.ones((len(points), 1)), (points - lower) / width], axis=1)


def chebyshev(basis: np.ndarray, solve: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Coefficients of the combination of ``basis`` of least largest distance to ``values`` (m,).

    Args:
        basis: (m, n).
        solve: (n, m), its pseudo-inverse.
    """
    weights = np.full(len(values), 1.0 / len(values))
    coefficients = solve @ values
    best, least = coefficients, np.inf
    for _ in range(_LAWSON_STEPS):
        error = np.abs(values - basis @ coefficients)
        largest = error.max(initial=0.0)
        if largest < least:
            best, least = coefficients, largest
        if largest == 0.0:
            break
        weights = weights * error
        weights /= weights.sum()
        rooted = np.sqrt(weights)[:, None]
        gram = (basis * rooted).T @ (basis * rooted)
        gram += np.eye(len(gram)) * (_DAMPING * np.trace(gram))
        coefficients = np.linalg.solve(gram, basis.T @ (weights * values))
    return np.asarray(best)
