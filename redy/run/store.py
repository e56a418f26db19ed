"""The durable record of a run: one SQLite file, one row per finished slice.

WAL mode with full synchronisation: what was committed survives a kill at any moment. One writer:
a store that another run has open is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from redy.criteria import StageLog
from redy.errors import StoreError
from redy.formats.edit_tensors import edits_from_bytes, edits_to_bytes
from redy.network.form import Network
from redy.pipeline import SliceResult
from redy.run.rows import harden, has_only, require_fit, unreadable_as
from redy.search.witnesses import Witnesses
from redy.verdict import Proof

SCHEMA = 6
"""SQLite's user_version of a store. It is read before anything else: a store of another schema is
refused, whatever it holds. Up to schema 5 it stood elsewhere, and this number is 0."""

_MAGIC = b"SQLite format 3\0"
_APPLICATION = 0x72656479
"""SQLite's application_id of a store: the letters redy."""

_PATIENCE = 0.5
"""Seconds for which a store in use is asked for again: somebody may just be looking at it."""

_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    """CREATE TABLE parts (
    name TEXT PRIMARY KEY, content BLOB NOT NULL, checksum BLOB NOT NULL
) STRICT""",
    """CREATE TABLE slices (
    slice INTEGER PRIMARY KEY,
    status BLOB NOT NULL,
    pool BLOB NOT NULL,
    found BLOB NOT NULL,
    edits BLOB NOT NULL,
    eps_proved BLOB NOT NULL,
    proof TEXT NOT NULL,
    log TEXT NOT NULL,
    cut_short INTEGER NOT NULL,
    deviation BLOB NOT NULL,
    winners_changed INTEGER NOT NULL,
    contradicted INTEGER NOT NULL,
    checksum BLOB NOT NULL
) STRICT""",
)

_AGAIN = "then the same command goes on from the slices that are finished"
_DAMAGED = "is damaged", "delete the file, and run again from the start"
_UNKNOWN = "cannot be used as a store", "name another one with --store"
_CAUSES = {
    sqlite3.SQLITE_BUSY: ("is in use by another run", "wait for it or name another --store"),
    sqlite3.SQLITE_FULL: ("the disk is full", f"free some space, {_AGAIN}"),
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written",
        f"check the disk and limits on the size of files, {_AGAIN}",
    ),
    sqlite3.SQLITE_READONLY: ("cannot be written", f"make file and folder writable, {_AGAIN}"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "its folder must exist and be writable"),
    sqlite3.SQLITE_NOTADB: ("is not a redy store", "name another one with --store"),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_ERROR: _DAMAGED,
}
"""What SQLite's primary error codes mean for a store, and what to do."""


