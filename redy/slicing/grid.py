"""A uniform grid: every input's interval cut into equal parts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np

from redy.domain import Box
from redy.errors import UsageError
from redy.slicing.lookup import GridLookup

_MAX_SLICES = 2**26  # more would not fit in a bundle
_MAX_PARTS = 2**22  # of one input, whose edges are kept


class Grid:
    """The grid with ``counts[d]`` cuts of input d, numbered with the last input fastest.

    The edges are float64 numbers computed once; the proofs' boxes and the dispatcher's
    comparisons use the same ones.

    Raises:
        UsageError: a count below 1, too many cuts for the width of an input, or a cut of an input
            of zero width.
    """

    name: ClassVar[str] = "grid"

    def __init__(self, domain: Box, counts: tuple[int, ...]) -> None:
        domain.require_dimension(len(counts), "--grid: the domain")
        for d, count in enumerate(counts):
            if count < 1:
                raise UsageError(f"--grid: input {d} has {count} parts; give at least 1")
            if count > _MAX_PARTS:
                raise UsageError(
                    f"--grid: input {d} has {count} parts; give at most {_MAX_PARTS} per input"
                )
        slices = prod(map(float, counts))  # a file may claim any counts, of any number of inputs
        if slices > _MAX_SLICES:
            raise UsageError(f"--grid: {slices:.0f} slices are more than {_MAX_SLICES}")
        self.domain = domain
        self.counts = tuple(int(c) for c in counts)
        self.edges = [self._edges_of(d) for d in range(domain.dimension)]

    def _edges_of(self, d: int) -> np.ndarray:
        lower, upper, count = self.domain.lower[d], self.domain.upper[d], self.counts[d]
        share = np.arange(count + 1) / count
        edges = lower * (1.0 - share) + upper * share  # upper - lower might overflow
        edges[0], edges[-1] = lower, upper
        if count > 1 and not (edges[:-1] < edges[1:]).all():
            raise UsageError(
                f"input {d} with the interval [{lower}, {upper}] cannot be cut into {count} parts"
            )
        return np.asarray(edges)

    @classmethod
    def bisecting(cls, domain: Box, slices: int) -> Grid:
        """``slices`` = 2^m parts by bisecting the inputs in turn, the first ones first.

        Inputs of zero width are passed over.
        """
        if slices < 1:
            raise UsageError(f"--slices {slices}: give at least 1")
        if slices > _MAX_SLICES:
            raise UsageError(f"--slices {slices}: give at most {_MAX_SLICES}")
        halvings = slices.bit_length() - 1
        if slices != 1 << halvings:
            raise UsageError(
                f"--slices {slices}: inputs are bisected in turn, so give a power of two "
                f"({1 << halvings} or {2 << halvings}), or the parts of each input with --grid"
            )
        wide = np.flatnonzero(domain.lower < domain.upper)
        if halvings and not wide.size:
            raise UsageError(f"--slices {slices}: the domain is a single point; use --slices 1")
        counts = [1] * domain.dimension
        for turn in range(halvings):
            counts[int(wide[turn % wide.size])] *= 2
        return cls(domain, tuple(counts))

    @classmethod
    def from_description(
        cls, description: dict[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> Grid:
        """The grid that :meth:`describe` described; ``arrays`` are none."""
        if arrays:
            raise ValueError(f"a grid has no arrays, but there are {', '.join(sorted(arrays))}")
        lower, upper = (np.array([float.fromhex(v) for v in e]) for e in description["domain"])
        return cls(Box(lower, upper), tuple(description["counts"]))

    def describe(self) -> dict[str, Any]:
        """Name, counts and the domain's exact ends (hexadecimal floats), as JSON."""
        ends = [[float(v).hex() for v in e] for e in (self.domain.lower, self.domain.upper)]
        return {"name": self.name, "counts": list(self.counts), "domain": ends}

    def arrays(self) -> dict[str, np.ndarray]:
        """None: the description says all."""
        return {}

    @property
    def _cut_inputs(self) -> list[int]:
        return [d for d, count in enumerate(self.counts) if count > 1]

    @cached_property
    def slices(self) -> int:
        """Number of slices."""
        return prod(self.counts)

    weighted_by: ClassVar[str] = "volume"

    def weights(self, indices: np.ndarray) -> np.ndarray:
        """What the slices ``indices`` (m,) count for in means: (m,), all alike."""
        return np.full(len(indices), 1.0 / self.slices)

    def boxes(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of the slices ``indices`` (m,): two arrays (m, inputs)."""
        rest = np.asarray(indices, dtype=np.int64)
        lower = np.tile(self.domain.lower, (rest.size, 1))
        upper = np.tile(self.domain.upper, (rest.size, 1))
        for d in reversed(self._cut_inputs):
            rest, cell = np.divmod(rest, self.counts[d])
            lower[:, d] = self.edges[d][cell]
            upper[:, d] = self.edges[d][cell + 1]
        return lower, upper

    def slice_of(self, points: np.ndarray) -> np.ndarray:
        """The slice of each of ``points`` (n, inputs) of the domain: (n,) int64.

        A point on an inner face belongs to the slice above it, one on the domain's upper face to
        the last slice. Comparisons are made in float64.
        """
        points = np.asarray(points, dtype=np.float64)
        index = np.zeros(len(points), dtype=np.int64)
        for d in self._cut_inputs:
            inner = self.edges[d][1:-1]
            index = index * self.counts[d] + np.searchsorted(inner, points[:, d], side="right")
        return index

    def lookup(self) -> GridLookup:
        """The inner edges."""
        return GridLookup(tuple(edges[1:-1] for edges in self.edges))


def sample(slices: int, count: int, seed: int) -> np.ndarray:
    """``count`` of ``slices`` slices, drawn without replacement, in ascending order: (count,)."""
    if not 1 <= count <= slices:
        raise UsageError(f"--sample {count}: give between 1 and the {slices} slices")
    chosen = np.random.default_rng(seed).choice(slices, size=count, replace=False)
    return np.sort(chosen).astype(np.int64)
