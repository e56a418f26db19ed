"""The work a stage may do on one slice, counted so that results do not depend on the machine."""

from __future__ import annotations

import time
from collections import Counter

SEARCH_FROM = 10_000
"""Work from which on edits are searched for; with less, only the extremes are tried: one output
always wins, or the outputs are affine."""

_SHARE = 3
"""One part in so many of the work left may go into one proof, if others may follow."""

FIT_COST = 20
"""Boxes that one fit of lines counts for: about what it takes in time."""


def extreme_boxes(left: int) -> int:
    """How many boxes of those ``left`` the proof of an extreme may examine."""
    return left if left < SEARCH_FROM else left // _SHARE + 1


class Work:
    """A budget in boxes, spent by proofs and searches, and a time limit as an outer guard.

    Attributes:
        boxes: boxes examined by proofs.
        queries: outcome -> proofs that ended so.
        timed_out: the time limit, not the budget, ended the work.
    """

    def __init__(self, budget: int, seconds: float | None = None) -> None:
        self._left, self._kept = budget, 0
        self._end = None if seconds is None else time.perf_counter() + seconds
        self.boxes = 0
        self.queries: Counter[str] = Counter()
        self.timed_out = False

    @property
    def left(self) -> int:
        """Boxes that may still be spent."""
        if self._end is not None and time.perf_counter() > self._end:
            self.timed_out = True
            return 0
        return max(0, self._left)

    def allot(self, share: int) -> None:
        """Keep all but one part in ``share`` of what is left back, until it is released."""
        self._kept = self._left - self._left // share
        self._left //= share

    def release(self) -> None:
        """Add what was kept back."""
        self._left, self._kept = self._left + self._kept, 0

    def proof(self, boxes: int, outcome: str) -> None:
        """Count one proof that examined ``boxes``."""
        self._left -= boxes
        self.boxes += boxes
        self.queries[outcome] += 1

    def guess(self, boxes: int) -> None:
        """Count boxes that only guided."""
        self._left -= boxes
        self.boxes += boxes

    def fits(self, count: int) -> None:
        """Count fits of lines."""
        self._left -= count * FIT_COST
