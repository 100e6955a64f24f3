"""What must be true of candles."""

from __future__ import annotations

import polars as pl

from kis_assets import krx
from kis_assets.checks.claims import Span
from kis_assets.tables import PRICE_SNAPSHOTS, STOCK_MASTER


def change_is_close_minus_base(_: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """Base price plus change is the close, and the base price is a price."""
    wrong = (pl.col("base_price") + pl.col("change") != pl.col("close")) | (
        pl.col("base_price") <= 0
    )
    return rows.filter(wrong).select("trading_day", "stock_code", "base_price", "change", "close")


def days_are_sessions(span: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """Every candle lies on a trading day of the calendar."""
    days = krx.trading_days(max(span.first, krx.FIRST_DAY), span.last)
    known = pl.col("trading_day") >= krx.FIRST_DAY
    return rows.filter(known & ~pl.col("trading_day").is_in(days)).select(
        "trading_day", "stock_code"
    )


def listed_stocks_have_candles(span: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """Every stock that was asked for a price on a day has a candle of that day."""
    quoted = span.rows(PRICE_SNAPSHOTS).select("trading_day", "stock_code").unique()
    return quoted.join(rows, on=["trading_day", "stock_code"], how="anti").sort(pl.all())


def snapshot_after_close_equals_candle(span: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """The last quote captured after a close has the prices of that day's candle.

    Volume may have grown since: off-hours trades count into the day.
    """
    closes = pl.DataFrame(
        [
            {"trading_day": day, "closes_at": session.closes_at}
            for day in rows["trading_day"].unique()
            if day >= krx.FIRST_DAY and (session := krx.session(day)) is not None
        ],
        schema={"trading_day": pl.Date, "closes_at": pl.Datetime("us", "UTC")},
    )
    quotes = (
        span.rows(PRICE_SNAPSHOTS)
        .join(closes, on="trading_day")
        .filter(pl.col("captured_at") >= pl.col("closes_at"))
        .sort("captured_at")
        .unique(["trading_day", "stock_code"], keep="last")
        .select("trading_day", "stock_code", "price", "open", "high", "low", "volume")
    )
    both = rows.join(quotes, on=["trading_day", "stock_code"], suffix="_quoted")
    same = pl.all_horizontal(
        pl.col("close") == pl.col("price"),
        *(pl.col(name) == pl.col(f"{name}_quoted") for name in ("open", "high", "low")),
        pl.col("volume") >= pl.col("volume_quoted"),
    )
    return both.filter(~same).select(
        *("trading_day", "stock_code", "close", "price"),
        *("open", "open_quoted", "high", "high_quoted", "low", "low_quoted"),
        *("volume", "volume_quoted"),
    )


def codes_are_listed(span: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """Every stock with a candle of a day stands in that day's stock master, where one is stored."""
    master = span.rows(STOCK_MASTER).select("trading_day", "stock_code")
    known_days = rows.filter(pl.col("trading_day").is_in(master["trading_day"].unique().implode()))
    return known_days.join(master, on=["trading_day", "stock_code"], how="anti").select(
        "trading_day", "stock_code"
    )
