"""Bars in KIS's format: days, weeks, months and years, and the last thirty days.

Newest first everywhere. The same parameter has opposite meanings in the two calls, as at KIS.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import groupby

from kis_assets.simulator.market.market import Bar, Market, Quote, Stock, rate_of
from kis_assets.simulator.wire.wire import (
    Answer,
    Record,
    Refusal,
    Request,
    change_of,
    eokwon,
    percent,
    rate,
    scaled,
    snapshot,
    ymd,
)

DAILY_ROWS, SHORT_ROWS = 100, 30
_EARLIEST = date(2000, 1, 1)
_DAYS_A_BAR = {"D": 1.6, "W": 7.5, "M": 31.5, "Y": 370}


def inquire_daily_itemchartprice(request: Request) -> Answer:
    """At most a hundred bars, backwards from the last requested day."""
    stock, period = request.stock(), _period(request, "DWMY")
    first, last = request.day("FID_INPUT_DATE_1"), request.day("FID_INPUT_DATE_2")
    quote = request.market.quote(stock.code, request.now) if stock else None
    if stock is None:
        return Answer({"output1": _today(None, None, 0, 0), "output2": []})
    adjusted = request["FID_ORG_ADJ_PRC"] != "1"
    bars = _newest(request, stock, first, last, period, DAILY_ROWS, adjusted)
    rows: list[Record] = [_daily_row(bar) for bar in reversed(bars)]
    if period == "D" and len(rows) < DAILY_ROWS:
        rows += _padding(len(rows), max(first, _EARLIEST), min(last, request.today))
    if quote is None:  # delisted: it has past bars but no quote
        return Answer({"output1": _today(None, None, 0, 0), "output2": rows})
    book = request.market.book(stock.code, request.now)
    ask = book.asks[0][0] if book and book.asks else 0
    bid = book.bids[0][0] if book and book.bids else 0
    return Answer({"output1": _today(stock, quote, ask, bid), "output2": rows})


def _period(request: Request, allowed: str) -> str:
    period = request["FID_PERIOD_DIV_CODE"]
    if len(period) != 1 or period not in allowed:
        raise Refusal("2", "OPSQ2001", "ERROR INVALID FID_PERIOD_DIV_CODE")
    return period


def _newest(
    request: Request, stock: Stock, first: date, last: date, period: str, count: int, adjusted: bool
) -> list[Bar]:
    """The last `count` bars of the range, oldest first, without reading all of a long range."""
    market, last = request.market, min(last, request.today)
    first = max(first, _EARLIEST)
    if last < first:
        return []
    # One more bar than requested, for the change of the oldest one.
    start = last - timedelta(days=int(_DAYS_A_BAR[period] * (count + 1)) + 20)
    days = market.bars(stock.code, max(start, first), last)
    while len(days) < count and start > first and period == "D":
        earlier = max(start - timedelta(days=400), first)
        days = market.bars(stock.code, earlier, start - timedelta(days=1)) + days
        start = earlier
    if adjusted:
        days = [_adjusted(market, stock.code, bar, request.today) for bar in days]
    if period == "D":
        return days[-count:]
    return [*_merged(days, period)][-count:]


def _adjusted(market: Market, code: str, bar: Bar, at: date) -> Bar:
    factor = market.adjustment(code, bar.day, at)
    if factor == 1:
        return bar
    close, base = scaled(bar.close, factor), scaled(bar.base, factor)
    return bar._replace(
        open=scaled(bar.open, factor), high=scaled(bar.high, factor),
        low=scaled(bar.low, factor), close=close, base=base, change=close - base,
    )  # fmt: skip


def _merged(days: Iterable[Bar], period: str) -> Iterable[Bar]:
    """Weeks, months or years, with the date of their last trading day."""
    before = 0
    for _, group in groupby(days, key=lambda bar: _period_of(bar.day, period)):
        bars = list(group)
        traded = [bar for bar in bars if bar.volume] or bars
        close = bars[-1].close
        base = before or bars[0].base
        change = close - base
        before = close
        yield bars[-1]._replace(
            open=traded[0].open, high=max(bar.high for bar in traded),
            low=min(bar.low for bar in traded), volume=sum(bar.volume for bar in bars),
            trading_value=sum(bar.trading_value for bar in bars), base=base, change=change,
            change_rate=rate_of(change, base), ex_flag="00", revaluation="",
            sign="2" if change > 0 else "5" if change < 0 else "3",
        )  # fmt: skip


def _period_of(day: date, period: str) -> tuple[int, ...]:
    if period == "W":
        return day.isocalendar()[:2]
    return (day.year, day.month) if period == "M" else (day.year,)


def _daily_row(bar: Bar) -> Record:
    return {
        "stck_bsop_date": ymd(bar.day), "stck_clpr": str(bar.close), "stck_oprc": str(bar.open),
        "stck_hgpr": str(bar.high), "stck_lwpr": str(bar.low), "acml_vol": str(bar.volume),
        "acml_tr_pbmn": str(bar.trading_value), "flng_cls_code": bar.ex_flag,
        "prtt_rate": _ratio(bar), "mod_yn": "N" if bar.volume else "Y",
        "prdy_vrss_sign": bar.sign, "prdy_vrss": str(bar.change),
        "revl_issu_reas": bar.revaluation,
    }  # fmt: skip


def _ratio(bar: Bar) -> str:
    moved = bar.base != bar.previous_close and (bar.ex_flag != "00" or bar.revaluation)
    return percent(bar.base, bar.previous_close * 100) if moved else "0.00"


def _padding(count: int, first: date, last: date) -> list[Record]:
    """Empty objects if the window has more weekdays than bars."""
    weekdays = sum(
        (first + timedelta(days=n)).weekday() < 5
        for n in range(min((last - first).days + 1, 2 * DAILY_ROWS))
    )
    return [{} for _ in range(max(0, min(3, weekdays - count, DAILY_ROWS - count)))]


def _today(stock: Stock | None, quote: Quote | None, ask: int, bid: int) -> Record:
    if stock is None or quote is None:
        return {"stck_prpr": "0", "prdy_vrss": "0", "prdy_vrss_sign": "3", "hts_kor_isnm": ""}
    bar, before = quote.bar, quote.previous
    return {
        **snapshot(quote, stock),
        "stck_shrn_iscd": stock.code, "prdy_vol": str(before.volume if before else 0),
        "stck_mxpr": str(quote.upper), "stck_llam": str(quote.lower), "stck_oprc": str(bar.open),
        "stck_hgpr": str(bar.high), "stck_lwpr": str(bar.low),
        "stck_prdy_oprc": str(before.open if before else 0),
        "stck_prdy_hgpr": str(before.high if before else 0),
        "stck_prdy_lwpr": str(before.low if before else 0),
        "askp": str(ask), "bidp": str(bid),
        "prdy_vrss_vol": str(bar.volume - (before.volume if before else 0)),
        "vol_tnrt": percent(bar.volume, bar.listed_shares), "stck_fcam": str(stock.face_value),
        "lstn_stcn": str(bar.listed_shares),
        "cpfn": eokwon(stock.face_value * bar.listed_shares), "hts_avls": eokwon(quote.market_cap),
        "per": "12.00", "eps": rate(bar.close * 100 // 12), "pbr": "1.00",
        "itewhol_loan_rmnd_ratem": "0.35",
    }  # fmt: skip


def inquire_daily_price(request: Request) -> Answer:
    """The last thirty bars; here 1 means adjusted and 0 raw, unlike in the chart."""
    stock, period = request.stock(), _period(request, "DWM")
    if stock is None:
        return Answer({"output": []})
    adjusted = request["FID_ORG_ADJ_PRC"] == "1"
    last = request.today
    bars = _newest(request, stock, date.min, last, period, SHORT_ROWS + 1, adjusted)
    rows: list[Record] = []
    for before, bar in zip([None, *bars], bars, strict=False):
        growth = bar.volume - before.volume if before else 0
        rows.append(
            {
                "stck_bsop_date": ymd(bar.day), "stck_oprc": str(bar.open),
                "stck_hgpr": str(bar.high), "stck_lwpr": str(bar.low), "stck_clpr": str(bar.close),
                "acml_vol": str(bar.volume),
                "prdy_vrss_vol_rate": percent(growth, before.volume if before else 0),
                **change_of(bar), "hts_frgn_ehrt": "0.00", "frgn_ntby_qty": "0",
                "flng_cls_code": bar.ex_flag, "acml_prtt_rate": _ratio(bar),
            }
        )  # fmt: skip
    return Answer({"output": rows[::-1][:SHORT_ROWS]})
