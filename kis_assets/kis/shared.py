"""What the processes of one account share: a local SQLite file. What is in it belongs to others.

The file can be deleted at any time: it is made anew, and a process that still holds the old one
notices and moves over.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from kis_assets.kis.errors import ServiceUnavailable

SCHEMA = """
CREATE TABLE IF NOT EXISTS slot (
    quota TEXT, seq INTEGER, due REAL, owner TEXT, live INTEGER,
    sent REAL, usual REAL, late REAL, PRIMARY KEY (quota, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pace (
    quota TEXT PRIMARY KEY, extra REAL, refused_at REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS breaker (
    name TEXT PRIMARY KEY, failures INTEGER, opened_at REAL,
    probe TEXT, probe_until REAL) WITHOUT ROWID;
"""


class SharedState:
    """One SQLite file, mode 0600, opened once a process and used under a lock.

    Losing it costs no data: at worst a second of the quota's memory. So it is not synced to disk.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "shared.sqlite"
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int, int] | None = None

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """A connection inside a transaction that no other process's can overlap.

        Raises:
            ServiceUnavailable: the file cannot be written (disk full, no permission).
        """
        with self._lock:
            try:
                connection = self._begin()
            except (sqlite3.Error, OSError) as error:
                raise self._unusable(error) from error
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            try:
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                connection.rollback()
                raise self._unusable(error) from error

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _begin(self) -> sqlite3.Connection:
        for _ in range(3):
            try:
                connection = self._open()
                connection.execute("BEGIN IMMEDIATE")
                return connection
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:  # not a database, or a malformed one
                self.close()
                for path in (self.path, *self._companions()):
                    path.unlink(missing_ok=True)
        raise sqlite3.DatabaseError("still malformed after it was made anew")

    def _open(self) -> sqlite3.Connection:
        # A forked child must not use its parent's connection, and a file that was deleted and
        # made anew by another process is another file: both would split the account in two.
        if self._connection is not None and self._identity == self._on_disk():
            return self._connection
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=30, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            connection.executescript(SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection
        self._identity = self._on_disk()
        return connection

    def _on_disk(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return (os.getpid(), found.st_dev, found.st_ino)

    def _companions(self) -> list[Path]:
        return [self.path.with_name(self.path.name + end) for end in ("-wal", "-shm")]

    def _unusable(self, error: Exception) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"the file that processes share, {self.path}, cannot be used: {error}; "
            "free the disk or delete the file"
        )
