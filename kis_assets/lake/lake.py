"""Immutable Parquet files, and the DuckDB catalog over them. No Dagster, no market knowledge.

This module connects `versions.py` (files), `catalog.py` (views), `validation.py` (which rows may
enter) and `diff.py` (what they change). Writers do not wait for readers: a file is never changed,
and is deleted only long after it was replaced.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl

from kis_assets.exchange import calendar
from kis_assets.lake import adjustment, catalog, row_files, validation
from kis_assets.lake.damaged_files import damaged, error_message, rows_in
from kis_assets.lake.database import Database
from kis_assets.lake.diff import Change, ChangeCounter, compare
from kis_assets.lake.live_parts import LiveParts, sweep
from kis_assets.lake.notes import digest, noted
from kis_assets.lake.scope import (
    LakeError,
    Scope,
    day_of,
    order_of,
    rows_by_day,
    unit_of,
    year_of,
)
from kis_assets.lake.validation import Refused
from kis_assets.lake.versions import Versions, stamped_at
from kis_assets.security.ownership import put, warn
from kis_assets.security.text_input import plain_folder
from kis_assets.tables import ADJUSTMENT_FACTORS, CORPORATE_ACTIONS, DAILY_CANDLES, Table

__all__ = ["Change", "Lake", "LakeError", "Refused", "Scope"]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class _Unchanged(Exception):
    """The rows to write are stored already."""


class Lake:
    """The rows of one source, on one machine, shared by any number of processes.

    Args:
        folder: its folder, e.g. `data/kis`; created at the first write.
        source: the only value the `source` column of its rows may have.
        keep_days: how long a version is kept after it was replaced.
        clock: returns the present instant, aware.
        replay_at: in a replay, the instant that `dataset_condition` uses as now.
        may_write: asked before a new version takes its place; raises LakeError if it must not.

    Raises:
        LakeError: the path of the folder has a character that DuckDB reads as a pattern.
    """

    def __init__(
        self,
        folder: Path,
        *,
        source: str,
        keep_days: int = 30,
        clock: Callable[[], datetime] = _utc_now,
        replay_at: datetime | None = None,
        may_write: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.source = source
        self.keep_days = keep_days
        self.replay_at = replay_at
        self.may_write = may_write
        self._clock = clock
        self._versions = Versions(self.folder, clock, may_write)
        self._database = Database(self._versions)
        try:
            plain_folder(self.folder)
        except ValueError as error:
            raise LakeError(str(error)) from None

    @property
    def database(self) -> Path:
        """The path of `market.duckdb`, which may not exist yet."""
        return self._database.path

    def now(self) -> datetime:
        """The present instant; in a replay, the replayed instant."""
        return self.replay_at or self._clock()

    def replace(
        self, table: Table, scope: Scope, frame: pl.DataFrame, *, publish: bool = True
    ) -> Change:
        """Replace the rows of `scope` by `frame` atomically, and publish.

        Args:
            table: the table, as in `kis_assets.tables`.
            scope: the rows to replace; an empty frame deletes them. No other row is touched.
            frame: exactly the table's columns and types, in any order of columns and rows.
            publish: False if more writes follow; `market.duckdb` shows the rows after the next
                write that publishes, or after `publish`.

        Returns:
            The differences from the earlier rows of the scope. Without any, nothing is written.

        Raises:
            Refused: some rows are impossible; nothing is written.
            LakeError: the scope does not fit the table, or the disk is full or fails.
        """
        unit = scope.unit(table)
        rows = validation.accept(table, scope, self.source, frame)
        with self._failures(table.name), self._versions.lock(table.name):
            self._versions.sweep(table.name)
            change = self._replace(table, unit, scope, rows)
            self._versions.heal(table.name, unit)
        if publish:
            self.publish(only_if_stale=True)
        return change

    def replace_stocks(
        self, table: Table, scope: Scope, pieces: Iterable[pl.DataFrame], *, publish: bool = True
    ) -> Change:
        """Replace a whole storage unit by rows that come one stock at a time; see `replace`.

        Args:
            table: a table with stocks.
            scope: a whole unit.
            pieces: all rows of one stock each, ordered by code. One piece is in memory at a time.
            publish: see `replace`.
        """
        unit = scope.unit(table)
        counter, stocks = ChangeCounter(table), list[str]()
        with self._failures(table.name), self._versions.lock(table.name):
            self._versions.sweep(table.name)
            newest = self._versions.newest(table.name, unit)
            before = row_files.scan(table, [newest] if newest else [])

            def accepted() -> Iterator[pl.DataFrame]:
                for piece in pieces:
                    rows = validation.accept(table, scope, self.source, piece)
                    stocks.append(rows["stock_code"][0])
                    mine = before.filter(pl.col("stock_code") == stocks[-1]).collect()
                    counter.add(mine.sort(order_of(table)), rows)
                    yield rows
                others = before.filter(~pl.col("stock_code").is_in(stocks))
                counter.gone(others.select(pl.len()).collect().item())

            def write(target: Path) -> None:
                row_files.write_pieces(table, accepted(), target)
                if newest is not None and not counter.anything:
                    raise _Unchanged

            path = None
            with suppress(_Unchanged):
                path = self._versions.add(table.name, unit, row_files.tag(table), write)
            self._versions.heal(table.name, unit)
        if publish:
            self.publish(only_if_stale=True)
        return counter.change(unit, path)

    def scan(
        self,
        table: Table,
        *,
        as_of: datetime | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> pl.LazyFrame:
        """The current rows of a table, or the rows known at an earlier instant.

        Args:
            table: the table.
            as_of: the instant whose stored rows are read, aware; None for now.
            first: the first day, by the table's clock in Seoul; None for no bound.
            last: the last day, included.

        Returns:
            The table's columns and types, also when there are no rows. Only files of storage units
            that overlap the days are opened.

        Raises:
            LakeError: `as_of` is naive or before pruned versions, or a file is damaged.
        """
        rows = row_files.scan(table, self.files(table, as_of=as_of, first=first, last=last))
        if first is not None:
            rows = rows.filter(day_of(table) >= first)
        if last is not None:
            rows = rows.filter(day_of(table) <= last)
        return rows

    def files(
        self,
        table: Table,
        *,
        as_of: datetime | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> list[Path]:
        """The files of the storage units that overlap the days; see `scan`.

        None of them ever changes, and each stays for `keep_days` after it was replaced.
        """
        until = None if as_of is None else self._versions.known_until(table.name, as_of)
        low = "" if first is None else unit_of(table, first)
        high = "~" if last is None else unit_of(table, last)
        wanted = [unit for unit in self.units(table) if low <= unit <= high]
        found = [self._versions.newest(table.name, unit, until) for unit in wanted]
        return [path for path in found if path]

    def live_parts(self, table: Table, day: date) -> LiveParts:
        """The files of a day of a table that views read while it is recorded."""
        return LiveParts(self._versions, table, day)

    @contextmanager
    def recording(self, day: date) -> Generator[None]:
        """Hold the right to record a day, which only one process has.

        Raises:
            LakeError: another process records it.
        """
        with ExitStack() as held:
            try:
                held.enter_context(self._versions.lock("recording", seconds=0))
            except LakeError as error:
                raise LakeError(
                    f"another process records {day} in {self.folder}: stop it, or let it follow "
                    "these stocks too"
                ) from error
            yield

    def units(self, table: Table) -> list[str]:
        """The storage units ever written, oldest first, including units that are empty now."""
        return self._versions.units(table.name)

    def version(self, table: Table, unit: str) -> str | None:
        """What names the newest version of a unit; another one means other rows."""
        found = self._versions.newest(table.name, unit)
        return None if found is None else found.name

    def written_at(self, table: Table, day: date) -> list[datetime]:
        """When the kept versions of the unit that holds a day were written, oldest first."""
        return self._versions.written_at(table.name, unit_of(table, day))

    def publish(self, *, only_if_stale: bool = False) -> Path:
        """Repair the stable names and rebuild `market.duckdb` from the stored files.

        Args:
            only_if_stale: trust the names, and keep a catalog over the same versions.

        Raises:
            LakeError: the disk is full or fails; the old catalog stays in place.
        """
        with self._failures(self.database.name):
            if not only_if_stale:
                self._versions.heal_all()
            self._adjust()
            self._database.publish(only_if_stale=only_if_stale)
        return self.database

    def factors(self, year: int, at: datetime | None = None) -> pl.DataFrame:
        """Rows of `adjustment_factors` of a year, computed from the stored rows; dated `at` or now.

        Raises:
            LakeError: a file is damaged.
        """
        scope = Scope.year(year)
        firsts = [date(year - before, month, 1) for before in (1, 0) for month in range(1, 13)]
        months = (
            self.scan(DAILY_CANDLES, first=month.first, last=month.last)
            .select(adjustment.INPUT)
            .collect()
            for month in map(Scope.month, firsts)
        )
        actions = self.scan(CORPORATE_ACTIONS, first=scope.first, last=scope.last).collect()
        rows = adjustment.factors((it for it in months if it.height), actions, scope.first)
        return adjustment.stored(rows, self.source, at or self.now())

    def _adjust(self) -> None:
        """Update `adjustment_factors` to the stored candles and actions.

        One process at a time: otherwise factors of older candles could overwrite newer ones.
        """
        with self._versions.lock("adjusted"):
            self._adjust_alone(self.folder / ".locks" / "adjusted")

    def _adjust_alone(self, note: Path) -> None:
        made_of: dict[int, list[str]] = {}
        for table in (DAILY_CANDLES, CORPORATE_ACTIONS):
            for path in self._versions.every_newest(table.name):
                made_of.setdefault(year_of(path), []).append(path.rpartition("/versions/")[2])
        # The first candle of a year is compared with the last close of the year before.
        marks = {
            str(year): digest([made_of.get(year - 1), files])
            for year, files in sorted(made_of.items())
        }
        known = noted(note)
        for year in [int(year) for year, mark in marks.items() if known.get(year) != mark]:
            try:
                known_at = max(map(stamped_at, made_of[year] + made_of.get(year - 1, [])))
                rows = self.factors(year, known_at)
                self._store_factors(year, rows, made_of[year], known_at)
            except LakeError as error:  # one damaged file must not stop all
                warn(str(error))
                del marks[str(year)]
        if known != marks:
            put(note, json.dumps(marks).encode())

    def _store_factors(
        self, year: int, rows: pl.DataFrame, made_of: list[str], known_at: datetime
    ) -> None:
        """Store a year's factors as known since their input is known, also that of the year before.

        The first version is as old as the first version of its input, before which no factors were
        made.
        """
        table, scope = ADJUSTMENT_FACTORS, Scope.year(year)
        unit = scope.unit(table)
        with self._versions.lock(table.name):
            if self._versions.newest(table.name, unit):
                self._replace(table, unit, scope, rows, known_at)
            else:  # also an empty version: it records that nothing took effect in the year
                units = (path.split("/")[:2] for path in made_of)
                self._add(table, unit, rows, min(self._versions.written_at(*it)[0] for it in units))
            self._versions.heal(table.name, unit)

    def prune(self) -> int:
        """Delete versions that were replaced more than `keep_days` ago.

        Returns:
            How many were deleted.
        """
        count = 0
        with self._failures("versions"):
            # After a crash, an old catalog may name a file that is deleted now.
            self._database.publish(only_if_stale=True)
            for table in self._versions.tables():
                with self._versions.lock(table):
                    count += self._versions.prune(table, timedelta(days=self.keep_days))
        return count

    def maintain(self) -> dict[str, int]:
        """Prune old versions, and compact closed units into larger files.

        Returns:
            How many versions were deleted, and how many larger files were made.

        Raises:
            LakeError: the disk is full or fails, or a file is damaged.
        """
        with self._failures("compacted"):
            made = self._database.compact(self.now().astimezone(calendar.SEOUL).date())
        # Prune afterwards, because it publishes the larger files.
        sweep(self._versions)
        return {"deleted_versions": self.prune(), "larger_files": made}

    def read(self, sql: str, params: Sequence[object] = ()) -> pl.DataFrame:
        """The result of one query through the views of `market.duckdb`; instants are in UTC.

        Unpublished rows are published first, if the folder is writable.

        Raises:
            duckdb.Error: the query is wrong, or changes a table.
            LakeError: the disk is full or fails, or a file is damaged.
        """
        # Read a copy: a process that has the file open would get the views of that time, and an
        # analyst may hold the file for writing.
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / self.database.name
            try:
                self.publish(only_if_stale=True)
                shutil.copyfile(self.database, copy)
            except LakeError as error:
                if not isinstance(error.__cause__, OSError):
                    raise
                catalog.build(copy, self._database.views())
            with duckdb.connect(copy, read_only=True) as connection:
                connection.execute("SET VARIABLE kis_assets_folder = ?", [str(self.folder)])
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute("SET VARIABLE replay_at = ?::TIMESTAMPTZ", [self.replay_at])
                try:
                    return connection.sql(sql, params=list(params)).pl()
                except duckdb.Error as error:
                    if (path := rows_in(error, self.folder)) is None:
                        raise
                    raise LakeError(damaged(path)) from error

    def views(self, tables: Collection[str], as_of: datetime | None) -> list[str]:
        """The SQL of every view of `market.duckdb`, over the rows stored at an instant.

        Args:
            tables: names of the tables to show; the others are empty.
            as_of: the instant, aware; None for now.

        Raises:
            LakeError: `as_of` is naive, or versions of these tables have been pruned since.
        """
        return [view for view, *_ in self._database.views(tables, as_of).values()]

    def _replace(
        self,
        table: Table,
        unit: str,
        scope: Scope,
        rows: pl.DataFrame,
        known_at: datetime | None = None,
    ) -> Change:
        before = row_files.load(table, self._versions.newest(table.name, unit))
        rest = table.empty()
        if not scope.is_whole_unit(table):
            inside = scope.covers(table)
            before, rest = before.filter(inside), before.filter(~inside)
        added, removed, altered, samples = compare(table, before, rows)
        path = None
        if added or removed or altered:
            whole = rows
            if rest.height:
                whole = pl.concat([rest, rows]).sort(order_of(table))
                validation.refuse_shared_keys(table, whole)
            path = self._add(table, unit, whole, known_at)
        days = rows_by_day(
            table, pl.concat([rows.lazy(), rest.lazy().filter(scope.days_of(table))])
        )
        return Change(table.name, unit, rows.height, days, added, removed, altered, samples, path)

    def _add(self, table: Table, unit: str, rows: pl.DataFrame, known_at: datetime | None) -> Path:
        def write(target: Path) -> None:
            row_files.write(table, rows, target)

        return self._versions.add(table.name, unit, row_files.tag(table), write, known_at)

    @contextmanager
    def _failures(self, what: str) -> Generator[None]:
        # Polars reports a full disk as a ComputeError, DuckDB as an error of its own.
        try:
            yield
        except (OSError, pl.exceptions.ComputeError, duckdb.Error) as error:
            why = error_message(error, self.folder)
            raise LakeError(f"{what}: {why}; what was stored before is still there") from error
