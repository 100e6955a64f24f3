"""The real-time feed of a stock in KIS's format: trades and order books as lists of fields."""

from __future__ import annotations

from datetime import datetime

from kis_assets.exchange import calendar
from kis_assets.simulator.market.market import Book, Quote, sign_of
from kis_assets.simulator.market.moments import CLOSING_PRICE_TRADES_AFTER
from kis_assets.simulator.market.trades import Trade
from kis_assets.simulator.wire.quotes import HOURS, phase_code
from kis_assets.simulator.wire.wire import percent, rate, ymd

_LEVELS = 10
# MARKET_CLS_CODE.
_BEFORE, _REGULAR, _AFTER, _CLOSING_PRICE = "1", "2", "3", "5"
_SIDES = {"buy": "1", "sell": "5", "": "3"}


def trade_fields(
    trade: Trade, quote: Quote, book: Book | None, after_market_code: str
) -> list[str]:
    """The 46 fields of H0STCNT0; 47 since the after-market exists."""
    bar, change = quote.bar, trade.price - quote.bar.base
    ask, ask_count = book.asks[0] if book and book.asks else (0, 0)
    bid, bid_count = book.bids[0] if book and book.bids else (0, 0)
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
        str(trade.volume), str(trade.value), str(trade.sells), str(trade.buys),
        str(trade.buys - trade.sells), percent(trade.bought, trade.sold), str(trade.sold),
        str(trade.bought), _SIDES[trade.side], "0.50", percent(trade.volume, before), *against,
        ymd(trade.at.date()), market_phase, "N", str(ask_count), str(bid_count),
        str(book.total_ask if book else 0), str(book.total_bid if book else 0),
        percent(trade.volume, bar.listed_shares), "0", "0.00", HOURS[now], "",
        str(bar.base), *_class_field(trade.at),
    ]  # fmt: skip


def _market_class(at: datetime) -> str:
    session = calendar.session(at.date())
    if session is None or session.after_market is None:
        return _REGULAR
    if at >= session.closing_price_until:
        return _AFTER
    # The trade of the closing auction comes at the close or a little later.
    if at >= session.closes_at + CLOSING_PRICE_TRADES_AFTER:
        return _CLOSING_PRICE
    return _REGULAR if at >= session.opens_at else _BEFORE


def _class_field(at: datetime) -> list[str]:
    return [_market_class(at)] if at.date() >= calendar.AFTER_MARKET_SINCE else []


def book_fields(tr_id: str, quote: Quote, book: Book) -> list[str]:
    """The 59 fields of H0STASP0; since the after-market exists, also all appended fields."""
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
    # Price, quantity and class of midpoint orders: of KRX, and on other feeds also of NXT.
    of_krx = [str(middle), "0", "00"]
    if tr_id.startswith("H0ST"):
        return [*of_krx, *_class_field(book.at)]
    return [*of_krx, *of_krx, *(["1"] if tr_id.startswith("H0UN") else [])]
