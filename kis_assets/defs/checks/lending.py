"""Checks of short sales, lent shares and margin loans."""

from __future__ import annotations

import polars as pl

from kis_assets.defs.checks.check import Window
from kis_assets.defs.checks.flows import final_candles
from kis_assets.exchange import calendar
from kis_assets.tables import STOCK_MASTER

_BOTH = ["trading_day", "stock_code"]


def short_sales_are_within_the_volume(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """No more shares of a stock were sold short on a day than were traded."""
    return (
        rows.join(final_candles(window, "volume"), on=_BOTH)
        .filter(pl.col("short_volume") > pl.col("volume"))
        .select(*_BOTH, "short_volume", "volume")
    )


def short_price_is_near_the_day(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The average price of short sales is within 10 % of the day's low and high; 1 % may not be.

    The after-market has prices of its own, which a final candle does not include.
    """
    low, high = pl.min_horizontal("low", "close") * 0.9, pl.max_horizontal("high", "close") * 1.1
    return (
        rows.filter(pl.col("short_volume") > 0)
        .join(final_candles(window, "low", "high", "close"), on=_BOTH)
        .filter(pl.col("low") > 0)
        .with_columns(average=pl.col("short_value") / pl.col("short_volume"))
        .filter(~pl.col("average").is_between(low, high))
        .select(*_BOTH, "average", "low", "high")
    )


def balance_is_the_one_before_and_the_change(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """A balance is that of the session before, plus new shares, minus repaid shares.

    A split or an issue of shares also changes it, so 2 % of the rows may differ.
    """
    known = window.rows(days_before=calendar.LONGEST_CLOSURE.days)
    days = known.select(pl.col("trading_day").unique().sort())
    before = days.with_columns(day_before=pl.col("trading_day").shift(1))
    earlier = known.select("stock_code", day_before="trading_day", before="loan_balance")
    expected = pl.col("before") + pl.col("new") - pl.col("repaid")
    return (
        rows.join(before, on="trading_day")
        .join(earlier, on=["stock_code", "day_before"])
        .filter(expected != pl.col("loan_balance"))
        .select(*_BOTH, "before", "new", "repaid", "loan_balance")
    )


def balances_are_within_the_listed_shares(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Lent shares are not negative and at most the listed shares; KIS has a few exceptions."""
    listed = window.rows(STOCK_MASTER).select(*_BOTH, "listed_shares")
    return (
        rows.join(listed, on=_BOTH, how="left")
        .filter((pl.col("loan_balance") < 0) | (pl.col("loan_balance") > pl.col("listed_shares")))
        .select(*_BOTH, "loan_balance", "listed_shares")
    )


def loan_is_a_part_of_the_price(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The money lent on a share is between 0.2 and 2 times its price.

    Recorded balances have 65 to 90 %; a wrong unit would be off by a factor of a hundred.
    """
    lent = pl.col("loan_amount") / pl.col("loan_balance") / pl.col("close")
    return (
        rows.filter(pl.col("loan_balance") > 1_000)
        .join(final_candles(window, "close"), on=_BOTH)
        .filter(~lent.is_between(0.2, 2.0))
        .select(*_BOTH, "loan_balance", "loan_amount", "close")
    )
