"""All checks, by table."""

from __future__ import annotations

import dagster as dg

from kis_assets.defs.checks import (
    completeness,
    cross_source,
    flows,
    fundamentals,
    lending,
    prices,
    reference,
    ticks,
)
from kis_assets.defs.checks import daily_candles as candles
from kis_assets.defs.checks import minute_candles as minutes
from kis_assets.defs.checks import order_books as books
from kis_assets.defs.checks.check import Check, asset_checks
from kis_assets.tables import (
    ADJUSTMENT_FACTORS,
    CORPORATE_ACTIONS,
    CREDIT_BALANCES,
    DAILY_CANDLES,
    ETF_NAVS,
    FINANCIAL_STATEMENTS,
    INDEX_CANDLES,
    INVESTOR_FLOWS,
    KRX_DAILY,
    MARKET_DAYS,
    MARKET_FLOWS,
    MINUTE_CANDLES,
    ORDER_BOOK_TICKS,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    PROGRAM_TRADES,
    SHORT_SALES,
    STOCK_INFO,
    STOCK_LOANS,
    STOCK_MASTER,
    STREAM_GAPS,
    TRADES,
    VALUATIONS,
    Table,
)

WARN = dg.AssetCheckSeverity.WARN

UNIQUE = Check(completeness.key_is_unique, blocks=True)
AS_MANY = Check(completeness.as_many_rows_as_in_the_last_sessions, WARN)
PUBLISHED = Check(completeness.every_published_session_is_present)
WITH_CANDLES = Check(flows.every_candle_has_a_row, WARN)
OF_A_SESSION = (
    Check(prices.high_covers_all_prices, blocks=True),
    Check(prices.prices_are_possible, blocks=True),
    Check(prices.prices_lie_within_the_limits, WARN),
    Check(prices.prices_lie_on_the_tick, WARN, tolerated=0.02),
    Check(completeness.universe_is_covered),
    Check(cross_source.a_hundred_stocks_agree_with_a_second_source),
)
"""The checks of quotes and of daily candles."""

