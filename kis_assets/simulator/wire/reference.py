"""Slowly changing data in KIS's format: instrument facts and calendars.

These ledger services have other success codes than the quotation services.
"""

from __future__ import annotations

from datetime import date, timedelta

from kis_assets.exchange import calendar
from kis_assets.simulator.market.market import Stock
from kis_assets.simulator.market.names import english_of
from kis_assets.simulator.wire.wire import (
    FOUND,
    MORE,
    NOTHING,
    Answer,
    Record,
    Request,
    flag,
    words,
    ymd,
)

_HOLIDAY_PAGE = 24
_HOLIDAY_HORIZON = timedelta(days=200)
_MARKET_IDS = {"KOSPI": ("STK", "02"), "KOSDAQ": ("KSQ", "03"), "KONEX": ("KNX", "03")}
_KINDS = {0: "101", 1: "201", 2: "202"}
_STOCK_INFO = words(
    "pdno prdt_type_cd prdt_name prdt_name120 prdt_abrv_name prdt_eng_name prdt_eng_name120 "
    "prdt_eng_abrv_name mket_id_cd scty_grp_id_cd excg_dvsn_cd setl_mmdd lstg_stqt "
    "lstg_cptl_amt cpta papr issu_pric kospi200_item_yn scts_mket_lstg_dt "
    "scts_mket_lstg_abol_dt kosdaq_mket_lstg_dt kosdaq_mket_lstg_abol_dt frbd_mket_lstg_dt "
    "frbd_mket_lstg_abol_dt reits_kind_cd etf_dvsn_cd oilf_fund_yn idx_bztp_lcls_cd "
    "idx_bztp_mcls_cd idx_bztp_scls_cd idx_bztp_lcls_cd_name idx_bztp_mcls_cd_name "
    "idx_bztp_scls_cd_name stck_kind_cd mfnd_opng_dt mfnd_end_dt dpsi_erlm_cncl_dt etf_cu_qty "
    "std_pdno dpsi_aptm_erlm_yn etf_txtn_type_cd etf_type_cd lstg_abol_dt nwst_odst_dvsn_cd "
    "sbst_pric thco_sbst_pric thco_sbst_pric_chng_dt tr_stop_yn admn_item_yn thdt_clpr "
    "bfdy_clpr clpr_chng_dt std_idst_clsf_cd std_idst_clsf_cd_name ocr_no crfd_item_yn "
    "elec_scty_yn issu_istt_cd etf_chas_erng_rt_dbnb etf_etn_ivst_heed_item_yn "
    "stln_int_rt_dvsn_cd frnr_psnl_lmt_rt lstg_rqsr_issu_istt_cd lstg_rqsr_item_cd "
    "trst_istt_issu_istt_cd cptt_trad_tr_psbl_yn nxt_tr_stop_yn"
)
_PRODUCT_INFO = words(
    "pdno prdt_type_cd prdt_name prdt_name120 prdt_abrv_name prdt_eng_name prdt_eng_name120 "
    "prdt_eng_abrv_name std_pdno shtn_pdno prdt_sale_stat_cd prdt_risk_grad_cd prdt_clsf_cd "
    "prdt_clsf_name sale_strt_dt sale_end_dt wrap_asst_type_cd ivst_prdt_type_cd "
    "ivst_prdt_type_cd_name frst_erlm_dt"
)


