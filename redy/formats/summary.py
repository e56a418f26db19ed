"""What must stand in a bundle's summary for ``redy show`` to print it, whoever wrote the file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from redy.edits import Criterion

_TEXT, _COUNT, _NUMBER = "text", "count", "number"
_MAYBE = {_TEXT: "text or nothing", _COUNT: "count or nothing", _NUMBER: "number or nothing"}

_REMOVED = {c.name.lower(): _NUMBER for c in Criterion if c != Criterion.KEPT}
_LAYER = {"layer": _COUNT, "neurons": _COUNT, "refuted": _NUMBER, "undecided": _NUMBER, **_REMOVED}
_STAGE = {
    "stage": _TEXT, "removed": _NUMBER, "queries": _COUNT, "boxes": _COUNT, "proved": _COUNT,
    "refuted": _COUNT, "unknown": _COUNT,
}  # fmt: skip
_SUMMARY: Mapping[str, Any] = {
    "version": _TEXT,
    "network": _TEXT,
    "network_sha256": _TEXT,
    "file_sha256": _TEXT,
    "import_rounded": [_TEXT],
    "slicing": _TEXT,
    "weighted_by": _TEXT,
    "slices": _COUNT,
    "slices_done": _COUNT,
    "slices_cut_short": _COUNT,
    "neurons": _COUNT,
    "guarantee": _TEXT,
    "winner": _MAYBE[_TEXT],
    "eps": _MAYBE[_NUMBER],
    "output_span": _MAYBE[_NUMBER],
    "removed_mean": _NUMBER,
    "removed_by": _REMOVED,
    "stable_proved_mean": _NUMBER,
    "refuted_mean": _NUMBER,
    "undecided_mean": _NUMBER,
    "solver_trusted_mean": _NUMBER,
    "layers": [_LAYER],
    "stages": [_STAGE],
    "macs_original": _COUNT,
    "macs_mean": _NUMBER,
    "macs_max": _COUNT,
    "parameters_original": _COUNT,
    "budget": _COUNT,
    "eps_proved_max": _MAYBE[_NUMBER],
    "float_deviation_max": _NUMBER,
    "float_deviation_points": _COUNT,
    "winners_changed": _COUNT,
}
_LATER: Mapping[str, Any] = {"slices_contradicted": _COUNT, "slices_failed": [_COUNT]}
"""What older bundles of the same schema lack."""

_MID: Mapping[str, Any] = {
    "layer": _COUNT, "cells": _COUNT, "reachable": _COUNT, "weighted_by": _TEXT,
    "rest_share": _NUMBER, "comparisons_mean": _NUMBER, "suffix_neurons": _COUNT,
    "left_mean": _NUMBER, "left_one_cell": _MAYBE[_COUNT], "macs_prefix": _COUNT,
    "macs_suffix": _COUNT, "macs_suffix_mean": _NUMBER, "words": [_TEXT],
}  # fmt: skip

_LARGEST = 2**63
_LONGEST = 10_000


def require_summary(summary: object) -> None:
    """Raise ValueError unless ``summary`` has what is printed of it; there may be more."""
    _require(summary, _SUMMARY, "its summary")
    if not isinstance(summary, dict):
        return
    later = {name: shape for name, shape in _LATER.items() if name in summary}
    _require(summary, later, "its summary")
    if "mid" in summary:
        _require(summary["mid"], _MID, "its summary: mid")


def require_record(record: Mapping[str, Any]) -> None:
    """The same of what is recorded beside a bundle."""
    _require(record.get("seconds"), _MAYBE[_NUMBER], "seconds")
    stages = record.get("stage_seconds") or {}
    _require(stages, dict.fromkeys(stages, _NUMBER), "stage_seconds")


def _require(value: Any, shape: Any, where: str) -> None:
    """``shape`` is the name of a kind, a list of one shape, or a table of names and shapes."""
    if isinstance(shape, str):
        _fits(_is(value, shape), f"{where} is no {shape}")
    elif isinstance(shape, list):
        _fits(isinstance(value, list), f"{where} is no list")
        for entry in value:
            _require(entry, shape[0], where)
    else:
        _fits(isinstance(value, dict), f"{where} is no table")
        for name, inner in shape.items():
            _fits(name in value, f"{where}: {name} is missing")
            _require(value[name], inner, f"{where}: {name}")


def _fits(fits: bool, complaint: str) -> None:
    if not fits:
        raise ValueError(complaint)


def _is(value: Any, kind: str) -> bool:
    if value is None:
        return kind in _MAYBE.values()
    if isinstance(value, str):
        return kind in (_TEXT, _MAYBE[_TEXT]) and len(value) <= _LONGEST
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, int):
        return kind not in (_TEXT, _MAYBE[_TEXT]) and abs(value) < _LARGEST
    return kind in (_NUMBER, _MAYBE[_NUMBER]) and math.isfinite(value)
