"""Current figures of stocks in KIS's format: prices, order book, trades, ranking.

An unknown code is not an error here: `rt_cd` is 0 and the price is 0.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from kis_assets.exchange import calendar
from kis_assets.simulator.market.chance import key_of, unit
from kis_assets.simulator.market.grid import grid
from kis_assets.simulator.market.market import ETP_GROUPS, Bar, Book, Quote, Stock
from kis_assets.simulator.market.statements import Accounts, annual
from kis_assets.simulator.wire.wire import (
    Answer,
    Record,
    Request,
    change_of,
    eokwon,
    flag,
    market_name,
    percent,
    rate,
    sector_name,
    words,
    ymd,
)

_SLOTS = 30
_NO_TIME = datetime(2000, 1, 1, tzinfo=calendar.SEOUL)
_NO_BOOK = Book(_NO_TIME, (), (), 0, 0, "closed")
_SLOT_FIELDS = words(
    "kospi_kosdaq_cls_name mrkt_trtm_cls_name hour_cls_code inter_shrn_iscd inter_kor_isnm "
    "inter2_prpr inter2_prdy_vrss prdy_vrss_sign prdy_ctrt acml_vol inter2_oprc inter2_hgpr "
    "inter2_lwpr inter2_llam inter2_mxpr inter2_askp inter2_bidp seln_rsqn shnu_rsqn "
    "total_askp_rsqn total_bidp_rsqn acml_tr_pbmn inter2_prdy_clpr oprc_vrss_hgpr_rate "
    "intr_antc_cntg_vrss intr_antc_cntg_vrss_sign intr_antc_cntg_prdy_ctrt intr_antc_vol "
    "inter2_sdpr"
)
_PHASES = {
    "pre_open": "00", "continuous": "20", "closing_auction": "00", "closing_price": "31",
    "closed": "30",
}  # fmt: skip
HOURS = {
    "pre_open": "B", "continuous": "0", "closing_auction": "C", "closing_price": "0",
    "closed": "0", "after_market": "0",
}  # fmt: skip
_EXPECTED_PHASES = {"pre_open": "311", "closing_auction": "121"}


def inquire_price(request: Request) -> Answer:
    """Everything about one stock except its name and the time."""
    stock = request.stock()
    quote = request.market.quote(stock.code, request.now) if stock else None
    if stock is None or quote is None:
        return Answer({"output": _nothing(request["FID_INPUT_ISCD"])})
    past = request.market.bars(stock.code, request.today - timedelta(days=364), request.today)
    # Figures per share are of the last full fiscal year.
    filed = annual(request.market, stock, request.now.date())
    traded = [bar for bar in past if bar.volume]
    return Answer({"output": _price(stock, quote, traded, filed[0] if filed else None)})


def _nothing(code: str) -> Record:
    empty = Bar(_NO_TIME.date(), 0, 0, 0, 0, 0, 0, 0, 0, "3", 0, 0, 0)
    stock = Stock(code, "", "", "", face_value=0)
    return _price(stock, Quote(code, _NO_TIME, empty, 0, 0, None), [], None)


def status_code(stock: Stock) -> str:
    """`iscd_stat_cls_code` of a stock: its most important status."""
    if stock.is_halted:
        return "58"
    if stock.is_administrative:
        return "51"
    return "54" if stock.warning == "01" else "55" if stock.on_nxt else "00"


def _price(stock: Stock, quote: Quote, past: list[Bar], accounts: Accounts | None) -> Record:
    bar, key = quote.bar, key_of("ratios", stock.code)
    previous = quote.previous
    ticks = grid(stock.market, bar.day, stock.group in ETP_GROUPS) if bar.close else None
    tick = ticks.tick(bar.close) if ticks else 0
    earnings, book = (accounts.eps, accounts.bps) if accounts else (0, 0)
    high, low, close = (previous.high, previous.low, previous.close) if previous else (0, 0, 0)
    pivot = (high + low + close) // 3
    capital = stock.face_value * stock.listed_shares
    return {
        "iscd_stat_cls_code": status_code(stock),
        "marg_rate": "20.00" if stock.on_nxt else "100.00" if stock.is_administrative else "40.00",
        "rprs_mrkt_kor_name": market_name(stock),
        "bstp_kor_isnm": sector_name(stock) if stock.name else "",
        "temp_stop_yn": "N", "oprc_rang_cont_yn": "N", "clpr_rang_cont_yn": "N",
        "crdt_able_yn": flag(stock.on_nxt), "grmn_rate_cls_code": "40",
        "elw_pblc_yn": flag(stock.on_nxt and stock.market == "KOSPI"),
        "stck_prpr": str(bar.close),
        **change_of(bar),
        "acml_tr_pbmn": str(bar.trading_value), "acml_vol": str(bar.volume),
        "prdy_vrss_vol_rate": percent(bar.volume, previous.volume if previous else 0),
        "stck_oprc": str(bar.open), "stck_hgpr": str(bar.high), "stck_lwpr": str(bar.low),
        "stck_mxpr": str(quote.upper), "stck_llam": str(quote.lower), "stck_sdpr": str(bar.base),
        "wghn_avrg_stck_prc": rate(bar.trading_value * 100 // bar.volume if bar.volume else 0),
        "hts_frgn_ehrt": rate(int(unit(key, 4) * 5_000)), "frgn_ntby_qty": "0",
        "pgtr_ntby_qty": str(int((unit(key, 5) - 0.5) * bar.volume / 10)),
        "pvt_scnd_dmrs_prc": str(pivot + high - low), "pvt_frst_dmrs_prc": str(2 * pivot - low),
        "pvt_pont_val": str(pivot), "pvt_frst_dmsp_prc": str(2 * pivot - high),
        "pvt_scnd_dmsp_prc": str(pivot - high + low), "dmrs_val": str(pivot + (high - low) // 2),
        "dmsp_val": str(pivot - (high - low) // 2),
        "cpfn": eokwon(capital),
        "rstc_wdth_prc": str(min(quote.upper - bar.base, bar.base - quote.lower)),
        "stck_fcam": str(stock.face_value), "stck_sspr": str(bar.base * 7 // 10),
        "aspr_unit": str(tick), "hts_deal_qty_unit_val": "1",
        "lstn_stcn": str(bar.listed_shares), "hts_avls": eokwon(quote.market_cap),
        "per": rate(bar.close * 100 // earnings) if earnings > 0 else "0.00",
        "pbr": rate(bar.close * 100 // book) if book > 0 else "0.00",
        "stac_month": f"{stock.settle_month:02d}",
        "vol_tnrt": percent(bar.volume, bar.listed_shares),
        "eps": rate(earnings * 100), "bps": rate(book * 100),
        **_extremes(bar, past),
        "whol_loan_rmnd_rate": "0.35", "ssts_yn": flag(not stock.is_administrative),
        "stck_shrn_iscd": stock.code, "fcam_cnnm": f"{stock.face_value:,}",
        "cpfn_cnnm": f"{capital // 100_000_000:,} 억",
        "frgn_hldn_qty": str(int(unit(key, 4) * bar.listed_shares / 2)), "vi_cls_code": "N",
        "ovtm_vi_cls_code": "N", "last_ssts_cntg_qty": str(bar.volume // 100),
        "invt_caful_yn": flag(stock.warning != "00"), "mrkt_warn_cls_code": stock.warning,
        "short_over_yn": "N", "sltr_yn": flag(stock.is_liquidating),
        "mang_issu_cls_code": flag(stock.is_administrative),
    }  # fmt: skip


def _extremes(bar: Bar, past: list[Bar]) -> Record:
    """Highs and lows of 250 days, the year and 52 weeks, all from the same bars."""
    fields: Record = {}
    this_year = [day for day in past if day.day.year == bar.day.year]
    for name, days, distance in (
        ("d250_{}", past[-250:], "d250_{}_vrss_prpr_rate"),
        ("stck_dryy_{}", this_year, "dryy_{}_vrss_prpr_rate"),
        ("w52_{}", past, "w52_{}_vrss_prpr_ctrt"),
    ):
        for which, pick in (("hgpr", max), ("lwpr", min)):
            top = which == "hgpr"
            best = pick(days, key=lambda day: day.high if top else day.low) if days else None
            price = (best.high if top else best.low) if best else 0
            fields[name.format(which)] = str(price)
            dated = name.format(which).replace("stck_", "") + "_date"
            fields[dated] = ymd(best.day) if best else ""
            fields[distance.format(which)] = percent(bar.close - price, price)
    return fields


def intstock_multprice(request: Request) -> Answer:
    """Up to thirty stocks, one object per filled slot."""
    rows: list[Record] = []
    for slot in range(1, _SLOTS + 1):
        code = request[f"FID_INPUT_ISCD_{slot}"]
        if code:
            division = f"FID_COND_MRKT_DIV_CODE_{slot}"
            request.check_market(division)
            rows.append(_slot(request, code, request.stock_on(code, request[division])))
    return Answer({"output": rows})


def _slot(request: Request, code: str, stock: Stock | None) -> Record:
    quote = request.market.quote(code, request.now) if stock else None
    if quote is None or stock is None:
        return dict.fromkeys(_SLOT_FIELDS, "0") | {
            "kospi_kosdaq_cls_name": "", "mrkt_trtm_cls_name": "", "inter_shrn_iscd": code,
            "inter_kor_isnm": "", "prdy_vrss_sign": "3", "prdy_ctrt": "0.00",
            "oprc_vrss_hgpr_rate": "0.00", "intr_antc_cntg_prdy_ctrt": "0.00",
        }  # fmt: skip
    bar = quote.bar
    book = request.market.book(code, request.now) or _NO_BOOK
    ask, ask_count = book.asks[0] if book.asks else (0, 0)
    bid, bid_count = book.bids[0] if book.bids else (0, 0)
    return {
        "kospi_kosdaq_cls_name": stock.market, "mrkt_trtm_cls_name": "",
        "hour_cls_code": HOURS[book.phase],
        "inter_shrn_iscd": code, "inter_kor_isnm": stock.name, "inter2_prpr": str(bar.close),
        "inter2_prdy_vrss": str(bar.change), "prdy_vrss_sign": bar.sign,
        "prdy_ctrt": rate(bar.change_rate), "acml_vol": str(bar.volume),
        "inter2_oprc": str(bar.open), "inter2_hgpr": str(bar.high), "inter2_lwpr": str(bar.low),
        "inter2_llam": str(quote.lower), "inter2_mxpr": str(quote.upper),
        "inter2_askp": str(ask), "inter2_bidp": str(bid), "seln_rsqn": str(ask_count),
        "shnu_rsqn": str(bid_count), "total_askp_rsqn": str(book.total_ask),
        "total_bidp_rsqn": str(book.total_bid), "acml_tr_pbmn": str(bar.trading_value),
        "inter2_prdy_clpr": str(bar.previous_close),
        "oprc_vrss_hgpr_rate": percent(bar.high - bar.open, bar.open),
        **_expected(book.expected_price, bar, "intr_"), "intr_antc_vol": str(book.expected_volume),
        "inter2_sdpr": str(bar.base),
    }  # fmt: skip


def _expected(price: int, bar: Bar, prefix: str) -> Record:
    change = price - bar.base if price else 0
    return {
        f"{prefix}antc_cntg_vrss": str(change),
        f"{prefix}antc_cntg_vrss_sign": "2" if change > 0 else "5" if change < 0 else "3",
        f"{prefix}antc_cntg_prdy_ctrt": percent(change, bar.base),
    }


def inquire_asking_price(request: Request) -> Answer:
    """Ten levels per side; empty levels are zeros. The answer has no date."""
    stock = request.stock()
    quote = request.market.quote(stock.code, request.now) if stock else None
    if stock is None or quote is None:
        return Answer({"output1": _book(request, _NO_BOOK, "000000"), "output2": {}})
    book = request.market.book(stock.code, request.now)
    bar = quote.bar
    expected, count = (book.expected_price, book.expected_volume) if book else (0, 0)
    if book and not expected:
        # KIS still shows the result of the last auction there.
        expected, count = book.last_auction
    after = {
        "antc_mkop_cls_code": _EXPECTED_PHASES.get(book.phase if book else "", "112"),
        "stck_prpr": str(bar.close), "stck_oprc": str(bar.open), "stck_hgpr": str(bar.high),
        "stck_lwpr": str(bar.low), "stck_sdpr": str(bar.base),
        "antc_cnpr": str(expected), **_expected(expected, bar, ""), "antc_vol": str(count),
        "stck_shrn_iscd": stock.code,
        "vi_cls_code": "N",
    }  # fmt: skip
    moment = f"{book.at:%H%M%S}" if book else "000000"
    return Answer({"output1": _book(request, book or _NO_BOOK, moment), "output2": after})


def phase_code(phase: str, after_market_code: str) -> str:
    """`new_mkop_cls_code` of a phase."""
    return _PHASES.get(phase, after_market_code)


def _book(request: Request, book: Book, moment: str) -> Record:
    record = {"aspr_acpt_hour": moment}
    for side, levels in (("askp", book.asks), ("bidp", book.bids)):
        for number in range(1, 11):
            price, count = levels[number - 1] if number <= len(levels) else (0, 0)
            record[f"{side}{number}"] = str(price)
            record[f"{side}_rsqn{number}"] = str(count)
            record[f"{side}_rsqn_icdc{number}"] = "0"
    return record | {
        "total_askp_rsqn": str(book.total_ask), "total_bidp_rsqn": str(book.total_bid),
        "total_askp_rsqn_icdc": "0", "total_bidp_rsqn_icdc": "0", "ovtm_total_askp_icdc": "0",
        "ovtm_total_bidp_icdc": "0", "ovtm_total_askp_rsqn": "0", "ovtm_total_bidp_rsqn": "0",
        "ntby_aspr_rsqn": str(book.total_bid - book.total_ask),
        "new_mkop_cls_code": phase_code(book.phase, request.after_market_code),
    }  # fmt: skip


def inquire_ccnl(request: Request) -> Answer:
    """The last thirty trades; here a minute counts as one trade."""
    stock = request.stock()
    quote = request.market.quote(stock.code, request.now) if stock else None
    if stock is None or quote is None:
        return Answer({"output": []})
    minutes = request.market.minutes(stock.code, quote.bar.day)[-30:]
    base = quote.bar.base
    rows: list[Record] = []
    for minute in reversed(minutes):
        change = minute.close - base
        rows.append(
            {
                "stck_cntg_hour": f"{minute.started_at:%H%M%S}", "stck_prpr": str(minute.close),
                "prdy_vrss": str(change),
                "prdy_vrss_sign": "2" if change > 0 else "5" if change < 0 else "3",
                "cntg_vol": str(minute.volume), "tday_rltv": "100.00",
                "prdy_ctrt": percent(change, base),
            }
        )  # fmt: skip
    return Answer({"output": rows})


def volume_rank(request: Request) -> Answer:
    """The thirty most traded stocks; there is no second page."""
    request.check_market("FID_COND_MRKT_DIV_CODE")
    by_value = request["FID_BLNG_CLS_CODE"] in ("3", "4")
    found: list[tuple[int, Stock, Quote]] = []
    for stock in request.market.stocks(request.today):
        quote = request.market.quote(stock.code, request.now)
        if quote is not None and quote.bar.volume:
            size = quote.bar.trading_value if by_value else quote.bar.volume
            found.append((size, stock, quote))
    found.sort(key=lambda row: -row[0])
    rows: list[Record] = []
    for number, (_, stock, quote) in enumerate(found[:_SLOTS], start=1):
        bar, turnover = quote.bar, percent(quote.bar.volume, quote.bar.listed_shares)
        before = quote.previous.volume if quote.previous else 0
        rows.append(
            {
                "hts_kor_isnm": stock.name, "mksc_shrn_iscd": stock.code, "data_rank": str(number),
                "stck_prpr": str(bar.close), **change_of(bar), "acml_vol": str(bar.volume),
                "prdy_vol": str(before), "lstn_stcn": str(bar.listed_shares),
                "avrg_vol": str(bar.volume), "n_befr_clpr_vrss_prpr_rate": rate(bar.change_rate),
                "vol_inrt": percent(bar.volume, before), "vol_tnrt": turnover,
                "nday_vol_tnrt": turnover, "avrg_tr_pbmn": str(bar.trading_value),
                "tr_pbmn_tnrt": turnover, "nday_tr_pbmn_tnrt": turnover,
                "acml_tr_pbmn": str(bar.trading_value),
            }
        )  # fmt: skip
    return Answer({"output": rows})
