"""Parts of a domain that are still open, and the search that goes on with the largest.

Every part is searched for a while, depth first; what is left of it goes back to the others. The
largest go first, so that no region waits until another is finished.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

import numpy as np

from redy.domain import Box
from redy.verification.answer import Finding, Outcome, Witness

_WAVE = 16
"""Parts examined between two looks at the others. Not the number of processes: the result must not
depend on that."""


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the domain.

    Attributes:
        box: its box.
        share: its share of the domain's volume.
        eps: a bound of the differences on it, proved.
    """

    box: Box
    share: float
    eps: float = inf


@dataclass(frozen=True, eq=False)
class Task:
    """A part to examine, with ``budget`` boxes at most, unless ``deadline`` (seconds) is over.

    ``attack``: whether points are tried.
    """

    part: Part
    budget: int
    deadline: float
    attack: bool = True

    @property
    def late(self) -> bool:
        """Whether there is no time left."""
        return time.time() > self.deadline


@dataclass(frozen=True, eq=False)
class Examined:
    """What became of a part.

    Attributes:
        boxes: boxes examined.
        proved, stuck: shares of the domain that are proved, and that cannot be cut further.
        eps: a bound of the differences on both.
        left: what is still open.
        point: where the promise fails in floating point, or None.
    """

    boxes: int
    proved: float
    stuck: float
    eps: float
    left: tuple[Part, ...]
    point: np.ndarray | None = None


Spread = Callable[[Callable[[Task], Examined], Sequence[Task]], Iterable[Examined]]
"""Applies a function to tasks, in this process or in others; the results in the tasks' order."""

Told = Callable[[int, int, float], None]
"""Is told of boxes examined, boxes at most and the share proved, from time to time."""


class Prover(Protocol):
    """Proves a promise on parts of a domain."""

    @property
    def task(self) -> int:
        """Boxes worth about a second: how much of a part is examined at a time."""

    @property
    def reason(self) -> str:
        """Why a part may stay open however long it is examined; empty if nothing is known."""

    def __call__(self, task: Task) -> Examined:
        """Examine a part."""

    def confirm(self, point: np.ndarray) -> Witness | None:
        """``point`` as a witness, if it is one."""


@dataclass(frozen=True)
class Effort:
    """How much a search may cost: boxes, and the time (as of ``time.time``) at which it ends."""

    budget: int
    deadline: float = inf


def here(prover: Callable[[Task], Examined], tasks: Sequence[Task]) -> Iterable[Examined]:
    """A :data:`Spread` within this process."""
    return map(prover, tasks)


def silent(boxes: int, budget: int, proved: float) -> None:
    """A :data:`Told` that says nothing."""


@dataclass
class Search:
    """Branch and bound over the parts of a domain.

    Attributes:
        prover: examines parts.
        effort: how much may be spent.
        spread, told: where parts are examined, who is told.
    """

    prover: Prover
    effort: Effort
    spread: Spread = here
    told: Told = silent
    _queue: list[tuple[float, int, Part]] = field(default_factory=list, init=False)
    _count: int = field(default=0, init=False)
    _boxes: int = field(default=0, init=False)
    _proved: float = field(default=0.0, init=False)
    _stuck: float = field(default=0.0, init=False)
    _eps: float = field(default=0.0, init=False)
    _unconfirmed: int = field(default=0, init=False)

    def run(self, parts: Iterable[Part]) -> Finding:
        """What becomes of ``parts``, whose shares add up to one."""
        self._push(parts)
        while self._queue and self._boxes < self.effort.budget and not self._late:
            for examined in list(self.spread(self.prover, self._wave())):
                self._count_in(examined)
                witness = self._witness(examined.point)
                if witness is not None:
                    return Finding(Outcome.REFUTED, self._boxes, self._shown, inf, witness=witness)
            self.told(self._boxes, self.effort.budget, self._shown)
        if not self._queue and self._stuck == 0.0:
            return Finding(Outcome.PROVED, self._boxes, 1.0, self._eps)
        return Finding(
            Outcome.UNKNOWN, self._boxes, self._shown, self._eps_of_all, reason=self._reason()
        )

    @property
    def _late(self) -> bool:
        return time.time() > self.effort.deadline

    @property
    def _shown(self) -> float:
        """The share proved; below one while anything is open."""
        return min(self._proved, 1.0)

    @property
    def _eps_of_all(self) -> float:
        return max([self._eps, *(part.eps for _, _, part in self._queue)])

    def _push(self, parts: Iterable[Part]) -> None:
        for part in parts:
            heapq.heappush(self._queue, (-part.share, self._count, part))
            self._count += 1

    def _wave(self) -> list[Task]:
        count = min(_WAVE, len(self._queue), self.effort.budget - self._boxes)
        parts = [heapq.heappop(self._queue)[2] for _ in range(count)]
        budget = max(1, min(self.prover.task, (self.effort.budget - self._boxes) // count))
        attack = self._unconfirmed < _WAVE
        return [Task(part, budget, self.effort.deadline, attack) for part in parts]

    def _count_in(self, examined: Examined) -> None:
        self._boxes += examined.boxes
        self._proved += examined.proved
        self._stuck += examined.stuck
        self._eps = max(self._eps, examined.eps)
        self._push(examined.left)

    def _witness(self, point: np.ndarray | None) -> Witness | None:
        if point is None:
            return None
        witness = self.prover.confirm(point)
        self._unconfirmed += witness is None
        return witness

    def _reason(self) -> str:
        spent = "time limit reached" if self._late else "budget spent"
        if not self._queue:
            spent = "what is left is too small to be cut"
        notes = [spent, self.prover.reason]
        if self._unconfirmed:
            notes.append(
                f"{self._unconfirmed} points seemed to refute, but not in onnxruntime or not "
                "beyond rounding"
            )
        return "; ".join(note for note in notes if note)
