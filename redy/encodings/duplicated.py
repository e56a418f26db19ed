"""An original and an edited network on the same input, as one mixed-integer linear problem.

Paper, section III: forward and result-preserving redundancy are queries on a duplicated network.
Two encodings of it, whose points have the same inputs and the same outputs:

- *plain*: two complete copies, the edited one with its lines in the place of ReLUs
  (:mod:`redy.encodings.copies`);
- *difference*: the original, and the differences of those neurons alone where there may be one
  (:mod:`redy.encodings.difference`); layers below the first edit are shared.

Rows hold weights as they are, up to signs, so that a problem says what the networks do over the
reals; what is computed from ranges is rounded so that it admits more points. Both use the same
ranges. ReLUs whose phase is open are big-M (:func:`redy.encodings.builder.relu_unit`).
"""

from __future__ import annotations

import numpy as np

from redy.domain import Box
from redy.edits import Edits
from redy.encodings.difference import Differences
from redy.encodings.ranges import Ranges
from redy.encodings.rows import Duplicated, Row
from redy.network.form import Network

__all__ = ["ENCODINGS", "Duplicated", "Row", "encode", "usable"]

ENCODINGS = ("difference", "plain")


def encode(
    network: Network, edits: Edits, box: Box, ranges: Ranges, layer: int, encoding: str
) -> Duplicated:
    """Both networks on ``box`` up to the pre-activations of ``layer``.

    A correction belongs to the outputs: it counts where ``layer`` is the last.

    Args:
        ranges: of the units up to ``layer`` on the box, for ``edits``; see :func:`usable`.
        encoding: one of :data:`ENCODINGS`.

    Raises:
        ValueError: another encoding.
    """
    both = Differences(network, edits, box, ranges, layer)
    match encoding:
        case "plain":
            return both.plain()
        case "difference":
            return both.difference()
        case _:
            raise ValueError(f"no encoding {encoding!r}; there are {', '.join(ENCODINGS)}")


def usable(ranges: Ranges, layer: int) -> bool:
    """Whether the ranges before ``layer`` are finite, as big-M and the chords need them."""
    units = slice(0, int(ranges.start[layer]))
    parts = (ranges.original, ranges.difference, ranges.edited)
    return all(bool(np.isfinite(part[units]).all()) for part in parts)
