"""The class of columns, and the columns that many tables share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

KRW = "KRW"
SHARES = "shares"
PERCENT = "percent"

INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Column:
    """One column: its Polars type, its unit and its meaning.

    `minimum` is the smallest valid value; the lake refuses rows with a smaller one. `default_sql`
    gives the value for rows stored before this column existed, as SQL over the other columns;
    without it that value is null.
    """

    name: str
    dtype: pl.DataType
    description: str
    unit: str = ""
    nullable: bool = False
    minimum: int | None = None
    default_sql: Callable[[], str] | None = None


def text(
    name: str,
    description: str,
    *,
    nullable: bool = False,
    default_sql: Callable[[], str] | None = None,
) -> Column:
    """A column of text."""
    return Column(name, pl.String(), description, nullable=nullable, default_sql=default_sql)


def integer(
    name: str, description: str, unit: str = "", *, nullable: bool = False, minimum: int | None = 0
) -> Column:
    """A column of integers, none below `minimum`."""
    return Column(name, pl.Int64(), description, unit, nullable, minimum)


def signed(name: str, description: str, unit: str = "", *, nullable: bool = False) -> Column:
    """A column of integers that may be negative."""
    return Column(name, pl.Int64(), description, unit, nullable)


def real(name: str, description: str, unit: str = "", *, nullable: bool = False) -> Column:
    """A column of floating-point numbers."""
    return Column(name, pl.Float64(), description, unit, nullable)


def flag(
    name: str,
    description: str,
    *,
    nullable: bool = False,
    default_sql: Callable[[], str] | None = None,
) -> Column:
    """A column of booleans."""
    return Column(name, pl.Boolean(), description, nullable=nullable, default_sql=default_sql)


def day(name: str, description: str, *, nullable: bool = False) -> Column:
    """A column of dates in Seoul."""
    return Column(name, pl.Date(), description, nullable=nullable)


def instant(name: str, description: str, *, nullable: bool = False) -> Column:
    """A column of instants, in UTC."""
    return Column(name, INSTANT, description, nullable=nullable)


TRADING_DAY = day("trading_day", "The day of the session, in Seoul (영업일)")
STOCK_CODE = text(
    "stock_code", "Short code: six characters, letters included; ETNs have a leading Q (단축코드)"
)
STOCK_NAME = text("stock_name", "Name in Korean (종목명)")
ORIGIN = (
    text(
        "source",
        "Where the row comes from, as its folder is named: kis, krx, mock, simulated_kis, kis-nxt",
    ),
    instant("fetched_at", "When the answer that holds this row was received"),
)

SESSION = text(
    "session",
    "The session at the time of this quote: pre_open, regular, closing_price (15:30 to 16:00), "
    "after_market (16:00 to 20:00 since 2026-09-14) or closed; on NXT pre_market, regular, "
    "after_market or closed. After the last trade it is closed, and the price is the last one of "
    "the after-market. Null in rows stored before 2026-11-27",
    nullable=True,
)

OHLC = (
    integer("open", "First price of the session; 0 on a day without a trade (시가)", KRW),
    integer("high", "Highest price; 0 on a day without a trade (고가)", KRW),
    integer("low", "Lowest price; 0 on a day without a trade (저가)", KRW),
)
