"""A run: the slices that are still missing go to workers, their results to the store."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from redy.criteria import STAGES, Effort
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.pipeline import Pipeline, SliceResult
from redy.run.progress import Progress
from redy.run.store import Store
from redy.run.workers import libraries, spread
from redy.slicing import Slicing
from redy.solvers import versions
from redy.version import __version__

_TASK_SLICES = 16
_TASK_BOXES = 320_000
"""A task is about a second of work, so that little is lost when a run is stopped, and few are so
small that what is done once per task counts."""


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
            **run_key(self.loaded, self.guarantee, self.stages, self.effort),
            **self._slicing_arrays,
            "slicing": self.slicing.describe(),
            "check_points": self.effort.check_points,
        }

    @cached_property
    def _slicing_arrays(self) -> dict[str, dict[str, str]]:
        """The checksums of the arrays that belong to the slicing's description, if there are."""
        sums = {name: _checksum(array) for name, array in sorted(self.slicing.arrays().items())}
        return {"slicing_sha256": sums} if sums else {}


def run_key(
    loaded: LoadedNetwork, guarantee: Guarantee, stages: Sequence[str], effort: Effort
) -> dict[str, Any]:
    """What the results depend on besides the slices, as JSON."""
    return {
        "version": __version__,
        "network_sha256": loaded.network.sha256,
        "file_sha256": loaded.file_sha256,
        "guarantee": guarantee.describe(),
        "stages": list(stages),
        "budget": effort.budget,
        "time_limit": effort.time_limit,
        "solver": _solver(effort.solver, tuple(stages)),
    }


@cache
def _solver(asked: str, stages: tuple[str, ...]) -> dict[str, Any] | None:
    """What may be asked, its version too, as results depend on it; None if nothing is."""
    if not any(STAGES[stage].asks_solver for stage in stages):
        return None
    return {"asked": asked, "versions": versions(asked)}


def _checksum(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype.str};{array.shape};".encode())
    digest.update(array.tobytes())
    return digest.hexdigest()


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
    died = (
        "the slices finished before are kept in the store, if one was named: try again, with fewer "
        "jobs if memory is short"
    )
    yield from spread(partial(_work, job), tasks, jobs, died=died)


_pipelines: dict[str, Pipeline] = {}


def _work(job: Job, task: np.ndarray) -> list[SliceResult]:
    name = repr(job.key())
    if name not in _pipelines:
        _pipelines.clear()
        _pipelines[name] = Pipeline(job.loaded, job.effort, job.guarantee, job.stages)
    lower, upper = job.slicing.boxes(task)
    # Matrices are small: threads would spend more time waiting for each other than computing.
    with libraries().limit(limits=1):
        return _pipelines[name].run([int(index) for index in task], lower, upper)
