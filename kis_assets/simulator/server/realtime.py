"""The real-time feed: sessions, registrations, acknowledgements, frames. No sockets, no waits.

An app key has one session with 41 registrations. An unknown code is acknowledged but gets no
frames, as does a stock without NXT in the unified feed.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

from kis_assets.exchange import calendar
from kis_assets.simulator.market.market import Stock, business_day
from kis_assets.simulator.wire.stream import book_fields, trade_fields
from kis_assets.simulator.wire.stream_market import index_fields, program_fields, state_rows

if TYPE_CHECKING:
    from kis_assets.simulator.server.server import Simulator

PATH = "/tryitout"
REGISTRATIONS = 41
_OF_A_STOCK = ("CNT0", "ASP0", "MKO0", "PGM0")
_KRX_FEEDS = ("H0STCNT0", "H0STASP0")
_INDICES = "H0UPCNT0"
_FEEDS = (
    *(f"H0{venue}{what}" for venue in ("ST", "NX", "UN") for what in _OF_A_STOCK),
    _INDICES,
)
_MOST_RECORDS = 999
"""Most records in a frame: their number has three digits."""
_PING = "PINGPONG"
_UNANNOUNCED = ["7", "", "X1"]


class Realtime:
    """All sessions of a server.

    `ping_every` is the seconds of silence until a ping; `pongs` counts answered pings.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.ping_every = 10.0
        self.pongs = 0
        self.opened = 0
        self.sent: dict[tuple[str, ...], str] = {}
        """The last frame of a registration, by app key, feed and code."""
        self._holders: dict[str, Session] = {}
        self._lock = Lock()

    def open(self) -> Session:
        """A session without an app key yet."""
        self.opened += 1
        return Session(self)

    def claim(self, app_key: str, session: Session) -> bool:
        """Make this the session of the key, unless another session is."""
        with self._lock:
            return self._holders.setdefault(app_key, session) is session

    def release(self, session: Session) -> None:
        """Free the session's app key."""
        with self._lock:
            for app_key, holder in list(self._holders.items()):
                if holder is session:
                    del self._holders[app_key]


