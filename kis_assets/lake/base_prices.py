"""Base prices that differ from the previous close, and the ratios that explain them.

A stock's base price is the official close of the session before, unless its number of shares or the
value of a share has changed. Pure; frames in, frames out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date

import polars as pl

from kis_assets.exchange import calendar, prices
from kis_assets.exchange.prices import tick_expression

SUPPORTED = (0.45, 2.2)
"""How far a base price may be from its ratio: after a halt an auction sets it, between half and
twice the price by the ratio."""


def moved_bases(candles: pl.LazyFrame, first: date, last: date) -> pl.LazyFrame:
    """The candles of a span whose base price is more than a tick from the close before.

    The column `previous_close` is the final close of the session directly before. Only days since
    2023-01-25 are compared, when the tick became the same on all markets.

    Args:
        candles: rows of `daily_candles`, from `LONGEST_CLOSURE` before `first` on.
        first: the span's first day.
        last: its last day.
    """
    days = calendar.known_trading_days(first - calendar.LONGEST_CLOSURE, last)
    session_before = pl.col("trading_day").replace_strict(
        dict(zip(days[1:], days, strict=False)), default=None, return_dtype=pl.Date
    )
    before = candles.filter("is_final").select(
        "stock_code", session_before="trading_day", previous_close="close"
    )
    tick = tick_expression(pl.max_horizontal("base_price", "previous_close"))
    return (
        candles.filter(pl.col("trading_day").is_between(max(first, prices.SAME_TICKS_SINCE), last))
        .with_columns(session_before=session_before)
        .join(before, on=["stock_code", "session_before"])
        .filter((pl.col("base_price") - pl.col("previous_close")).abs() > tick)
        .drop("session_before")
    )


def supported(ratio: float, base_ratio: float) -> bool:
    """Whether a ratio of shares (after to before) fits a ratio of base price to previous close."""
    least, most = SUPPORTED
    return least <= ratio * base_ratio <= most


def best_supported(ratios: Iterable[float], base_ratio: float) -> float | None:
    """The ratio that fits the ratio of base price to previous close best, if any fits."""
    possible = [ratio for ratio in ratios if supported(ratio, base_ratio)]
    return min(possible, key=lambda ratio: abs(math.log(ratio * base_ratio)), default=None)
