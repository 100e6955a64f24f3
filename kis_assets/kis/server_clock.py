"""KIS's own clock, from the `Date` header of its newest answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from kis_assets.settings import Settings
from kis_assets.transport.http import stated_at


class ServerClock:
    """The offset of KIS's clock from `Settings.now`; 0 until KIS has answered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The present moment by KIS's clock; see `at_kis`."""
        return self.at_kis(self._settings.now())

    def at_kis(self, moment: datetime) -> datetime:
        """Converts a moment of `Settings.now` to KIS's clock.

        The result may be early by a second plus the time of an answer, but not late. In a replay,
        whose server runs at another time, the moment is unchanged.
        """
        return moment if self._settings.kis_replay_at else moment + self._ahead

    def see(self, headers: Mapping[str, str]) -> None:
        """Update the offset from the headers of an answer."""
        stated = stated_at(headers)
        # An offset of a day is an error, and this clock decides which rows are final.
        if stated and abs(ahead := stated - self._settings.now()) < timedelta(days=1):
            self._ahead = ahead
