"""The bound methods by name: a module of this package adds its own with a decorator.

There are two kinds. A method propagates a batch of boxes at once; a refinement spends effort,
boxes or solver time, on one box at a time, and starts from what a method has found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from redy.bounds.refined import Refined
from redy.bounds.result import Bounds
from redy.domain import Box
from redy.network.form import Network

Task = TypeVar("Task")
Result = TypeVar("Result")


class BoundMethod(Protocol):
    """Pre-activation bounds of ``network`` on each box of a batch, sound over the reals.

    Args:
        lower, upper: (batch, inputs) float64, on the device the work is to be done on.
        known: bounds that already hold on the same boxes; the result is at least as tight.
    """

    def __call__(
        self, network: Network, lower: Tensor, upper: Tensor, known: Bounds | None = None
    ) -> Bounds:
        """The bounds of all layers, outputs last."""


class Spread(Protocol):
    """How a refinement has its tasks done: one after the other, or by several processes."""

    def __call__(
        self, what: str, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterable[Result]:
        """The results of ``function``, in any order; ``what`` tells a person what is done."""


def one_by_one(
    what: str, function: Callable[[Task], Result], tasks: Sequence[Task]
) -> Iterable[Result]:
    """The :class:`Spread` of this process alone."""
    del what
    return map(function, tasks)


@dataclass(frozen=True)
class Effort:
    """What a refinement may spend on one box.

    Attributes:
        budget: boxes that branch and bound may examine.
        solver: name of a backend of :mod:`redy.solvers`, or "auto".
        time_limit: seconds per solver query.
        spread: has the tasks done; results do not depend on it.
    """

    budget: int = 100_000
    solver: str = "auto"
    time_limit: float = 10.0
    spread: Spread = one_by_one


class Refinement(Protocol):
    """Bounds of ``network`` on one box that are at least as tight as ``known``."""

    def __call__(self, network: Network, box: Box, known: Refined, effort: Effort) -> Refined:
        """The bounds of all layers, and which of them rest on a solver's word alone."""


METHODS: dict[str, BoundMethod] = {}
REFINEMENTS: dict[str, Refinement] = {}


def register(name: str) -> Callable[[BoundMethod], BoundMethod]:
    """Decorator: enter a function in :data:`METHODS` as ``name``."""

    def enter(method: BoundMethod) -> BoundMethod:
        METHODS[name] = method
        return method

    return enter


def refinement(name: str) -> Callable[[Refinement], Refinement]:
    """Decorator: enter a function in :data:`REFINEMENTS` as ``name``."""

    def enter(method: Refinement) -> Refinement:
        REFINEMENTS[name] = method
        return method

    return enter
