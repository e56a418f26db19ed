"""How the slice of a point is found, as tables that compiled code, C or an ONNX model can follow.

Every number here is one of the slicing's own, so that whoever compares a point with it in float64
finds the same slice as :meth:`redy.slicing.Slicing.slice_of`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np


@dataclass(frozen=True, eq=False)
class GridLookup:
    """Per input the number of edges at or below the point, as digits, the last input's fastest.

    Attributes:
        edges: per input, the inner edges in ascending order: (parts - 1,) each.
    """

    edges: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class TreeLookup:
    """Nodes level by level, the root first; both halves of a node stand side by side.

    Attributes:
        inputs: (nodes,) int64, the input that a node compares; -1 for a leaf.
        cuts: (nodes,) what with: at or above it the point is in the upper half. 0 for a leaf.
        links: (nodes,) int64, of a leaf its slice, else the lower half's node, which the upper
            half's follows.
    """

    inputs: np.ndarray
    cuts: np.ndarray
    links: np.ndarray


Lookup: TypeAlias = GridLookup | TreeLookup


def in_single(lookup: Lookup) -> Lookup:
    """For points in single precision: the same slices by comparisons in single precision.

    For a float32 number x and a real b: x >= b if and only if x >= the least float32 number that is
    not below b.
    """
    match lookup:
        case GridLookup():
            return GridLookup(tuple(rounded_up(edges) for edges in lookup.edges))
        case TreeLookup():
            return TreeLookup(lookup.inputs, rounded_up(lookup.cuts), lookup.links)


def rounded_up(numbers: np.ndarray) -> np.ndarray:
    """The least float32 number not below each of ``numbers``, +inf where there is none."""
    with np.errstate(over="ignore"):
        near = numbers.astype(np.float32)
    above = np.nextafter(near, np.float32(np.inf))
    return np.where(near.astype(np.float64) < numbers, above, near)


def rounded_down(numbers: np.ndarray) -> np.ndarray:
    """The greatest float32 number not above each of ``numbers``, -inf where there is none."""
    return -rounded_up(-numbers)
