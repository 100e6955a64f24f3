"""Writes records of the real-time feed into the journal of the day: once, in order, with gaps.

A trade states the shares traded so far on the day. Therefore the missing volume between two
received trades is known exactly, even if the connection broke.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from kis_assets.exchange import calendar
from kis_assets.kis.stream_records import BookUpdate, RealTime, Trade
from kis_assets.lake.lake import Lake
from kis_assets.tables import LEVELS, ORDER_BOOK_TICKS, STREAM_GAPS, TRADES, Table
from kis_assets.ticks.compaction import RECORDED, show
from kis_assets.ticks.journal import Journal, Row, instant, microseconds

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two commits: a killed process loses at most the records of this time."""
PARTS_EVERY = 60
"""How many commits lie between two files that the views read."""
_LAST_TRIES = 60
"""How often the last commit of a recording is tried: the disk may get free space meanwhile."""
_REMEMBERED = 500
"""How many records of a stock are remembered, to detect those that are sent twice."""
_RESENT = 120
"""How many earlier batches a new process reads to remember their records."""
_LEVEL_COLUMNS = [
    f"{side}_{what}_{n}"
    for side in ("ask", "bid")
    for what in ("price", "volume")
    for n in range(1, LEVELS + 1)
]


@dataclass
class _Gap:
    """A time in which a stock was not followed; the first trade after it ends it."""

    since: int
    until: int | None
    reason: str
    is_over: bool = False
    """Whether the stock is followed again."""


@dataclass
class _Followed:
    """The state of a followed stock."""

    volume: int = 0
    traded_at: int | None = None
    gap: _Gap | None = None
    trades: deque[Any] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    books: deque[Any] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    is_after_break: bool = False
    """Whether to compare order books with earlier ones: KIS may send some again."""


