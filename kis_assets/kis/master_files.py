"""Stock master files: fixed-width records of bytes into rows of `stock_master`. No downloading.

Record layouts: open-trading-api, stocks_info/*.h, as of 2026-07. Names hold two-byte characters,
so records are cut as bytes first and decoded (cp949) after. What the files hold beyond those
layouts: preferred shares of class 9, funds whose code has nine characters, the group PF, and shares
of KONEX under the group ST.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from typing import Any, Literal, NamedTuple

import polars as pl

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange.stocks import security_type
from kis_assets.kis.archive import unpacked
from kis_assets.kis.fields import decimal
from kis_assets.tables import STOCK_MASTER

Market = Literal["KOSPI", "KOSDAQ", "KONEX"]

FILES: dict[Market, str] = {
    "KOSPI": "kospi_code.mst",
    "KOSDAQ": "kosdaq_code.mst",
    "KONEX": "konex_code.mst",
}
NXT_FILES: dict[Market, str] = {"KOSPI": "nxt_kospi_code.mst", "KOSDAQ": "nxt_kosdaq_code.mst"}
"""The stocks that NXT trades; how their records go on after the code is not known."""
SECTORS = "idxcode.mst"
"""Names of indices and sectors: a digit for the market, a code of four, a name of 40 bytes."""

_CODE = re.compile(rb"Q?[0-9A-Z]{6}")
_HEAD = "mksc_shrn_iscd:9 stnd_iscd:12 hts_kor_isnm:40 scrt_grp_cls_code:2 "
_SIZE_AND_SECTORS = (
    "avls_scal_cls_code:1 bstp_larg_div_code:4 bstp_medm_div_code:4 bstp_smal_div_code:4 "
)
_TRADING = (
    "stck_sdpr:9 frml_mrkt_deal_qty_unit:5 ovtm_mrkt_deal_qty_unit:5 trht_yn:1 sltr_yn:1 "
    "mang_issu_yn:1 mrkt_alrm_cls_code:2 mrkt_alrm_risk_adnt_yn:1 insn_pbnt_yn:1 byps_lstn_yn:1 "
    "flng_cls_code:2 fcam_mod_cls_code:2 icic_cls_code:2 marg_rate:3 crdt_able:1 crdt_days:3 "
    "prdy_vol:12 stck_fcam:12 stck_lstn_date:8 lstn_stcn:15 cpfn:21 stac_month:2 po_prc:7 "
    "prst_cls_code:1 ssts_hot_yn:1 stange_runup_yn:1 "
)
_ACCOUNTS = "sale_account:9 bsop_prfi:9 op_prfi:9 thtr_ntin:5 roe:9 base_date:8 prdy_avls_scal:9 "
_CREDIT = "co_crdt_limt_over_yn:1 secu_lend_able_yn:1 stln_able_yn:1"
_SECTOR_INDICES = "krx_car_yn:1 krx_smcn_yn:1 krx_bio_yn:1 krx_bank_yn:1 etpr_undt_objt_co_yn:1 "

LAYOUTS: dict[Market, str] = {
    "KOSPI": _HEAD
    + _SIZE_AND_SECTORS
    + "mnin_cls_code_yn:1 low_current_yn:1 sprn_strr_nmix_issu_yn:1 kospi200_apnt_cls_code:1 "
    "kospi100_issu_yn:1 kospi50_issu_yn:1 krx_issu_yn:1 etp_prod_cls_code:1 elw_pblc_yn:1 "
    "krx100_issu_yn:1 "
    + _SECTOR_INDICES
    + "krx_enrg_chms_yn:1 krx_stel_yn:1 short_over_cls_code:1 krx_medi_cmnc_yn:1 krx_cnst_yn:1 "
    "krx_fnnc_svc_yn:1 krx_scrt_yn:1 krx_ship_yn:1 krx_insu_yn:1 krx_trnp_yn:1 sri_nmix_yn:1 "
    + _TRADING
    + "krx300_issu_yn:1 kospi_issu_yn:1 "
    + _ACCOUNTS
    + "grp_code:3 "
    + _CREDIT,
    "KOSDAQ": _HEAD
    + _SIZE_AND_SECTORS
    + "vntr_issu_yn:1 low_current_yn:1 krx_issu_yn:1 etp_prod_cls_code:1 krx100_issu_yn:1 "
    + _SECTOR_INDICES
    + "krx_enrg_chms_yn:1 krx_stel_yn:1 short_over_cls_code:1 krx_medi_cmnc_yn:1 krx_cnst_yn:1 "
    "invt_alrm_yn:1 krx_scrt_yn:1 krx_ship_yn:1 krx_insu_yn:1 krx_trnp_yn:1 ksq150_nmix_yn:1 "
    + _TRADING
    + "krx300_issu_yn:1 "
    + _ACCOUNTS
    + "grp_code:3 "
    + _CREDIT,
    # The byte that is krx300_issu_yn elsewhere is filler in KONEX records.
    "KONEX": _HEAD + _TRADING + "filler:1 " + _ACCOUNTS + _CREDIT,
}


class _Field(NamedTuple):
    column: str
    read: Callable[[str], Any]


def _text(word: str) -> str | None:
    return word or None


def _code(word: str) -> str | None:
    return word if word.isascii() and word.isalnum() else None


def _flag(word: str) -> bool | None:
    # KIS writes Y/N in most flags and 0 or a digit in a few index memberships.
    return None if not word else word not in ("N", "0")


def _whole(word: str) -> int | None:
    return int(word) if word else None


def _thousands(word: str) -> int | None:
    return int(word) * 1_000 if word else None


def _hundred_millions(word: str) -> int | None:
    return int(word) * 100_000_000 if word else None


def _decimal(word: str) -> float | None:
    return decimal(word) if word else None


def _day(word: str) -> date | None:
    if not word or word == "00000000":
        return None
    if not word.isdecimal():
        raise ValueError(word)
    return date.fromisoformat(word)


# KIS's names stop here.
FIELDS: dict[str, _Field] = {
    "mksc_shrn_iscd": _Field("stock_code", _code),
    "stnd_iscd": _Field("isin", _text),
    "hts_kor_isnm": _Field("stock_name", _text),
    "scrt_grp_cls_code": _Field("security_group", _text),
    "avls_scal_cls_code": _Field("size_class", _text),
    "bstp_larg_div_code": _Field("sector_large", _text),
    "bstp_medm_div_code": _Field("sector_medium", _text),
    "bstp_smal_div_code": _Field("sector_small", _text),
    "mnin_cls_code_yn": _Field("is_manufacturer", _flag),
    "vntr_issu_yn": _Field("is_venture", _flag),
    "low_current_yn": _Field("is_low_liquidity", _flag),
    "sprn_strr_nmix_issu_yn": _Field("in_governance_index", _flag),
    "kospi200_apnt_cls_code": _Field("kospi200_sector", _text),
    "kospi100_issu_yn": _Field("in_kospi100", _flag),
    "kospi50_issu_yn": _Field("in_kospi50", _flag),
    "krx_issu_yn": _Field("in_krx", _flag),
    "etp_prod_cls_code": _Field("etp_class", _text),
    "elw_pblc_yn": _Field("has_elw", _flag),
    "krx100_issu_yn": _Field("in_krx100", _flag),
    "krx_car_yn": _Field("in_krx_autos", _flag),
    "krx_smcn_yn": _Field("in_krx_semiconductors", _flag),
    "krx_bio_yn": _Field("in_krx_bio", _flag),
    "krx_bank_yn": _Field("in_krx_banks", _flag),
    "etpr_undt_objt_co_yn": _Field("is_spac", _flag),
    "krx_enrg_chms_yn": _Field("in_krx_energy", _flag),
    "krx_stel_yn": _Field("in_krx_steel", _flag),
    "short_over_cls_code": _Field("overheated", _text),
    "krx_medi_cmnc_yn": _Field("in_krx_media", _flag),
    "krx_cnst_yn": _Field("in_krx_construction", _flag),
    "invt_alrm_yn": _Field("is_investor_attention", _flag),
    "krx_scrt_yn": _Field("in_krx_securities", _flag),
    "krx_ship_yn": _Field("in_krx_ships", _flag),
    "krx_insu_yn": _Field("in_krx_insurance", _flag),
    "krx_trnp_yn": _Field("in_krx_transport", _flag),
    "sri_nmix_yn": _Field("in_sri", _flag),
    "ksq150_nmix_yn": _Field("in_kosdaq150", _flag),
    "stck_sdpr": _Field("base_price", _whole),
    "frml_mrkt_deal_qty_unit": _Field("lot", _whole),
    "ovtm_mrkt_deal_qty_unit": _Field("after_hours_lot", _whole),
    "trht_yn": _Field("is_halted", _flag),
    "sltr_yn": _Field("is_liquidation", _flag),
    "mang_issu_yn": _Field("is_administrative", _flag),
    "mrkt_alrm_cls_code": _Field("market_warning", _text),
    "mrkt_alrm_risk_adnt_yn": _Field("is_warning_announced", _flag),
    "insn_pbnt_yn": _Field("is_unfaithful", _flag),
    "byps_lstn_yn": _Field("is_backdoor_listing", _flag),
    "flng_cls_code": _Field("ex_flag", _text),
    "fcam_mod_cls_code": _Field("face_value_change", _text),
    "icic_cls_code": _Field("capital_increase", _text),
    "marg_rate": _Field("margin_rate", _whole),
    "crdt_able": _Field("is_credit_possible", _flag),
    "crdt_days": _Field("credit_days", _whole),
    "prdy_vol": _Field("previous_volume", _whole),
    "stck_fcam": _Field("face_value", _whole),
    "stck_lstn_date": _Field("listed_on", _day),
    "lstn_stcn": _Field("listed_shares", _thousands),
    "cpfn": _Field("capital", _whole),
    "stac_month": _Field("settlement_month", _text),
    "po_prc": _Field("offer_price", _whole),
    "prst_cls_code": _Field("preferred_class", _text),
    "ssts_hot_yn": _Field("is_short_sale_overheated", _flag),
    "stange_runup_yn": _Field("is_abnormal_rise", _flag),
    "krx300_issu_yn": _Field("in_krx300", _flag),
    "kospi_issu_yn": _Field("in_kospi", _flag),
    "sale_account": _Field("sales", _whole),
    "bsop_prfi": _Field("operating_profit", _whole),
    "op_prfi": _Field("ordinary_profit", _whole),
    "thtr_ntin": _Field("net_income", _whole),
    "roe": _Field("roe", _decimal),
    "base_date": _Field("accounts_month", _text),
    "prdy_avls_scal": _Field("previous_market_cap", _hundred_millions),
    "grp_code": _Field("group_code", _text),
    "co_crdt_limt_over_yn": _Field("is_credit_limit_exceeded", _flag),
    "secu_lend_able_yn": _Field("is_lending_possible", _flag),
    "stln_able_yn": _Field("is_stock_loan_possible", _flag),
}

# Without these a record is no record; every other field may be blank, and is null then.
_REQUIRED = {"stock_code", "isin", "stock_name", "security_group"}

_UNREADABLE = 0.01
"""Share of records whose optional field may be unreadable; more is a changed layout."""
_MOST_LINES = 100_000
"""Lines of a master file; KOSPI's has some thousands."""


