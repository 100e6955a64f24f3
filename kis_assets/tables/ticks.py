"""Records of the real-time feed: trades, order books, and gaps between them."""

from __future__ import annotations

from kis_assets.tables.columns import (
    KRW,
    ORIGIN,
    SHARES,
    STOCK_CODE,
    TRADING_DAY,
    flag,
    instant,
    integer,
    signed,
    text,
)
from kis_assets.tables.quotes import levels
from kis_assets.tables.table import Preview, Table

_SEQUENCE = integer(
    "sequence", "Position of the record in the order of arrival on the day, from 1", minimum=1
)
_OF_FEED = text(
    "session",
    "pre_market, regular, closing_price or after_market, as KIS states since 2026-09-14; null "
    "before, and in order books of NXT and unified (MARKET_CLS_CODE)",
    nullable=True,
)

TRADES = Table(
    name="trades",
    description=(
        "Trades of the stocks that `kis-assets stream --store` followed, in order of arrival, "
        "without duplicates. fetched_at is when the record arrived. stream_gaps has what was "
        "traded while nothing was recorded. During the day new rows are added every minute."
    ),
    clock="trading_day",
    key=("stock_code", "sequence"),
    partition="day",
    unit="day",
    sources=("kis", "mock"),
    live="stream",
    may_be_empty=True,
    preview=Preview("stock_code traded_at price quantity side", largest="quantity"),
    chart="tape",
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        _SEQUENCE,
        instant("traded_at", "When it was traded, to the second (체결시각)"),
        _OF_FEED,
        integer("price", "Price (체결가)", KRW, minimum=1),
        integer("quantity", "Shares of this trade (체결량)", SHARES),
        text(
            "side",
            "The side that initiated the trade: buy or sell; null in an auction (체결구분)",
            nullable=True,
        ),
        integer("volume", "Shares traded so far on the day, including this trade", SHARES),
        integer("trading_value", "Value traded so far on the day (누적거래대금)", KRW),
        signed("change", "Price minus base price (전일대비)", KRW),
        integer("best_ask", "Lowest ask; null when there is none (매도호가)", KRW, nullable=True),
        integer("best_bid", "Highest bid; null when there is none (매수호가)", KRW, nullable=True),
        flag("is_halted", "Whether trading is halted (거래정지)"),
        *ORIGIN,
    ),
)

ORDER_BOOK_TICKS = Table(
    name="order_book_ticks",
    description=(
        "Every order book that the real-time feed sent for the stocks that `kis-assets stream "
        "--store --books` followed: ten levels per side, totals, and in auctions the expected "
        "price. fetched_at is when the record arrived. During the day new rows are added every "
        "minute."
    ),
    clock="trading_day",
    key=("stock_code", "sequence"),
    partition="day",
    unit="day",
    sources=("kis", "mock"),
    live="stream",
    may_be_empty=True,
    preview=Preview(
        "stock_code booked_at bid_price_1 ask_price_1",
        largest="total_bid_volume",
    ),
    chart="best_prices",
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        _SEQUENCE,
        instant("booked_at", "When KIS recorded the book, to the second (호가시각)"),
        _OF_FEED,
        *levels("ask", "매도"),
        *levels("bid", "매수"),
        integer("total_ask_volume", "All shares on the ask side (총매도호가잔량)", SHARES),
        integer("total_bid_volume", "All shares on the bid side (총매수호가잔량)", SHARES),
        integer(
            "expected_price",
            "Price at which the auction would end now; null outside auctions (예상체결가)",
            KRW,
            nullable=True,
            minimum=1,
        ),
        integer(
            "expected_volume",
            "Shares that would trade then; null outside auctions (예상거래량)",
            SHARES,
            nullable=True,
        ),
        *ORIGIN,
    ),
)

STREAM_GAPS = Table(
    name="stream_gaps",
    description=(
        "Times in which a stock on the watch list was not recorded. The number of shares that are "
        "missing in trades comes from the running volume of the trades around. The order books of "
        "that time are missing too."
    ),
    clock="trading_day",
    key=("stock_code", "sequence"),
    partition="day",
    unit="day",
    sources=("kis", "mock"),
    live="stream",
    may_be_empty=True,
    preview=Preview("stock_code since missing_volume reason", largest="missing_volume"),
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        _SEQUENCE,
        instant("since", "When it was last recorded; the open for a late start"),
        instant("until", "When it was recorded again", nullable=True),
        integer(
            "missing_volume",
            "Shares traded in between; null if no trade followed",
            SHARES,
            nullable=True,
        ),
        text(
            "reason",
            "late_start: recording began after the open; left_out: the stock was not on the watch "
            "list; stopped: the program was not running; disconnected: the connection broke; "
            "unexplained: the running volume jumps, but the connection did not break",
        ),
        *ORIGIN,
    ),
)
