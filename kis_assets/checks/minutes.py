"""What must be true of minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from kis_assets import krx
from kis_assets.checks.claims import Span
from kis_assets.kis.minutes import EXTENSION
from kis_assets.tables import DAILY_CANDLES

KEY = ("started_at", "stock_code")
AUCTION = timedelta(minutes=10)


def _bounds(span: Span) -> tuple[datetime, datetime]:
    """Open and close of the session, in UTC as the rows are; at no session, an empty span."""
    session = krx.session(span.first)
    if session is None:
        never = datetime(1970, 1, 1, tzinfo=UTC)
        return never, never
    return session.opens_at.astimezone(UTC), session.closes_at.astimezone(UTC)


def minutes_lie_in_the_session(span: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """Every minute is of continuous trading or of the closing auction, and of its day."""
    opens_at, closes_at = _bounds(span)
    trading = (pl.col("started_at") >= opens_at) & (pl.col("started_at") < closes_at - AUCTION)
    closing = pl.col("started_at").is_between(closes_at, closes_at + EXTENSION)
    return rows.filter(~(trading | closing)).select("trading_day", *KEY)


def high_and_low_cover_open_and_close(span: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """Open and close lie between low and high; at the open, the auction's price may not."""
    opening = pl.col("started_at") == _bounds(span)[0]
    right = pl.col("close").is_between("low", "high") & (
        pl.col("open").is_between("low", "high") | opening
    )
    return rows.filter(~right).select(*KEY, "open", "high", "low", "close")


def minutes_do_not_exceed_the_day(span: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """A stock's minutes add up to no more shares than its daily candle has, where there is one."""
    days = span.rows(DAILY_CANDLES).select("stock_code", pl.col("volume").alias("of_the_day"))
    sums = rows.group_by("stock_code").agg(pl.col("volume").sum())
    return sums.join(days, on="stock_code").filter(pl.col("volume") > pl.col("of_the_day"))


def closing_auction_is_the_close(span: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """The bar of the closing auction closes at the daily close, unless a split moved the axis."""
    last = rows.filter(pl.col("started_at") >= _bounds(span)[1])
    days = span.rows(DAILY_CANDLES).select(
        "stock_code", *(pl.col(name).alias(f"{name}_of_the_day") for name in ("high", "close"))
    )
    highest = rows.group_by("stock_code").agg(pl.col("high").max().alias("highest"))
    return (
        last.group_by("stock_code")
        .agg(pl.col("close").sort_by("started_at").last())
        .join(highest, on="stock_code")
        .join(days, on="stock_code")
        .filter(
            (pl.col("highest") == pl.col("high_of_the_day"))
            & (pl.col("close") != pl.col("close_of_the_day"))
        )
    )