class Session:
    """One connection. `is_over`: close it; `is_torn`: break it without a message."""

    def __init__(self, realtime: Realtime) -> None:
        self._all, self._simulator = realtime, realtime.simulator
        self._market = realtime.simulator.market
        self._registered: dict[tuple[str, str], datetime] = {}
        self._said: dict[tuple[str, str], list[str]] = {}
        self._again: list[str] = []
        self._app_key = ""
        self._lock = Lock()
        self._spoke_at = self._simulator.monotonic()
        self._silent_until = 0.0
        self.is_over = self.is_torn = False

    def close(self) -> None:
        """The connection is gone."""
        self._all.release(self)

    def hear(self, message: str) -> list[str]:
        """The answers to a message of the client."""
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
            return [_acknowledgement("(null)", "", "9", "OPSP9999", "MALFORMED MESSAGE")]
        app_key = self._simulator.tokens.approved(approval_key)
        if app_key is None:
            self.is_over = True
            return [_acknowledgement("(null)", "", "9", "OPSP0011", "invalid approval : NOT FOUND")]
        if not self._all.claim(app_key, self):
            self.is_over = True
            return [_acknowledgement("(null)", "", "9", "OPSP8996", "ALREADY IN USE appkey")]
        if tr_id not in (_FEEDS if self._simulator.environment == "real" else _KRX_FEEDS):
            return [_acknowledgement(tr_id, code, "1", "OPSP8991", "INVALID tr_id")]
        self._app_key = app_key
        with self._lock:
            return [_acknowledgement(tr_id, code, *self._register(tr_type, (tr_id, code)))]

    def _register(self, tr_type: str, wanted: tuple[str, str]) -> tuple[str, str, str]:
        if tr_type == "2":
            if self._registered.pop(wanted, None) is None:
                return "1", "OPSP0003", "UNSUBSCRIBE ERROR(not found!)"
            self._said.pop(wanted, None)
            return "0", "OPSP0001", "UNSUBSCRIBE SUCCESS"
        if tr_type != "1":
            return "1", "OPSP8997", "INVALID tr_type"
        if wanted in self._registered:
            return "1", "OPSP0002", "ALREADY IN SUBSCRIBE"
        if len(self._registered) >= REGISTRATIONS:
            return "1", "OPSP0008", "MAX SUBSCRIBE OVER"
        self._registered[wanted] = self._market.now()
        again = self._all.sent.get((self._app_key, *wanted))
        if again and self._simulator.faults.strikes("stream_repeat", f"{PATH}/{'/'.join(wanted)}"):
            self._again.append(again)
        return "0", "OPSP0000", "SUBSCRIBE SUCCESS"

    def frames(self) -> list[str]:
        """The frames since the last call, or a ping after a long silence."""
        tick, faults = self._simulator.monotonic(), self._simulator.faults
        with self._lock:
            # Inside the lock: later registrations begin after these frames.
            now = self._market.now()
            since, self._registered = self._registered, dict.fromkeys(self._registered, now)
            found, self._again = self._again, []
        for wanted, then in since.items():
            found += self._frames(*wanted, then, now)
        if tick < self._silent_until:
            return []
        if found and faults.strikes("stream_drop", PATH):
            self.is_torn = True
            return []
        if not found and tick - self._spoke_at >= self._all.ping_every:
            header = {"tr_id": _PING, "datetime": f"{now:%Y%m%d%H%M%S}"}
            found = [json.dumps({"header": header})]
        if found and (silence := faults.strikes("stream_silence", PATH)):
            self._silent_until = tick + silence.seconds
            return []
        for frame in found:
            if frame.startswith("0|"):
                _, tr_id, _, content = frame.split("|", 3)
                self._all.sent[self._app_key, tr_id, content.split("^", 1)[0]] = frame
        if found:
            self._spoke_at = tick
        return found

    def _frames(self, tr_id: str, code: str, then: datetime, now: datetime) -> Iterator[str]:
        faults, path = self._simulator.faults, f"{PATH}/{tr_id}/{code}"
        rows = self._rows(tr_id, code, then, now)
        for start in range(0, len(rows), _MOST_RECORDS):
            some = rows[start : start + _MOST_RECORDS]
            if faults.strikes("extra_fields", path):
                some = [[*row, *_UNANNOUNCED] for row in some]
            frame = _frame(tr_id, some)
            cut = faults.strikes("stream_half_frame", path)
            yield frame[: len(frame) // 2] if cut else frame
            if faults.strikes("stream_stranger", path):
                yield _frame(tr_id, [[self._unregistered_stock(), *row[1:]] for row in some])

    def _unregistered_stock(self) -> str:
        """The code of a stock that is not registered."""
        asked = {code for _, code in self._registered}
        listed = self._market.stocks(business_day(self._market.now(), self._market.rolls_at))
        return next(stock.code for stock in listed if stock.code not in asked)

    def _rows(self, tr_id: str, code: str, then: datetime, now: datetime) -> list[list[str]]:
        """The records of a registration between two moments."""
        key, is_over = (tr_id, code), not _is_open(now, tr_id)
        if tr_id == _INDICES:
            row = [] if is_over else index_fields(self._market, code, now, self._said.get(key))
            # A change in only the volume since the last tick is no news.
            return self._if_changed(key, row, slice(2, 7))
        stock = self._market.stock(code)
        if stock is None or not (stock.on_nxt or tr_id.startswith("H0ST")):
            return []
        if tr_id.endswith("MKO0"):
            return state_rows(stock, then, now, of_nxt=tr_id.startswith("H0NX"))
        if tr_id.endswith("CNT0"):
            return self._trades(stock, then, now)
        quote, row = self._market.quote(code, now), []
        if quote and tr_id.endswith("PGM0"):
            row = [] if is_over or not quote.bar.volume else program_fields(quote)
        elif quote and (book := self._market.book(code, now)):
            row = book_fields(tr_id, quote, book)
        return self._if_changed(key, row, slice(2, None))

    def _trades(self, stock: Stock, then: datetime, now: datetime) -> list[list[str]]:
        market, code = self._market, stock.code
        found = market.trades(code, business_day(now, market.rolls_at))
        first, last = (bisect_right(found, it, key=lambda trade: trade.at) for it in (then, now))
        quote = market.quote(code, now) if first < last else None
        if quote is None:
            return []
        phase_code = self._simulator.faults.after_market_code
        return [
            trade_fields(trade, quote, market.book(code, trade.at), phase_code)
            for trade in found[first:last]
        ]

    def _if_changed(self, key: tuple[str, str], row: list[str], what: slice) -> list[list[str]]:
        """The record, if it differs from the last one in more than the time."""
        last = self._said.get(key)
        if not row or (last and row[what] == last[what]):
            return []
        self._said[key] = row
        return [row]


def _is_open(now: datetime, tr_id: str) -> bool:
    """Whether figures of the day may still change: until a minute after the last trade."""
    session = calendar.session(now.date())
    if session is None or now < session.opens_at:
        return False
    ends = session.closes_at if tr_id == _INDICES else session.over_at
    return now < ends + timedelta(minutes=1)


def _frame(tr_id: str, rows: list[list[str]]) -> str:
    return f"0|{tr_id}|{len(rows):03d}|{'^'.join(value for row in rows for value in row)}"


def _acknowledgement(tr_id: str, code: str, rt_cd: str, msg_cd: str, text: str) -> str:
    body: dict[str, Any] = {"rt_cd": rt_cd, "msg_cd": msg_cd, "msg1": text}
    if rt_cd == "0":
        body["output"] = {"iv": "0123456789abcdef", "key": "0123456789abcdef" * 2}
    return json.dumps({"header": {"tr_id": tr_id, "tr_key": code, "encrypt": "N"}, "body": body})
