"""Why a neuron may be removed, one criterion a file; each registers its stage of the pipeline."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from redy.criteria.base import (
    STAGES,
    Effort,
    SliceState,
    Stage,
    StageLog,
    chosen_stages,
    stage,
)

__all__ = ["STAGES", "Effort", "SliceState", "Stage", "StageLog", "chosen_stages", "stage"]

_WITHOUT_STAGE = {"answers", "constant", "milp", "oracle", "queries", "slice_bounds"}
"""Imported by who needs them: they bring torch, which takes a second."""

for _module in iter_modules(__path__):
    if _module.name not in _WITHOUT_STAGE:
        import_module(f"{__name__}.{_module.name}")
