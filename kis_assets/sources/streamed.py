"""Records of the real-time feed for programs, and what they make of the quotes in the cache."""

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
"""Seconds between two quotes of a stock that are put into the cache."""
_SESSIONS = {"pre_market": "pre_open"}
"""What quotes call a session that trades call otherwise."""


@dataclass(frozen=True)
class Listener:
    """What a program wants to be told; from several threads where there are several keys."""

    on_trade: OnTrade | None = None
    on_order_book: OnBook | None = None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What has to be registered for it; trades where it only fills the cache."""
        found: tuple[Kind, ...] = ("trade",) if self.on_trade or not self.on_order_book else ()
        return (*found, "book") if self.on_order_book else found

    def take(self, record: RealTime) -> None:
        """Hand a record over."""
        if isinstance(record, Trade) and self.on_trade:
            self.on_trade(record)
        elif isinstance(record, BookUpdate) and self.on_order_book:
            self.on_order_book(record)


class Refresher:
    """Brings quotes up to date with trades: a program that asks meanwhile costs no request.

    Args:
        first: gives the quote of a stock, asked once: its name and its shares.
        put: keeps a quote for all processes.
    """

    def __init__(
        self, first: Callable[[str], CurrentPrice], put: Callable[[CurrentPrice], object]
    ) -> None:
        self._first, self._put = first, put
        self._known: dict[str, tuple[CurrentPrice, float]] = {}
        self._lock = threading.Lock()

    def take(self, trade: Trade) -> None:
        """Keep what a trade says of its stock, once a second at most."""
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
    """A quote as it is after a trade."""
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
