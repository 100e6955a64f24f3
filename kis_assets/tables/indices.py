"""Indices, and net asset values of funds."""

from __future__ import annotations

from kis_assets.tables.columns import (
    KRW,
    ORIGIN,
    PERCENT,
    SHARES,
    STOCK_CODE,
    TRADING_DAY,
    integer,
    real,
    text,
)
from kis_assets.tables.table import Cost, Preview, Table

INDEX_CANDLES = Table(
    name="index_candles",
    description=(
        "Daily bars of each index in KIS's index master that has any: KOSPI is 0001, KOSDAQ 1001, "
        "KOSPI 200 2001. Levels in points; shares to the thousand, value to the million. "
        "KIS_INDICES limits the list."
    ),
    clock="trading_day",
    key=("trading_day", "index_code"),
    partition="month",
    unit="year",
    sources=("kis", "mock"),
    rows_of="indices",
    final="published",
    published_after=1,
    is_default=True,
    has_past=True,
    catch_up="market_figure_ingestion",
    preview=Preview("trading_day index_code index_name close change", largest="trading_value"),
    columns=(
        TRADING_DAY,
        text("index_code", "Code of four digits (업종 코드)"),
        text("index_name", "Name as KIS writes it (업종명)"),
        real("open", "First level (시가)", "points"),
        real("high", "Highest level (고가)", "points"),
        real("low", "Lowest level (저가)", "points"),
        real("close", "Last level (종가)", "points"),
        integer("volume", "Shares traded, to the thousand (거래량)", SHARES),
        integer("trading_value", "Value traded, to the million (거래대금)", KRW),
        real(
            "change",
            "Close minus the close of the session before; null if that is unknown",
            "points",
            nullable=True,
        ),
        *ORIGIN,
    ),
)

ETF_NAVS = Table(
    name="etf_navs",
    description=(
        "Each ETF's close and net asset value on a day. During a day KIS shows only the indicative "
        "value, so a row is stored from 07:40 of the next session on."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="month",
    unit="month",
    sources=("kis", "mock"),
    rows_of="ETFs",
    final="published",
    published_after=1,
    has_past=True,
    catch_up="fund_ingestion",
    on_virtual="lacking",
    cost=Cost(days=100, invented=0.0),
    preview=Preview("trading_day stock_code close nav premium_rate", largest="trading_day"),
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        integer("close", "Last price (종가)", KRW, minimum=1),
        real("nav", "Net asset value of one share (순자산가치)", KRW),
        real(
            "premium_rate", "Close in percent of the net asset value, minus 100 % (괴리율)", PERCENT
        ),
        real(
            "nav_change",
            "Net asset value minus that of the session before; null if that is unknown",
            KRW,
            nullable=True,
        ),
        *ORIGIN,
    ),
)
