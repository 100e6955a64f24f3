"""What the real-time feed brought: trades, order books, and what is missing between them."""

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
    "sequence", "Place in the order in which the records of the day arrived, from 1", least=1
)
_OF_FEED = text(
    "session",
    "pre_market, regular, closing_price or after_market, as KIS says since 2026-09-14; null where "
    "it does not: before, and in order books of NXT and unified (MARKET_CLS_CODE)",
    nullable=True,
)

TRADES = Table(
    name="trades",
    description=(
        "Trades of the stocks that `kis-assets stream --store` followed, each once, in the order "
        "in which they came. fetched_at is the moment at which the record arrived. What was traded "
        "while nothing was followed is in stream_gaps. Rows of a day that is not over are added "
        "every minute."
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
        integer("price", "Price (체결가)", KRW, least=1),
        integer("quantity", "Shares of this trade (체결량)", SHARES),
        text(
            "side",
            "Who came to the other's price: buy or sell; null in an auction (체결구분)",
            nullable=True,
        ),
        integer("volume", "Shares traded so far on the day, this trade included", SHARES),
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
        "Every order book that the real-time feed sent of the stocks that `kis-assets stream "
        "--store --books` followed: ten levels a side, totals, and in auctions the expected price. "
        "fetched_at is the moment at which the record arrived. Rows of a day that is not over are "
        "added every minute."
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
        instant("booked_at", "When KIS took the book, to the second (호가시각)"),
        _OF_FEED,
        *levels("ask", "매도"),
        *levels("bid", "매수"),
        integer("total_ask_volume", "Shares on the ask side in all (총매도호가잔량)", SHARES),
        integer("total_bid_volume", "Shares on the bid side in all (총매수호가잔량)", SHARES),
        integer(
            "expected_price",
            "Price at which the auction would end now; null outside auctions (예상체결가)",
            KRW,
            nullable=True,
            least=1,
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
        "When the feed of a stock was not followed though it was wanted, and the shares that are "
        "missing in trades for it, by the running volume of the trades around. The order books of "
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
        instant("since", "The last moment at which it was followed; the open for a late start"),
        instant("until", "When it was followed again", nullable=True),
        integer(
            "missing_volume",
            "Shares traded meanwhile; null where no trade came after it",
            SHARES,
            nullable=True,
        ),
        text(
            "reason",
            "late_start: it was not followed from the open on; left_out: it was not on the watch "
            "list; stopped: the program was not running; disconnected: the connection broke; "
            "unexplained: the running volume jumps, and the connection did not break",
        ),
        *ORIGIN,
    ),
)
