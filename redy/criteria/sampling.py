"""What the stages that search have in common: points to search with, and what they report."""

from __future__ import annotations

import numpy as np

from redy.criteria.base import SliceState, StageLog
from redy.search.witnesses import pool_points, unit_pool
from redy.search.work import Work

_SEED = 20210526


def slice_points(state: SliceState, count: int) -> np.ndarray:
    """``count`` points of the slice, corners first, half of the others on faces: (count, inputs).

    They are single precision numbers, and the same at every run.
    """
    unit = unit_pool(state.lower.size, count)
    rng = np.random.default_rng([_SEED, state.index])
    on_faces = unit[1::2]
    snapped = rng.random(on_faces.shape) < rng.random((len(on_faces), 1))
    on_faces[snapped] = on_faces[snapped].round()
    return pool_points(state.lower, state.upper, unit)


def logged(name: str, work: Work) -> StageLog:
    """The log of a stage that spent ``work``."""
    queries = work.queries
    return StageLog(
        name,
        queries=queries.total(),
        boxes=work.boxes,
        proved=queries["proved"],
        refuted=queries["refuted"],
        unknown=queries["unknown"],
    )
