"""What has to hold between two networks, and whether it fails at a point.

With f the first network and g the second: ``exact``, g(x) = f(x); ``eps=E``, every output of g is
within E of that of f; ``decision``, wherever f has a unique winner, g has the same unique one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from redy.guarantee import Guarantee

Outputs = Sequence[Fraction] | Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Promise:
    """A guarantee, as a claim on the outputs of two networks."""

    guarantee: Guarantee

    @property
    def decision(self) -> bool:
        """Whether only the winner counts."""
        return self.guarantee.kind == "decision"

    @property
    def sign(self) -> int:
        """+1 if the smallest output wins, -1 if the largest."""
        return 1 if self.guarantee.winner == "min" else -1

    @property
    def eps(self) -> float:
        """The largest difference allowed; infinite if only the winner counts."""
        return self.guarantee.eps

    def fails_at(self, first: Outputs, second: Outputs) -> bool:
        """Whether outputs at one point, taken as exact numbers, break the promise."""
        f = [Fraction(value) for value in first]
        g = [Fraction(value) for value in second]
        if not self.decision:
            allowed = Fraction(self.eps)
            return any(abs(b - a) > allowed for a, b in zip(f, g, strict=True))
        best = min(range(len(f)), key=lambda i: self.sign * f[i])
        others = [i for i in range(len(f)) if i != best]
        unique = all(f[i] != f[best] for i in others)
        return unique and any(self.sign * (g[i] - g[best]) <= 0 for i in others)

    def excess(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """How far outputs (n, outputs) are beyond the promise, at each point: (n,).

        Positive where it fails, up to rounding; the larger, the clearer. A guide for searches.
        """
        if not self.decision:
            return np.asarray(np.abs(second - first).max(axis=1) - self.eps)
        if first.shape[1] < 2:
            return np.full(len(first), -np.inf)
        f, g = self.sign * first, self.sign * second
        rows, best = np.arange(len(f)), f.argmin(axis=1)
        margin = np.partition(f, 1, axis=1)[:, 1] - f[rows, best]
        winner = g[rows, best].copy()
        g = g.copy()
        g[rows, best] = np.inf
        return np.asarray(np.minimum(margin, winner - g.min(axis=1)))