class Recorder:
    """The records of one day. Thread-safe. Call `commit` every second, or `start` a thread for it.

    Args:
        lake: where the day is recorded.
        day: the trading day; records of other days are dropped and counted.
        now: returns the present instant.

    Raises:
        sqlite3.Error: from every method that commits, if the disk is full or fails.
    """

    def __init__(self, lake: Lake, day: date, now: Callable[[], datetime] = calendar.now) -> None:
        self.day, self.lake, self._now = day, lake, now
        self.duplicates = self.strays = 0
        self._lock = threading.Lock()
        self._committing = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._stocks: dict[str, _Followed] = {}
        self._followed: set[str] = set()
        self._rows: dict[Table, list[Row]] = {table: [] for table in RECORDED}
        parts = {table: lake.live_parts(table, day) for table in RECORDED}
        self._journal = Journal(lake.folder, day, writes=True)
        is_new = self._journal.begin_after(max(it.last() for it in parts.values()))
        self._commits = 0
        self._stopped_at: int | None = None
        self.counts = {table: self._journal.count(table) for table in RECORDED}
        if is_new:  # if the journal of the day was lost, the files for the views stay
            self.counts = {table: parts[table].rows() for table in RECORDED}
        self._remember(self._journal.state())
        show(lake, self._journal)
        lake.publish(only_if_stale=True)

    def _remember(self, state: dict[str, Any]) -> None:
        """Continue from the state that an earlier process left."""
        for code, (volume, traded_at, gap, trade, book) in state.get("stocks", {}).items():
            stock = self._stocks[code] = _Followed(volume, traded_at)
            stock.gap = _Gap(*gap) if gap else None
            # Compare without a time limit: a server may begin with old books.
            stock.trades.extend([tuple(trade)] if trade else ())
            stock.books.extend([book] if book else ())
        self._stopped_at = state.get("alive_at")
        was_followed = set(state.get("followed", ()))
        if self._stopped_at is not None:
            for code in was_followed:
                stock = self._stocks.setdefault(code, _Followed())
                stock.gap = stock.gap or _Gap(self._stopped_at, None, "stopped")
        for _, rows in self._journal.frames(TRADES, self.lake.source, newest=_RESENT):
            for row in rows.iter_rows(named=True):
                stock = self._stocks.setdefault(row["stock_code"], _Followed())
                stock.trades.append(_trade_key(row))
        for _, rows in self._journal.frames(ORDER_BOOK_TICKS, self.lake.source, newest=_RESENT):
            for row in rows.iter_rows(named=True):
                stock = self._stocks.setdefault(row["stock_code"], _Followed())
                stock.books.append(_book_key(row))

    def follow(self, codes: Collection[str]) -> None:
        """Follow only these stocks from now on; missed trades are noted as gaps."""
        now = microseconds(self._now())
        session = calendar.session(self.day)
        opened = now if session is None else microseconds(session.opens_at)
        with self._lock:
            for code in set(codes) - self._followed:
                stock = self._stocks.get(code)
                if stock is None:  # following starts when its session is open: see `opened`
                    stock = self._stocks[code] = _Followed(gap=_Gap(opened, None, "late_start"))
                stock.is_after_break = True
            for code in self._followed - set(codes):
                stock = self._stocks[code]
                stock.gap = stock.gap or _Gap(now, None, "left_out")
            self._followed = set(codes)

    def broke(self, codes: Iterable[str], at: datetime) -> None:
        """Note that the connection of these stocks broke; `at` is when it last worked."""
        with self._lock:
            for code in self._followed.intersection(codes):
                stock = self._stocks[code]
                stock.gap = stock.gap or _Gap(microseconds(at), None, "disconnected")
                stock.gap.is_over = False

    def opened(self, codes: Iterable[str], at: datetime) -> None:
        """Note that these stocks are followed since `at`."""
        with self._lock:
            for code in self._followed.intersection(codes):
                stock = self._stocks[code]
                stock.is_after_break = True
                gap = stock.gap
                if gap is not None and not gap.is_over:
                    gap.until, gap.is_over = microseconds(at), True
                    if gap.reason == "late_start" and gap.until <= gap.since:
                        stock.gap = None  # there was no trade yet

    def take(self, record: RealTime) -> None:
        """Keep a trade or a book until the next commit; drop duplicates."""
        if isinstance(record, Trade):
            self._take_trade(record)
        elif isinstance(record, BookUpdate):
            self._take_book(record)

    def _take_trade(self, trade: Trade) -> None:
        # A price of zero fails the checks of the table, which would then refuse the whole day.
        if trade.traded_at.astimezone(calendar.SEOUL).date() != self.day or trade.price < 1:
            self.strays += 1
            return
        at, received = microseconds(trade.traded_at), microseconds(trade.received_at)
        key = (at, trade.price, trade.quantity, trade.volume)
        with self._lock:
            stock = self._stocks.get(trade.stock_code)
            if stock is None or trade.stock_code not in self._followed:
                return  # it was unfollowed a moment ago
            if trade.volume <= stock.volume and key in stock.trades:
                self.duplicates += 1
                return
            stock.trades.append(key)
            self._note(trade, stock, at)
            stock.traded_at = at
            # A late trade is older than the known volume; a first trade starts a new count.
            is_first = trade.volume == trade.quantity
            stock.volume = trade.volume if is_first else max(stock.volume, trade.volume)
            self._add(
                TRADES,
                trade.stock_code,
                *(at, trade.session, trade.price, trade.quantity, trade.side, trade.volume),
                *(trade.trading_value, trade.change, trade.best_ask, trade.best_bid),
                *(trade.is_halted, received),
            )

    def _note(self, trade: Trade, stock: _Followed, at: int) -> None:
        """Note the volume missed before a trade, from the shares traded so far."""
        missing = trade.volume - trade.quantity - stock.volume
        gap, stock.gap = stock.gap, None
        if gap is None and missing > 0:
            gap = _Gap(at if stock.traded_at is None else stock.traded_at, at, "unexplained")
        if gap is not None and (missing > 0 or gap.reason != "late_start"):
            self._add_gap(trade.stock_code, gap, max(0, missing))

    def _take_book(self, book: BookUpdate) -> None:
        if book.booked_at.astimezone(calendar.SEOUL).date() != self.day:
            self.strays += 1
            return
        at, received = microseconds(book.booked_at), microseconds(book.received_at)
        levels: list[int | None] = []
        for side in (book.asks, book.bids):
            blank = [None] * (LEVELS - len(side))
            levels += [level.price for level in side] + blank
            levels += [level.volume for level in side] + blank
        totals = book.total_ask_volume, book.total_bid_volume
        key = _hashed(at, levels, (*totals, book.expected_price, book.expected_volume))
        with self._lock:
            stock = self._stocks.get(book.stock_code)
            if stock is None or book.stock_code not in self._followed:
                return
            if stock.is_after_break and key in stock.books:
                self.duplicates += 1
                return
            # After the first new book, a server repeats no old ones.
            stock.is_after_break = False
            stock.books.append(key)
            self._add(
                ORDER_BOOK_TICKS,
                book.stock_code,
                *(at, book.session, *levels, *totals),
                *(book.expected_price, book.expected_volume, received),
            )

    def _add(self, table: Table, code: str, *values: Any) -> None:
        self.counts[table] += 1
        self._rows[table].append((code, self.counts[table], *values))

    def _add_gap(self, code: str, gap: _Gap, missing: int) -> None:
        now = microseconds(self._now())
        self._add(STREAM_GAPS, code, gap.since, gap.until, missing, gap.reason, now)
        log.info("%s: %s from %s", code, gap.reason, instant(gap.since))

    def commit(self) -> None:
        """Write all kept records to the disk."""
        with self._committing:
            with self._lock:
                rows, self._rows = self._rows, {table: [] for table in RECORDED}
                state = self._state()
            try:
                self._journal.add(rows, state)
            except BaseException:
                with self._lock:  # keep them for the next commit
                    for table, several in rows.items():
                        self._rows[table][:0] = several
                raise
            self._commits += 1
            if self._commits % PARTS_EVERY == 0:
                show(self.lake, self._journal)

    def _state(self) -> dict[str, Any]:
        stocks = {
            code: (
                stock.volume,
                stock.traded_at,
                stock.gap and (stock.gap.since, stock.gap.until, stock.gap.reason),
                stock.trades[-1] if stock.trades else None,
                stock.books[-1] if stock.books else None,
            )
            for code, stock in self._stocks.items()
        }
        alive_at = microseconds(self._now())
        return {"alive_at": alive_at, "stocks": stocks, "followed": sorted(self._followed)}

    def start(self) -> None:
        """Commit every second in a thread, until `close`; failures are logged and retried."""
        self._thread = threading.Thread(target=self._run, name="tick commits", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        failing = False
        while not self._ended.wait(EVERY):
            try:
                self.commit()
            except Exception as error:
                if not failing:
                    log.exception("ticks cannot be stored now and are kept meanwhile: %s", error)
                failing = True
            else:
                failing = False

    def close(self) -> None:
        """End the thread and commit. A later recording notes the time between as a gap."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        for left in reversed(range(_LAST_TRIES)):
            try:
                self.commit()
                break
            except sqlite3.Error as error:
                lost = sum(map(len, self._rows.values()))
                log.error("%d rows of %s are not on the disk: %s", lost, self.day, error)
                if not left:
                    raise
                time.sleep(EVERY)
        show(self.lake, self._journal)


def _trade_key(row: dict[str, Any]) -> tuple[int, int, int, int]:
    return microseconds(row["traded_at"]), row["price"], row["quantity"], row["volume"]


def _book_key(row: dict[str, Any]) -> int:
    levels = [row[name] for name in _LEVEL_COLUMNS]
    rest = ("total_ask_volume", "total_bid_volume", "expected_price", "expected_volume")
    return _hashed(microseconds(row["booked_at"]), levels, [row[name] for name in rest])


def _hashed(at: int, levels: Iterable[int | None], rest: Iterable[int | None]) -> int:
    # Only whole numbers: their hash is the same in every process.
    return hash((at, *(value or 0 for value in (*levels, *rest))))
