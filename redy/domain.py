"""The closed box of inputs on which a network is used, in the network's own input units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from redy.errors import DomainError


@dataclass(frozen=True, eq=False)
class Box:
    """A closed axis-parallel box {x : lower <= x <= upper}.

    Args:
        lower, upper: (inputs,) finite float64, lower <= upper in every coordinate. A coordinate
            may have zero width.

    Raises:
        DomainError: not two finite vectors of one length, or lower above upper somewhere.
    """

    lower: np.ndarray
    upper: np.ndarray

    def __post_init__(self) -> None:
        lower = np.array(self.lower, dtype=np.float64, ndmin=1)
        upper = np.array(self.upper, dtype=np.float64, ndmin=1)
        if lower.ndim != 1 or lower.shape != upper.shape:
            raise DomainError(
                f"a box needs two vectors of one length, got shapes {lower.shape} and {upper.shape}"
            )
        if lower.size == 0:
            raise DomainError("a box needs at least one dimension")
        bad = np.flatnonzero(~(np.isfinite(lower) & np.isfinite(upper)))
        if bad.size:
            i = int(bad[0])
            raise DomainError(f"input {i} has a bound that is not finite: [{lower[i]}, {upper[i]}]")
        bad = np.flatnonzero(lower > upper)
        if bad.size:
            i = int(bad[0])
            raise DomainError(f"input {i}: the lower bound {lower[i]} is above {upper[i]}")
        lower.flags.writeable = False
        upper.flags.writeable = False
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)

    @property
    def dimension(self) -> int:
        """Number of inputs."""
        return int(self.lower.size)

    def require_dimension(self, inputs: int, what: str = "domain") -> None:
        """Raise :class:`DomainError` unless the box has one dimension per network input."""
        if self.dimension != inputs:
            raise DomainError(
                f"{what} has {self.dimension} dimensions, but the network has {inputs} inputs"
            )

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Whether each of ``points`` (n, inputs) lies in the box, faces included: (n,) bool."""
        return np.asarray(((points >= self.lower) & (points <= self.upper)).all(axis=-1))

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """``count`` uniform random points of the box: (count, inputs)."""
        unit = rng.random((count, self.dimension))
        points: np.ndarray = self.lower * (1.0 - unit) + self.upper * unit
        return points.clip(self.lower, self.upper)
