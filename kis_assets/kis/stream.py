"""KIS's real-time feed (WebSocket): trades, order books and more of a watch list, as they happen.

    with Stream(Settings.load(), ["005930", "000660"]) as stream:
        for record in stream:
            print(record.stock_code, record)

KIS allows one session per app key, with 41 registrations: trades and book of a stock are two.
Records sent while the connection is down are lost; a trade's `volume`, which is cumulative for the
day, shows the gap.
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
"""Seconds without a message after which a connection is dead: KIS pings every ten."""
_SPACING = 0.05
_LONGEST_WAIT = 60.0
_HELD = 30.0
_FINE = ("OPSP0000", "OPSP0001", "OPSP0002", "OPSP0003")

_APPROVAL = (1.1, 1.1, 61.0)
"""Seconds to wait after a refused request for an approval key: KIS states one a second, but may
have further limits."""


class _Dropped(Exception):
    """The session ended and may be reopened; `error` is raised if it may not."""

    def __init__(self, error: KISError) -> None:
        super().__init__(str(error))
        self.error = error


class Stream:
    """Real-time records of some stocks, until it is closed. Iterate over it in one thread.

    Args:
        settings: the server and the credentials; the first of several app keys is used.
        codes: stock codes, and index codes for the kind `index`; also a single code.
        kinds: `trade` and `book`; also `state` (halts and phases of the market), `program`
            (programme trades) and `index`, which the virtual server lacks. Each code gets the kinds
            that suit it.
        client: requests the approval key; by default a new one, closed with the stream.
        sleep: waits this many seconds, or less if the stream is closed.
        silence: seconds without a message after which the connection counts as dead.
        clock: returns the present instant. By default records are received by the wall clock, and
            their day is that of the settings, which may replay a day.
        on_open: called with the moment at which a session has all its registrations.
        on_lost: called with the moment of the last message of a broken session.

    Raises:
        InvalidRequest: a code suits none of the kinds, no code is given, or they are more than a
            session takes; or the venue is not KRX and NXT does not trade a stock.
        NotSupported: the virtual server has only KRX's trades and books.
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
        """How often the session was reopened."""
        self.discarded = 0
        """How many frames were dropped because they could not be read."""
        self.unasked = 0
        """How many records were dropped because their stock or feed was not requested."""
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
        """The registrations for these codes; changes nothing.

        Raises:
            InvalidRequest: as at the start.
        """
        asked = tuple(dict.fromkeys(codes))
        wanted = registrations(self._settings, asked, self._kinds)
        if self._settings.kis_venue is not Venue.KRX:
            refuse_what_nxt_lacks(self._client, tuple(filter(is_stock_code, asked)))
        return wanted

    def change(self, codes: Iterable[str]) -> None:
        """Follow these codes from now on; codes that stay lose no record. Any thread may call this.

        Raises:
            InvalidRequest: as at the start; then nothing changes.
        """
        wanted = self.check(codes)
        key = self._key.get().get_secret_value()
        with self._changing:
            gone = [it for it in self._wanted if it not in wanted]
            new = [it for it in wanted if it not in self._wanted]
            # Records of removed codes may still arrive: they were requested when they were sent.
            self._wanted, self._asked = wanted, self._asked | frozenset(new)
            self._expect_answers(new)
            connection = self._connection
            if connection is None:
                return
            # Remove codes first: the session may be full.
            with suppress(OSError, WebSocketException):  # the next session registers all again
                for message, ends in [*((it, True) for it in gone), *((it, False) for it in new)]:
                    connection.send(subscription(key, *message, ends=ends))
                    self._sleep(_SPACING)

    def _expect_answers(self, registered: Iterable[tuple[str, str]]) -> None:
        self._answer_by = time.monotonic() + self._silence
        self._pending |= set(registered)

    def close(self) -> None:
        """End the iteration and the session with KIS. Any thread may call this."""
        self._closing.set()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, WebSocketException):
                connection.close()
        if self._owned is not None:
            self._owned.close()
            self._owned = None

    def __iter__(self) -> Iterator[RealTime]:
        """Records as they come; a dropped session is reopened, with growing pauses.

        Raises:
            SessionInUse: KIS refuses because another session of the app key is open.
            ServiceUnavailable: no session could be opened, with `KIS_API_MAX_RETRIES` retries.
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
                # KIS may keep a broken session open for about a minute.
                wait = min(_LONGEST_WAIT, 2.0 ** min(failures - 1, 6)) * (0.5 + random() / 2)
                if isinstance(dropped.error, RateLimited):
                    wait = max(wait, _APPROVAL[min(failures, len(_APPROVAL)) - 1])
                wait = max(wait, _HELD) if held else wait
                log.warning("real-time session: %s; opening it again in %.0f s", dropped, wait)
                self.reconnects += self._ever_open
                self._sleep(wait)

    def _session(self) -> Iterator[RealTime]:
        """The records of one session, until it ends."""
        try:
            key = self._key.get()
        except (ServiceUnavailable, RateLimited) as error:
            raise _Dropped(error) from None
        try:
            connection = connected(self._settings)
        except (OSError, WebSocketException) as error:
            raise _Dropped(self._unreachable(error)) from None
        if self._closing.is_set():  # `close` was called while the connection was opening
            connection.close()
        try:
            with self._changing:
                self._connection = connection
                self._pending.clear()
                self._expect_answers(self._wanted)
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
                    ServiceUnavailable(f"no message for {self._silence:.0f} s", passing=True)
                ) from None
            self._heard_at = self._clock()
            frame = message if isinstance(message, str) else message.decode("utf-8", "replace")
            if not frame.startswith("{"):
                yield from self._read(frame)
            elif (answered := self._answered(connection, frame)) in self._pending:
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
                log.warning("real-time session: dropped a record of a stock that was not requested")
            self.unasked += len(found) - len(asked)
        return asked

    def _discard(self, why: str) -> None:
        """Count an unreadable frame; log only 1, 10, 100, ...: all frames may be unreadable."""
        self.discarded += 1
        if str(self.discarded).strip("0") == "1":  # 1, 10, 100
            log.warning("real-time session: dropped a frame (%d so far): %s", self.discarded, why)

    def _answered(self, connection: ClientConnection, message: str) -> tuple[str, str]:
        """Answer a ping or check an acknowledgement; return its registration."""
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
        # The text of other errors is left out: it may hold parts of a message.
        why = str(error) if type(error) is InvalidHandshake else type(error).__name__
        return ServiceUnavailable(
            f"{self._settings.ws_url} cannot be reached or broke off: {why}"
            f"{network.hint(self._settings.ws_url, error)}",
            passing=True,
            is_outage=True,
        )
