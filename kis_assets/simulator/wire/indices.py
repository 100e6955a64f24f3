"""Indices in KIS's format. Volumes are thousands of shares, values million KRW."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby

from kis_assets.exchange import calendar
from kis_assets.simulator.market.indices import INDICES, IndexBar, indices_of
from kis_assets.simulator.wire.wire import Answer, Record, Refusal, Request, percent, rate, ymd

ROWS = 50
WITHOUT_BARS = {"3003"}
"""KOSDAQ 150 in the index master; KIS returned its bars for 2203."""


def inquire_daily_indexchartprice(request: Request) -> Answer:
    """The newest bars of the span, at most fifty. Bars state no change."""
    if request["FID_COND_MRKT_DIV_CODE"] != "U":
        raise Refusal("2", "OPSQ2001", "ERROR INVALID FID_COND_MRKT_DIV_CODE")
    code, period = request["FID_INPUT_ISCD"], request["FID_PERIOD_DIV_CODE"]
    first, last = request.day("FID_INPUT_DATE_1"), request.day("FID_INPUT_DATE_2")
    index = INDICES.get(code)
    if index is None or code in WITHOUT_BARS:
        return Answer({"output1": {}, "output2": []})
    indices = indices_of(request.market)
    days_a_bar = {"D": 1.7, "W": 7.5, "M": 31.5, "Y": 370}.get(period)
    if days_a_bar is None:
        raise Refusal("2", "OPSQ2001", "ERROR INVALID FID_PERIOD_DIV_CODE")
    start = last - timedelta(days=int(days_a_bar * ROWS) + 20)
    bars = indices.bars(code, max(first, start, calendar.FIRST_DAY), min(last, request.today))
    rows = [_row(bar) for bar in _merged(bars, period)[-ROWS:][::-1]]
    now = indices.bars(code, request.today - timedelta(days=20), request.today)[-2:]
    head: Record = {}
    if len(now) == 2:
        head = points(now[1], now[0]) | {
            "prdy_nmix": rate(now[0].close), "hts_kor_isnm": index.name, "bstp_cls_code": code,
            "prdy_vol": str(now[0].volume // 1_000), "acml_vol": str(now[1].volume // 1_000),
            "acml_tr_pbmn": str(now[1].value // 1_000_000),
            "futs_prdy_oprc": rate(now[0].open), "futs_prdy_hgpr": rate(now[0].high),
            "futs_prdy_lwpr": rate(now[0].low),
        }  # fmt: skip
        head.pop("stck_bsop_date")
    return Answer({"output1": head, "output2": rows})


def _merged(bars: list[IndexBar], period: str) -> list[IndexBar]:
    if period == "D":
        return bars

    def key(bar: IndexBar) -> tuple[int, ...]:
        if period == "W":
            return bar.day.isocalendar()[:2]
        return (bar.day.year, bar.day.month) if period == "M" else (bar.day.year,)

    merged: list[IndexBar] = []
    for _, group in groupby(bars, key):
        days = list(group)
        merged.append(
            days[-1]._replace(
                open=days[0].open, high=max(day.high for day in days),
                low=min(day.low for day in days), volume=sum(day.volume for day in days),
                value=sum(day.value for day in days),
            )
        )  # fmt: skip
    return merged


def _row(bar: IndexBar) -> Record:
    return {
        "stck_bsop_date": ymd(bar.day), "bstp_nmix_prpr": rate(bar.close),
        "bstp_nmix_oprc": rate(bar.open), "bstp_nmix_hgpr": rate(bar.high),
        "bstp_nmix_lwpr": rate(bar.low), "acml_vol": str(bar.volume // 1_000),
        "acml_tr_pbmn": str(bar.value // 1_000_000), "mod_yn": "N",
    }  # fmt: skip


def points(bar: IndexBar, before: IndexBar | None) -> Record:
    """An index on a day, relative to the day before."""
    change = bar.close - before.close if before else 0
    return {
        "stck_bsop_date": ymd(bar.day), "bstp_nmix_prpr": rate(bar.close),
        "bstp_nmix_prdy_vrss": rate(change),
        "prdy_vrss_sign": "2" if change > 0 else "5" if change < 0 else "3",
        "bstp_nmix_prdy_ctrt": percent(change, before.close if before else 0),
        "bstp_nmix_oprc": rate(bar.open), "bstp_nmix_hgpr": rate(bar.high),
        "bstp_nmix_lwpr": rate(bar.low),
    }  # fmt: skip


def index_rows() -> list[tuple[str, str]]:
    """The rows of the index master: market digit and code, name. 2203 is not in it."""
    return [
        (index.digit + index.code, index.name) for index in INDICES.values() if index.code != "2203"
    ]