def search_stock_info(request: Request) -> Answer:
    """The facts of one issue: 67 fields, most of them blank for a share."""
    stock = _product(request)
    quote = request.market.quote(stock.code, request.now) if stock else None
    if stock is None or quote is None:
        return Answer({"output": dict.fromkeys(_STOCK_INFO, "")}, NOTHING, rt_cd="7")
    market, exchange = _MARKET_IDS[stock.market]
    before = "scts" if stock.market == "KOSPI" else "kosdaq"
    if stock.market == "KONEX":
        before = "frbd"
    record = dict.fromkeys(_STOCK_INFO, "") | _names(stock) | {
        "mket_id_cd": market, "scty_grp_id_cd": stock.group, "excg_dvsn_cd": exchange,
        "setl_mmdd": f"{_month_end(stock.settle_month)}", "lstg_stqt": str(stock.listed_shares),
        "lstg_cptl_amt": "0", "cpta": str(stock.face_value * stock.listed_shares),
        "papr": str(stock.face_value), "issu_pric": str(stock.offer_price),
        "kospi200_item_yn": flag(stock.on_nxt and stock.market == "KOSPI"),
        f"{before}_mket_lstg_dt": ymd(stock.listed_on),
        "idx_bztp_lcls_cd": "000", "idx_bztp_mcls_cd": f"{stock.sector:03d}",
        "idx_bztp_mcls_cd_name": stock.industry.split(" ")[0],
        "stck_kind_cd": _KINDS[stock.preferred] if stock.group in ("ST", "KN", "FS") else "000",
        "oilf_fund_yn": "N", "dpsi_aptm_erlm_yn": "Y", "sbst_pric": str(quote.bar.base * 7 // 10),
        "tr_stop_yn": flag(stock.is_halted), "admn_item_yn": flag(stock.is_administrative),
        "thdt_clpr": str(quote.price), "bfdy_clpr": str(quote.bar.previous_close),
        "clpr_chng_dt": ymd(quote.bar.day), "std_idst_clsf_cd": f"03{stock.sector:02d}00",
        "std_idst_clsf_cd_name": stock.industry, "crfd_item_yn": "N", "elec_scty_yn": "Y",
        "frnr_psnl_lmt_rt": "0.00000000", "cptt_trad_tr_psbl_yn": flag(stock.on_nxt),
        "nxt_tr_stop_yn": flag(stock.on_nxt and stock.is_halted),
    }  # fmt: skip
    return Answer({"output": record}, FOUND)


def search_info(request: Request) -> Answer:
    """The product type of a code."""
    stock = _product(request)
    if stock is None:
        return Answer({"output": dict.fromkeys(_PRODUCT_INFO, "")}, NOTHING, rt_cd="7")
    record = dict.fromkeys(_PRODUCT_INFO, "") | _names(stock) | {
        "shtn_pdno": stock.code, "prdt_risk_grad_cd": "02", "prdt_clsf_cd": "101101",
        "prdt_clsf_name": "주권", "wrap_asst_type_cd": "06", "ivst_prdt_type_cd": "0101",
        "ivst_prdt_type_cd_name": "주식",
    }  # fmt: skip
    return Answer({"output": record}, FOUND)


def _product(request: Request) -> Stock | None:
    if request["PRDT_TYPE_CD"] != "300":
        return None
    return request.market.stock(request["PDNO"])


def _names(stock: Stock) -> Record:
    long = stock.name + ("보통주" if stock.group == "ST" and not stock.preferred else "")
    english = english_of(stock.code, stock.name)
    return {
        "pdno": f"00000A{stock.code}", "prdt_type_cd": "300", "prdt_name": long,
        "prdt_name120": long, "prdt_abrv_name": stock.name, "prdt_eng_name": english,
        "prdt_eng_name120": english, "prdt_eng_abrv_name": english[:30], "std_pdno": stock.isin,
    }  # fmt: skip


def _month_end(month: int) -> str:
    following = date(2001 + month // 12, month % 12 + 1, 1)
    return f"{following - timedelta(days=1):%m%d}"


def chk_holiday(request: Request) -> Answer:
    """Twenty-four calendar days from the base date, or after the page before."""
    base, context = request["BASS_DT"], request["CTX_AREA_NK"]
    start = request.day("BASS_DT")
    if context:
        start = request.day("CTX_AREA_NK") + timedelta(days=1)
    horizon = max(request.now.date() + _HOLIDAY_HORIZON, start)
    days = [start + timedelta(days=n) for n in range(_HOLIDAY_PAGE)]
    days = [day for day in days if day <= horizon]
    more = days[-1] < horizon
    payload = {
        "ctx_area_nk": f"{ymd(days[-1]):<20}",
        "ctx_area_fk": f"{base:<20}",
        "output": [_calendar_row(request, day) for day in days],
    }
    return Answer(payload, MORE if more else FOUND, tr_cont="M" if more else "D")


def _calendar_row(request: Request, day: date) -> Record:
    opened = request.market.is_trading_day(day)
    last_of_year = (day.month, day.day) == (12, 31) and day.weekday() < 5
    return {
        "bass_dt": ymd(day),
        "wday_dvsn_cd": f"{day.isoweekday() % 7 + 1:02d}",
        "bzdy_yn": flag(opened or last_of_year),
        # Securities services run on Saturdays: this is not a flag of trading days.
        "tr_day_yn": flag(opened or last_of_year or day.weekday() == 5),
        "opnd_yn": flag(opened),
        "sttl_day_yn": flag(opened),
    }


def market_time(request: Request) -> Answer:
    """The server's clock, two trading days before and two after."""
    today = request.now.date()
    days = [calendar.previous_trading_day(today)]
    days.insert(0, calendar.previous_trading_day(days[0]))
    days += [today, calendar.next_trading_day(today)]
    days.append(calendar.next_trading_day(days[-1]))
    session = calendar.session(today)
    record = {f"date{number}": ymd(day) for number, day in enumerate(days, start=1)} | {
        "today": ymd(today), "time": f"{request.now:%H%M%S}",
        "s_time": f"{session.opens_at:%H%M%S}" if session else "000000",
        "e_time": f"{session.closes_at:%H%M%S}" if session else "000000",
    }  # fmt: skip
    return Answer({"output1": record})
