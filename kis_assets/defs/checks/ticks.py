"""Checks of recorded trades and order books."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES, STREAM_GAPS, TRADES

_KEY = ("trading_day", "stock_code", "sequence")
_LEAST = 0.95
"""The minimum share of recorded trades in a volume if nothing was missed."""


def running_volume_never_falls(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The running volume never falls from one trade of a stock to the next."""
    before = pl.col("volume").shift(1).over("stock_code", order_by="sequence")
    return (
        rows.with_columns(volume_before=before)
        .filter(pl.col("volume") < pl.col("volume_before"))
        .select(*_KEY, "traded_at", "volume_before", "volume")
    )


def records_are_of_their_day(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every record is of its trading day, by its own time in Seoul."""
    clock = "traded_at" if "traded_at" in rows.collect_schema() else "booked_at"
    day = pl.col(clock).dt.convert_time_zone("Asia/Seoul").dt.date()
    return rows.filter(day != pl.col("trading_day")).select(*_KEY, clock)


def records_are_in_order(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The time of a stock's records never goes back by more than a second."""
    clock = "traded_at" if "traded_at" in rows.collect_schema() else "booked_at"
    before = pl.col(clock).shift(1).over("stock_code", order_by="sequence")
    return (
        rows.with_columns(before=before)
        .filter(pl.col(clock) < pl.col("before") - timedelta(seconds=1))
        .select(*_KEY, clock, "before")
    )


def trades_and_gaps_make_the_running_volume(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """A stock's trades and the missing shares of its gaps add up to its last running volume."""
    missing = window.rows(STREAM_GAPS).group_by("stock_code").agg(pl.col("missing_volume").sum())
    return (
        rows.group_by("trading_day", "stock_code")
        .agg(pl.col("quantity").sum(), pl.col("volume").sort_by("sequence").last())
        .join(missing, on="stock_code", how="left")
        .filter(pl.col("quantity") + pl.col("missing_volume").fill_null(0) != pl.col("volume"))
    )


def trades_make_the_minutes(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """A stock's trades have at least 95 % of the volume of its minutes in continuous trading.

    Minutes that overlap a gap are ignored.
    """
    minutes = window.rows(MINUTE_CANDLES).filter(session="regular")
    if minutes.head(1).collect().is_empty():
        raise NotComparable("there are no minute candles of that day")
    minute = pl.col("traded_at").dt.truncate("1m")
    seen = (
        rows.group_by("stock_code", started_at=minute)
        .agg(traded=pl.col("quantity").sum())
        .join(_gaps_by_minute(window), on=("stock_code", "started_at"), how="anti")
    )
    return (
        minutes.join(seen, on=("stock_code", "started_at"))
        .group_by("trading_day", "stock_code")
        .agg(pl.col("traded").sum(), minutes=pl.col("volume").sum())
        .filter(pl.col("traded") < _LEAST * pl.col("minutes"))
    )


def _gaps_by_minute(window: Window) -> pl.LazyFrame:
    """Each minute of each stock that overlaps a gap."""
    first = pl.col("since").dt.truncate("1m")
    last = pl.col("until").fill_null(first + timedelta(days=1))
    every = pl.datetime_ranges(first, last, "1m", time_unit="us")
    return window.rows(STREAM_GAPS).select("stock_code", started_at=every).explode("started_at")


def the_last_trade_has_the_volume_of_the_day(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The running volume at a stock's last trade is at least 95 % of its candle's volume.

    The feed has no trades outside the sessions.
    """
    days = window.rows(DAILY_CANDLES).select("stock_code", day=pl.col("volume"))
    if days.head(1).collect().is_empty():
        raise NotComparable("there are no daily candles of that day")
    followed_on = window.rows(STREAM_GAPS).filter(pl.col("until").is_null()).select("stock_code")
    return (
        rows.group_by("trading_day", "stock_code")
        .agg(pl.col("volume").sort_by("sequence").last())
        .join(followed_on, on="stock_code", how="anti")
        .join(days, on="stock_code")
        .filter(pl.col("volume") < _LEAST * pl.col("day"))
    )


def bids_lie_below_asks(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The best bid is below the best ask, except in an auction."""
    crossed = (pl.col("bid_price_1") >= pl.col("ask_price_1")) & pl.col("expected_price").is_null()
    return rows.filter(crossed).select(*_KEY, "booked_at", "bid_price_1", "ask_price_1")


def nothing_is_missing(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """No traded share is missing in the trades; stocks with missing shares are listed."""
    unknown = pl.col("missing_volume").is_null() | (pl.col("missing_volume") > 0)
    traded = window.rows(TRADES).group_by("stock_code").agg(recorded=pl.col("quantity").sum())
    return (
        rows.filter(unknown)
        .group_by("trading_day", "stock_code", "reason")
        .agg(gaps=pl.len(), missing=pl.col("missing_volume").sum())
        .join(traded, on="stock_code", how="left")
    )
