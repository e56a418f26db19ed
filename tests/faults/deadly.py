"""Slices that kill the process that works on them, in the real pipeline."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np

import redy
from redy.slicing.grid import Grid


class Deadly(Grid):
    """A grid; a process that takes slice ``deadly`` in hand ends, but not that which made it.

    Every attempt adds a byte to ``log``.
    """

    def __init__(self, domain: redy.Box, counts: tuple[int, ...], deadly: int, log: Path) -> None:
        super().__init__(domain, counts)
        self._deadly, self._log, self._maker = deadly, log, os.getpid()

    def boxes(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if os.getpid() != self._maker and self._deadly in indices:
            with self._log.open("ab") as log:
                log.write(b".")
            self._end()
        return super().boxes(indices)

    def _end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Hungry(Deadly):
    """The same, but the process has no memory left."""

    def _end(self) -> None:
        raise MemoryError
