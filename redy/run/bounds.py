"""Bounds of many slices, batch by batch or one by one, and their summary."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from redy.bounds import METHODS, REFINEMENTS
from redy.bounds.refined import Ends, Refined
from redy.bounds.registry import Effort
from redy.domain import Box
from redy.errors import UsageError
from redy.formats.atomic import write_bytes
from redy.network.form import Network
from redy.slicing import Slicing
from redy.solvers import solver

_BATCH = 64

_START = "crown"
"""The method that refinements start from."""


@dataclass(frozen=True, eq=False)
class BoundTable:
    """Pre-activation bounds per layer, outputs last: each (slices, units).

    Where ``proved_lower`` or ``proved_upper`` is wider, the end rests on a solver's word alone.
    """

    lower: list[np.ndarray]
    upper: list[np.ndarray]
    proved_lower: list[np.ndarray]
    proved_upper: list[np.ndarray]

    @classmethod
    def of(cls, slices: Sequence[Refined]) -> BoundTable:
        """The bounds of one slice after the other."""

        def stacked(ends: Callable[[Refined], Ends]) -> list[np.ndarray]:
            return [np.stack(layer) for layer in zip(*map(ends, slices), strict=True)]

        return cls(
            stacked(lambda part: part.lower),
            stacked(lambda part: part.upper),
            stacked(lambda part: part.proved_lower),
            stacked(lambda part: part.proved_upper),
        )

    def summary(self, network: Network, method: str) -> dict[str, Any]:
        """Per layer: the mean fractions that the bounds decide, and their mean width.

        ``solver_trusted`` is the mean fraction of neurons whose phase is decided on a solver's
        word alone, ``solver_trusted_bounds`` that of all ends of bounds that rest on it.
        """
        rows = [self._row(network, k) for k in range(1, len(self.lower) + 1)]
        return {"method": method, "slices": len(self.lower[0]), "layers": rows}

    def _row(self, network: Network, k: int) -> dict[str, Any]:
        lower, upper = self.lower[k - 1], self.upper[k - 1]
        proved_lower, proved_upper = self.proved_lower[k - 1], self.proved_upper[k - 1]
        relu = network.layers[k - 1].relu
        crossing = (lower < 0) & (upper > 0)
        fractions = {
            "active": (lower >= 0) & (upper > 0),
            "inactive": upper <= 0,
            "open": crossing,
            "solver_trusted": ~crossing & (proved_lower < 0) & (proved_upper > 0),
        }
        by_word = (lower != proved_lower, upper != proved_upper)
        return {
            "layer": k if k <= network.depth else "output",
            "neurons": int(relu.sum()),
            **{
                name: float(where[:, relu].mean()) if relu.any() else None
                for name, where in fractions.items()
            },
            "solver_trusted_bounds": float(np.mean(by_word)),
            "mean_width": float((upper - lower).mean()),
        }


def compute_bounds(
    network: Network,
    slicing: Slicing,
    slices: np.ndarray,
    method: str,
    device: str,
    effort: Effort | None = None,
) -> BoundTable:
    """Bounds of ``network`` on ``slices`` (m,), by a method or a refinement of :mod:`redy.bounds`.

    Raises:
        UsageError: there is no such method, or the device cannot be used.
        SolverError: the solver asked for is not here.
    """
    if method not in METHODS and method not in REFINEMENTS:
        names = ", ".join(sorted({*METHODS, *REFINEMENTS}))
        raise UsageError(f"--method {method}: there is {names}")
    _require_device(device)
    effort = effort or Effort()
    if effort.solver != "auto":
        solver(effort.solver)
    parts: list[Refined] = []
    for start in range(0, len(slices), _BATCH):
        lower, upper = slicing.boxes(slices[start : start + _BATCH])
        low, high = (torch.tensor(end, device=device) for end in (lower, upper))
        result = METHODS[method if method in METHODS else _START](network, low, high)
        for row, ends in enumerate(zip(lower, upper, strict=True)):
            part = Refined.of(result, row)
            if method in REFINEMENTS:
                part = REFINEMENTS[method](network, Box(*ends), part, effort)
            parts.append(part)
    return BoundTable.of(parts)


def save_bounds(path: Path, slices: np.ndarray, table: BoundTable) -> None:
    """Write to an .npz file the arrays ``slices`` and, per layer K, ``lower_K`` and ``upper_K``.

    Where an end in a layer rests on a solver's word alone, ``proved_lower_K`` and
    ``proved_upper_K`` are the bounds that do not.
    """
    arrays = {"slices": slices}
    for k, (lower, upper) in enumerate(zip(table.lower, table.upper, strict=True), start=1):
        arrays[f"lower_{k}"], arrays[f"upper_{k}"] = lower, upper
        proved_lower, proved_upper = table.proved_lower[k - 1], table.proved_upper[k - 1]
        if (lower != proved_lower).any() or (upper != proved_upper).any():
            arrays[f"proved_lower_{k}"], arrays[f"proved_upper_{k}"] = proved_lower, proved_upper
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def _require_device(device: str) -> None:
    try:
        torch.ones(1, dtype=torch.float64, device=device).sum().item()
    except (RuntimeError, AssertionError, TypeError) as error:
        raise UsageError(
            f"--device {device}: torch cannot compute in float64 on it here"
        ) from error
