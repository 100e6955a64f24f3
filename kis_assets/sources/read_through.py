"""A read-through cache of records: reuses them until they expire, and combines requests.

Records that change with the market expire at its next open or close. Identical concurrent requests
are sent once, over all threads and processes. An expired record is returned only while the source
is down, marked `is_stale` with its age.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import msgspec

from kis_assets.errors import KISError, ServiceUnavailable
from kis_assets.exchange import calendar, finality
from kis_assets.exchange.venues import Venue, phases
from kis_assets.settings import Settings
from kis_assets.sources.batch import Batch, BatchResult
from kis_assets.state.cache import Statistics, Store
from kis_assets.transport.single_flight import Flights
from kis_assets.transport.stats import Tally

log = logging.getLogger(__name__)

T = TypeVar("T")
V = TypeVar("V")

AUCTION = timedelta(minutes=1)
"""How long the closing auction may be delayed."""
CLAIM = 60.0
"""Extra seconds, beyond the time of its requests, to wait for a process that may be dead."""
POLL = 0.02
"""Seconds between two checks of another process's request."""
COUNTS_EVERY = 1.0
"""Seconds between two updates of the shared hits and misses."""


def seconds_to_the_next_change(now: datetime, venue: Venue, *, days: int = 1) -> float:
    """Seconds until the market next opens or closes, or KIS corrects a day's figures."""
    changes: list[datetime] = []
    for number in range(days + 1):
        day = now.astimezone(calendar.SEOUL).date() + timedelta(days=number)
        found = phases(day, venue)
        for phase in found:
            changes += [phase.opens_at, phase.closes_at, phase.closes_at + AUCTION]
        if found:
            changes.append(finality.minutes_final_at(day))
            changes.append(datetime.combine(day, finality.CORRECTED_BY, calendar.SEOUL))
    return min(((at - now).total_seconds() for at in changes if at > now), default=float("inf"))


