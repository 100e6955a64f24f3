"""KIS's real-time feed (WebSocket): trades, order books and more of a watch list, as they happen.

    with Stream(Settings.load(), ["005930", "000660"]) as stream:
        for record in stream:
            print(record.stock_code, record)

KIS allows one session an app key, and 41 registrations in it: a stock's trades and its book are
two. What happened while the connection was down is gone; a gap shows in a trade's `volume`, which
is the day's so far.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from random import random

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    WebSocketException,
)
from websockets.sync.client import ClientConnection

from kis_assets.errors import (
    InvalidRequest,
    KISError,
    NotSupported,
    RateLimited,
    ServiceUnavailable,
    SessionInUse,
    UnexpectedAnswer,
)
from kis_assets.exchange import calendar
from kis_assets.exchange.stocks import is_stock_code
from kis_assets.exchange.venues import Venue
from kis_assets.kis.approval import ApprovalKey
from kis_assets.kis.client import Client
from kis_assets.kis.error_codes import Then, policy
from kis_assets.kis.stream_connection import connected
from kis_assets.kis.stream_records import Kind, RealTime, code_of, records
from kis_assets.kis.stream_registrations import (
    PING,
    acknowledgement,
    refuse_what_nxt_lacks,
    registrations,
    subscription,
)
from kis_assets.settings import Settings
from kis_assets.transport import network

log = logging.getLogger(__name__)

SILENCE = 60.0
"""Seconds without a word after which a connection is dead: KIS pings every ten."""
_SPACING = 0.05
_LONGEST_WAIT = 60.0
_HELD = 30.0
_FINE = ("OPSP0000", "OPSP0001", "OPSP0002", "OPSP0003")

_APPROVAL = (1.1, 1.1, 61.0)
"""Seconds after a refused request for an approval key: KIS states one a second, and it is not known
whether that is all."""


class _Dropped(Exception):
    """The session ended and may be opened again; `error` is what to raise where it may not."""

    def __init__(self, error: KISError) -> None:
        super().__init__(str(error))
        self.error = error


class Stream:
    """Real-time records of some stocks, until it is closed. Iterate over it in one thread.

    Args:
        settings: which server, whose credentials; of several app keys the first one is used.
        codes: stock codes, and index codes for the kind `index`; one may be given as it is.
        kinds: `trade` and `book`; `state` (halts and phases of the market), `program` (programme
            trades) and `index`, of which the virtual server has none. Each code gets those that it
            can have.
        client: asks for the approval key; one of its own unless given, closed with the stream.
        sleep: waits that many seconds, or less once the stream is closed.
        silence: seconds without a word after which the connection counts as dead.
        clock: the present instant; without one, records are received by the clock on the wall,
            and their day is that of the settings, which may replay one.
        on_open: told the moment at which a session has all its registrations, each time anew.
        on_lost: told the moment of the last word of a session that broke off.

    Raises:
        InvalidRequest: a code is none of a kind asked for, none is given, or they are more than a
            session takes; or on another venue than KRX a stock that NXT does not trade.
        NotSupported: the virtual server has KRX's trades and books alone.
        AuthenticationFailed: there are no credentials.
    """

    def __init__(
        self,
        settings: Settings,
        codes: Iterable[str],
        kinds: Iterable[Kind] = ("trade", "book"),
        *,
        client: Client | None = None,
        sleep: Callable[[float], object] | None = None,
        silence: float = SILENCE,
        clock: Callable[[], datetime] | None = None,
        on_open: Callable[[datetime], object] = lambda _: None,
        on_lost: Callable[[datetime], object] = lambda _: None,
    ) -> None:
        self._kinds = tuple(kinds)
        asked = tuple(dict.fromkeys([codes] if isinstance(codes, str) else codes))
        self._wanted = registrations(settings, asked, self._kinds)
        self._asked = frozenset(self._wanted)
        self._on_open, self._on_lost = on_open, on_lost
        self._clock, self._replayed = clock or calendar.now, clock or settings.now
        self._heard_at: datetime | None = None
        self._pending = set[tuple[str, str]]()
        self._answer_by = 0.0
        self._changing = threading.Lock()
        self._settings = settings
        self._client = client or Client(settings)
        self._owned = None if client else self._client
        self._key = ApprovalKey(settings, self._client)
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._silence = silence
        self._connection: ClientConnection | None = None
        self._ever_open = False
        self.reconnects = 0
        """How often the session was opened anew."""
        self.discarded = 0
        """Frames that could not be read, and were left out."""
        self.unasked = 0
        """Records of stocks or feeds that were not asked for, and were left out."""
        try:
            self.check(asked)
        except InvalidRequest:
            self.close()
            raise

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self, codes: Iterable[str]) -> list[tuple[str, str]]:
        """The registrations of codes that could be followed.

        Raises:
            InvalidRequest: as at the start.
        """
        asked = tuple(dict.fromkeys(codes))
        wanted = registrations(self._settings, asked, self._kinds)
        if self._settings.kis_venue is not Venue.KRX:
            refuse_what_nxt_lacks(self._client, tuple(filter(is_stock_code, asked)))
        return wanted

    def change(self, codes: Iterable[str]) -> None:
        """Follow these codes from now on, from any thread; those that stay lose no record.

        Raises:
            InvalidRequest: as at the start; then nothing changes.
        """
        wanted = self.check(codes)
        key = self._key.get().get_secret_value()
        with self._changing:
            gone = [it for it in self._wanted if it not in wanted]
            new = [it for it in wanted if it not in self._wanted]
            # What has been given up may be under way: it was asked for when it was sent.
            self._wanted, self._asked = wanted, self._asked | frozenset(new)
            self._await(new)
            connection = self._connection
            if connection is None:
                return
            # What has been given up first: the session may be full.
            with suppress(OSError, WebSocketException):  # the next session asks for all anew
                for message, ends in [*((it, True) for it in gone), *((it, False) for it in new)]:
                    connection.send(subscription(key, *message, ends=ends))
                    self._sleep(_SPACING)

    def _await(self, registered: Iterable[tuple[str, str]]) -> None:
        self._answer_by = time.monotonic() + self._silence
        self._pending |= set(registered)

    def close(self) -> None:
        """End the iteration, from any thread, and the session with KIS."""
        self._closing.set()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, WebSocketException):
                connection.close()
        if self._owned is not None:
            self._owned.close()
            self._owned = None

    def __iter__(self) -> Iterator[RealTime]:
        """Records as they come; a dropped session is opened again, less and less often.

        Raises:
            SessionInUse: KIS refuses because another session of the app key is open.
            ServiceUnavailable: no session could be opened, `KIS_API_MAX_RETRIES` times again.
            AuthenticationFailed: key or secret is refused.
            InvalidRequest: KIS refuses a registration, and says why.
            NotSupported: KIS sends encrypted frames.
        """
        failures = 0
        while not self._closing.is_set():
            try:
                for record in self._session():
                    failures = 0
                    yield record
            except _Dropped as dropped:
                if self._closing.is_set():
                    return
                failures += 1
                held = isinstance(dropped.error, SessionInUse)
                if not self._ever_open and (held or failures > self._settings.kis_api_max_retries):
                    raise dropped.error from None
                if self._heard_at is not None:
                    self._on_lost(self._heard_at)
                    self._heard_at = None
                # KIS may hold a session that broke off for a minute or so.
                wait = min(_LONGEST_WAIT, 2.0 ** min(failures - 1, 6)) * (0.5 + random() / 2)
                if isinstance(dropped.error, RateLimited):
                    wait = max(wait, _APPROVAL[min(failures, len(_APPROVAL)) - 1])
                wait = max(wait, _HELD) if held else wait
                log.warning("real-time session: %s; opening it again in %.0f s", dropped, wait)
                self.reconnects += self._ever_open
                self._sleep(wait)

    def _session(self) -> Iterator[RealTime]:
        """One session, to its end."""
        try:
            key = self._key.get()
        except (ServiceUnavailable, RateLimited) as error:
            raise _Dropped(error) from None
        try:
            connection = connected(self._settings)
        except (OSError, WebSocketException) as error:
            raise _Dropped(self._unreachable(error)) from None
        if self._closing.is_set():  # it was closed while this was opening
            connection.close()
        try:
            with self._changing:
                self._connection = connection
                self._pending.clear()
                self._await(self._wanted)
                for message in self._wanted:
                    connection.send(subscription(key.get_secret_value(), *message))
                    self._sleep(_SPACING)
            yield from self._listen(connection)
        except ConnectionClosed as error:
            raise _Dropped(self._unreachable(error)) from None
        finally:
            with suppress(OSError, WebSocketException):
                connection.close()

    def _listen(self, connection: ClientConnection) -> Iterator[RealTime]:
        while True:
            try:
                message = connection.recv(timeout=self._silence)
            except TimeoutError:
                raise _Dropped(
                    ServiceUnavailable(f"not a word for {self._silence:.0f} s", passing=True)
                ) from None
            self._heard_at = self._clock()
            frame = message if isinstance(message, str) else message.decode("utf-8", "replace")
            if not frame.startswith("{"):
                yield from self._read(frame)
            elif (answered := self._heed(connection, frame)) in self._pending:
                self._pending.discard(answered)
                if not self._pending:
                    self._ever_open = True
                    self._on_open(self._heard_at)
            if self._pending and time.monotonic() > self._answer_by:
                raise _Dropped(
                    ServiceUnavailable(f"KIS did not answer {len(self._pending)} registrations")
                )

    def _read(self, frame: str) -> list[RealTime]:
        try:
            found = records(frame, self._replayed().date(), self._heard_at or self._clock())
        except UnexpectedAnswer as error:
            self._discard(str(error))
            return []
        tr_id = frame.split("|", 2)[1]
        asked = [record for record in found if (tr_id, code_of(record)) in self._asked]
        if len(asked) < len(found):
            if not self.unasked:
                log.warning("real-time session: left out: a stock that was not asked for")
            self.unasked += len(found) - len(asked)
        return asked

    def _discard(self, why: str) -> None:
        """Count what cannot be read, and say so ever more rarely: it may be all that comes."""
        self.discarded += 1
        if str(self.discarded).strip("0") == "1":  # 1, 10, 100
            log.warning("real-time session: left out (%d so far): %s", self.discarded, why)

    def _heed(self, connection: ClientConnection, message: str) -> tuple[str, str]:
        """Answer a ping, judge an acknowledgement; which registration it is of."""
        try:
            told = acknowledgement(message)
        except UnexpectedAnswer as error:
            self._discard(str(error))
            return "", ""
        if told.tr_id == PING:
            connection.send(message)
            return "", ""
        if told.msg_cd not in _FINE:
            tr_id = "" if told.tr_id == "(null)" else told.tr_id
            self._refuse(told.msg_cd, told.text, tr_id, told.stock_code)
        if told.is_encrypted:
            raise NotSupported(
                "KIS encrypts this feed", endpoint=told.tr_id, stock_code=told.stock_code
            )
        return told.tr_id, told.stock_code

    def _refuse(self, msg_cd: str, text: str, tr_id: str, code: str) -> None:
        what = policy(msg_cd, 200)
        text = what.explain(text, self._settings.environment)
        if what.error is SessionInUse:
            text = f"another session of this app key is open, and KIS allows one: {text}"
        error = what.error(text, msg_cd=msg_cd, endpoint=tr_id, stock_code=code)
        if what.then is Then.RETOKEN:
            if self._key.forget():
                raise _Dropped(error)
            raise error
        raise _Dropped(error) if what.then is Then.RETRY else error

    def _unreachable(self, error: Exception) -> ServiceUnavailable:
        # Another error's own text is left out: it may hold parts of a message.
        why = str(error) if type(error) is InvalidHandshake else type(error).__name__
        return ServiceUnavailable(
            f"{self._settings.ws_url} cannot be reached or broke off: {why}"
            f"{network.doubt(self._settings.ws_url, error)}",
            passing=True,
            is_outage=True,
        )
