"""What must be true of the calendar, stock facts and corporate actions."""

from __future__ import annotations

import polars as pl

from kis_assets.defs.checks.check import Span
from kis_assets.exchange import calendar
from kis_assets.tables import STOCK_MASTER


def kis_agrees_with_calendar(_: Span, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every day that KIS has told of is open or closed as the computed calendar has it."""
    told = rows.filter(pl.col("known_from") == "kis").collect()
    computed = [calendar.is_trading_day(day) for day in told["day"]]
    return (
        told.with_columns(computed=pl.Series(computed, dtype=pl.Boolean))
        .filter(pl.col("computed") != pl.col("is_open"))
        .select("day", "computed", kis="is_open")
        .lazy()
    )


def listed_shares_are_those_of_the_master(span: Span, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Listed shares differ from the month's last stock master by less than a thousand."""
    master = span.rows(STOCK_MASTER).sort("trading_day").unique("stock_code", keep="last")
    both = rows.join(master, on="stock_code", suffix="_in_master")
    gap = (pl.col("listed_shares") - pl.col("listed_shares_in_master")).abs()
    return both.filter(gap >= 1_000).select(
        "stock_code", "stock_name", "listed_shares", "listed_shares_in_master"
    )


def ratios_are_positive(_: Span, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Shares after for each share before are more than none, where they are known."""
    return rows.filter(pl.col("ratio") <= 0).select("effective_on", "stock_code", "kind", "ratio")


def actions_take_effect_on_sessions(_: Span, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every effective day is a trading day of KRX, unless only the record day is known."""
    known = rows.filter(pl.col("effective_from") != "record_on")
    found = known.select("effective_on").unique().collect()["effective_on"]
    days = [day for day in found if not calendar.is_trading_day(day)]
    return known.filter(pl.col("effective_on").is_in(days)).select(
        "effective_on", "stock_code", "kind", "origin"
    )
