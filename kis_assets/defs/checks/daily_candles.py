"""Checks of daily candles."""

from __future__ import annotations

import polars as pl

from kis_assets.defs.checks.check import Window
from kis_assets.exchange import calendar
from kis_assets.lake.base_prices import moved_bases
from kis_assets.tables import CORPORATE_ACTIONS, PRICE_SNAPSHOTS, STOCK_MASTER


def days_are_sessions(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every candle is of a trading day of the calendar."""
    days = calendar.trading_days(
        max(window.first, calendar.FIRST_DAY), max(window.last, calendar.FIRST_DAY)
    )
    known = pl.col("trading_day") >= calendar.FIRST_DAY
    return rows.filter(known & ~pl.col("trading_day").is_in(days)).select(
        "trading_day", "stock_code"
    )


def no_session_is_skipped(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """A stock with candles before and after a session has one of that session, even if halted.

    For days with a stock master, `universe_is_covered` checks more.
    """
    master_days = window.rows(STOCK_MASTER).select("trading_day").unique()
    sessions = [session.day for session in window.sessions]
    days = rows.filter(pl.col("trading_day").is_in(sessions)).select("trading_day").unique()
    days = days.join(master_days, on="trading_day", how="anti")
    stocks = rows.group_by("stock_code").agg(
        pl.col("trading_day").min().alias("first"), pl.col("trading_day").max().alias("last")
    )
    return (
        stocks.join(days, how="cross")
        .filter(pl.col("trading_day").is_between("first", "last"))
        .join(
            rows.select("trading_day", "stock_code"), on=["trading_day", "stock_code"], how="anti"
        )
        .select("trading_day", "stock_code", "first", "last")
    )


def snapshot_after_close_equals_candle(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The official prices captured after a close equal those of the day's final candle.

    They are captured before the after-market opens, so the volume may have grown since.
    """
    seen = pl.col("fetched_at")
    quotes = (
        window.rows(PRICE_SNAPSHOTS)
        .join(window.official(), on="trading_day")
        .filter(seen >= pl.col("official_from"), seen < pl.col("official_until"))
        .sort("captured_at")
        .unique(["trading_day", "stock_code"], keep="last")
        .select("trading_day", "stock_code", "price", "open", "high", "low", "volume")
    )
    both = rows.filter("is_final").join(quotes, on=["trading_day", "stock_code"], suffix="_quoted")
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


def codes_are_listed(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every stock with a candle of a day is in that day's stock master, if one is stored."""
    master = window.rows(STOCK_MASTER).select("trading_day", "stock_code")
    return (
        rows.select("trading_day", "stock_code")
        .join(master, on="trading_day", how="semi")
        .join(master, on=["trading_day", "stock_code"], how="anti")
    )


def bars_differ_from_the_day_before(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """At most 1 % of a day's stocks have the same prices and volume as on the day before.

    In March 2026 it was 4 of 20,000: one share traded at the same price twice.
    """
    same = pl.all_horizontal(
        pl.col(name) == pl.col(name).shift(1).over("stock_code", order_by="trading_day")
        for name in ("open", "high", "low", "close", "volume")
    )
    return (
        window.rows(days_before=calendar.LONGEST_CLOSURE.days)
        .filter(pl.col("volume") > 0)
        .unique(window.table.key)
        .with_columns(is_same=same)
        .filter(pl.col("is_same") & (pl.col("trading_day") >= window.first))
        .select("trading_day", "stock_code", "open", "high", "low", "close", "volume")
    )


def moved_bases_have_an_action(window: Window, _: pl.LazyFrame) -> pl.LazyFrame:
    """A base price more than one tick away from the previous close has a mark or an action.

    The mark is in the daily chart, and the action is a stored one of that day. Closes that are not
    final are not compared.
    """
    actions = window.rows(CORPORATE_ACTIONS).select("stock_code", trading_day="effective_on")
    unmarked = (
        (pl.col("ex_flag") == "00") & (pl.col("revaluation") == "00") & (pl.col("split_ratio") == 0)
    )
    return (
        moved_bases(
            window.rows(days_before=calendar.LONGEST_CLOSURE.days), window.first, window.last
        )
        .filter(unmarked)
        .join(actions.unique(), on=["trading_day", "stock_code"], how="anti")
        .select("trading_day", "stock_code", "previous_close", "base_price")
    )
