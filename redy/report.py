"""The figures of a bundle: what was removed, by criterion and layer, and what that saves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from redy.dispatch.bundle import Slice
from redy.edits import Criterion, Edit, Edits, Status, edits_of, proved_by
from redy.network.cost import cost
from redy.network.fold import layer_edits, materialise
from redy.network.form import Network
from redy.pipeline import SliceResult
from redy.run.execute import Job
from redy.tolerances import UNIT_ROUNDOFF
from redy.verdict import Proof
from redy.version import __version__

_CRITERIA = {c.name.lower(): c for c in Criterion if c != Criterion.KEPT}
_COUNTS = ("queries", "boxes", "proved", "refuted", "unknown")


def summarise(
    job: Job,
    results: Sequence[SliceResult],
    criteria: np.ndarray,
    folded: np.ndarray,
    macs: np.ndarray,
) -> dict[str, Any]:
    """What ``redy show --json`` prints, but for what depends on the run or the file.

    Args:
        job: the run; its slicing says what a slice weighs in a mean.
        results: of all slices.
        criteria: (slices, neurons) those of their edits.
        folded, macs: their plans, see :func:`redy.network.fold.plan_many`.
    """
    network, guarantee = job.loaded.network, job.guarantee
    status = np.stack([result.status for result in results])
    weights = shares(job, results)
    removed_by = _removed_by(criteria, weights)
    stable = edits_of(status) != Edit.KEEP
    return {
        "version": __version__,
        "network": job.loaded.path,
        "network_sha256": network.sha256,
        "file_sha256": job.loaded.file_sha256,
        "import_rounded": list(job.loaded.rounded),
        "slicing": job.slicing.describe()["name"],
        "grid": job.slicing.describe().get("counts"),
        "weighted_by": job.slicing.weighted_by,
        "slices": job.slicing.slices,
        "slices_done": len(results),
        "slices_cut_short": sum(result.cut_short for result in results),
        "slices_contradicted": sum(result.contradicted for result in results),
        "slices_failed": [result.slice for result in results if result.failed],
        "neurons": len(network.neurons),
        "guarantee": str(guarantee),
        "winner": guarantee.winner if guarantee.kind == "decision" else None,
        "eps": _finite(guarantee.eps),
        "output_span": guarantee.span,
        "removed_mean": sum(removed_by.values()),
        "removed_by": removed_by,
        "stable_proved_mean": _mean(stable, weights),
        "refuted_mean": _mean(status == Status.REFUTED, weights),
        "undecided_mean": _mean(_undecided(status), weights),
        "solver_trusted_mean": solver_trusted(results, status, criteria, weights),
        "layers": _by_layer(network.neurons, status, criteria, weights),
        "stages": _by_stage(job, results, weights),
        "proofs": {
            proof.value: count
            for proof in Proof
            if (count := sum(result.proof == proof for result in results))
        },
        "macs_original": cost(network).macs,
        "macs_mean": float(weights @ macs),
        "macs_max": int(macs.max()),
        "parameters_original": cost(network).parameters,
        "skips_folded_mean": [float(x) for x in weights @ folded],
        "boxes": sum(result.boxes for result in results),
        "budget": job.effort.budget,
        "eps_proved_max": _finite(max(result.eps_proved for result in results)),
        "float_deviation_max": max(result.deviation for result in results),
        "float_deviation_points": sum(not result.failed for result in results)
        * job.effort.check_points,
        "winners_changed": sum(result.winners_changed for result in results),
        "tolerances": {"unit_roundoff": UNIT_ROUNDOFF, "rounding": "outward, float64"},
    }


def shares(job: Job, results: Sequence[SliceResult]) -> np.ndarray:
    """What each of ``results`` weighs in a mean over them: (slices,), adding up to one."""
    weights = job.slicing.weights(np.array([result.slice for result in results]))
    total = float(weights.sum())
    return weights / total if total > 0.0 else np.full(weights.size, 1.0 / weights.size)


def stage_seconds(results: Sequence[SliceResult]) -> dict[str, float]:
    """Stage -> the time it took, all slices together."""
    seconds: dict[str, float] = {}
    for result in results:
        for entry in result.log:
            seconds[entry.name] = seconds.get(entry.name, 0.0) + entry.seconds
    return seconds


def _undecided(status: np.ndarray) -> np.ndarray:
    """Where no phase is proved and none refuted: bool of the shape of ``status``."""
    return np.asarray((edits_of(status) == Edit.KEEP) & (status != Status.REFUTED))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _removed_by(criteria: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Criterion -> fraction of the neurons that it removed; ``criteria`` (slices, neurons)."""
    return {name: _mean(criteria == code, weights) for name, code in _CRITERIA.items()}


