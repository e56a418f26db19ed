"""Which output wins, where one does for certain."""

from __future__ import annotations

import numpy as np

from redy.network.form import Layer, Network


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


def differences(network: Network, sign: int, best: int) -> Network:
    """``network`` with the outputs sign * (f_j - f_best), for all j but ``best`` in order."""
    others = np.delete(np.eye(network.outputs), best, axis=0)
    others[:, best] = -1.0
    none = np.zeros(len(others))
    layer = Layer({len(network.layers): sign * others}, none, none.astype(bool))
    return Network(network.inputs, (*network.layers, layer))