def unzip(content: bytes, market: Market, file_name: str = "") -> bytes:
    """The one file inside a downloaded archive: that of the market, unless another is named.

    Raises:
        UnexpectedAnswer: not a zip archive, damaged, without the expected file, or too long.
    """
    return unpacked(content, file_name or FILES[market], f"the {file_name or market} master file")


def _lines(content: bytes, what: str) -> list[bytes]:
    """The lines of a file that are not blank, without what ends them."""
    if content.count(b"\n") > _MOST_LINES:
        raise UnexpectedAnswer(f"{what} has more than {_MOST_LINES:,} lines")
    lines = [line.rstrip(b"\r") for line in content.split(b"\n")]
    return [line for line in lines if line.strip()]


def sector_names(content: bytes) -> dict[str, str]:
    """Names of sectors by code; codes of KOSPI and KOSDAQ never meet.

    Raises:
        UnexpectedAnswer: a record of another length, or that is no text.
    """
    records = _lines(content, SECTORS)
    if any(len(record) != 45 for record in records):
        raise UnexpectedAnswer(f"{SECTORS} has a record not of 45 bytes: its layout is another one")
    try:
        return {record[1:5].decode(): record[5:].decode("cp949").strip() for record in records}
    except UnicodeDecodeError as error:
        raise UnexpectedAnswer(f"{SECTORS} cannot be read: {error.reason}") from None


