"""Ray: the cluster whose address is given, or an instance on this machine.

A task is tried by Ray once: what becomes of it when its process dies is decided here, for all
backends alike.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from functools import cached_property
from typing import Any

from redy.errors import RedyError, UsageError
from redy.interrupts import handlers_kept
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


@register
class Ray:
    """See :class:`redy.run.backends.base.Backend`."""

    name = "ray"

    def probe(self) -> Capabilities:
        """Whether ``ray`` is installed."""
        return probed("ray", "ray", "ray", "the cluster's address, or auto")

    def pool(self, jobs: int, scheduler: str | None) -> Pool:
        """Processes of this machine, or those of the cluster at ``scheduler``."""
        return _Cluster(jobs, scheduler)


class _Cluster:
    def __init__(self, jobs: int, scheduler: str | None) -> None:
        self._jobs, self._scheduler = jobs, scheduler
        self._tickets: set[Any] = set()
        self._started = False

    @cached_property
    def _ray(self) -> Any:
        if self._scheduler not in {None, "auto"}:
            require_listening(str(self._scheduler), "10.0.0.1:6379, ray://10.0.0.1:10001 or auto")
        # Ray reports its use to its makers unless told otherwise.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        if ray.is_initialized():  # by the program that calls redy
            return ray
        where: dict[str, Any] = {"address": self._scheduler}
        if self._scheduler is None:
            where = {"address": "local", "num_cpus": self._jobs, "include_dashboard": False}
        try:
            with handlers_kept():  # Ray's ends the process at SIGTERM, before redy has closed files
                ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            if self._scheduler is None:
                raise RedyError(f"Ray does not start on this machine: {error}") from error
            raise UsageError(
                f"--scheduler {self._scheduler}: no Ray cluster answers there ({error})"
            ) from error
        self._started = True
        return ray

    @cached_property
    def _remote(self) -> Any:
        return self._ray.remote(num_cpus=1, max_retries=0)(_apply)

    @property
    def slots(self) -> int:
        """The processors that the cluster has now; at least one, so that a task waits for them."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 0)))

    def ship(self, function: Function) -> Any:
        """See :class:`redy.run.backends.base.Pool`."""
        return self._ray.put(packed_function(function))

    def submit(self, shipped: Any, task: Any) -> Any:
        """See :class:`redy.run.backends.base.Pool`."""
        # In a list, Ray leaves the reference as it is: the worker looks what it stands for up once.
        ticket = self._remote.remote([shipped], packed(task))
        self._tickets.add(ticket)
        return ticket

    def finished(self, tickets: Collection[Any]) -> list[tuple[Any, Any | Died]]:
        """See :class:`redy.run.backends.base.Pool`."""
        waiting = list(tickets)
        try:
            self._ray.wait(waiting)
            done, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
            self._tickets.difference_update(done)
            return [(ticket, self._outcome(ticket)) for ticket in done]
        except self._ray.exceptions.RayError as error:
            raise RedyError(
                "the connection to the Ray cluster is lost; what was finished is kept, the same "
                f"command goes on from there ({str(error).splitlines()[0]})"
            ) from error

    def _outcome(self, ticket: Any) -> Any | Died:
        errors = self._ray.exceptions
        try:
            return unpacked(self._ray.get(ticket))
        except errors.RayTaskError as error:
            raise error.cause from error
        except (
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.NodeDiedError,
            errors.ObjectLostError,
        ):
            return DIED

    def stop(self) -> None:
        """End the processes that compute a task."""
        for ticket in self._tickets:
            self._ray.cancel(ticket, force=True)
        self._tickets.clear()

    def close(self) -> None:
        """Leave the cluster; end it if it is our own."""
        if self._started:
            self._ray.shutdown()


def _apply(held: list[Any], task: bytes) -> bytes | Died:
    """In a worker: the function that ``held`` stands for, applied to ``task``."""
    import ray

    (reference,) = held
    return work(reference.hex(), lambda: ray.get(reference), task)
