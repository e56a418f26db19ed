"""Which output wins, where one does for certain."""

from __future__ import annotations

import numpy as np


def winners(outputs: np.ndarray, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``outputs`` (n, outputs) wins at each point, and by how much: two arrays (n,).

    With ``side`` ``min`` the least output wins, with ``max`` the greatest. The margin, to the next
    one, is zero where the winner is not unique, and infinite if there is one output only.
    """
    signed = outputs if side == "min" else -outputs
    if signed.shape[1] < 2:
        return np.zeros(len(signed), dtype=np.int64), np.full(len(signed), np.inf)
    first, second = np.partition(signed, 1, axis=1)[:, :2].T
    return signed.argmin(axis=1), second - first


def winners_changed(
    before: np.ndarray, after: np.ndarray, side: str, rounding: np.ndarray | float
) -> int:
    """At how many points (rows) ``before`` has a winner by more than ``rounding``, ``after`` not.

    Both are outputs (n, outputs); ``rounding`` bounds, or estimates, the error of a difference.
    """
    winner, margin = winners(before, side)
    return int(((margin > rounding) & (winners(after, side)[0] != winner)).sum())
