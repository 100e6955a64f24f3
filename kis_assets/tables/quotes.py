"""Live quotes: prices and order books."""

from __future__ import annotations

from kis_assets.tables.columns import (
    KRW,
    OHLC,
    ORIGIN,
    PERCENT,
    SESSION,
    SHARES,
    STOCK_CODE,
    STOCK_NAME,
    TRADING_DAY,
    Column,
    instant,
    integer,
    real,
    signed,
    text,
)
from kis_assets.tables.table import Cost, Preview, Table

PRICE_SNAPSHOTS = Table(
    name="price_snapshots",
    description=(
        "Each stock at one capture: price, change, the session's open, high and low so far, "
        "volume and trading value so far, limits, best bid and ask. Captures are live: they are "
        "not available later. All rows of a capture share captured_at; fetched_at is the row's "
        "own time. In the after-market and after it, price, high, low and change are those of the "
        "after-market: session says so, and regular_close is the official close."
    ),
    clock="trading_day",
    key=("captured_at", "stock_code"),
    partition="day",
    unit="day",
    sources=("kis", "mock"),
    live="quotes",
    is_default=True,
    cost=Cost(in_bundles=True, is_compared=True),
    preview=Preview(
        "stock_code stock_name price change_rate volume trading_value", largest="trading_value"
    ),
    chart="market_breadth",
    columns=(
        TRADING_DAY,
        instant("captured_at", "When the capture started; the same for all its rows"),
        STOCK_CODE,
        STOCK_NAME,
        integer(
            "price", "Last price; the previous close until the first trade (현재가)", KRW, minimum=1
        ),
        SESSION,
        integer(
            "regular_close",
            "The day's official close, captured between ten minutes after the close and the "
            "opening of the after-market; null until then, and if no such capture was made",
            KRW,
            nullable=True,
            minimum=1,
        ),
        signed("change", "Price minus base price (전일대비)", KRW),
        real("change_rate", "Change in percent of the base price (등락률)", PERCENT),
        *OHLC,
        integer("volume", "Shares traded so far (누적거래량)", SHARES),
        integer("trading_value", "Value traded so far (누적거래대금)", KRW),
        integer(
            "market_cap",
            "Price times the listed shares in the stock master, which are exact to one thousand; "
            "null if the master has none (시가총액)",
            KRW,
            nullable=True,
        ),
        integer("upper_limit", "Upper price limit of the day (상한가)", KRW, nullable=True),
        integer("lower_limit", "Lower price limit of the day (하한가)", KRW, nullable=True),
        integer("base_price", "Base price of the day (기준가)", KRW, nullable=True),
        integer("previous_close", "Close of the session before (전일종가)", KRW, nullable=True),
        integer("best_ask", "Lowest ask; null when there is none (매도호가)", KRW, nullable=True),
        integer("best_bid", "Highest bid; null when there is none (매수호가)", KRW, nullable=True),
        integer("best_ask_volume", "Shares at the best ask", SHARES, nullable=True),
        integer("best_bid_volume", "Shares at the best bid", SHARES, nullable=True),
        integer("total_ask_volume", "All shares on the ask side", SHARES, nullable=True),
        integer("total_bid_volume", "All shares on the bid side", SHARES, nullable=True),
        *ORIGIN,
    ),
)

LEVELS = 10
"""The number of levels on each side of an order book."""


def levels(side: str, korean: str) -> tuple[Column, ...]:
    """The columns of price and volume of each level of a side, the best one first."""
    prices = (
        integer(
            f"{side}_price_{level}",
            f"Price of {side} level {level}; null where there is no level ({korean}호가{level})",
            KRW,
            nullable=True,
            minimum=1,
        )
        for level in range(1, LEVELS + 1)
    )
    volumes = (
        integer(
            f"{side}_volume_{level}",
            f"Shares at {side} level {level}; null without one ({korean}호가 잔량{level})",
            SHARES,
            nullable=True,
        )
        for level in range(1, LEVELS + 1)
    )
    return (*prices, *volumes)


ORDER_BOOKS = Table(
    name="order_books",
    description=(
        "Ten levels per side of each stock at one capture, their totals, and in auctions the "
        "expected price. Captures are live: they are not available later. All rows of a capture "
        "share captured_at. KIS answers one stock per request, so fetched_at is the row's own "
        "time, minutes apart from other rows. KIS does not state the number of orders per level. "
        "A stock that nobody quotes (halted, or outside the session) has a row without levels."
    ),
    clock="trading_day",
    key=("captured_at", "stock_code"),
    partition="day",
    unit="day",
    sources=("kis", "mock"),
    live="quotes",
    cost=Cost(),
    preview=Preview(
        "stock_code bid_volume_1 bid_price_1 ask_price_1 ask_volume_1",
        largest="total_bid_volume",
    ),
    chart="order_book_depth",
    columns=(
        TRADING_DAY,
        instant("captured_at", "When the capture started; the same for all its rows"),
        STOCK_CODE,
        SESSION,
        *levels("ask", "매도"),
        *levels("bid", "매수"),
        integer(
            "total_ask_volume",
            "All shares on the ask side, also beyond ten levels (총매도호가잔량)",
            SHARES,
        ),
        integer(
            "total_bid_volume",
            "All shares on the bid side, also beyond ten levels (총매수호가잔량)",
            SHARES,
        ),
        integer(
            "expected_price",
            "Price at which the auction would end now; null if there is none (예상체결가)",
            KRW,
            nullable=True,
            minimum=1,
        ),
        integer(
            "expected_volume",
            "Shares that would trade then; null without an expected price (예상거래량)",
            SHARES,
            nullable=True,
        ),
        instant(
            "booked_at",
            "When KIS recorded the book. KIS gives a time without a date, which is taken as a "
            "time of trading_day. Null if it is blank or would lie in the future (호가접수시간)",
            nullable=True,
        ),
        text(
            "market_phase",
            "Market phase as KIS writes it: 20 continuous trading, 00 opening or closing auction, "
            "1. before the open, 3. after the close, 4. after hours (신장운영구분코드)",
            nullable=True,
        ),
        text(
            "vi_code",
            "Volatility interruption: N if there is none (VI적용구분코드)",
            nullable=True,
        ),
        *ORIGIN,
    ),
)
