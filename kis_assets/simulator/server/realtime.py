"""The real-time feed: sessions, registrations, acknowledgements, frames. No sockets, no waiting.

One session an app key, 41 registrations in it; a code that is none is acknowledged and silent,
and so is the unified feed of a stock that is not on NXT.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

from kis_assets.simulator.market.market import Book, business_day
from kis_assets.simulator.wire.stream import (
    Trade,
    book_fields,
    closing_price_trade,
    trade_fields,
    trades,
)

if TYPE_CHECKING:
    from kis_assets.simulator.server.server import Simulator

PATH = "/tryitout"
REGISTRATIONS = 41
_KRX_FEEDS = ("H0STCNT0", "H0STASP0")
_FEEDS = (*_KRX_FEEDS, "H0NXCNT0", "H0NXASP0", "H0UNCNT0", "H0UNASP0")
_PING = "PINGPONG"
_UNANNOUNCED = ["7", "", "X1"]


class Realtime:
    """All sessions of a server.

    `ping_every` is the seconds of silence after which a session is pinged; `pongs` how many pings
    were answered.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.ping_every = 10.0
        self.pongs = 0
        self.opened = 0
        self._holders: dict[str, Session] = {}
        self._lock = Lock()

    def open(self) -> Session:
        """A session that no app key stands behind yet."""
        self.opened += 1
        return Session(self)

    def claim(self, app_key: str, session: Session) -> bool:
        """Give the key's one place to the session, unless another one has it."""
        with self._lock:
            return self._holders.setdefault(app_key, session) is session

    def release(self, session: Session) -> None:
        """Free the place that the session has."""
        with self._lock:
            for app_key, holder in list(self._holders.items()):
                if holder is session:
                    del self._holders[app_key]


class Session:
    """One connection. `is_over`: close it; `is_torn`: tear it, without a word."""

    def __init__(self, realtime: Realtime) -> None:
        self._all, self._simulator = realtime, realtime.simulator
        self._market = realtime.simulator.market
        self._registered: dict[tuple[str, str], datetime] = {}
        self._books: dict[tuple[str, str], Book] = {}
        self._days: dict[str, tuple[datetime, list[Trade]]] = {}
        self._lock = Lock()
        self._spoke_at = self._simulator.monotonic()
        self.is_over = self.is_torn = False

    def close(self) -> None:
        """The connection is gone."""
        self._all.release(self)

    def hear(self, message: str) -> list[str]:
        """What is said to a message of the client."""
        try:
            content = json.loads(message)
            header = content["header"]
            if header.get("tr_id") == _PING:
                self._all.pongs += 1
                return []
            wanted = content["body"]["input"]
            tr_id, code = str(wanted["tr_id"]), str(wanted["tr_key"])
            approval_key, tr_type = str(header["approval_key"]), str(header["tr_type"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return [_told("(null)", "", "9", "OPSP9999", "MALFORMED MESSAGE")]
        app_key = self._simulator.tokens.approved(approval_key)
        if app_key is None:
            self.is_over = True
            return [_told("(null)", "", "9", "OPSP0011", "invalid approval : NOT FOUND")]
        if not self._all.claim(app_key, self):
            self.is_over = True
            return [_told("(null)", "", "9", "OPSP8996", "ALREADY IN USE appkey")]
        if tr_id not in (_FEEDS if self._simulator.environment == "real" else _KRX_FEEDS):
            return [_told(tr_id, code, "1", "OPSP8991", "INVALID tr_id")]
        with self._lock:
            return [_told(tr_id, code, *self._register(tr_type, (tr_id, code)))]

    def _register(self, tr_type: str, wanted: tuple[str, str]) -> tuple[str, str, str]:
        if tr_type == "2":
            if self._registered.pop(wanted, None) is None:
                return "1", "OPSP0003", "UNSUBSCRIBE ERROR(not found!)"
            return "0", "OPSP0001", "UNSUBSCRIBE SUCCESS"
        if tr_type != "1":
            return "1", "OPSP8997", "INVALID tr_type"
        if wanted in self._registered:
            return "1", "OPSP0002", "ALREADY IN SUBSCRIBE"
        if len(self._registered) >= REGISTRATIONS:
            return "1", "OPSP0008", "MAX SUBSCRIBE OVER"
        self._registered[wanted] = self._market.now()
        return "0", "OPSP0000", "SUBSCRIBE SUCCESS"

    def frames(self) -> list[str]:
        """What has happened since the last time, or a ping when nothing has for long."""
        now, tick = self._market.now(), self._simulator.monotonic()
        with self._lock:
            since, self._registered = self._registered, dict.fromkeys(self._registered, now)
        found = [
            frame
            for (tr_id, code), then in since.items()
            for frame in self._frame(tr_id, code, then, now)
        ]
        if found and self._simulator.faults.strikes("stream_drop", PATH):
            self.is_torn = True
            return []
        if not found and tick - self._spoke_at >= self._all.ping_every:
            header = {"tr_id": _PING, "datetime": f"{now:%Y%m%d%H%M%S}"}
            found = [json.dumps({"header": header})]
        if found:
            self._spoke_at = tick
        return found

    def _frame(self, tr_id: str, code: str, then: datetime, now: datetime) -> Iterator[str]:
        stock = self._market.stock(code)
        quote = self._market.quote(code, now) if stock else None
        if stock is None or quote is None or not (stock.on_nxt or tr_id in _KRX_FEEDS):
            return
        book = self._market.book(code, now)
        if tr_id.endswith("CNT0"):
            happened = [one for one in self._trades(code, now) if then < one.at <= now]
            happened += closing_price_trade(self._market, code, then, now)
            happened.sort(key=lambda one: one.at)
            phase_code = self._simulator.faults.after_market_code
            rows = [trade_fields(trade, quote, book, phase_code) for trade in happened]
        else:
            is_news = book is not None and book != self._books.get((tr_id, code))
            rows = [book_fields(tr_id, quote, book)] if is_news and book else []
            if book:
                self._books[tr_id, code] = book
        if rows:
            more = _UNANNOUNCED if self._simulator.faults.strikes("extra_fields", PATH) else []
            values = [value for row in rows for value in (*row, *more)]
            yield f"0|{tr_id}|{len(rows):03d}|{'^'.join(values)}"

    def _trades(self, code: str, now: datetime) -> list[Trade]:
        minute = now.replace(second=0, microsecond=0)
        made_at, found = self._days.get(code, (None, []))
        if made_at != minute:
            found = list(
                trades(self._market.minutes(code, business_day(now, self._market.rolls_at)))
            )
            self._days[code] = minute, found
        return found


def _told(tr_id: str, code: str, rt_cd: str, msg_cd: str, text: str) -> str:
    body: dict[str, Any] = {"rt_cd": rt_cd, "msg_cd": msg_cd, "msg1": text}
    if rt_cd == "0":
        body["output"] = {"iv": "0123456789abcdef", "key": "0123456789abcdef" * 2}
    return json.dumps({"header": {"tr_id": tr_id, "tr_key": code, "encrypt": "N"}, "body": body})
