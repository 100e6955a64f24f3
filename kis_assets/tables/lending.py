"""Short sales, lent shares and margin loans."""

from __future__ import annotations

from kis_assets.tables.columns import (
    KRW,
    ORIGIN,
    PERCENT,
    SHARES,
    STOCK_CODE,
    TRADING_DAY,
    day,
    integer,
    real,
    signed,
)
from kis_assets.tables.table import Cost, Preview, Table

SHORT_SALES = Table(
    name="short_sales",
    description=(
        "Short sales of a stock on a day. These are flows: KIS has no outstanding short "
        "positions. A day without short sales has a row with 0; a day without a row is unknown. "
        "Shares are on the share count of that day."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="month",
    unit="month",
    sources=("kis", "mock"),
    final="published",
    published_after=1,
    has_past=True,
    catch_up="flow_ingestion",
    on_virtual="lacking",
    cost=Cost(days=100),
    preview=Preview(
        "trading_day stock_code short_volume short_value short_ratio", largest="short_value"
    ),
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        integer("short_volume", "Shares sold short (공매도 수량)", SHARES),
        integer("short_value", "Their value (공매도 거래대금)", KRW),
        real(
            "short_ratio",
            "Short volume in percent of the volume in daily_candles, both on the share count of "
            "that day; null if no candle is stored (공매도 비중)",
            PERCENT,
            nullable=True,
        ),
        *ORIGIN,
    ),
)

STOCK_LOANS = Table(
    name="stock_loans",
    description=(
        "Lent shares of a stock after a day (대차거래), since 2014. They are not necessarily sold, "
        "so this is not a short position. KIS has some negative balances and some above the "
        "listed shares; they are stored as they are."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="month",
    unit="month",
    sources=("kis", "mock"),
    final="published",
    published_after=1,
    has_past=True,
    catch_up="flow_ingestion",
    on_virtual="lacking",
    cost=Cost(days=100),
    preview=Preview("trading_day stock_code loan_balance loan_amount new", largest="loan_amount"),
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        signed("loan_balance", "Lent shares after the day; may be negative (잔고 주수)", SHARES),
        signed("loan_amount", "Their value at the close, to the million (잔고 금액)", KRW),
        integer("new", "Shares newly lent (체결)", SHARES),
        integer("repaid", "Shares given back (상환)", SHARES),
        *ORIGIN,
    ),
)

CREDIT_BALANCES = Table(
    name="credit_balances",
    description=(
        "Margin loans on a stock after a day (신용융자 잔고), by the day of the deal. A day is "
        "published three sessions later. About fifty stocks are not eligible and never have a row."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="month",
    unit="month",
    sources=("kis", "mock"),
    final="published",
    published_after=3,
    has_past=True,
    catch_up="credit_ingestion",
    on_virtual="lacking",
    # KIS gives thirty by day of settlement; the newest are of deals after the last requested day.
    cost=Cost(days=24),
    preview=Preview("trading_day stock_code loan_balance loan_amount new", largest="loan_amount"),
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        integer("loan_balance", "Shares bought on credit after the day (융자 잔고)", SHARES),
        integer("loan_amount", "Money lent on them, to the ten thousand (융자 금액)", KRW),
        day("settled_on", "When the deals of the day are settled (결제일)"),
        integer("new", "Shares newly bought on credit (신규)", SHARES),
        integer("repaid", "Shares whose loan was repaid (상환)", SHARES),
        *ORIGIN,
    ),
)
