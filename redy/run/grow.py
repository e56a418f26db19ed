"""Adaptive slicing: a tree of boxes grown best first, its leaves scored by several processes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from redy.domain import Box
from redy.errors import UsageError
from redy.guarantee import Guarantee
from redy.network.form import Network
from redy.run.backends import Here, Pool
from redy.run.rows import unreadable_as
from redy.run.spread import spread_all
from redy.run.steps import Steps
from redy.run.store import Store
from redy.run.workers import libraries
from redy.slicing.adaptive import Adaptive, require_few_inputs
from redy.slicing.growth import PROOF_BOXES, Guide, Node, Outlook, Tree

_RECORD = "tree"
"""What the store calls the tree."""

_KEEP_EVERY = 10.0
"""Seconds after which the tree is kept in the store again."""

_ROUND = 16
"""One leaf in so many is cut in one round, so that rounds are work for several processes..."""
_MOST_AT_ONCE = 256
"""... but not more than these: the leaves cut last shall be the best there are."""

_TASK_BOXES = 16
_SECOND_THOUGHTS = 8
"""Rounds, once there are all leaves, in which cuts that gained little move elsewhere."""

Task: TypeAlias = tuple[list[int], np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Growth:
    """What an adaptive slicing depends on.

    Attributes:
        network: what is simplified.
        guarantee: what has to hold for it; it decides what a box leaves.
        domain: the box that is cut.
        leaves: how many parts it is cut into, at most.
        inputs: (n, inputs) such as the network is used on, whose shares weigh the leaves; None for
            volumes.
        proof_boxes: see :class:`redy.slicing.growth.Guide`.

    Raises:
        UsageError, DomainError: too many inputs, no leaf, or inputs outside of the domain.
    """

    network: Network
    guarantee: Guarantee
    domain: Box
    leaves: int
    inputs: np.ndarray | None = None
    proof_boxes: int = PROOF_BOXES

    def __post_init__(self) -> None:
        require_few_inputs(self.domain)
        if self.leaves < 1:
            raise UsageError(f"--slices {self.leaves}: give at least 1")
        if self.inputs is None:
            return
        wanted = self.domain.dimension
        if self.inputs.ndim != 2 or self.inputs.shape[1] != wanted or not len(self.inputs):
            raise UsageError(f"--weights: inputs of shape {self.inputs.shape}, not (n, {wanted})")
        outside = np.flatnonzero(~self.domain.contains(self.inputs))
        if outside.size:
            raise UsageError(f"--weights: input row {outside[0]} lies outside of the domain")

    def describe(self) -> dict[str, Any]:
        """All but network, guarantee and effort, as JSON."""
        ends = [[float(v).hex() for v in e] for e in (self.domain.lower, self.domain.upper)]
        inputs = None if self.inputs is None else hashlib.sha256(self.inputs.tobytes()).hexdigest()
        return {"name": Adaptive.name, "leaves": self.leaves, "domain": ends, "inputs": inputs}


def grow(asked: Growth, store: Store, pool: Pool, steps: Steps) -> Adaptive:
    """The slicing, taken up from ``store`` where it was left; the same for any ``pool``.

    Raises:
        KeyboardInterrupt: after Ctrl-C; the store holds the tree of seconds ago.
        RedyError: workers died.
    """
    grower = _Grower(asked, store, pool, steps)
    with steps:
        return grower.grown()


class _Grower:
    def __init__(self, asked: Growth, store: Store, pool: Pool, steps: Steps) -> None:
        self._asked, self._store, self._pool, self._steps = asked, store, pool, steps
        self._work = partial(_outlooks, replace(asked, inputs=None))
        self._tree = Tree(asked.domain, asked.inputs)
        self._kept_at = time.perf_counter()
        self._leaves = 1
        self._thoughts = 0

    def grown(self) -> Adaptive:
        self._steps.start("cutting the domain, leaves", self._asked.leaves)
        self._recall()
        while self._leaves < self._asked.leaves:
            room = self._asked.leaves - self._leaves
            size = max(1, min(_MOST_AT_ONCE, self._leaves // _ROUND))
            chosen = self._tree.most_promising(min(room, size))
            if not chosen:
                break
            self._look(half for node in chosen for half in self._tree.halve(node))
            self._count(len(chosen))
            self._keep()
        while self._thoughts < _SECOND_THOUGHTS:
            self._think_again()
        return self._tree.slicing()

    def _think_again(self) -> None:
        pairs = self._tree.regrets(_MOST_AT_ONCE)
        for back, _ in pairs:
            self._tree.join(back)
        self._look(half for _, instead in pairs for half in self._tree.halve(instead))
        self._thoughts = self._thoughts + 1 if pairs else _SECOND_THOUGHTS
        self._keep(at_once=self._thoughts == _SECOND_THOUGHTS)

    def _look(self, nodes: Iterable[Node]) -> None:
        """Find the outlooks of ``nodes``."""
        found = list(nodes)
        tasks = [
            self._task(found, range(start, min(start + _TASK_BOXES, len(found))))
            for start in range(0, len(found), _TASK_BOXES)
        ]
        pool = self._pool if len(tasks) > 1 and len(tasks) >= self._pool.slots else Here()
        for places, outlooks in spread_all(pool, self._work, tasks, died=_DIED):
            for place, outlook in zip(places, outlooks, strict=True):
                found[place].outlook = outlook

    def _task(self, nodes: Sequence[Node], places: range) -> Task:
        lower, upper = (np.stack([getattr(nodes[p], end) for p in places]) for end in _ENDS)
        return list(places), lower, upper, np.stack([self._tree.below(nodes[p]) for p in places])

    def _count(self, leaves: int) -> None:
        self._leaves += leaves
        for _ in range(leaves):
            self._steps.advance()

    def _recall(self) -> None:
        record = self._store.part(_RECORD)
        if record is None:
            self._look([self._tree.root])
        else:
            with unreadable_as(self._store.damaged(f"the {_RECORD}")):
                self._thoughts = int(record["thoughts"][0])
                self._tree.restore(record)
            self._count(len(self._tree.leaves()) - 1)

    def _keep(self, at_once: bool = False) -> None:
        now = time.perf_counter()
        if at_once or now - self._kept_at >= _KEEP_EVERY:
            thoughts = {"thoughts": np.array([self._thoughts])}
            self._store.keep(_RECORD, {**self._tree.record(), **thoughts}, now - self._kept_at)
            self._kept_at = now


_ENDS = ("lower", "upper")
_DIED = (
    "the same command goes on from the leaves of seconds ago, with fewer jobs if memory is short"
)

_guides: dict[str, Guide] = {}


def _outlooks(asked: Growth, task: Task) -> tuple[list[int], list[Outlook]]:
    """The outlooks of some boxes, with their places among all that are asked for."""
    promise, boxes = asked.guarantee.describe(), asked.proof_boxes
    name = f"{asked.network.sha256} {promise} {asked.describe()} {boxes}"
    if name not in _guides:
        _guides.clear()
        _guides[name] = Guide(asked.network, asked.guarantee, asked.domain, boxes)
    places, *ends = task
    with libraries().limit(limits=1):
        return places, [_guides[name].outlook(*box) for box in zip(*ends, strict=True)]
