"""A run: the slices that are still missing go to workers, their results to the store."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from redy.formats.networks import LoadedNetwork
from redy.pipeline import Effort, Pipeline, SliceResult
from redy.run.progress import Progress
from redy.run.store import Store
from redy.slicing import Slicing

_TASK = 16
"""Slices per task: about a second of work, so that little is lost when a run is stopped."""


@dataclass(frozen=True, eq=False)
class Job:
    """What every worker needs to know.

    Attributes:
        loaded: the network.
        slicing: how its domain is cut.
        effort: how much work a slice may cost.
    """

    loaded: LoadedNetwork
    slicing: Slicing
    effort: Effort

    def key(self) -> dict[str, Any]:
        """What the results depend on, as JSON."""
        return {
            "network_sha256": self.loaded.network.sha256,
            "file_sha256": self.loaded.file_sha256,
            "slicing": self.slicing.describe(),
            "budget": self.effort.budget,
            "time_limit": self.effort.time_limit,
            "check_points": self.effort.check_points,
        }


def execute(job: Job, slices: np.ndarray, store: Store, jobs: int, progress: Progress) -> None:
    """Simplify those of ``slices`` (n,) that ``store`` lacks, with ``jobs`` processes.

    Raises:
        KeyboardInterrupt: after Ctrl-C; workers are ended, what was finished is in the store.
    """
    done = store.done()
    missing = np.setdiff1d(slices, done)
    progress.start(total=len(slices), done=len(slices) - len(missing))
    # Task borders do not depend on what is done: a slice's result depends on the slice alone.
    tasks = [missing[start : start + _TASK] for start in range(0, len(missing), _TASK)]
    clock = time.perf_counter()
    for results in _results(job, tasks, jobs):
        now = time.perf_counter()
        store.add(results, now - clock)
        clock = now
        progress.advance(results)


def _results(
    job: Job, tasks: Sequence[np.ndarray], jobs: int
) -> Iterator[list[SliceResult]]:
    if jobs == 1 or len(tasks) <= 1:
        for task in tasks:
            yield _work(job, task)
        return
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="3 * n_jobs")
    try:
        yield from parallel(delayed(_work_quietly)(job, task) for task in tasks)
    except BaseException:
        get_reusable_executor().shutdown(wait=False, kill_workers=True)
        raise


def _work_quietly(job: Job, task: np.ndarray) -> list[SliceResult]:
    """A task in a worker, which leaves Ctrl-C to the process that the user started."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return _work(job, task)


_pipelines: dict[str, Pipeline] = {}


def _work(job: Job, task: np.ndarray) -> list[SliceResult]:
    name = repr(job.key())
    if name not in _pipelines:
        _pipelines.clear()
        _pipelines[name] = Pipeline(job.loaded, job.effort)
    lower, upper = job.slicing.boxes(task)
    return _pipelines[name].run([int(index) for index in task], lower, upper)
