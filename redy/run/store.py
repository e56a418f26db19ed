"""The durable record of a run: one SQLite file, one row per finished slice.

WAL mode with full synchronisation: what was committed survives a kill at any moment. One writer:
a store that another run has open is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
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
from redy.search.witnesses import Witnesses
from redy.verdict import Proof

SCHEMA = 6
_MAGIC = b"SQLite format 3\0"
_APPLICATION = 0x72656479
"""SQLite's application_id of a store: the letters redy."""

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS parts (
    name TEXT PRIMARY KEY, content BLOB NOT NULL, checksum BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS slices (
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
) STRICT;
"""


class Store:
    """A run's record at ``path``, made if it does not exist; ``":memory:"`` keeps none on disk.

    Args:
        path: the SQLite file.
        run: what the results depend on, as JSON; a store of another run is refused.
        network: the network that is simplified.

    Raises:
        StoreError: the file is no store, belongs to another run (the message says what differs),
            is in use by another process, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], run: dict[str, Any], network: Network) -> None:
        self.path = os.fspath(path)
        self._network = network
        self._connection = self._open()
        try:
            with self._errors():
                self._check(run)
        except BaseException:
            self._connection.close()
            raise

    def _open(self) -> sqlite3.Connection:
        self._require_database()
        with self._errors():
            # The connection is used by one thread at a time; joblib hands results to another.
            connection = sqlite3.connect(self.path, timeout=0.5, check_same_thread=False)
        try:
            with self._errors():
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._require_store(connection)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.executescript(_TABLES)
                # An exclusive lock is taken by the first write and held until the end.
                with connection:
                    connection.execute("INSERT OR IGNORE INTO meta VALUES ('seconds', '0')")
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_database(self) -> None:
        """Leave a file of another kind as it is: SQLite would take a short one for an empty one."""
        try:
            with Path(self.path).open("rb") as file:
                head = file.read(len(_MAGIC))
        except OSError:
            return  # SQLite says what is wrong, if anything is
        if head and head != _MAGIC:
            raise StoreError(f"{self.path}: is not a redy store")

    def _require_store(self, connection: sqlite3.Connection) -> None:
        """Leave the database of another program as it is."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if application not in {0, _APPLICATION} or (tables and application == 0):
            raise StoreError(f"{self.path}: is a SQLite database, but not a redy store")

    def _check(self, run: dict[str, Any]) -> None:
        run = {"schema": SCHEMA, **run}
        row = self._connection.execute("SELECT value FROM meta WHERE key = 'run'").fetchone()
        if row is None:
            with self._connection:
                self._connection.execute("INSERT INTO meta VALUES ('run', ?)", [json.dumps(run)])
            return
        try:
            recorded = json.loads(row[0])
        except ValueError as error:
            raise StoreError(self._damaged("the record of the run")) from error
        for key, value in run.items():
            if recorded.get(key) != value:
                raise StoreError(
                    f"{self.path}: is the store of another run: its {key} is "
                    f"{_brief(recorded.get(key))}, this one's is {_brief(value)}; "
                    "name another store with --store, or delete it"
                )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise StoreError(
                    f"{self.path}: is in use by another run; wait for it or name another --store"
                ) from error
            raise StoreError(f"{self.path}: cannot be used as a store ({error})") from error
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: is not a redy store ({error})") from error

    def done(self) -> np.ndarray:
        """The slices that are finished, in ascending order: (n,) int64."""
        with self._errors():
            rows = self._connection.execute("SELECT slice FROM slices ORDER BY slice").fetchall()
        return np.array([row[0] for row in rows], dtype=np.int64)

    @property
    def seconds(self) -> float:
        """Wall time spent on this run so far, all its starts together."""
        with self._errors():
            row = self._connection.execute("SELECT value FROM meta WHERE key = 'seconds'")
            return float(row.fetchone()[0])

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
        with self._errors(), self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO slices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(*row, _checksum(row)) for row in rows],
            )
            self._spend(seconds)

    def keep(self, name: str, arrays: Mapping[str, np.ndarray], seconds: float) -> None:
        """Commit what the slices are made from, and ``seconds`` more of wall time."""
        content = save_tensors({key: np.ascontiguousarray(a) for key, a in arrays.items()})
        row = (name, bytes(content))
        with self._errors(), self._connection:
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
            raise StoreError(self._damaged(f"the {name}"))
        return dict(load_tensors(row[1]))

    def _spend(self, seconds: float) -> None:
        self._connection.execute(
            "UPDATE meta SET value = CAST(value AS REAL) + ? WHERE key = 'seconds'", [seconds]
        )

    def results(self) -> Iterator[SliceResult]:
        """Every finished slice, ascending; raises :class:`StoreError` if one is damaged."""
        with self._errors():
            rows = self._connection.execute("SELECT * FROM slices ORDER BY slice")
            for *row, checksum in rows:
                if _checksum(row) != checksum:
                    raise StoreError(self._damaged(f"slice {row[0]}"))
                yield self._restored(row)

    def _restored(self, row: Sequence[Any]) -> SliceResult:
        index, status, pool, found, edits, eps, proof, log, cut_short, deviation, *checks = row
        return SliceResult(
            slice=index,
            status=np.frombuffer(status, dtype=np.uint8),
            witnesses=Witnesses(
                np.frombuffer(pool, dtype="<u2"),
                np.frombuffer(found, dtype="<f4").reshape(-1, self._network.inputs),
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

    def _damaged(self, what: str) -> str:
        return f"{self.path}: {what} is damaged; delete the file, and run again from the start"

    def close(self) -> None:
        """Release the file."""
        self._connection.close()


def _checksum(row: Sequence[object]) -> bytes:
    """Of all other columns of a row: SQLite would not notice a flipped bit, which is a proof."""
    digest = hashlib.sha256()
    for entry in row:
        data = entry if isinstance(entry, bytes) else repr(entry).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


def _brief(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
