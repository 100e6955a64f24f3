"""The catalog of a lake, opened for reading and kept fresh, and which of its days are there.

What `market.py` needs of files. Imports neither Polars nor the lake until it must: a command that
asks one question has to answer at once.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kis_assets.exchange import calendar
from kis_assets.lake.damaged_files import COPIES, damaged, is_copy, is_whole, of_database, rows_in
from kis_assets.security.ownership import Unfit

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
_PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
Give = Callable[["duckdb.DuckDBPyConnection", str, list[object]], T]


class NotStored(LookupError):
    """What was asked is not stored; the message says what, and how to get it."""


class NotStoredWarning(UserWarning):
    """A part of what was asked is not stored."""


class SurvivorshipWarning(NotStoredWarning):
    """Which stocks were listed on a past day is not stored: those that are gone are missing."""


ALONE = "SET autoinstall_known_extensions = false; SET autoload_known_extensions = false"
"""A `market.duckdb` may come from elsewhere, and a view in it could read a file and an address."""


class CatalogReader:
    """`market.duckdb` of one folder, opened when asked and again when a run has replaced it.

    Thread-safe. `replay_at` is the instant that `dataset_condition` takes for now, in a replay.
    """

    def __init__(self, folder: Path, replay_at: datetime | None = None) -> None:
        self.folder = folder
        self.replay_at = replay_at
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._seen: tuple[int, int] | None = None

    def ask(
        self, query: str, params: Sequence[object], give: Give[T], as_of: datetime | None = None
    ) -> T:
        """What `give` makes of a query, asked of what is published, or was stored at an instant.

        Where `market.duckdb` cannot be read, names files that are gone or larger ones that are
        damaged, or is of an earlier version and lacks a view, the files that lie there are asked.

        Raises:
            NotStored: nothing is stored, or the folder lacks the files of the rows.
            Unfit: a file is damaged; it says what to do.
            LakeError: the instant is naive, or versions of that time that it needs are pruned.
            duckdb.Error: the query is wrong, or would write a file.
        """
        import duckdb

        def answer(connection: duckdb.DuckDBPyConnection) -> T:
            _refuse_writing(query)
            return give(connection, query, list(params))

        try:
            if as_of is None and (published := self._published()) is not None:
                with published as connection:
                    try:
                        return answer(connection)
                    except duckdb.CatalogException as error:
                        # A run of an earlier version made the catalog, without this view.
                        if not (name := _ours(error)):
                            raise
                        if not (self.folder / "versions").is_dir():
                            file = self.folder / "market.duckdb"
                            raise NotStored(
                                f"{file} has no {name} yet; run: kis-assets run"
                            ) from None
                    except duckdb.Error as error:
                        # A copy that was made while a run wrote has another catalog than files.
                        path = rows_in(error, self.folder)
                        if path is None and not self._may_be_damaged(error):
                            raise
                        if path and path.exists() and not is_copy(path, self.folder):
                            raise
            with self._at(as_of, query) as connection:
                return answer(connection)
        except duckdb.Error as error:
            path = rows_in(error, self.folder)
            if path is None or is_whole(path):
                raise
            raise Unfit(damaged(path)) from error

    def _may_be_damaged(self, error: Exception) -> bool:
        """Whether a larger file may be damaged inside, of which DuckDB does not say the name."""
        kinds = ("Error", "IOException", "InvalidInputException", "SerializationException")
        return type(error).__name__ in kinds and (self.folder / COPIES).is_dir()

    def _published(self) -> duckdb.DuckDBPyConnection | None:
        """A connection to what is published; None where that cannot be read, which is told."""
        try:
            with self._lock:
                return self._cursor()
        except Unfit as error:
            tell(f"{error}; the rows themselves are read meanwhile")
            return None

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        path = self.folder / "market.duckdb"
        try:
            there = path.stat()
        except FileNotFoundError:
            if path.is_symlink():
                raise Unfit(f"{path} is a link to nothing: delete it") from None
            raise NotStored(
                f"nothing is stored in {self.folder} yet; run: kis-assets run"
            ) from None
        if self._connection is None or self._seen != (there.st_ino, there.st_mtime_ns):
            self._close()
            # A copy, because DuckDB gives a process that has the file open the catalog of that
            # time, and because somebody may hold the file for writing.
            try:
                with tempfile.TemporaryDirectory() as folder:
                    copy = shutil.copy(path, folder)
                    # Views alone are in it, and open files outlive their names.
                    self._connection = duckdb.connect(copy, read_only=True)
                    self._prepare(self._connection)
            except (OSError, duckdb.IOException) as error:
                raise of_database(path, error) from None
            self._seen = (there.st_ino, there.st_mtime_ns)
        cursor = self._connection.cursor()
        cursor.execute("SET VARIABLE replay_at = ?::TIMESTAMPTZ", [self.replay_at])
        cursor.execute("SET VARIABLE kis_assets_folder = ?", [str(self.folder)])
        return cursor

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Set what holds as long as the connection is open."""
        connection.execute(ALONE)
        # No file changes under its name: what stands at its end is read once.
        connection.execute("SET parquet_metadata_cache = true")

    @contextmanager
    def _at(self, as_of: datetime | None, query: str) -> Generator[duckdb.DuckDBPyConnection]:
        """A connection whose views show what was stored at an instant, for one query.

        None for the instant means what lies in the folder now, whatever is published.
        """
        import duckdb

        from kis_assets.lake.lake import Lake

        if as_of is None and not (self.folder / "versions").is_dir():
            raise NotStored(
                f"{self.folder} has no folder versions, which holds the rows; copy all of it"
            )
        lake = Lake(self.folder, source=self.folder.name)
        with duckdb.connect(":memory:") as connection:
            for statement in lake.views(_tables_in(query), as_of):
                connection.execute(statement)
            self._prepare(connection)
            connection.execute("SET VARIABLE replay_at = ?::TIMESTAMPTZ", [self.replay_at])
            yield connection

    def units(self, table: str) -> list[str]:
        """The days or months of a table that were ever written, oldest first, as ISO text."""
        # Days that are being recorded are there too, before they are stored as others are.
        folders = [self.folder / kind / table for kind in ("versions", "live")]
        found = (path for folder in folders if folder.is_dir() for path in folder.iterdir())
        # A folder without a file is what a process left that was killed.
        named = {path.name.partition("=")[2] for path in found if "=" in path.name and any_in(path)}
        return sorted(named)

    def close(self) -> None:
        """Close what is open. Whoever has a cursor of it keeps that."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def missing(
    table: str, units: list[str], first: date | None, last: date | None
) -> list[tuple[str, str]]:
    """The spans of days or months from `first` to `last` that are not among `units`.

    Without a first day none is missing, for nobody can say where the table should begin; without a
    last one the newest unit is the end.
    """
    if first is None:
        return []
    until = min(last or calendar.today(), calendar.today())
    if _is_by_month(table, units):
        days = (first + timedelta(days=number) for number in range((until - first).days + 1))
        wanted = list(dict.fromkeys(f"{day:%Y-%m}" for day in days))
    else:
        wanted = [str(day) for day in calendar.known_trading_days(first, until)]
    if last is None and units:
        wanted = [unit for unit in wanted if unit <= units[-1]]
    found: list[tuple[str, str]] = []
    for is_there, run in groupby(wanted, set(units).__contains__):
        if not is_there:
            several = list(run)
            found.append((several[0], several[-1]))
    return found


def _is_by_month(table: str, units: list[str]) -> bool:
    if units:
        return len(units[0]) == len("2026-03")
    from kis_assets.tables import TABLES

    return TABLES[table].unit == "month"


def spans(absent: list[tuple[str, str]]) -> str:
    """Those spans in words."""
    shown = [first if first == last else f"{first} to {last}" for first, last in absent[:3]]
    more = f" and {len(absent) - 3} more spans" if len(absent) > 3 else ""
    return ", ".join(shown) + more


def _refuse_writing(query: str) -> None:
    """Refuse what DuckDB does though `market.duckdb` is opened for reading: it writes other files.

    No setting of DuckDB's forbids that alone: without access to files it reads none either.
    """
    import duckdb

    for statement in duckdb.extract_statements(query):
        words = _words(statement.query)
        first = words[0] if words else ""
        writes = {"COPY", "EXPORT"}.intersection(words)
        if first not in ("COPY", "EXPORT", "EXPLAIN", "PREPARE"):
            writes.clear()  # a column may be called that
        if first == "ATTACH" and ("READ_ONLY" not in words or "FALSE" in words):
            writes.add(first)  # a database that is not there would be made
        if writes:
            raise duckdb.PermissionException(
                f"{writes.pop()} writes a file, and here is only read: ask for the rows with "
                "SELECT, attach a database with (READ_ONLY)"
            )


def _words(statement: str) -> list[str]:
    """The key words and names of a statement, as upper case; no text, no comments."""
    import duckdb

    # Where a token begins is counted in bytes.
    text = statement.encode()
    tokens = duckdb.tokenize(statement)
    ends = [start for start, _ in tokens[1:]] + [len(text)]
    wanted = (duckdb.token_type.keyword, duckdb.token_type.identifier)
    return [
        text[start:end].decode().strip().upper()
        for (start, kind), end in zip(tokens, ends, strict=True)
        if kind in wanted
    ]


def any_in(folder: Path) -> bool:
    """Whether a folder holds a file of rows."""
    try:
        with os.scandir(folder) as entries:
            return any(it.name.endswith(".parquet") for it in entries)
    except OSError:
        return False


def tell(text: str, category: type[Warning] = NotStoredWarning) -> None:
    """Warn as seen from who called this package, however deep that was."""
    depth, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(text, category, stacklevel=depth)


def _ours(error: Exception) -> str:
    """The table or view of ours that a catalog lacks, by DuckDB's words; else empty."""
    from kis_assets.lake.views import VIEWS
    from kis_assets.tables import TABLES

    found = re.search(r"with name (\w+) does not exist", str(error))
    return found[1] if found and found[1] in VIEWS.keys() | TABLES.keys() else ""


def _tables_in(query: str) -> set[str]:
    """The tables that a query reads, directly or through views."""
    from kis_assets.lake.views import VIEWS
    from kis_assets.tables import TABLES

    words = set(re.findall(r"\w+", query))
    of_views = (view.tables for name, view in VIEWS.items() if name in words)
    return (words & TABLES.keys()).union(*of_views)
