"""Rows of tables out of random walks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES, Table

LAST = date(2025, 12, 30)
MINUTES = 380
FETCHED = datetime(2025, 12, 31, tzinfo=UTC)


def filled(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """All columns of a table; what rows do not say is null, empty or zero."""
    blank = {pl.String: "", pl.Int64: 0, pl.Float64: 0.0, pl.Boolean: True}
    more = [
        pl.lit(None if column.nullable else blank.get(column.dtype.base_type()))
        .cast(column.dtype)
        .alias(column.name)
        for column in table.columns
        if column.name not in rows.columns
    ]
    return rows.with_columns(more).select(table.schema.names()).cast(dict(table.schema))


def days_of(
    codes: list[str], days: list[date], close: np.ndarray, places: list[int]
) -> pl.DataFrame:
    """Rows of `daily_candles` of the days at these places."""
    now = close[:, places]
    before = close[:, [max(0, place - 1) for place in places]]
    count = len(places)
    rows = pl.DataFrame({
        "stock_code": np.repeat(codes, count),
        "trading_day": [days[place] for place in places] * len(codes),
        "close": now.ravel(), "open": before.ravel(),
        "high": np.maximum(now, before).ravel(), "low": np.minimum(now, before).ravel(),
        "base_price": before.ravel(), "change": (now - before).ravel(),
        "volume": (now.ravel() * 7) % 100_000 + 1,
    })  # fmt: skip
    # One stock in fifty is split in a month: its base price lies at a fifth of the close before.
    is_split = (pl.col("trading_day") == days[places[-1]]) & (
        pl.col("stock_code").hash(days[places[0]].toordinal()) % 50 == 0
    )
    return filled(DAILY_CANDLES, rows.with_columns(
        trading_value=pl.col("volume") * pl.col("close"),
        base_price=pl.when(is_split).then(pl.col("base_price") // 5).otherwise("base_price"),
        ex_flag=pl.lit("00"), revaluation=pl.lit("00"), split_ratio=pl.lit(0.0),
        source=pl.lit("mock"), fetched_at=pl.lit(FETCHED),
    ))  # fmt: skip


def minutes_of(codes: list[str], day: date, close: np.ndarray) -> pl.DataFrame:
    """Rows of `minute_candles` of a day, at one price for each stock."""
    opens = datetime.combine(day, datetime.min.time(), UTC)
    starts = [opens + timedelta(minutes=number) for number in range(MINUTES)]
    prices = np.repeat(close, MINUTES)
    rows = pl.DataFrame({
        "stock_code": np.repeat(codes, MINUTES), "started_at": starts * len(codes),
        "open": prices, "high": prices + 10, "low": prices - 10, "close": prices,
        "volume": (prices * 3) % 977 + 1,
    })  # fmt: skip
    return filled(MINUTE_CANDLES, rows.with_columns(
        trading_day=pl.lit(day), session=pl.lit("regular"),
        trading_value=pl.col("volume") * pl.col("close"),
        source=pl.lit("mock"), fetched_at=pl.lit(FETCHED),
    ))  # fmt: skip
