"""A day's minutes and trades from its courses: streamed trades add up to the minutes.

A minute has up to four trades: open, extremes, close. Trades at the closing price are in no minute
bar; there is one per minute.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from kis_assets.exchange.calendar import Session
from kis_assets.simulator.market.market import Bar, Minute, Piece
from kis_assets.simulator.market.moments import before_after_market, closing_price_moments

_Priced = tuple[datetime, int, int, int]
"""Time, price, quantity, and the day's value including the trade."""


class Trade(NamedTuple):
    """One trade, with the day's figures including it; prices and `value` are KRW.

    `side` is the aggressor: `buy`, `sell`, or empty in an auction and at the closing price. `buys`
    and `sells` count the trades of a side, `bought` and `sold` their shares. `value` matches each
    minute exactly; its increase is only close to price times quantity.
    """

    at: datetime
    price: int
    quantity: int
    side: str
    open: int
    high: int
    low: int
    volume: int
    value: int
    buys: int = 0
    sells: int = 0
    bought: int = 0
    sold: int = 0


def minutes_of(
    bar: Bar, regular: Iterable[tuple[datetime, Piece]], after: Iterable[tuple[datetime, Piece]]
) -> list[Minute]:
    """A day's minutes, of the regular session and of the after-market."""
    found = [Minute(started_at, *piece) for started_at, piece in regular]
    volume, value = _in_no_minute(bar, found)
    for started_at, piece in after:
        found.append(Minute(started_at, *piece, volume, value))
        volume = value = 0
    return found


def trades_of(bar: Bar, minutes: Sequence[Minute], session: Session) -> list[Trade]:
    """The trades of a day, oldest first; `bar` is its final bar.

    Before the after-market existed, this feed had no trades off hours.
    """
    regular = [minute for minute in minutes if minute.started_at <= session.closes_at]
    priced = list(_continuous(regular, 0))
    if session.after_market is not None and regular:
        volume, value = _in_no_minute(bar, regular)
        before = sum(minute.trading_value for minute in regular)
        priced += _at_closing_price(regular[-1].close, volume, value, before, session)
        priced += _continuous(minutes[len(regular) :], before + value)
    return list(_run(priced, session))


def so_far(trades: list[Trade], now: datetime) -> list[Trade]:
    """The trades that have happened by `now`."""
    return trades[: bisect_right(trades, now, key=lambda trade: trade.at)]


def _in_no_minute(bar: Bar, regular: Iterable[Minute]) -> tuple[int, int]:
    """Volume and value traded before the after-market that are in no minute."""
    volume, value, *_ = before_after_market(bar)[5:]
    for minute in regular:
        volume, value = volume - minute.volume, value - minute.trading_value
    return volume, value


def _continuous(minutes: Iterable[Minute], value: int) -> Iterator[_Priced]:
    for minute in minutes:
        so_far, value = value, value + minute.trading_value
        pieces = _pieces(minute)
        for place, (price, quantity) in enumerate(pieces, start=1):
            at = minute.started_at + timedelta(seconds=(place - 1) * 60 // len(pieces))
            so_far = value if place == len(pieces) else min(so_far + price * quantity, value)
            yield at, price, quantity, so_far


def _pieces(minute: Minute) -> list[tuple[int, int]]:
    """Price and quantity of a minute's trades, with a value as close as possible to its own."""
    middle = (minute.low, minute.high) if minute.close >= minute.open else (minute.high, minute.low)
    way = [minute.open, *middle, minute.close]
    prices = [price for place, price in enumerate(way) if place == 0 or price != way[place - 1]]
    each, rest = divmod(minute.volume, len(prices))
    quantities = [each + (place < rest) for place in range(len(prices))]
    missing = minute.trading_value - sum(
        price * quantity for price, quantity in zip(prices, quantities, strict=True)
    )
    # Move shares to higher or lower prices until the value matches; each price keeps one share.
    taker = prices.index(minute.high if missing > 0 else minute.low)
    for giver in sorted(range(len(prices)), key=lambda place: prices[place], reverse=missing < 0):
        if gain := prices[taker] - prices[giver]:
            most, least = quantities[giver] - 1, 1 - quantities[taker]
            moved = max(least, min(most, round(missing / gain)))
            quantities[giver] -= moved
            quantities[taker] += moved
            missing -= moved * gain
    return list(zip(prices, quantities, strict=True))


def _at_closing_price(
    price: int, volume: int, value: int, before: int, session: Session
) -> Iterator[_Priced]:
    moments = closing_price_moments(session)
    traded = 0
    for number, at in enumerate(moments, start=1):
        quantity = volume * number // len(moments) - traded
        traded += quantity
        if quantity:
            yield at, price, quantity, before + value * number // len(moments)


def _run(priced: Iterable[_Priced], session: Session) -> Iterator[Trade]:
    """Trades with the day's figures so far."""
    opened = high = low = last = volume = buys = sells = bought = sold = 0
    side = "buy"
    after = session.after_market
    continuous_again = after[0] if after else session.closes_at
    for at, price, quantity, value in priced:
        opened, high, low = opened or price, max(high, price), min(low or price, price)
        volume += quantity
        is_auction = not last or session.closes_at <= at < continuous_again
        if last and price != last:
            side = "buy" if price > last else "sell"
        if not is_auction and side == "buy":
            buys, bought = buys + 1, bought + quantity
        elif not is_auction:
            sells, sold = sells + 1, sold + quantity
        last = price
        yield Trade(
            at, price, quantity, "" if is_auction else side, opened, high, low, volume, value,
            buys, sells, bought, sold,
        )  # fmt: skip
