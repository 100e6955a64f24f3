"""Records of the real-time feed for programs, and updates of quotes in the cache."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from kis_assets.exchange import calendar
from kis_assets.kis.stream_records import BookUpdate, Kind, RealTime, Trade
from kis_assets.sources.record_types import CurrentPrice

OnTrade = Callable[[Trade], object]
OnBook = Callable[[BookUpdate], object]

_PUT_EVERY = 1.0
"""Seconds between two updates of a stock's quote in the cache."""
_SESSIONS = {"pre_market": "pre_open"}
"""Session names of quotes that differ from those of trades."""


@dataclass(frozen=True)
class Listener:
    """The callbacks of a program; several keys call them from several threads."""

    on_trade: OnTrade | None = None
    on_order_book: OnBook | None = None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds to register; trades if it only updates the cache."""
        found: tuple[Kind, ...] = ("trade",) if self.on_trade or not self.on_order_book else ()
        return (*found, "book") if self.on_order_book else found

    def take(self, record: RealTime) -> None:
        """Pass a record to its callback."""
        if isinstance(record, Trade) and self.on_trade:
            self.on_trade(record)
        elif isinstance(record, BookUpdate) and self.on_order_book:
            self.on_order_book(record)


class Refresher:
    """Updates quotes from trades, so that other programs need no requests.

    Args:
        first: returns the first quote of a stock, called once, for its name and shares.
        put: stores a quote for all processes.
    """

    def __init__(
        self, first: Callable[[str], CurrentPrice], put: Callable[[CurrentPrice], object]
    ) -> None:
        self._first, self._put = first, put
        self._known: dict[str, tuple[CurrentPrice, float]] = {}
        self._lock = threading.Lock()

    def take(self, trade: Trade) -> None:
        """Update the quote of a trade's stock, at most once a second."""
        now = time.monotonic()
        with self._lock:
            quote, put_at = self._known.get(trade.stock_code, (None, 0.0))
            if quote is not None and now - put_at < _PUT_EVERY:
                return
            if quote is None:
                quote = self._first(trade.stock_code)
            self._known[trade.stock_code] = quote, now
        self._put(of_trade(quote, trade))


def of_trade(quote: CurrentPrice, trade: Trade) -> CurrentPrice:
    """A quote, updated by a trade."""
    cap = quote.market_cap
    shares = cap // quote.current_price if cap and quote.current_price else None
    at = trade.traded_at.astimezone(calendar.SEOUL).isoformat(timespec="seconds")
    return replace(
        quote,
        current_price=trade.price,
        change_price=trade.change,
        change_rate=trade.change_rate,
        open_price=trade.open,
        high_price=trade.high,
        low_price=trade.low,
        volume=trade.volume,
        trading_value=trade.trading_value,
        market_cap=None if shares is None else shares * trade.price,
        timestamp=at,
        session=_SESSIONS.get(trade.session or "", trade.session) or quote.session,
    )
