"""Every table once: columns, types, units, key, storage unit. No reading, no writing.

The Dagster column schema, the data dictionary, the DuckDB comments and the checks at the lake's
door are all made from what stands here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import polars as pl

KRW = "KRW"
SHARES = "shares"
PERCENT = "percent"

INSTANT = pl.Datetime("us", "UTC")

Unit = Literal["day", "month", "year"]


@dataclass(frozen=True)
class Column:
    """One column: its Polars type, its unit and what it means.

    `least` is the smallest value that can be right; a smaller one is refused at the door.
    """

    name: str
    dtype: pl.DataType
    description: str
    unit: str = ""
    nullable: bool = False
    least: int | None = None


@dataclass(frozen=True)
class Table:
    """A table: its columns, its key, and the unit that one file of the lake holds.

    `clock` is the column whose day decides the storage unit a row belongs to; `partition` is the
    span one run of the asset covers.
    """

    name: str
    description: str
    clock: str
    key: tuple[str, ...]
    partition: Unit
    unit: Unit
    columns: tuple[Column, ...] = field(repr=False)

    @property
    def schema(self) -> pl.Schema:
        """Column names and Polars types, in the order in which they are stored."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name!r}")

    def empty(self) -> pl.DataFrame:
        """No rows, right types."""
        return pl.DataFrame(schema=self.schema)


def _text(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, pl.String(), description, nullable=nullable)


def _int(
    name: str, description: str, unit: str = "", *, nullable: bool = False, least: int | None = 0
) -> Column:
    return Column(name, pl.Int64(), description, unit, nullable, least)


def _signed(name: str, description: str, unit: str = "", *, nullable: bool = False) -> Column:
    return Column(name, pl.Int64(), description, unit, nullable)


def _float(name: str, description: str, unit: str = "", *, nullable: bool = False) -> Column:
    return Column(name, pl.Float64(), description, unit, nullable)


def _flag(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, pl.Boolean(), description, nullable=nullable)


def _date(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, pl.Date(), description, nullable=nullable)


def _instant(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, INSTANT, description, nullable=nullable)


TRADING_DAY = _date("trading_day", "The day of the session, in Seoul (영업일)")
STOCK_CODE = _text("stock_code", "Short code of six characters, letters included (단축코드)")
STOCK_NAME = _text("stock_name", "Name in Korean (종목명)")
ORIGIN = (
    _text("source", "Where the row comes from: kis, krx or mock"),
    _instant("fetched_at", "When the answer that holds this row was received"),
)

OHLC = (
    _int("open", "First price of the session; 0 on a day without a trade (시가)", KRW),
    _int("high", "Highest price; 0 on a day without a trade (고가)", KRW),
    _int("low", "Lowest price; 0 on a day without a trade (저가)", KRW),
)


MARKET_DAYS = Table(
    name="market_days",
    description="Each calendar day: whether KRX trades, and from when to when.",
    clock="day",
    key=("day",),
    partition="year",
    unit="year",
    columns=(
        _date("day", "Calendar day in Seoul"),
        _flag("is_open", "True when KRX holds a session (개장일)"),
        _instant("opens_at", "When continuous trading starts; null on a closed day", nullable=True),
        _instant("closes_at", "When the closing auction ends; null when closed", nullable=True),
        _text("known_from", "Where this is known from: computed, override or kis"),
        _text("note", "Why the day is special, where it is", nullable=True),
        *ORIGIN,
    ),
)