def codes(content: bytes, file_name: str) -> frozenset[str]:
    """The short codes of a master file, whatever follows them: its records begin with nine bytes.

    Raises:
        UnexpectedAnswer: no records, or one that does not begin with a code.
    """
    heads = [line[:9].strip() for line in _lines(content, file_name)]
    wrong = [head for head in heads if not _CODE.fullmatch(head)]
    if wrong or not heads:
        raise UnexpectedAnswer(
            f"{file_name} has {len(heads)} records, {len(wrong)} of them not of a stock: its "
            "layout is another one"
        )
    return frozenset(head.decode() for head in heads)


def parse(content: bytes, market: Market) -> pl.DataFrame:
    """Rows of `stock_master` without the columns of day and origin, one a record.

    Raises:
        UnexpectedAnswer: no records, a record of another length, or fields that cannot be read.
    """
    layout = [word.split(":") for word in LAYOUTS[market].split()]
    cuts: list[tuple[_Field | None, int, int]] = []
    width = 0
    for name, length in layout:
        cuts.append((FIELDS.get(name), width, width + int(length)))
        width += int(length)
    records = _lines(content, f"the {market} master file")
    wrong = [record for record in records if len(record) != width]
    if wrong or not records:
        raise UnexpectedAnswer(
            f"the {market} master file has {len(records)} records, {len(wrong)} of them not of "
            f"{width} bytes: its layout is another one"
        )
    columns: dict[str, list[Any]] = {}
    for field, start, end in cuts:
        if field is None:
            continue
        words = [record[start:end] for record in records]
        columns[field.column] = _read(words, field, market)
    frame = pl.DataFrame(
        {
            column.name: pl.Series(columns.get(column.name), dtype=column.dtype)
            if column.name in columns
            else pl.repeat(None, len(records), dtype=column.dtype, eager=True)
            for column in STOCK_MASTER.columns
            if column.name not in ("trading_day", "source", "fetched_at")
        }
    ).with_columns(market=pl.lit(market), security_type=security_type(), net_income=_net_income())
    doubled = frame.filter(pl.col("stock_code").is_duplicated())["stock_code"]
    if len(doubled):
        raise UnexpectedAnswer(f"the {market} master file has {doubled[0]} twice")
    return frame


