"""Records a watch list: writes the feed of all keys into the journal of the day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import datetime, timedelta

from kis_assets.errors import InvalidRequest
from kis_assets.exchange import calendar
from kis_assets.kis.feed import Feed
from kis_assets.kis.stream_records import Kind, RealTime, Trade
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings
from kis_assets.tables import ORDER_BOOK_TICKS, STREAM_GAPS, TRADES
from kis_assets.ticks.recorder import Recorder

STAYS = timedelta(minutes=5)
"""How long recording goes on after the last trade of a day."""


class Following:
    """Records trades of some stocks, and optionally order books, to the disk within a second.

    Args:
        settings: the server and the credentials.
        lake: the lake that stores the records.
        codes: stock codes; see `Feed`.
        with_books: whether to follow order books too: then a key takes 20 stocks, else 41.
        clock: returns the present instant, which defines the day.
        listener: called with each record, from several threads.

    Raises:
        InvalidRequest: as of `Feed`; or there is no session on the day.
        LakeError: another process records this day.
    """

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        codes: Iterable[str],
        *,
        with_books: bool = True,
        clock: Callable[[], datetime] = calendar.now,
        listener: Callable[[RealTime], object] = lambda _: None,
    ) -> None:
        self.day = clock().astimezone(calendar.SEOUL).date()
        if calendar.session(self.day) is None:
            raise InvalidRequest(f"{self.day} is not a trading day of KRX: nothing can be recorded")
        self.codes = list(dict.fromkeys(codes))
        self.last: dict[str, Trade] = {}
        """The newest trade of each stock."""
        self.records: Counter[str] = Counter()
        """How many records of each stock came."""
        self._listener = listener
        kinds: tuple[Kind, ...] = ("trade", "book") if with_books else ("trade",)
        with ExitStack() as held:
            held.enter_context(lake.recording(self.day))
            self.recorder = Recorder(lake, self.day, clock)
            self.recorder.follow(self.codes)
            self.recorder.commit()  # if no session opens, the day has gaps, not no rows
            self.feed = Feed(
                settings,
                self.codes,
                kinds,
                self._take,
                on_open=self.recorder.opened,
                on_lost=self.recorder.broke,
                clock=clock,
            )
            held.callback(self.recorder.close)
            held.callback(self.feed.close)
            self._held = held.pop_all()
        self.recorder.start()

    def _take(self, record: RealTime) -> None:
        self.recorder.take(record)
        if isinstance(record, Trade):
            self.last[record.stock_code] = record
        self.records[getattr(record, "stock_code", "")] += 1
        self._listener(record)

    def change(self, codes: Iterable[str]) -> None:
        """Follow these stocks from now on; those that stay lose no record. See `Feed.change`."""
        wanted = list(dict.fromkeys(codes))
        self.feed.plan(wanted)
        # Add new stocks before their first record; drop others after their last.
        self.recorder.follow([*self.codes, *wanted])
        try:
            self.feed.change(wanted)
        finally:
            self.codes = self.feed.codes
            self.recorder.follow(self.codes)

    @property
    def stored(self) -> dict[str, int]:
        """How many rows the day has in each table so far."""
        return {
            table.name: self.recorder.counts[table]
            for table in (TRADES, ORDER_BOOK_TICKS, STREAM_GAPS)
        }

    def wait(self, seconds: float | None = None) -> bool:
        """See `Feed.wait`."""
        return self.feed.wait(seconds)

    def close(self) -> None:
        """End recording; all received records are on the disk then."""
        self._held.close()

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
