"""The class of tables, and its properties. This module reads and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

import polars as pl

from kis_assets.tables.columns import Column

Unit = Literal["day", "month", "year"]


@dataclass(frozen=True)
class Cost:
    """The number of requests to KIS for one partition of a table, including its checks."""

    per_stock: float = 1.0
    days: int = 0
    """Days in one answer, if a backfill can use an answer for several months. 0: it needs one
    request per month."""
    since_after_market: float | None = None
    """Requests per stock since the after-market exists, if that needs more."""
    in_bundles: bool = False
    """Whether the real server answers one request for several stocks."""
    invented: float = 0.004
    """Seconds per stock that the invented market needs."""
    is_compared: bool = False
    """Whether a check requests a hundred of the stocks from a second service."""


@dataclass(frozen=True, eq=False)
class Preview:
    """The columns and rows of a table that its page in Dagster shows."""

    columns: str
    """Column names, separated by spaces."""
    largest: str = ""
    """Rows with the largest values of this column come first. Empty: all rows in stored order."""
    where: pl.Expr | None = None
    """A filter of the rows. None: all rows."""


@dataclass(frozen=True, eq=False)
class Table:
    """A table: its columns and key, its partitions and storage units, and how it is fetched."""

    name: str
    description: str
    clock: str
    """The column whose date decides to which storage unit a row belongs."""
    key: tuple[str, ...]
    partition: Unit
    """The partition that one run of the asset makes."""
    unit: Unit
    columns: tuple[Column, ...] = field(repr=False)
    sources: tuple[str, ...] = ("kis", "krx", "mock")
    """The sources that have it. A table of only one source is fetched from there and stored in the
    folder of that source, whatever source is in use."""
    live: Literal["quotes", "files", "stream"] | None = None
    """The live data that it captures: quotes of the market, the day's master files or the real-time
    feed. A missed day is lost. None: it can be fetched later."""
    final: Literal["when_fetched", "after_hours", "next_morning", "published"] = "when_fetched"
    """When the rows of a day are final: as soon as they are fetched, when the after-market is over,
    on the morning of the next session, or when they are published."""
    published_after: int = 0
    """The rows of a day are published on the morning of this many sessions later. They are not
    stored before."""
    sessions_kept: int = 0
    """How many sessions the source keeps it, including the latest one. 0: for ever."""
    on_virtual: Literal["served", "from_files", "lacking"] = "served"
    """What the virtual server has of it: everything, only what is in the master files, or
    nothing."""
    has_past: bool = False
    """Whether `kis-assets backfill` can fetch it for earlier days."""
    catch_up: str = ""
    """The job with which the sensor `catch_up` makes a missed partition. Empty: none."""
    is_current_only: bool = False
    """Whether the source has only current facts: a partition is fetched once, during its own
    time."""
    may_be_empty: bool = False
    """Whether a partition without rows can be correct."""
    is_default: bool = False
    """Whether `kis-assets run` makes it by default: essential tables that take a minute or two."""
    rows_of: Literal["stocks", "ETFs", "indices", "markets"] = "stocks"
    """What its requests are about."""
    cost: Cost | None = None
    """Its number of requests to KIS. None: almost none."""
    preview: Preview | None = field(default=None, repr=False)
    chart: str = ""
    """The name of its picture in `charts.of_tables`. Empty: it has none."""

    @property
    def schema(self) -> pl.Schema:
        """Column names and Polars types, in the order in which they are stored."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def own_source(self) -> str:
        """The source, if only one has it; empty if several do."""
        return self.sources[0] if len(self.sources) == 1 else ""

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            KeyError: there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name!r}")

    def empty(self) -> pl.DataFrame:
        """A frame without rows, with the right types."""
        return pl.DataFrame(schema=self.schema)

    def partition_key(self, day: date) -> str:
        """Dagster's key of the partition that contains a day."""
        return partition_key(self.partition, day)

    def span(self, key: str) -> tuple[date, date]:
        """The first and the last day of a partition or a storage unit: 2026, 2026-03, 2026-03-17.

        Dagster's key of a month is its first day.

        Raises:
            ValueError: the key is not a day, month or year.
        """
        if len(key) == len("2026"):
            return date(int(key), 1, 1), date(int(key), 12, 31)
        is_month = len(key) == len("2026-03")
        first = date.fromisoformat(f"{key}-01" if is_month else key)
        if is_month or (self.partition == "month" and first.day == 1):
            return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        return first, first


def partition_key(unit: Unit, day: date) -> str:
    """Dagster's key of the day, month or year that contains a day."""
    if unit == "year":
        return str(day.year)
    return (day.replace(day=1) if unit == "month" else day).isoformat()
