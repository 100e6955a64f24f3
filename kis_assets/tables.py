"""Every table once: columns, types, units, key, storage unit. No reading, no writing.

The Dagster column schema, the data dictionary, the DuckDB comments and the checks at the lake's
door are all made from what stands here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from kis_assets.exchange import finality

KRW = "KRW"
SHARES = "shares"
PERCENT = "percent"

INSTANT = pl.Datetime("us", "UTC")

Unit = Literal["day", "month", "year"]


@dataclass(frozen=True)
class Column:
    """One column: its Polars type, its unit and what it means.

    `least` is the smallest value that can be right; a smaller one is refused at the door. `before`
    gives, as SQL over the other columns, the value in rows that were stored before the column was
    thought of; without it that is null.
    """

    name: str
    dtype: pl.DataType
    description: str
    unit: str = ""
    nullable: bool = False
    least: int | None = None
    before: Callable[[], str] | None = None


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


def _text(
    name: str,
    description: str,
    *,
    nullable: bool = False,
    before: Callable[[], str] | None = None,
) -> Column:
    return Column(name, pl.String(), description, nullable=nullable, before=before)


def _int(
    name: str, description: str, unit: str = "", *, nullable: bool = False, least: int | None = 0
) -> Column:
    return Column(name, pl.Int64(), description, unit, nullable, least)


def _signed(name: str, description: str, unit: str = "", *, nullable: bool = False) -> Column:
    return Column(name, pl.Int64(), description, unit, nullable)


def _float(name: str, description: str, unit: str = "", *, nullable: bool = False) -> Column:
    return Column(name, pl.Float64(), description, unit, nullable)


def _flag(
    name: str,
    description: str,
    *,
    nullable: bool = False,
    before: Callable[[], str] | None = None,
) -> Column:
    return Column(name, pl.Boolean(), description, nullable=nullable, before=before)


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

SESSION = _text(
    "session",
    "The session in which this was seen: pre_open, regular, closing_price (15:30 to 16:00), "
    "after_market (16:00 to 20:00 since 2026-09-14) or closed; on NXT pre_market, regular, "
    "after_market or closed. After the last trade it is closed, and the price the after-market's "
    "last. Null in rows stored before 2026-11-27",
    nullable=True,
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
        _instant(
            "after_market_opens_at",
            "When KRX's after-market opens; null before 2026-09-14 and when closed",
            nullable=True,
        ),
        _instant(
            "after_market_closes_at",
            "When KRX's after-market closes; on days that close late as in earlier years, which "
            "did not end later; null before 2026-09-14 and when closed",
            nullable=True,
        ),
        _text("known_from", "Where this is known from: computed, override or kis"),
        _text("note", "Why the day is special, where it is", nullable=True),
        _instant("asked_at", "When KIS was asked for its calendar on this very day", nullable=True),
        *ORIGIN,
    ),
)

STOCK_MASTER = Table(
    name="stock_master",
    description=(
        "Each issue listed on a day, as the broker's master files state it: code, ISIN, names, "
        "market, security type, flags, listed shares, face value, listing day, base price. "
        "No history service exists for these flags: a day that was not stored cannot be had later. "
        "From KRX come shares alone, of any past day, and most flags are null."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="day",
    unit="month",
    columns=(
        TRADING_DAY,
        _text(
            "stock_code",
            "Short code of six characters, letters included; ETNs have a leading Q, funds F and "
            "eight digits (단축코드)",
        ),
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
            "Listed shares, known to the thousand; exact from KRX (상장주수)",
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
        _text(
            "security_group",
            "Security group code as KIS writes it: ST shares, those of KONEX among them (증권그룹)",
        ),
        _text("size_class", "Size class of the market cap; KIS's digit", nullable=True),
        _text(
            "sector_large",
            "Index code of the size class, which KIS calls the large class of sectors",
            nullable=True,
        ),
        _text("sector_medium", "Index sector code, middle class", nullable=True),
        _text("sector_small", "Index sector code, small class", nullable=True),
        _text(
            "preferred_class",
            "0 common, 1 old preferred, 2 new preferred, 9 preferred of another kind (우선주)",
            nullable=True,
        ),
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
        _signed(
            "net_income",
            "Net income; null where KIS's five places are full and the ordinary profit has more "
            "digits than fit in them: a digit is cut off then",
            "100 million KRW",
            nullable=True,
        ),
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
        "own moment. In the after-market and after it price, high, low and change are the "
        "after-market's: session says so, and regular_close is the official close."
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
        SESSION,
        _int(
            "regular_close",
            "The day's official close, as captured from ten minutes after the close until the "
            "after-market opens; null until then, and where no such capture was made",
            KRW,
            nullable=True,
            least=1,
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

LEVELS = 10
"""Levels that an order book has on either side."""


def _levels(side: str, korean: str) -> tuple[Column, ...]:
    """Price and volume of each level of a side, the best one first."""
    prices = (
        _int(
            f"{side}_price_{level}",
            f"Price of {side} level {level}; null where there is no level ({korean}호가{level})",
            KRW,
            nullable=True,
            least=1,
        )
        for level in range(1, LEVELS + 1)
    )
    volumes = (
        _int(
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
        "Ten levels a side of each stock at one capture, their totals, and in auctions the "
        "expected price. Captures are live: they cannot be asked for later. All rows of a capture "
        "share captured_at, but KIS answers one stock a request: fetched_at is the row's own "
        "moment, minutes apart from others. KIS states no number of orders a level. A stock that "
        "nobody quotes (halted, or outside the session) has a row without levels."
    ),
    clock="trading_day",
    key=("captured_at", "stock_code"),
    partition="day",
    unit="day",
    columns=(
        TRADING_DAY,
        _instant("captured_at", "When the capture started; the same for all its rows"),
        STOCK_CODE,
        SESSION,
        *_levels("ask", "매도"),
        *_levels("bid", "매수"),
        _int(
            "total_ask_volume",
            "Shares on the ask side in all, beyond ten levels too (총매도호가잔량)",
            SHARES,
        ),
        _int(
            "total_bid_volume",
            "Shares on the bid side in all, beyond ten levels too (총매수호가잔량)",
            SHARES,
        ),
        _int(
            "expected_price",
            "Price at which the auction would end now; null when there is none (예상체결가)",
            KRW,
            nullable=True,
            least=1,
        ),
        _int(
            "expected_volume",
            "Shares that would trade then; null without an expected price (예상거래량)",
            SHARES,
            nullable=True,
        ),
        _instant(
            "booked_at",
            "When KIS took the book. KIS gives a time without a date: it is put on trading_day, "
            "and null where it is blank or would lie ahead (호가접수시간)",
            nullable=True,
        ),
        _text(
            "market_phase",
            "Market phase as KIS writes it: 20 continuous trading, 00 opening or closing auction, "
            "1. before the open, 3. after the close, 4. after hours (신장운영구분코드)",
            nullable=True,
        ),
        _text(
            "vi_code",
            "Volatility interruption: N when there is none (VI적용구분코드)",
            nullable=True,
        ),
        *ORIGIN,
    ),
)

DAILY_CANDLES = Table(
    name="daily_candles",
    description=(
        "Each stock on each trading day: raw open, high, low, close, volume and trading value. "
        "Prices are never adjusted here. A day without a trade has open, high, low and volume 0 "
        "and carries the previous close. Of a final row close, high and low are the regular "
        "session's; volume and trading value are the whole day's, since 2026-09-14 with the "
        "after-market (16:00 to 20:00), as KRX publishes them. Until the night before the next "
        "session KIS has the after-market's close, high and low: is_final is false then."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="month",
    unit="month",
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        _flag(
            "is_final",
            "Whether the row was fetched when nothing of it changes any more: since 2026-09-14 at "
            "06:00 of the next session or later",
            before=finality.is_final_in_sql,
        ),
        *OHLC,
        _int(
            "close",
            "Last price of the session; the carried one without a trade (종가)",
            KRW,
            least=1,
        ),
        _int(
            "volume",
            "Shares traded on the whole day, off-hours and after-market included (거래량)",
            SHARES,
        ),
        _int("trading_value", "Value traded (거래대금)", KRW),
        _signed("change", "Close minus base price (전일대비)", KRW),
        _int("base_price", "Close minus change (기준가)", KRW),
        _text(
            "ex_flag",
            "Ex-event: 00 none, 01 rights, 02 dividend, ...; null from KRX, which states none "
            "(락구분)",
            nullable=True,
        ),
        _float(
            "split_ratio",
            "Base price over previous close on ex-days, else 0; null from KRX (분할비율)",
            nullable=True,
        ),
        _text(
            "revaluation",
            "Reason of a re-based price; 00 none; null from KRX (재평가사유)",
            nullable=True,
        ),
        _flag("has_traded", "False on a day without a trade"),
        *ORIGIN,
    ),
)

KRX_DAILY = Table(
    name="krx_daily",
    description=(
        "Every stock of KOSPI, KOSDAQ and KONEX on each trading day, as the exchange itself "
        "publishes it the next morning (KRX Open API): raw prices, change, volume, trading value, "
        "market cap, listed shares. A source of its own beside KIS's, kept in data/krx whatever "
        "source is in use. A day without a trade has open, high, low and volume 0 and carries the "
        "previous close."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="day",
    unit="month",
    columns=(
        TRADING_DAY,
        STOCK_CODE,
        STOCK_NAME,
        _text("market", "KOSPI, KOSDAQ (its segment GLOBAL included) or KONEX"),
        _text(
            "department",
            "Department of KOSDAQ or KONEX, which also marks SPACs and issues under "
            "administration; null on KOSPI (소속부)",
            nullable=True,
        ),
        *OHLC,
        _int(
            "close",
            "Last price of the session; the carried one without a trade (종가)",
            KRW,
            least=1,
        ),
        _signed(
            "change",
            "Close minus base price; null where KRX states none (대비)",
            KRW,
            nullable=True,
        ),
        _float(
            "change_rate",
            "Change over base price; null without one (등락률)",
            PERCENT,
            nullable=True,
        ),
        _int("volume", "Shares traded (거래량)", SHARES),
        _int("trading_value", "Value traded (거래대금)", KRW),
        _int("market_cap", "Market capitalisation (시가총액)", KRW),
        _int("listed_shares", "Listed shares, exact (상장주식수)", SHARES),
        *ORIGIN,
    ),
)

MINUTE_CANDLES = Table(
    name="minute_candles",
    description=(
        "Each stock in each minute with a trade: of the regular session, from the opening auction "
        "to the closing one, which is the bar at the close (15:30; up to nine minutes later where "
        "it was extended), and since 2026-09-14 of the after-market, 16:00 to 19:59, which is a "
        "session of its own. A minute without a trade has no row. Other trades, at the closing "
        "price or in blocks, are not here: the volumes add up to at most the day's. "
        "Prices are on the split-adjusted axis of the moment they were fetched, as KIS gives "
        "them. KIS keeps 246 sessions: what was not fetched by then is gone."
    ),
    clock="trading_day",
    key=("started_at", "stock_code"),
    partition="day",
    unit="day",
    columns=(
        TRADING_DAY,
        _instant("started_at", "Start of the minute; of the closing auction its end"),
        STOCK_CODE,
        _text("session", "regular or after_market", before=lambda: "'regular'"),
        _int(
            "open",
            "First price of the minute. At the open it is the opening auction's and may lie "
            "outside low and high (시가)",
            KRW,
            least=1,
        ),
        _int("high", "Highest price (고가)", KRW, least=1),
        _int("low", "Lowest price (저가)", KRW, least=1),
        _int("close", "Last price (종가)", KRW, least=1),
        _int("volume", "Shares traded in the minute (체결거래량)", SHARES, least=1),
        _int(
            "trading_value",
            "Value traded since the minute before: the difference of KIS's running sums. So the "
            "first minute of a session holds what was traded before it at a closing price or in "
            "blocks as well (거래대금)",
            KRW,
        ),
        *ORIGIN,
    ),
)

STOCK_INFO = Table(
    name="stock_info",
    description=(
        "Slow facts of each stock as they were in a month: names, sectors, industry, exact number "
        "of listed shares, listings and delistings, flags. Facts are of the day they were fetched "
        "on; a past month cannot be asked for."
    ),
    clock="info_month",
    key=("info_month", "stock_code"),
    partition="month",
    unit="month",
    columns=(
        _date("info_month", "First day of the month in which these facts held"),
        STOCK_CODE,
        STOCK_NAME,
        _text("full_name", "Long name in Korean (상품명)", nullable=True),
        _text("english_name", "Name in English", nullable=True),
        _text("isin", "International securities identification number (표준코드)", nullable=True),
        _text("market", "KOSPI, KOSDAQ or KONEX", nullable=True),
        _text("security_group", "Security group code as KIS writes it (증권그룹)", nullable=True),
        _text(
            "kind_of_share",
            "common, preferred, deferred, mixed or other; null for no share",
            nullable=True,
        ),
        _text(
            "sector_large",
            "Index code of the size class, which KIS calls the large class of sectors",
            nullable=True,
        ),
        _text("sector_medium", "Index sector code, middle class", nullable=True),
        _text("sector_small", "Index sector code, small class", nullable=True),
        _text("sector_large_name", "Size class, in words (지수업종대분류)", nullable=True),
        _text("sector_medium_name", "Index sector, middle class (지수업종중분류)", nullable=True),
        _text("sector_small_name", "Index sector, small class (지수업종소분류)", nullable=True),
        _text("industry_code", "Standard industry code", nullable=True),
        _text("industry", "Standard industry (표준산업분류)", nullable=True),
        _int(
            "listed_shares",
            "Listed shares: exact, or to the thousand from the master files (상장주수)",
            SHARES,
            nullable=True,
        ),
        _float("face_value", "Face value; foreign issues have fractions", KRW, nullable=True),
        _float("issue_price", "Price of issue", KRW, nullable=True),
        _float("capital", "Paid-in capital (자본금)", KRW, nullable=True),
        _text("fiscal_year_end", "End of the fiscal year, MMDD (결산월일)", nullable=True),
        _date("listed_on_kospi", "Day of listing on KOSPI", nullable=True),
        _date("left_kospi_on", "Day of leaving KOSPI", nullable=True),
        _date("listed_on_kosdaq", "Day of listing on KOSDAQ", nullable=True),
        _date("left_kosdaq_on", "Day of leaving KOSDAQ, such as for KOSPI", nullable=True),
        _date("listed_on_konex", "Day of listing on KONEX, from the master files", nullable=True),
        _date(
            "listed_on_freeboard",
            "Day of registration on Freeboard, now K-OTC; null where KIS repeats the day of the "
            "listing on KOSPI or KOSDAQ here",
            nullable=True,
        ),
        _date("left_freeboard_on", "Day of leaving Freeboard", nullable=True),
        _date("delisted_on", "Day of delisting; null while listed (상장폐지일)", nullable=True),
        _flag("is_halted", "Trading halted (거래정지)", nullable=True),
        _flag("is_administrative", "Under administration (관리종목)", nullable=True),
        _flag("in_kospi200", "In KOSPI 200", nullable=True),
        _flag("on_nxt", "Tradable on NXT", nullable=True),
        _flag("is_halted_on_nxt", "Halted on NXT", nullable=True),
        _text("known_from", "search-stock-info, master for the master files, or krx"),
        *ORIGIN,
    ),
)

CORPORATE_ACTIONS = Table(
    name="corporate_actions",
    description=(
        "What changed a stock's number of shares or its base price, by the day it took effect: "
        "announcements of the Korea Securities Depository, and what the daily chart shows and no "
        "announcement explains: marks, and base prices more than a tick from the final close of "
        "the session before. Announced days may move; a later run of the month corrects them."
    ),
    clock="effective_on",
    key=("effective_on", "stock_code", "kind", "origin", "sequence"),
    partition="month",
    unit="month",
    columns=(
        _date("effective_on", "First day of trading under the new terms"),
        STOCK_CODE,
        _text("stock_name", "Name in Korean, where it is given (종목명)", nullable=True),
        _text(
            "kind",
            "split, reverse_split, bonus_issue, rights_issue, stock_dividend, cash_dividend, "
            "capital_reduction, merger, spin_off or other; a base price that moved without a mark "
            "is other",
        ),
        _text("origin", "The list of KIS that it stands in, or daily_chart"),
        _int("sequence", "0, or the number among rows that are otherwise of the same key"),
        _text(
            "effective_from",
            "Where the effective day is known from: ex_on, listed_on (first day after a halt), "
            "record_on (for want of better), computed (ex-dividend day from the record day), chart",
        ),
        _float(
            "ratio",
            "Shares after for each share before: 10 for a split by ten, 1.5 for a bonus of one for "
            "two, 0.3 for a reduction that leaves three of ten; null when unknown. Of a rights "
            "issue by its numbers of shares, else by its rate; of a bonus issue by its rate. Of a "
            "capital reduction as announced, unless "
            "the day's base price contradicts that: then as the rate that it supports has it, as "
            "factor, divisor or percentage taken away, else null",
            nullable=True,
        ),
        _date("record_on", "Record date (기준일)", nullable=True),
        _date("listed_on", "Day on which the new shares are listed (상장일)", nullable=True),
        _text("kind_of_share", "Kind of share as KIS writes it (주식종류)", nullable=True),
        _float("face_value_before", "Face value before (변경전액면가)", KRW, nullable=True),
        _float("face_value_after", "Face value after (변경후액면가)", KRW, nullable=True),
        _float(
            "rate",
            "Rate as announced: of an allotment or a dividend in percent, of a reduction a factor",
            nullable=True,
        ),
        _text(
            "announced_ratio",
            "Ratio as announced: of a merger; of a reduction its rate and whether it multiplies "
            "(곱하기) or divides (나누기)",
            nullable=True,
        ),
        _float("amount", "Issue price, or cash dividend a share", KRW, nullable=True),
        _int("shares_before", "Issued shares as announced", SHARES, nullable=True, least=None),
        _int("new_shares", "Shares to be issued", SHARES, nullable=True, least=None),
        _text("stop_period", "Trading halt as announced (매매거래정지기간)", nullable=True),
        _text("subscription_period", "Subscription as announced (청약기간)", nullable=True),
        _date("paid_on", "Day of payment of a dividend", nullable=True),
        _text("reason", "Reason or kind as KIS writes it", nullable=True),
        _text("counterparty", "The company merged or split off", nullable=True),
        _text("ex_flag", "Ex-event of the daily chart (락구분)", nullable=True),
        _float("base_ratio", "Base price over previous close, of the daily chart", nullable=True),
        _text("revaluation", "Reason of a re-based price, of the daily chart", nullable=True),
        *ORIGIN,
    ),
)

REQUESTS = Table(
    name="requests",
    description=(
        "What each run asked, by endpoint and outcome: how often, how long the answers took, what "
        "was refused for the rate, tried again, or answered by the cache. What the cache answered "
        "and what the circuit breaker did stand in rows of their own: every count can be summed."
    ),
    clock="trading_day",
    key=("captured_at", "endpoint", "outcome"),
    partition="day",
    unit="month",
    columns=(
        _date("trading_day", "Day on which was asked, in Seoul, be it a trading day or not"),
        _instant("captured_at", "When the run ended and these figures were taken"),
        _text("run_id", "The Dagster run"),
        _text("endpoint", "What was asked: KIS's name of the service, or of what was cached"),
        _text(
            "outcome",
            "ok, the error's name, NotSent where no permit was had, cached, or the change of the "
            "circuit breaker",
        ),
        _int("requests", "Attempts with this outcome"),
        _float("p50_ms", "Half of the answers took no longer", "ms", nullable=True),
        _float("p95_ms", "95 of 100 answers took no longer", "ms", nullable=True),
        _float("p99_ms", "99 of 100 answers took no longer", "ms", nullable=True),
        _int("refusals", "Attempts that KIS refused for the rate"),
        _int("retries", "Attempts with this outcome that were followed by another"),
        _int("cache_hits", "Answers from the cache, for which nothing was asked"),
        _int("breaker_changes", "Changes of the circuit breaker that this run saw or made"),
        _instant("started_at", "When the run first asked for its source"),
        *ORIGIN,
    ),
)

QUALITY = Table(
    name="quality",
    description=(
        "What is known of the rows of each table and day: one claim about them, whether it held, "
        "and which stocks have no row and why. dataset_condition is made from it."
    ),
    clock="trading_day",
    key=("trading_day", "table_name", "check_name"),
    partition="day",
    unit="month",
    columns=(
        TRADING_DAY,
        _text("table_name", "The table that the claim is about"),
        _text(
            "check_name",
            "The claim; every_stock_is_accounted_for is written with the rows, others by checks",
        ),
        _flag("passed", "Whether it held for the rows of this day"),
        _text("severity", "ERROR: what fails is wrong. WARN: it is worth a look"),
        _int("rows", "Rows of the day that were looked at; that were stored by the last run"),
        _int("failing_rows", "Rows that break it, or stocks that could not be fetched"),
        _text(
            "detail",
            "JSON: the first failing rows; of every_stock_is_accounted_for the codes by reason, "
            "`absent` with why there is no row, `failed` with the error. Null when there is none",
            nullable=True,
        ),
        _instant("checked_at", "When this was found"),
        *ORIGIN,
    ),
)

TABLES = {
    table.name: table
    for table in (
        MARKET_DAYS,
        STOCK_MASTER,
        PRICE_SNAPSHOTS,
        ORDER_BOOKS,
        DAILY_CANDLES,
        KRX_DAILY,
        MINUTE_CANDLES,
        STOCK_INFO,
        CORPORATE_ACTIONS,
        QUALITY,
        REQUESTS,
    )
}
