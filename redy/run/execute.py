"""A run: the slices that are still missing go to workers, their results to the store."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from redy.criteria import STAGES, Effort
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.pipeline import Pipeline, SliceResult, unsimplified
from redy.run.backends import Pool
from redy.run.progress import Progress
from redy.run.spread import Lost, spread
from redy.run.store import Store
from redy.run.workers import libraries
from redy.slicing import Slicing
from redy.solvers import versions
from redy.version import __version__

_TASK_SECONDS = 1.0
"""How long a task shall take."""
_MOST_SLICES = 256
"""More in one task would be much to hold in memory."""
_BOXES_A_SECOND = 320_000
_FIRST_SLICES = 16
"""What is assumed of the first tasks: so many boxes a second, and so many slices at most."""


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


def execute(job: Job, slices: np.ndarray, store: Store, pool: Pool, progress: Progress) -> None:
    """Simplify those of ``slices`` (n,) that ``store`` lacks.

    A slice whose worker dies again and again is kept as it is (:func:`redy.pipeline.unsimplified`),
    and tried anew when the run is taken up.

    Raises:
        KeyboardInterrupt: after Ctrl-C; workers are ended, what was finished is in the store.
        RedyError: workers cannot be had; what was finished is in the store.
    """
    done = np.setdiff1d(store.done(), store.failed())
    missing = np.setdiff1d(slices, done)
    progress.start(total=len(slices), done=len(slices) - len(missing))
    # In random order, hard and easy slices mix and the estimate of the time left is honest from the
    # start; a slice's result depends on the slice alone.
    parts = Parts(np.random.default_rng(0).permutation(missing), pool, job.effort.budget)
    clock = time.perf_counter()
    finished = spread(pool, partial(_work, job), parts, one_by_one)
    try:
        for made in finished:
            results = _results(job, made)
            if isinstance(made, Made):
                parts.took(made)
            now = time.perf_counter()
            store.add(results, now - clock)
            clock = now
            progress.advance(results)
    except BaseException as error:
        finished.throw(error)  # wherever it came from, tasks are given up at once
        raise


@dataclass(frozen=True, eq=False)
class Made:
    """What became of a task, and the seconds that it took."""

    results: list[SliceResult]
    seconds: float


def _results(job: Job, made: Made | Lost[np.ndarray]) -> list[SliceResult]:
    if isinstance(made, Made):
        return made.results
    return [unsimplified(job.loaded.network, int(index)) for index in made.task]


def one_by_one(task: np.ndarray) -> Iterable[np.ndarray]:
    """The slices of ``task`` as tasks of their own."""
    return np.split(task, len(task))


class Parts:
    """``slices`` (n,) in tasks of about a second, by what the last ones took.

    So little is lost when a run is stopped, and few tasks are so small that what is done once per
    task counts. There are always some for each worker of ``pool``. No result depends on the sizes.
    """

    def __init__(self, slices: np.ndarray, pool: Pool, budget: int) -> None:
        self._slices, self._pool, self._next = slices, pool, 0
        self._seconds = max(budget / _BOXES_A_SECOND, 1.0 / _FIRST_SLICES)

    def took(self, made: Made) -> None:
        """What a task was, and how long it took."""
        latest = made.seconds / len(made.results)
        self._seconds = 0.5 * self._seconds + 0.5 * latest

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        left = len(self._slices) - self._next
        if not left:
            raise StopIteration
        size = int(min(_TASK_SECONDS / self._seconds, left // (4 * self._pool.slots), _MOST_SLICES))
        start, self._next = self._next, self._next + max(1, size)
        return self._slices[start : self._next]


_pipelines: dict[str, Pipeline] = {}


def _work(job: Job, task: np.ndarray) -> Made:
    begin = time.perf_counter()
    name = repr(job.key())
    if name not in _pipelines:
        _pipelines.clear()
        _pipelines[name] = Pipeline(job.loaded, job.effort, job.guarantee, job.stages)
    lower, upper = job.slicing.boxes(task)
    # Matrices are small: threads would spend more time waiting for each other than computing.
    with libraries().limit(limits=1):
        results = _pipelines[name].run([int(index) for index in task], lower, upper)
    return Made(results, time.perf_counter() - begin)
