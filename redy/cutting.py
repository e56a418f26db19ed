"""What is simplified slice by slice: the network, or the suffix of one that is cut in two."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from redy.domain import Box
from redy.formats.networks import LoadedNetwork, in_memory
from redy.network.split import Split, split
from redy.run.workers import libraries
from redy.slicing import Slicing
from redy.slicing.mid import Mid
from redy.slicing.mid_fit import Points, best_cells


@dataclass(frozen=True, eq=False)
class Cut:
    """Slices, and the network that is simplified on each.

    Attributes:
        base: the network itself, or the suffix of mid-network slicing under the network's name.
        slicing: of the inputs of ``base``.
        parts: of mid-network slicing, the network cut in two; else None.
    """

    base: LoadedNetwork
    slicing: Slicing
    parts: Split | None = None


def cut_mid(
    loaded: LoadedNetwork, domain: Box, cells: int, layer: int | None, inputs: np.ndarray | None
) -> Cut:
    """``loaded`` cut in two, and what its prefix makes of ``domain`` into at most ``cells`` cells.

    Args:
        loaded, domain, cells: what is cut.
        layer: where; None for where evaluation gets cheapest.
        inputs: (n, inputs) that the cells are made for; None for random points.

    Raises:
        UsageError, DomainError: that cannot be done; the message says why.
    """
    points = Points.of(inputs, domain)
    # One thread: sums in another order might give other cells, and a run must find its store.
    with libraries().limit(limits=1):
        parts, slicing = best_cells(loaded.network, domain, layer, cells, points)
    return Cut(_suffix(loaded, parts), slicing, parts)


def recut(loaded: LoadedNetwork, slicing: Slicing) -> Cut:
    """``loaded`` with the ``slicing`` that was made for it before."""
    if not isinstance(slicing, Mid):
        return Cut(loaded, slicing)
    parts = split(loaded.network, slicing.layer)
    return Cut(_suffix(loaded, parts), slicing, parts)


def _suffix(loaded: LoadedNetwork, parts: Split) -> LoadedNetwork:
    own = in_memory(parts.suffix)
    return replace(own, path=loaded.path, file_sha256=loaded.file_sha256)
