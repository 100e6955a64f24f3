"""KIS's bars as frames of tables. Pure."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from kis_assets.exchange import finality
from kis_assets.exchange.finality import ChartClose
from kis_assets.kis.fields import frame
from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES, Table

log = logging.getLogger(__name__)

_MINUTE_COLUMNS = (
    *("started_at", "session"),
    *("open", "high", "low", "close", "volume", "trading_value"),
)
_BLOCK = 100
"""How many stocks' minutes are joined at once."""


def stamped(rows: pl.DataFrame, table: Table, source: str, fetched_at: datetime) -> pl.DataFrame:
    """Rows with source and time of fetching, in the columns of their table."""
    schema = table.schema
    return rows.with_columns(
        source=pl.lit(source),
        fetched_at=pl.lit(fetched_at.astimezone(UTC), schema["fetched_at"]),
    ).select(schema.names())


def days(bars: list[dict[str, Any]], stock_code: str, source: str, now: datetime) -> pl.DataFrame:
    """Rows of `daily_candles` of one stock; kept bars have their own time of fetching."""
    rows = frame([bar | {"stock_code": stock_code} for bar in bars], DAILY_CANDLES.schema)
    return stamped(rows, DAILY_CANDLES, source, bars[0].get("fetched_at") or now)


def minutes(bars: list[dict[str, Any]]) -> pl.DataFrame:
    """The minutes of one stock; `joined_minutes` makes rows of them."""
    return pl.DataFrame(bars, {name: MINUTE_CANDLES.schema[name] for name in _MINUTE_COLUMNS})


def joined_minutes(
    found: dict[str, tuple[pl.DataFrame, datetime]], trading_day: date, source: str
) -> pl.DataFrame:
    """Rows of `minute_candles` from each stock's minutes and their time of fetching.

    Rows are in stored order, and `found` is emptied. This matters for half a million rows: sorted
    rows need no sort, and a thousand frames take twice the memory of a few.
    """
    blocks = [MINUTE_CANDLES.empty()]
    codes = sorted(found)
    for start in range(0, len(codes), _BLOCK):
        block: list[pl.DataFrame] = []
        for code in codes[start : start + _BLOCK]:
            rows, fetched_at = found.pop(code)
            rows = rows.with_columns(trading_day=pl.lit(trading_day), stock_code=pl.lit(code))
            block.append(stamped(rows, MINUTE_CANDLES, source, fetched_at))
        blocks.append(pl.concat(block, rechunk=True))
    return pl.concat(blocks)


def with_uncorrected(
    rows: pl.DataFrame, closes: list[ChartClose], day: date | None
) -> pl.DataFrame:
    """The rows, with `is_final` false for stocks that KIS has not corrected last night."""
    late = finality.not_corrected(closes)
    if not late:
        return rows
    log.warning("the close of %s is not yet the regular session's for %d stocks", day, len(late))
    is_late = (pl.col("trading_day") == day) & pl.col("stock_code").is_in(sorted(late))
    return rows.with_columns(is_final=pl.col("is_final") & ~is_late)
