"""Backends that have worker processes do tasks: loky here, Dask and Ray also on a cluster.

Every backend is a class in :data:`BACKENDS`, in a module of its own in this package; adding one is
adding that module. Importing this package imports neither dask nor ray.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pkgutil import iter_modules

from redy.errors import UsageError
from redy.run.backends.base import BACKENDS, DIED, Backend, Capabilities, Died, Pool
from redy.run.backends.here import Here

__all__ = [
    "BACKENDS",
    "DEFAULT",
    "DIED",
    "Backend",
    "Capabilities",
    "Died",
    "Here",
    "Pool",
    "opened",
    "require_usable",
]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

DEFAULT = "loky"
"""Processes of this machine, which needs nothing but what redy needs anyway."""


def require_usable(name: str, jobs: int | None, scheduler: str | None) -> None:
    """Fail before the work.

    Raises:
        UsageError: there is no such backend, it is not installed, or the options do not go with it.
    """
    if name not in BACKENDS:
        raise UsageError(f"--backend {name}: there is {', '.join(sorted(BACKENDS))}")
    capabilities = BACKENDS[name].probe()
    if not capabilities.available:
        raise UsageError(f"--backend {name}: {capabilities.why_not}")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: give at least 1")
    if scheduler is None:
        return
    if not capabilities.scheduler:
        others = [other for other in BACKENDS if BACKENDS[other].probe().scheduler]
        raise UsageError(
            f"--scheduler goes with --backend {' or '.join(sorted(others))}; {name} runs on this "
            "machine only"
        )
    if jobs is not None:
        raise UsageError(
            "--jobs is for processes of this machine; those of --scheduler are its own"
        )


@contextmanager
def opened(name: str, jobs: int | None, scheduler: str | None = None) -> Iterator[Pool]:
    """The workers of backend ``name``: ``jobs`` of this machine (default 1) or those of a cluster.

    Raises:
        UsageError: see :func:`require_usable`.
    """
    require_usable(name, jobs, scheduler)
    workers = BACKENDS[name].pool(jobs or 1, scheduler)
    try:
        yield workers
    finally:
        workers.close()
