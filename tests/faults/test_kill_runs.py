"""A short version of ``experiments/kill_runs.py``: runs that are stopped at random moments."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.kill_runs import Setting, Torture


@pytest.mark.parametrize(("slicing", "jobs", "stops"), [("grid", 2, 4), ("adaptive", 1, 3)])
def test_nothing_is_lost(slicing: str, jobs: int, stops: int, tmp_path: Path) -> None:
    setting = Setting(tmp_path, slicing, jobs, slices=32, budget=20)
    torture = Torture(setting, seed=7)
    for _ in range(stops):
        torture.stop_once()
    torture.finish()
    assert torture.count.stops.total() == stops
    assert torture.count.finished >= 1
