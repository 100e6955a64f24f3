"""Turns KRX's answers into frames, one function per API. Only this module knows KRX's field names.

Every value in an answer is a string; `-` or an empty string means no value. An answer is an
UnexpectedAnswer, and is dropped as a whole, if it is about another day or market, holds a stock
twice, or cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import polars as pl

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange.stocks import security_type
from kis_assets.kis.fields import (
    Field,
    amount,
    day,
    decimal,
    frame,
    output,
    plain,
    read,
    text,
    whole,
)
from kis_assets.tables import KRX_DAILY

DAILY = (
    Field("trading_day", "BAS_DD", day),
    Field("stock_code", "ISU_CD", text),
    Field("stock_name", "ISU_NM", text),
    Field("market", "MKT_NM", text),
    Field("department", "SECT_TP_NM", text, required=False),
    Field("close", "TDD_CLSPRC", amount),
    Field("change", "CMPPREVDD_PRC", whole, required=False),
    Field("change_rate", "FLUC_RT", decimal, required=False),
    Field("open", "TDD_OPNPRC", amount, required=False),
    Field("high", "TDD_HGPRC", amount, required=False),
    Field("low", "TDD_LWPRC", amount, required=False),
    Field("volume", "ACC_TRDVOL", amount, required=False),
    Field("trading_value", "ACC_TRDVAL", amount, required=False),
    Field("market_cap", "MKTCAP", amount),
    Field("listed_shares", "LIST_SHRS", amount),
)
_ZERO_WITHOUT_TRADE = ("open", "high", "low", "volume", "trading_value")

_NO_PAR = "무액면"


def _face_value(word: str) -> float | None:
    return None if word == _NO_PAR else decimal(word)


ISSUES = (
    Field("isin", "ISU_CD", text),
    Field("stock_code", "ISU_SRT_CD", text),
    Field("full_name", "ISU_NM", text),
    Field("stock_name", "ISU_ABBRV", text),
    Field("english_name", "ISU_ENG_NM", text, required=False),
    Field("listed_on", "LIST_DD", day, required=False),
    Field("market", "MKT_TP_NM", text),
    Field("group_name", "SECUGRP_NM", text),
    Field("department", "SECT_TP_NM", text, required=False),
    Field("share_name", "KIND_STKCERT_TP_NM", text, required=False),
    Field("face_value", "PARVAL", _face_value, required=False),
    Field("listed_shares", "LIST_SHRS", amount),
)
_ISSUES_SCHEMA = {
    field.column: {
        "listed_on": pl.Date(),
        "face_value": pl.Float64(),
        "listed_shares": pl.Int64(),
    }.get(field.column, pl.String())
    for field in ISSUES
}

_GROUPS = {
    "주권": "ST",
    "외국주권": "FS",
    "부동산투자회사": "RT",
    "선박투자회사": "SC",
    "사회간접자본투융자회사": "IF",
    "투자회사": "MF",
    "수익증권": "BC",
    "주식예탁증권": "DR",
}
# Class shares (종류주권) are not common shares.
_PREFERRED = {"보통주": "0", "구형우선주": "1", "신형우선주": "2", "종류주권": "2"}

_CODE = re.compile(r"[0-9A-Z]{6}")
_ISIN = re.compile(r"[A-Z]{2}[0-9A-Z]{9}[0-9]")
# The ISINs of preferred shares (KR7005931001 is 005935) and foreign shares (KR8, HK, KY, US) do not
# contain the short code.
_COMMON_ISIN = re.compile(r"KR7([0-9A-Z]{5}0)[0-9A-Z]{2}[0-9]")


def daily(
    body: Mapping[str, Any], asked: date, market: str, short_code: Callable[[str], str | None]
) -> pl.DataFrame:
    """Daily trading data of a market: the columns of `krx_daily` without source and fetched_at.

    KRX writes short codes. If it writes ISINs, `short_code` finds the codes that the ISIN does not
    contain. On a day without a trade, values that KRX leaves out are 0.

    Raises:
        UnexpectedAnswer: see the module.
    """
    rows = [_row(found, DAILY, market) for found in output(body, "OutBlock_1", list)]
    for row in rows:
        if row["trading_day"] != asked:
            raise UnexpectedAnswer(f"the answer holds {row['trading_day']}, expected {asked}")
        row["stock_code"] = _short(row["stock_code"], short_code)
        for name in _ZERO_WITHOUT_TRADE:
            row[name] = row[name] or 0
    names = [name for name in KRX_DAILY.schema if name not in ("source", "fetched_at")]
    return _each_once(frame(rows, pl.Schema({name: KRX_DAILY.schema[name] for name in names})))


def issues(body: Mapping[str, Any], market: str) -> pl.DataFrame:
    """Issue base information of a market: the columns of `ISSUES`, with KIS's stock codes.

    It states no day. Whether a stock is under administration is known only if it has a department.

    Raises:
        UnexpectedAnswer: see the module.
    """
    rows = [_row(found, ISSUES, market) for found in output(body, "OutBlock_1", list)]
    for row in rows:
        if not _CODE.fullmatch(row["stock_code"]):
            raise UnexpectedAnswer(f"{row['stock_code'][:20]!r} is no stock code")
        if not _ISIN.fullmatch(row["isin"]):
            raise UnexpectedAnswer(f"{row['isin'][:20]!r} is no ISIN")
    found = _each_once(frame(rows, pl.Schema(_ISSUES_SCHEMA)))
    department, group = pl.col("department"), pl.col("group_name").replace(_GROUPS)
    on_konex = (pl.col("market") == "KONEX") & (group == "ST")
    return found.with_columns(
        security_group=pl.when(on_konex).then(pl.lit("KN")).otherwise(group),
        preferred_class=pl.col("share_name").replace_strict(
            _PREFERRED, default=None, return_dtype=pl.String
        ),
        is_spac=department.str.starts_with("SPAC").fill_null(value=False)
        | pl.col("stock_name").str.contains("스팩", literal=True),
        is_administrative=department.str.starts_with("관리종목"),
    ).with_columns(security_type=security_type())


def _row(found: Any, fields: tuple[Field, ...], market: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise UnexpectedAnswer("a row of the answer is no object")
    missing = [field.kis for field in fields if field.kis not in found]
    if missing:
        raise UnexpectedAnswer(f"the answer lacks {missing[0]}")
    stated = {field.kis: _stated(found[field.kis]) for field in fields}
    try:
        row = read(stated, fields)
    except UnexpectedAnswer as error:
        error.stock_code = plain(found.get("ISU_SRT_CD") or found.get("ISU_CD"))[:20]
        raise
    # KOSDAQ GLOBAL is a segment of KOSDAQ.
    if row["market"].split(" ")[0] != market:
        raise UnexpectedAnswer(f"the answer holds {row['market'][:20]!r}, expected {market}")
    return row | {"market": market}


def _stated(word: Any) -> Any:
    return "" if isinstance(word, str) and word.strip() == "-" else word


def _short(code: str, short_code: Callable[[str], str | None]) -> str:
    if _CODE.fullmatch(code):
        return code
    common = _COMMON_ISIN.fullmatch(code)
    if common:
        return common[1]
    found = short_code(code) if _ISIN.fullmatch(code) else None
    if found is None:
        raise UnexpectedAnswer(f"{code[:20]!r} is neither a stock code nor the ISIN of one")
    return found


def _each_once(rows: pl.DataFrame) -> pl.DataFrame:
    doubled = rows.filter(pl.col("stock_code").is_duplicated())["stock_code"]
    if len(doubled):
        raise UnexpectedAnswer(f"the answer holds {doubled[0]} twice")
    return rows
