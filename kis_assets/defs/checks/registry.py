"""What must be true of the stock master. And which checks there are, all on one page."""

from __future__ import annotations

import re

import dagster as dg
import polars as pl

from kis_assets.defs.assets.candles import daily_candles, minute_candles
from kis_assets.defs.assets.captures import order_books, price_snapshots
from kis_assets.defs.assets.corporate_actions import corporate_actions
from kis_assets.defs.assets.krx_daily import krx_daily
from kis_assets.defs.assets.reference import market_days, stock_info, stock_master
from kis_assets.defs.checks import completeness, cross_source, prices, reference
from kis_assets.defs.checks import daily_candles as candles
from kis_assets.defs.checks import minute_candles as minutes
from kis_assets.defs.checks import order_books as books
from kis_assets.defs.checks.check import Claim, Span, checks
from kis_assets.exchange import stocks
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    DAILY_CANDLES,
    KRX_DAILY,
    MARKET_DAYS,
    MINUTE_CANDLES,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    STOCK_INFO,
    STOCK_MASTER,
    Table,
)

WARN = dg.AssetCheckSeverity.WARN
_FUND = re.compile(r"F\d{8}")


def codes_are_stock_codes(_: Span, found: pl.LazyFrame) -> pl.LazyFrame:
    """Every short code has six digits or capital letters; of ETNs after a Q.

    Those of funds have F and eight digits.
    """
    codes = found.select("stock_code").unique().collect()["stock_code"]
    wrong = [code for code in codes if not (stocks.is_stock_code(code) or _FUND.fullmatch(code))]
    return found.filter(pl.col("stock_code").is_in(wrong)).select("stock_code", "stock_name")


UNIQUE = Claim(completeness.key_is_unique, blocks=True)
AS_MANY = Claim(completeness.as_many_rows_as_in_the_last_sessions, WARN)
OF_A_SESSION = (
    Claim(prices.high_covers_all_prices, blocks=True),
    Claim(prices.prices_are_possible, blocks=True),
    Claim(prices.prices_lie_within_the_limits, WARN),
    Claim(prices.prices_lie_on_the_tick, WARN, tolerated=0.02),
    Claim(completeness.universe_is_covered),
    Claim(cross_source.a_hundred_stocks_agree_with_a_second_source),
)
"""Of quotes and of candles."""

LISTED: list[tuple[dg.AssetsDefinition, Table, list[Claim]]] = [
    (
        market_days,
        MARKET_DAYS,
        [UNIQUE, Claim(reference.kis_agrees_with_calendar, WARN)],
    ),
    (stock_master, STOCK_MASTER, [UNIQUE, AS_MANY, Claim(codes_are_stock_codes, WARN)]),
    (
        stock_info,
        STOCK_INFO,
        [UNIQUE, Claim(reference.listed_shares_are_those_of_the_master, WARN)],
    ),
    (
        price_snapshots,
        PRICE_SNAPSHOTS,
        [
            UNIQUE,
            AS_MANY,
            *OF_A_SESSION,
            # What KIS calls the change of a quote is its own arithmetic.
            Claim(prices.change_is_price_minus_base, WARN),
            Claim(prices.captures_are_of_their_session, blocks=True),
        ],
    ),
    (
        order_books,
        ORDER_BOOKS,
        [
            UNIQUE,
            AS_MANY,
            Claim(completeness.universe_is_covered),
            Claim(prices.captures_are_of_their_session, blocks=True),
            Claim(books.asks_rise_and_bids_fall, blocks=True),
            Claim(books.best_bid_is_below_best_ask),
            Claim(books.totals_cover_levels, WARN),
            Claim(books.levels_have_shares, WARN),
        ],
    ),
    (
        daily_candles,
        DAILY_CANDLES,
        [
            UNIQUE,
            AS_MANY,
            *OF_A_SESSION,
            Claim(prices.change_is_price_minus_base, blocks=True),
            Claim(completeness.every_session_is_present),
            Claim(candles.no_session_is_skipped, WARN),
            Claim(candles.days_are_sessions, blocks=True),
            Claim(candles.codes_are_listed),
            Claim(candles.snapshot_after_close_equals_candle),
            Claim(candles.bars_differ_from_the_day_before, tolerated=0.01),
            Claim(candles.moved_bases_have_an_action, WARN),
            Claim(completeness.settled_days_are_unchanged, WARN),
        ],
    ),
    (
        krx_daily,
        KRX_DAILY,
        [
            UNIQUE,
            AS_MANY,
            Claim(prices.high_covers_all_prices, blocks=True),
            Claim(cross_source.candles_are_those_of_krx),
            Claim(prices.market_cap_is_price_times_shares, WARN),
            Claim(completeness.settled_days_are_unchanged, WARN),
        ],
    ),
    (
        minute_candles,
        MINUTE_CANDLES,
        [
            UNIQUE,
            Claim(completeness.as_many_minutes_as_in_the_last_sessions, WARN),
            Claim(completeness.universe_is_covered),
            Claim(minutes.minutes_lie_in_the_session, blocks=True),
            Claim(minutes.high_and_low_cover_open_and_close, WARN),
            Claim(minutes.opening_price_is_within_its_minute, WARN, tolerated=0.00001),
            # A candle that was fetched before the close is smaller than its minutes.
            Claim(minutes.minutes_do_not_exceed_the_day, WARN),
            Claim(minutes.minutes_hold_most_of_the_day, WARN),
            Claim(minutes.closing_auction_is_the_close, WARN),
        ],
    ),
    (
        corporate_actions,
        CORPORATE_ACTIONS,
        [
            UNIQUE,
            Claim(reference.ratios_are_positive),
            Claim(reference.actions_take_effect_on_sessions, WARN),
            Claim(cross_source.adjusted_series_is_that_of_kis, WARN),
        ],
    ),
]

CHECKS = [checks(*listed) for listed in LISTED]
