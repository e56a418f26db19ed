"""What every picture starts from: neurons left per slice, the slices' boxes, and their volumes."""

from __future__ import annotations

import numpy as np

from redy.dispatch.bundle import Bundle
from redy.domain import Box
from redy.edits import Edit
from redy.slicing import Slicing

_CHECKED_SLICES = 1000


def neurons_left(bundle: Bundle) -> np.ndarray:
    """ReLU neurons left in each simplified slice: (m,) int64."""
    return np.asarray((bundle.edits == Edit.KEEP).sum(axis=1, dtype=np.int64))


def input_boxes(slicing: Slicing, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Ends of the slices ``indices`` as boxes of inputs, two arrays (m, inputs).

    None where a slice is not what its box holds: a strategy may cut something else than inputs.
    """
    lower, upper = slicing.boxes(indices)
    some = np.unique(np.linspace(0, len(indices) - 1, _CHECKED_SLICES).astype(np.int64))
    centres = 0.5 * lower[some] + 0.5 * upper[some]
    if centres.shape[1] != slicing.domain.dimension:
        return None
    return (lower, upper) if (slicing.slice_of(centres) == indices[some]).all() else None


def relative_widths(lower: np.ndarray, upper: np.ndarray, domain: Box) -> np.ndarray:
    """Widths of boxes (m, inputs) as shares of the domain's; 1 where that has zero width."""
    wide = domain.lower < domain.upper
    # Halves, because the difference of two large ends might overflow.
    whole = 0.5 * domain.upper - 0.5 * domain.lower
    widths = np.ones_like(lower)
    np.divide(0.5 * upper - 0.5 * lower, whole, out=widths, where=wide)
    return widths


def volume_shares(slicing: Slicing, indices: np.ndarray) -> np.ndarray:
    """Each slice's share of the volume of all ``indices`` (m,): (m,) float64, sum 1.

    Inputs of zero width are left out. Slices that are not boxes of inputs count alike.
    """
    boxes = input_boxes(slicing, indices)
    if boxes is None:
        return np.full(len(indices), 1.0 / len(indices))
    volumes = relative_widths(*boxes, slicing.domain).prod(axis=1)
    return np.asarray(volumes / volumes.sum())
