"""Who bought and sold: by stock, by market, and by programme."""

from __future__ import annotations

from kis_assets.tables.columns import (
    KRW,
    ORIGIN,
    SHARES,
    STOCK_CODE,
    TRADING_DAY,
    integer,
    signed,
    text,
)
from kis_assets.tables.table import Cost, Preview, Table

_INVESTOR = text(
    "investor",
    "individual, foreign_registered, foreign_unregistered, securities, investment_trust, "
    "private_fund, bank, insurance, merchant_bank, pension, other_institution or "
    "other_corporation: classes that do not overlap (투자자)",
)
_SIDES = (
    integer("buy_volume", "Shares bought (매수 수량)", SHARES),
    integer("sell_volume", "Shares sold (매도 수량)", SHARES),
    signed("net_volume", "Shares bought minus shares sold (순매수 수량)", SHARES),
)

INVESTOR_FLOWS = Table(
    name="investor_flows",
    description=(
        "What each class of investors bought and sold of a stock on a day: twelve rows per stock "
        "and day, without totals. Shares are on the share count of that day, so old rows do not "
        "change after a split. Values are exact to one million KRW. A row is stored from 07:40 of "
        "the next session on, when it is final."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code", "investor"),
    partition="month",
    unit="month",
    sources=("kis", "mock"),
    final="published",
    published_after=1,
    is_default=True,
    has_past=True,
    catch_up="flow_ingestion",
    on_virtual="lacking",
    cost=Cost(days=30, invented=0.02),
    preview=Preview("trading_day stock_code investor net_value", largest="net_value"),
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        _INVESTOR,
        *_SIDES,
        integer("buy_value", "Value bought, to the million (매수 대금)", KRW),
        integer("sell_value", "Value sold, to the million (매도 대금)", KRW),
        signed("net_value", "Value bought minus value sold, to the million (순매수 대금)", KRW),
        *ORIGIN,
    ),
)

MARKET_FLOWS = Table(
    name="market_flows",
    description=(
        "Net purchases of each class of investors on KOSPI and KOSDAQ: twelve rows per market and "
        "day. KIS publishes only net figures: shares to the thousand, values to the million. "
        "Volume and value may have opposite signs."
    ),
    clock="trading_day",
    key=("trading_day", "market", "investor"),
    partition="month",
    unit="year",
    sources=("kis", "mock"),
    rows_of="markets",
    final="published",
    published_after=1,
    is_default=True,
    has_past=True,
    catch_up="market_figure_ingestion",
    on_virtual="lacking",
    preview=Preview("trading_day market investor net_volume net_value", largest="trading_day"),
    columns=(
        TRADING_DAY,
        text("market", "KOSPI or KOSDAQ"),
        _INVESTOR,
        signed("net_volume", "Shares bought minus shares sold, to the thousand", SHARES),
        signed("net_value", "Value bought minus value sold, to the million (순매수 대금)", KRW),
        *ORIGIN,
    ),
)

PROGRAM_TRADES = Table(
    name="program_trades",
    description=(
        "What trading programmes bought and sold of a stock on a day. Arbitrage and non-arbitrage "
        "are one figure: KIS does not separate them by stock. A row is stored from 07:40 of the "
        "next session on."
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
    cost=Cost(days=30),
    preview=Preview("trading_day stock_code buy_value net_value", largest="net_value"),
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        *_SIDES,
        integer("buy_value", "Value bought (매수 대금)", KRW),
        integer("sell_value", "Value sold (매도 대금)", KRW),
        signed("net_value", "Value bought minus value sold (순매수 대금)", KRW),
        *ORIGIN,
    ),
)
