"""Rows of days in recording: small files, which the views read until the day is stored.

A day in recording lies in `live/<table>/trading_day=<day>/`, with a file for each stretch of it.
When the day is stored as a version, the views no longer read these files; a day later they are
deleted.
"""

from __future__ import annotations

import re
import shutil
import time
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path

import polars as pl

from kis_assets.lake import row_files
from kis_assets.lake.damaged_files import LIVE, is_whole
from kis_assets.lake.versions import Versions, sync
from kis_assets.tables import TABLES, Table

PLACE = LIVE
STORING = "storing"
"""The lock of the process that stores a day from these files, or deletes them."""
READ_FOR = 24 * 3600.0
"""Seconds until the files of a stored day are deleted: a reader may have an older catalog."""

JOURNAL_FOR = 7 * READ_FOR
"""Seconds until the journal of a stored day is deleted: the day could be stored again."""

_PART = re.compile(r"(\d+)-(\d+)-([0-9a-f]{6})\.parquet")
_DAY = re.compile(r"trading_day=\d{4}-\d\d-\d\d")


class LiveParts:
    """The files of one day of one table. One process writes them."""

    def __init__(self, versions: Versions, table: Table, day: date) -> None:
        self._versions = versions
        self._table = table
        self._folder = versions.folder / PLACE / table.name / f"trading_day={day}"

    def lock(self) -> AbstractContextManager[None]:
        """The lock, among all processes, of the process that adds rows."""
        return self._versions.lock(PLACE)

    def storing(self) -> AbstractContextManager[None]:
        """The lock of the process that stores a day from these files: none is deleted meanwhile."""
        return self._versions.lock(STORING)

    def begin(self) -> None:
        """Create a file without rows: a view without any file would fail.

        Damaged files are deleted, as are all files after a missing stretch: the journal has their
        rows.
        """
        self._versions.sweep(PLACE)
        self._folder.mkdir(parents=True, exist_ok=True)
        end = 0
        for path, first, last in self._parts():
            if first in (0, end + 1) and is_whole(path):
                end = last
            else:
                path.unlink(missing_ok=True)
        self._put(0, 0, self._table.empty())

    def add(self, first: int, last: int, rows: pl.DataFrame) -> None:
        """Add the rows of a stretch, which its first and last number identify."""
        self._put(first, last, rows)

    def scan(self) -> pl.LazyFrame:
        """All rows, in no order."""
        return row_files.scan(self._table, sorted(self._folder.glob("*.parquet")))

    def rows(self) -> int:
        """The highest sequence number of the rows."""
        if not self._folder.is_dir():
            return 0
        return self.scan().select(pl.col("sequence").max()).collect().item() or 0

    def last(self) -> int:
        """The last number in the files; 0 without files."""
        return max((last for _, _, last in self._parts()), default=0)

    def _parts(self) -> list[tuple[Path, int, int]]:
        found = ((path, _PART.fullmatch(path.name)) for path in self._folder.glob("*.parquet"))
        parts = [(path, int(it[1]), int(it[2])) for path, it in found if it]
        return sorted(parts, key=lambda part: part[1])

    def _put(self, first: int, last: int, rows: pl.DataFrame) -> None:
        target = self._folder / f"{first}-{last}{row_files.ending(self._table)}"
        if target.exists():
            return
        temporary = self._versions.temporary(PLACE, ".parquet")
        try:
            row_files.write(self._table, rows, temporary)
            sync(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def patterns(versions: Versions, table: Table) -> list[tuple[str, bool]]:
    """The files of a table's days in recording, as patterns relative to the lake.

    Each comes with whether it has today's columns of the table.
    """
    found: list[tuple[str, bool]] = []
    of_today = row_files.ending(table)
    for folder in sorted((versions.folder / PLACE / table.name).glob("trading_day=*")):
        if not _DAY.fullmatch(folder.name) or versions.newest(table.name, folder.name):
            continue
        parts = (_PART.fullmatch(path.name) for path in folder.glob("*.parquet"))
        for tag in sorted({part[3] for part in parts if part}):
            ending = f"-{tag}.parquet"
            name = f"{PLACE}/{table.name}/{folder.name}/*{ending}"
            found.append((name, ending == of_today))
    return found


def sweep(versions: Versions) -> None:
    """Delete small files a day, and journals a week, after their day is stored."""
    with versions.lock(STORING):
        _sweep(versions)


def _sweep(versions: Versions) -> None:
    for table in TABLES:
        for unit in versions.units(table):
            folder = versions.folder / PLACE / table / unit
            newest = versions.newest(table, unit)
            if newest and folder.is_dir() and time.time() - newest.stat().st_mtime > READ_FOR:
                shutil.rmtree(folder, ignore_errors=True)
    for journal in (versions.folder / PLACE).glob("*.sqlite*"):
        unit = f"trading_day={journal.name.partition('.')[0]}"
        recorded = [table.name for table in TABLES.values() if table.live == "stream"]
        is_stored = all(versions.newest(name, unit) for name in recorded)
        if is_stored and time.time() - journal.stat().st_mtime > JOURNAL_FOR:
            journal.unlink(missing_ok=True)
