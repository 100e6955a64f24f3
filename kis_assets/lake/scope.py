"""The rows that a write replaces, the storage unit of a day, and the order of stored rows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import polars as pl

from kis_assets.tables import Table

STOCK = "stock_code"
_UNIT = re.compile(r"\w=(\d{4})(-\d\d){0,2}/")
CAPTURE = "captured_at"


class LakeError(ValueError):
    """An operation of the lake failed; stored rows are unchanged unless the text says otherwise."""


@dataclass(frozen=True)
class Scope:
    """The rows that one write replaces: a span of days, optionally one capture or some stocks.

    Rows outside are neither required nor touched. A span must lie within one storage unit of its
    table.
    """

    first: date
    last: date
    captured_at: datetime | None = None
    among: tuple[tuple[str, frozenset[str] | frozenset[date]], ...] = ()
    """Columns with the values that rows of this scope may have."""

    @classmethod
    def year(cls, year: date | int) -> Scope:
        """All rows of a year, given as a number or any day of it."""
        number = year if isinstance(year, int) else year.year
        return cls(date(number, 1, 1), date(number, 12, 31))

    @classmethod
    def month(cls, day: date) -> Scope:
        """All rows of the month in which `day` lies."""
        first = day.replace(day=1)
        return cls(first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1))

    @classmethod
    def day(cls, day: date) -> Scope:
        """All rows of one day, of all captures."""
        return cls(day, day)

    @classmethod
    def capture(cls, day: date, captured_at: datetime) -> Scope:
        """The rows of one capture of a day; other captures of that day stay.

        Raises:
            LakeError: `captured_at` has no time zone.
        """
        if captured_at.tzinfo is None:
            raise LakeError(f"captured_at {captured_at} has no time zone; give an aware datetime")
        return cls(day, day, captured_at.astimezone(UTC))

    def of(self, values: Iterable[str] | Iterable[date], column: str = STOCK) -> Scope:
        """This scope, narrowed to these stocks, or values of another column; others stay."""
        if isinstance(values, str):
            raise LakeError(f"expected stock codes, not the single text {values!r}")
        return replace(self, among=(*self.among, (column, frozenset(values))))

    def unit(self, table: Table) -> str:
        """The storage unit of `table` that holds this scope, e.g. `month=2026-03`.

        Raises:
            LakeError: it spans two units, or the table has no captures or stocks.
        """
        name = unit_of(table, self.first)
        if self.last < self.first or unit_of(table, self.last) != name:
            raise LakeError(
                f"{table.name}: {self} is not within one {table.unit}; replace each on its own"
            )
        if self.captured_at is not None and CAPTURE not in table.schema:
            raise LakeError(f"{table.name} has no captures; replace a {table.unit} instead")
        for column, _ in self.among:
            if column not in table.schema:
                raise LakeError(f"{table.name} has no {column}; replace the scope for all of them")
        return name

    def is_whole_unit(self, table: Table) -> bool:
        """True when every row of the storage unit belongs to this scope."""
        before, after = self.first - timedelta(days=1), self.last + timedelta(days=1)
        return (
            self.captured_at is None
            and not self.among
            and unit_of(table, before) != self.unit(table) != unit_of(table, after)
        )

    def covers(self, table: Table) -> pl.Expr:
        """True for the rows of `table` that belong to this scope; never null."""
        inside = self.days_of(table)
        for column, values in self.among:
            inside &= pl.col(column).is_in(sorted(values))
        return inside.fill_null(value=False)

    def days_of(self, table: Table) -> pl.Expr:
        """True for all rows of its days, or of its capture, including other stocks."""
        inside = day_of(table).is_between(self.first, self.last)
        if self.captured_at is not None:
            inside &= pl.col(CAPTURE) == self.captured_at
        return inside.fill_null(value=False)

    def __str__(self) -> str:
        days = str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
        capture = f", capture {self.captured_at.isoformat()}" if self.captured_at else ""
        narrowed = "".join(f", {len(values)} of {column}" for column, values in self.among)
        return f"{days}{capture}{narrowed}"


def day_of(table: Table) -> pl.Expr:
    """The day, in Seoul, that decides the storage unit of a row of `table`."""
    clock = pl.col(table.clock)
    if table.column(table.clock).dtype == pl.Date():
        return clock
    return clock.dt.convert_time_zone("Asia/Seoul").dt.date()


def rows_by_day(table: Table, rows: pl.LazyFrame) -> dict[date, int]:
    """How many rows each day has, by the table's clock in Seoul."""
    counted = rows.group_by(day_of(table).alias("day")).len().collect(engine="streaming")
    return dict(counted.sort("day").iter_rows())


def unit_of(table: Table, day: date) -> str:
    """The storage unit that holds a day, hive-styled: `trading_day=2026-03-17`, `month=2026-03`."""
    if table.unit == "year":
        return f"year={day.year:04d}"
    if table.unit == "month":
        return f"month={day.year:04d}-{day.month:02d}"
    return f"{table.clock}={day.isoformat()}"


def year_of(path: str) -> int:
    """The year of a file's storage unit, from its path.

    Raises:
        LakeError: the path names no unit.
    """
    found = _UNIT.search(path)
    if found is None:
        raise LakeError(f"{path} lies in no storage unit")
    return int(found[1])


def order_of(table: Table) -> list[str]:
    """The columns that sort stored rows: a stock's rows together, in time order.

    Reads of one stock are far more frequent than reads of one instant, and files are a third
    smaller.
    """
    wanted = [STOCK] if STOCK in table.schema else []
    return list(dict.fromkeys([*wanted, table.clock, *table.key]))