def solver_trusted(
    results: Sequence[SliceResult],
    status: np.ndarray,
    criteria: np.ndarray,
    weights: np.ndarray,
) -> float:
    """Fraction of neurons whose removal rests on a solver's word alone.

    A phase has a proof of its own; whatever else was removed shares the proof of its slice.
    """
    trusted = np.array([result.proof == Proof.SOLVER for result in results], dtype=bool)
    shared = trusted[:, None] & (criteria > Criterion.PHASE)
    by_phase = proved_by(status, Proof.SOLVER) & (criteria == Criterion.PHASE)
    return _mean(shared | by_phase, weights)


def _by_stage(
    job: Job, results: Sequence[SliceResult], weights: np.ndarray
) -> list[dict[str, Any]]:
    """What each stage did, all slices together; ``removed`` is a fraction of all neurons."""
    neurons = max(1, len(job.loaded.network.neurons))
    rows = []
    for stage in job.stages:
        entries = [entry for result in results for entry in result.log if entry.name == stage]
        counts = {name: sum(getattr(entry, name) for entry in entries) for name in _COUNTS}
        removed = sum(
            weight * entry.removed
            for weight, result in zip(weights.tolist(), results, strict=True)
            for entry in result.log
            if entry.name == stage
        )
        rows.append({"stage": stage, "removed": removed / neurons, **counts})
    return rows


def _mean(mask: np.ndarray, weights: np.ndarray) -> float:
    """The fraction of ``mask`` (slices, n) that is true, a slice weighing ``weights`` (slices,)."""
    return float(weights @ mask.mean(axis=1)) if mask.size else 0.0


def _by_layer(
    neurons: tuple[tuple[int, int], ...],
    status: np.ndarray,
    criteria: np.ndarray,
    weights: np.ndarray,
) -> list[dict[str, Any]]:
    layer_of = np.array([k for k, _ in neurons])
    undecided = _undecided(status)
    rows = []
    for k in np.unique(layer_of):
        here = layer_of == k
        rows.append(
            {
                "layer": int(k),
                "neurons": int(here.sum()),
                **_removed_by(criteria[:, here], weights),
                "refuted": _mean(status[:, here] == Status.REFUTED, weights),
                "undecided": _mean(undecided[:, here], weights),
            }
        )
    return rows


def slice_report(part: Slice, original: Network) -> dict[str, Any]:
    """One slice: its box, what is left per layer, and how its linear units were materialised."""
    edits, simplified = part.replacements, part.network
    depth = original.depth
    all_folded = cost(materialise(original, edits, [True] * depth))
    all_kept = cost(materialise(original, edits, [False] * depth))
    return {
        "slice": part.index,
        "lower": part.box.lower.tolist(),
        "upper": part.box.upper.tolist(),
        "neurons": len(original.neurons),
        "removed": edits.removed,
        "removed_by": {name: int(edits.by(code).sum()) for name, code in _CRITERIA.items()},
        "undecided": int(_undecided(part.status).sum()),
        "boxes": part.boxes,
        "eps_proved": _finite(part.eps_proved),
        "proof": part.proof.value,
        "layers": [
            {
                "layer": k,
                **_counts(codes, shapes),
                "linear_units": _materialised_as(shapes, bool(folded)),
                "reads_layers": sorted(simplified.layers[k - 1].weights),
            }
            for k, codes, shapes, folded in zip(
                range(1, depth + 1),
                layer_edits(original, edits.codes),
                layer_edits(original, edits.shape),
                part.folded,
                strict=True,
            )
        ],
        "lines": _lines(original, edits),
        "correction": None if edits.correction is None else edits.correction.tolist(),
        "output_reads_layers": sorted(simplified.layers[-1].weights),
        "macs": part.macs,
        "macs_all_folded": all_folded.macs,
        "macs_all_kept": all_kept.macs,
        "macs_original": cost(original).macs,
        "parameters": part.cost.parameters,
        "parameters_original": cost(original).parameters,
    }


def _counts(codes: np.ndarray, shapes: np.ndarray) -> dict[str, int]:
    """How many units of a layer became what."""
    constant = (codes == Edit.AFFINE) & (shapes == Edit.ZERO)
    return {
        "relu": int((codes == Edit.KEEP).sum()),
        "zero": int((codes == Edit.ZERO).sum()),
        "linear": int((codes == Edit.IDENTITY).sum()),
        "affine": int((shapes == Edit.AFFINE).sum()),
        "constant": int(constant.sum()),
    }


def _lines(original: Network, edits: Edits) -> list[dict[str, Any]]:
    """The neurons replaced by a line, and the lines."""
    return [
        {
            "neuron": list(original.neurons[n]),
            "slope": float(edits.lines[n, 0]),
            "intercept": float(edits.lines[n, 1]),
        }
        for n in np.flatnonzero(edits.codes == Edit.AFFINE)
    ]


def _materialised_as(shapes: np.ndarray, folded: bool) -> str:
    if not ((shapes == Edit.IDENTITY) | (shapes == Edit.AFFINE)).any():
        return "none"
    return "folded into skips" if folded else "kept as linear units"