STOCK_MASTER = Table(
    name="stock_master",
    description=(
        "Each issue listed on a day, as the broker's master files state it: code, ISIN, names, "
        "market, security type, flags, listed shares, face value, listing day, base price. "
        "No history service exists for these flags: a day that was not stored cannot be had later."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="day",
    unit="month",
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        _text("isin", "International securities identification number (표준코드)"),
        STOCK_NAME,
        _text("market", "KOSPI, KOSDAQ or KONEX"),
        _text(
            "security_type",
            "common, preferred, spac, foreign, reit, etf, etn, elw, dr, infrastructure_fund, "
            "ship_fund, investment_company, beneficiary_certificate, foreign_etf, warrant, right "
            "or other",
        ),
        _flag("is_halted", "Trading halted (거래정지)", nullable=True),
        _flag("is_administrative", "Under administration (관리종목)", nullable=True),
        _flag(
            "is_liquidation",
            "Liquidation trading: last days, no price limit (정리매매)",
            nullable=True,
        ),
        _int(
            "listed_shares",
            "Listed shares, known to the thousand (상장주수)",
            SHARES,
            nullable=True,
        ),
        _int("face_value", "Face value; null when unknown (액면가)", KRW, nullable=True),
        _date("listed_on", "Day of listing; null when unknown (상장일)", nullable=True),
        _int("base_price", "Base price of the day (기준가)", KRW, nullable=True),
        _int("previous_volume", "Volume of the session before", SHARES, nullable=True),
        _int(
            "previous_market_cap",
            "Market capitalisation at the previous close, to 100 million KRW",
            KRW,
            nullable=True,
        ),
        _text("security_group", "Security group code as KIS writes it (증권그룹)"),
        _text("size_class", "Size class of the market cap; KIS's digit", nullable=True),
        _text("sector_large", "Index sector code, large class", nullable=True),
        _text("sector_medium", "Index sector code, middle class", nullable=True),
        _text("sector_small", "Index sector code, small class", nullable=True),
        _text("preferred_class", "0 common, 1 old preferred, 2 new (우선주)", nullable=True),
        _text("etp_class", "Kind of exchange-traded product; 0 none", nullable=True),
        _text("market_warning", "00 none, 01 caution, 02 warning, 03 risk", nullable=True),
        _text("ex_flag", "Ex-event of the day, 00 none (락구분)", nullable=True),
        _text("face_value_change", "00 none, 01 split, 02 reverse split, 99 other", nullable=True),
        _text("capital_increase", "00 none, 01 paid-in, 02 bonus, 03 both", nullable=True),
        _text(
            "overheated",
            "Short-term overheated: 0 none, 1 notice, 2 set, 3 extended",
            nullable=True,
        ),
        _flag("is_spac", "Special purpose acquisition company", nullable=True),
        _flag("is_low_liquidity", "Low liquidity", nullable=True),
        _flag("is_warning_announced", "A market warning is announced", nullable=True),
        _flag("is_unfaithful", "Unfaithful disclosure", nullable=True),
        _flag("is_backdoor_listing", "Back-door listing", nullable=True),
        _flag("is_short_sale_overheated", "Short-sale overheated", nullable=True),
        _flag("is_abnormal_rise", "Abnormal rise", nullable=True),
        _flag("is_investor_attention", "KOSDAQ investor attention; null elsewhere", nullable=True),
        _flag("is_venture", "Venture company (KOSDAQ); null elsewhere", nullable=True),
        _flag("is_manufacturer", "Manufacturer (KOSPI); null elsewhere", nullable=True),
        _flag("has_elw", "ELWs are issued on it (KOSPI)", nullable=True),
        _text("kospi200_sector", "KOSPI 200 sector, 0 not a member; KOSPI only", nullable=True),
        _flag("in_kospi", "In the KOSPI index", nullable=True),
        _flag("in_kospi100", "In KOSPI 100", nullable=True),
        _flag("in_kospi50", "In KOSPI 50", nullable=True),
        _flag("in_kosdaq150", "In KOSDAQ 150", nullable=True),
        _flag("in_krx", "A KRX issue", nullable=True),
        _flag("in_krx100", "In KRX 100", nullable=True),
        _flag("in_krx300", "In KRX 300", nullable=True),
        _flag("in_governance_index", "In the governance index", nullable=True),
        _flag("in_sri", "In the SRI index", nullable=True),
        _flag("in_krx_autos", "In KRX Autos", nullable=True),
        _flag("in_krx_semiconductors", "In KRX Semiconductors", nullable=True),
        _flag("in_krx_bio", "In KRX Bio", nullable=True),
        _flag("in_krx_banks", "In KRX Banks", nullable=True),
        _flag("in_krx_energy", "In KRX Energy and Chemicals", nullable=True),
        _flag("in_krx_steel", "In KRX Steel", nullable=True),
        _flag("in_krx_media", "In KRX Media and Telecom", nullable=True),
        _flag("in_krx_construction", "In KRX Construction", nullable=True),
        _flag("in_krx_securities", "In KRX Securities", nullable=True),
        _flag("in_krx_ships", "In KRX Shipbuilding", nullable=True),
        _flag("in_krx_insurance", "In KRX Insurance", nullable=True),
        _flag("in_krx_transport", "In KRX Transport", nullable=True),
        _int("lot", "Lot of the regular session", SHARES, nullable=True),
        _int("after_hours_lot", "Lot of the after-hours session", SHARES, nullable=True),
        _int("margin_rate", "Margin rate", PERCENT, nullable=True),
        _flag("is_credit_possible", "Credit orders possible", nullable=True),
        _int("credit_days", "Credit days", "days", nullable=True),
        _signed("capital", "Paid-in capital; unit as KIS writes it, unconfirmed", nullable=True),
        _text("settlement_month", "Last month of the fiscal year", nullable=True),
        _int("offer_price", "Price of the public offer", KRW, nullable=True),
        _signed("sales", "Sales; 100 million KRW, unconfirmed", "100 million KRW", nullable=True),
        _signed("operating_profit", "Operating profit", "100 million KRW", nullable=True),
        _signed("ordinary_profit", "Ordinary profit", "100 million KRW", nullable=True),
        _signed("net_income", "Net income", "100 million KRW", nullable=True),
        _float("roe", "Return on equity", PERCENT, nullable=True),
        _text("accounts_month", "Year and month of the accounts", nullable=True),
        _text("group_code", "Business group", nullable=True),
        _flag("is_credit_limit_exceeded", "KIS's credit limit is used up", nullable=True),
        _flag("is_lending_possible", "Loan on collateral possible", nullable=True),
        _flag("is_stock_loan_possible", "Stock loan possible", nullable=True),
        *ORIGIN,
    ),
)