def _read(words: list[bytes], field: _Field, market: Market) -> list[Any]:
    known: dict[bytes, Any] = {}
    different = set(words)
    for word in different:  # most fields are flags: thousands of stocks, two words
        with suppress(ValueError):
            known[word] = field.read(word.decode("cp949").strip())
    values = [known.get(word) for word in words]
    if field.column in _REQUIRED:
        unreadable = sum(value is None for value in values)
        allowed = 0.0
    else:
        unread = different - known.keys()
        unreadable = sum(word in unread for word in words) if unread else 0
        allowed = max(5, _UNREADABLE * len(words))
    if unreadable > allowed:
        raise UnexpectedAnswer(
            f"the {market} master file has {unreadable} records whose {field.column} cannot be "
            "read: its layout is another one"
        )
    return values


def _net_income() -> pl.Expr:
    """Net income, null where its last digit may have been cut off.

    It has five places, one of them for a minus sign, and KIS leaves out what does not fit: 123,456
    stands as 12345. Nothing in the record tells it from 12,345 but the ordinary profit, which has
    nine places: where all five are full and that has more digits than fit in them, a digit is taken
    to be lost.
    """
    net, ordinary = pl.col("net_income"), pl.col("ordinary_profit").abs()
    cut = pl.when(net > 0).then((net >= 10_000) & (ordinary >= 100_000))
    cut = cut.otherwise((net <= -1_000) & (ordinary >= 10_000))
    return pl.when(cut.fill_null(value=False)).then(None).otherwise(net)
