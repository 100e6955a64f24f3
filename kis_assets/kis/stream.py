"""KIS's real-time feed (WebSocket): trades and order books of a watch list, as they happen.

    with Stream(Settings.load(), ["005930", "000660"]) as stream:
        for record in stream:
            print(record.stock_code, record)

KIS allows one session an app key, and 41 registrations in it: a stock's trades and its book are
two. What happened while the connection was down is gone; a gap shows in a trade's `volume`, which
is the day's so far.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from random import random
from types import TracebackType
from typing import Any

from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException
from websockets.sync.client import ClientConnection, connect

from kis_assets import krx
from kis_assets.kis import network
from kis_assets.kis.client import Client
from kis_assets.kis.errors import (
    InvalidRequest,
    KISError,
    NotSupported,
    RateLimited,
    ServiceUnavailable,
    SessionInUse,
    Then,
    UnexpectedAnswer,
    policy,
)
from kis_assets.kis.frames import TR_IDS, Kind, RealTime, records
from kis_assets.kis.reference import Reference
from kis_assets.settings import Settings
from kis_assets.venues import Venue

log = logging.getLogger(__name__)

REGISTRATIONS = 41
"""What a session takes of all feeds together; the 42nd was refused in 2026."""
PATH = "/tryitout"
SILENCE = 60.0
"""Seconds without a word after which a connection is dead: KIS pings every ten."""
_SPACING = 0.05
_LONGEST_FRAME = 4 * 2**20
_LONGEST_WAIT = 60.0
_HELD = 30.0
_KEY_LASTS = 12 * 3600.0
_FINE = ("OPSP0000", "OPSP0001", "OPSP0002", "OPSP0003")

# The library writes every frame it sends at debug level, and the approval key stands in them.
_quiet = logging.getLogger("kis_assets.kis.stream.websocket")
_quiet.setLevel(logging.WARNING)

_keys: dict[tuple[str, str], tuple[SecretStr, float]] = {}
_asking = threading.Lock()


class _Dropped(Exception):
    """The session ended and may be opened again; `error` is what to raise where it may not."""

    def __init__(self, error: KISError) -> None:
        super().__init__(str(error))
        self.error = error


class Stream:
    """Real-time records of some stocks, until it is closed. Iterate over it in one thread.

    Args:
        settings: which server, whose credentials; of several app keys the first one is used.
        codes: stock codes.
        kinds: `trade`, `book` or both.
        client: asks for the approval key; one of its own unless given, closed with the stream.
        sleep: waits that many seconds, or less once the stream is closed.
        silence: seconds without a word after which the connection counts as dead.

    Raises:
        InvalidRequest: a code is none, none is given, or they are more than a session takes; or on
            another venue than KRX a stock that NXT does not trade.
        NotSupported: the virtual server has KRX's feed alone.
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
    ) -> None:
        asked = tuple(dict.fromkeys(codes))
        self._wanted = _registrations(settings, asked, tuple(kinds))
        self._settings = settings
        self._client = client or Client(settings)
        self._owned = None if client else self._client
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._silence = silence
        self._connection: ClientConnection | None = None
        self._ever_open = False
        self.reconnects = 0
        """How often the session was opened anew."""
        self.discarded = 0
        """Frames that could not be read, and were left out."""
        if settings.kis_venue is not Venue.KRX:
            try:
                _refuse_what_nxt_lacks(self._client, asked)
            except InvalidRequest:
                self.close()
                raise

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
                # KIS may hold a session that broke off for a minute or so.
                wait = min(_LONGEST_WAIT, 2.0 ** min(failures - 1, 6)) * (0.5 + random() / 2)
                wait = max(wait, _HELD) if held else wait
                log.warning("real-time session: %s; opening it again in %.0f s", dropped, wait)
                self.reconnects += self._ever_open
                self._sleep(wait)

    def _session(self) -> Iterator[RealTime]:
        """One session, to its end."""
        key = self._approval_key()
        network.check_feed(self._settings.ws_url)
        try:
            connection = connect(
                f"{self._settings.ws_url}{PATH}",
                legacy=True,
                compression=None,
                open_timeout=self._settings.kis_api_timeout,
                close_timeout=1,
                # KIS pings by messages of its own, and is not known to answer the protocol's.
                ping_interval=None,
                max_size=_LONGEST_FRAME,
                logger=_quiet,
            )
        except (OSError, InvalidHandshake) as error:
            raise _Dropped(self._unreachable(error)) from None
        self._connection = connection
        if self._closing.is_set():  # it was closed while this was opening
            connection.close()
        try:
            for message in self._wanted:
                connection.send(_subscription(key, *message))
                self._sleep(_SPACING)
            yield from self._listen(connection)
        except ConnectionClosed as error:
            raise _Dropped(self._unreachable(error)) from None
        finally:
            with suppress(OSError, WebSocketException):
                connection.close()

    def _listen(self, connection: ClientConnection) -> Iterator[RealTime]:
        pending = set(self._wanted)
        deadline = time.monotonic() + self._silence
        while True:
            try:
                message = connection.recv(timeout=self._silence)
            except TimeoutError:
                raise _Dropped(
                    ServiceUnavailable(f"not a word for {self._silence:.0f} s", passing=True)
                ) from None
            frame = message if isinstance(message, str) else message.decode("utf-8", "replace")
            if frame.startswith("{"):
                answered = self._heed(connection, frame)
                pending.discard(answered)
                self._ever_open = self._ever_open or not pending
            else:
                yield from self._read(frame)
            if pending and time.monotonic() > deadline:
                raise _Dropped(
                    ServiceUnavailable(f"KIS did not answer {len(pending)} registrations")
                )

    def _read(self, frame: str) -> list[RealTime]:
        try:
            return records(frame, self._settings.now().date(), krx.now())
        except UnexpectedAnswer as error:
            self.discarded += 1
            log.warning("real-time session: left out: %s", error)
            return []

    def _heed(self, connection: ClientConnection, message: str) -> tuple[str, str]:
        """Answer a ping, judge an acknowledgement; which registration it is of."""
        try:
            content = json.loads(message)
            header: dict[str, Any] = content["header"]
            tr_id = str(header["tr_id"])
            if tr_id == "PINGPONG":
                connection.send(message)
                return "", ""
            body: dict[str, Any] = content["body"]
            msg_cd, text = str(body["msg_cd"]).strip(), str(body.get("msg1") or "").strip()
        except (ValueError, KeyError, TypeError):
            self.discarded += 1
            log.warning("real-time session: left out: a message of another shape")
            return "", ""
        code = str(header.get("tr_key") or "").strip()
        if msg_cd not in _FINE:
            self._refuse(msg_cd, text, "" if tr_id == "(null)" else tr_id, code)
        if header.get("encrypt") == "Y":
            raise NotSupported("KIS encrypts this feed", endpoint=tr_id, stock_code=code)
        return tr_id, code

    def _refuse(self, msg_cd: str, text: str, tr_id: str, code: str) -> None:
        what = policy(msg_cd, 200)
        if what.error is SessionInUse:
            text = f"another session of this app key is open, and KIS allows one: {text}"
        error = what.error(text, msg_cd=msg_cd, endpoint=tr_id, stock_code=code)
        if what.then is Then.RETOKEN:
            if self._forget_key():
                raise _Dropped(error)
            raise error
        raise _Dropped(error) if what.then is Then.RETRY else error

    def _unreachable(self, error: Exception) -> ServiceUnavailable:
        # The error's own text is left out: it may hold parts of a message.
        return ServiceUnavailable(
            f"{self._settings.ws_url} cannot be reached or broke off: {type(error).__name__}"
            f"{network.doubt(self._settings.ws_url, error)}",
            passing=True,
            is_outage=True,
        )

    def _approval_key(self) -> SecretStr:
        """The key of this process, asked for anew where there is none or it is old."""
        try:
            with _asking:
                key, asked = _keys.get(self._owner, (SecretStr(""), 0.0))
                if not key.get_secret_value() or time.monotonic() - asked > _KEY_LASTS:
                    key = self._client.approval_key()
                    _keys[self._owner] = key, time.monotonic()
                    self._key_is_new = True
                else:
                    self._key_is_new = False
                return key
        except (ServiceUnavailable, RateLimited) as error:
            raise _Dropped(error) from None

    def _forget_key(self) -> bool:
        """Forget a key that was refused; whether asking for another one may help."""
        with _asking:
            _keys.pop(self._owner, None)
        return not self._key_is_new

    @property
    def _owner(self) -> tuple[str, str]:
        return self._settings.base_url, self._settings.credentials[0].id

    _key_is_new = True


