"""The real-time feed in KIS's words: trades and order books as lists of fields.

Trades are made from the market's minutes: a minute is up to four of them, which add up to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from kis_assets.exchange import calendar
from kis_assets.simulator.market.market import Book, Market, Minute, Quote, sign_of
from kis_assets.simulator.market.moments import CLOSING_PRICE_TRADES_AFTER
from kis_assets.simulator.wire.quotes import HOURS, phase_code
from kis_assets.simulator.wire.wire import percent, rate, ymd

_LEVELS = 10
# MARKET_CLS_CODE.
_BEFORE, _REGULAR, _AFTER, _CLOSING_PRICE = "1", "2", "3", "5"


class Trade(NamedTuple):
    """One trade, and the day as far as it had come with it."""

    at: datetime
    price: int
    quantity: int
    open: int
    high: int
    low: int
    volume: int
    value: int


def trades(minutes: Iterable[Minute]) -> Iterator[Trade]:
    """The trades of a day's minutes, oldest first."""
    first, high, low, volume, exact = 0, 0, 0, 0, 0
    for minute in minutes:
        volume, exact = volume + minute.volume_before, exact + minute.value_before
        first, value = first or minute.open, exact
        exact += minute.trading_value
        for place, (price, quantity, seconds) in enumerate(pieces := _pieces(minute)):
            high, low = max(high, price), min(low or price, price)
            volume, value = volume + quantity, value + price * quantity
            is_last = place == len(pieces) - 1
            at = minute.started_at + timedelta(seconds=seconds)
            so_far = exact if is_last else min(value, exact)
            yield Trade(at, price, quantity, first, high, low, volume, so_far)


def _pieces(minute: Minute) -> list[tuple[int, int, int]]:
    """Price, quantity and second of a minute's trades: from its open over its extremes."""
    middle = (minute.low, minute.high) if minute.close >= minute.open else (minute.high, minute.low)
    way = [minute.open, *middle, minute.close]
    prices = [price for place, price in enumerate(way) if place == 0 or price != way[place - 1]]
    prices = prices[-minute.volume :]
    each, rest = divmod(minute.volume, len(prices))
    return [
        (price, each + (rest if place == 0 else 0), place * 60 // len(prices))
        for place, price in enumerate(prices)
    ]


def trade_fields(
    trade: Trade, quote: Quote, book: Book | None, after_market_code: str
) -> list[str]:
    """The 46 fields of H0STCNT0, 47 since there is an after-market."""
    bar, change = quote.bar, trade.price - quote.bar.base
    ask, ask_count = book.asks[0] if book and book.asks else (0, 0)
    bid, bid_count = book.bids[0] if book and book.bids else (0, 0)
    bought = trade.price >= trade.open
    moment, market = f"{trade.at:%H%M%S}", _market_class(trade.at)
    now = {_AFTER: "after_market", _CLOSING_PRICE: "closing_price"}.get(market, "continuous")
    market_phase = phase_code(now, after_market_code)
    before = quote.previous.volume if quote.previous else 0
    against: list[str] = []
    for price in (trade.open, trade.high, trade.low):
        difference = trade.price - price
        sign = "2" if difference > 0 else "5" if difference < 0 else "3"
        against += [moment, sign, str(difference)]
    return [
        quote.code, moment, str(trade.price),
        sign_of(change, trade.price, quote.upper, quote.lower), str(change),
        percent(change, bar.base), rate(trade.value * 100 // trade.volume), str(trade.open),
        str(trade.high), str(trade.low), str(ask), str(bid), str(trade.quantity),
        str(trade.volume), str(trade.value), "0", "0", "0", "100.00", "0", "0",
        "1" if bought else "5", "0.50", percent(trade.volume, before), *against,
        ymd(trade.at.date()), market_phase, "N", str(ask_count), str(bid_count),
        str(book.total_ask if book else 0), str(book.total_bid if book else 0),
        percent(trade.volume, bar.listed_shares), "0", "0.00", HOURS[now], "",
        str(bar.base), *_class_field(trade.at),
    ]  # fmt: skip


def closing_price_trade(market: Market, code: str, then: datetime, now: datetime) -> list[Trade]:
    """What was traded at the closing price between two moments, as one trade.

    Nothing on days before there was an after-market.
    """
    session = calendar.session(now.date())
    if session is None or session.after_market is None:
        return []
    first = max(then, session.closes_at)
    last = min(now, session.closing_price_until - timedelta(seconds=1))
    earlier, later = market.quote(code, first), market.quote(code, last)
    if first >= last or earlier is None or later is None:
        return []
    bar, quantity = later.bar, later.bar.volume - earlier.bar.volume
    if not quantity:
        return []
    day = bar.open, bar.high, bar.low, bar.volume, bar.trading_value
    return [Trade(last, bar.close, quantity, *day)]


def _market_class(at: datetime) -> str:
    session = calendar.session(at.date())
    if session is None or session.after_market is None:
        return _REGULAR
    if at >= session.closing_price_until:
        return _AFTER
    # The closing auction's print comes with the close or a little later.
    if at >= session.closes_at + CLOSING_PRICE_TRADES_AFTER:
        return _CLOSING_PRICE
    return _REGULAR if at >= session.opens_at else _BEFORE


def _class_field(at: datetime) -> list[str]:
    return [_market_class(at)] if at.date() >= calendar.AFTER_MARKET_SINCE else []


def book_fields(tr_id: str, quote: Quote, book: Book) -> list[str]:
    """The 59 fields of H0STASP0; since there is an after-market, all that have been appended."""
    sides = [[*levels, *[(0, 0)] * (_LEVELS - len(levels))] for levels in (book.asks, book.bids)]
    expected = book.expected_price - quote.bar.base if book.expected_price else 0
    sign = "2" if expected > 0 else "5" if expected < 0 else "3"
    return [
        quote.code, f"{book.at:%H%M%S}", HOURS[book.phase],
        *(str(price) for side in sides for price, _ in side),
        *(str(count) for side in sides for _, count in side),
        str(book.total_ask), str(book.total_bid), "0", "0",
        str(book.expected_price), str(book.expected_volume), str(book.expected_volume),
        str(expected), sign, percent(expected, quote.bar.base), str(quote.bar.volume),
        "0", "0", "0", "0", "0", *_appended(tr_id, book),
    ]  # fmt: skip


def _appended(tr_id: str, book: Book) -> list[str]:
    if book.at.date() < calendar.AFTER_MARKET_SINCE:
        return []
    middle = (book.asks[0][0] + book.bids[0][0]) // 2 if book.asks and book.bids else 0
    # Price, quantity and class of orders at the middle: of KRX, and elsewhere of NXT as well.
    of_krx = [str(middle), "0", "00"]
    if tr_id.startswith("H0ST"):
        return [*of_krx, *_class_field(book.at)]
    return [*of_krx, *of_krx, *(["1"] if tr_id.startswith("H0UN") else [])]
