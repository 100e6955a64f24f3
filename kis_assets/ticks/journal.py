"""What a stream has brought on a day, on the disk within a second: an SQLite file for each day.

A commit is durable as a whole or not there at all, and other processes read meanwhile. It holds
batches of rows: the columns as JSON, compressed, since a row of fifty columns for each order book
would take five times the space. Compaction turns a day into Parquet; see `compaction`.
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
"""Rows of a batch at most. To make one takes a millisecond in which no other thread goes on."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Row = Sequence[Any]
"""The values of a row in the order of `columns_of`; instants are whole microseconds."""


def microseconds(at: datetime) -> int:
    """An instant as it is kept: whole microseconds since 1970 in UTC."""
    return (at - _EPOCH) // _MICROSECOND


def instant(at: int) -> datetime:
    """The instant that such a number is."""
    return _EPOCH + at * _MICROSECOND


def columns_of(table: Table) -> list[str]:
    """The columns of a table that differ from row to row of a day."""
    return [name for name in table.schema if name not in ("trading_day", "source")]


def days(folder: Path) -> list[date]:
    """The days of a lake that have a journal."""
    found = (folder / PLACE).glob("????-??-??.sqlite")
    return sorted(date.fromisoformat(path.stem) for path in found)


class Journal:
    """One day of one lake. One process writes, in one thread at a time; any may read.

    Raises:
        sqlite3.Error: by every method, where the file cannot be used.
    """

    def __init__(self, folder: Path, day: date, *, writes: bool = False) -> None:
        self.day = day
        self.path = folder / PLACE / f"{day}.sqlite"
        if writes:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as connection:
                connection.executescript(_SCHEMA)

    def begin_after(self, number: int) -> bool:
        """Count batches on from a number where none is there yet; whether none is there."""
        with closing(self._open()) as connection, connection:
            is_new = connection.execute("SELECT max(id) FROM batch").fetchone()[0] is None
            if is_new and number:
                connection.execute("INSERT INTO batch VALUES (?, '', 0, x'')", (number,))
        return is_new

    def add(self, rows: Mapping[Table, Sequence[Row]], state: Mapping[str, Any]) -> None:
        """Add rows and replace what is known, all or nothing, on the disk when this returns."""
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
        """What was known at the last commit; nothing without one."""
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
        """The batches of a table after a number, or the newest ones; oldest first, number and rows.

        They are those of one moment, whatever is added meanwhile.
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
        """How many rows of a table there are."""
        with closing(self._open()) as connection:
            query = "SELECT coalesce(sum(rows), 0) FROM batch WHERE name = ?"
            return int(connection.execute(query, (table.name,)).fetchone()[0])

    def _is_there(self) -> bool:
        if not self.path.exists():
            return False
        with closing(self._open()) as connection:  # it may just be made
            names = connection.execute("SELECT name FROM sqlite_master").fetchall()
        return {("batch",), ("state",)} <= set(names)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30)


def _pieces(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The rows of a commit in pieces, between which other threads of the process go on."""
    for start in range(0, len(rows), _AT_ONCE):
        yield rows[start : start + _AT_ONCE]
        time.sleep(0)


def _packed(names: list[str], rows: Sequence[Row]) -> bytes:
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return zlib.compress(json.dumps(columns, separators=(",", ":")).encode(), level=1)


def _unpacked(table: Table, content: bytes, day: date, source: str) -> pl.DataFrame:
    """Rows of a table; a column that it did not have when they came is null."""
    columns = json.loads(zlib.decompress(content))
    height = len(next(iter(columns.values())))
    constant = {"trading_day": [day] * height, "source": [source] * height}
    values = {name: (constant | columns).get(name, [None] * height) for name in table.schema}
    # Whole numbers of microseconds are the very type that an instant is stored as.
    plain = {
        name: pl.Int64() if dtype == INSTANT else dtype for name, dtype in table.schema.items()
    }
    rows = pl.DataFrame(values, schema=plain)
    return rows.with_columns(
        pl.from_epoch(name, "us").dt.replace_time_zone("UTC")
        for name, dtype in table.schema.items()
        if dtype == INSTANT
    )
