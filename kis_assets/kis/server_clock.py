"""KIS's own clock, as the `Date` of its newest answer tells it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from kis_assets.settings import Settings
from kis_assets.transport.http import stated_at


class ServerClock:
    """How far KIS's clock is ahead of `Settings.now`; not at all until KIS has answered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The moment it is by KIS's clock; see `at_kis`."""
        return self.at_kis(self._settings.now())

    def at_kis(self, moment: datetime) -> datetime:
        """A moment of `Settings.now` by KIS's clock.

        It is rather too early than too late: by a second, and as long as an answer takes. In a
        replay, whose server does not live in its time, it is the same.
        """
        return moment if self._settings.kis_replay_at else moment + self._ahead

    def see(self, headers: Mapping[str, str]) -> None:
        """Take in what the headers of an answer say."""
        stated = stated_at(headers)
        # No clock is a day off, and what is final is told by this one.
        if stated and abs(ahead := stated - self._settings.now()) < timedelta(days=1):
            self._ahead = ahead
