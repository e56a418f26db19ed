"""How far a computation of known size is, with an estimate of the time left, on stderr."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

_LINE_EVERY = 10.0  # seconds between lines when stderr is not a terminal


class Gauge:
    """Says nothing; what a program that calls redy gets unless it asks for more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def start(self, what: str, total: int) -> None:
        """At most ``total`` of ``what`` are to be done."""

    def reach(self, done: int, text: str) -> None:
        """So many are done, of which ``text`` tells more."""


class GaugeLines(Gauge):
    """A line as it begins, and every ten seconds."""

    _what = ""
    _total = _first = 0
    _began: float | None = None
    _last = 0.0

    def start(self, what: str, total: int) -> None:
        """Say what is counted."""
        self._what, self._total = what, total
        self._write(f"at most {total} {what}")

    def reach(self, done: int, text: str) -> None:
        """A line, if the last one is ten seconds old; the pace is that since the first call."""
        now = time.monotonic()
        if self._began is None:
            self._began, self._first, self._last = now, done, now
        if now - self._last < _LINE_EVERY:
            return
        self._last = now
        pace = (now - self._began) / max(1, done - self._first)
        left = timedelta(seconds=round(pace * (self._total - done)))
        self._write(f"{done} of {self._total} {self._what}, {text}, at most {left} left")

    @staticmethod
    def _write(line: str) -> None:
        sys.stderr.write(f"redy: {line}\n")
        sys.stderr.flush()


class GaugeBar(Gauge):
    """A progress bar."""

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("left at most"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            expand=True,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def start(self, what: str, total: int) -> None:
        """Show the bar."""
        self._task = self._bar.add_task(what, total=total, text="")

    def reach(self, done: int, text: str) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.update(self._task, completed=done, text=text)


def gauge_for_stderr() -> Gauge:
    """The gauge that suits where stderr goes."""
    return GaugeBar() if sys.stderr.isatty() else GaugeLines()