LISTED: dict[Table, list[Check]] = {
    MARKET_DAYS: [UNIQUE, Check(reference.kis_agrees_with_calendar, WARN)],
    STOCK_MASTER: [UNIQUE, AS_MANY, Check(reference.codes_are_stock_codes, WARN)],
    STOCK_INFO: [UNIQUE, Check(reference.listed_shares_are_those_of_the_master, WARN)],
    PRICE_SNAPSHOTS: [
        UNIQUE,
        AS_MANY,
        *OF_A_SESSION,
        # KIS computes the change of a quote itself.
        Check(prices.change_is_price_minus_base, WARN),
        Check(prices.captures_are_of_their_session, blocks=True),
    ],
    ORDER_BOOKS: [
        UNIQUE,
        AS_MANY,
        Check(completeness.universe_is_covered),
        Check(prices.captures_are_of_their_session, blocks=True),
        Check(books.captures_are_made_while_people_quote),
        Check(books.asks_rise_and_bids_fall, blocks=True),
        Check(books.best_bid_is_below_best_ask),
        Check(books.totals_cover_levels, WARN),
        Check(books.levels_have_shares, WARN),
    ],
    TRADES: [
        UNIQUE,
        Check(ticks.records_are_of_their_day, blocks=True),
        Check(ticks.records_are_in_order, WARN),
        Check(ticks.running_volume_never_falls, WARN),
        Check(ticks.trades_and_gaps_make_the_running_volume),
        Check(ticks.trades_make_the_minutes, WARN),
        Check(ticks.the_last_trade_has_the_volume_of_the_day, WARN),
    ],
    ORDER_BOOK_TICKS: [
        UNIQUE,
        Check(ticks.records_are_of_their_day, blocks=True),
        Check(ticks.records_are_in_order, WARN),
        Check(books.asks_rise_and_bids_fall, WARN),
        Check(ticks.bids_lie_below_asks, WARN),
    ],
    STREAM_GAPS: [UNIQUE, Check(ticks.nothing_is_missing, WARN)],
    DAILY_CANDLES: [
        UNIQUE,
        AS_MANY,
        *OF_A_SESSION,
        Check(prices.change_is_price_minus_base, blocks=True),
        Check(completeness.every_session_is_present),
        Check(candles.no_session_is_skipped, WARN),
        Check(candles.days_are_sessions, blocks=True),
        Check(candles.codes_are_listed),
        Check(candles.snapshot_after_close_equals_candle),
        Check(candles.bars_differ_from_the_day_before, tolerated=0.01),
        Check(candles.moved_bases_have_an_action, WARN),
        Check(completeness.settled_days_are_unchanged, WARN),
    ],
    KRX_DAILY: [
        UNIQUE,
        AS_MANY,
        Check(prices.high_covers_all_prices, blocks=True),
        Check(cross_source.candles_are_those_of_krx),
        Check(prices.market_cap_is_price_times_shares, WARN),
        Check(completeness.settled_days_are_unchanged, WARN),
    ],
    MINUTE_CANDLES: [
        UNIQUE,
        Check(completeness.as_many_minutes_as_in_the_last_sessions, WARN),
        Check(completeness.universe_is_covered),
        Check(minutes.minutes_lie_in_the_session, blocks=True),
        Check(minutes.high_and_low_cover_open_and_close, WARN),
        Check(minutes.opening_price_is_within_its_minute, WARN, tolerated=0.00001),
        # A candle that was fetched before the close has less volume than the minutes.
        Check(minutes.minutes_do_not_exceed_the_day, WARN),
        Check(minutes.minutes_hold_most_of_the_day, WARN),
        Check(minutes.closing_auction_is_the_close, WARN),
    ],
    CORPORATE_ACTIONS: [
        UNIQUE,
        Check(reference.ratios_are_positive),
        Check(reference.actions_take_effect_on_sessions, WARN),
        Check(cross_source.adjusted_series_is_that_of_kis, WARN),
    ],
    ADJUSTMENT_FACTORS: [
        UNIQUE,
        Check(reference.factors_are_possible, blocks=True),
        Check(reference.factors_are_of_the_stored_candles),
        Check(reference.moved_bases_have_a_factor),
    ],
    INDEX_CANDLES: [
        UNIQUE,
        PUBLISHED,
        Check(flows.index_bars_hold_together, blocks=True),
        Check(flows.kospi_moves_with_its_stocks, WARN),
    ],
    MARKET_FLOWS: [UNIQUE, PUBLISHED, Check(flows.market_nets_are_zero)],
    INVESTOR_FLOWS: [
        UNIQUE,
        PUBLISHED,
        Check(flows.all_bought_is_all_sold, blocks=True),
        Check(flows.net_is_bought_less_sold, blocks=True),
        Check(flows.traded_is_the_volume_of_the_day, WARN),
        WITH_CANDLES,
    ],
    PROGRAM_TRADES: [
        UNIQUE,
        PUBLISHED,
        Check(flows.net_is_bought_less_sold, blocks=True),
        Check(flows.programmes_are_within_the_volume, WARN),
        WITH_CANDLES,
    ],
    SHORT_SALES: [
        UNIQUE,
        PUBLISHED,
        Check(lending.short_sales_are_within_the_volume, WARN),
        Check(lending.short_price_is_near_the_day, WARN, tolerated=0.01),
        WITH_CANDLES,
    ],
    STOCK_LOANS: [
        UNIQUE,
        PUBLISHED,
        Check(lending.balance_is_the_one_before_and_the_change, WARN, tolerated=0.02),
        Check(lending.balances_are_within_the_listed_shares, WARN, tolerated=0.01),
        WITH_CANDLES,
    ],
    CREDIT_BALANCES: [
        UNIQUE,
        PUBLISHED,
        Check(lending.balance_is_the_one_before_and_the_change, WARN, tolerated=0.02),
        Check(lending.loan_is_a_part_of_the_price, WARN, tolerated=0.02),
    ],
    VALUATIONS: [
        UNIQUE,
        Check(completeness.universe_is_covered),
        Check(prices.captures_are_of_their_session, blocks=True),
        Check(fundamentals.ratios_are_price_over_figures, WARN, tolerated=0.01),
        Check(fundamentals.extremes_cover_the_price, WARN, tolerated=0.01),
    ],
    FINANCIAL_STATEMENTS: [
        UNIQUE,
        Check(fundamentals.balance_sheets_balance, WARN, tolerated=0.02),
        Check(fundamentals.quarters_add_up_to_their_year, WARN, tolerated=0.02),
    ],
    ETF_NAVS: [UNIQUE, PUBLISHED, Check(fundamentals.closes_are_near_their_nav, WARN)],
}

CHECKS = [asset_checks(table, checks) for table, checks in LISTED.items()]
