"""A search for a point at which two networks break a promise, before anything is proved.

Random points, faces and corners, then from the best of them smaller and smaller random steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from redy.domain import Box
from redy.search.witnesses import inner_ends, pool_points, unit_pool

Excess = Callable[[np.ndarray], np.ndarray]
"""Points (n, inputs) -> how far each is beyond the promise (n,)."""

_POINTS = 8192
_BEST = 16
_STEPS = 32
_ROUNDS = 24
_SEED = 20210526


def attack(excess: Excess, box: Box, points: int = _POINTS) -> np.ndarray:
    """Points of ``box`` (m, inputs) that break the promise in floating point, the clearest first.

    They are single precision numbers where the box holds such; the same at every run.
    """
    rng = np.random.default_rng(_SEED)
    unit = unit_pool(box.dimension, points)
    on_faces = unit[1::2]
    snapped = rng.random(on_faces.shape) < rng.random((len(on_faces), 1))
    on_faces[snapped] = on_faces[snapped].round()
    best = _clearest(excess, pool_points(box.lower, box.upper, unit))
    ends = inner_ends(box.lower, box.upper)
    width = 0.5 * box.upper - 0.5 * box.lower
    for turn in range(_ROUNDS):
        steps = rng.standard_normal((_STEPS, *best.shape)) * (width * 0.75**turn)
        some = rng.random(steps.shape) < 0.5
        moved = (best + steps * some).reshape(-1, box.dimension).astype(np.float32)
        near = np.clip(moved.astype(np.float64), *ends)
        best = _clearest(excess, np.concatenate([best, near]))
    values = excess(best)
    order = np.argsort(-values, kind="stable")
    return np.asarray(best[order][values[order] > 0.0])


def _clearest(excess: Excess, points: np.ndarray) -> np.ndarray:
    values = np.nan_to_num(excess(points), nan=-np.inf)
    return np.asarray(points[np.argsort(-values, kind="stable")[:_BEST]])
