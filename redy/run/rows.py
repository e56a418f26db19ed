"""What a store's tables hold may come from anybody: it is checked before it is used.

A checksum tells damage, and anybody can make one: a store whose checksums are right may still hold
what redy never wrote. Whatever it claims to be proved is not proved again here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from math import inf
from typing import cast

import numpy as np

from redy.criteria import StageLog
from redy.criteria.phase import POOL
from redy.edits import Edits, Status
from redy.errors import RedyError
from redy.formats.malformed import MALFORMED
from redy.guarantee import Guarantee
from redy.network.form import Network
from redy.pipeline import SliceResult

_LONGEST_SQL = 100_000
_MOST = 2**40
"""No count of boxes, queries or points is larger."""


def harden(connection: sqlite3.Connection) -> None:
    """Nothing that stands in the database file is run, and its pages are checked when read."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _LONGEST_SQL)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0)


def has_only(connection: sqlite3.Connection, tables: Sequence[str]) -> bool:
    """Whether the database has exactly what the statements ``tables`` make: no trigger, no view.

    Read from the schema alone, before any other statement, which might set off what stands there.
    """
    with closing(sqlite3.connect(":memory:")) as pristine:
        for table in tables:
            pristine.execute(table)
        return _schema(connection) == _schema(pristine)


def _schema(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    return connection.execute(query).fetchall()


@contextmanager
def unreadable_as(error: RedyError) -> Iterator[None]:
    """Raise ``error`` for whatever a table that redy did not write makes reading it raise."""
    try:
        yield
    except MALFORMED as cause:
        raise error from cause


def require_fit(result: SliceResult, network: Network) -> None:
    """Raise ValueError unless ``result`` can be one of a slice of ``network``."""
    neurons, points, edits = len(network.neurons), result.witnesses, result.edits
    consistent = (
        result.status.shape == (neurons,)
        and int(result.status.max(initial=0)) < len(Status)
        and int(points.pool.max(initial=0)) < POOL
        and bool(np.isfinite(points.found).all())
        and (edits is None or _edits_of(edits, network))
        and result.eps_proved >= 0.0
        and bool(np.isfinite(result.deviation))
        and _is_count(result.winners_changed)
        and all(_is_logged(entry) for entry in result.log)
    )
    if not consistent:
        raise ValueError("its numbers do not fit together")


def require_run(results: Sequence[SliceResult], slices: np.ndarray, guarantee: Guarantee) -> None:
    """Raise ValueError unless ``results`` are those of ``slices`` (n,), under ``guarantee``."""
    if [result.slice for result in results] != slices.tolist():
        raise ValueError("its slices are others than those that were asked for")
    if any(result.eps_proved > guarantee.eps for result in results):
        raise ValueError("an error is larger than the guarantee allows")


def _edits_of(edits: Edits, network: Network) -> bool:
    shape, correction = (network.outputs, network.inputs + 1), edits.correction
    return edits.codes.shape == (len(network.neurons),) and (
        correction is None or correction.shape == shape
    )


def _is_logged(entry: StageLog) -> bool:
    """Whether what a stage did is told in counts; the types of a file's JSON are any."""
    counts = (entry.removed, entry.queries, entry.boxes, entry.proved, entry.refuted, entry.unknown)
    name, seconds = cast("tuple[object, object]", (entry.name, entry.seconds))
    return (
        all(_is_count(count) for count in counts[1:])
        and _is_count(abs(entry.removed))
        and isinstance(name, str)
        and isinstance(seconds, float)
        and 0.0 <= seconds < inf
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _MOST
