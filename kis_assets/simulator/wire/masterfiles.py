"""The stock master files, byte for byte: fixed widths, cp949, zipped. No REST protocol.

The widths and their order are those of KIS's own header files, see sections 15.3 to 15.5 of the
protocol notes. Numbers are right-aligned and filled with zeros, texts left-aligned with blanks.
"""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime

from kis_assets.exchange import calendar
from kis_assets.simulator.market.market import Bar, Market, Quote, Stock, business_day
from kis_assets.simulator.wire.indices import index_rows

_HEAD = "mksc_shrn_iscd:9 stnd_iscd:12 hts_kor_isnm:40 scrt_grp_cls_code:2 "
_TRADING = (
    "stck_sdpr:9# frml_mrkt_deal_qty_unit:5# ovtm_mrkt_deal_qty_unit:5# trht_yn:1 sltr_yn:1 "
    "mang_issu_yn:1 mrkt_alrm_cls_code:2 mrkt_alrm_risk_adnt_yn:1 insn_pbnt_yn:1 byps_lstn_yn:1 "
    "flng_cls_code:2 fcam_mod_cls_code:2 icic_cls_code:2 marg_rate:3# crdt_able:1 crdt_days:3# "
    "prdy_vol:12# stck_fcam:12# stck_lstn_date:8 lstn_stcn:15# cpfn:21# stac_month:2 po_prc:7# "
    "prst_cls_code:1 ssts_hot_yn:1 stange_runup_yn:1 krx300_issu_yn:1 "
)
_ACCOUNTS = "sale_account:9 bsop_prfi:9 op_prfi:9 thtr_ntin:5 roe:9 base_date:8 prdy_avls_scal:9# "
_SECTORS = "avls_scal_cls_code:1 bstp_larg_div_code:4 bstp_medm_div_code:4 bstp_smal_div_code:4 "
_LENDING = "co_crdt_limt_over_yn:1 secu_lend_able_yn:1 stln_able_yn:1"
_KOSPI = (
    _HEAD + _SECTORS + "mnin_cls_code_yn:1 low_current_yn:1 sprn_strr_nmix_issu_yn:1 "
    "kospi200_apnt_cls_code:1 kospi100_issu_yn:1 kospi50_issu_yn:1 krx_issu_yn:1 "
    "etp_prod_cls_code:1 elw_pblc_yn:1 krx100_issu_yn:1 krx_car_yn:1 krx_smcn_yn:1 krx_bio_yn:1 "
    "krx_bank_yn:1 etpr_undt_objt_co_yn:1 krx_enrg_chms_yn:1 krx_stel_yn:1 short_over_cls_code:1 "
    "krx_medi_cmnc_yn:1 krx_cnst_yn:1 krx_fnnc_svc_yn:1 krx_scrt_yn:1 krx_ship_yn:1 krx_insu_yn:1 "
    "krx_trnp_yn:1 sri_nmix_yn:1 " + _TRADING + "kospi_issu_yn:1 " + _ACCOUNTS + "grp_code:3 "
    + _LENDING
)  # fmt: skip
_KOSDAQ = (
    _HEAD + _SECTORS + "vntr_issu_yn:1 low_current_yn:1 krx_issu_yn:1 etp_prod_cls_code:1 "
    "krx100_issu_yn:1 krx_car_yn:1 krx_smcn_yn:1 krx_bio_yn:1 krx_bank_yn:1 "
    "etpr_undt_objt_co_yn:1 krx_enrg_chms_yn:1 krx_stel_yn:1 short_over_cls_code:1 "
    "krx_medi_cmnc_yn:1 krx_cnst_yn:1 invt_alrm_yn:1 krx_scrt_yn:1 krx_ship_yn:1 krx_insu_yn:1 "
    "krx_trnp_yn:1 ksq150_nmix_yn:1 " + _TRADING + _ACCOUNTS + "grp_code:3 " + _LENDING
)  # fmt: skip
_KONEX = _HEAD + _TRADING + _ACCOUNTS + _LENDING

Field = tuple[str, int, bool]


def _fields(spec: str) -> tuple[Field, ...]:
    found: list[Field] = []
    for item in spec.split():
        name, width = item.split(":")
        found.append((name, int(width.rstrip("#")), width.endswith("#")))
    return tuple(found)


LAYOUTS: dict[str, tuple[Field, ...]] = {
    "KOSPI": _fields(_KOSPI),
    "KOSDAQ": _fields(_KOSDAQ),
    "KONEX": _fields(_KONEX),
}
"""Name, width and whether it is a number, of every field of a market's record, in order."""
FILES: dict[str, tuple[str, bool]] = {
    "kospi_code.mst.zip": ("KOSPI", False),
    "kosdaq_code.mst.zip": ("KOSDAQ", False),
    "konex_code.mst.zip": ("KONEX", False),
    "nxt_kospi_code.mst.zip": ("KOSPI", True),
    "nxt_kosdaq_code.mst.zip": ("KOSDAQ", True),
}
"""The market of a file, and whether it holds only NXT's stocks."""

_ETP_KINDS = {"EF": "2", "EN": "3", "MF": "1"}
_NO_EX_FLAG = frozenset({"SW", "SR", "EW"})
_FACE_CHANGES = {"split": "01", "reverse_split": "02"}
_INCREASES = {"rights": "01", "bonus": "02"}
_DEFAULTS = {True: "0", False: "N"}


