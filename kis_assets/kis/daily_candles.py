"""Daily bars: the chart inquire-daily-itemchartprice, and inquire-daily-price's short history."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from kis_assets.errors import InvalidRequest, KISError, UnexpectedAnswer
from kis_assets.exchange import calendar, finality
from kis_assets.exchange.venues import Venue
from kis_assets.kis.client import Client
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import (
    Field,
    Row,
    amount,
    day,
    decimal,
    is_nothing,
    is_zero,
    output,
    plain,
    read,
    rows_of,
    text,
    whole,
)
from kis_assets.kis.quotes import signed, untraded

log = logging.getLogger(__name__)

DAILY_CHART = Endpoint("inquire-daily-itemchartprice", "FHKST03010100")
RECENT_DAYS = Endpoint("inquire-daily-price", "FHKST01010400")
BARS_A_PAGE = 100
"""Most bars of one answer of inquire-daily-itemchartprice."""
RECENT = 30
"""Most bars of one answer of inquire-daily-price."""

Bar = dict[str, Any]

DAILY_FIELDS = (
    Field("trading_day", "stck_bsop_date", day),
    Field("open", "stck_oprc", amount, required=False),
    Field("high", "stck_hgpr", amount, required=False),
    Field("low", "stck_lwpr", amount, required=False),
    Field("close", "stck_clpr", amount),
    Field("volume", "acml_vol", amount),
    Field("trading_value", "acml_tr_pbmn", amount),
    Field("change", "prdy_vrss", whole),
    Field("sign", "prdy_vrss_sign", text, required=False),
    Field("ex_flag", "flng_cls_code", text, required=False),
    Field("split_ratio", "prtt_rate", decimal, required=False),
    Field("revaluation", "revl_issu_reas", text, required=False),
    Field("untraded", "mod_yn", text, required=False),
)

RECENT_FIELDS = tuple(
    field
    for field in DAILY_FIELDS
    if field.column not in ("trading_value", "split_ratio", "revaluation", "untraded")
)


def daily_page(
    client: Client,
    code: str,
    first: date,
    last: date,
    *,
    adjusted: bool = False,
) -> list[Bar]:
    """The newest 100 daily bars of a span, newest first; see `read_daily_candles`.

    Each has `is_final`, as known at the time of the request. An empty answer is requested twice: it
    means that the stock was not listed, or that KIS failed.
    """
    parameters = {
        "FID_COND_MRKT_DIV_CODE": client.market,
        "FID_INPUT_ISCD": code,
        "FID_INPUT_DATE_1": f"{first:%Y%m%d}",
        "FID_INPUT_DATE_2": f"{last:%Y%m%d}",
        "FID_PERIOD_DIV_CODE": "D",
        "FID_ORG_ADJ_PRC": "0" if adjusted else "1",
    }
    # It is unknown what NXT shows for a stock that it has suspended.
    is_nxt = client.venue is Venue.NXT
    now = client.clock.now()
    closed = None if is_nxt else calendar.closed_session(now).day
    final = finality.newest_final_day(now)

    def ask() -> list[Bar]:
        return client.ask(
            DAILY_CHART,
            parameters,
            lambda body: read_daily_candles(body, code, first, last, closed),
            about=code,
        )

    # It is unknown which close KIS states beside the bars of another venue.
    unconfirmed = finality.unconfirmed_day(now) if client.venue is Venue.KRX else None
    proven = unconfirmed is not None and now >= finality.refetched_by(unconfirmed)
    return [
        bar
        | {
            "is_final": bar["trading_day"] <= final
            and (
                proven
                or bar["trading_day"] != unconfirmed
                or bar["stated_close"] in (None, 0, bar["close"])
            )
        }
        for bar in ask() or ask()
    ]


def each_day(client: Client, code: str, first: date, last: date) -> Iterator[Bar]:
    """The raw daily bars of a span, newest first; pages are requested when needed.

    A failed page fails the whole: it never counts as the end of history. A short page is the end if
    it reaches the span's first session, or if the page before it is empty: a page that lost rows
    looks the same.
    """
    is_first = True
    while calendar.possible_trading_days(first, last):
        try:
            page = daily_page(client, code, first, last)
        except InvalidRequest:
            if is_first:
                raise
            return  # for a delisted stock KIS has no price, and no bars before this point
        yield from page
        if not page:
            return
        is_first = False
        last = page[-1]["trading_day"] - timedelta(days=1)


def refuse_no_session(client: Client, codes: list[str], day: date) -> None:
    """Refuse a day for which none of these busy stocks has a bar.

    A holiday decreed at short notice is in no calendar, and KIS keeps showing the prices of the day
    before.

    Raises:
        UnexpectedAnswer: there is no session on that day, or it has not begun.
    """
    live = client.asking(live=True)
    for code in codes:
        try:
            if daily_page(live, code, day, day):
                return
        except KISError as error:
            # A capture cannot be repeated later, so a failed check does not stop it.
            log.warning("cannot check that %s is a session: %s", day, error)
            return
    if codes:
        raise UnexpectedAnswer(
            f"KIS has no bar of {day} for {', '.join(codes)}: there is no session on that day, or "
            "it has not begun"
        )


def recent_days(client: Client, code: str) -> list[Bar]:
    """The last thirty raw daily bars, newest first; see `read_recent_days`."""
    return client.ask(
        RECENT_DAYS,
        {
            "FID_COND_MRKT_DIV_CODE": client.market,
            "FID_INPUT_ISCD": code,
            "FID_PERIOD_DIV_CODE": "D",
            "FID_ORG_ADJ_PRC": "0",  # 0 means raw prices; in the daily chart it means adjusted ones
        },
        read_recent_days,
        about=code,
    )


def read_daily_candles(
    body: Row, stock_code: str, first: date, last: date, closed: date | None
) -> list[Bar]:
    """inquire-daily-itemchartprice: bars from `first` to `last`, newest first, at most 100.

    Each bar also has `stated_close`: the previous close that KIS states beside the bars, or None.

    `closed` is the newest closed session. A span that includes it must have its bar, unless the
    stock is delisted: then its last close equals the price that KIS states beside the bars. None:
    no such check.

    Raises:
        InvalidRequest: KIS knows no such code; it says so with no bars and a price of 0.
        UnexpectedAnswer: bars of other days, out of order, of another stock, or unreadable.
    """
    about = output(body, "output1", dict)
    answered = plain(about.get("stck_shrn_iscd"))
    if answered and answered != stock_code:
        raise UnexpectedAnswer(f"the answer is about {answered[:20]}")
    rows = chart_rows(body, "output2", "stck_clpr")
    if not rows and is_nothing(about, "stck_prpr"):
        raise InvalidRequest("KIS knows no stock of this code", stock_code=stock_code)
    candles = [_candle(row) for row in rows]
    outside = [row["trading_day"] for row in candles if not first <= row["trading_day"] <= last]
    if outside:
        raise UnexpectedAnswer(f"the answer holds {outside[0]}, expected {first} to {last}")
    if candles and closed and candles[0]["trading_day"] < closed <= last:
        newest = candles[0]
        price = read(about, (Field("price", "stck_prpr", amount, required=False),))["price"]
        if price and price != newest["close"]:
            raise UnexpectedAnswer(
                f"the newest bar is of {newest['trading_day']}, and closes at {newest['close']}; "
                f"the price is {price} now"
            )
    stated = read(about, (Field("stated_close", "stck_prdy_clpr", amount, required=False),))
    return [candle | stated for candle in _newest_first(candles, BARS_A_PAGE)]


def read_recent_days(body: Row) -> list[Bar]:
    """inquire-daily-price: the last thirty bars, newest first, including the current day.

    Raises:
        UnexpectedAnswer: bars out of order, too many, or unreadable.
    """
    rows = chart_rows(body, "output", "stck_clpr")
    days = [untraded(signed(read(row, RECENT_FIELDS)), "close") for row in rows]
    return _newest_first(days, RECENT)


def chart_rows(body: Row, name: str, kis_price: str) -> list[Row]:
    """The rows of a chart, without the empty ones with which KIS pads short lists.

    Empty rows have neither day nor price; before NXT's figures begin they have only a day. A row
    with a price but no day is not padding: the reader refuses it later.
    """
    return [row for row in rows_of(body, name) if not _is_padding(row, kis_price)]


def _is_padding(row: Row, kis_price: str) -> bool:
    if not is_zero(row.get(kis_price)):
        return False
    said = {field for field, value in row.items() if value not in (None, "")}
    return "stck_bsop_date" not in said or said == {"stck_bsop_date"}


def _newest_first(found: list[Bar], most: int) -> list[Bar]:
    if any(newer["trading_day"] <= older["trading_day"] for newer, older in pairwise(found)):
        raise UnexpectedAnswer("the bars are not in order, newest first")
    if len(found) > most:
        raise UnexpectedAnswer(f"the answer holds {len(found)} bars, more than a page's {most}")
    return found


def _candle(row: Row) -> Bar:
    candle = signed(read(row, DAILY_FIELDS))
    is_marked = candle.pop("untraded") == "Y"
    candle = untraded(candle, "close", marked=is_marked)
    candle["base_price"] = candle["close"] - candle["change"]
    candle["ex_flag"] = candle["ex_flag"] or "00"
    candle["revaluation"] = candle["revaluation"] or "00"
    candle["split_ratio"] = candle["split_ratio"] or 0.0
    candle["has_traded"] = candle["volume"] > 0 and not is_marked
    return candle
