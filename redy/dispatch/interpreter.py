"""The dispatcher for networks too large to be compiled slice by slice: numpy, layer by layer."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from redy.dispatch.entering import Entrance
from redy.formats.bundle import Content
from redy.network.evaluate import evaluate
from redy.network.fold import materialise, require_cheap
from redy.network.form import Network

_CACHED_NETWORKS = 4096


class Dispatcher(Protocol):
    """Finds the slice of an input and evaluates its network."""

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Outputs of ``points``, (n, inputs) or (inputs,)."""

    def slice_of(self, points: np.ndarray) -> np.ndarray:
        """The slice of each of ``points`` (n, inputs): (n,) int64."""


class Interpreter:
    """Outputs in float64; see :class:`Dispatcher`."""

    def __init__(self, content: Content) -> None:
        self._content, self._entrance = content, Entrance(content)
        self._network_of = lru_cache(_CACHED_NETWORKS)(self._materialised)

    def slice_of(self, points: np.ndarray) -> np.ndarray:
        """The slice of each of ``points``; raises :class:`DomainError`."""
        return self._content.slicing.slice_of(self._entrance(points))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Outputs of ``points``; raises :class:`DomainError`."""
        one = np.ndim(points) == 1
        entered = self._entrance(np.asarray(points)[None] if one else points)
        owner = self._content.slicing.slice_of(entered)
        order = np.argsort(owner, kind="stable")
        outputs = np.empty((len(entered), self._content.base.outputs))
        borders = np.flatnonzero(np.diff(owner[order])) + 1
        for group in np.split(order, borders):
            if group.size:
                outputs[group] = evaluate(self._network_of(int(owner[group[0]])), entered[group])
        return outputs[0] if one else outputs

    def _materialised(self, index: int) -> Network:
        content = self._content
        row = int(np.searchsorted(content.slices, index))
        if row == len(content.slices) or content.slices[row] != index:
            return content.base
        edits, folded = content.edits.at(row), content.folded[row]
        with content.malformed():
            require_cheap(content.base, edits, folded)
            return materialise(content.base, edits, folded)
