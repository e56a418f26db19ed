"""Stores that a forger made: SQLite files whose rows have a right checksum, and that hold more."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from redy.run.store import _checksum
from tests.fuzz.mutations import BYTES, SIZES, any_of, any_value, mutated, mutated_json

_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
_EXTRAS = (
    f"CREATE TRIGGER slow AFTER INSERT ON meta BEGIN {_ENDLESS}; END",
    f"CREATE TRIGGER slow AFTER UPDATE ON meta BEGIN {_ENDLESS}; END",
    "CREATE TRIGGER gone AFTER INSERT ON slices BEGIN DELETE FROM slices; END",
    f"DROP TABLE slices; CREATE VIEW slices AS {_ENDLESS}",
    "DROP TABLE meta; CREATE VIEW meta AS SELECT 'run' AS key, load_extension('x') AS value",
    "DROP TABLE meta; CREATE TABLE meta (key TEXT, value TEXT, more TEXT)",
    "DROP TABLE slices; CREATE TABLE slices (slice TEXT, status TEXT)",
    "DROP TABLE parts",
    "ALTER TABLE slices ADD COLUMN more BLOB",
    "CREATE INDEX more ON slices (hex(status))",
    "DELETE FROM meta",
    "PRAGMA application_id = 0",
    "PRAGMA application_id = 77",
    "PRAGMA user_version = 99",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA encoding = 'UTF-16'",
)


def forged(content: bytes, path: Path, rng: np.random.Generator) -> None:
    """Write the store ``content``, with other content, to ``path``."""
    path.write_bytes(content)
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as database:
        changes = [any_of((_row, _row, _row, _part, _meta, _meta), rng)]
        # What is added last is not set off before redy comes.
        changes += [] if rng.random() < 0.7 else [_extra]
        for change in changes:
            with suppress(sqlite3.Error), database:
                change(database, rng)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _extra(database: sqlite3.Connection, rng: np.random.Generator) -> None:
    database.executescript(any_of(_EXTRAS, rng))


def _row(database: sqlite3.Connection, rng: np.random.Generator) -> None:
    """One column of a finished slice, and the checksum of what is there then."""
    names = [column[1] for column in database.execute("PRAGMA table_info(slices)")][:-1]
    rows = database.execute("SELECT * FROM slices").fetchall()
    if not rows:  # a change before this one has deleted them
        return
    *values, _ = any_of(rows, rng)
    place = int(rng.integers(len(values)))
    index, values[place] = values[0], _value(values[place], rng)
    _rewrite(database, "slices", [*names, "checksum"], values, f"slice = {index}")


def _part(database: sqlite3.Connection, rng: np.random.Generator) -> None:
    rows = database.execute("SELECT * FROM parts").fetchall()
    if rows:
        name, content, _ = any_of(rows, rng)
        values = [name, _value(content, rng)]
        _rewrite(database, "parts", ["name", "content", "checksum"], values, f"name = '{name}'")


def _rewrite(
    database: sqlite3.Connection, table: str, names: list[str], values: list, where: str
) -> None:
    settings = ", ".join(f"{name} = ?" for name in names)
    database.execute(f"UPDATE {table} SET {settings} WHERE {where}", [*values, _checksum(values)])


def _value(value: object, rng: np.random.Generator) -> object:
    """Another one of its type, mostly."""
    if isinstance(value, bytes):
        others = (b"", value[:-1], value + b"\0", value * 2, rng.bytes(len(value)), b"\xff" * 40)
        return mutated(value, BYTES, rng) if rng.random() < 0.6 else any_of(others, rng)
    if isinstance(value, int):
        return any_of((-1, 0, 1, 2, 3, 100, *SIZES), rng)
    text = str(value)
    if text.startswith("[") and rng.random() < 0.8:
        return mutated_json(text.encode(), rng).decode()
    return any_of(("", "SOLVER", "x", "[]", "[[]]", "null", "[1]", '{"a":' * 3000, "1e999"), rng)


def _meta(database: sqlite3.Connection, rng: np.random.Generator) -> None:
    rows = database.execute("SELECT key, value FROM meta").fetchall()
    if not rows:
        return
    key, value = any_of(rows, rng)
    if value.startswith("{") and rng.random() < 0.7:
        value = mutated_json(value.encode(), rng).decode()
    else:
        value = any_of(("", "x", "[]", "null", "1e999", "-1", "nan", str(any_value(rng))), rng)
    text = value.encode("utf-8", "replace").decode()
    database.execute("UPDATE meta SET value = ? WHERE key = ?", [text, key])
