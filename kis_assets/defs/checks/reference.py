"""Checks of the calendar, the stock master, stock facts and corporate actions."""

from __future__ import annotations

import re

import polars as pl

from kis_assets.defs.checks.check import Window
from kis_assets.exchange import calendar, stocks
from kis_assets.lake.base_prices import moved_bases
from kis_assets.tables import DAILY_CANDLES, STOCK_MASTER

_FUND = re.compile(r"F\d{8}")


def kis_agrees_with_calendar(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The computed calendar agrees with KIS on every day that KIS has stated."""
    stated = rows.filter(pl.col("known_from") == "kis").collect()
    computed = [calendar.is_trading_day(day) for day in stated["day"]]
    return (
        stated.with_columns(computed=pl.Series(computed, dtype=pl.Boolean))
        .filter(pl.col("computed") != pl.col("is_open"))
        .select("day", "computed", kis="is_open")
        .lazy()
    )


def codes_are_stock_codes(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every short code has six digits or capital letters, with a leading Q for ETNs.

    Codes of funds have F and eight digits.
    """
    codes = rows.select("stock_code").unique().collect()["stock_code"]
    wrong = [code for code in codes if not (stocks.is_stock_code(code) or _FUND.fullmatch(code))]
    return rows.filter(pl.col("stock_code").is_in(wrong)).select("stock_code", "stock_name")


def listed_shares_are_those_of_the_master(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Listed shares differ by less than a thousand from the month's last stock master."""
    master = window.rows(STOCK_MASTER).sort("trading_day").unique("stock_code", keep="last")
    both = rows.join(master, on="stock_code", suffix="_in_master")
    gap = (pl.col("listed_shares") - pl.col("listed_shares_in_master")).abs()
    return both.filter(gap >= 1_000).select(
        "stock_code", "stock_name", "listed_shares", "listed_shares_in_master"
    )


def ratios_are_positive(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The ratio of shares after to shares before is above 0, if it is known."""
    return rows.filter(pl.col("ratio") <= 0).select("effective_on", "stock_code", "kind", "ratio")


def actions_take_effect_on_sessions(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every effective day is a trading day of KRX, unless only the record day is known."""
    known = rows.filter(pl.col("effective_from") != "record_on")
    found = known.select("effective_on").unique().collect()["effective_on"]
    days = [day for day in found if not calendar.is_trading_day(day)]
    return known.filter(pl.col("effective_on").is_in(days)).select(
        "effective_on", "stock_code", "kind", "origin"
    )


def factors_are_possible(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every factor is between 0.001 and 1,000."""
    return rows.filter(~pl.col("factor").is_between(0.001, 1000)).select(
        "effective_on", "stock_code", "factor", "reason"
    )


def factors_are_of_the_stored_candles(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The base price of a factor equals that of the day's candle."""
    candles = window.rows(DAILY_CANDLES).select(
        "stock_code", pl.col("trading_day").alias("effective_on"), candle="base_price"
    )
    return (
        rows.join(candles, on=["stock_code", "effective_on"], how="left")
        .filter(pl.col("candle").ne_missing(pl.col("base_price")))
        .select("effective_on", "stock_code", "factor", "base_price", "candle")
    )


def moved_bases_have_a_factor(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every base price more than one tick away from the previous final close has a factor."""
    first, last = max(window.first, calendar.FIRST_DAY), min(window.last, window.now.date())
    candles = window.rows(DAILY_CANDLES, days_before=calendar.LONGEST_CLOSURE.days)
    return (
        moved_bases(candles, first, last)
        .rename({"trading_day": "effective_on"})
        .join(rows, on=["stock_code", "effective_on"], how="anti")
        .select("effective_on", "stock_code", "previous_close", "base_price")
    )
