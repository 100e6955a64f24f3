"""Bars of an index: inquire-daily-indexchartprice, fifty days. Also the list of indices.

Volumes are thousands of shares, values million KRW. A bar states no change: it is computed from two
closes.
"""

from __future__ import annotations

from datetime import date, timedelta

from kis_assets.errors import UnexpectedAnswer
from kis_assets.kis.daily_figures import DailyService, Day, days_of, list_of
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, amount, day, decimal, output, plain, read
from kis_assets.kis.investor_flows import MILLION
from kis_assets.kis.market_flows import THOUSAND

OTHER_CODES = {"3003": "2203"}
"""KOSDAQ 150 has one code in the index master, but KIS returned its bars for another one."""

_FULL = timedelta(days=100)
"""A span that fills an answer; its oldest day is needed for the change of the next day."""

FIELDS = (
    Field("trading_day", "stck_bsop_date", day),
    Field("open", "bstp_nmix_oprc", decimal),
    Field("high", "bstp_nmix_hgpr", decimal),
    Field("low", "bstp_nmix_lwpr", decimal),
    Field("close", "bstp_nmix_prpr", decimal),
    Field("volume", "acml_vol", amount),
    Field("trading_value", "acml_tr_pbmn", amount),
)


def read_days(body: Row, code: str) -> list[Day]:
    """Each day's points, shares and KRW.

    Raises:
        UnexpectedAnswer: the index is another one, or high and low do not cover the prices.
    """
    about = output(body, "output1", dict)
    answered = plain(about.get("bstp_cls_code"))
    if answered and answered != code:
        raise UnexpectedAnswer(f"the answer is about the index {answered[:10]}")
    named = plain(about.get("hts_kor_isnm"))
    rows = list_of(body, "output2")
    return days_of(rows, "stck_bsop_date", lambda row: _judged(row) | {"index_name": named})


def _judged(row: Row) -> Day:
    one = read(row, FIELDS)
    prices = one["open"], one["close"]
    if not 0 < one["low"] <= min(prices) <= max(prices) <= one["high"]:
        raise UnexpectedAnswer(f"{one['trading_day']}: high and low do not cover the bar")
    one["volume"] *= THOUSAND
    one["trading_value"] *= MILLION
    return one


def _compare(day: Day, before: Day) -> None:
    day["change"] = round(day["close"] - before["close"], 2)


def _parameters(code: str, _first: date, last: date, _: str) -> dict[str, str]:
    return {
        "FID_COND_MRKT_DIV_CODE": "U",
        "FID_INPUT_ISCD": code,
        "FID_INPUT_DATE_1": f"{last - _FULL:%Y%m%d}",
        "FID_INPUT_DATE_2": f"{last:%Y%m%d}",
        "FID_PERIOD_DIV_CODE": "D",
    }


SERVICE = DailyService(
    Endpoint("inquire-daily-indexchartprice", "FHKUP03500100"),
    50,
    _parameters,
    read_days,
    compare=_compare,
    other_codes=OTHER_CODES,
)
