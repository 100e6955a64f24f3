"""The records of a stream, on the disk within a second: one SQLite file per day.

Commits are atomic and durable, and other processes can read meanwhile. A commit holds batches of
rows: the columns as compressed JSON, since an SQL row of fifty columns per order book would take
five times the space. Compaction turns a day into Parquet; see `compaction`.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from kis_assets.lake.live_parts import PLACE
from kis_assets.tables import INSTANT, Table

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS batch (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, rows INTEGER NOT NULL, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_AT_ONCE = 250
"""Most rows of a batch. Packing one blocks all other threads for a millisecond."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Row = Sequence[Any]
"""The values of a row in the order of `columns_of`; instants are whole microseconds."""


def microseconds(at: datetime) -> int:
    """An instant as it is stored: whole microseconds since 1970 in UTC."""
    return (at - _EPOCH) // _MICROSECOND


def instant(at: int) -> datetime:
    """The instant of such a number."""
    return _EPOCH + at * _MICROSECOND


def columns_of(table: Table) -> list[str]:
    """The columns of a table whose values differ between the rows of a day."""
    return [name for name in table.schema if name not in ("trading_day", "source")]


def days(folder: Path) -> list[date]:
    """The days of a lake that have a journal."""
    found = (folder / PLACE).glob("????-??-??.sqlite")
    return sorted(date.fromisoformat(path.stem) for path in found)


class Journal:
    """One day of one lake. One process writes, in one thread at a time; any process may read.

    Raises:
        sqlite3.Error: from every method, if the file cannot be used.
    """

    def __init__(self, folder: Path, day: date, *, writes: bool = False) -> None:
        self.day = day
        self.path = folder / PLACE / f"{day}.sqlite"
        if writes:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as connection:
                connection.executescript(_SCHEMA)

    def begin_after(self, number: int) -> bool:
        """Start batch numbers after this one if the journal is empty; return whether it is."""
        with closing(self._open()) as connection, connection:
            is_new = connection.execute("SELECT max(id) FROM batch").fetchone()[0] is None
            if is_new and number:
                connection.execute("INSERT INTO batch VALUES (?, '', 0, x'')", (number,))
        return is_new

    def add(self, rows: Mapping[Table, Sequence[Row]], state: Mapping[str, Any]) -> None:
        """Add rows and replace the state atomically; both are on the disk when this returns."""
        batches = [
            (table.name, len(some), _packed(columns_of(table), some))
            for table, several in rows.items()
            for some in _pieces(several)
        ]
        values = [(key, json.dumps(value)) for key, value in state.items()]
        with closing(self._open()) as connection, connection:
            connection.executemany(
                "INSERT INTO batch (name, rows, content) VALUES (?, ?, ?)", batches
            )
            connection.executemany("REPLACE INTO state VALUES (?, ?)", values)

    def state(self) -> dict[str, Any]:
        """The state of the last commit; empty without one."""
        if not self._is_there():
            return {}
        with closing(self._open()) as connection:
            return {
                key: json.loads(value)
                for key, value in connection.execute("SELECT key, value FROM state")
            }

    def frames(
        self, table: Table, source: str, *, after: int = 0, newest: int | None = None
    ) -> Iterator[tuple[int, pl.DataFrame]]:
        """Number and rows of a table's batches after a number, or of the newest ones; oldest first.

        All are from one moment, even if others are added meanwhile.
        """
        if not self._is_there():
            return
        query = (
            "SELECT id, content FROM (SELECT id, content FROM batch WHERE name = ? AND id > ? "
            "ORDER BY id DESC LIMIT ?) ORDER BY id"
        )
        limit = -1 if newest is None else newest
        with closing(self._open()) as connection:
            for number, content in connection.execute(query, (table.name, after, limit)):
                yield number, _unpacked(table, content, self.day, source)

    def count(self, table: Table) -> int:
        """How many rows of a table the journal has."""
        with closing(self._open()) as connection:
            query = "SELECT coalesce(sum(rows), 0) FROM batch WHERE name = ?"
            return int(connection.execute(query, (table.name,)).fetchone()[0])

    def _is_there(self) -> bool:
        if not self.path.exists():
            return False
        with closing(self._open()) as connection:  # another process may be creating it
            names = connection.execute("SELECT name FROM sqlite_master").fetchall()
        return {("batch",), ("state",)} <= set(names)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30)


def _pieces(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The rows of a commit in pieces; other threads can run between them."""
    for start in range(0, len(rows), _AT_ONCE):
        yield rows[start : start + _AT_ONCE]
        time.sleep(0)


def _packed(names: list[str], rows: Sequence[Row]) -> bytes:
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return zlib.compress(json.dumps(columns, separators=(",", ":")).encode(), level=1)


def _unpacked(table: Table, content: bytes, day: date, source: str) -> pl.DataFrame:
    """Rows of a table; a column that the table did not have then is null."""
    columns = json.loads(zlib.decompress(content))
    height = len(next(iter(columns.values())))
    constant = {"trading_day": [day] * height, "source": [source] * height}
    values = {name: (constant | columns).get(name, [None] * height) for name in table.schema}
    # Integer microseconds are the storage type of an instant.
    plain = {
        name: pl.Int64() if dtype == INSTANT else dtype for name, dtype in table.schema.items()
    }
    rows = pl.DataFrame(values, schema=plain)
    return rows.with_columns(
        pl.from_epoch(name, "us").dt.replace_time_zone("UTC")
        for name, dtype in table.schema.items()
        if dtype == INSTANT
    )
