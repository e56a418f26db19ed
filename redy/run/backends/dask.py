"""Dask: the cluster whose scheduler is named, or processes of this machine that dask looks after.

A task needs the function as the result of another task, which any worker can compute and each gets
once, from the client or from a peer. Scattered data would be gone when the workers that hold it
die; such a result is computed again.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Collection, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from redy.errors import RedyError, UsageError
from redy.run.backends.base import (
    DIED,
    Capabilities,
    Died,
    Function,
    Pool,
    probed,
    register,
    require_listening,
)
from redy.run.backends.remote import packed, packed_function, unpacked, work
from redy.run.workers import interrupts_held

_PATIENCE = 30
"""Seconds for the scheduler to answer."""

_GOODBYE = 5
"""Seconds for workers to end, after which they are ended."""

_LOOK = 5.0
"""Seconds without a result after which the workers are looked at."""

_LONELY = 30.0
"""Seconds without a worker after which a cluster of our own is given up for another."""

_STARTS = 5
"""How often a cluster of our own may fail to start."""

_UNHELD = {"error", "cancelled", "lost"}


@register
class Dask:
    """See :class:`redy.run.backends.base.Backend`."""

    name = "dask"

    def probe(self) -> Capabilities:
        """Whether ``distributed`` is installed."""
        return probed("distributed", "distributed", "dask", "the scheduler's address, tcp://...")

    def pool(self, jobs: int, scheduler: str | None) -> Pool:
        """Processes of this machine, or the workers of ``scheduler``."""
        return _Cluster(jobs, scheduler)


class _Shipped:
    """A function as the future ``held``, computed again by ``source`` when it is gone for good."""

    def __init__(self, pool: _Cluster, function: Function) -> None:
        self.name = f"redy-{uuid4().hex}"
        self._pool, self._bytes = pool, packed_function(function)
        self._held: Any = None

    @property
    def held(self) -> Any:
        """The future; a new one if workers died so often that dask gave the last one up."""
        if self._held is None or self._held.status in _UNHELD:
            with warnings.catch_warnings():
                # Large networks are meant to travel like this, once.
                warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
                self._held = self._pool.client.submit(
                    bytes, self._bytes, key=f"{self.name}-{uuid4().hex}", pure=False
                )
        return self._held


class _Cluster:
    def __init__(self, jobs: int, scheduler: str | None) -> None:
        self._jobs, self._scheduler = jobs, scheduler
        self._tickets: set[Any] = set()
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._held = ExitStack()
        self._seen = 0.0

    @cached_property
    def client(self) -> Any:
        """The client of the cluster, which is started when it is first needed."""
        if self._scheduler is not None:
            require_listening(self._scheduler, "tcp://10.0.0.1:8786")
        import dask
        from distributed import Client, LocalCluster

        self._held.enter_context(_quiet())
        if self._scheduler is not None:
            try:
                return Client(self._scheduler, timeout=_PATIENCE, set_as_default=False)
            except (OSError, ValueError, ImportError, RuntimeError) as error:
                raise UsageError(
                    f"--scheduler {self._scheduler}: no Dask scheduler answers there ({error})"
                ) from error
        # What dies is tried again by redy, which finds the culprit; dask would take others with it.
        config = {"distributed.scheduler.allowed-failures": 0}
        with interrupts_held(), dask.config.set(config):
            return Client(_started(LocalCluster, self._jobs), set_as_default=False)

    @property
    def slots(self) -> int:
        """The workers there are now; one while there are none, so that a task waits for them."""
        with _reachable():
            return max(1, len(self.client.nthreads()))

    def ship(self, function: Function) -> _Shipped:
        """See :class:`redy.run.backends.base.Pool`."""
        return _Shipped(self, function)

    def submit(self, shipped: _Shipped, task: Any) -> Any:
        """See :class:`redy.run.backends.base.Pool`."""
        with _reachable():
            held = shipped.held
            ticket = self.client.submit(_apply, shipped.name, held, packed(task), pure=False)
        self._tickets.add(ticket)
        ticket.add_done_callback(self._done.put)
        return ticket

    def finished(self, tickets: Collection[Any]) -> list[tuple[Any, Any | Died]]:
        """See :class:`redy.run.backends.base.Pool`."""
        done: list[Any] = []
        while not done or not self._done.empty():
            try:
                ticket = self._done.get(timeout=_LOOK)
            except Empty:
                if self._is_deserted():
                    self._leave()
                    return [(ticket, DIED) for ticket in tickets]
                continue
            if ticket in tickets:  # and not one that was given up
                done.append(ticket)
        self._tickets.difference_update(done)
        return [(ticket, _outcome(ticket)) for ticket in done]

    def _is_deserted(self) -> bool:
        """Whether a cluster of our own has lost all its workers.

        Dask starts another worker in the place of one that dies, but not of one that dies while it
        starts.
        """
        cluster = self.client.cluster
        now = time.monotonic()
        if cluster is None or self.client.nthreads():
            self._seen = now
            return False
        self._seen = self._seen or now
        return now - self._seen > _LONELY

    def stop(self) -> None:
        """Give up the tasks; those under way on a cluster run to their end there."""
        with suppress(CancelledError, OSError, TimeoutError):
            self.client.cancel(list(self._tickets), force=True)
        self._tickets.clear()

    def close(self) -> None:
        """Leave the cluster; end it if it is our own."""
        with self._held:
            if "client" in vars(self):
                self._leave()

    def _leave(self) -> None:
        cluster = self.client.cluster
        with suppress(TimeoutError):
            self.client.close(timeout=_GOODBYE)
        if cluster is not None:
            with suppress(TimeoutError):
                cluster.close(timeout=_GOODBYE)
        del self.client  # the next task starts another
        self._tickets.clear()
        self._seen = 0.0


def _started(cluster: Any, jobs: int) -> Any:
    """A cluster of this machine; its workers may be killed while they start."""
    errors = []
    for _ in range(_STARTS):
        try:
            return cluster(
                n_workers=jobs,
                threads_per_worker=1,
                # No usual port, which might be taken, and nothing for other machines to see.
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        except (RuntimeError, OSError, TimeoutError) as error:
            errors.append(error)
    raise RedyError(
        f"Dask does not start its processes on this machine: {errors[-1]}; try again with fewer "
        "--jobs, or with --backend loky"
    ) from errors[-1]


@contextmanager
def _reachable() -> Iterator[None]:
    """What tells that the scheduler is gone, as an error that says what to do."""
    try:
        yield
    except (CancelledError, OSError, TimeoutError) as error:
        raise RedyError(
            "the connection to the Dask scheduler is lost; what was finished is kept, the same "
            "command goes on from there"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs every death of a worker, also where that is what redy deals with."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _outcome(ticket: Any) -> Any | Died:
    from distributed import KilledWorker

    if ticket.status == "error":
        error = ticket.exception()
        if isinstance(error, KilledWorker):
            return DIED
        raise error
    with _reachable():
        return unpacked(ticket.result())


def _apply(name: str, function: bytes, task: bytes) -> bytes | Died:
    """In a worker: ``function``, which has come with the task unless it was there."""
    return work(name, lambda: function, task)
