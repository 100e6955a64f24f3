"""Candles: daily ones from KIS and from KRX, and minute candles."""

from __future__ import annotations

import polars as pl

from kis_assets.exchange import finality
from kis_assets.tables.columns import (
    KRW,
    OHLC,
    ORIGIN,
    PERCENT,
    SHARES,
    STOCK_CODE,
    STOCK_NAME,
    TRADING_DAY,
    flag,
    instant,
    integer,
    real,
    signed,
    text,
)
from kis_assets.tables.table import Cost, Preview, Table

DAILY_CANDLES = Table(
    name="daily_candles",
    description=(
        "Each stock on each trading day: raw open, high, low, close, volume and trading value. "
        "Prices are never adjusted here. On a day without a trade open, high, low and volume are "
        "0, and the close is the previous one. In a final row close, high and low are those of the "
        "regular session. Volume and trading value cover the whole day, since 2026-09-14 including "
        "the after-market (16:00 to 20:00), as KRX publishes them. Until the night before the next "
        "session KIS shows the after-market's close, high and low: is_final is false then."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="month",
    unit="month",
    final="next_morning",
    has_past=True,
    catch_up="daily_candle_ingestion",
    is_default=True,
    cost=Cost(is_compared=True),
    preview=Preview(
        "trading_day stock_code close trading_value",
        largest="trading_value",
        where=pl.col("trading_day") == pl.col("trading_day").max(),
    ),
    chart="candlestick",
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        flag(
            "is_final",
            "Whether the row was fetched when it could no longer change: since 2026-09-14 at "
            "06:00 of the next session or later",
            default_sql=finality.is_final_in_sql,
        ),
        *OHLC,
        integer(
            "close",
            "Last price of the session; the carried one without a trade (종가)",
            KRW,
            minimum=1,
        ),
        integer(
            "volume",
            "Shares traded on the whole day, including off-hours and after-market (거래량)",
            SHARES,
        ),
        integer("trading_value", "Value traded (거래대금)", KRW),
        signed("change", "Close minus base price (전일대비)", KRW),
        integer("base_price", "Close minus change (기준가)", KRW),
        text(
            "ex_flag",
            "Ex-event: 00 none, 01 rights, 02 dividend, ...; null from KRX, which does not state "
            "it (락구분)",
            nullable=True,
        ),
        real(
            "split_ratio",
            "Base price divided by previous close on ex-days, else 0; null from KRX (분할비율)",
            nullable=True,
        ),
        text(
            "revaluation",
            "Reason for a new base price; 00 none; null from KRX (재평가사유)",
            nullable=True,
        ),
        flag("has_traded", "False on a day without a trade"),
        *ORIGIN,
    ),
)

KRX_DAILY = Table(
    name="krx_daily",
    description=(
        "Every stock of KOSPI, KOSDAQ and KONEX on each trading day, as the exchange itself "
        "publishes it the next morning (KRX Open API): raw prices, change, volume, trading value, "
        "market cap, listed shares. It is independent of KIS and stored in data/krx, whatever "
        "source is in use. On a day without a trade open, high, low and volume are 0, and the "
        "close is the previous one."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="day",
    unit="month",
    sources=("krx",),
    catch_up="krx_ingestion",
    is_default=True,
    preview=Preview(
        "stock_code stock_name close change_rate volume trading_value",
        largest="trading_value",
    ),
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        STOCK_NAME,
        text("market", "KOSPI, KOSDAQ (including its segment GLOBAL) or KONEX"),
        text(
            "department",
            "Department of KOSDAQ or KONEX, which also marks SPACs and issues under "
            "administration; null for KOSPI (소속부)",
            nullable=True,
        ),
        *OHLC,
        integer(
            "close",
            "Last price of the session; the carried one without a trade (종가)",
            KRW,
            minimum=1,
        ),
        signed(
            "change",
            "Close minus base price; null if KRX states none (대비)",
            KRW,
            nullable=True,
        ),
        real(
            "change_rate",
            "Change in percent of the base price; null without one (등락률)",
            PERCENT,
            nullable=True,
        ),
        integer("volume", "Shares traded (거래량)", SHARES),
        integer("trading_value", "Value traded (거래대금)", KRW),
        integer("market_cap", "Market capitalisation (시가총액)", KRW),
        integer("listed_shares", "Exact number of listed shares (상장주식수)", SHARES),
        *ORIGIN,
    ),
)

_SESSIONS_KEPT = 246  # measured, August 2026

MINUTE_CANDLES = Table(
    name="minute_candles",
    description=(
        "Each stock in each minute with a trade. The regular session goes from the opening "
        "auction to the closing auction. The closing auction is the bar at the close (15:30, or "
        "up to nine minutes later if extended). Since 2026-09-14 the after-market, 16:00 to "
        "19:59, is a session of its own. A minute without a trade has no row. Trades at the "
        "closing price and block trades are not included, so the volumes add up to at most the "
        "day's volume. Prices are split-adjusted as of the moment when they were fetched, as KIS "
        f"returns them. KIS keeps {_SESSIONS_KEPT} sessions: minutes that were not fetched by "
        "then are lost."
    ),
    clock="trading_day",
    key=("started_at", "stock_code"),
    partition="day",
    unit="day",
    sources=("kis", "mock"),
    final="after_hours",
    sessions_kept=_SESSIONS_KEPT,
    has_past=True,
    catch_up="minute_candle_ingestion",
    # Measured from the volumes of a real day; with an after-market, of simulated days.
    cost=Cost(per_stock=2.6, since_after_market=3.9, invented=0.02),
    preview=Preview("started_at stock_code close trading_value", largest="trading_value"),
    chart="minute_coverage",
    columns=(
        TRADING_DAY,
        instant("started_at", "Start of the minute; for the closing auction its end"),
        STOCK_CODE,
        text("session", "regular or after_market", default_sql=lambda: "'regular'"),
        integer(
            "open",
            "First price of the minute. At the open it is the price of the opening auction and may "
            "lie outside low and high (시가)",
            KRW,
            minimum=1,
        ),
        integer("high", "Highest price (고가)", KRW, minimum=1),
        integer("low", "Lowest price (저가)", KRW, minimum=1),
        integer("close", "Last price (종가)", KRW, minimum=1),
        integer("volume", "Shares traded in the minute (체결거래량)", SHARES, minimum=1),
        integer(
            "trading_value",
            "Value traded since the previous minute: the difference of KIS's running sums. The "
            "first minute of a session therefore includes earlier trades at a closing price or in "
            "blocks (거래대금)",
            KRW,
        ),
        *ORIGIN,
    ),
)
