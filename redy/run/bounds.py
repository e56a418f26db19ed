"""Bounds of many slices, batch by batch, and their summary."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from redy.bounds import METHODS
from redy.errors import UsageError
from redy.formats.atomic import write_bytes
from redy.network.form import Network
from redy.slicing import Slicing

_BATCH = 64


@dataclass(frozen=True, eq=False)
class BoundTable:
    """Pre-activation bounds per layer, outputs last: each (slices, units)."""

    lower: list[np.ndarray]
    upper: list[np.ndarray]

    def summary(self, network: Network, method: str) -> dict[str, Any]:
        """Per layer: the mean fractions that the bounds decide, and their mean width."""
        rows = []
        for k, (lower, upper) in enumerate(zip(self.lower, self.upper, strict=True), start=1):
            inactive = upper <= 0
            active = (lower >= 0) & ~inactive
            relu = network.layers[k - 1].relu
            rows.append(
                {
                    "layer": k if k <= network.depth else "output",
                    "neurons": int(relu.sum()),
                    "active": float(active[:, relu].mean()) if relu.any() else None,
                    "inactive": float(inactive[:, relu].mean()) if relu.any() else None,
                    "open": float((~active & ~inactive)[:, relu].mean()) if relu.any() else None,
                    "mean_width": float((upper - lower).mean()),
                }
            )
        return {"method": method, "slices": len(self.lower[0]), "layers": rows}


def compute_bounds(
    network: Network, slicing: Slicing, slices: np.ndarray, method: str, device: str
) -> BoundTable:
    """Bounds of ``network`` on ``slices`` (m,) by a method of :data:`redy.bounds.METHODS`."""
    if method not in METHODS:
        raise UsageError(f"--method {method}: there is {', '.join(sorted(METHODS))}")
    _require_device(device)
    lower: list[list[np.ndarray]] = [[] for _ in network.layers]
    upper: list[list[np.ndarray]] = [[] for _ in network.layers]
    for start in range(0, len(slices), _BATCH):
        ends = slicing.boxes(slices[start : start + _BATCH])
        low, high = (torch.tensor(end, device=device) for end in ends)
        result = METHODS[method](network, low, high)
        for k in range(len(network.layers)):
            lower[k].append(result.lower[k].cpu().numpy())
            upper[k].append(result.upper[k].cpu().numpy())
    return BoundTable([np.concatenate(p) for p in lower], [np.concatenate(p) for p in upper])


def save_bounds(path: Path, slices: np.ndarray, table: BoundTable) -> None:
    """Write the arrays ``slices``, ``lower_K`` and ``upper_K`` to an .npz file."""
    arrays = {"slices": slices}
    for k, (lower, upper) in enumerate(zip(table.lower, table.upper, strict=True), start=1):
        arrays[f"lower_{k}"], arrays[f"upper_{k}"] = lower, upper
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
