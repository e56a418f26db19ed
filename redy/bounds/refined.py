"""Bounds on one box, and which part of them needs no solver's word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite
from typing import NamedTuple, TypeAlias

import numpy as np

from redy.bounds.result import Bounds

Ends: TypeAlias = tuple[np.ndarray, ...]
"""Per layer, outputs last: (units,) float64."""


class Claim(NamedTuple):
    """sign * z_i >= bound on the box; sign +1 claims a lower, -1 an upper end."""

    unit: int
    sign: int
    bound: float


@dataclass(frozen=True, eq=False)
class Refined:
    """Bounds of every pre-activation z_1, ..., outputs last, on one box.

    Args:
        lower, upper: the best known. An end that differs from the proved one rests on a solver's
            word alone: it was a MILP's, or was derived from one.
        proved_lower, proved_upper: these hold over the reals.
    """

    lower: Ends
    upper: Ends
    proved_lower: Ends
    proved_upper: Ends

    @classmethod
    def of(cls, bounds: Bounds, row: int = 0) -> Refined:
        """The proved bounds of one box of a batch."""
        lower = tuple(end[row].cpu().numpy() for end in bounds.lower)
        upper = tuple(end[row].cpu().numpy() for end in bounds.upper)
        return cls(lower, upper, lower, upper)

    def narrowed(self, k: int, claims: Iterable[Claim], *, proved: bool) -> Refined:
        """With those ``claims`` on layer ``k`` that narrow its bounds.

        A claim that is not finite, or that contradicts the other end, is not taken: the bounds
        that were there first stay.

        Args:
            proved: the claims hold over the reals, and do not rest on a solver's word.
        """
        claims = list(claims)
        lower, upper = _narrowed(self.lower, self.upper, k, claims)
        result = replace(self, lower=lower, upper=upper)
        if proved:
            lower, upper = _narrowed(self.proved_lower, self.proved_upper, k, claims)
            result = replace(result, proved_lower=lower, proved_upper=upper)
        return result

    def proved(self, k: int) -> bool:
        """Whether nothing in the layers before ``k`` rests on a solver's word."""
        return all(
            bool(np.array_equal(best, proved))
            for best, proved in zip(
                self.lower[: k - 1] + self.upper[: k - 1],
                self.proved_lower[: k - 1] + self.proved_upper[: k - 1],
                strict=True,
            )
        )

    def crossing(self, k: int) -> np.ndarray:
        """Units of layer ``k`` whose bounds have both signs: (units,) bool."""
        return np.asarray((self.lower[k - 1] < 0) & (self.upper[k - 1] > 0))


def _narrowed(lower: Ends, upper: Ends, k: int, claims: Iterable[Claim]) -> tuple[Ends, Ends]:
    low, high = lower[k - 1].copy(), upper[k - 1].copy()
    for i, sign, bound in claims:
        if not isfinite(bound):
            continue
        if sign > 0 and low[i] < bound <= high[i]:
            low[i] = bound
        elif sign < 0 and low[i] <= -bound < high[i]:
            high[i] = -bound
    return (*lower[: k - 1], low, *lower[k:]), (*upper[: k - 1], high, *upper[k:])
