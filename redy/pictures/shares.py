"""What every picture starts from: neurons left per slice, the slices' boxes, and their weights."""

from __future__ import annotations

import numpy as np

from redy.dispatch.bundle import Bundle
from redy.domain import Box
from redy.edits import Edit
from redy.slicing import Slicing
from redy.slicing.mid import Mid


def neurons_left(bundle: Bundle) -> np.ndarray:
    """ReLU neurons left in each simplified slice: (m,) int64."""
    return np.asarray((bundle.edits == Edit.KEEP).sum(axis=1, dtype=np.int64))


def input_boxes(slicing: Slicing, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Ends of the slices ``indices`` as boxes of inputs, two arrays (m, inputs).

    None where slices are cells of a hidden layer.
    """
    return None if isinstance(slicing, Mid) else slicing.boxes(indices)


def relative_widths(lower: np.ndarray, upper: np.ndarray, domain: Box) -> np.ndarray:
    """Widths of boxes (m, inputs) as shares of the domain's; 1 where that has zero width."""
    wide = domain.lower < domain.upper
    # Halves, because the difference of two large ends might overflow.
    whole = 0.5 * domain.upper - 0.5 * domain.lower
    widths = np.ones_like(lower)
    np.divide(0.5 * upper - 0.5 * lower, whole, out=widths, where=wide)
    return widths


def shares(slicing: Slicing, indices: np.ndarray) -> np.ndarray:
    """What each of the slices ``indices`` (m,) counts for among them: (m,) float64, sum 1."""
    weights = slicing.weights(indices)
    total = weights.sum()
    return np.asarray(weights / total if total > 0.0 else np.full(len(indices), 1 / len(indices)))