PRICE_SNAPSHOTS = Table(
    name="price_snapshots",
    description=(
        "Each stock at one capture: price, change, the session's open, high and low so far, "
        "volume and trading value so far, limits, best bid and ask. Captures are live: they can "
        "not be asked for later. All rows of a capture share captured_at; fetched_at is the row's "
        "own moment."
    ),
    clock="trading_day",
    key=("captured_at", "stock_code"),
    partition="day",
    unit="day",
    columns=(
        TRADING_DAY,
        _instant("captured_at", "When the capture started; the same for all its rows"),
        STOCK_CODE,
        STOCK_NAME,
        _int(
            "price", "Last price; the previous close until the first trade (현재가)", KRW, least=1
        ),
        _signed("change", "Price minus base price (전일대비)", KRW),
        _float("change_rate", "Change in percent of the base price (등락률)", PERCENT),
        *OHLC,
        _int("volume", "Shares traded so far (누적거래량)", SHARES),
        _int("trading_value", "Value traded so far (누적거래대금)", KRW),
        _int(
            "market_cap",
            "Price times listed shares of the stock master, which knows shares to the thousand; "
            "null when the master has none (시가총액)",
            KRW,
            nullable=True,
        ),
        _int("upper_limit", "Upper price limit of the day (상한가)", KRW, nullable=True),
        _int("lower_limit", "Lower price limit of the day (하한가)", KRW, nullable=True),
        _int("base_price", "Base price of the day (기준가)", KRW, nullable=True),
        _int("previous_close", "Close of the session before (전일종가)", KRW, nullable=True),
        _int("best_ask", "Lowest ask; null when there is none (매도호가)", KRW, nullable=True),
        _int("best_bid", "Highest bid; null when there is none (매수호가)", KRW, nullable=True),
        _int("best_ask_volume", "Shares at the best ask", SHARES, nullable=True),
        _int("best_bid_volume", "Shares at the best bid", SHARES, nullable=True),
        _int("total_ask_volume", "Shares on the ask side in all", SHARES, nullable=True),
        _int("total_bid_volume", "Shares on the bid side in all", SHARES, nullable=True),
        *ORIGIN,
    ),
)

DAILY_CANDLES = Table(
    name="daily_candles",
    description=(
        "Each stock on each trading day: raw open, high, low, close, volume and trading value. "
        "Prices are never adjusted here. A day without a trade has open, high, low and volume 0 "
        "and carries the previous close."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="month",
    unit="month",
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        *OHLC,
        _int(
            "close",
            "Last price of the session; the carried one without a trade (종가)",
            KRW,
            least=1,
        ),
        _int("volume", "Shares traded, off-hours included (거래량)", SHARES),
        _int("trading_value", "Value traded (거래대금)", KRW),
        _signed("change", "Close minus base price (전일대비)", KRW),
        _int("base_price", "Close minus change (기준가)", KRW),
        _text("ex_flag", "Ex-event: 00 none, 01 rights, 02 dividend, ... (락구분)"),
        _float("split_ratio", "Base price over previous close on ex-days, else 0 (분할비율)"),
        _text("revaluation", "Reason of a re-based price; 00 none (재평가사유)"),
        _flag("has_traded", "False on a day without a trade"),
        *ORIGIN,
    ),
)

TABLES = {
    table.name: table for table in (MARKET_DAYS, STOCK_MASTER, PRICE_SNAPSHOTS, DAILY_CANDLES)
}