def master_file(market: Market, name: str) -> bytes:
    """One zipped master file at the current moment of the market.

    Raises:
        KeyError: there is no such file.
    """
    exchange, only_nxt = FILES[name]
    now = market.now()
    day = business_day(now, market.rolls_at)
    actions = market.actions(day, day)
    today = {action.code: action.kind for action in actions if action.ex_day == day}
    at = datetime.combine(day, market.rolls_at, calendar.SEOUL) if now.date() == day else now
    records: list[bytes] = []
    for stock in market.stocks(day):
        if stock.market == exchange and (stock.on_nxt or not only_nxt):
            quote = market.quote(stock.code, at)
            if quote is not None:
                records.append(_record(stock, quote, today.get(stock.code, "")))
    text = b"".join(record + b"\n" for record in records)
    return zipped(name.removesuffix(".zip"), text, day)


def zipped(name: str, content: bytes, day: date) -> bytes:
    """A zip of one file; the same content gives the same bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        info = zipfile.ZipInfo(name, (day.year, day.month, day.day, 7, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, content)
    return target.getvalue()


def _record(stock: Stock, quote: Quote, action: str) -> bytes:
    facts = _facts(stock, quote, quote.previous, action)
    parts: list[bytes] = []
    for name, width, is_number in LAYOUTS[stock.market]:
        text = facts.get(name)
        if text is None:
            text = "" if width > 1 and not is_number else _DEFAULTS[is_number]
        if name == "hts_kor_isnm":
            parts.append(cut(text, width))
        elif is_number:
            parts.append(text.encode().rjust(width, b"0"))
        else:
            parts.append(text.encode().ljust(width))
    return b"".join(parts)


def _facts(stock: Stock, quote: Quote, before: Bar | None, action: str) -> dict[str, str]:
    """The fields of a record; flags that are missing here are N."""
    bar, yes_no = quote.bar, {True: "Y", False: "N"}
    large = stock.on_nxt
    in_kospi = stock.market == "KOSPI" and stock.group == "ST"
    return {
        "mksc_shrn_iscd": stock.code, "stnd_iscd": stock.isin, "hts_kor_isnm": stock.name,
        "scrt_grp_cls_code": stock.group, "avls_scal_cls_code": "1" if large else "3",
        "bstp_larg_div_code": "0027" if in_kospi else "0000",
        "bstp_medm_div_code": f"{stock.sector:04d}", "bstp_smal_div_code": "0000",
        "mnin_cls_code_yn": yes_no["제조" in stock.industry],
        "low_current_yn": yes_no[before is not None and before.trading_value < 50_000_000],
        "kospi200_apnt_cls_code": "5" if large and in_kospi else "0",
        "kospi100_issu_yn": yes_no[large and in_kospi], "krx_issu_yn": yes_no[stock.group == "ST"],
        "etp_prod_cls_code": _ETP_KINDS.get(stock.group, "0"),
        "elw_pblc_yn": yes_no[large and in_kospi], "krx100_issu_yn": yes_no[large],
        "etpr_undt_objt_co_yn": yes_no[stock.is_spac], "short_over_cls_code": "0",
        "ksq150_nmix_yn": yes_no[large], "krx300_issu_yn": yes_no[large],
        "kospi_issu_yn": yes_no[in_kospi],
        "stck_sdpr": str(bar.base), "frml_mrkt_deal_qty_unit": "1",
        "ovtm_mrkt_deal_qty_unit": "1", "trht_yn": yes_no[stock.is_halted],
        "sltr_yn": yes_no[stock.is_liquidating], "mang_issu_yn": yes_no[stock.is_administrative],
        "mrkt_alrm_cls_code": stock.warning,
        "flng_cls_code": "" if stock.group in _NO_EX_FLAG else bar.ex_flag,
        "fcam_mod_cls_code": _FACE_CHANGES.get(action, "00"),
        "icic_cls_code": _INCREASES.get(action, "00"),
        "marg_rate": "20" if large else "40", "crdt_able": yes_no[large], "crdt_days": "90",
        "prdy_vol": str(before.volume if before else 0), "stck_fcam": str(stock.face_value),
        "stck_lstn_date": f"{stock.listed_on:%Y%m%d}" if stock.listed_on else "",
        "lstn_stcn": str(bar.listed_shares // 1_000),
        "cpfn": str(stock.face_value * bar.listed_shares),
        "stac_month": f"{stock.settle_month:02d}",
        "po_prc": str(stock.offer_price), "prst_cls_code": str(stock.preferred),
        "base_date": f"{bar.day.year - 1}1231",
        "prdy_avls_scal": str(bar.previous_close * bar.listed_shares // 100_000_000),
        "grp_code": "000", "secu_lend_able_yn": yes_no[large],
    }  # fmt: skip


def cut(text: str, width: int) -> bytes:
    """A name in cp949 in exactly `width` bytes, without a divided two-byte character."""
    encoded = b""
    for character in text:
        piece = character.encode("cp949", "replace")
        if len(encoded) + len(piece) > width:
            break
        encoded += piece
    return encoded.ljust(width)


def index_file(day: date) -> bytes:
    """The index codes: market digit, code, name."""
    rows = (code.encode() + cut(name, 40) + b"\n" for code, name in index_rows())
    return zipped("idxcode.mst", b"".join(rows), day)
