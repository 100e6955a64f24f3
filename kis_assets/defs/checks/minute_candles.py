"""Checks of minute candles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.exchange import calendar, finality
from kis_assets.kis.minute_days import EXTENSION, last_minute
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS

KEY = ("started_at", "stock_code")
AUCTION = timedelta(minutes=10)

LEAST_SHARE = 0.9
"""The minimum share of minutes in a day's volume; 0.984 was measured. The rest are trades outside
the session, which are a large part for illiquid stocks."""
LEAST_WITH_AFTER_MARKET = 0.97
"""The minimum share for stocks with after-market minutes: almost nothing else is traded."""
LEAST_WITHOUT = 0.75
"""The minimum share for other stocks since the after-market exists: its minutes may not be stored,
and it is 2 to 20 % of a stock's volume."""

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_IS_REGULAR = pl.col("session") == "regular"


def _bounds(window: Window) -> tuple[datetime, datetime]:
    """Open and close of the session in UTC, like the rows; an empty span without a session."""
    session = calendar.session(window.first)
    if session is None:
        return _NEVER, _NEVER
    return session.opens_at.astimezone(UTC), session.closes_at.astimezone(UTC)


def minutes_lie_in_the_session(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every minute lies within its day and within the session that it names.

    The regular session has continuous trading and the closing auction. The after-market exists
    since 2026-09-14.
    """
    opens_at, closes_at = _bounds(window)
    session = calendar.session(window.first)
    trading = (pl.col("started_at") >= opens_at) & (pl.col("started_at") < closes_at - AUCTION)
    closing = pl.col("started_at").is_between(closes_at, closes_at + EXTENSION)
    right = _IS_REGULAR & (trading | closing)
    if session is not None and session.after_market is not None:
        until = last_minute(session, regular_only=False)
        right |= (pl.col("session") == "after_market") & pl.col("started_at").is_between(
            session.after_market[0].astimezone(UTC), until.astimezone(UTC)
        )
    return rows.filter(~right).select("trading_day", *KEY, "session")


def high_and_low_cover_open_and_close(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Open and close are between low and high, except the auction's price at the open."""
    opening = pl.col("started_at") == _bounds(window)[0]
    right = pl.col("close").is_between("low", "high") & (
        pl.col("open").is_between("low", "high") | opening
    )
    return rows.filter(~right).select(*KEY, "open", "high", "low", "close")


def opening_price_is_within_its_minute(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The open of the first minute is between its low and high, except for 1 in 100,000 bars.

    It is the price of the opening auction; 2 to 3 of 580,000 bars were outside.
    """
    opening = pl.col("started_at") == _bounds(window)[0]
    return rows.filter(opening, ~pl.col("open").is_between("low", "high")).select(
        *KEY, "open", "high", "low", "close"
    )


def _volumes(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Each stock's volume in minutes and in its daily candle, and when each was fetched.

    Columns: `volume` as of `minutes_at`, `of_the_day` as of `candle_at`, and `has_after_market`.
    Times after the minutes are final count as equal.
    """
    settled = (
        _NEVER
        if calendar.session(window.first) is None
        else finality.minutes_final_at(window.first)
    )
    settled = settled.astimezone(UTC)
    days = window.rows(DAILY_CANDLES).select(
        "stock_code",
        of_the_day="volume",
        candle_at=pl.min_horizontal("fetched_at", pl.lit(settled)),
    )
    return (
        rows.group_by("stock_code")
        .agg(
            pl.col("volume").sum(),
            minutes_at=pl.min_horizontal(pl.col("fetched_at").max(), pl.lit(settled)),
            has_after_market=(~_IS_REGULAR).any(),
        )
        .join(days, on="stock_code")
    )


def minutes_do_not_exceed_the_day(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The minutes of a stock add up to at most the volume of a candle that is at least as new."""
    return _volumes(window, rows).filter(
        pl.col("candle_at") >= pl.col("minutes_at"), pl.col("volume") > pl.col("of_the_day")
    )


def minutes_hold_most_of_the_day(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Minutes at least as new as the candles add up to most of their stocks' daily volume.

    The minimum is 90 %; 98.4 % is usual. Since 2026-09-14 it is 97 % for stocks with minutes of the
    after-market, which is part of the day's volume, and 75 % for stocks without.
    """
    least = pl.lit(LEAST_SHARE)
    if window.first >= calendar.AFTER_MARKET_SINCE:
        least = pl.when("has_after_market").then(LEAST_WITH_AFTER_MARKET).otherwise(LEAST_WITHOUT)
    return (
        _volumes(window, rows)
        .filter(pl.col("minutes_at") >= pl.col("candle_at"))
        .group_by("has_after_market")
        .agg(pl.col("volume").sum(), pl.col("of_the_day").sum())
        .filter(pl.col("volume") < least * pl.col("of_the_day"))
    )


def closing_auction_is_the_close(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The close of the closing auction's bar is the day's official close.

    That is the close of a final candle, unless a split changed the adjustment since. Otherwise it
    is the price captured right after the close, for minutes fetched before the next session.
    """
    closes_at = _bounds(window)[1]
    regular = rows.filter(_IS_REGULAR)
    same_axis_until = _NEVER
    if calendar.session(window.first) is not None:
        same_axis_until = finality.final_at(window.first).astimezone(UTC)
    final = (
        window.rows(DAILY_CANDLES)
        .filter("is_final")
        .select("stock_code", final="close", high_of_the_day="high")
    )
    captured = (
        window.rows(PRICE_SNAPSHOTS)
        .filter(pl.col("regular_close").is_not_null())
        .group_by("stock_code")
        .agg(captured=pl.col("regular_close").max())
    )
    official = (
        pl.when(pl.col("final").is_null())
        .then(pl.when(pl.col("fetched_at") < same_axis_until).then("captured"))
        .when(pl.col("highest") == pl.col("high_of_the_day"))
        .then("final")
    )
    both = (
        regular.filter(pl.col("started_at") >= closes_at)
        .group_by("stock_code")
        .agg(pl.col("close").sort_by("started_at").last())
        .join(
            regular.group_by("stock_code").agg(
                pl.col("high").max().alias("highest"), pl.col("fetched_at").max()
            ),
            on="stock_code",
        )
        .join(final, on="stock_code", how="left")
        .join(captured, on="stock_code", how="left")
        .select("stock_code", "close", official_close=official)
        .filter(pl.col("official_close").is_not_null())
        .collect(engine="streaming")
    )
    if both.is_empty():
        raise NotComparable("no official close of this day is stored yet to compare with")
    return both.lazy().filter(pl.col("close") != pl.col("official_close"))
