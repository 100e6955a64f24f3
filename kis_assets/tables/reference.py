"""Reference data: the calendar, the listed issues, and facts about stocks."""

from __future__ import annotations

import polars as pl

from kis_assets.tables.columns import (
    KRW,
    ORIGIN,
    PERCENT,
    SHARES,
    STOCK_CODE,
    STOCK_NAME,
    TRADING_DAY,
    day,
    flag,
    instant,
    integer,
    real,
    signed,
    text,
)
from kis_assets.tables.table import Cost, Preview, Table

MARKET_DAYS = Table(
    name="market_days",
    description="Each calendar day: whether KRX trades, and its trading hours.",
    clock="day",
    key=("day",),
    partition="year",
    unit="year",
    catch_up="market_calendar",
    is_current_only=True,
    is_default=True,
    preview=Preview(
        "day is_open opens_at closes_at note",
        # Unusual days: closed weekdays, and days with a note.
        where=pl.col("note").is_not_null()
        | (~pl.col("is_open") & (pl.col("day").dt.weekday() <= 5)),
    ),
    columns=(
        day("day", "Calendar day in Seoul"),
        flag("is_open", "True when KRX holds a session (개장일)"),
        instant("opens_at", "When continuous trading starts; null on a closed day", nullable=True),
        instant("closes_at", "When the closing auction ends; null when closed", nullable=True),
        instant(
            "after_market_opens_at",
            "When KRX's after-market opens; null before 2026-09-14 and when closed",
            nullable=True,
        ),
        instant(
            "after_market_closes_at",
            "When KRX's after-market closes; on days that close late as in earlier years, when the "
            "after-market did not end later; null before 2026-09-14 and when closed",
            nullable=True,
        ),
        text("known_from", "Source of the row: computed, override or kis"),
        text("note", "Why the day is special, if it is", nullable=True),
        instant("asked_at", "When KIS's calendar was requested on this day", nullable=True),
        *ORIGIN,
    ),
)

