"""Pre-activation bounds that hold over the reals, although they are computed in float64.

Every method is a function in :data:`METHODS`, or in :data:`REFINEMENTS` if it takes one box at a
time, in a module of its own in this package; adding one is adding that module.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import torch

from redy.bounds.refined import Refined
from redy.bounds.registry import METHODS, REFINEMENTS, BoundMethod, Effort, Refinement
from redy.bounds.result import ACTIVE, INACTIVE, OPEN, Bounds, Range
from redy.domain import Box
from redy.errors import UsageError
from redy.network.form import Network

__all__ = [
    "ACTIVE",
    "INACTIVE",
    "METHODS",
    "OPEN",
    "REFINEMENTS",
    "BoundMethod",
    "Bounds",
    "Effort",
    "Range",
    "Refined",
    "Refinement",
    "bound",
    "refine",
]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def bound(
    network: Network, boxes: Sequence[Box], method: str = "crown", device: str = "cpu"
) -> Bounds:
    """Bounds of every pre-activation of ``network`` on every box, batched, by a named method.

    Raises:
        UsageError: no method of that name.
        DomainError: a box of another dimension than the network's inputs.
    """
    if method not in METHODS:
        raise UsageError(f"no bound method {method!r}; there are {', '.join(sorted(METHODS))}")
    for i, box in enumerate(boxes):
        box.require_dimension(network.inputs, f"box {i}")
    lower = np.array([box.lower for box in boxes]).reshape(-1, network.inputs)
    upper = np.array([box.upper for box in boxes]).reshape(-1, network.inputs)
    return METHODS[method](
        network, torch.tensor(lower, device=device), torch.tensor(upper, device=device)
    )


def refine(network: Network, box: Box, method: str, effort: Effort | None = None) -> Refined:
    """Bounds of every pre-activation of ``network`` on ``box`` by a named refinement of CROWN's.

    Raises:
        UsageError: no refinement of that name.
        DomainError: the box has another dimension than the network's inputs.
        SolverError: a solver is needed and not here.
    """
    if method not in REFINEMENTS:
        raise UsageError(f"no refinement {method!r}; there are {', '.join(sorted(REFINEMENTS))}")
    known = Refined.of(bound(network, [box]))
    return REFINEMENTS[method](network, box, known, effort or Effort())
