"""Rows of tables for tests that need a few, with what they do not say filled in."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from kis_assets.tables import Table

NOW = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)


def frame(table: Table, *rows: dict[str, Any], source: str = "mock") -> pl.DataFrame:
    """Rows of a table; columns not given are null."""
    filled = [dict.fromkeys(table.schema) | {"source": source, "fetched_at": NOW} | r for r in rows]
    return pl.DataFrame(filled, schema=table.schema)


def candle(day: date, *ohlc: int, volume: int = 10, **more: Any) -> dict[str, Any]:
    """A day of 005930 without any event, final."""
    opened, high, low, close = ohlc
    return {
        "trading_day": day,
        "stock_code": "005930",
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "trading_value": volume * close,
        "change": 0,
        "base_price": close,
        "ex_flag": "00",
        "split_ratio": 0.0,
        "revaluation": "00",
        "has_traded": volume > 0,
        "is_final": True,
    } | more


def based(day: date, close: int, base: int, **more: Any) -> dict[str, Any]:
    """A day with one price, over a base price."""
    values = {"base_price": base, "change": close - base} | more
    return candle(day, close, close, close, close, **values)
