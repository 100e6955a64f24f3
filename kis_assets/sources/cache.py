"""A cache in front of a source: what was just asked for is not asked for again. No requests here.

A record is given again until its time is up: the time of the settings, and for what moves with the
market no longer than until it next opens or closes. Identical requests in flight are made once,
over all threads and processes. Only while the source is down, or its breaker open, an older record
is given, marked `is_stale` with its age. What the assets store always comes from the source.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any, TypeVar, cast

import msgspec
import polars as pl

from kis_assets import krx
from kis_assets.kis.errors import KISError, ServiceUnavailable
from kis_assets.kis.keyvalue import RedisStore, SqliteStore, Statistics, Store
from kis_assets.kis.shared_redis import Redis
from kis_assets.settings import Settings
from kis_assets.sources import charts
from kis_assets.sources.base import (
    AbstractDataSource,
    ChartData,
    CurrentPrice,
    Fetched,
    OrderBook,
    PriceType,
    Progress,
    StockInfo,
)
from kis_assets.sources.batch import Batch, BatchResult, checked
from kis_assets.venues import Venue, phases

log = logging.getLogger(__name__)

T = TypeVar("T")
V = TypeVar("V")

FINAL = time_of_day(20, 30)
"""When a day's bar is final: after the last trade off hours."""
AUCTION = timedelta(minutes=1)
"""How long after its time the closing auction may end."""
CLAIM = 60.0
"""Seconds for which others wait for who may be dead, beside the time of the requests themselves."""
POLL = 0.02
"""Seconds from one look at another process's request to the next."""
TOLD = 1.0
"""Seconds from one account of hits and misses to the next."""


def namespace(settings: Settings) -> str:
    """What keeps the records of servers, venues and replays apart."""
    origin = f"{settings.source_name}|{settings.base_url}|{settings.kis_replay_at}"
    return f"{settings.environment}-{hashlib.sha256(origin.encode()).hexdigest()[:8]}:"


def open_store(settings: Settings) -> Store:
    """The store of these settings: `cache.sqlite` among the shared files, or Redis."""
    if settings.redis_url is not None:
        return RedisStore(Redis(settings.redis_url), namespace(settings))
    return SqliteStore(settings.state_dir / "cache.sqlite", namespace(settings))


def seconds_to_the_next_change(now: datetime, venue: Venue, *, days: int = 1) -> float:
    """Seconds until the market next opens, closes, or a day's figures are final."""
    changes: list[datetime] = []
    for number in range(days + 1):
        day = now.astimezone(krx.SEOUL).date() + timedelta(days=number)
        for phase in phases(day, venue):
            changes += [phase.opens_at, phase.closes_at, phase.closes_at + AUCTION]
        if changes:
            changes.append(datetime.combine(day, FINAL, krx.SEOUL))
    return min(((at - now).total_seconds() for at in changes if at > now), default=float("inf"))


class Flights:
    """Calls under way in this process: who asks for the same as another gets its result."""

    def __init__(self) -> None:
        self._flying: dict[str, Future[Any]] = {}
        self._lock = threading.Lock()

    def once(self, key: str, call: Callable[[], T]) -> T:
        """The result of `call`, or of the same one that another thread is making."""
        with self._lock:
            flying = self._flying.get(key)
            mine = flying is None
            if flying is None:
                flying = self._flying[key] = Future()
        if not mine:
            return cast("Future[T]", flying).result()
        try:
            result = call()
        except BaseException as error:
            flying.set_exception(error)
            raise
        else:
            flying.set_result(result)
            return result
        finally:
            with self._lock:
                del self._flying[key]


