"""Forward redundancy: a neuron whose removal leaves the outputs as they are.

Paper: section III. Here the part that needs no query: once phases are edited, a neuron that no
output reads any more, directly or through others, is redundant whatever it computes.
"""

from __future__ import annotations

import numpy as np

from redy.edits import Edit
from redy.network.fold import unread
from redy.network.form import Network


def with_unread(network: Network, edits: np.ndarray) -> np.ndarray:
    """``edits`` (slices, neurons) with ZERO for the neurons that no output reads."""
    return np.where(unread(network, edits), np.uint8(Edit.ZERO), edits)
