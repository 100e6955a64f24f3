"""Records of a watch list over all app keys: KIS allows one session of 41 registrations per key."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from kis_assets.errors import InvalidRequest
from kis_assets.exchange import calendar
from kis_assets.kis.stream import Stream
from kis_assets.kis.stream_records import Kind, RealTime
from kis_assets.kis.stream_registrations import REGISTRATIONS
from kis_assets.settings import Settings

log = logging.getLogger(__name__)


class Feed:
    """The real-time records of some stocks, divided among the keys; each key has a thread.

    Args:
        settings: the server and the credentials.
        codes: stock codes.
        kinds: the kinds of records for each stock; see `Stream`.
        take: called with each record, from several threads.
        on_open: called with the codes of a session and the time, each time it opens.
        on_lost: called with the codes of a broken session and the time of its last message.
        clock: see `Stream`.

    Raises:
        InvalidRequest: as of `Stream`; or the codes are more than all keys take.
    """

    def __init__(
        self,
        settings: Settings,
        codes: Iterable[str],
        kinds: Sequence[Kind],
        take: Callable[[RealTime], object],
        *,
        on_open: Callable[[list[str], datetime], object] = lambda _codes, _at: None,
        on_lost: Callable[[list[str], datetime], object] = lambda _codes, _at: None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._settings, self._kinds, self._take, self._clock = settings, tuple(kinds), take, clock
        self._on_open, self._on_lost = on_open, on_lost
        self._each = REGISTRATIONS // max(1, len(self._kinds))
        self._keys = [
            settings.model_copy(update={"kis_app_key": it.app_key, "kis_app_secret": it.app_secret})
            for it in settings.credentials
        ] or [settings]
        self._shares: list[list[str]] = [[] for _ in self._keys]
        self._streams: list[Stream | None] = [None] * len(self._keys)
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self._failures: dict[int, BaseException] = {}
        try:
            self.change(codes)
        except BaseException:
            self.close()
            raise

    @property
    def capacity(self) -> int:
        """How many stocks all keys take together."""
        return self._each * len(self._keys)

    @property
    def codes(self) -> list[str]:
        """The stocks that are followed."""
        return [code for share in self._shares for code in share]

    @property
    def failed(self) -> dict[int, BaseException]:
        """The keys, by their number, whose session ended for good, and why; see `retry`."""
        return dict(self._failures)

    @property
    def reconnects(self) -> int:
        """How often sessions were reopened."""
        return sum(it.reconnects for it in self._streams if it)

    @property
    def discarded(self) -> int:
        """How many frames were dropped because they could not be read."""
        return sum(it.discarded for it in self._streams if it)

    def plan(self, codes: Iterable[str]) -> list[list[str]]:
        """Which key would follow which of these stocks; a stock that stays keeps its session.

        Raises:
            InvalidRequest: a code is invalid, or there are more codes than all keys take.
        """
        wanted = list(dict.fromkeys(codes))
        if len(wanted) > self.capacity:
            raise InvalidRequest(
                f"{len(wanted)} stocks are more than the {self.capacity} that {len(self._keys)} "
                f"app key{'s' * (len(self._keys) != 1)} can follow with {len(self._kinds)} "
                f"registration{'s' * (len(self._kinds) != 1)} each"
            )
        shares = [[code for code in share if code in wanted] for share in self._shares]
        for code in wanted:
            if not any(code in share for share in shares):
                min(shares, key=len).append(code)
        for stream, share in zip(self._streams, shares, strict=True):
            if stream is not None and share:
                stream.check(share)
        return shares

    def change(self, codes: Iterable[str]) -> None:
        """Follow these stocks from now on. Those that stay keep their session and lose no record.

        Raises:
            InvalidRequest: see `plan`; nothing changes.
            KISError: a request of a key failed; `codes` has the followed stocks.
        """
        for number, share in enumerate(self.plan(codes)):
            stream = self._streams[number]
            if stream is None and share:
                self._shares[number] = share
                self._open(number)
            elif stream is not None and not share:
                self._streams[number] = None  # else its records come twice, by another key
                stream.close()
            elif stream is not None and share != self._shares[number]:
                stream.change(share)
            self._shares[number] = share

    def _open(self, number: int) -> None:
        stream = Stream(
            self._keys[number],
            self._shares[number],
            self._kinds,
            clock=self._clock,
            on_open=lambda at: self._on_open(list(self._shares[number]), at),
            on_lost=lambda at: self._on_lost(list(self._shares[number]), at),
        )
        self._streams[number] = stream

        def listen() -> None:
            try:
                for record in stream:
                    self._take(record)
            except BaseException as error:  # `wait` raises it
                log.error("the session of app key %d ended: %s", number + 1, error)
                self._on_lost(list(self._shares[number]), (self._clock or calendar.now)())
                self._failures[number] = error
            else:
                if self._streams[number] is stream:  # else `change` has replaced it
                    self._ended.set()
            # The other keys continue.
            if self._failures and len(self._failures) == sum(map(bool, self._streams)):
                self._ended.set()

        thread = threading.Thread(
            target=listen, name=f"real-time session {number + 1}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the feed is closed or every key has failed; False after a timeout.

        Raises:
            KISError: the sessions failed for good; see `Stream`.
        """
        ended = self._ended.wait(seconds)
        if ended and self._failures:
            self.close()
            raise next(iter(self._failures.values()))
        return ended

    def retry(self) -> None:
        """Reopen sessions that ended for good, for example because another program held the key."""
        for number, error in list(self._failures.items()):
            if (ended := self._streams[number]) is not None:
                ended.close()
            del self._failures[number]
            try:
                self._open(number)
            except BaseException:
                self._failures[number] = error
                raise

    def close(self) -> None:
        """End all sessions."""
        self._ended.set()
        for stream in self._streams:
            if stream is not None:
                stream.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5)

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
