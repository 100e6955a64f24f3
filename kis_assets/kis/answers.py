"""KIS's answers into typed values: one pure function an endpoint. KIS's field names stop here.

Every value on the wire is a string; a blank one means that there is no value. What is required and
missing, or is no number where one belongs, is an UnexpectedAnswer: nothing of that answer is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from itertools import pairwise
from typing import Any

import polars as pl

from kis_assets.errors import InvalidRequest, UnexpectedAnswer
from kis_assets.kis.fields import (
    Field,
    Row,
    amount,
    day,
    decimal,
    output,
    plain,
    read,
    rows_of,
    text,
    whole,
)

DAILY = (
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

RECENT_DAYS = tuple(
    field
    for field in DAILY
    if field.column not in ("trading_value", "split_ratio", "revaluation", "untraded")
)

MANY_PRICES = (
    Field("stock_code", "inter_shrn_iscd", text),
    Field("stock_name", "inter_kor_isnm", text, required=False),
    Field("price", "inter2_prpr", amount),
    Field("change", "inter2_prdy_vrss", whole),
    Field("sign", "prdy_vrss_sign", text, required=False),
    Field("change_rate", "prdy_ctrt", decimal),
    Field("open", "inter2_oprc", amount, required=False),
    Field("high", "inter2_hgpr", amount, required=False),
    Field("low", "inter2_lwpr", amount, required=False),
    Field("volume", "acml_vol", amount),
    Field("trading_value", "acml_tr_pbmn", amount),
    Field("upper_limit", "inter2_mxpr", amount, required=False),
    Field("lower_limit", "inter2_llam", amount, required=False),
    Field("base_price", "inter2_sdpr", amount, required=False),
    Field("previous_close", "inter2_prdy_clpr", amount, required=False),
    Field("best_ask", "inter2_askp", amount, required=False),
    Field("best_bid", "inter2_bidp", amount, required=False),
    Field("best_ask_volume", "seln_rsqn", amount, required=False),
    Field("best_bid_volume", "shnu_rsqn", amount, required=False),
    Field("total_ask_volume", "total_askp_rsqn", amount, required=False),
    Field("total_bid_volume", "total_bidp_rsqn", amount, required=False),
)

PRICE = (
    Field("stock_code", "stck_shrn_iscd", text, required=False),
    Field("price", "stck_prpr", amount),
    Field("change", "prdy_vrss", whole),
    Field("sign", "prdy_vrss_sign", text, required=False),
    Field("change_rate", "prdy_ctrt", decimal),
    Field("open", "stck_oprc", amount, required=False),
    Field("high", "stck_hgpr", amount, required=False),
    Field("low", "stck_lwpr", amount, required=False),
    Field("volume", "acml_vol", amount),
    Field("trading_value", "acml_tr_pbmn", amount),
    Field("upper_limit", "stck_mxpr", amount, required=False),
    Field("lower_limit", "stck_llam", amount, required=False),
    Field("base_price", "stck_sdpr", amount, required=False),
    Field("listed_shares", "lstn_stcn", amount, required=False),
)

_OF_THE_SESSION = ("open", "high", "low")
_FALLING = ("4", "5")
_ZERO_IS_NONE = (
    *("upper_limit", "lower_limit", "base_price", "previous_close"),
    *("best_ask", "best_bid"),
)


def _signed(values: dict[str, Any]) -> dict[str, Any]:
    """Make change and rate negative where the sign code says so and the number does not."""
    if values.pop("sign", None) in _FALLING:
        for name in ("change", "change_rate"):
            if values.get(name, 0) > 0:
                values[name] = -values[name]
    return values


def _untraded(values: dict[str, Any], last: str, *, marked: bool = False) -> dict[str, Any]:
    """Write a day without a trade in one form: open, high and low are 0.

    KIS may give them as 0, as the carried price, or not at all. Its volume of 0, or its mark, says
    that it is such a day. With off-hours volume and no mark, a carried price cannot be told from a
    session of one price, and is left.
    """
    prices = [values[name] for name in _OF_THE_SESSION]
    if (marked or values["volume"] == 0) and all(it in (None, 0, values[last]) for it in prices):
        return values | dict.fromkeys(_OF_THE_SESSION, 0)
    if None in prices:
        raise UnexpectedAnswer("the answer lacks open, high or low beside a volume")
    return values


def bars(body: Row, name: str, kis_price: str) -> list[Row]:
    """The bars of a chart, without the empty ones with which KIS pads short lists.

    Those have neither day nor price, or, before NXT's figures begin, a day and nothing else. What
    has a price and no day is no padding, and is left for the reader to refuse.
    """
    return [row for row in rows_of(body, name) if not _is_padding(row, kis_price)]


def _is_padding(row: Row, kis_price: str) -> bool:
    if not _is_zero(row.get(kis_price)):
        return False
    said = {field for field, value in row.items() if value not in (None, "")}
    return "stck_bsop_date" not in said or said == {"stck_bsop_date"}


def price(body: Row, stock_code: str) -> dict[str, Any]:
    """inquire-price: one quote, columns of `price_snapshots` and `listed_shares`.

    Raises:
        InvalidRequest: KIS knows no such code; it says so with a price of 0.
        UnexpectedAnswer: a required field is missing, or the answer is about another stock.
    """
    payload = output(body, "output", dict)
    if is_nothing(payload, "stck_prpr"):
        raise InvalidRequest("KIS knows no stock of this code", stock_code=stock_code)
    values = _untraded(_signed(read(payload, PRICE)), "price")
    answered = values.pop("stock_code") or stock_code
    if answered != stock_code:
        raise UnexpectedAnswer(f"the answer is about {answered[:20]}")
    return _prices(values) | {"stock_code": stock_code}


def many_prices(
    body: Row, stock_codes: Iterable[str]
) -> dict[str, dict[str, Any] | UnexpectedAnswer]:
    """intstock-multprice: for each code answered its quote, or what is wrong with it.

    Codes that KIS left out or answered with a price of 0 are not in the result.

    Raises:
        UnexpectedAnswer: the answer holds a code that was not asked for, or one twice.
    """
    asked = set(stock_codes)
    found: dict[str, dict[str, Any] | UnexpectedAnswer] = {}
    for row in rows_of(body, "output"):
        code = plain(row.get("inter_shrn_iscd"))
        if not code or is_nothing(row, "inter2_prpr"):
            continue
        if code not in asked:
            raise UnexpectedAnswer(f"the answer holds {code[:20]}, which was not asked for")
        if code in found:
            raise UnexpectedAnswer(f"the answer holds {code} twice")
        try:
            found[code] = _prices(_untraded(_signed(read(row, MANY_PRICES)), "price"))
        except UnexpectedAnswer as error:
            error.stock_code = code
            found[code] = error
    return found


def is_nothing(row: Row, kis: str) -> bool:
    """Whether a price is there and blank or 0: so KIS says that it knows no such code."""
    return kis in row and _is_zero(row[kis])


def _is_zero(value: object) -> bool:
    return value is None or (isinstance(value, str | int | float) and not plain(value).strip(" 0"))


def _prices(values: dict[str, Any]) -> dict[str, Any]:
    for name in _ZERO_IS_NONE:
        if values.get(name) == 0:
            values[name] = None
    return values


def daily_candles(
    body: Row, stock_code: str, first: date, last: date, closed: date | None
) -> list[dict[str, Any]]:
    """inquire-daily-itemchartprice: bars from `first` to `last`, newest first, at most 100.

    Each bar has `stated_close` beside its own columns: the previous close that KIS states beside
    all bars, None where it states none.

    Of a span that reaches the newest session that has `closed`, the bar of that day has to be
    there. Where it is not, the stock is one that is listed no more: its last close is the price
    that KIS states beside the bars. None: that is not asked.

    Raises:
        InvalidRequest: KIS knows no such code; it says so with no bars and a price of 0.
        UnexpectedAnswer: bars of other days, out of order, of another stock, or unreadable.
    """
    about = output(body, "output1", dict)
    answered = plain(about.get("stck_shrn_iscd"))
    if answered and answered != stock_code:
        raise UnexpectedAnswer(f"the answer is about {answered[:20]}")
    rows = bars(body, "output2", "stck_clpr")
    if not rows and is_nothing(about, "stck_prpr"):
        raise InvalidRequest("KIS knows no stock of this code", stock_code=stock_code)
    candles = [_candle(row) for row in rows]
    outside = [row["trading_day"] for row in candles if not first <= row["trading_day"] <= last]
    if outside:
        raise UnexpectedAnswer(f"the answer holds {outside[0]}, asked were {first} to {last}")
    if candles and closed and candles[0]["trading_day"] < closed <= last:
        newest = candles[0]
        price = read(about, (Field("price", "stck_prpr", amount, required=False),))["price"]
        if price and price != newest["close"]:
            raise UnexpectedAnswer(
                f"the newest bar is of {newest['trading_day']}, and closes at {newest['close']}; "
                f"the price is {price} now"
            )
    stated = read(about, (Field("stated_close", "stck_prdy_clpr", amount, required=False),))
    return [candle | stated for candle in _newest_first(candles, 100)]


def recent_days(body: Row) -> list[dict[str, Any]]:
    """inquire-daily-price: the last thirty bars, newest first; the running day's is among them.

    Raises:
        UnexpectedAnswer: bars out of order, too many, or unreadable.
    """
    rows = bars(body, "output", "stck_clpr")
    days = [_untraded(_signed(read(row, RECENT_DAYS)), "close") for row in rows]
    return _newest_first(days, 30)


def _newest_first(found: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    if any(newer["trading_day"] <= older["trading_day"] for newer, older in pairwise(found)):
        raise UnexpectedAnswer("the bars are not in order, newest first")
    if len(found) > most:
        raise UnexpectedAnswer(f"the answer holds {len(found)} bars, more than a page's {most}")
    return found


def _candle(row: Row) -> dict[str, Any]:
    candle = _signed(read(row, DAILY))
    is_marked = candle.pop("untraded") == "Y"
    candle = _untraded(candle, "close", marked=is_marked)
    candle["base_price"] = candle["close"] - candle["change"]
    candle["ex_flag"] = candle["ex_flag"] or "00"
    candle["revaluation"] = candle["revaluation"] or "00"
    candle["split_ratio"] = candle["split_ratio"] or 0.0
    candle["has_traded"] = candle["volume"] > 0 and not is_marked
    return candle


def frame(rows: list[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    """Rows as a frame of that schema, column by column: rows of dictionaries are slow to take."""
    return pl.DataFrame(
        {
            name: pl.Series([row.get(name) for row in rows], dtype=dtype)
            for name, dtype in schema.items()
        }
    )
