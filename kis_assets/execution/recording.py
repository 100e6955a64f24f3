"""The service that records the feed: it starts before each session and then stores the day."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time as wall
from collections.abc import Callable
from datetime import datetime, time

from kis_assets.errors import KISError
from kis_assets.exchange import calendar
from kis_assets.execution import runner
from kis_assets.execution.dagster_home import in_process
from kis_assets.execution.runner import Outcome
from kis_assets.lake.closed_days import closed_by_kis
from kis_assets.lake.lake import Lake, LakeError
from kis_assets.settings import Settings
from kis_assets.ticks.compaction import RECORDED
from kis_assets.ticks.following import STAYS, Following
from kis_assets.ticks.journal import days

log = logging.getLogger(__name__)

OPENS_AT = time(7, 50)
"""When recording starts: NXT opens at 08:00."""
RELISTED_AT = time(12, 0)
"""When the watch list is updated."""
_LOOK = 5.0
"""Seconds between two checks of the clock."""
_TRY_AGAIN = 60.0
"""Seconds until the retry after a permanent failure, such as a session held by another program."""


class Recording:
    """Records day after day until `stop` is called.

    Args:
        settings: the server and the credentials.
        lake: where the days are recorded and stored.
        watch_list: returns the stocks to follow; called at the start of a day and at noon.
        with_books: whether to follow order books too.
        clock: returns the current time.
        look: real seconds between two checks of the clock.
    """

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        watch_list: Callable[[], list[str]],
        *,
        with_books: bool = True,
        clock: Callable[[], datetime] = calendar.now,
        look: float = _LOOK,
    ) -> None:
        self.settings, self.lake, self._watch_list = settings, lake, watch_list
        self._with_books, self._clock, self._look = with_books, clock, look
        self.following: Following | None = None
        self._stopping = threading.Event()
        self._retry_at = 0.0

    def stop(self) -> None:
        """End the recording, from any thread or signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Record every session from now on; returns when it is stopped."""
        while not self._stopping.is_set():
            self._store_what_is_left()
            session = self._next()
            opens = datetime.combine(session.day, OPENS_AT, calendar.SEOUL)
            if self._clock() < opens:
                log.info("the next session is on %s: waiting until %s", session.day, OPENS_AT)
            while self._clock() < opens and not self._stopping.wait(self._look):
                pass
            if self._stopping.is_set():
                return
            self._record(session)

    def _store_what_is_left(self) -> None:
        """Store recorded days that are over but not stored yet: today's, or earlier ones."""
        for day in days(self.lake.folder):
            session = calendar.session(day)
            is_over = session is not None and self._clock() >= session.over_at
            units = [self.lake.units(table) for table in RECORDED]
            if session and is_over and not all(f"trading_day={day}" in it for it in units):
                self.store(session)

    def _next(self) -> calendar.Session:
        """Today's session while it lasts, or else the next one that KIS did not call off."""
        now = self._clock().astimezone(calendar.SEOUL)
        session = calendar.session(now.date())
        day = now.date()
        while session is None or now >= session.over_at + STAYS or self._is_off(session):
            day = calendar.next_trading_day(day)
            session = calendar.session(day)
        return session

    def _is_off(self, session: calendar.Session) -> bool:
        return session.day in closed_by_kis(self.lake, session.day, session.day)

    def _record(self, session: calendar.Session) -> None:
        until = session.over_at + STAYS
        noon = datetime.combine(session.day, RELISTED_AT, calendar.SEOUL)
        is_new = self._clock() >= noon
        while self._clock() < until and not self._stopping.is_set():
            try:
                with Following(
                    self.settings,
                    self.lake,
                    self._watch_list(),
                    with_books=self._with_books,
                    clock=self._clock,
                ) as self.following:
                    log.info("recording %s stocks", len(self.following.codes))
                    while self._clock() < until and not self._stopping.is_set():
                        if self.following.wait(self._look):
                            return
                        self._retry(self.following)
                        if not is_new and self._clock() >= noon:
                            is_new = True
                            self._list_again(self.following)
            except (KISError, LakeError, OSError, sqlite3.Error) as error:
                log.error("%s; trying again in %.0f s", error, _TRY_AGAIN)
                self._stopping.wait(_TRY_AGAIN)

    def _retry(self, following: Following) -> None:
        """Reopen sessions that failed permanently, such as one whose key another program used."""
        if following.feed.failed and wall.monotonic() >= self._retry_at:
            self._retry_at = wall.monotonic() + _TRY_AGAIN
            following.feed.retry()

    def _list_again(self, following: Following) -> None:
        try:
            following.change(self._watch_list())
        except (KISError, LakeError) as error:
            log.warning("the watch list stays as it is: %s", error)

    def store(self, session: calendar.Session) -> list[Outcome]:
        """Store and check a recorded day, by Dagster runs in this process."""
        names = [table.name for table in RECORDED]
        with in_process(runner.home(self.settings)) as instance:
            outcomes = runner.run_day(session.day, instance, self.settings, names)
        for it in outcomes:
            if it.error:
                log.error("%s of %s: %s", it.table, it.partition, it.error)
            else:
                log.info("%s of %s is stored", it.table, it.partition)
        return outcomes