class Records:
    """Records of a source in a store that processes share.

    `clock` is the time of the market, `monotonic` that of the machine. `tally` counts hits. A
    failed store costs requests, never an answer.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        tally: Tally,
        *,
        clock: Callable[[], datetime] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._settings = settings
        self._tally = tally
        self._now = clock or settings.now
        self._monotonic = monotonic
        self._sleep = sleep
        self._flights = Flights()
        self._counting = threading.Lock()
        self._counted = [0, 0]
        self._counted_at = monotonic()

    def one(
        self, key: str, kind: type[T], ask: Callable[[], T], ttl: float, venue: Venue | None = None
    ) -> T:
        """The record of a key, from the cache or by a request.

        Args:
            key: the key of the record.
            kind: the type of the record.
            ask: requests the record.
            ttl: seconds until it expires; 0 requests it every time.
            venue: the market with which it changes, or None.
        """
        found = self._get(key, kind)
        if found is not None:
            return found
        return self._flights.once(key, lambda: self._fetched(key, kind, ask, ttl, venue))

    def many(
        self,
        batch: Batch[T],
        key_of: Callable[[str], str],
        kind: Any,
        ask: Callable[[list[str]], BatchResult[T]],
        ttl: float,
    ) -> BatchResult[T]:
        """The cached records of many stocks, and one request for all others; see `one`."""
        missing: list[str] = []
        for code in batch.codes:
            found = self._get(key_of(code), kind)
            if found is None:
                missing.append(code)
            else:
                batch.took(code, found)
        if ttl <= 0 and missing:
            self._ask_many(batch, missing, key_of, kind, ask, ttl)
            return batch.result()
        until = self._monotonic() + self._patience(len(missing))
        while missing:
            codes = {key_of(code): code for code in missing}
            with self._claimed(list(codes), until) as keys:
                left: list[str] = []
                for code in (codes.pop(key) for key in keys):
                    found = self._kept(
                        key_of(code), kind
                    )  # another process may have fetched it meanwhile
                    if found is None:
                        left.append(code)
                    else:
                        batch.took(code, found)
                if left:
                    self._ask_many(batch, left, key_of, kind, ask, ttl)
            missing = list(codes.values())
        return batch.result()

    def put(
        self, records: Mapping[str, Any], ttl: float, asked_at: datetime, venue: Venue | None
    ) -> None:
        """Store records that were requested at `asked_at`; they expire as in `one`."""
        lasts = ttl if venue is None else self._seconds_to_live(ttl, asked_at, venue)
        encoded = {key: msgspec.json.encode(record) for key, record in records.items()}
        with self._without_failing():
            self._store.set(encoded, lasts)

    def drop(self, *patterns: str) -> None:
        """Delete the records whose keys match a pattern; `*` stands for any text."""
        with self._without_failing():
            for pattern in patterns:
                self._store.delete_match(pattern)

    def statistics(self) -> Statistics:
        """Hits, misses, entries and bytes, of all processes."""
        self.publish_counts()
        return self._store.statistics()

    def publish_counts(self) -> None:
        """Add the hits and misses of this process to the shared counts."""
        with self._counting:
            (hits, misses), self._counted = self._counted, [0, 0]
            self._counted_at = self._monotonic()
        if hits or misses:
            with self._without_failing():
                self._store.count(hits, misses)

    def close(self) -> None:
        """Update the shared counts and close the store."""
        self.publish_counts()
        self._store.close()

    def _fetched(
        self, key: str, kind: type[T], ask: Callable[[], T], ttl: float, venue: Venue | None
    ) -> T:
        if ttl <= 0:
            return ask()
        with self._claimed([key], self._monotonic() + self._patience(1)):
            found = self._kept(key, kind)  # another caller may have fetched it meanwhile
            if found is not None:
                return found
            try:
                asked_at = self._now()
                record = ask()
                self.put({key: record}, ttl, asked_at, venue)
                return record
            except ServiceUnavailable as error:
                return self._stale(key, kind, error)

    def _ask_many(
        self,
        batch: Batch[T],
        codes: list[str],
        key_of: Callable[[str], str],
        kind: Any,
        ask: Callable[[list[str]], BatchResult[T]],
        ttl: float,
    ) -> None:
        asked_at = self._now()
        asked = ask(codes)
        kept = {key_of(code): record for code, record in asked["success"].items()}
        self.put(kept, ttl, asked_at, self._settings.kis_venue)
        for code, record in asked["success"].items():
            batch.took(code, record)
        for code, error in asked["failed"].items():
            try:
                batch.took(code, self._stale(key_of(code), kind, error))
            except KISError:
                batch.refused(code, error)

    @contextmanager
    def _claimed(self, keys: list[str], until: float) -> Generator[list[str]]:
        """Claim keys until the block ends; yield those that no other process requests.

        If others request all of them, wait until `until` at most, because they may be dead.
        """
        owner, mine = uuid.uuid4().hex, list[str]()
        lasts = self._patience(len(keys))
        try:
            with self._without_failing():
                mine = self._store.claim(keys, owner, lasts)
                if not mine:
                    log.info("others are requesting %s and %d more", keys[0], len(keys) - 1)
                while not mine and self._monotonic() < until:
                    self._sleep(POLL)
                    # One key shows their progress: polling thousands would be expensive.
                    mine = self._store.claim(keys[:1], owner, lasts)
            yield mine or keys
        finally:
            if mine:
                with self._without_failing():
                    self._store.release(mine, owner)

    def _patience(self, requests: int) -> float:
        """Seconds that this number of requests may take."""
        return CLAIM + requests / self._settings.rate_limit

    def _get(self, key: str, kind: type[T]) -> T | None:
        found = self._kept(key, kind)
        self._count(found is not None)
        if found is not None:
            self._tally.cached(key.split(":")[2])
        return found

    def _kept(self, key: str, kind: type[T]) -> T | None:
        with self._without_failing():
            value = self._store.get(key)
            if value is not None:
                return msgspec.json.decode(value, type=kind)
        return None

    def _stale(self, key: str, kind: type[T], error: KISError) -> T:
        """An expired record, marked, if the source is down; else raises the error."""
        if not error.is_outage:
            raise error
        with self._without_failing():
            old = self._store.get_stale(key)
            if old is not None:
                record = msgspec.json.decode(old.value, type=kind)
                log.warning("%s: %.0f s old, because: %s", key, old.age, error)
                return _marked(record, round(old.age, 1))
        raise error

    def _seconds_to_live(self, ttl: float, asked_at: datetime, venue: Venue) -> float:
        """Seconds from now until a record requested at `asked_at` expires."""
        change = seconds_to_the_next_change(asked_at, venue, days=1 + int(ttl // 86_400))
        # The answer may arrive after a change that it does not include.
        return min(ttl, change - (self._now() - asked_at).total_seconds())

    def _count(self, is_hit: bool) -> None:
        with self._counting:
            self._counted[0 if is_hit else 1] += 1
            is_time = self._monotonic() - self._counted_at >= COUNTS_EVERY
        if is_time:
            self.publish_counts()

    def _without_failing(self) -> suppress:
        return suppress(ServiceUnavailable, msgspec.DecodeError)


def _marked(record: V, age: float) -> V:
    if isinstance(record, list):
        return cast("V", [_marked(item, age) for item in cast("list[Any]", record)])
    return replace(cast("Any", record), is_stale=True, age_seconds=age)