class CachedDataSource(AbstractDataSource):
    """A source with a cache in front; `clock` is the market's time, `monotonic` a machine's."""

    def __init__(
        self,
        source: AbstractDataSource,
        store: Store,
        settings: Settings,
        *,
        clock: Callable[[], datetime] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.source = source
        self.name = source.name
        self.tally = source.tally
        self._store = store
        self._settings = settings
        self._now = clock or settings.now
        self._monotonic = monotonic
        self._sleep = sleep
        self._flights = Flights()
        self._counting = threading.Lock()
        self._counted = [0, 0]
        self._told_at = monotonic()

    # For programs

    def get_current_price(self, stock_code: str, venue: Venue | None = None) -> CurrentPrice:
        """See `AbstractDataSource.get_current_price`."""
        return self._one(
            self._price_key(checked(stock_code), venue),
            CurrentPrice,
            lambda: self.source.get_current_price(stock_code, venue),
            self._settings.kis_cache_ttl_price,
            venue,
        )

    def get_order_book(self, stock_code: str, venue: Venue | None = None) -> OrderBook:
        """See `AbstractDataSource.get_order_book`."""
        return self._one(
            self._book_key(checked(stock_code), venue),
            OrderBook,
            lambda: self.source.get_order_book(stock_code, venue),
            self._settings.kis_cache_ttl_orderbook,
            venue,
        )

    def get_chart_data(
        self,
        stock_code: str,
        period: PriceType = PriceType.DAILY,
        count: int = 100,
        venue: Venue | None = None,
    ) -> list[ChartData]:
        """See `AbstractDataSource.get_chart_data`."""
        return self._one(
            self._chart_key(checked(stock_code), period, count, venue),
            list[ChartData],
            lambda: self.source.get_chart_data(stock_code, period, count, venue),
            self._settings.kis_cache_ttl_chart,
            venue,
        )

    def get_stock_info(self, stock_code: str) -> StockInfo:
        """See `AbstractDataSource.get_stock_info`."""
        return self._one(
            f"stock:{checked(stock_code)}:info",
            StockInfo,
            lambda: self.source.get_stock_info(stock_code),
            self._settings.kis_cache_ttl_stock_info,
        )

    def get_current_prices_batch(
        self,
        stock_codes: Iterable[str],
        max_workers: int | None = None,
        progress_callback: Progress | None = None,
    ) -> BatchResult[CurrentPrice]:
        """See `AbstractDataSource.get_current_prices_batch`; only what is missing is asked for."""
        return self._many(
            Batch[CurrentPrice](stock_codes, "prices", progress_callback),
            self._price_key,
            CurrentPrice,
            lambda codes: self.source.get_current_prices_batch(codes, max_workers),
            self._settings.kis_cache_ttl_price,
        )

    def get_order_books_batch(
        self,
        stock_codes: Iterable[str],
        max_workers: int | None = None,
        progress_callback: Progress | None = None,
    ) -> BatchResult[OrderBook]:
        """See `AbstractDataSource.get_order_books_batch`; only what is missing is asked for."""
        return self._many(
            Batch[OrderBook](stock_codes, "order books", progress_callback),
            self._book_key,
            OrderBook,
            lambda codes: self.source.get_order_books_batch(codes, max_workers),
            self._settings.kis_cache_ttl_orderbook,
        )

    def get_chart_data_batch(
        self,
        stock_codes: Iterable[str],
        period: PriceType = PriceType.DAILY,
        count: int = 100,
        max_workers: int | None = None,
        progress_callback: Progress | None = None,
    ) -> BatchResult[list[ChartData]]:
        """See `AbstractDataSource.get_chart_data_batch`; only what is missing is asked for."""
        return self._many(
            Batch[list[ChartData]](stock_codes, "charts", progress_callback),
            lambda code: self._chart_key(code, period, count),
            list[ChartData],
            lambda codes: self.source.get_chart_data_batch(codes, period, count, max_workers),
            self._settings.kis_cache_ttl_chart,
        )

    # What is known no more

    def invalidate_quotes(self) -> None:
        """Drop all prices and order books, as at the close of the market."""
        with self._without_failing():
            self._store.delete_match("stock:*:price*")
            self._store.delete_match("stock:*:orderbook*")

    def invalidate_chart(self, stock_code: str) -> None:
        """Drop what is known of a stock's bars, as after a corporate action."""
        with self._without_failing():
            self._store.delete_match(f"stock:{checked(stock_code)}:chart:*")

    def statistics(self) -> Statistics:
        """Hits, misses, entries and bytes, of all processes."""
        self._tell()
        return self._store.statistics()

    # For the assets: always from the source

    def stock_master(self, trading_day: date) -> pl.DataFrame:
        """See `AbstractDataSource.stock_master`."""
        return self.source.stock_master(trading_day)

    def price_snapshots(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """See `AbstractDataSource.price_snapshots`; what is fetched fills the cache."""
        fetched = self.source.price_snapshots(stocks, trading_day, captured_at, progress)
        prices = {
            self._price_key(row["stock_code"], None): msgspec.json.encode(_price(row))
            for row in fetched.rows.iter_rows(named=True)
        }
        lasts = self._lasts(
            self._settings.kis_cache_ttl_price, captured_at, self._settings.kis_venue
        )
        with self._without_failing():
            self._store.set(prices, lasts)
        return fetched

    def order_books(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """See `AbstractDataSource.order_books`."""
        return self.source.order_books(stocks, trading_day, captured_at, progress)

    def minute_candles(
        self,
        stock_codes: Collection[str],
        trading_day: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """See `AbstractDataSource.minute_candles`."""
        return self.source.minute_candles(stock_codes, trading_day, progress)

    def daily_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """See `AbstractDataSource.daily_candles`."""
        return self.source.daily_candles(stock_codes, first, last, progress)

    def stock_info(
        self, stocks: pl.DataFrame, month: date, progress: Progress | None = None
    ) -> Fetched:
        """See `AbstractDataSource.stock_info`."""
        return self.source.stock_info(stocks, month, progress)

    def whole_market(self, day: date) -> pl.DataFrame:
        """See `AbstractDataSource.whole_market`."""
        return self.source.whole_market(day)

    def market_days(self, first: date, last: date) -> dict[date, bool]:
        """See `AbstractDataSource.market_days`."""
        return self.source.market_days(first, last)

    def corporate_actions(self, month: date) -> pl.DataFrame:
        """See `AbstractDataSource.corporate_actions`; the charts of those stocks are dropped."""
        actions = self.source.corporate_actions(month)
        for code in actions["stock_code"].unique():
            self.invalidate_chart(code)
        return actions

    def recent_candles(self, stock_codes: Collection[str]) -> Fetched:
        """See `AbstractDataSource.recent_candles`."""
        return self.source.recent_candles(stock_codes)

    def adjusted_candles(self, stock_codes: Collection[str], first: date, last: date) -> Fetched:
        """See `AbstractDataSource.adjusted_candles`."""
        return self.source.adjusted_candles(stock_codes, first, last)

    def keep_daily_candles(
        self, stock_codes: Collection[str], rows: pl.DataFrame, first: date, last: date
    ) -> None:
        """See `AbstractDataSource.keep_daily_candles`."""
        self.source.keep_daily_candles(stock_codes, rows, first, last)

    def history_is_stored(self, first: date, last: date) -> None:
        """See `AbstractDataSource.history_is_stored`."""
        self.source.history_is_stored(first, last)

    def standing(self) -> dict[str, Any]:
        """See `AbstractDataSource.standing`."""
        self._tell()
        return self.source.standing()

    def close(self) -> None:
        """Close the source and the store."""
        self._tell()
        self.source.close()
        self._store.close()

    # How it is done

    def _price_key(self, code: str, venue: Venue | None = None) -> str:
        return f"stock:{code}:price{self._suffix(venue)}"

    def _book_key(self, code: str, venue: Venue | None = None) -> str:
        return f"stock:{code}:orderbook{self._suffix(venue)}"

    def _chart_key(
        self, code: str, period: PriceType, count: int, venue: Venue | None = None
    ) -> str:
        charts.checked(period, count)
        return f"stock:{code}:chart:{period.name.lower()}:{count}{self._suffix(venue)}"

    def _suffix(self, venue: Venue | None) -> str:
        return "" if venue in (None, self._settings.kis_venue) else f":{venue.value}"

    def _one(
        self,
        key: str,
        kind: type[T],
        ask: Callable[[], T],
        ttl: float,
        venue: Venue | None = None,
    ) -> T:
        found = self._get(key, kind)
        if found is not None:
            return found
        return self._flights.once(
            key, lambda: self._fetched(key, kind, ask, ttl, venue or self._settings.kis_venue)
        )

    def _fetched(
        self, key: str, kind: type[T], ask: Callable[[], T], ttl: float, venue: Venue
    ) -> T:
        if ttl <= 0:
            return ask()
        with self._turn([key], self._monotonic() + self._patience(1)):
            found = self._kept(key, kind)  # another one has asked meanwhile
            if found is not None:
                return found
            try:
                asked_at = self._now()
                record = ask()
                lasts = ttl if kind is StockInfo else self._lasts(ttl, asked_at, venue)
                with self._without_failing():
                    self._store.set({key: msgspec.json.encode(record)}, lasts)
                return record
            except ServiceUnavailable as error:
                return self._stale(key, kind, error)

    @contextmanager
    def _turn(self, keys: list[str], until: float) -> Generator[list[str]]:
        """Those of the keys whose records nobody else asks for now, until the block ends.

        Where others ask for all of them it waits, but not beyond `until`: they may be dead.
        """
        owner, mine = uuid.uuid4().hex, list[str]()
        lasts = self._patience(len(keys))
        try:
            with self._without_failing():
                mine = self._store.claim(keys, owner, lasts)
                if not mine:
                    log.info("others are asking for %s and %d more", keys[0], len(keys) - 1)
                while not mine and self._monotonic() < until:
                    self._sleep(POLL)
                    # One tells how far they are: thousands need not be looked at all the time.
                    mine = self._store.claim(keys[:1], owner, lasts)
            yield mine or keys
        finally:
            if mine:
                with self._without_failing():
                    self._store.release(mine, owner)

    def _patience(self, requests: int) -> float:
        """Seconds that so many requests may take."""
        return CLAIM + requests / self._settings.rate_limit

    def _many(
        self,
        batch: Batch[T],
        key_of: Callable[[str], str],
        kind: Any,
        ask: Callable[[list[str]], BatchResult[T]],
        ttl: float,
    ) -> BatchResult[T]:
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
            with self._turn(list(codes), until) as keys:
                left: list[str] = []
                for code in (codes.pop(key) for key in keys):
                    found = self._kept(key_of(code), kind)  # others have asked meanwhile
                    if found is None:
                        left.append(code)
                    else:
                        batch.took(code, found)
                if left:
                    self._ask_many(batch, left, key_of, kind, ask, ttl)
            missing = list(codes.values())
        return batch.result()

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
        lasts = self._lasts(ttl, asked_at, self._settings.kis_venue)
        with self._without_failing():
            self._store.set(
                {
                    key_of(code): msgspec.json.encode(record)
                    for code, record in asked["success"].items()
                },
                lasts,
            )
        for code, record in asked["success"].items():
            batch.took(code, record)
        for code, error in asked["failed"].items():
            try:
                batch.took(code, self._stale(key_of(code), kind, error))
            except KISError:
                batch.refused(code, error)

    def _get(self, key: str, kind: type[T]) -> T | None:
        found = self._kept(key, kind)
        self._count(found is not None)
        if found is not None:
            self.tally.cached(key.split(":")[2])
        return found

    def _kept(self, key: str, kind: type[T]) -> T | None:
        with self._without_failing():
            value = self._store.get(key)
            if value is not None:
                return msgspec.json.decode(value, type=kind)
        return None

    def _stale(self, key: str, kind: type[T], error: KISError) -> T:
        """An older record, marked, where the source is down; else the error."""
        if not error.is_outage:
            raise error
        with self._without_failing():
            old = self._store.get_stale(key)
            if old is not None:
                record = msgspec.json.decode(old.value, type=kind)
                log.warning("%s: %.0f s old, because: %s", key, old.age, error)
                return _marked(record, round(old.age, 1))
        raise error

    def _lasts(self, ttl: float, asked_at: datetime, venue: Venue) -> float:
        """How many seconds from now a record asked for at that moment is good."""
        change = seconds_to_the_next_change(asked_at, venue, days=1 + int(ttl // 86_400))
        # It may have come after the change that it does not know of.
        return min(ttl, change - (self._now() - asked_at).total_seconds())

    def _count(self, is_hit: bool) -> None:
        with self._counting:
            self._counted[0 if is_hit else 1] += 1
            is_time = self._monotonic() - self._told_at >= TOLD
        if is_time:
            self._tell()

    def _tell(self) -> None:
        with self._counting:
            (hits, misses), self._counted = self._counted, [0, 0]
            self._told_at = self._monotonic()
        if hits or misses:
            with self._without_failing():
                self._store.count(hits, misses)

    def _without_failing(self) -> suppress:
        """A cache that fails costs requests, never an answer."""
        return suppress(ServiceUnavailable, msgspec.DecodeError)


def _marked(record: V, age: float) -> V:
    if isinstance(record, list):
        return cast("V", [_marked(item, age) for item in cast("list[Any]", record)])
    return replace(cast("Any", record), is_stale=True, age_seconds=age)


def _price(row: Mapping[str, Any]) -> CurrentPrice:
    """A row of `price_snapshots` as a record."""
    return CurrentPrice(
        stock_code=row["stock_code"],
        stock_name=row["stock_name"],
        current_price=row["price"],
        change_price=row["change"],
        change_rate=row["change_rate"],
        open_price=row["open"],
        high_price=row["high"],
        low_price=row["low"],
        volume=row["volume"],
        trading_value=row["trading_value"],
        market_cap=row["market_cap"],
        timestamp=row["fetched_at"].astimezone(krx.SEOUL).isoformat(timespec="seconds"),
    )
