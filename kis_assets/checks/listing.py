"""What must be true of the stock master. And which checks there are, all on one page."""

from __future__ import annotations

import dagster as dg
import polars as pl

from kis_assets import krx
from kis_assets.assets.candles import daily_candles
from kis_assets.assets.quotes import price_snapshots
from kis_assets.assets.reference import stock_master
from kis_assets.checks import candles, quotes
from kis_assets.checks.claims import Span, check
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS, STOCK_MASTER


def codes_are_stock_codes(_: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """Every short code has six digits or capital letters, ETNs a leading Q."""
    codes = rows["stock_code"].unique()
    wrong = [code for code in codes if not krx.is_stock_code(code)]
    return rows.filter(pl.col("stock_code").is_in(wrong)).select("stock_code", "stock_name")


WARN = dg.AssetCheckSeverity.WARN

CHECKS = [
    check(quotes.key_is_unique, stock_master, STOCK_MASTER),
    check(codes_are_stock_codes, stock_master, STOCK_MASTER, WARN),
    check(quotes.key_is_unique, price_snapshots, PRICE_SNAPSHOTS),
    check(quotes.high_covers_all_prices, price_snapshots, PRICE_SNAPSHOTS),
    check(quotes.universe_is_covered, price_snapshots, PRICE_SNAPSHOTS),
    check(quotes.key_is_unique, daily_candles, DAILY_CANDLES),
    check(quotes.high_covers_all_prices, daily_candles, DAILY_CANDLES),
    check(candles.change_is_close_minus_base, daily_candles, DAILY_CANDLES),
    check(candles.days_are_sessions, daily_candles, DAILY_CANDLES),
    check(candles.codes_are_listed, daily_candles, DAILY_CANDLES),
    check(candles.listed_stocks_have_candles, daily_candles, DAILY_CANDLES),
    check(candles.snapshot_after_close_equals_candle, daily_candles, DAILY_CANDLES),
]