STOCK_MASTER = Table(
    name="stock_master",
    description=(
        "Each issue that was listed on a day, from the broker's master files: code, ISIN, names, "
        "market, security type, flags, listed shares, face value, listing day, base price. No "
        "service has a history of these flags: a day that was not stored is not available later. "
        "KRX has only shares, of any past day, and most flags are null."
    ),
    clock="trading_day",
    key=("trading_day", "stock_code"),
    partition="day",
    unit="month",
    live="files",
    is_default=True,
    preview=Preview(
        "stock_code stock_name market base_price previous_market_cap",
        largest="previous_market_cap",
    ),
    columns=(
        TRADING_DAY,
        text(
            "stock_code",
            "Short code of six characters, may contain letters; ETNs have a leading Q, funds F "
            "and eight digits (단축코드)",
        ),
        text("isin", "International securities identification number (표준코드)"),
        STOCK_NAME,
        text("market", "KOSPI, KOSDAQ or KONEX"),
        text(
            "security_type",
            "common, preferred, spac, foreign, reit, etf, etn, elw, dr, infrastructure_fund, "
            "ship_fund, investment_company, beneficiary_certificate, foreign_etf, warrant, right "
            "or other",
        ),
        flag("is_halted", "Trading halted (거래정지)", nullable=True),
        flag("is_administrative", "Under administration (관리종목)", nullable=True),
        flag(
            "is_liquidation",
            "Liquidation trading on the last days, without price limits (정리매매)",
            nullable=True,
        ),
        integer(
            "listed_shares",
            "Listed shares, to the thousand; exact from KRX (상장주수)",
            SHARES,
            nullable=True,
        ),
        integer("face_value", "Face value; null if unknown (액면가)", KRW, nullable=True),
        day("listed_on", "Day of listing; null if unknown (상장일)", nullable=True),
        integer("base_price", "Base price of the day (기준가)", KRW, nullable=True),
        integer("previous_volume", "Volume of the session before", SHARES, nullable=True),
        integer(
            "previous_market_cap",
            "Market capitalisation at the previous close, to 100 million KRW",
            KRW,
            nullable=True,
        ),
        text(
            "security_group",
            "Security group code as KIS writes it: ST is shares, including KONEX (증권그룹)",
        ),
        text("size_class", "Size class of the market cap; KIS's digit", nullable=True),
        text(
            "sector_large",
            "Index code of the size class, which KIS calls the large class of sectors",
            nullable=True,
        ),
        text("sector_medium", "Index sector code, middle class", nullable=True),
        text("sector_small", "Index sector code, small class", nullable=True),
        text(
            "preferred_class",
            "0 common, 1 old preferred, 2 new preferred, 9 preferred of another kind (우선주)",
            nullable=True,
        ),
        text("etp_class", "Kind of exchange-traded product; 0 none", nullable=True),
        text("market_warning", "00 none, 01 caution, 02 warning, 03 risk", nullable=True),
        text("ex_flag", "Ex-event of the day, 00 none (락구분)", nullable=True),
        text("face_value_change", "00 none, 01 split, 02 reverse split, 99 other", nullable=True),
        text("capital_increase", "00 none, 01 paid-in, 02 bonus, 03 both", nullable=True),
        text(
            "overheated",
            "Short-term overheated: 0 none, 1 notice, 2 designated, 3 extended",
            nullable=True,
        ),
        flag("is_spac", "Special purpose acquisition company", nullable=True),
        flag("is_low_liquidity", "Low liquidity", nullable=True),
        flag("is_warning_announced", "A market warning is announced", nullable=True),
        flag("is_unfaithful", "Unfaithful disclosure", nullable=True),
        flag("is_backdoor_listing", "Back-door listing", nullable=True),
        flag("is_short_sale_overheated", "Short-sale overheated", nullable=True),
        flag("is_abnormal_rise", "Abnormal rise", nullable=True),
        flag("is_investor_attention", "KOSDAQ investor attention; null elsewhere", nullable=True),
        flag("is_venture", "Venture company (KOSDAQ); null elsewhere", nullable=True),
        flag("is_manufacturer", "Manufacturer (KOSPI); null elsewhere", nullable=True),
        flag("has_elw", "ELWs are issued on it (KOSPI)", nullable=True),
        text("kospi200_sector", "KOSPI 200 sector, 0 not a member; KOSPI only", nullable=True),
        flag("in_kospi", "In the KOSPI index", nullable=True),
        flag("in_kospi100", "In KOSPI 100", nullable=True),
        flag("in_kospi50", "In KOSPI 50", nullable=True),
        flag("in_kosdaq150", "In KOSDAQ 150", nullable=True),
        flag("in_krx", "A KRX issue", nullable=True),
        flag("in_krx100", "In KRX 100", nullable=True),
        flag("in_krx300", "In KRX 300", nullable=True),
        flag("in_governance_index", "In the governance index", nullable=True),
        flag("in_sri", "In the SRI index", nullable=True),
        flag("in_krx_autos", "In KRX Autos", nullable=True),
        flag("in_krx_semiconductors", "In KRX Semiconductors", nullable=True),
        flag("in_krx_bio", "In KRX Bio", nullable=True),
        flag("in_krx_banks", "In KRX Banks", nullable=True),
        flag("in_krx_energy", "In KRX Energy and Chemicals", nullable=True),
        flag("in_krx_steel", "In KRX Steel", nullable=True),
        flag("in_krx_media", "In KRX Media and Telecom", nullable=True),
        flag("in_krx_construction", "In KRX Construction", nullable=True),
        flag("in_krx_securities", "In KRX Securities", nullable=True),
        flag("in_krx_ships", "In KRX Shipbuilding", nullable=True),
        flag("in_krx_insurance", "In KRX Insurance", nullable=True),
        flag("in_krx_transport", "In KRX Transport", nullable=True),
        integer("lot", "Lot of the regular session", SHARES, nullable=True),
        integer("after_hours_lot", "Lot of the after-hours session", SHARES, nullable=True),
        integer("margin_rate", "Margin rate", PERCENT, nullable=True),
        flag("is_credit_possible", "Credit orders possible", nullable=True),
        integer("credit_days", "Credit days", "days", nullable=True),
        signed("capital", "Paid-in capital; unit as KIS writes it, unconfirmed", nullable=True),
        text("settlement_month", "Last month of the fiscal year", nullable=True),
        integer("offer_price", "Price of the public offer", KRW, nullable=True),
        signed("sales", "Sales; 100 million KRW, unconfirmed", "100 million KRW", nullable=True),
        signed("operating_profit", "Operating profit", "100 million KRW", nullable=True),
        signed("ordinary_profit", "Ordinary profit", "100 million KRW", nullable=True),
        signed(
            "net_income",
            "Net income; null if it fills KIS's five digits and the ordinary profit has more "
            "digits: a digit is cut off then",
            "100 million KRW",
            nullable=True,
        ),
        real("roe", "Return on equity", PERCENT, nullable=True),
        text("accounts_month", "Year and month of the accounts", nullable=True),
        text("group_code", "Business group", nullable=True),
        flag("is_credit_limit_exceeded", "KIS's credit limit is exhausted", nullable=True),
        flag("is_lending_possible", "Loan on collateral possible", nullable=True),
        flag("is_stock_loan_possible", "Stock loan possible", nullable=True),
        *ORIGIN,
    ),
)

