"""An adaptive slicing: a binary tree whose inner nodes halve a box along one input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from redy.domain import Box
from redy.errors import DomainError, UsageError
from redy.slicing.lookup import TreeLookup

MOST_INPUTS = 16
"""Boxes of more inputs have too many faces for halving them to pay."""

_LEAF = 0
_MOST_NODES = 2**27


class Adaptive:
    """The leaves of a tree that halves boxes of ``domain``, numbered level by level.

    A cut is the middle 0.5 * lower + 0.5 * upper of an interval, computed in float64 from the ends
    of the box that is cut; the proofs' boxes and the dispatcher's comparisons use the same number.

    Args:
        domain: what is covered.
        cuts: (nodes,) unsigned integers, level by level and from below to above within one: 0 for
            a leaf, d + 1 for a node that halves input d.
        weights: (leaves,) what each leaf counts for in means, adding up to 1; by default its share
            of the domain's volume.

    Raises:
        UsageError: the numbers are no tree, or an interval has no middle.
    """

    name: ClassVar[str] = "adaptive"

    def __init__(self, domain: Box, cuts: np.ndarray, weights: np.ndarray | None = None) -> None:
        self.domain = domain
        self._cuts = np.ascontiguousarray(cuts, dtype="<u2")
        self._grow(self._cuts.astype(np.int64))
        self._by_inputs = weights is not None
        if weights is not None:
            self._weights = np.ascontiguousarray(weights, dtype="<f8")
        sound = np.isfinite(self._weights) & (self._weights >= 0.0)
        if sound.shape != (self.slices,) or not sound.all():
            raise UsageError("an adaptive slicing needs one finite weight of at least 0 per leaf")

    def _grow(self, cuts: np.ndarray) -> None:
        """Boxes and volumes of the leaves, and the tables that find them, level by level."""
        if not cuts.size or cuts.size > _MOST_NODES or cuts.max() > self.domain.dimension:
            raise UsageError("an adaptive slicing needs one cut per node, of an input there is")
        lower, upper = self.domain.lower[None], self.domain.upper[None]
        start, leaves, volume = 0, 0, 1.0
        boxes: list[tuple[np.ndarray, np.ndarray]] = []
        volumes: list[np.ndarray] = []
        tables: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        while len(lower):
            here = cuts[start : start + len(lower)]
            if len(here) < len(lower):
                raise UsageError("an adaptive slicing ends in the middle of a level")
            start += len(here)
            inner = here != _LEAF
            boxes.append((lower[~inner], upper[~inner]))
            volumes.append(np.full(len(boxes[-1][0]), volume))
            # A child is an inner node of the next level, by its place there, or ~ its leaf.
            leaf = leaves + np.cumsum(~inner) - 1
            leaves += int((~inner).sum())
            links = np.where(inner, np.cumsum(inner) - 1, ~leaf)
            lower, upper, middle = _halves(lower[inner], upper[inner], here[inner] - 1)
            tables.append((here[inner] - 1, middle, links))
            volume *= 0.5
        if start != cuts.size:
            raise UsageError("an adaptive slicing has more nodes than its tree")
        self._lower = np.concatenate([low for low, _ in boxes])
        self._upper = np.concatenate([high for _, high in boxes])
        self._weights = np.concatenate(volumes)
        self._levels = tables

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> Adaptive:
        """The slicing that :meth:`describe` and :meth:`arrays` described."""
        if not {"cuts"} <= set(arrays) <= {"cuts", "weights"}:
            raise UsageError("an adaptive slicing has cuts, weights at most, and no other arrays")
        if arrays["cuts"].dtype != np.uint16 or arrays["cuts"].ndim != 1:
            raise UsageError("the cuts of an adaptive slicing are a row of 16 bit numbers")
        lower, upper = (np.array([float.fromhex(v) for v in e]) for e in description["domain"])
        domain = Box(lower, upper)
        require_few_inputs(domain)  # two bytes of the cuts stand for a box
        return cls(domain, arrays["cuts"], arrays.get("weights"))

    def describe(self) -> dict[str, Any]:
        """Name, leaves and the domain's exact ends (hexadecimal floats), as JSON."""
        ends = [[float(v).hex() for v in e] for e in (self.domain.lower, self.domain.upper)]
        return {"name": self.name, "leaves": self.slices, "domain": ends}

    def arrays(self) -> dict[str, np.ndarray]:
        """The cuts, and the weights unless they are volumes."""
        weights = {"weights": self._weights} if self._by_inputs else {}
        return {"cuts": self._cuts, **weights}

    @property
    def slices(self) -> int:
        """Number of leaves."""
        return len(self._lower)

    @property
    def weighted_by(self) -> str:
        """What the weights are shares of: ``volume`` or ``inputs``."""
        return "inputs" if self._by_inputs else "volume"

    def weights(self, indices: np.ndarray) -> np.ndarray:
        """What the leaves ``indices`` (m,) count for in means: (m,), 1 for all leaves together."""
        return np.asarray(self._weights[indices])

    def boxes(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of the leaves ``indices`` (m,): two arrays (m, inputs)."""
        return self._lower[indices], self._upper[indices]

    def slice_of(self, points: np.ndarray) -> np.ndarray:
        """The leaf of each of ``points`` (n, inputs) of the domain: (n,) int64.

        A point on a cut belongs to the leaf above it. Comparisons are made in float64.
        """
        points = np.asarray(points, dtype=np.float64)
        index = np.zeros(len(points), dtype=np.int64)
        rows = np.arange(len(points))
        place = np.zeros(len(points), dtype=np.int64)
        for inputs, middle, links in self._levels:
            link = links[place]
            index[rows[link < 0]] = ~link[link < 0]
            rows, node = rows[link >= 0], link[link >= 0]
            above = points[rows, inputs[node]] >= middle[node]
            place = 2 * node + above
        return index

    def lookup(self) -> TreeLookup:
        """The tree."""
        inputs = self._cuts.astype(np.int64) - 1
        leaf = inputs < 0
        cuts = np.zeros(inputs.size)
        cuts[~leaf] = np.concatenate([middle for _, middle, _ in self._levels])
        links = np.where(leaf, np.cumsum(leaf) - 1, 2 * np.cumsum(~leaf) - 1)
        return TreeLookup(inputs, cuts, links)


def _halves(
    lower: np.ndarray, upper: np.ndarray, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both halves of each box (m, inputs), one after the other, and (m,) where they meet."""
    rows = np.arange(len(inputs))
    low, high = lower[rows, inputs], upper[rows, inputs]
    middle = middle_of(low, high)
    if not ((low < middle) & (middle < high)).all():
        at = int(np.flatnonzero(~((low < middle) & (middle < high)))[0])
        raise UsageError(
            f"input {inputs[at]} with the interval [{low[at]}, {high[at]}] cannot be halved"
        )
    lower, upper = np.repeat(lower, 2, axis=0), np.repeat(upper, 2, axis=0)
    upper[0::2][rows, inputs] = middle
    lower[1::2][rows, inputs] = middle
    return lower, upper, middle


def middle_of(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Where the intervals [lower, upper] (...,) are cut."""
    return np.asarray(0.5 * lower + 0.5 * upper)


def require_few_inputs(domain: Box) -> None:
    """Raise :class:`DomainError` if halving boxes of ``domain`` could not pay."""
    if domain.dimension > MOST_INPUTS:
        raise DomainError(
            f"adaptive slices are for at most {MOST_INPUTS} inputs, and the network has "
            f"{domain.dimension}: cut a hidden layer with --slicing mid, or use --grid"
        )
