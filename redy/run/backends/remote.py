"""What a worker process does with a task, whichever backend brought it.

The function, tasks and results travel as bytes that pickle made: every backend moves bytes the same
way, whereas arrays might arrive read-only, for which kernels would be compiled anew.
"""

from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Callable
from typing import Any

from redy.errors import UsageError
from redy.run.backends.base import DIED, Died, Function
from redy.version import __version__

NOTHING = b""
"""The task of which nothing is asked but that a worker takes it."""

_held: dict[str, Function] = {}
"""The function that this process got last, by its name."""

_turn = threading.Lock()


def work(name: str, source: Callable[[], bytes], task: bytes) -> bytes | Died:
    """The result of the function ``name``, which comes from ``source`` when it is not here yet.

    One task at a time: in a worker with several threads, every task waits for its turn.

    Raises:
        UsageError: the worker has another redy than what sent the function.
        Exception: what the function raises.
    """
    try:
        with _turn:
            if name not in _held:
                _held.clear()
                _held[name] = _loaded(source())
            return NOTHING if task == NOTHING else pickle.dumps(_held[name](pickle.loads(task)))
    except MemoryError:
        return DIED


def packed_function(function: Function) -> bytes:
    """``function`` as the ``source`` of :func:`work` gives it, after the version of redy."""
    return pickle.dumps(__version__) + pickle.dumps(function)


def _loaded(content: bytes) -> Function:
    parts = io.BytesIO(content)
    version = pickle.load(parts)
    if version != __version__:
        raise UsageError(
            f"a worker has redy {__version__}, this is {version}: install the same on all machines"
        )
    function: Function = pickle.load(parts)
    return function


def packed(task: Any) -> bytes:
    """``task`` as :func:`work` takes it; None asks for nothing."""
    return NOTHING if task is None else pickle.dumps(task)


def unpacked(result: bytes | Died) -> Any | Died:
    """What :func:`work` returned."""
    return pickle.loads(result) if isinstance(result, bytes) and result != NOTHING else result
