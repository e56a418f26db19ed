"""How the domain, or what a hidden layer makes of it, is cut into slices, simplified one by one.

A strategy is one file with a class that follows :class:`Slicing` and an entry in ``STRATEGIES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from redy.domain import Box
from redy.slicing.adaptive import Adaptive
from redy.slicing.grid import Grid
from redy.slicing.lookup import Lookup
from redy.slicing.mid import Mid


class Slicing(Protocol):
    """A cover of the domain by closed boxes that share faces only, or may overlap (``mid``).

    A point on a shared face lies in the boxes of all its slices, which is what the proofs need,
    and :meth:`slice_of` gives it to exactly one of them.
    """

    @property
    def name(self) -> str:
        """The strategy's name in STRATEGIES."""

    @property
    def domain(self) -> Box:
        """The box that is covered."""

    @property
    def slices(self) -> int:
        """Number of slices."""

    @property
    def weighted_by(self) -> str:
        """What the weights are shares of: ``volume``, or what the user gave (``inputs``)."""

    def weights(self, indices: np.ndarray) -> np.ndarray:
        """What the slices ``indices`` (m,) count for in means: (m,), 1 for all slices together."""

    def boxes(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of the slices ``indices`` (m,): two arrays (m, inputs)."""

    def slice_of(self, points: np.ndarray) -> np.ndarray:
        """The slice of each of ``points`` (n, inputs) of the domain: (n,) int64."""

    def lookup(self) -> Lookup | None:
        """How :meth:`slice_of` finds the slice, if that takes nothing but comparisons."""

    def describe(self) -> dict[str, Any]:
        """The slicing as JSON, but for what :meth:`arrays` holds.

        ``from_description`` of the same class restores it exactly from both. It takes them from
        a file: whatever it is given, it returns a sound slicing or raises.
        """

    def arrays(self) -> dict[str, np.ndarray]:
        """What of the description is long, by name: numbers and flags, as a file can hold them."""


Arrays: TypeAlias = Mapping[str, np.ndarray]

STRATEGIES: Mapping[str, Callable[[dict[str, Any], Arrays], Slicing]] = {
    "grid": Grid.from_description,
    "adaptive": Adaptive.from_description,
    "mid": Mid.from_description,
}
"""Slicing strategy -> what restores one from its description and arrays."""


def restore(description: dict[str, Any], arrays: Arrays) -> Slicing:
    """The slicing that ``describe`` described, with its ``arrays``."""
    return STRATEGIES[description["name"]](description, arrays)