class Store:
    """A run's record at ``path``, made if it does not exist; ``":memory:"`` keeps none on disk.

    Args:
        path: the SQLite file.
        run: what the results depend on, as JSON; a store of another run is refused.
        network: the network that is simplified.

    Attributes:
        run: what is recorded, the same.

    Raises:
        StoreError: the file is no store, belongs to another run (the message says what differs),
            is of another schema, in use by another process, or cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike[str], run: dict[str, Any] | None, network: Network | None
    ) -> None:
        self.path = os.fspath(path)
        self._network = network
        if self.path != ":memory:":
            self._require_writable()
            self._require_database()
        with self._errors():
            self._connection = self._owned()
        try:
            with self._errors():
                self.run = self._prepared(run)
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def reopened(cls, path: str | os.PathLike[str]) -> Store:
        """The store at ``path``, whatever its run; its parts can be read, but no slices.

        Raises:
            StoreError: there is none, or as the constructor.
        """
        file = Path(path)
        if not file.is_file() or not file.stat().st_size:
            raise StoreError(f"{os.fspath(path)}: there is no such store")
        return cls(path, None, None)

    def _require_writable(self) -> None:
        """SQLite logs in the same folder what it is about to write."""
        for path in (Path(self.path), Path(self.path).absolute().parent):
            if os.access(path, os.F_OK) and not os.access(path, os.W_OK):
                raise StoreError(
                    f"{self.path}: {path} is read-only; make it writable, or name another --store"
                )

    def _require_database(self) -> None:
        """Leave a file of another kind as it is: SQLite would take a short one for an empty one."""
        try:
            with Path(self.path).open("rb") as file:
                head = file.read(len(_MAGIC))
        except OSError:
            return  # SQLite says what is wrong, if anything is
        if head and head != _MAGIC:
            raise StoreError(f"{self.path}: is not a redy store")

    def _owned(self) -> sqlite3.Connection:
        """A connection that alone may read and write the file, until it is closed.

        Of runs that start at once, one gets it: those that fail let go before they ask again, as
        they would wait for each other in vain.
        """
        end = time.monotonic() + _PATIENCE
        while True:
            # The connection is used by one thread at a time; joblib hands results to another.
            connection = sqlite3.connect(
                self.path, timeout=0, isolation_level=None, check_same_thread=False
            )
            try:
                harden(connection)
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute("BEGIN EXCLUSIVE")
                connection.execute("COMMIT")  # the lock stays
            except sqlite3.OperationalError as error:
                connection.close()
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                return connection
            time.sleep(np.random.default_rng().uniform(0.0, 0.05))

    def _prepared(self, run: dict[str, Any] | None) -> dict[str, Any]:
        """The run of the store, of which a new one is made; one that is there must be ``run``."""
        new = self._is_new()
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        if not new:
            return self._recorded(run)
        if run is None:
            raise StoreError(f"{self.path}: holds no run")
        with self._transaction():
            self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._connection.execute(f"PRAGMA user_version = {SCHEMA}")
            for table in _TABLES:
                self._connection.execute(table)
            rows = [("run", json.dumps(run)), ("seconds", "0")]
            self._connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        return run

    def _is_new(self) -> bool:
        """Whether the file is empty; raises StoreError if it is not a store of this schema."""
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (schema,) = self._connection.execute("PRAGMA user_version").fetchone()
        if application == _APPLICATION:
            if schema == SCHEMA:
                self._require_tables()
                return False
            raise StoreError(
                f"{self.path}: has store schema {schema or '5 or less'}, this redy has schema "
                f"{SCHEMA}; go on with the redy that began the run, name another store with "
                "--store, or delete it"
            )
        tables = self._connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if application or tables:
            raise StoreError(f"{self.path}: is a SQLite database, but not a redy store")
        return True

    def _require_tables(self) -> None:
        if not has_only(self._connection, _TABLES):
            raise StoreError(
                f"{self.path}: has other tables than a store of redy's; name another store with "
                "--store, or delete it"
            )

    def _recorded(self, run: dict[str, Any] | None) -> dict[str, Any]:
        """The run that is recorded, which must be ``run`` if that is given."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = 'run'").fetchone()
        with unreadable_as(self.damaged("the record of the run")):
            recorded: dict[str, Any] = json.loads(row[0])
            recorded.keys()  # which nothing else has that JSON may hold
        wanted = recorded if run is None else run
        for name in {**wanted, **recorded}:
            if recorded.get(name) != wanted.get(name):
                raise StoreError(
                    f"{self.path}: is the store of another run: its {name} is "
                    f"{_brief(recorded.get(name))}, this one's is {_brief(wanted.get(name))}; "
                    "name another store with --store, or delete it"
                )
        return recorded

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written within is committed, or none of it."""
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk has ended it already
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeError) as error:  # SQLite may complain in broken text
            what, advice = _CAUSES.get(_code(error), _UNKNOWN)
            raise StoreError(f"{self.path}: {what} ({error}); {advice}") from error

    def done(self) -> np.ndarray:
        """The slices that are finished, in ascending order: (n,) int64."""
        with self._errors():
            rows = self._connection.execute("SELECT slice FROM slices ORDER BY slice").fetchall()
        return np.array([row[0] for row in rows], dtype=np.int64)

    def failed(self) -> np.ndarray:
        """The slices of :meth:`done` that are kept as they are, for their workers died: (n,)."""
        with self._errors():
            query = "SELECT slice FROM slices WHERE log = '[]' ORDER BY slice"
            rows = self._connection.execute(query).fetchall()
        return np.array([row[0] for row in rows], dtype=np.int64)

    @property
    def seconds(self) -> float:
        """Wall time spent on this run so far, all its starts together."""
        with self._errors():
            query = "SELECT CAST(value AS REAL) FROM meta WHERE key = 'seconds'"
            row = self._connection.execute(query).fetchone()
        seconds = 0.0 if row is None else float(row[0])
        return seconds if 0.0 <= seconds < math.inf else 0.0

    def add(self, results: Iterable[SliceResult], seconds: float) -> None:
        """Commit finished slices and ``seconds`` more of wall time, all or nothing."""
        rows = [
            (
                result.slice,
                result.status.tobytes(),
                result.witnesses.pool.astype("<u2").tobytes(),
                result.witnesses.found.astype("<f4").tobytes(),
                edits_to_bytes(result.edits),
                np.float64(result.eps_proved).tobytes(),
                result.proof.name,
                json.dumps([list(vars(entry).values()) for entry in result.log]),
                int(result.cut_short),
                np.float64(result.deviation).tobytes(),
                result.winners_changed,
                int(result.contradicted),
            )
            for result in results
        ]
        with self._errors(), self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO slices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(*row, _checksum(row)) for row in rows],
            )
            self._spend(seconds)

    def keep(self, name: str, arrays: Mapping[str, np.ndarray], seconds: float) -> None:
        """Commit what the slices are made from, and ``seconds`` more of wall time."""
        content = save_tensors({key: np.ascontiguousarray(a) for key, a in arrays.items()})
        row = (name, bytes(content))
        with self._errors(), self._transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", (*row, _checksum(row))
            )
            self._spend(seconds)

    def part(self, name: str) -> dict[str, np.ndarray] | None:
        """What :meth:`keep` kept last, or None; raises :class:`StoreError` if it is damaged."""
        with self._errors():
            query = "SELECT * FROM parts WHERE name = ?"
            row = self._connection.execute(query, [name]).fetchone()
        if row is None:
            return None
        if _checksum(row[:2]) != row[2]:
            raise self.damaged(f"the {name}")
        with unreadable_as(self.damaged(f"the {name}")):
            return dict(load_tensors(row[1]))

    def _spend(self, seconds: float) -> None:
        self._connection.execute(
            "UPDATE meta SET value = CAST(value AS REAL) + ? WHERE key = 'seconds'", [seconds]
        )

    def results(self) -> Iterator[SliceResult]:
        """Every finished slice, ascending; raises :class:`StoreError` if one is damaged."""
        network = self._network
        if network is None:
            raise StoreError(f"{self.path}: was opened without its network")
        with self._errors():
            rows = self._connection.execute("SELECT * FROM slices ORDER BY slice")
            for *row, checksum in rows:
                damaged = self.damaged(f"slice {row[0]}")
                if _checksum(row) != checksum:
                    raise damaged
                with unreadable_as(damaged):
                    result = _restored(row, network.inputs)
                    require_fit(result, network)
                yield result

    def damaged(self, what: str) -> StoreError:
        """The error for what cannot be used of this store, and what to do."""
        return StoreError(f"{self.path}: {what} {'; '.join(_DAMAGED)}")

    def close(self) -> None:
        """Release the file."""
        self._connection.close()


def _restored(row: Sequence[Any], inputs: int) -> SliceResult:
    index, status, pool, found, edits, eps, proof, log, cut_short, deviation, *checks = row
    return SliceResult(
        slice=index,
        status=np.frombuffer(status, dtype=np.uint8),
        witnesses=Witnesses(
            np.frombuffer(pool, dtype="<u2"),
            np.frombuffer(found, dtype="<f4").reshape(-1, inputs),
        ),
        edits=edits_from_bytes(edits),
        eps_proved=float(np.frombuffer(eps, dtype=np.float64)[0]),
        proof=Proof[proof],
        log=tuple(StageLog(*entry) for entry in json.loads(log)),
        cut_short=bool(cut_short),
        deviation=float(np.frombuffer(deviation, dtype=np.float64)[0]),
        winners_changed=checks[0],
        contradicted=bool(checks[1]),
    )


def _checksum(row: Sequence[object]) -> bytes:
    """Of all other columns of a row: SQLite would not notice a flipped bit, which is a proof."""
    digest = hashlib.sha256()
    for entry in row:
        data = entry if isinstance(entry, bytes) else repr(entry).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


def _code(error: sqlite3.Error | UnicodeError) -> int:
    """SQLite's primary error code; errors of the Python module itself have none."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF


def _brief(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
