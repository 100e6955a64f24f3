"""Checks of a session's prices, for captured quotes and daily candles."""

from __future__ import annotations

import polars as pl

from kis_assets.defs.checks.check import Window
from kis_assets.exchange import calendar, prices
from kis_assets.exchange.prices import tick_expression
from kis_assets.tables import STOCK_MASTER, Table

KEPT = ("trading_day", "captured_at", "stock_code")

MOST_UP, MOST_DOWN = 5.0, 0.05
"""Impossible prices, as multiples of the base price. A listing day allows 0.6 to 4, and liquidation
trading has no limits. In March 2026 the extremes were 4 (0011A0) and 0.11 (204630)."""


def last_price(table: Table) -> str:
    """The name of the column with the last price in this table."""
    return "price" if "price" in table.schema else "close"


def _prices(table: Table) -> tuple[str, ...]:
    return ("open", "high", "low", last_price(table))


def _shown(table: Table) -> list[str]:
    return [name for name in KEPT if name in table.schema]


def high_covers_all_prices(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """High and low cover all prices of the session; all are 0 without a trade.

    A stock that traded only in the after-market has no open.
    """
    last = last_price(window.table)
    traded = pl.col("volume") > 0
    unopened = (pl.col("open") == 0) & (pl.col("trading_day") >= calendar.AFTER_MARKET_SINCE)
    inside = pl.col(last).is_between("low", "high") & (
        pl.col("open").is_between("low", "high") | unopened
    )
    empty = pl.all_horizontal(pl.col(name) == 0 for name in ("open", "high", "low"))
    # Until the first trade of a session, empty prices may have off-hours volume.
    right = pl.when(empty).then(True).otherwise(traded & inside & (pl.col("low") > 0))
    return rows.filter(~right).select(*_shown(window.table), *_prices(window.table), "volume")


def change_is_price_minus_base(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Base price plus change is the last price, and the base price is above 0."""
    last = last_price(window.table)
    wrong = (pl.col("base_price") + pl.col("change") != pl.col(last)) | (pl.col("base_price") <= 0)
    return rows.filter(wrong).select(*_shown(window.table), "base_price", "change", last)


def market_cap_is_price_times_shares(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Market cap is close times listed shares, as it was in all 20,164 rows of March 2026."""
    wrong = pl.col("market_cap") != pl.col("close") * pl.col("listed_shares")
    return rows.filter(wrong).select(
        "trading_day", "stock_code", "close", "listed_shares", "market_cap"
    )


def prices_are_possible(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """No price is above 5 times or below a twentieth of the base price."""
    base = pl.col("base_price")
    wrong = (pl.col("high") > MOST_UP * base) | (pl.col("low") < MOST_DOWN * base)
    return rows.filter(pl.col("open") > 0, wrong).select(
        *_shown(window.table), "base_price", *_prices(window.table)
    )


def prices_lie_within_the_limits(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Prices are within the day's limits, except on listing days and in liquidation trading.

    Limits are those that KIS states, or else 30 % of the base price (15 % on KONEX), for days since
    2023-01-25.
    """
    # The newest master of these days: a month may lack masters of its earlier days.
    master = (
        window.rows(STOCK_MASTER)
        .sort("trading_day")
        .unique("stock_code", keep="last")
        .select("stock_code", "market", "is_liquidation", "listed_on")
    )
    found = rows.filter(pl.col("trading_day") >= prices.SAME_TICKS_SINCE, pl.col("open") > 0).join(
        master, on="stock_code", how="left"
    )
    base = pl.col("base_price")
    percent = pl.when(pl.col("market") == "KONEX").then(15).otherwise(30)
    tick = tick_expression(base)
    width = base * percent // 100
    width = pl.max_horizontal(width - width % tick, tick)
    upper, lower = base + width, pl.max_horizontal(base - width, 1)
    upper -= upper % tick_expression(upper)
    lower += -lower % tick_expression(lower)
    if "upper_limit" in window.table.schema:  # KIS states them
        upper = pl.coalesce("upper_limit", upper)
        lower = pl.coalesce("lower_limit", lower)
    has_limits = ~pl.col("is_liquidation").fill_null(value=False) & (
        pl.col("listed_on").is_null() | (pl.col("listed_on") < pl.col("trading_day"))
    )
    possible = (pl.col("high") <= MOST_UP * base) & (pl.col("low") >= MOST_DOWN * base)
    return (
        found.with_columns(lower=lower, upper=upper)
        .filter(
            has_limits
            & possible
            & ((pl.col("high") > pl.col("upper")) | (pl.col("low") < pl.col("lower")))
        )
        .select(*_shown(window.table), "base_price", "lower", "upper", *_prices(window.table))
    )


def prices_lie_on_the_tick(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Prices since 2023-01-25 are multiples of the tick, except trades at the midpoint.

    In March 2026, 0.35 to 0.70 % of a day's stocks had a price off the tick; 2 % may have one.
    """
    off = pl.any_horizontal(
        (pl.col(name) > 0) & (pl.col(name) % tick_expression(pl.col(name)) != 0)
        for name in _prices(window.table)
    )
    # Exchange-traded products have other ticks.
    products = (
        window.rows(STOCK_MASTER)
        .filter(pl.col("security_type").is_in(["etf", "etn"]))
        .select("stock_code")
        .unique()
    )
    return (
        rows.filter(pl.col("trading_day") >= prices.SAME_TICKS_SINCE, off)
        .join(products, on="stock_code", how="anti")
        .select(*_shown(window.table), *_prices(window.table))
    )


def captures_are_of_their_session(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every capture was made on its trading day or later, but before the next trading day."""
    day = pl.col("captured_at").dt.convert_time_zone("Asia/Seoul").dt.date()
    next_open = {
        d: calendar.next_trading_day(d)
        for d in rows.select("trading_day").unique().collect()["trading_day"]
    }
    until = pl.col("trading_day").replace_strict(next_open, default=None, return_dtype=pl.Date)
    return (
        rows.filter((day < pl.col("trading_day")) | (day >= until))
        .select("trading_day", "captured_at")
        .unique()
    )
