"""Checks of flows, programme trades and indices, also compared with candles."""

from __future__ import annotations

import polars as pl

from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.exchange import calendar, indices
from kis_assets.kis.investor_flows import CLASSES, MILLION, REGULAR
from kis_assets.kis.market_flows import THOUSAND
from kis_assets.tables import DAILY_CANDLES

_BOTH = ["trading_day", "stock_code"]
_ROUNDED = 15
"""The number of units by which the sum of twelve rounded figures may differ from zero."""


def final_candles(window: Window, *columns: str) -> pl.LazyFrame:
    """Columns of the final daily candles of these days.

    Raises:
        NotComparable: there are none.
    """
    candles = window.rows(DAILY_CANDLES).filter(pl.col("is_final")).select(*_BOTH, *columns)
    if candles.head(1).collect().is_empty():
        raise NotComparable("no final daily candles of these days are stored")
    return candles


def all_bought_is_all_sold(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """All twelve classes together bought as many shares of a stock as they sold."""
    return (
        rows.group_by(_BOTH)
        .agg(pl.sum("buy_volume"), pl.sum("sell_volume"), classes=pl.len())
        .filter(
            (pl.col("buy_volume") != pl.col("sell_volume")) | (pl.col("classes") != len(CLASSES))
        )
    )


def net_is_bought_less_sold(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Net volume and net value are bought minus sold, the value to the million."""
    volume = pl.col("buy_volume") - pl.col("sell_volume") != pl.col("net_volume")
    value = pl.col("buy_value") - pl.col("sell_value") - pl.col("net_value")
    return rows.filter(volume | (value.abs() > MILLION)).select(
        *window.table.key, "buy_volume", "sell_volume", "net_volume", "net_value"
    )


def market_nets_are_zero(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The net purchases of all classes on a market sum to zero, except for rounding."""
    return (
        rows.group_by("trading_day", "market")
        .agg(pl.sum("net_volume"), pl.sum("net_value"), classes=pl.len())
        .filter(
            (pl.col("net_volume").abs() > _ROUNDED * THOUSAND)
            | (pl.col("net_value").abs() > _ROUNDED * MILLION)
            | (pl.col("classes") != len(CLASSES))
        )
    )


def traded_is_the_volume_of_the_day(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The classes' sold shares of a stock equal the volume of its final daily candle.

    Both are on the share count of that day. So far, only one stock shows that flows include the
    after-market. Since it exists, flows may therefore be lower, but at least half of the volume.
    """
    sold = rows.group_by(_BOTH).agg(traded=pl.sum("sell_volume"))
    volume, since = pl.col("volume"), pl.lit(calendar.AFTER_MARKET_SINCE)
    least = pl.when(pl.col("trading_day") < since).then(volume).otherwise(volume * REGULAR)
    return sold.join(final_candles(window, "volume"), on=_BOTH).filter(
        ~pl.col("traded").is_between(least, volume)
    )


def programmes_are_within_the_volume(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Programmes bought and sold no more shares of a stock than were traded."""
    return (
        rows.join(final_candles(window, "volume"), on=_BOTH)
        .filter(pl.max_horizontal("buy_volume", "sell_volume") > pl.col("volume"))
        .select(*_BOTH, "buy_volume", "sell_volume", "volume")
    )


def every_candle_has_a_row(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every stock with a final daily candle of a day has a row of that day, if the day has any."""
    known = rows.select(_BOTH).unique()
    days = known.select("trading_day").unique()
    return final_candles(window).join(days, on="trading_day").join(known, on=_BOTH, how="anti")


def index_bars_hold_together(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """High and low of an index cover its open and close."""
    low, high = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
    return rows.filter((pl.col("low") > low) | (pl.col("high") < high)).select(
        "trading_day", "index_code", "open", "high", "low", "close"
    )


def kospi_moves_with_its_stocks(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """KOSPI's change is within 3 % of its stocks' change, weighted by trading value."""
    moved = rows.filter(pl.col("index_code") == indices.CODES["KOSPI"]).select(
        "trading_day", index=pl.col("change") / (pl.col("close") - pl.col("change")) * 100
    )
    candles = window.rows(DAILY_CANDLES).filter(pl.col("volume") > 0)
    rate = pl.col("change") / pl.col("base_price") * pl.col("trading_value")
    stocks = candles.group_by("trading_day").agg(
        stocks=rate.sum() / pl.col("trading_value").sum() * 100, count=pl.len()
    )
    found = moved.join(stocks, on="trading_day").filter(pl.col("count") >= 500)
    if found.head(1).collect().is_empty():
        raise NotComparable("too few daily candles of these days are stored")
    return found.filter((pl.col("index") - pl.col("stocks")).abs() > 3).drop("count")
