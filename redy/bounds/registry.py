"""The bound methods by name: a module of this package adds its own with :func:`register`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from redy.bounds.result import Bounds
from redy.network.form import Network


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


METHODS: dict[str, BoundMethod] = {}


def register(name: str) -> Callable[[BoundMethod], BoundMethod]:
    """Decorator: enter a function in :data:`METHODS` as ``name``."""

    def enter(method: BoundMethod) -> BoundMethod:
        METHODS[name] = method
        return method

    return enter
