"""What asks a program to stop: Ctrl-C, and SIGTERM, which batch systems send before they kill."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask to stop."""


class Terminated(KeyboardInterrupt):
    """What SIGTERM raises within :func:`terminable`; handled wherever Ctrl-C is."""


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM within raises :class:`Terminated`, rather than ending the process at once.

    Without effect in other threads than the main one, or where SIGTERM has another handler.
    """
    if not _here() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def put_off() -> Iterator[None]:
    """Ctrl-C within raises KeyboardInterrupt at the end, not before; SIGTERM likewise.

    For what cannot bear an exception from elsewhere. Without effect where neither would raise: in
    other threads than the main one, or with another handler.

    Raises:
        KeyboardInterrupt: Ctrl-C came within.
        Terminated: SIGTERM did.
    """
    raising = _raising() if _here() else {}
    came: list[int] = []
    for number in raising:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in raising.items():
            signal.signal(number, handler)
        if came:
            raise Terminated if signal.SIGTERM in came else KeyboardInterrupt


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Whatever handlers of Ctrl-C and SIGTERM a library sets within are undone at the end.

    Without effect in other threads than the main one, where none can be set.
    """
    before = {number: signal.getsignal(number) for number in STOPPING} if _here() else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it is not Python's, which cannot set it again
                signal.signal(number, handler)


def _here() -> bool:
    return threading.current_thread() is threading.main_thread()


def _raising() -> dict[signal.Signals, Callable[[int, FrameType | None], Any]]:
    """The signals that raise an exception as it is, and what raises it."""
    raises = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _terminate}
    return {n: handler for n, handler in raises.items() if signal.getsignal(n) is handler}


def _terminate(_: int, __: FrameType | None) -> NoReturn:
    raise Terminated
