"""Values that points of a box attain: how much a bound could still be narrowed, and no proof."""

from __future__ import annotations

import numpy as np

from redy.domain import Box
from redy.network.evaluate import preactivations
from redy.network.form import Network
from redy.search.witnesses import pool_points, unit_pool

POINTS = 4096


def attained(network: Network, box: Box) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per layer, least and greatest (units,) rounded pre-activation at :data:`POINTS` points."""
    points = pool_points(box.lower, box.upper, unit_pool(network.inputs, POINTS))
    with np.errstate(over="ignore", invalid="ignore"):
        return [(z.min(axis=0), z.max(axis=0)) for z in preactivations(network, points)]
