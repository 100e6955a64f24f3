"""What a table is, and every fact there can be of one. No reading, no writing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

import polars as pl

from kis_assets.tables.columns import Column

Unit = Literal["day", "month", "year"]


@dataclass(frozen=True)
class Cost:
    """Requests to KIS for one partition of a table, its checks included."""

    per_stock: float = 1.0
    days: int = 0
    """Days that one answer holds, where a backfill needs no request a month; 0: it does."""
    since_after_market: float | None = None
    """Requests a stock since there is an after-market, where they are more."""
    in_bundles: bool = False
    """Whether the real server answers for several stocks at once."""
    invented: float = 0.004
    """Seconds that the invented market takes for a stock."""
    is_compared: bool = False
    """Whether a check asks a second service for a hundred of the stocks."""


@dataclass(frozen=True, eq=False)
class Preview:
    """The columns and rows of a table that people look at first."""

    columns: str
    """Their names, a blank between them."""
    largest: str = ""
    """The column whose largest values come first; empty: all rows, as they come."""
    where: pl.Expr | None = None
    """Which rows; None: all."""


@dataclass(frozen=True, eq=False)
class Table:
    """A table: its columns and key, the unit that one file of the lake holds, how it is had."""

    name: str
    description: str
    clock: str
    """The column whose day decides the storage unit that a row belongs to."""
    key: tuple[str, ...]
    partition: Unit
    """The span that one run of the asset covers."""
    unit: Unit
    columns: tuple[Column, ...] = field(repr=False)
    sources: tuple[str, ...] = ("kis", "krx", "mock")
    """The sources that have it. What only one has is fetched from there, and lies in that source's
    folder, whatever source is in use."""
    live: Literal["quotes", "files", "stream"] | None = None
    """What of this moment it shows, the market's quotes, the day's master files or the real-time
    feed: a day that was missed is gone for good. None: it can be had later."""
    final: Literal["when_fetched", "after_hours", "next_morning", "published"] = "when_fetched"
    """When the rows of a day change no more: as soon as they are fetched, when the after-market is
    over, on the morning of the next session, or once they are published."""
    published_after: int = 0
    """Sessions after a day on whose morning its rows are published; none is stored before."""
    sessions_kept: int = 0
    """Sessions for which the source has a day of it, the latest one included; 0: for ever."""
    on_virtual: Literal["served", "from_files", "lacking"] = "served"
    """What a key of the virtual server gives of it: all, what the master files tell, nothing."""
    has_past: bool = False
    """Whether `kis-assets backfill` can fetch it for earlier days."""
    catch_up: str = ""
    """The job that makes a missed partition of it, which the sensor of that name starts; empty:
    none does."""
    tells_of_now: bool = False
    """Whether it tells what is known now: a partition is asked for while it lasts, and once."""
    may_be_empty: bool = False
    """Whether a partition without any row can be right."""
    is_usual: bool = False
    """Whether `kis-assets run` makes it unless told otherwise: what a day of the market needs and a
    minute or two gives."""
    rows_of: Literal["stocks", "ETFs", "indices", "markets"] = "stocks"
    """What is asked for to make it."""
    cost: Cost | None = None
    """What it asks of KIS; None: next to nothing."""
    preview: Preview | None = field(default=None, repr=False)
    chart: str = ""
    """What is drawn of it, by its name in `charts.of_tables`; empty: nothing."""

    @property
    def schema(self) -> pl.Schema:
        """Column names and Polars types, in the order in which they are stored."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def own_source(self) -> str:
        """The one source that has it; empty when several have."""
        return self.sources[0] if len(self.sources) == 1 else ""

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name!r}")

    def empty(self) -> pl.DataFrame:
        """No rows, right types."""
        return pl.DataFrame(schema=self.schema)

    def partition_key(self, day: date) -> str:
        """What Dagster calls the partition that holds a day."""
        return partition_key(self.partition, day)

    def span(self, key: str) -> tuple[date, date]:
        """The first and the last day of a partition or a storage unit: 2026, 2026-03, 2026-03-17.

        Dagster calls a month by its first day.

        Raises:
            ValueError: the key is no day, month or year.
        """
        if len(key) == len("2026"):
            return date(int(key), 1, 1), date(int(key), 12, 31)
        is_month = len(key) == len("2026-03")
        first = date.fromisoformat(f"{key}-01" if is_month else key)
        if is_month or (self.partition == "month" and first.day == 1):
            return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        return first, first


def partition_key(unit: Unit, day: date) -> str:
    """What Dagster calls the partition of that span that holds a day."""
    if unit == "year":
        return str(day.year)
    return (day.replace(day=1) if unit == "month" else day).isoformat()
