"""Stock master files: the bytes of a record for each column of `stock_master`. Reads nothing.

Record layouts: open-trading-api, stocks_info/*.h, as of 2026-07.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, Literal, NamedTuple

from kis_assets.kis.fields import decimal

Market = Literal["KOSPI", "KOSDAQ", "KONEX"]

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


class Column(NamedTuple):
    """A column's name, and how to read its field of a record."""

    column: str
    read: Callable[[str], Any]


def _text(word: str) -> str | None:
    return word or None


def _code(word: str) -> str | None:
    return word if word.isascii() and word.isalnum() else None


def _flag(word: str) -> bool | None:
    # KIS writes Y/N in most flags, and 0 or another digit in a few index memberships.
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


FIELDS: dict[str, Column] = {
    "mksc_shrn_iscd": Column("stock_code", _code),
    "stnd_iscd": Column("isin", _text),
    "hts_kor_isnm": Column("stock_name", _text),
    "scrt_grp_cls_code": Column("security_group", _text),
    "avls_scal_cls_code": Column("size_class", _text),
    "bstp_larg_div_code": Column("sector_large", _text),
    "bstp_medm_div_code": Column("sector_medium", _text),
    "bstp_smal_div_code": Column("sector_small", _text),
    "mnin_cls_code_yn": Column("is_manufacturer", _flag),
    "vntr_issu_yn": Column("is_venture", _flag),
    "low_current_yn": Column("is_low_liquidity", _flag),
    "sprn_strr_nmix_issu_yn": Column("in_governance_index", _flag),
    "kospi200_apnt_cls_code": Column("kospi200_sector", _text),
    "kospi100_issu_yn": Column("in_kospi100", _flag),
    "kospi50_issu_yn": Column("in_kospi50", _flag),
    "krx_issu_yn": Column("in_krx", _flag),
    "etp_prod_cls_code": Column("etp_class", _text),
    "elw_pblc_yn": Column("has_elw", _flag),
    "krx100_issu_yn": Column("in_krx100", _flag),
    "krx_car_yn": Column("in_krx_autos", _flag),
    "krx_smcn_yn": Column("in_krx_semiconductors", _flag),
    "krx_bio_yn": Column("in_krx_bio", _flag),
    "krx_bank_yn": Column("in_krx_banks", _flag),
    "etpr_undt_objt_co_yn": Column("is_spac", _flag),
    "krx_enrg_chms_yn": Column("in_krx_energy", _flag),
    "krx_stel_yn": Column("in_krx_steel", _flag),
    "short_over_cls_code": Column("overheated", _text),
    "krx_medi_cmnc_yn": Column("in_krx_media", _flag),
    "krx_cnst_yn": Column("in_krx_construction", _flag),
    "invt_alrm_yn": Column("is_investor_attention", _flag),
    "krx_scrt_yn": Column("in_krx_securities", _flag),
    "krx_ship_yn": Column("in_krx_ships", _flag),
    "krx_insu_yn": Column("in_krx_insurance", _flag),
    "krx_trnp_yn": Column("in_krx_transport", _flag),
    "sri_nmix_yn": Column("in_sri", _flag),
    "ksq150_nmix_yn": Column("in_kosdaq150", _flag),
    "stck_sdpr": Column("base_price", _whole),
    "frml_mrkt_deal_qty_unit": Column("lot", _whole),
    "ovtm_mrkt_deal_qty_unit": Column("after_hours_lot", _whole),
    "trht_yn": Column("is_halted", _flag),
    "sltr_yn": Column("is_liquidation", _flag),
    "mang_issu_yn": Column("is_administrative", _flag),
    "mrkt_alrm_cls_code": Column("market_warning", _text),
    "mrkt_alrm_risk_adnt_yn": Column("is_warning_announced", _flag),
    "insn_pbnt_yn": Column("is_unfaithful", _flag),
    "byps_lstn_yn": Column("is_backdoor_listing", _flag),
    "flng_cls_code": Column("ex_flag", _text),
    "fcam_mod_cls_code": Column("face_value_change", _text),
    "icic_cls_code": Column("capital_increase", _text),
    "marg_rate": Column("margin_rate", _whole),
    "crdt_able": Column("is_credit_possible", _flag),
    "crdt_days": Column("credit_days", _whole),
    "prdy_vol": Column("previous_volume", _whole),
    "stck_fcam": Column("face_value", _whole),
    "stck_lstn_date": Column("listed_on", _day),
    "lstn_stcn": Column("listed_shares", _thousands),
    "cpfn": Column("capital", _whole),
    "stac_month": Column("settlement_month", _text),
    "po_prc": Column("offer_price", _whole),
    "prst_cls_code": Column("preferred_class", _text),
    "ssts_hot_yn": Column("is_short_sale_overheated", _flag),
    "stange_runup_yn": Column("is_abnormal_rise", _flag),
    "krx300_issu_yn": Column("in_krx300", _flag),
    "kospi_issu_yn": Column("in_kospi", _flag),
    "sale_account": Column("sales", _whole),
    "bsop_prfi": Column("operating_profit", _whole),
    "op_prfi": Column("ordinary_profit", _whole),
    "thtr_ntin": Column("net_income", _whole),
    "roe": Column("roe", _decimal),
    "base_date": Column("accounts_month", _text),
    "prdy_avls_scal": Column("previous_market_cap", _hundred_millions),
    "grp_code": Column("group_code", _text),
    "co_crdt_limt_over_yn": Column("is_credit_limit_exceeded", _flag),
    "secu_lend_able_yn": Column("is_lending_possible", _flag),
    "stln_able_yn": Column("is_stock_loan_possible", _flag),
}
