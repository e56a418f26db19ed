"""A run: the slices that are still missing go to workers, their results to the store."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from multiprocessing import resource_tracker
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from joblib.externals.loky.backend import resource_tracker as loky_resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool
from threadpoolctl import ThreadpoolController

from redy.criteria import STAGES, Effort
from redy.errors import RedyError
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.interrupts import put_off
from redy.pipeline import Pipeline, SliceResult
from redy.run.progress import Progress
from redy.run.store import Store
from redy.slicing import Slicing
from redy.solvers import versions
from redy.version import __version__

_TASK_SLICES = 16
_TASK_BOXES = 16_000
"""A task is about a second of work, so that little is lost when a run is stopped."""

_ORPHAN_CHECK = 1.0
"""Seconds between a worker's looks at whether the process that started it still lives."""


@dataclass(frozen=True, eq=False)
class Job:
    """What every worker needs to know.

    Attributes:
        loaded: the network.
        slicing: how its domain is cut.
        effort: how much work a slice may cost.
        guarantee: what has to hold for the simplified network.
        stages: the stages of the pipeline, in order.
    """

    loaded: LoadedNetwork
    slicing: Slicing
    effort: Effort
    guarantee: Guarantee
    stages: tuple[str, ...]

    def key(self) -> dict[str, Any]:
        """What the results depend on, as JSON."""
        return {
            "version": __version__,
            "network_sha256": self.loaded.network.sha256,
            "file_sha256": self.loaded.file_sha256,
            "slicing": self.slicing.describe(),
            "guarantee": self.guarantee.describe(),
            "stages": list(self.stages),
            "budget": self.effort.budget,
            "time_limit": self.effort.time_limit,
            "check_points": self.effort.check_points,
            "solver": self._solver,
        }

    @cached_property
    def _solver(self) -> dict[str, Any] | None:
        """What may be asked, its version too, as results depend on it; None if nothing is."""
        if not any(STAGES[stage].asks_solver for stage in self.stages):
            return None
        return {"asked": self.effort.solver, "versions": versions(self.effort.solver)}


def execute(job: Job, slices: np.ndarray, store: Store, jobs: int, progress: Progress) -> None:
    """Simplify those of ``slices`` (n,) that ``store`` lacks, with ``jobs`` processes.

    Raises:
        KeyboardInterrupt: after Ctrl-C; workers are ended, what was finished is in the store.
        RedyError: a worker died; what was finished is in the store.
    """
    done = store.done()
    missing = np.setdiff1d(slices, done)
    progress.start(total=len(slices), done=len(slices) - len(missing))
    # In random order, hard and easy slices mix and the estimate of the time left is honest from the
    # start; a slice's result depends on the slice alone.
    missing = np.random.default_rng(0).permutation(missing)
    size = _task_size(len(missing), job.effort.budget, jobs)
    tasks = [missing[start : start + size] for start in range(0, len(missing), size)]
    clock = time.perf_counter()
    finished = _results(job, tasks, jobs)
    try:
        for results in finished:
            now = time.perf_counter()
            store.add(results, now - clock)
            clock = now
            progress.advance(results)
    except BaseException as error:
        finished.throw(error)  # wherever it came from, joblib ends the workers at once
        raise


def _task_size(slices: int, budget: int, jobs: int) -> int:
    """Slices per task: few when they may be long, or when there are few for each worker."""
    return max(1, min(_TASK_SLICES, _TASK_BOXES // budget, slices // (4 * jobs)))


def _results(
    job: Job, tasks: Sequence[np.ndarray], jobs: int
) -> Generator[list[SliceResult], None, None]:
    if jobs == 1 or len(tasks) <= 1:
        for task in tasks:
            yield _work(job, task)
        return
    parallel = Parallel(
        n_jobs=jobs,
        return_as="generator_unordered",
        # More would wait outside of loky's queue to the workers, and after Ctrl-C the thread that
        # fills the queue would look for them in vain and print a traceback.
        pre_dispatch="2 * n_jobs",
        initializer=_prepare_worker,
        initargs=(os.getpid(),),
    )
    with ExitStack() as held:
        held.enter_context(_interrupts_held())
        results = parallel(delayed(_work)(job, task) for task in tasks)
        try:
            held.close()
            yield from results
        except KeyboardInterrupt as stop:
            results.throw(stop)  # if it was held, joblib does not know of it yet
        except BrokenProcessPool as error:
            raise RedyError(
                "a worker process was killed or ran out of memory; the slices finished before are "
                "kept in the store, if one was named: try again, with fewer jobs if memory is short"
            ) from error


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back, also from processes started within, for which it stays held back.

    A terminal sends it to all processes; only this one shall act on it.
    """
    # Python starts these processes when they are first needed and then forgets what was held.
    resource_tracker.ensure_running()
    loky_resource_tracker.ensure_running()
    with put_off():  # another thread of this process may get it, whatever this one holds back
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_worker(parent: int) -> None:
    """A worker ignores Ctrl-C also when it replaces another, and ends soon after its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK)
    os._exit(1)


_pipelines: dict[str, Pipeline] = {}


def _work(job: Job, task: np.ndarray) -> list[SliceResult]:
    name = repr(job.key())
    if name not in _pipelines:
        _pipelines.clear()
        _pipelines[name] = Pipeline(job.loaded, job.effort, job.guarantee, job.stages)
    lower, upper = job.slicing.boxes(task)
    # Matrices are small: threads would spend more time waiting for each other than computing.
    with _libraries().limit(limits=1):
        return _pipelines[name].run([int(index) for index in task], lower, upper)


@cache
def _libraries() -> ThreadpoolController:
    """The linear algebra libraries of this process."""
    return ThreadpoolController()
