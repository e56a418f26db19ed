"""A short version of ``experiments/memory_curve.py``: memory does not grow with the slices done."""

from __future__ import annotations

import json
import sqlite3
import sys
import tracemalloc
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.memory_curve import Curve, watch
from redy import load
from redy.run.store import Store
from tests.commands import ONNX, redy


def test_memory_of_a_run(tmp_path: Path) -> None:
    """Too short for more than the start: what is loaded, and the two workers."""
    words = ["--domain", "acasxu", "--slices", "256", "--budget", "10", "--jobs", "2"]
    command = [sys.executable, "-m", "redy.cli", "simplify", str(ONNX), *words]
    curve = watch([*command, "--out", str(tmp_path / "b.redy")], tmp_path / "log", every=0.2)
    assert (curve.memory[:, 0] <= curve.memory[:, 1]).all()
    assert 100 < curve.memory[:, 1].max() < 2048


def test_memory_does_not_grow_with_the_slices_in_the_store(tmp_path: Path) -> None:
    job = ("--domain", "acasxu", "--slices", 64, "--budget", 20)
    assert (
        redy("simplify", ONNX, *job, "--store", tmp_path / "64", "--out", tmp_path / "b").code == 0
    )
    with closing(sqlite3.connect(tmp_path / "64")) as database:
        run = json.loads(database.execute("SELECT value FROM meta").fetchone()[0])
    network = load(ONNX).network
    with closing(Store(tmp_path / "64", run, network)) as store:
        results = list(store.results())
    with closing(Store(tmp_path / "many", run, network)) as store:
        tracemalloc.start()
        try:
            for times in range(100):
                store.add([replace(r, slice=64 * times + r.slice) for r in results], 1.0)
            assert tracemalloc.get_traced_memory()[1] < 2**20
            everything = list(store.results())  # as for the bundle
            assert len(everything) == 6400
            assert tracemalloc.get_traced_memory()[1] < 6400 * 8 * 2**10
        finally:
            tracemalloc.stop()


def test_growth_shows() -> None:
    """What the run is held against, where memory grows by 10 MiB a second."""
    seconds = np.arange(100.0)
    curve = Curve(seconds, np.stack([seconds, 10 * seconds], axis=1), 99.0)
    early, late = curve.means()
    assert late - early > 700
