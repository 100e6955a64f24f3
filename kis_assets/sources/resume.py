"""History fetched today: the repetition of a died run requests only what is missing.

Keeps bars of a stock and a span, by the day of the request. They have their time of fetching, and
expire before they may change.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime
from typing import Any

import msgspec

from kis_assets.errors import ServiceUnavailable
from kis_assets.exchange import calendar, finality
from kis_assets.settings import Settings
from kis_assets.state.cache import Store
from kis_assets.transport.stats import Tally

Bar = dict[str, Any]

LONG = 6 * 3600.0
"""Seconds until a past span expires: longer than a run takes, but short enough that the next day's
run sees corrections."""
_DAY, _INSTANT = 1, 2


class History:
    """Bars kept in a store. Without a store nothing is kept."""

    def __init__(self, settings: Settings, store: Store | None, tally: Tally) -> None:
        self._settings, self._store, self._tally = settings, store, tally

    def bars(
        self, stock_code: str, span: str, last: date, ask: Callable[[], list[Bar]]
    ) -> list[Bar]:
        """The bars of a span that ends with `last`: kept ones, or the result of `ask`.

        Kept bars have `fetched_at` and count in the tally.
        """
        now = self._settings.now()
        lasts = self._seconds_to_live(last, now)
        if self._store is None or lasts <= 0:
            return ask()
        kept = self.kept(stock_code, span)
        if kept is not None:
            self._tally.cached("history")
            return kept
        key, fetched_at = _key(stock_code, span, now), self._settings.now()
        bars = ask()
        # The request may have lasted until after a change of the day's figures.
        lasts -= (self._settings.now() - fetched_at).total_seconds()
        # An empty answer may be a failure of KIS.
        if bars:
            with suppress(ServiceUnavailable):
                self._store.set({key: _encoded(bars, fetched_at)}, lasts)
        return bars

    def kept(self, stock_code: str, span: str) -> list[Bar] | None:
        """The kept bars of a span; None if it is not kept."""
        if self._store is None:
            return None
        with suppress(ServiceUnavailable, msgspec.DecodeError, zlib.error, ValueError):
            kept = self._store.get(_key(stock_code, span, self._settings.now()))
            return None if kept is None else _decoded(kept)
        return None

    def keep(self, found: Mapping[str, list[Bar]], span: str, last: date) -> None:
        """Keep bars of a span, by stock, that came with a longer span.

        They have `fetched_at`; an empty list means that the stock had no bars.
        """
        now = self._settings.now()
        lasts = self._seconds_to_live(last, now)
        if self._store is None or lasts <= 0:
            return
        kept = {
            _key(code, span, now): _encoded(bars, bars[0]["fetched_at"] if bars else now)
            for code, bars in found.items()
        }
        with suppress(ServiceUnavailable):
            self._store.set(kept, lasts)

    def forget(self, span: str) -> None:
        """Drop the bars of a span: they are stored, and the next run requests them again."""
        if self._store is not None:
            with suppress(ServiceUnavailable):
                self._store.delete_match(f"stock:*:chart:{span}:*")

    def _seconds_to_live(self, last: date, now: datetime) -> float:
        """Seconds until the bars of a span, requested at `now`, expire."""
        ttl = self._settings.kis_cache_ttl_chart
        if ttl <= 0:
            return 0.0
        session = calendar.session(now.astimezone(calendar.SEOUL).date())
        if session is not None and last >= session.day:
            if now < session.closes_at:
                return 0.0
            settled = finality.minutes_final_at(session.day)
            if now < settled:
                return min(ttl, (settled - now).total_seconds())
        lasts = max(LONG, ttl)
        provisional = calendar.next_trading_day(finality.newest_final_day(now))
        if last >= provisional:
            lasts = min(lasts, (finality.final_at(provisional) - now).total_seconds())
        return lasts


def _key(stock_code: str, span: str, now: datetime) -> str:
    return f"stock:{stock_code}:chart:{span}:{now:%Y-%m-%d}"


def _encoded(bars: list[Bar], fetched_at: datetime) -> bytes:
    content = [
        {name: _plain(value) for name, value in (bar | {"fetched_at": fetched_at}).items()}
        for bar in bars
    ]
    return zlib.compress(msgspec.msgpack.encode(content), 1)


def _decoded(content: bytes) -> list[Bar]:
    return msgspec.msgpack.decode(zlib.decompress(content), type=list[Bar], ext_hook=_restored)


def _plain(value: object) -> object:
    """Days and instants in a form that msgpack can restore."""
    if isinstance(value, datetime):
        return msgspec.msgpack.Ext(_INSTANT, value.isoformat().encode())
    if isinstance(value, date):
        return msgspec.msgpack.Ext(_DAY, value.isoformat().encode())
    return value


def _restored(code: int, content: memoryview) -> date | datetime:
    text = bytes(content).decode()
    if code == _DAY:
        return date.fromisoformat(text)
    return datetime.fromisoformat(text).astimezone(calendar.SEOUL)
