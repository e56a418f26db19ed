"""The figures of a bundle: what was removed, by criterion and layer, and what that saves."""

from __future__ import annotations

from typing import Any

import numpy as np

from redy.criteria.forward import with_unread
from redy.dispatch.bundle import Slice
from redy.edits import Edit, Status, edits_of
from redy.formats.networks import LoadedNetwork
from redy.network.cost import cost
from redy.network.fold import layer_edits, materialise, plan_many
from redy.network.form import Network
from redy.slicing import Slicing
from redy.tolerances import UNIT_ROUNDOFF
from redy.version import __version__


def summarise(
    loaded: LoadedNetwork,
    slicing: Slicing,
    status: np.ndarray,
    *,
    deviation: float,
    points: int,
    cut_short: int,
    boxes: int,
    budget: int,
) -> dict[str, Any]:
    """What ``redy show --json`` prints, but for what depends on the run or the file.

    Args:
        loaded: the original network.
        slicing: a grid, so that all slices have one volume and means need no weights.
        status: (slices, neurons) uint8 of :class:`redy.edits.Status`.
        deviation, points: largest deviation from the original, over how many points.
        cut_short: slices that the time limit ended.
        boxes: boxes examined in all.
        budget: boxes per slice.
    """
    network = loaded.network
    proved = edits_of(status)
    edits = with_unread(network, proved)
    folded, macs = plan_many(network, edits)
    by_phase = proved != Edit.KEEP
    by_forward = (edits != Edit.KEEP) & ~by_phase
    return {
        "version": __version__,
        "network": loaded.path,
        "network_sha256": network.sha256,
        "file_sha256": loaded.file_sha256,
        "import_rounded": list(loaded.rounded),
        "slicing": slicing.describe()["name"],
        "grid": slicing.describe().get("counts"),
        "slices": slicing.slices,
        "slices_done": len(status),
        "slices_cut_short": cut_short,
        "neurons": len(network.neurons),
        "guarantee": "exact",
        "removed_mean": _mean(by_phase) + _mean(by_forward),
        "removed_by": {
            "phase": _mean(by_phase),
            "forward": _mean(by_forward),
            "decision": 0.0,
            "relaxed": 0.0,
        },
        "stable_proved_mean": _mean(by_phase),
        "refuted_mean": _mean(status == Status.REFUTED),
        "undecided_mean": _mean(~by_phase & (status != Status.REFUTED)),
        "solver_trusted_mean": 0.0,
        "layers": _by_layer(network.neurons, status, by_phase, by_forward),
        "macs_original": cost(network).macs,
        "macs_mean": float(macs.mean()),
        "macs_max": int(macs.max()),
        "parameters_original": cost(network).parameters,
        "skips_folded_mean": [float(x) for x in folded.mean(axis=0)],
        "boxes": boxes,
        "budget": budget,
        "eps_proved_max": 0.0,
        "float_deviation_max": deviation,
        "float_deviation_points": points,
        "tolerances": {"unit_roundoff": UNIT_ROUNDOFF, "rounding": "outward, float64"},
    }


def _mean(mask: np.ndarray) -> float:
    return float(mask.mean()) if mask.size else 0.0


def _by_layer(
    neurons: tuple[tuple[int, int], ...],
    status: np.ndarray,
    by_phase: np.ndarray,
    by_forward: np.ndarray,
) -> list[dict[str, Any]]:
    layer_of = np.array([k for k, _ in neurons])
    rows = []
    for k in np.unique(layer_of):
        here = layer_of == k
        rows.append(
            {
                "layer": int(k),
                "neurons": int(here.sum()),
                "phase": _mean(by_phase[:, here]),
                "forward": _mean(by_forward[:, here]),
                "refuted": _mean(status[:, here] == Status.REFUTED),
                "undecided": _mean(~by_phase[:, here] & (status[:, here] != Status.REFUTED)),
            }
        )
    return rows


def slice_report(part: Slice, original: Network) -> dict[str, Any]:
    """One slice: its box, what is left per layer, and how its linear units were materialised."""
    edits, simplified = part.edits, part.network
    codes = layer_edits(original, edits)
    depth = original.depth
    all_folded = cost(materialise(original, edits, [True] * depth))
    all_kept = cost(materialise(original, edits, [False] * depth))
    return {
        "slice": part.index,
        "lower": part.box.lower.tolist(),
        "upper": part.box.upper.tolist(),
        "neurons": len(original.neurons),
        "removed": int((edits != Edit.KEEP).sum()),
        "undecided": int((part.status < Status.REFUTED).sum()),
        "boxes": part.boxes,
        "layers": [
            {
                "layer": k,
                "relu": int((code == Edit.KEEP).sum()),
                "zero": int((code == Edit.ZERO).sum()),
                "linear": int((code == Edit.IDENTITY).sum()),
                "linear_units": _materialised_as(code, bool(folded)),
                "reads_layers": sorted(simplified.layers[k - 1].weights),
            }
            for k, (code, folded) in enumerate(zip(codes, part.folded, strict=True), start=1)
        ],
        "output_reads_layers": sorted(simplified.layers[-1].weights),
        "macs": part.macs,
        "macs_all_folded": all_folded.macs,
        "macs_all_kept": all_kept.macs,
        "macs_original": cost(original).macs,
        "parameters": part.cost.parameters,
        "parameters_original": cost(original).parameters,
    }


def _materialised_as(codes: np.ndarray, folded: bool) -> str:
    if not (codes == Edit.IDENTITY).any():
        return "none"
    return "folded into skips" if folded else "kept as linear units"
