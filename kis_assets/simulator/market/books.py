"""Order books around a price: levels, totals, auctions. Knows quotes, but not their market.

Illiquid stocks have few levels, a stock at its limit has one side, and an auction has three levels
and an expected price. There is no book outside the session and the after-market.
"""

from __future__ import annotations

import math
from datetime import timedelta

from kis_assets.exchange import calendar
from kis_assets.simulator.market.chance import random_for
from kis_assets.simulator.market.grid import Grid
from kis_assets.simulator.market.market import Book, Level, Quote, phase

_LEVELS = 10
_AUCTION_LEVELS = 3
_THIN = math.log(1e8)
_VERY_THIN = math.log(1e7)


def book_of(
    key: int, quote: Quote, ticks: Grid, turnover: float, auctioned_at: int = 0
) -> Book | None:
    """A book that matches a quote; `turnover` is the log of the stock's usual daily value.

    `auctioned_at` is the price of the last auction, 0 if unknown.
    """
    now = phase(quote.at)
    if now == "closed" or quote.is_halted:
        return None
    chance = random_for(key, 1)
    price, in_auction = quote.price, now in ("pre_open", "closing_auction")
    depth = _AUCTION_LEVELS if in_auction else _LEVELS
    if turnover < _VERY_THIN:
        depth = min(depth, chance.randint(1, 3))
    elif turnover < _THIN:
        depth = min(depth, chance.randint(3, 9))
    # Outside an auction the last trade was at the best bid or the best ask.
    bought = chance.random() < 0.5
    best_ask = price if bought else ticks.step(price, 1)
    best_bid = ticks.step(price, -1) if bought else price
    if price >= quote.upper:
        best_ask, best_bid = 0, price
    elif price <= quote.lower:
        best_ask, best_bid = price, 0
    # A level has about a thousandth of a day's shares.
    size = max(3.0, math.exp(turnover) / price / 900)
    asks: list[Level] = []
    bids: list[Level] = []
    while best_ask and len(asks) < depth and best_ask <= quote.upper:
        asks.append((best_ask, 1 + int(size * chance.uniform(0.2, 2.5))))
        best_ask = ticks.step(best_ask, 1)
    while best_bid and len(bids) < depth and best_bid >= quote.lower:
        bids.append((best_bid, 1 + int(size * chance.uniform(0.2, 2.5))))
        best_bid = ticks.step(best_bid, -1)
    beyond = int(size * chance.uniform(1, 20)) if depth == _LEVELS else 0
    expected = 1 + int(size * chance.uniform(2, 9)) if in_auction else 0
    return Book(
        at=quote.at.astimezone(calendar.SEOUL) - timedelta(microseconds=quote.at.microsecond),
        asks=tuple(asks),
        bids=tuple(bids),
        total_ask=sum(count for _, count in asks) + (beyond if asks else 0),
        total_bid=sum(count for _, count in bids) + (beyond // 2 if bids else 0),
        phase=now,
        expected_price=price if in_auction else 0,
        expected_volume=expected,
        last_auction=(auctioned_at, int(size * 30)) if auctioned_at and not in_auction else (0, 0),
    )
