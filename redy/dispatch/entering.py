"""What comes before the networks of the slices: checks, and the prefix of mid-network slicing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from redy.branching.compiled import call
from redy.dispatch import kernels
from redy.domain import Box
from redy.errors import DomainError
from redy.formats.bundle import Content
from redy.network.evaluate import evaluate
from redy.slicing.lookup import rounded_down, rounded_up

DOUBLE = np.dtype(np.float64)


@dataclass(frozen=True, eq=False)
class Entrance:
    """What the networks of the slices read of inputs: these, or what the prefix makes of them.

    Attributes:
        content: the bundle.
        dtype: of what is returned. With a prefix, DOUBLE: a cell's proof allows for the rounding of
            the prefix in double precision, not in single.
        clamps: move points to the domain, instead of refusing those outside of it.
    """

    content: Content
    dtype: np.dtype = DOUBLE
    clamps: bool = False

    def __call__(self, points: np.ndarray, first: int = 0) -> np.ndarray:
        """Contiguous (n, units) of ``points`` (n, inputs), the first being number ``first``.

        Raises:
            DomainError: a point has another dimension, lies outside, or is not a number.
        """
        ready = self.unchecked(points)
        self.require_inside(call(kernels.enter, ready, self._ends, self.clamps), points, first)
        if self.content.parts is None:
            return ready
        return np.ascontiguousarray(evaluate(self.content.parts.prefix, ready))

    def unchecked(self, points: np.ndarray) -> np.ndarray:
        """The same without prefix, of points that may lie anywhere; they are not moved."""
        points = np.asarray(points)
        self.require_shape(points)
        ready = np.array(points, self.dtype, order="C", copy=True if self.clamps else None)
        # Kernels are compiled for arrays that can be written to.
        return ready if ready.flags.writeable else ready.copy()

    def require_inside(self, done: int, points: np.ndarray, first: int) -> None:
        """Raise :class:`DomainError` unless ``done`` says that all ``points`` lie in the domain.

        Args:
            done: the first of them that does not, or their number.
            first: what the first of them is called.
        """
        if done < len(points):
            point = np.asarray(points[done])
            raise DomainError(
                _why(first + done, point, point.astype(self.dtype), self.content.domain)
            )

    @cached_property
    def _ends(self) -> np.ndarray:
        return ends_in(self.content.domain, self.dtype)

    def require_shape(self, points: np.ndarray) -> None:
        """Raise :class:`DomainError` unless ``points`` have shape (n, inputs)."""
        inputs = self.content.network.inputs
        if points.ndim != 2 or points.shape[1] != inputs:
            raise DomainError(f"inputs must have shape (n, {inputs}), got {points.shape}")


def ends_in(domain: Box, dtype: np.dtype) -> np.ndarray:
    """Lower and upper ends in ``dtype``, rounded inward: (2 inputs,)."""
    if dtype == np.float32:
        return np.concatenate([rounded_up(domain.lower), rounded_down(domain.upper)])
    return np.concatenate([domain.lower, domain.upper])


def _why(row: int, point: np.ndarray, rounded: np.ndarray, domain: Box) -> str:
    ends = ends_in(domain, rounded.dtype).reshape(2, -1)
    d = int(np.flatnonzero(~((rounded >= ends[0]) & (rounded <= ends[1])))[0])
    return (
        f"input row {row}: coordinate {d} is {point[d]}, outside of the domain's "
        f"[{domain.lower[d]}, {domain.upper[d]}]; nothing is proved there"
    )
