"""Order books: inquire-asking-price-exp-ccn."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from kis_assets.errors import InvalidRequest, UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.kis.client import Client
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, clock, output, plain, read, text, whole
from kis_assets.kis.minute_days import EXTENSION
from kis_assets.tables import LEVELS

ORDER_BOOK = Endpoint("inquire-asking-price-exp-ccn", "FHKST01010200", live=True)

_CLOCKS_DIFFER = timedelta(minutes=1)
"""How far the time of a book may be ahead of this machine's clock."""
_PLACES = range(1, LEVELS + 1)

_OPENING_AUCTION = timedelta(minutes=30)
_CLOSING_AUCTION = timedelta(minutes=10)
_AUCTION = "00"
_AUCTION_OVER = ("112", "129")
_NO_INTERRUPTION = "N"

BOOK = (
    *(Field(f"ask_price_{n}", f"askp{n}", whole) for n in _PLACES),
    *(Field(f"ask_volume_{n}", f"askp_rsqn{n}", whole) for n in _PLACES),
    *(Field(f"bid_price_{n}", f"bidp{n}", whole) for n in _PLACES),
    *(Field(f"bid_volume_{n}", f"bidp_rsqn{n}", whole) for n in _PLACES),
    Field("total_ask_volume", "total_askp_rsqn", whole),
    Field("total_bid_volume", "total_bidp_rsqn", whole),
    Field("book_time", "aspr_acpt_hour", text, required=False),
    Field("market_phase", "new_mkop_cls_code", text, required=False),
)

EXPECTED = (
    Field("stock_code", "stck_shrn_iscd", text, required=False),
    Field("expected_price", "antc_cnpr", whole, required=False),
    Field("expected_volume", "antc_vol", whole, required=False),
    Field("expected_phase", "antc_mkop_cls_code", text, required=False),
    Field("vi_code", "vi_cls_code", text, required=False),
)


def order_book(client: Client, code: str, trading_day: date) -> dict[str, Any]:
    """The order book of one stock now; see `read_order_book`."""
    now = client.settings.now()
    return client.ask(
        ORDER_BOOK,
        {"FID_COND_MRKT_DIV_CODE": client.market, "FID_INPUT_ISCD": code},
        lambda body: read_order_book(body, code, trading_day, now),
        about=code,
    )


def read_order_book(body: Row, stock_code: str, trading_day: date, now: datetime) -> dict[str, Any]:
    """One book, columns of `order_books`; a level of price 0 does not exist and becomes null.

    Crossed levels and gaps are kept: auctions cross levels. The book's time has no date;
    `trading_day` and `now` make it an instant.

    Raises:
        InvalidRequest: KIS knows no such code; it says so with neither levels nor a price.
        UnexpectedAnswer: a level is missing, negative or out of order, or the stock is another one.
    """
    levels, beside = output(body, "output1", dict), output(body, "output2", dict)
    values = read(levels, BOOK)
    wrong = [name for name, value in values.items() if isinstance(value, int) and value < 0]
    if wrong:
        raise UnexpectedAnswer(f"{wrong[0]} is {values[wrong[0]]}")
    for side, falls in (("ask", False), ("bid", True)):
        prices = [values[f"{side}_price_{n}"] for n in _PLACES if values[f"{side}_price_{n}"]]
        if not _is_ordered(prices, falls):
            raise UnexpectedAnswer(f"the {side} prices are not in order: {prices}")
        for n in _PLACES:
            if not values[f"{side}_price_{n}"]:
                values[f"{side}_price_{n}"] = values[f"{side}_volume_{n}"] = None
    about = [plain(beside.get(name)).strip(" 0") for name in ("stck_prpr", "stck_sdpr")]
    if not any(about) and not _has_levels(values):
        raise InvalidRequest("KIS knows no stock of this code", stock_code=stock_code)
    values |= read(beside, EXPECTED)
    answered = values.pop("stock_code") or stock_code
    if answered != stock_code:
        raise UnexpectedAnswer(f"the answer is about {answered[:20]}")
    if (values["expected_price"] or 0) < 0 or (values["expected_volume"] or 0) < 0:
        raise UnexpectedAnswer("the expected price or volume is negative")
    in_auction = _is_auction(values, values.pop("expected_phase"), now)
    if not values["expected_price"] or not in_auction:
        values["expected_price"] = values["expected_volume"] = None
    values["booked_at"] = _instant(values.pop("book_time"), trading_day, now)
    return values


def _is_auction(book: dict[str, Any], expected: str | None, now: datetime) -> bool:
    """Whether an auction is running. Outside auctions KIS still shows the price of the last one.

    The clock and two codes decide: `market_phase` is 00 in auctions, and `expected` is 112 or 129
    after one. Other codes are uncertain, and those after 16:00 are unknown. In the hours of an
    auction one matching code is enough, also if both are unknown. At other times, for example when
    an auction is extended, both must match. A volatility interruption always has an auction.
    """
    session = calendar.session(now.astimezone(calendar.SEOUL).date())
    if session is None:
        return False
    opens, closes = session.opens_at, session.closes_at
    if book["vi_code"] not in (None, _NO_INTERRUPTION):
        return opens <= now < session.over_at
    says_auction, is_over = book["market_phase"] == _AUCTION, expected in _AUCTION_OVER
    if opens - _OPENING_AUCTION <= now < opens or closes - _CLOSING_AUCTION <= now < closes:
        return says_auction or not is_over
    return says_auction and not is_over and opens <= now < closes + EXTENSION


def _is_ordered(prices: Iterable[int], falls: bool) -> bool:
    return all((a > b) if falls else (a < b) for a, b in pairwise(prices))


def _has_levels(values: dict[str, Any]) -> bool:
    return any(values[f"{side}_price_{n}"] for side in ("ask", "bid") for n in _PLACES)


def _instant(word: str | None, trading_day: date, now: datetime) -> datetime | None:
    """The book's time on that day; None if it is missing or certainly of an earlier day."""
    if word is None or word == "000000":
        return None
    try:
        booked_at = datetime.combine(trading_day, clock(word), calendar.SEOUL)
    except ValueError:
        return None
    return booked_at if booked_at <= now + _CLOCKS_DIFFER else None
