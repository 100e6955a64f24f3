"""The folder of a source as analysts have it: what is stored there, and in which files.

What `StoredRows` stands on. A file is never changed, so its list is the state of one moment for any
engine. A pattern over `parquet/` is not: see docs/decisions/0015.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kis_assets.exchange.days import When, span
from kis_assets.exchange.venues import mark_of
from kis_assets.lake import remedies
from kis_assets.lake.origin import say_once, source_of
from kis_assets.lake.queries import At
from kis_assets.lake.reader import CatalogReader, NotStored, missing, spans, warn_caller

if TYPE_CHECKING:
    from datetime import datetime

    from polars import LazyFrame

    from kis_assets.lake.lake import Lake
    from kis_assets.tables import Table


class StoredFiles:
    """The files of one folder. Thread-safe; nothing is opened before the first question."""

    def __init__(self, folder: Path, replay_at: datetime | None) -> None:
        self._catalog = CatalogReader(folder, replay_at)

    def __repr__(self) -> str:
        mark = self.source and mark_of(self.source)
        return f"{type(self).__name__}({str(self.folder)!r})" + (f" - {mark}" if mark else "")

    @cached_property
    def source(self) -> str:
        """Where the rows come from, as in their column `source`; empty where nobody knows."""
        return source_of(self._catalog)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._catalog.folder

    def units(self, table: str) -> list[str]:
        """The days, months or years of a table that are stored, oldest first, as ISO text."""
        return self._catalog.units(table)

    def files(
        self, table: str, start: When = None, end: When = None, as_of: At = None
    ) -> list[str]:
        """The Parquet files of a table's current rows, for any engine; days leave out the others.

        None of them ever changes, and each stays for `KIS_LAKE_KEEP_DAYS`, whatever is stored. Two
        tables with the same `as_of` are of the same moment.

        Raises:
            NotStored: there is none.
            ValueError: there is no such table.
            LakeError: what was stored at `as_of` is not kept any more.
        """
        lake, of, wanted = self._wanted(table, start, end, as_of)
        return [str(path) for path in lake.files(of, **wanted)]

    def scan(self, table: str, start: When = None, end: When = None, as_of: At = None) -> LazyFrame:
        """The rows of `files` and of these days, in today's columns, for a plan of Polars."""
        lake, of, wanted = self._wanted(table, start, end, as_of)
        return lake.scan(of, **wanted)

    def _wanted(
        self, name: str, start: When, end: When, as_of: At
    ) -> tuple[Lake, Table, dict[str, Any]]:
        from kis_assets.lake.lake import Lake
        from kis_assets.tables import TABLES

        if name not in TABLES:
            raise ValueError(f"{name!r} is not a table; there are {', '.join(TABLES)}")
        first, last = span(start, end)
        lake = Lake(self.folder, source=self.folder.name)
        wanted: dict[str, Any] = {"as_of": as_of, "first": first, "last": last}
        self._say_mark()
        with self.needing(name, first, last):
            absent = missing(name, self.units(name), first, last)
            warn_absent(name, absent, is_all=not lake.files(TABLES[name], **wanted))
        return lake, TABLES[name], wanted

    @contextmanager
    def needing(self, table: str, first: When = None, last: When = None) -> Generator[None]:
        """Name what fetches this very table, where nothing at all is stored."""
        try:
            yield
        except NotStored:
            if (self.folder / "market.duckdb").exists():
                raise
            absent = missing(table, [], *span(first, last))
            how = remedies.remedy(table, absent)
            raise NotStored(f"nothing is stored in {self.folder} yet; {how}") from None

    def _say_mark(self) -> None:
        """Say once where the rows are invented."""
        if mark := mark_of(self.source) if self.source else "":
            say_once(mark, self.folder)


def warn_absent(table: str, absent: list[tuple[str, str]], *, is_all: bool) -> None:
    """Say which spans of a table are not stored and what fetches them; `is_all` that was asked for.

    Raises:
        NotStored: all of it.
    """
    what = f" of {spans(absent)}" if absent else " at all"
    if is_all:
        raise NotStored(f"no {table}{what} are stored yet; {remedies.remedy(table, absent)}")
    if absent:
        warn_caller(f"no {table}{what} are stored; {remedies.remedy(table, absent)}")
