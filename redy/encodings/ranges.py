"""Ranges of an original network, an edited one and their difference on one box, for encodings.

They are the forms of :mod:`redy.branching.box` and :mod:`redy.branching.difference`, without
cutting the box, and read with all rounding outward: they hold over the reals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from redy.branching.box import Workspace, propagate
from redy.branching.compiled import call
from redy.branching.difference import Difference, Edited, propagate_difference
from redy.branching.packed import Packed
from redy.tolerances import FLOOR, gamma


class Ends(NamedTuple):
    """A range of one number; infinite ends claim nothing."""

    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class Ranges:
    """What is known of the units of every layer up to some layer.

    Attributes:
        start: first unit of every layer, as in :class:`redy.branching.packed.Packed`.
        original, difference, edited: (total, 2) ranges of z, of z' - z and of z'.
        same: (total,) bool, z' - z is zero because nothing on its way differs.
    """

    start: np.ndarray
    original: np.ndarray
    difference: np.ndarray
    edited: np.ndarray
    same: np.ndarray

    def z(self, k: int, i: int) -> Ends:
        """Range of z of unit ``i`` of layer ``k``."""
        return Ends(*self.original[self.start[k] + i].tolist())

    def dz(self, k: int, i: int) -> Ends:
        """Range of z' - z."""
        return Ends(*self.difference[self.start[k] + i].tolist())

    def edited_z(self, k: int, i: int) -> Ends:
        """Range of z'."""
        return Ends(*self.edited[self.start[k] + i].tolist())

    def is_same(self, k: int, i: int) -> bool:
        """Whether z' - z is structurally zero."""
        return bool(self.same[self.start[k] + i])

    def layers(self, last: int, end: int) -> list[np.ndarray]:
        """Lower (``end`` 0) or upper (1) ends of z, per layer 1, ..., ``last``: (units,) each."""
        return [self.original[self.start[k] : self.start[k + 1], end] for k in range(1, last + 1)]


Kernels = tuple[Packed, Workspace, Difference]


def ranges(kernels: Kernels, edits: Edited, layer: int, box: tuple[np.ndarray, ...]) -> Ranges:
    """Ranges up to ``layer`` on ``box``: ends of the inputs and bounds (total,) known there."""
    net, ws, ds = kernels
    lower, upper, known_lower, known_upper = (np.array(part, dtype=np.float64) for part in box)
    call(propagate, net, ws, lower, upper, known_lower, known_upper, layer)
    call(propagate_difference, net, ws, ds, edits, layer, known_lower, known_upper)
    original = np.stack([known_lower, known_upper], axis=1)
    difference, edited = np.zeros_like(original), original.copy()
    same = np.ones(len(original), dtype=bool)
    for k in range(1, layer + 1):
        for unit in range(net.start[k], net.start[k + 1]):
            same[unit] = ds.same[unit]
            if same[unit]:
                continue
            difference[unit] = _difference(ws, ds, k, unit)
            edited[unit] = _sum(original[unit], difference[unit])
            if k < layer and not (net.relu[unit] and known_upper[unit] <= 0.0):
                edited[unit] = _meet(edited[unit], _edited(ws, ds, k, unit))
    return Ranges(net.start, original, difference, edited, same)


def _difference(ws: Workspace, ds: Difference, k: int, unit: int) -> np.ndarray:
    """Range of the form of dz of ``unit`` of layer ``k``."""
    shared, own = _parts(ws, ds, k)
    form = np.concatenate([ds.pre_form[unit, shared], ds.pre_form[unit, own]])
    center, slack = float(ds.pre_center[unit]), float(ds.pre_slack[unit])
    return _around(center, np.abs(form).sum() + slack, abs(center) + slack, form)


def _edited(ws: Workspace, ds: Difference, k: int, unit: int) -> np.ndarray:
    """Range of the sum of the forms of z and dz, in which what both share cancels."""
    shared, own = _parts(ws, ds, k)
    z, dz = ws.pre_form[unit, shared], ds.pre_form[unit, shared]
    centers = (float(ws.pre_center[unit]), float(ds.pre_center[unit]))
    slack = float(ws.pre_slack[unit] + ds.pre_slack[unit])
    reach = np.abs(z + dz).sum() + np.abs(ds.pre_form[unit, own]).sum() + slack
    parts = np.concatenate([z, dz, ds.pre_form[unit, own]])
    return _around(sum(centers), reach, abs(centers[0]) + abs(centers[1]) + slack, parts)


def _parts(ws: Workspace, ds: Difference, k: int) -> tuple[slice, slice]:
    """Where a pre-activation of layer ``k`` has shared generators, and its own."""
    first = ws.row.size
    return slice(0, ws.generators[k - 1]), slice(first, first + ds.own[k - 1])


def _around(center: float, reach: float, size: float, form: np.ndarray) -> np.ndarray:
    """[center - reach, center + reach], widened by the rounding of all sums behind it.

    No sum has more terms than ``form`` and a few, nor a magnitude above that of ``form`` and
    ``size``; twice the terms pay for the magnitudes' own rounding (Higham, section 3.1).
    """
    magnitude = np.abs(form).sum() + size + FLOOR
    reach += gamma(2 * (form.size + 16)) * magnitude
    return _sound(np.array([center - reach, center + reach]))


def _sum(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Range of a sum, rounded outward."""
    return _sound(np.nextafter(first + second, [-np.inf, np.inf]))


def _meet(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The intersection of two sound ranges; the first if rounding makes them miss each other."""
    lower, upper = max(first[0], second[0]), min(first[1], second[1])
    return np.array([lower, upper]) if lower <= upper else first


def _sound(ends: np.ndarray) -> np.ndarray:
    """``ends``, or what claims nothing if they are not two numbers in order."""
    usable = bool(np.isfinite(ends).all()) and ends[0] <= ends[1]
    return ends if usable else np.array([-np.inf, np.inf])
