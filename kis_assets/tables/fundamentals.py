"""Valuations of stocks, and financial statements of companies."""

from __future__ import annotations

from kis_assets.tables.columns import (
    KRW,
    ORIGIN,
    PERCENT,
    SHARES,
    STOCK_CODE,
    TRADING_DAY,
    day,
    instant,
    integer,
    real,
    signed,
    text,
)
from kis_assets.tables.table import Cost, Preview, Table

VALUATIONS = Table(
    name="valuations",
    description=(
        "Each stock's ratios, foreign holding, 52-week extremes and status at one moment. KIS has "
        "no history of them: a missed day is not available later. PER and PBR divide the price by "
        "figures of the last full fiscal year."
    ),
    clock="trading_day",
    key=("captured_at", "stock_code"),
    partition="day",
    unit="month",
    sources=("kis", "mock"),
    live="quotes",
    cost=Cost(),
    preview=Preview("stock_code price per pbr market_cap", largest="market_cap"),
    columns=(
        TRADING_DAY,
        instant("captured_at", "When the capture started; the same for all its rows"),
        STOCK_CODE,
        integer("price", "Last price when the stock was requested (현재가)", KRW, minimum=1),
        real("per", "Price divided by earnings per share; null without earnings", nullable=True),
        real(
            "pbr", "Price divided by book value per share; null without book value", nullable=True
        ),
        real("eps", "Earnings per share of the last full fiscal year", KRW, nullable=True),
        real("bps", "Book value per share of the last full fiscal year", KRW, nullable=True),
        text("fiscal_month", "Month in which the fiscal year ends (결산월)", nullable=True),
        integer("listed_shares", "Listed shares (상장주수)", SHARES, nullable=True),
        integer("market_cap", "Market capitalisation, to 100 million KRW", KRW, nullable=True),
        integer("capital", "Paid-in capital, to 100 million KRW", KRW, nullable=True),
        integer(
            "foreign_shares",
            "Shares held by foreigners, as last published (외국인 보유)",
            SHARES,
            nullable=True,
        ),
        real(
            "foreign_rate",
            "Share of foreigners in the listed shares (외국인 지분율)",
            PERCENT,
            nullable=True,
        ),
        real(
            "foreign_limit_used",
            "Used part of the limit for foreigners (외국인 소진율)",
            PERCENT,
            nullable=True,
        ),
        signed("foreign_net_volume", "Bought by foreigners today; provisional", nullable=True),
        signed("program_net_volume", "Bought by programmes today; provisional", nullable=True),
        integer("week52_high", "Highest price of 52 weeks, as KIS states it", KRW, nullable=True),
        day("week52_high_on", "Day of the highest price", nullable=True),
        integer(
            "week52_low",
            "Lowest price of 52 weeks, as KIS states it; null if KIS counts days without a trade",
            KRW,
            nullable=True,
        ),
        day("week52_low_on", "Day of the lowest price", nullable=True),
        real("turnover_rate", "Volume in percent of the listed shares", PERCENT, nullable=True),
        real(
            "credit_rate",
            "Shares bought on credit in percent of the listed shares",
            PERCENT,
            nullable=True,
        ),
        text(
            "status_code",
            "51 under administration, 52 risk, 53 warning, 54 caution, 55 credit possible, 57 "
            "margin 100 %, 58 halted, 59 short-term overheated, 00 none (종목상태)",
            nullable=True,
        ),
        text("vi_code", "Volatility interruption: N none (VI)", nullable=True),
        text("warning_code", "00 none, 01 caution, 02 warning, 03 risk", nullable=True),
        text("short_overheated", "Y if short sales are overheated", nullable=True),
        *ORIGIN,
    ),
)

FINANCIAL_STATEMENTS = Table(
    name="financial_statements",
    description=(
        "Quarters and years of each company, as KIS showed them in a month. A past month is never "
        "changed, so it stays readable what was known at which time. Quarters are single quarters: "
        "a figure that KIS accumulates is null if KIS's list lacks the quarter before. KIS states "
        "neither whether figures are consolidated nor when they were published."
    ),
    clock="asked_month",
    key=("asked_month", "stock_code", "fiscal_month", "period"),
    partition="month",
    unit="month",
    sources=("kis", "mock"),
    catch_up="statement_ingestion",
    is_current_only=True,
    on_virtual="lacking",
    cost=Cost(6.0, invented=0.01),
    preview=Preview(
        "stock_code fiscal_month revenue operating_profit net_income",
        largest="revenue",
    ),
    columns=(
        day("asked_month", "First day of the month in which this was requested"),
        STOCK_CODE,
        day("fiscal_month", "First day of the last month of the period"),
        text("period", "quarter (a single one) or annual"),
        signed("revenue", "Sales, to the million (매출액)", KRW, nullable=True),
        signed("operating_profit", "Operating profit (영업이익)", KRW, nullable=True),
        signed("pretax_profit", "Profit before tax (법인세차감전이익)", KRW, nullable=True),
        signed("net_income", "Net income (당기순이익)", KRW, nullable=True),
        signed("total_assets", "Total assets (자산총계)", KRW, nullable=True),
        signed("total_liabilities", "Total liabilities (부채총계)", KRW, nullable=True),
        signed("total_equity", "Total equity (자본총계)", KRW, nullable=True),
        real("eps", "Earnings per share of the period (주당순이익)", KRW, nullable=True),
        real("bps", "Book value per share (주당순자산)", KRW, nullable=True),
        real("roe", "Return on equity, as KIS states it (자기자본이익률)", PERCENT, nullable=True),
        real("debt_ratio", "Liabilities in percent of equity (부채비율)", PERCENT, nullable=True),
        *ORIGIN,
    ),
)
