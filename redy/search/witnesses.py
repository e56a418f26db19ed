"""Simulation: points of a slice, and which of them show a neuron in which phase for certain.

A witness must be a number that the original network can be fed: its coordinates are single
precision numbers wherever the slice holds one. A sign counts only when float64 evaluation with its
error bound leaves no doubt; whether the original network agrees is checked apart, by replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from redy.network.evaluate import preactivations
from redy.network.form import Matrix, Network
from redy.tolerances import FLOOR, UPWARD, gamma

_CORNERS = 64
_POOL_SEED = 20210526  # fixed, so that the same inputs give the same bundle


def inner_ends(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends of boxes (..., inputs) rounded inward to single precision numbers, as float64.

    Where an interval holds no such number, both ends are its middle.
    """
    with np.errstate(over="ignore"):
        low, high = lower.astype(np.float32), upper.astype(np.float32)
    low = np.where(low < lower, np.nextafter(low, np.float32(np.inf)), low).astype(np.float64)
    high = np.where(high > upper, np.nextafter(high, np.float32(-np.inf)), high).astype(np.float64)
    none = ~((low <= high) & np.isfinite(low) & np.isfinite(high))
    middle = np.clip(0.5 * lower + 0.5 * upper, lower, upper)
    return np.where(none, middle, low), np.where(none, middle, high)


def unit_pool(inputs: int, count: int) -> np.ndarray:
    """Relative positions in a box: its middle, corners (all when few), random: (count, inputs)."""
    rng = np.random.default_rng(_POOL_SEED)
    unit = rng.random((count, inputs))
    corners = min(count, _CORNERS)
    if 2**inputs <= corners:
        corners = 2**inputs
        unit[:corners] = (np.arange(corners)[:, None] >> np.arange(inputs)) & 1
    else:
        unit[:corners] = unit[:corners].round()
    unit[corners : corners + 1] = 0.5
    return unit


def pool_points(lower: np.ndarray, upper: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """The points of the box [lower, upper] at positions ``unit``: (n, inputs) float64."""
    inner_lower, inner_upper = inner_ends(lower, upper)
    points = lower * (1.0 - unit) + upper * unit  # upper - lower might overflow
    with np.errstate(over="ignore"):
        points = points.astype(np.float32).astype(np.float64)
    return np.asarray(np.clip(points, inner_lower, inner_upper))


@dataclass(frozen=True, eq=False)
class Witnesses:
    """Points of one slice: some of the pool, by index, and some found on the way.

    Attributes:
        pool: (m,) uint16 rows of :func:`unit_pool`.
        found: (n, inputs) float32.
    """

    pool: np.ndarray
    found: np.ndarray

    def points(self, lower: np.ndarray, upper: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """The points (m + n, inputs) as float64, in the slice [lower, upper]."""
        inner_lower, inner_upper = inner_ends(lower, upper)
        # Clipping restores the inputs for which the slice holds no single precision number.
        found = np.clip(self.found.astype(np.float64), inner_lower, inner_upper)
        return np.concatenate([pool_points(lower, upper, unit[self.pool]), found])


class CertainSigns:
    """The certain signs of a network's neurons at points."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._magnitudes: list[dict[int, Matrix]] = [
            {j: abs(matrix) for j, matrix in layer.weights.items()} for layer in network.layers
        ]
        self._gamma = [
            gamma(2 * (sum(network.width(j) for j in layer.weights) + 4))
            for layer in network.layers
        ]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(n, neurons) int8 at ``points`` (n, inputs): the sign of z over the reals, or 0."""
        network = self._network
        signs: list[np.ndarray] = []
        # Per layer, the largest magnitude of h over the points, and the bound on its error.
        largest = [np.abs(points).max(axis=0, initial=0.0)]
        errors = [np.zeros(network.inputs)]
        with np.errstate(over="ignore", invalid="ignore"):
            for k, pre in enumerate(preactivations(network, points)):
                layer = network.layers[k]
                noise = (np.abs(layer.bias) + FLOOR) * self._gamma[k]
                for j, magnitude in self._magnitudes[k].items():
                    noise = noise + magnitude @ (errors[j] + self._gamma[k] * (largest[j] + FLOOR))
                error = noise * (1.0 + self._gamma[k]) * UPWARD
                largest.append(np.abs(pre).max(axis=0, initial=0.0))
                errors.append(error)
                if layer.relu.any():
                    # A partial sum that overflowed says nothing about the sign.
                    sure = (pre > error).astype(np.int8) - (pre < -error).astype(np.int8)
                    signs.append((sure * np.isfinite(pre))[:, layer.relu])
        return np.concatenate(signs or [np.zeros((len(points), 0), dtype=np.int8)], axis=1)


def both_phases(signs: np.ndarray) -> np.ndarray:
    """Which neurons the ``signs`` (n, neurons) show in both phases: (neurons,) bool."""
    return np.asarray((signs > 0).any(axis=0) & (signs < 0).any(axis=0))


def covering(signs: np.ndarray) -> np.ndarray:
    """Few rows of ``signs`` (n, neurons) that show the same neurons in both phases (greedily)."""
    refuted = both_phases(signs)
    shows = np.concatenate([signs[:, refuted] > 0, signs[:, refuted] < 0], axis=1)
    chosen: list[int] = []
    while shows.shape[1]:
        best = int(shows.sum(axis=1).argmax())
        chosen.append(best)
        shows = shows[:, ~shows[best]]
    return np.array(sorted(chosen), dtype=np.int64)


def signs_of(pre: Sequence[np.ndarray], network: Network) -> np.ndarray:
    """Plain signs (n, neurons) of pre-activations per hidden layer, e.g. of a replay."""
    parts = [z[:, layer.relu] for z, layer in zip(pre, network.layers[:-1], strict=True)]
    values = np.concatenate(parts, axis=1)
    return (values > 0).astype(np.int8) - (values < 0).astype(np.int8)