def _registrations(
    settings: Settings, codes: tuple[str, ...], kinds: tuple[Kind, ...]
) -> list[tuple[str, str]]:
    wrong = [code for code in codes if not krx.is_stock_code(code)]
    if wrong or not codes or not kinds:
        raise InvalidRequest(
            f"{wrong[0]!r} is no stock code" if wrong else "no stock or kind is given"
        )
    if settings.kis_venue is not Venue.KRX and settings.environment == "virtual":
        raise NotSupported("the virtual server has the feed of KRX alone (KIS_VENUE=krx)")
    wanted = [(TR_IDS[kind, settings.kis_venue], code) for code in codes for kind in kinds]
    if len(wanted) > REGISTRATIONS:
        raise InvalidRequest(
            f"{len(codes)} stocks with {' and '.join(kinds)} are {len(wanted)} registrations, and "
            f"KIS takes {REGISTRATIONS} a session"
        )
    return wanted


def _refuse_what_nxt_lacks(client: Client, codes: tuple[str, ...]) -> None:
    """Refuse stocks that NXT does not trade: its feed and the unified one accept them, silently.

    What it trades changes from day to day. Where that cannot be known, a warning says so.
    """
    try:
        traded = Reference(client).nxt_codes()
    except KISError as error:
        log.warning("not known which stocks NXT trades, and of others no frame comes: %s", error)
        return
    if missing := [code for code in codes if code not in traded]:
        raise InvalidRequest(
            f"NXT does not trade {', '.join(missing)}, of which KIS would send nothing: leave out "
            "what it lacks, or follow KRX (KIS_VENUE=krx)"
        )


def _subscription(key: SecretStr, tr_id: str, code: str) -> str:
    header = {
        "approval_key": key.get_secret_value(),
        "custtype": "P",
        "tr_type": "1",
        "content-type": "utf-8",
    }
    return json.dumps({"header": header, "body": {"input": {"tr_id": tr_id, "tr_key": code}}})
