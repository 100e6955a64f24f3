"""Larger files of several closed units of a table, from which views read faster.

A file costs a reader about a millisecond before its first row. So the months of a past year are
also stored in one file of the year, and the days of a past month in one file of the month. Versions
do not change: only they are authoritative, and they are written, read `as_of` an instant and pruned
as before. The larger file is a copy, named after the versions that it holds. When one of them is
replaced, the views read the small files again until the next compaction.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from itertools import groupby

import duckdb

from kis_assets.lake import row_files
from kis_assets.lake.catalog import Listed
from kis_assets.lake.damaged_files import COPIES, is_whole
from kis_assets.lake.notes import digest
from kis_assets.lake.versions import Versions, sync
from kis_assets.tables import Table

_LARGER = {"day": ("month", len("2026-03")), "month": ("year", len("2026"))}
"""The larger unit of each unit, and the length of the date that names it."""

READ_FOR = 24 * 3600.0
"""Seconds until a replaced file is deleted: a reader may have an older catalog."""

_ROWS = {"month": 122_880, "year": 20_480}
"""Rows of a row group, by the larger unit. A query for one stock reads whole row groups. For a year
of days a row group has about 80 stocks, and a read takes half the time of 122,880 rows. A month of
minutes would get a thousand row groups, whose statistics cost more than they save."""

# The limit for sorting; DuckDB writes the rest to the disk.
_LIMITS = "SET threads = 1; SET memory_limit = '128MB'"


class Compaction:
    """The larger files of a lake, shared by all processes. Paths are relative to its folder."""

    def __init__(self, versions: Versions) -> None:
        self._folder = versions.folder
        self._versions = versions

    def instead(self, table: Table, files: Collection[Listed]) -> list[Listed]:
        """The newest versions of a table, with larger files in place of the versions in them."""
        if table.unit == "year" or not (self._folder / COPIES / table.name).is_dir():
            return list(files)
        found: list[Listed] = []
        for larger, several in _groups(table, files):
            found += [(larger, True)] if is_whole(self._folder / larger) else several
        return found

    def missing(
        self, table: Table, files: Iterable[Listed], today: date
    ) -> dict[str, list[Listed]]:
        """The larger files of closed units that are missing or damaged, and the files of each.

        No larger file is made of a single file, of damaged files, or of files with other columns.
        """
        return {
            larger: several
            for larger, several in _groups(table, files)
            if (since := _date_of(larger)) < str(today)[: len(since)]
            and len(several) > 1
            and not is_whole(self._folder / larger)
            and all(is_current and is_whole(self._folder / path) for path, is_current in several)
        }

    def make(self, larger: str, query: str) -> None:
        """Write the rows of a query, in its order, to a larger file.

        Raises:
            duckdb.Error: the disk is full, or a file cannot be read.
        """
        temporary = self._versions.temporary(COPIES, ".parquet")
        spilled = self._folder / ".tmp" / "spilled"
        target = self._folder / larger
        kind = target.parent.name.partition("=")[0]
        try:
            with duckdb.connect() as connection:
                connection.execute(_LIMITS)
                connection.execute(f"SET temp_directory = '{spilled}'")
                connection.execute(
                    f"COPY ({query}) TO '{temporary}' "
                    f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROWS[kind]})"
                )
            sync(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(target)
            sync(target.parent)
        finally:
            temporary.unlink(missing_ok=True)
            shutil.rmtree(spilled, ignore_errors=True)

    def sweep(self, wanted: Collection[str]) -> int:
        """Delete unneeded larger files, a day after their folder changed; return how many."""
        doomed = [
            path
            for path in (self._folder / COPIES).glob("*/*/*.parquet")
            if str(path.relative_to(self._folder)) not in wanted
            and time.time() - path.parent.stat().st_mtime > READ_FOR
        ]
        for path in doomed:
            path.unlink(missing_ok=True)
        return len(doomed)


def _groups(table: Table, files: Iterable[Listed]) -> Iterator[tuple[str, list[Listed]]]:
    """Each possible larger file of a table, and the files that it holds."""
    if table.unit == "year":  # large enough as it is
        return
    kind, letters = _LARGER[table.unit]
    for since, group in groupby(files, lambda listed: _date_of(listed[0])[:letters]):
        several = list(group)
        mark = digest([path for path, _ in several])
        yield f"{COPIES}/{table.name}/{kind}={since}/{mark}{row_files.ending(table)}", several


def _date_of(path: str) -> str:
    return path.rsplit("/", 2)[1].partition("=")[2]
