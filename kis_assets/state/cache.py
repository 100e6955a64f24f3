"""A cache that all processes share: values by key, in a local SQLite file or on Redis.

The cache does not interpret values. `get` does not return an expired value, but the value stays for
some days: an old value may be better than none. Losing the cache costs requests only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from kis_assets.state.sqlite import SqliteFile

KEEP = 7 * 86_400.0
"""Seconds for which a value stays after it has expired."""
LARGEST = 512 * 2**20
"""Bytes above which the SQLite file drops its oldest values. On Redis, `maxmemory` decides."""
LONGEST_CLAIM = 3600.0
"""The longest time of a claim in seconds."""
SWEEP = 500
"""How many values a process writes between two sweeps."""


class Old(NamedTuple):
    """A value of any age, and its age in seconds."""

    value: bytes
    age: float


class Statistics(NamedTuple):
    """Hits and misses of all processes, and the size of the cache."""

    hits: int
    misses: int
    entries: int
    bytes: int


class Store(Protocol):
    """The interface of the cache. Raises ServiceUnavailable if it cannot be used. Thread-safe."""

    def get(self, key: str) -> bytes | None:
        """The value, if it has not expired."""
        ...

    def get_stale(self, key: str) -> Old | None:
        """The value, even if it has expired."""
        ...

    def set(self, values: Mapping[str, bytes], ttl: float) -> None:
        """Store values by their keys; they expire after `ttl` seconds."""
        ...

    def delete_match(self, pattern: str) -> int:
        """Delete the values whose keys match, such as `stock:*:price`; return how many."""
        ...

    def claim(self, keys: Collection[str], owner: str, seconds: float) -> list[str]:
        """Claim the right to fetch values; return the keys that nobody else has claimed."""
        ...

    def release(self, keys: Collection[str], owner: str) -> None:
        """Give claims back."""
        ...

    def count(self, hits: int, misses: int) -> None:
        """Add to the counts of hits and misses."""
        ...

    def statistics(self) -> Statistics:
        """See `Statistics`."""
        ...

    def close(self) -> None:
        """Close the store; the next call opens it again."""
        ...


_SCHEMA = """
PRAGMA auto_vacuum = INCREMENTAL;
CREATE TABLE IF NOT EXISTS kept (
    key TEXT PRIMARY KEY, value BLOB, stored_at REAL, expires_at REAL);
CREATE INDEX IF NOT EXISTS kept_stored_at ON kept (stored_at);
CREATE TABLE IF NOT EXISTS claim (key TEXT PRIMARY KEY, owner TEXT, until REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counted (name TEXT PRIMARY KEY, count INTEGER) WITHOUT ROWID;
"""


class SqliteStore:
    """Values in one SQLite file of mode 0600; a `namespace` keeps settings apart."""

    def __init__(
        self,
        path: Path,
        namespace: str = "",
        *,
        largest: int = LARGEST,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = SqliteFile(path, _SCHEMA)
        self._namespace = namespace
        self._largest = largest
        self._clock = clock
        self._written = 0

    def get(self, key: str) -> bytes | None:
        """See `Store.get`."""
        now = self._clock()
        with self._file.transaction(reads=True) as db:
            row = db.execute(
                "SELECT value FROM kept WHERE key = ? AND stored_at <= ? AND expires_at > ?",
                (self._namespace + key, now, now),
            ).fetchone()
        return row[0] if row else None

    def get_stale(self, key: str) -> Old | None:
        """See `Store.get_stale`."""
        with self._file.transaction(reads=True) as db:
            row = db.execute(
                "SELECT value, stored_at FROM kept WHERE key = ?", (self._namespace + key,)
            ).fetchone()
        return Old(row[0], max(0.0, self._clock() - row[1])) if row else None

    def set(self, values: Mapping[str, bytes], ttl: float) -> None:
        """See `Store.set`."""
        if ttl <= 0 or not values:
            return
        now = self._clock()
        with self._file.transaction() as db:
            db.executemany(
                "REPLACE INTO kept VALUES (?, ?, ?, ?)",
                [(self._namespace + key, value, now, now + ttl) for key, value in values.items()],
            )
        self._written += len(values)
        if self._written >= SWEEP:
            self._written = 0
            self.sweep()

    def sweep(self) -> None:
        """Delete long expired values, then the oldest ones until the file is small enough."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM kept WHERE expires_at < ?", (self._clock() - KEEP,))
            db.execute("DELETE FROM claim WHERE until < ?", (self._clock() - KEEP,))
            while _used(db) > self._largest:
                (entries,) = db.execute("SELECT count(*) FROM kept").fetchone()
                if not entries:
                    break
                db.execute(
                    "DELETE FROM kept WHERE key IN "
                    "(SELECT key FROM kept ORDER BY stored_at LIMIT ?)",
                    (entries // 10 + 1,),
                )
            db.execute("PRAGMA incremental_vacuum").fetchall()

    def delete_match(self, pattern: str) -> int:
        """See `Store.delete_match`."""
        whole = self._namespace + pattern
        # The index finds candidates by the fixed beginning of the pattern.
        begins = whole.split("*", 1)[0]
        with self._file.transaction() as db:
            return db.execute(
                "DELETE FROM kept WHERE key >= ? AND key < ? AND key GLOB ?",
                (begins, begins + "\U0010ffff", whole),
            ).rowcount

    def claim(self, keys: Collection[str], owner: str, seconds: float) -> list[str]:
        """See `Store.claim`."""
        now = self._clock()
        with self._file.transaction() as db:
            # A claim that ends too late was made before the clock was set back.
            taken = {
                key
                for key in keys
                if db.execute(
                    "SELECT 1 FROM claim WHERE key = ? AND until > ? AND until <= ?",
                    (self._namespace + key, now, now + LONGEST_CLAIM),
                ).fetchone()
            }
            mine = [key for key in keys if key not in taken]
            db.executemany(
                "REPLACE INTO claim VALUES (?, ?, ?)",
                [(self._namespace + key, owner, now + min(seconds, LONGEST_CLAIM)) for key in mine],
            )
        return mine

    def release(self, keys: Collection[str], owner: str) -> None:
        """See `Store.release`."""
        with self._file.transaction() as db:
            db.executemany(
                "DELETE FROM claim WHERE key = ? AND owner = ?",
                [(self._namespace + key, owner) for key in keys],
            )

    def count(self, hits: int, misses: int) -> None:
        """See `Store.count`."""
        with self._file.transaction() as db:
            db.executemany(
                "INSERT INTO counted VALUES (?1, ?2) "
                "ON CONFLICT (name) DO UPDATE SET count = count + ?2",
                [("hits", hits), ("misses", misses)],
            )

    def statistics(self) -> Statistics:
        """See `Statistics`."""
        with self._file.transaction(reads=True) as db:
            counted = dict(db.execute("SELECT name, count FROM counted").fetchall())
            entries, size = db.execute(
                "SELECT count(*), ifnull(sum(length(value)), 0) FROM kept"
            ).fetchone()
        return Statistics(counted.get("hits", 0), counted.get("misses", 0), entries, size)

    def close(self) -> None:
        """See `Store.close`."""
        self._file.close()


def _used(db: Any) -> int:
    """Bytes in use in the file of a connection."""
    (size,), (pages,), (free,) = (
        db.execute(f"PRAGMA {name}").fetchone()
        for name in ("page_size", "page_count", "freelist_count")
    )
    return size * (pages - free)
