"""Quotes: inquire-price returns one, intstock-multprice thirty.

A missing required value, or text instead of a number, is an UnexpectedAnswer: the whole answer is
dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kis_assets.errors import InvalidRequest, KISError, UnexpectedAnswer
from kis_assets.kis.client import Client
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import (
    LARGEST,
    Field,
    Row,
    amount,
    decimal,
    is_nothing,
    output,
    plain,
    read,
    rows_of,
    text,
    whole,
)
from kis_assets.transport.fan_out import Progress, counted, each

PRICE = Endpoint("inquire-price", "FHKST01010100", live=True)
MANY_PRICES = Endpoint("intstock-multprice", "FHKST11300006", virtual=False, live=True)
CODES_A_REQUEST = 30
"""Most codes of one request to intstock-multprice."""

Quote = dict[str, Any]

MANY_PRICES_FIELDS = (
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

PRICE_FIELDS = (
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


def price(client: Client, code: str) -> Quote:
    """The quote of one stock; see `read_price`."""
    return client.ask(
        PRICE,
        {"FID_COND_MRKT_DIV_CODE": client.market, "FID_INPUT_ISCD": code},
        lambda body: read_price(body, code),
        about=code,
    )


def prices(client: Client, codes: tuple[str, ...]) -> Mapping[str, Quote | UnexpectedAnswer]:
    """The quotes of up to 30 stocks; see `read_prices`."""
    parameters: dict[str, str] = {}
    for slot, code in enumerate(codes, 1):
        parameters[f"FID_COND_MRKT_DIV_CODE_{slot}"] = client.market
        parameters[f"FID_INPUT_ISCD_{slot}"] = code
    return client.ask(
        MANY_PRICES,
        parameters,
        lambda body: read_prices(body, codes),
        about=codes[0] if len(codes) == 1 else f"{codes[0]} to {codes[-1]}",
    )


def each_price(
    client: Client,
    codes: list[str],
    take: Callable[[str, Quote], None],
    workers: int,
    progress: Progress | None = None,
) -> dict[str, KISError]:
    """Pass the quote of each stock to `take`; return the failures, including unknown codes.

    The real server returns thirty per request, the virtual server one.
    """
    failed: dict[str, KISError] = {}
    taken: set[str] = set()

    def receive(asked: tuple[str, ...], found: Mapping[str, Quote | KISError]) -> None:
        for code in asked:
            quote = found.get(code)
            if isinstance(quote, KISError):
                failed[code] = quote
            elif quote is not None:
                try:
                    take(code, quote)
                except UnexpectedAnswer as error:
                    failed[code] = error
                    continue
                failed.pop(code, None)
                taken.add(code)

    if client.environment == "real":
        size = CODES_A_REQUEST
        total = len(codes)
        refused = each(
            [tuple(codes[start : start + size]) for start in range(0, total, size)],
            lambda asked: prices(client, asked),
            receive,
            workers=workers,
            rest=client.accounts.wait_for_breaker,
            progress=progress
            and (lambda done, asked: progress(min(total, done * size), total, asked[-1])),
        )
        failed |= {code: error for asked, error in refused.items() for code in asked}
    # KIS sometimes leaves out codes, and reports an unknown code only in a single request. Also,
    # one wrong row must not cost the other 29: a capture cannot be repeated later.
    left = [
        code
        for code in codes
        if code not in taken and isinstance(failed.get(code), UnexpectedAnswer | None)
    ]
    return failed | each(
        left,
        lambda code: {code: price(client, code)},
        lambda code, found: receive((code,), found),
        workers=workers,
        rest=client.accounts.wait_for_breaker,
        progress=counted(progress, len(codes), before=len(codes) - len(left)),
    )


def read_price(body: Row, stock_code: str) -> dict[str, Any]:
    """inquire-price: one quote, columns of `price_snapshots` and `listed_shares`.

    Raises:
        InvalidRequest: KIS knows no such code; it says so with a price of 0.
        UnexpectedAnswer: a required field is missing, or the answer is about another stock.
    """
    payload = output(body, "output", dict)
    if is_nothing(payload, "stck_prpr"):
        raise InvalidRequest("KIS knows no stock of this code", stock_code=stock_code)
    values = untraded(signed(read(payload, PRICE_FIELDS)), "price")
    answered = values.pop("stock_code") or stock_code
    if answered != stock_code:
        raise UnexpectedAnswer(f"the answer is about {answered[:20]}")
    return _prices(values) | {"stock_code": stock_code}


def read_prices(body: Row, stock_codes: Iterable[str]) -> dict[str, Quote | UnexpectedAnswer]:
    """intstock-multprice: for each returned code its quote, or its error.

    Codes that KIS left out or answered with a price of 0 are not in the result.

    Raises:
        UnexpectedAnswer: the answer holds a code that was not requested, or a code twice.
    """
    asked = set(stock_codes)
    found: dict[str, Quote | UnexpectedAnswer] = {}
    for row in rows_of(body, "output"):
        code = plain(row.get("inter_shrn_iscd"))
        if not code or is_nothing(row, "inter2_prpr"):
            continue
        if code not in asked:
            raise UnexpectedAnswer(f"the answer holds {code[:20]}, which was not requested")
        if code in found:
            raise UnexpectedAnswer(f"the answer holds {code} twice")
        try:
            found[code] = _prices(untraded(signed(read(row, MANY_PRICES_FIELDS)), "price"))
        except UnexpectedAnswer as error:
            error.stock_code = code
            found[code] = error
    return found


def _prices(values: dict[str, Any]) -> dict[str, Any]:
    for name in _ZERO_IS_NONE:
        if values.get(name) == 0:
            values[name] = None
    return values


def signed(values: dict[str, Any]) -> dict[str, Any]:
    """Make change and rate negative if the sign code says so but the number does not."""
    if values.pop("sign", None) in _FALLING:
        for name in ("change", "change_rate"):
            if values.get(name, 0) > 0:
                values[name] = -values[name]
    return values


def untraded(values: dict[str, Any], last: str, *, marked: bool = False) -> dict[str, Any]:
    """Write a day without a trade in one form: open, high and low are 0.

    KIS may state them as 0, as the carried price, or not at all. A volume of 0 or a mark identifies
    such a day. With off-hours volume and no mark, a carried price looks like a session of one price
    and is kept.
    """
    prices = [values[name] for name in _OF_THE_SESSION]
    if (marked or values["volume"] == 0) and all(it in (None, 0, values[last]) for it in prices):
        return values | dict.fromkeys(_OF_THE_SESSION, 0)
    if None in prices:
        raise UnexpectedAnswer("the answer lacks open, high or low beside a volume")
    return values


def market_cap(price: int, shares: int | None) -> int | None:
    """The market capitalization; None if the number of shares is unknown.

    Raises:
        UnexpectedAnswer: it is larger than any company's.
    """
    value = price * shares if shares else None
    if value is not None and value > LARGEST:
        raise UnexpectedAnswer(
            f"{shares:,} shares at {price:,} KRW are worth more than any company"
        )
    return value