STOCK_INFO = Table(
    name="stock_info",
    description=(
        "Facts of each stock that change slowly, by month: names, sectors, industry, exact number "
        "of listed shares, listings and delistings, flags. They are of the day on which they were "
        "fetched; a past month is not available."
    ),
    clock="info_month",
    key=("info_month", "stock_code"),
    partition="month",
    unit="month",
    catch_up="reference_ingestion",
    is_current_only=True,
    on_virtual="from_files",
    cost=Cost(),
    preview=Preview("stock_code stock_name market industry listed_shares", largest="capital"),
    columns=(
        day("info_month", "First day of the month in which these facts held"),
        STOCK_CODE,
        STOCK_NAME,
        text("full_name", "Long name in Korean (상품명)", nullable=True),
        text("english_name", "Name in English", nullable=True),
        text("isin", "International securities identification number (표준코드)", nullable=True),
        text("market", "KOSPI, KOSDAQ or KONEX", nullable=True),
        text("security_group", "Security group code as KIS writes it (증권그룹)", nullable=True),
        text(
            "kind_of_share",
            "common, preferred, deferred, mixed or other; null if it is not a share",
            nullable=True,
        ),
        text(
            "sector_large",
            "Index code of the size class, which KIS calls the large class of sectors",
            nullable=True,
        ),
        text("sector_medium", "Index sector code, middle class", nullable=True),
        text("sector_small", "Index sector code, small class", nullable=True),
        text("sector_large_name", "Size class, in words (지수업종대분류)", nullable=True),
        text("sector_medium_name", "Index sector, middle class (지수업종중분류)", nullable=True),
        text("sector_small_name", "Index sector, small class (지수업종소분류)", nullable=True),
        text("industry_code", "Standard industry code", nullable=True),
        text("industry", "Standard industry (표준산업분류)", nullable=True),
        integer(
            "listed_shares",
            "Listed shares: exact, or to the thousand from the master files (상장주수)",
            SHARES,
            nullable=True,
        ),
        real("face_value", "Face value; foreign issues have fractions", KRW, nullable=True),
        real("issue_price", "Price of issue", KRW, nullable=True),
        real("capital", "Paid-in capital (자본금)", KRW, nullable=True),
        text("fiscal_year_end", "End of the fiscal year, MMDD (결산월일)", nullable=True),
        day("listed_on_kospi", "Day of listing on KOSPI", nullable=True),
        day("left_kospi_on", "Day of leaving KOSPI", nullable=True),
        day("listed_on_kosdaq", "Day of listing on KOSDAQ", nullable=True),
        day("left_kosdaq_on", "Day of leaving KOSDAQ, for example for KOSPI", nullable=True),
        day("listed_on_konex", "Day of listing on KONEX, from the master files", nullable=True),
        day(
            "listed_on_freeboard",
            "Day of registration on Freeboard, now K-OTC; null if KIS repeats the listing day of "
            "KOSPI or KOSDAQ here",
            nullable=True,
        ),
        day("left_freeboard_on", "Day of leaving Freeboard", nullable=True),
        day("delisted_on", "Day of delisting; null while listed (상장폐지일)", nullable=True),
        flag("is_halted", "Trading halted (거래정지)", nullable=True),
        flag("is_administrative", "Under administration (관리종목)", nullable=True),
        flag("in_kospi200", "In KOSPI 200", nullable=True),
        flag("on_nxt", "Tradable on NXT", nullable=True),
        flag("is_halted_on_nxt", "Halted on NXT", nullable=True),
        text(
            "known_from", "Source of the row: search-stock-info, master (the master files), or krx"
        ),
        *ORIGIN,
    ),
)
