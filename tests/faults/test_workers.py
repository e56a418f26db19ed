"""Workers that are killed or run out of memory: only what kills them is kept as it is."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import redy
from experiments.processes import dask_cluster, descendants, is_worker
from redy.criteria import Effort
from redy.cutting import Cut
from redy.dispatch.bundle import Bundle
from redy.edits import Edit, Status
from redy.formats.domains import read_domain
from redy.formats.networks import load
from redy.guarantee import EXACT
from redy.network.evaluate import evaluate
from redy.run.backends import BACKENDS, opened
from redy.run.execute import execute
from redy.run.progress import Progress
from redy.run.store import Store
from redy.simplify import Selection, collected, plan
from redy.terminal import sentences
from redy.verdict import Reason, Unknown
from tests.commands import ONNX, ROOT, finish, start
from tests.faults.deadly import Deadly, Hungry

DOMAIN = read_domain("acasxu", 5)
COUNTS = (2, 2, 2, 2, 1)
CULPRIT = 11
WORDS = ("simplify", ONNX.relative_to(ROOT), "--domain", "acasxu", "--slices", 128, "--budget", 300)


@pytest.fixture(params=["loky", "dask"])
def backend(request: pytest.FixtureRequest) -> str:
    why_not = BACKENDS[request.param].probe().why_not
    if why_not:
        pytest.skip(why_not)
    return request.param


def run(slicing: Deadly, backend: str, store: Path) -> Bundle:
    """The run on ``slicing``, as redy.simplify does it."""
    loaded = load(ONNX)
    asked = plan(loaded, Cut(loaded, slicing), EXACT, ("phase",), Effort(50, None, 0), Selection())
    with (
        opened(backend, 2) as pool,
        closing(Store(store, asked.job.key(), loaded.network)) as kept,
    ):
        execute(asked.job, asked.chosen, kept, pool, Progress())
        return collected(asked, asked.chosen, kept)


@pytest.mark.parametrize("kind", [Deadly, Hungry])
def test_a_slice_that_kills_is_kept_as_it_is_and_the_others_are_not(
    kind: type[Deadly], backend: str, tmp_path: Path
) -> None:
    log, store = tmp_path / "log", tmp_path / "run"
    slicing = kind(DOMAIN, COUNTS, CULPRIT, log)
    bundle = run(slicing, backend, store)
    assert log.read_bytes() == b"...."  # once, and three times more
    assert bundle.summary["slices_failed"] == [CULPRIT]
    assert sentences(bundle.summary)[-2].endswith("1 slices (11)")
    part = bundle.slices[CULPRIT]
    assert (part.edits == Edit.KEEP).all()
    assert set(part.verdicts.values()) == {Unknown(Reason.WORKER)}
    sound = redy.simplify(load(ONNX), DOMAIN, grid=COUNTS, stages=["phase"], budget=50)
    others = np.arange(16) != CULPRIT
    assert np.array_equal(bundle.status[others], sound.status[others])
    assert np.array_equal(bundle.edits[others], sound.edits[others])
    points = part.box.sample(100, np.random.default_rng(0))
    np.testing.assert_allclose(bundle(points), evaluate(bundle.network, points), atol=1e-12)
    # What is not there was not measured, and the file says the same when it is read again.
    assert bundle.summary["float_deviation_points"] == 15 * (100_000 // 16 + 1)
    bundle.save(tmp_path / "b.redy")
    again = redy.open(tmp_path / "b.redy")
    assert (again.status[CULPRIT] == Status.UNKNOWN_WORKER).all()
    assert again.summary["slices_failed"] == [CULPRIT]


def test_what_failed_is_tried_again_when_the_run_is_taken_up(tmp_path: Path) -> None:
    slicing, store = Hungry(DOMAIN, COUNTS, CULPRIT, tmp_path / "log"), tmp_path / "run"
    assert run(slicing, "loky", store).summary["slices_failed"] == [CULPRIT]
    slicing._deadly = -1  # there is memory now
    assert run(slicing, "loky", store).summary["slices_failed"] == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("undisturbed") / "b.redy"
    assert finish(start(*WORDS, "--out", out)).code == 0
    return out.read_bytes()


def test_a_killed_worker_costs_nothing(backend: str, tmp_path: Path, undisturbed: bytes) -> None:
    out = tmp_path / "b.redy"
    process = start(*WORDS, "--jobs", 2, "--backend", backend, "--out", out)
    log = Path(f"{out}.store-wal")
    while not log.exists() or log.stat().st_size < 60_000:
        assert process.poll() is None
        time.sleep(0.01)
    victim = next(filter(is_worker, descendants(process.pid)))
    os.kill(victim, signal.SIGKILL)
    outcome = finish(process)
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
    assert out.read_bytes() == undisturbed


def test_a_dask_scheduler_that_is_gone_is_told(tmp_path: Path, undisturbed: bytes) -> None:
    if BACKENDS["dask"].probe().why_not:
        pytest.skip(BACKENDS["dask"].probe().why_not)
    out = tmp_path / "b.redy"
    log = Path(f"{out}.store-wal")
    with dask_cluster(1) as address:
        process = start(*WORDS, "--backend", "dask", "--scheduler", address, "--out", out)
        while not log.exists() or log.stat().st_size < 60_000:
            assert process.poll() is None
            time.sleep(0.01)
    outcome = finish(process)
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1].startswith("redy: error: the connection to the Dask sched")
    assert "Traceback" not in outcome.err
    assert finish(start(*WORDS, "--out", out)).code == 0  # without a cluster it goes on
    assert out.read_bytes() == undisturbed
