"""The shared state of the processes of one account: small values by key, changed atomically.

Here the values lie in a local SQLite file; module `redis` has them on a Redis server. Neither
module interprets values: quota, breaker and token define their rules once, for both.

The file can be deleted at any time. It is created again, and a process that has the old file open
notices this and opens the new one.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from kis_assets.errors import ServiceUnavailable
from kis_assets.security.ownership import disk_trouble, explained, private_file, private_folder

T = TypeVar("T")

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)

Change = Callable[[bytes | None, float], tuple[bytes | None, T]]
"""Computes a new value and a result from the current value (None if there is none) and the time. It
may be called again if another process was faster. A new value of None changes nothing.
"""


class State(Protocol):
    """Values that processes share. Thread-safe."""

    origin: str
    """Names the server that holds the values while `update` computes a change: another one may lack
    the newest of them. Empty for a file."""

    def update(self, key: str, change: Change[T], clock: Callable[[], float]) -> T:
        """Change the value of a key; no other process can write between reading and writing.

        `clock` gives the time if the store has no clock of its own.

        Raises:
            ServiceUnavailable: the store cannot be used.
        """
        ...

    def close(self) -> None:
        """Close the store; the next update opens it again."""
        ...


class SqliteFile:
    """One SQLite file, mode 0600, opened once per process and used under a lock.

    It is not synced to disk: losing the shared state loses no data.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._schema = schema
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int, int] | None = None

    @contextmanager
    def transaction(self, *, reads: bool = False) -> Generator[sqlite3.Connection]:
        """A connection inside a transaction; it blocks writes of other processes unless `reads`.

        Raises:
            ServiceUnavailable: the file cannot be used (disk full, no permission).
        """
        with self._lock:
            try:
                connection = self._begin("BEGIN" if reads else "BEGIN IMMEDIATE")
            except (sqlite3.Error, OSError) as error:
                raise self._unusable(error) from error
            try:
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back(connection)
                if isinstance(error, sqlite3.OperationalError):
                    self.close()  # if damage took its table, the next opening makes it anew
                else:
                    self._remove()
                raise self._unusable(error) from error
            except BaseException:
                self._roll_back(connection)
                raise

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            connection.rollback()
        except sqlite3.Error:
            self.close()

    def _begin(self, begin: str) -> sqlite3.Connection:
        for _ in range(3):
            try:
                connection = self._open()
                connection.execute(begin)
                return connection
            except sqlite3.OperationalError:
                self.close()
                raise
            except sqlite3.DatabaseError:  # not a database, or a malformed one
                self._remove()
        raise sqlite3.DatabaseError("still malformed after it was made anew")

    def _remove(self) -> None:
        self.close()
        for path in (self.path, *self._companions()):
            path.unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        # A forked child must not use its parent's connection, nor a process a file that another one
        # has deleted and created again: either would split the shared state.
        if self._connection is not None and self._identity == self._on_disk():
            return self._connection
        self.close()
        private_folder(self.path.parent)
        for path in (self.path, *self._companions()):
            private_file(path)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=30, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            connection.executescript(self._schema)
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
        said = f"the file that processes share, {self.path}, cannot be used"
        if isinstance(error, OSError):
            return ServiceUnavailable(f"{said}: {explained(error, self.path.parent)}")
        advice = disk_trouble(self.path) or "free the disk or delete the file"
        return ServiceUnavailable(f"{said}: {error}; {advice}")


class SharedState:
    """The values in `shared.sqlite`; losing them costs at most the last second of the quota."""

    origin = ""

    def __init__(self, folder: Path) -> None:
        self._file = SqliteFile(
            folder / "shared.sqlite",
            "CREATE TABLE IF NOT EXISTS cell (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
        )
        self.path = self._file.path

    def update(self, key: str, change: Change[T], clock: Callable[[], float]) -> T:
        """See `State.update`."""
        try:
            return self._updated(key, change, clock)
        except ServiceUnavailable:
            # Somebody has just deleted or damaged the file. It is closed now; create it again.
            return self._updated(key, change, clock)

    def _updated(self, key: str, change: Change[T], clock: Callable[[], float]) -> T:
        with self._file.transaction() as db:
            row = db.execute("SELECT value FROM cell WHERE key = ?", (key,)).fetchone()
            value, result = change(row[0] if row else None, clock())
            if value is not None:
                db.execute("REPLACE INTO cell VALUES (?, ?)", (key, value))
            return result

    def close(self) -> None:
        """See `State.close`."""
        self._file.close()
