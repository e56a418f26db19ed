"""The decision boundary of a slice by sampling: where two outputs tie for the best."""

from __future__ import annotations

import numpy as np

from redy.search.reduced import Reduced

_BISECTIONS = 24
_NEAREST = 64
_SEED = 20210526


class Boundary:
    """The boundary of ``reduced`` among ``points`` (m, inputs) of its slice.

    The smallest of ``sign`` times the outputs wins.

    Attributes:
        values: (m, outputs) at the points.
        winners: (w,) the outputs that win somewhere.
    """

    def __init__(self, reduced: Reduced, sign: float, points: np.ndarray) -> None:
        self._reduced, self._sign, self._points = reduced, sign, points
        self._none, self._lines = np.zeros(reduced.count, dtype=bool), np.zeros((reduced.count, 2))
        self.values = self._outputs(points)
        self._winner = (sign * self.values).argmin(axis=1)
        self.winners = np.unique(self._winner)
        self._found = np.zeros((0, points.shape[1]))

    def _outputs(
        self, points: np.ndarray, removed: np.ndarray | None = None, lines: np.ndarray | None = None
    ) -> np.ndarray:
        removed = self._none if removed is None else removed
        lines = self._lines if lines is None else lines
        _, post = self._reduced.forward(self._reduced.drive(points), removed, lines)
        return self._reduced.outputs(points, post)

    def _winner_at(self, points: np.ndarray) -> np.ndarray:
        return np.asarray((self._sign * self._outputs(points)).argmin(axis=1))

    def phases(self) -> tuple[np.ndarray, np.ndarray]:
        """Which neurons show one phase all over the boundary, and which are active: (n,) each."""
        rng = np.random.default_rng(_SEED)
        share = len(self._points) // self.winners.size
        inside, outside = [], []
        for winner in self.winners:
            ours, others = np.flatnonzero(self._winner == winner), self._winner != winner
            inside.append(self._points[rng.choice(ours, share)])
            outside.append(self._points[rng.choice(np.flatnonzero(others), share)])
        self._found = self._between(np.concatenate(inside), np.concatenate(outside))
        pre = self._preactivations(self._found)
        active, inactive = (pre > 0).any(axis=0), (pre < 0).any(axis=0)
        return np.asarray(~(active & inactive)), np.asarray(active)

    def _between(self, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
        """Boundary points on the segments between points of different winners."""
        winner = self._winner_at(inside)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (inside + outside)
            same = (self._winner_at(middle) == winner)[:, None]
            inside, outside = np.where(same, middle, inside), np.where(same, outside, middle)
        return inside

    def _preactivations(self, points: np.ndarray) -> np.ndarray:
        pre, _ = self._reduced.forward(self._reduced.drive(points), self._none, self._lines)
        return np.asarray(pre)

    def repaired(self, removed: np.ndarray, active: np.ndarray, witness: np.ndarray) -> np.ndarray:
        """``removed`` less what makes the winner differ at ``witness`` (inputs,).

        Those are the neurons whose phase on the boundary nearby is another than was believed, and,
        until the winner is right, of those that are wrong at the witness itself the one whose
        return mends most.
        """
        if self._right_at(witness, removed, active):
            return removed
        removed = removed & ~self._disagree(self._boundary_near(witness), active)
        while not self._right_at(witness, removed, active):
            suspects = np.flatnonzero(removed & self._disagree(witness[None], active))
            if not suspects.size:
                return np.zeros_like(removed)
            without = np.tile(removed, (suspects.size, 1))
            without[np.arange(suspects.size), suspects] = False
            removed = max(without, key=lambda fewer: self._margin(witness, fewer, active))
        return removed

    def _boundary_near(self, witness: np.ndarray) -> np.ndarray:
        """Boundary points on segments from ``witness`` to nearby points of another winner."""
        other = self._points[self._winner != self._winner_at(witness[None])[0]]
        if not len(other):
            return np.zeros((0, witness.size))
        size = np.maximum(np.ptp(self._points, axis=0), np.finfo(float).tiny)
        distance = np.abs((other - witness) / size).sum(axis=1)
        other = other[np.argsort(distance, kind="stable")[:_NEAREST]]
        return self._between(np.tile(witness, (len(other), 1)), other)

    def _disagree(self, points: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Which neurons are in another phase than ``active`` (n,) at some of ``points``."""
        pre = self._preactivations(points)
        return np.asarray(((pre > 0) & ~active).any(axis=0) | ((pre < 0) & active).any(axis=0))

    def _right_at(self, point: np.ndarray, removed: np.ndarray, active: np.ndarray) -> bool:
        return self._margin(point, removed, active) > 0.0

    def _margin(self, point: np.ndarray, removed: np.ndarray, active: np.ndarray) -> float:
        """By how much the original's winner wins at ``point`` once ``removed`` are edited."""
        lines = np.column_stack([active.astype(float), np.zeros(active.size)])
        edited = self._sign * self._outputs(point[None], removed, lines)[0]
        winner = int(self._winner_at(point[None])[0])
        return float(np.delete(edited, winner).min(initial=np.inf) - edited[winner])
