"""Tick sizes and price limits of KRX: one table for numbers, Polars and SQL. Pure."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from kis_assets.exchange.calendar import today

if TYPE_CHECKING:
    import polars as pl

_MARKETS = ("KOSPI", "KOSDAQ", "KONEX")

# (upper bound of prices, tick), ascending; the last entry has no bound.
_Ticks = tuple[tuple[float, int], ...]
_INF = float("inf")
# KRX: one table for KOSPI, KOSDAQ and KONEX since 2023-01-25.
SAME_TICKS_SINCE = date(2023, 1, 25)
TICKS: _Ticks = (
    (2_000, 1),
    (5_000, 5),
    (20_000, 10),
    (50_000, 50),
    (200_000, 100),
    (500_000, 500),
    (_INF, 1_000),
)
_TICKS_BEFORE: _Ticks = (
    (1_000, 1),
    (5_000, 5),
    (10_000, 10),
    (50_000, 50),
    (100_000, 100),
    (500_000, 500),
    (_INF, 1_000),
)
# KOSDAQ and KONEX had no tick above 100 in the older table.
_TICKS_BEFORE_KOSDAQ: _Ticks = (*_TICKS_BEFORE[:4], (_INF, 100))

# KRX: 30 % instead of 15 %; KOSDAQ had moved from 12 % to 15 % ten years earlier.
_LIMITS_30_SINCE = date(2015, 6, 15)
_KOSDAQ_15_SINCE = date(2005, 3, 28)


def tick_size(price: int, day: date | None = None, market: str = "KOSPI") -> int:
    """The smallest step between two order prices at that price, in KRW.

    For shares; exchange-traded products have their own steps. The table is that of `day`, today if
    None. It changed on 2023-01-25; before, KOSDAQ and KONEX had no step above 100. Source: KRX
    business regulations.

    Raises:
        ValueError: the price is below 1, or the market is none of KOSPI, KOSDAQ, KONEX.
    """
    if price < 1:
        raise ValueError(f"a price is at least 1 KRW, not {price}")
    for below, tick in _ticks(day, market):
        if price < below:
            return tick
    raise AssertionError("the last step has no upper bound")


def price_limits(base: int, market: str = "KOSPI", day: date | None = None) -> tuple[int, int]:
    """The lowest and the highest price allowed on a day whose base price is `base`, in KRW.

    The limits on `day` (today if None) are 30 % either way on KOSPI and KOSDAQ since 2015-06-15 (15
    % before, and 12 % on KOSDAQ until March 2005), and 15 % on KONEX. The width is rounded down to
    the tick of the base price but is at least one tick; the limits are then rounded inward to the
    tick at their own price. A listing day, liquidation trading and leveraged funds have other
    limits: prefer the limits that the server states.

    Returns:
        (lower, upper), with 1 <= lower <= upper.

    Raises:
        ValueError: the base is below 1, or the market is none of KOSPI, KOSDAQ, KONEX.
    """
    tick = tick_size(base, day, market)
    width = base * _limit_percent(day, market) // 100
    width = max(width - width % tick, tick)
    lower, upper = max(base - width, 1), base + width
    up = tick_size(upper, day, market)
    down = tick_size(lower, day, market)
    return -(-lower // down) * down, upper - upper % up


def tick_expression(price: pl.Expr) -> pl.Expr:
    """The tick of a column of prices since 2023-01-25, when it became the same on all markets."""
    import polars as pl  # not needed by commands that only read

    expression = pl.lit(None, pl.Int64)
    for below, tick in reversed(TICKS):
        expression = pl.when(price < below).then(tick).otherwise(expression)
    return expression


def tick_sql(price: str, day: str) -> str:
    """SQL for the tick of a price on a day, both given as SQL.

    Before 2023-01-25 KOSDAQ and KONEX had no tick above 100; this is KOSPI's table.
    """

    def table(ticks: _Ticks) -> str:
        steps = "".join(f"WHEN {price} < {below:.0f} THEN {tick} " for below, tick in ticks[:-1])
        return f"CASE {steps}ELSE {ticks[-1][1]} END"

    return (
        f"CASE WHEN {day} >= DATE '{SAME_TICKS_SINCE}' "
        f"THEN {table(TICKS)} ELSE {table(_TICKS_BEFORE)} END"
    )


def _check_market(market: str) -> None:
    if market not in _MARKETS:
        raise ValueError(f"{market!r} is no market; KOSPI, KOSDAQ and KONEX are")


def _ticks(day: date | None, market: str) -> _Ticks:
    _check_market(market)
    if (day or today()) >= SAME_TICKS_SINCE:
        return TICKS
    return _TICKS_BEFORE if market == "KOSPI" else _TICKS_BEFORE_KOSDAQ


def _limit_percent(day: date | None, market: str) -> int:
    at = day or today()
    if market == "KOSDAQ" and at < _KOSDAQ_15_SINCE:
        return 12
    if market == "KONEX" or at < _LIMITS_30_SINCE:
        return 15
    return 30
