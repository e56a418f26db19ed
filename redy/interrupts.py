"""Ctrl-C put off while something runs that cannot bear an exception from elsewhere."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def put_off() -> Iterator[None]:
    """Ctrl-C within raises KeyboardInterrupt at the end, not before.

    Without effect where Ctrl-C would not raise it: in other threads than the main one, or with
    another handler.

    Raises:
        KeyboardInterrupt: Ctrl-C came within.
    """
    if not _raises_here():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            raise KeyboardInterrupt


def _raises_here() -> bool:
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
