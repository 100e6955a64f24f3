"""Records of a watch list over all app keys: KIS allows each one session of 41 registrations."""

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
    """The real-time records of some stocks, each key with its share of them, in a thread each.

    Args:
        settings: which server, whose credentials.
        codes: stock codes.
        kinds: what is registered of each; see `Stream`.
        take: told each record, by several threads.
        on_open: told the codes whose session is open, and since when; each time anew.
        on_lost: told the codes whose session broke off, and when its last word came.
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
        """How often sessions were opened anew."""
        return sum(it.reconnects for it in self._streams if it)

    @property
    def discarded(self) -> int:
        """Frames that could not be read, and were left out."""
        return sum(it.discarded for it in self._streams if it)

    def plan(self, codes: Iterable[str]) -> list[list[str]]:
        """Which key would follow which of these stocks; one that stays keeps its session.

        Raises:
            InvalidRequest: a code is none, or they are more than all keys take.
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
        """Follow these stocks from now on. One that stays keeps its session, and loses no record.

        Raises:
            InvalidRequest: see `plan`; nothing changes.
            KISError: a key could not be asked; `codes` says what is followed.
        """
        for number, share in enumerate(self.plan(codes)):
            stream = self._streams[number]
            if stream is None and share:
                self._shares[number] = share
                self._open(number)
            elif stream is not None and not share:
                self._streams[number] = None  # else what it had would come twice, by another key
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
            except BaseException as error:  # told by `wait`, whatever it is
                log.error("the session of app key %d ended: %s", number + 1, error)
                self._on_lost(list(self._shares[number]), (self._clock or calendar.now)())
                self._failures[number] = error
            else:
                if self._streams[number] is stream:  # else it was given up: see `change`
                    self._ended.set()
            # The other keys go on.
            if self._failures and len(self._failures) == sum(map(bool, self._streams)):
                self._ended.set()

        thread = threading.Thread(
            target=listen, name=f"real-time session {number + 1}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is closed or every key has failed; False when the time is up before.

        Raises:
            KISError: the sessions failed for good; see `Stream`.
        """
        ended = self._ended.wait(seconds)
        if ended and self._failures:
            self.close()
            raise next(iter(self._failures.values()))
        return ended

    def retry(self) -> None:
        """Open the sessions again that ended for good, as when another program held the key."""
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
