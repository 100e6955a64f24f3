"""The catalog of a lake, opened for reading and kept fresh, and the stored days of its tables.

File access for `market.py`. Imports Polars and the lake only when necessary, so that a command with
one query answers at once.
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
from kis_assets.lake import queries, remedies
from kis_assets.lake.damaged_files import COPIES, damaged, is_copy, is_whole, of_database, rows_in
from kis_assets.security.ownership import Unfit

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
_PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
Give = Callable[["duckdb.DuckDBPyConnection", str, list[object]], T]


class NotStored(LookupError):
    """Requested rows are not stored; the message says which, and how to get them."""


class NotStoredWarning(UserWarning):
    """Some of the requested rows are not stored."""


class SurvivorshipWarning(NotStoredWarning):
    """The listed stocks of a past day are not stored, so stocks delisted since are missing."""


ALONE = "SET autoinstall_known_extensions = false; SET autoload_known_extensions = false"
"""Disables extensions: views of a `market.duckdb` from elsewhere could read other addresses."""


class CatalogReader:
    """`market.duckdb` of one folder, opened at the first query and again after a run replaced it.

    Thread-safe. In a replay, `replay_at` is the instant that `dataset_condition` uses as now.
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
        """The result of `give` on a query over the published rows, or those stored at an instant.

        The query uses the files directly if `market.duckdb` cannot be read, names missing files or
        damaged larger files, or is of an earlier version and lacks a view.

        Raises:
            NotStored: nothing is stored, or the folder lacks the files of the rows.
            Unfit: a file is damaged; the message has the remedy.
            LakeError: the instant is naive, or necessary versions of that time are pruned.
            duckdb.Error: the query is wrong, or would write a file.
        """
        import duckdb

        def answer(connection: duckdb.DuckDBPyConnection) -> T:
            _refuse_writing(query)
            return give(connection, query, list(params))

        try:
            if as_of is None and (published := self._published(query)) is not None:
                with published as connection:
                    try:
                        return answer(connection)
                    except duckdb.CatalogException as error:
                        # An earlier version made the catalog without this view.
                        if not (name := _missing_view(error)):
                            raise
                        if not (self.folder / "versions").is_dir():
                            file = self.folder / "market.duckdb"
                            raise NotStored(
                                f"{file} has no {name} yet; run: kis-assets run"
                            ) from None
                    except duckdb.Error as error:
                        # In a copy made during a run, catalog and files may not match.
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
        """Whether a larger file may be damaged inside: DuckDB does not name it then."""
        kinds = ("Error", "IOException", "InvalidInputException", "SerializationException")
        return type(error).__name__ in kinds and (self.folder / COPIES).is_dir()

    def _published(self, query: str) -> duckdb.DuckDBPyConnection | None:
        """A connection to what is published; None where that cannot be read, which is told."""
        try:
            with self._lock:
                return self._cursor(query)
        except Unfit as error:
            warn_caller(f"{error}; the rows themselves are read meanwhile")
            return None

    def _cursor(self, query: str) -> duckdb.DuckDBPyConnection:
        import duckdb

        path = self.folder / "market.duckdb"
        try:
            there = path.stat()
        except FileNotFoundError:
            if path.is_symlink():
                raise Unfit(f"{path} is a link to nothing: delete it") from None
            how = remedies.remedies(easiest(needed) for needed in needs_of(query))
            raise NotStored(f"nothing is stored in {self.folder} yet; {how}") from None
        if self._connection is None or self._seen != (there.st_ino, there.st_mtime_ns):
            self._close()
            # Open a copy: a process that has the file open would get the catalog of that time, and
            # another process may hold the file for writing.
            try:
                with tempfile.TemporaryDirectory() as folder:
                    copy = shutil.copy(path, folder)
                    # It holds only views, and an open file can be used after its deletion.
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
        """A connection whose views show the rows stored at an instant, for one query.

        None as instant means the files in the folder now, even if unpublished.
        """
        import duckdb

        from kis_assets.lake.lake import Lake

        if as_of is None and not (self.folder / "versions").is_dir():
            raise NotStored(
                f"{self.folder} has no folder versions, which holds the rows; copy all of it"
            )
        lake = Lake(self.folder, source=self.folder.name)
        with duckdb.connect(":memory:") as connection:
            for statement in lake.views(tables_in(query), as_of):
                connection.execute(statement)
            self._prepare(connection)
            connection.execute("SET VARIABLE replay_at = ?::TIMESTAMPTZ", [self.replay_at])
            yield connection

    def units(self, table: str) -> list[str]:
        """The days or months of a table ever written, oldest first, as ISO text."""
        # Include days in recording, which are not stored as versions yet.
        folders = [self.folder / kind / table for kind in ("versions", "live")]
        found = (path for folder in folders if folder.is_dir() for path in folder.iterdir())
        # A folder without a file is a remnant of a killed process.
        named = {path.name.partition("=")[2] for path in found if "=" in path.name and any_in(path)}
        return sorted(named)

    def close(self) -> None:
        """Close the connection. Existing cursors stay open."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def missing(
    table: str, units: list[str], first: date | None, last: date | None
) -> list[tuple[str, str]]:
    """The spans of days or months from `first` to `last` that are not in `units`.

    Without a first day none is missing, since the start of the table is unknown; without a last day
    the newest unit is the end.
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
    """These spans in words."""
    shown = [first if first == last else f"{first} to {last}" for first, last in absent[:3]]
    more = f" and {len(absent) - 3} more spans" if len(absent) > 3 else ""
    return ", ".join(shown) + more


