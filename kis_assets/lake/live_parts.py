"""Rows of days that are not over: small files, which the views read until the day is stored.

A day that is being recorded lies in `live/<table>/trading_day=<day>/`, a file for each stretch of
it. When the day is stored as any other, the views leave them; a day later they are deleted.
"""

from __future__ import annotations

import re
import shutil
import time
from contextlib import AbstractContextManager
from datetime import date

import polars as pl

from kis_assets.lake import row_files
from kis_assets.lake.versions import Versions, sync
from kis_assets.tables import TABLES, Table

PLACE = "live"
READ_FOR = 24 * 3600.0
"""Seconds for which files of a day that is stored stay: a reader may have an older catalog."""

_EMPTY = "0-0.parquet"
_PART = re.compile(r"(\d+)-(\d+)\.parquet")
_DAY = re.compile(r"trading_day=\d{4}-\d\d-\d\d")


class LiveParts:
    """The files of one day of one table. One process writes them."""

    def __init__(self, versions: Versions, table: Table, day: date) -> None:
        self._versions = versions
        self._table = table
        self._folder = versions.folder / PLACE / table.name / f"trading_day={day}"

    def lock(self) -> AbstractContextManager[None]:
        """Held by who adds rows, among all processes."""
        return self._versions.lock(PLACE)

    def begin(self) -> None:
        """Be there, without a row: a view that found no file would fail."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / _EMPTY).exists():
            self._put(_EMPTY, self._table.empty())

    def add(self, first: int, last: int, rows: pl.DataFrame) -> None:
        """Add the rows of a stretch, known by its first and last number."""
        self._put(f"{first}-{last}.parquet", rows)

    def scan(self) -> pl.LazyFrame:
        """All rows, in no order."""
        return row_files.scan(self._table, sorted(self._folder.glob("*.parquet")))

    def last(self) -> int:
        """The last number that a file holds; 0 without any."""
        found = (_PART.fullmatch(path.name) for path in self._folder.glob("*.parquet"))
        return max((int(it[2]) for it in found if it), default=0)

    def _put(self, name: str, rows: pl.DataFrame) -> None:
        temporary = self._versions.temporary(PLACE, ".parquet")
        try:
            row_files.write(self._table, rows, temporary)
            sync(temporary)
            temporary.replace(self._folder / name)
        finally:
            temporary.unlink(missing_ok=True)


def patterns(versions: Versions, table: str) -> list[str]:
    """What the views read of a table's days that are not stored yet, relative to the lake."""
    folder = versions.folder / PLACE / table
    stored = set(versions.units(table))
    found = (path.name for path in folder.glob("trading_day=*") if _DAY.fullmatch(path.name))
    return [f"{PLACE}/{table}/{day}/*.parquet" for day in sorted(found) if day not in stored]


def sweep(versions: Versions) -> None:
    """Delete the files of days that have been stored for a day."""
    for table in TABLES:
        for unit in versions.units(table):
            folder = versions.folder / PLACE / table / unit
            newest = versions.newest(table, unit)
            if newest and folder.is_dir() and time.time() - newest.stat().st_mtime > READ_FOR:
                shutil.rmtree(folder, ignore_errors=True)
