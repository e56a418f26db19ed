"""Ranges of values and the bounds of a whole network, batched over slices.

Both keep one promise: what cannot be a bound (NaN from overflow, an infinity of the wrong sign, a
lower end above the upper) becomes the wide range that claims nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from redy.errors import UsageError

ACTIVE, INACTIVE, OPEN = 1, -1, 0


@dataclass(frozen=True, eq=False)
class Range:
    """lower <= value <= upper for the units of one layer on every slice, over the reals.

    Args:
        lower, upper: (batch, units) float64; -inf and +inf claim nothing.
    """

    lower: Tensor
    upper: Tensor

    def __post_init__(self) -> None:
        lower = self.lower.nan_to_num(nan=-inf, posinf=-inf, neginf=-inf)
        upper = self.upper.nan_to_num(nan=inf, posinf=inf, neginf=inf)
        usable = lower <= upper
        object.__setattr__(self, "lower", lower.where(usable, -inf))
        object.__setattr__(self, "upper", upper.where(usable, inf))

    @property
    def magnitude(self) -> Tensor:
        """Upper bound of |value|: (batch, units)."""
        return torch.maximum(self.lower.abs(), self.upper.abs())

    @property
    def crossing(self) -> Tensor:
        """Where the range has both signs, so that neither phase covers it: (batch, units) bool."""
        return (self.lower < 0) & (self.upper > 0)

    def relu(self, relu: Tensor) -> Range:
        """Range after the activation; ``relu`` (units,) bool is False for linear units."""
        lower = self.lower.clamp(min=0).where(relu, self.lower)
        upper = self.upper.clamp(min=0).where(relu, self.upper)
        return Range(lower, upper)

    def intersect(self, other: Range) -> Range:
        """The values in both ranges.

        Two sound ranges of one value always meet. If they do not, one of the two is wrong (bounds
        of another box, or rounding somebody forgot to add), and there is no telling which: the
        hull of both is kept, which holds the right one.
        """
        lower = torch.maximum(self.lower, other.lower)
        upper = torch.minimum(self.upper, other.upper)
        meet = lower <= upper
        return Range(
            lower.where(meet, torch.minimum(self.lower, other.lower)),
            upper.where(meet, torch.maximum(self.upper, other.upper)),
        )


@dataclass(frozen=True, eq=False)
class Bounds:
    """Bounds of every pre-activation z_1, ..., outputs last, over the reals, on every slice.

    Args:
        lower, upper: per layer (batch, units) float64.

    Raises:
        UsageError: the layers of ``lower`` and ``upper`` do not have the same shapes.
    """

    lower: tuple[Tensor, ...]
    upper: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        shapes = [tuple(tensor.shape) for tensor in self.lower]
        others = [tuple(tensor.shape) for tensor in self.upper]
        if shapes != others:
            raise UsageError(f"lower bounds have shapes {shapes}, upper bounds {others}")
        ranges = [Range(low, high) for low, high in zip(self.lower, self.upper, strict=True)]
        object.__setattr__(self, "lower", tuple(r.lower for r in ranges))
        object.__setattr__(self, "upper", tuple(r.upper for r in ranges))

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> Bounds:
        """The bounds made of one range per layer."""
        ranges = tuple(ranges)
        return cls(tuple(r.lower for r in ranges), tuple(r.upper for r in ranges))

    def layer(self, k: int) -> Range:
        """Range of the pre-activations of layer k, counted from 1."""
        return Range(self.lower[k - 1], self.upper[k - 1])

    def intersect(self, other: Bounds) -> Bounds:
        """The tighter end of both everywhere, and the hull where the two contradict each other.

        Raises:
            UsageError: ``other`` belongs to a network or a batch of another shape.
        """
        shapes = [tuple(tensor.shape) for tensor in self.lower]
        others = [tuple(tensor.shape) for tensor in other.lower]
        if shapes != others:
            raise UsageError(f"bounds of shapes {shapes} and {others} cannot be intersected")
        layers = range(1, len(self.lower) + 1)
        return Bounds.of(self.layer(k).intersect(other.layer(k)) for k in layers)

    def phases(self) -> tuple[Tensor, ...]:
        """Proved phases, per layer (batch, units) int8.

        +1 is active (lower >= 0), -1 inactive (upper <= 0), 0 open. A unit that is constantly zero
        is in both phases and counts as inactive, the cheaper edit.
        """
        return tuple(map(_phases, self.lower, self.upper))


def _phases(lower: Tensor, upper: Tensor) -> Tensor:
    active = torch.where(lower >= 0, ACTIVE, OPEN)
    return active.where(upper > 0, INACTIVE).to(torch.int8)
