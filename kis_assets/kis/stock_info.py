"""Facts of a stock that change slowly: search-stock-info."""

from __future__ import annotations

from typing import Any

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.client import Client
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, amount, any_day, decimal, flag, output, read, text

STOCK_INFO = Endpoint("search-stock-info", "CTPF1002R", virtual=False)

_MARKETS = {"STK": "KOSPI", "KSQ": "KOSDAQ", "KNX": "KONEX"}


def _market(word: str) -> str:
    return _MARKETS.get(word, word)


def _kind_of_share(word: str) -> str | None:
    """KIS: 000 none, 101 common, 201 to 220 preferred, 301 deferred, 401 mixed."""
    if word == "000":
        return None
    kinds = {"1": "common", "2": "preferred", "3": "deferred", "4": "mixed"}
    return kinds.get(word[0], "other")


FIELDS = (
    Field("product", "pdno", text),
    Field("stock_name", "prdt_abrv_name", text),
    Field("full_name", "prdt_name", text, required=False),
    Field("english_name", "prdt_eng_name", text, required=False),
    Field("isin", "std_pdno", text, required=False),
    Field("market", "mket_id_cd", _market, required=False),
    Field("security_group", "scty_grp_id_cd", text, required=False),
    Field("kind_of_share", "stck_kind_cd", _kind_of_share, required=False),
    Field("sector_large", "idx_bztp_lcls_cd", text, required=False),
    Field("sector_medium", "idx_bztp_mcls_cd", text, required=False),
    Field("sector_small", "idx_bztp_scls_cd", text, required=False),
    Field("sector_large_name", "idx_bztp_lcls_cd_name", text, required=False),
    Field("sector_medium_name", "idx_bztp_mcls_cd_name", text, required=False),
    Field("sector_small_name", "idx_bztp_scls_cd_name", text, required=False),
    Field("industry_code", "std_idst_clsf_cd", text, required=False),
    Field("industry", "std_idst_clsf_cd_name", text, required=False),
    Field("listed_shares", "lstg_stqt", amount, required=False),
    Field("face_value", "papr", decimal, required=False),
    Field("issue_price", "issu_pric", decimal, required=False),
    Field("capital", "cpta", decimal, required=False),
    Field("fiscal_year_end", "setl_mmdd", text, required=False),
    Field("listed_on_kospi", "scts_mket_lstg_dt", any_day, required=False),
    Field("left_kospi_on", "scts_mket_lstg_abol_dt", any_day, required=False),
    Field("listed_on_kosdaq", "kosdaq_mket_lstg_dt", any_day, required=False),
    Field("left_kosdaq_on", "kosdaq_mket_lstg_abol_dt", any_day, required=False),
    Field("listed_on_freeboard", "frbd_mket_lstg_dt", any_day, required=False),
    Field("left_freeboard_on", "frbd_mket_lstg_abol_dt", any_day, required=False),
    Field("delisted_on", "lstg_abol_dt", any_day, required=False),
    Field("is_halted", "tr_stop_yn", flag, required=False),
    Field("is_administrative", "admn_item_yn", flag, required=False),
    Field("in_kospi200", "kospi200_item_yn", flag, required=False),
    Field("on_nxt", "cptt_trad_tr_psbl_yn", flag, required=False),
    Field("is_halted_on_nxt", "nxt_tr_stop_yn", flag, required=False),
)


def stock_info(client: Client, code: str) -> dict[str, Any]:
    """Slowly changing facts of one stock; see `read_stock_info`."""
    return client.ask(
        STOCK_INFO,
        {"PRDT_TYPE_CD": "300", "PDNO": code},
        lambda body: read_stock_info(body, code),
        about=code,
    )


def read_stock_info(body: Row, stock_code: str) -> dict[str, Any]:
    """search-stock-info: the columns of `stock_info` that KIS knows.

    For stocks that were never on Freeboard, KIS repeats another market's listing day there.

    Raises:
        UnexpectedAnswer: a required field is missing, or the answer is about another stock.
    """
    values = read(output(body, "output", dict), FIELDS)
    # Twelve characters, such as 00000A005930; the prefix of an ETN is not certain.
    product = values.pop("product")
    if product[-6:] != stock_code[-6:]:
        raise UnexpectedAnswer(f"the answer is about {product[:20]!r}")
    if values["listed_on_freeboard"] in (values["listed_on_kospi"], values["listed_on_kosdaq"]):
        values["listed_on_freeboard"] = None
    return values | {"stock_code": stock_code}
