"""What must be true of the stock master. And which checks there are, all on one page."""

from __future__ import annotations

import dagster as dg
import polars as pl

from kis_assets import krx
from kis_assets.assets.actions import corporate_actions
from kis_assets.assets.candles import daily_candles, minute_candles
from kis_assets.assets.quotes import order_books, price_snapshots
from kis_assets.assets.reference import market_days, stock_info, stock_master
from kis_assets.checks import books, candles, minutes, quotes, reference
from kis_assets.checks.claims import Span, check
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    DAILY_CANDLES,
    MARKET_DAYS,
    MINUTE_CANDLES,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    STOCK_INFO,
    STOCK_MASTER,
)


def codes_are_stock_codes(_: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """Every short code has six digits or capital letters, ETNs a leading Q."""
    codes = rows["stock_code"].unique()
    wrong = [code for code in codes if not krx.is_stock_code(code)]
    return rows.filter(pl.col("stock_code").is_in(wrong)).select("stock_code", "stock_name")


WARN = dg.AssetCheckSeverity.WARN

CHECKS = [
    check(quotes.key_is_unique, market_days, MARKET_DAYS),
    check(reference.kis_agrees_with_calendar, market_days, MARKET_DAYS, WARN),
    check(quotes.key_is_unique, stock_master, STOCK_MASTER),
    check(codes_are_stock_codes, stock_master, STOCK_MASTER, WARN),
    check(quotes.key_is_unique, stock_info, STOCK_INFO),
    check(reference.listed_shares_are_those_of_the_master, stock_info, STOCK_INFO, WARN),
    check(quotes.key_is_unique, price_snapshots, PRICE_SNAPSHOTS),
    check(quotes.high_covers_all_prices, price_snapshots, PRICE_SNAPSHOTS),
    check(quotes.universe_is_covered, price_snapshots, PRICE_SNAPSHOTS),
    check(quotes.key_is_unique, order_books, ORDER_BOOKS),
    check(quotes.universe_is_covered, order_books, ORDER_BOOKS),
    check(books.asks_rise_and_bids_fall, order_books, ORDER_BOOKS),
    check(books.best_bid_is_below_best_ask, order_books, ORDER_BOOKS),
    check(books.totals_cover_levels, order_books, ORDER_BOOKS, WARN),
    check(books.levels_have_shares, order_books, ORDER_BOOKS, WARN),
    check(quotes.key_is_unique, daily_candles, DAILY_CANDLES),
    check(quotes.high_covers_all_prices, daily_candles, DAILY_CANDLES),
    check(candles.change_is_close_minus_base, daily_candles, DAILY_CANDLES),
    check(candles.days_are_sessions, daily_candles, DAILY_CANDLES),
    check(candles.codes_are_listed, daily_candles, DAILY_CANDLES),
    check(candles.listed_stocks_have_candles, daily_candles, DAILY_CANDLES),
    check(candles.snapshot_after_close_equals_candle, daily_candles, DAILY_CANDLES),
    check(quotes.key_is_unique, minute_candles, MINUTE_CANDLES),
    check(minutes.minutes_lie_in_the_session, minute_candles, MINUTE_CANDLES),
    check(minutes.high_and_low_cover_open_and_close, minute_candles, MINUTE_CANDLES, WARN),
    # A candle that was fetched before the close is smaller than its minutes.
    check(minutes.minutes_do_not_exceed_the_day, minute_candles, MINUTE_CANDLES, WARN),
    check(minutes.closing_auction_is_the_close, minute_candles, MINUTE_CANDLES, WARN),
    check(quotes.key_is_unique, corporate_actions, CORPORATE_ACTIONS, may_be_empty=True),
    check(reference.ratios_are_positive, corporate_actions, CORPORATE_ACTIONS, may_be_empty=True),
    check(
        reference.actions_take_effect_on_sessions,
        corporate_actions,
        CORPORATE_ACTIONS,
        WARN,
        may_be_empty=True,
    ),
]