def _refuse_writing(query: str) -> None:
    """Refuse queries that write other files: DuckDB allows these on a read-only database.

    No setting of DuckDB forbids only writing: without file access it cannot read either.
    """
    import duckdb

    for statement in duckdb.extract_statements(query):
        words = _words(statement.query)
        first = words[0] if words else ""
        writes = {"COPY", "EXPORT"}.intersection(words)
        if first not in ("COPY", "EXPORT", "EXPLAIN", "PREPARE"):
            writes.clear()  # it may be the name of a column
        if first == "ATTACH" and ("READ_ONLY" not in words or "FALSE" in words):
            writes.add(first)  # a missing database would be created
        if writes:
            raise duckdb.PermissionException(
                f"{writes.pop()} writes a file, but only reading is allowed: use SELECT, "
                "or attach a database with (READ_ONLY)"
            )


def _words(statement: str) -> list[str]:
    """The key words and names of a statement in upper case, without texts and comments."""
    import duckdb

    # Token positions are counted in bytes.
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


def warn_caller(text: str, category: type[Warning] = NotStoredWarning) -> None:
    """Warn with the location of the caller of this package, at any depth."""
    depth, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(text, category, stacklevel=depth)


def _missing_view(error: Exception) -> str:
    """The table or view that a catalog lacks, from DuckDB's message; empty if it is not ours."""
    from kis_assets.lake.views import VIEWS
    from kis_assets.tables import TABLES

    found = re.search(r"with name (\w+) does not exist", str(error))
    return found[1] if found and found[1] in VIEWS.keys() | TABLES.keys() else ""


def needs_of(query: str) -> list[set[str]]:
    """For each table and view of a query the tables of which one at least must have rows."""
    from kis_assets.lake.views import VIEWS
    from kis_assets.tables import TABLES

    words = set(re.findall(r"\w+", query))
    found = [{name} for name in sorted(words & TABLES.keys())]
    for name in sorted(words & VIEWS.keys()):
        main, _ = queries.MADE_OF.get(name, ("", ""))
        found.append({main} if main else set(VIEWS[name].tables))
    return found


def easiest(needed: set[str]) -> str:
    """Of several tables that serve as well the one that a run makes without being told."""
    from kis_assets.tables import TABLES

    return min(needed, key=lambda name: (not TABLES[name].is_default, name))


def tables_in(query: str) -> set[str]:
    """The tables that a query reads, directly or through views."""
    from kis_assets.lake.views import VIEWS
    from kis_assets.tables import TABLES

    words = set(re.findall(r"\w+", query))
    of_views = (view.tables for name, view in VIEWS.items() if name in words)
    return (words & TABLES.keys()).union(*of_views)
