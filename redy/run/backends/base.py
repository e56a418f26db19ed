"""What a backend is that has worker processes do tasks, and the registry of those there are.

A backend is a file of this package with a class under ``@register``. It only hands tasks out and
takes results back; who gets what, in which order, and what becomes of a task whose process died is
decided in :mod:`redy.run.spread`, for all of them alike.

Results are not taken through ``joblib.Parallel``, which wraps the same three libraries: with it one
dead worker ends the whole call. Its Dask backend never reports a task that dask gave up after its
workers died, so that the call hangs, and computes in the calling process where the cluster has one
slot; its Ray backend cannot give results as they come, and does not replace a dead actor (joblib
1.6.0, ray 2.60.0).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import metadata, util
from typing import Any, Protocol, TypeAlias

from redy.errors import UsageError

Function: TypeAlias = Callable[[Any], Any]
"""What is done with each task; it is pickled, and so are tasks and results."""


@dataclass(frozen=True)
class Died:
    """Instead of a result: the process that had the task died, or had no memory left for it."""


DIED = Died()


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do here, found out without importing its library.

    Attributes:
        available: it is installed.
        why_not: what is missing, and how to get it; empty if it is available.
        version: of the library.
        scheduler: what ``--scheduler`` names; empty if it runs on this machine only.
    """

    available: bool
    why_not: str
    version: str
    scheduler: str


class Pool(Protocol):
    """Worker processes, started when the first task comes. Used by one thread."""

    @property
    def slots(self) -> int:
        """How many tasks are computed at once; it may change as workers come and go."""

    def ship(self, function: Function) -> Any:
        """Make ``function`` known to the workers, each of which gets it once.

        They forget it when nothing here refers to what is returned any more.
        """

    def submit(self, shipped: Any, task: Any) -> Any:
        """Have what :meth:`ship` returned applied to ``task``; a ticket for the result."""

    def finished(self, tickets: Collection[Any]) -> list[tuple[Any, Any | Died]]:
        """Wait for at least one of ``tickets``; all that are done, with their results.

        Raises:
            RedyError: the workers cannot be reached any more.
            Exception: what the function raised.
        """

    def stop(self) -> None:
        """Give up all tasks at once."""

    def close(self) -> None:
        """Release what the pool holds; no task is under way."""


class Backend(Protocol):
    """Something that runs worker processes; one file of this package each."""

    name: str

    def probe(self) -> Capabilities:
        """What it can do on this machine; never raises."""

    def pool(self, jobs: int, scheduler: str | None) -> Pool:
        """``jobs`` processes on this machine, or those that ``scheduler`` has."""


_ADDRESS = re.compile(r"(?:(?:tcp|tls|ray)://)?\[?(?P<host>[^/\[\]\s]+?)\]?:(?P<port>[0-9]{1,5})/?")
_PATIENCE = 10.0
"""Seconds for the other side to take a connection."""


def require_listening(address: str, example: str) -> None:
    """Fail soon where nobody listens: the libraries try for minutes.

    Raises:
        UsageError: ``address`` is no HOST:PORT, a protocol before it or not; or nobody is there.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) >= 2**16:
        raise UsageError(f"--scheduler {address}: give an address like {example}")
    try:
        socket.create_connection((found["host"], int(found["port"])), timeout=_PATIENCE).close()
    except OSError as error:
        raise UsageError(
            f"--scheduler {address}: nobody listens there ({error.strerror or error})"
        ) from error


BACKENDS: dict[str, Backend] = {}
"""Backends by name: a module of this package adds its own with :func:`register`."""


def register(backend: Callable[[], Backend]) -> Callable[[], Backend]:
    """Decorator: enter a backend class in :data:`BACKENDS` under its name."""
    entry = backend()
    BACKENDS[entry.name] = entry
    return backend


def probed(module: str, package: str, extra: str, scheduler: str) -> Capabilities:
    """What is known of a library without importing it.

    Args:
        module: what is imported.
        package: the distribution it comes in.
        extra: of redy, the one that installs it.
        scheduler: what ``--scheduler`` names.
    """
    if util.find_spec(module) is None:
        why_not = f"{package} is not installed; pip install 'redy[{extra}]' brings it"
        return Capabilities(False, why_not, "", scheduler)
    return Capabilities(True, "", metadata.version(package), scheduler)
