"""A cache in front of a source: what was just asked for is not asked for again. No requests here.

How records are kept, and asked for once at a time, stands in `records`. What the assets store
always comes from the source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Any

import polars as pl

from kis_assets.exchange import calendar
from kis_assets.exchange.venues import Venue
from kis_assets.settings import Settings
from kis_assets.sources import chart_data
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
from kis_assets.sources.read_through import Records
from kis_assets.state.cache import RedisStore, SqliteStore, Statistics, Store
from kis_assets.state.redis import Redis


def namespace(settings: Settings) -> str:
    """What keeps the records of servers, venues and replays apart."""
    origin = f"{settings.source_name}|{settings.base_url}|{settings.kis_replay_at}"
    return f"{settings.environment}-{hashlib.sha256(origin.encode()).hexdigest()[:8]}:"


def open_store(settings: Settings) -> Store:
    """The store of these settings: `cache.sqlite` among the shared files, or Redis."""
    if settings.redis_url is not None:
        return RedisStore(Redis(settings.redis_url), namespace(settings))
    return SqliteStore(settings.state_dir / "cache.sqlite", namespace(settings))


class CachedDataSource(AbstractDataSource):
    """A source with a cache in front; `clocks` are those of `Records`, for tests."""

    def __init__(
        self, source: AbstractDataSource, store: Store, settings: Settings, **clocks: Any
    ) -> None:
        self.source = source
        self.name = source.name
        self.tally = source.tally
        self._settings = settings
        self._records = Records(store, settings, source.tally, **clocks)

    # For programs

    def get_current_price(self, stock_code: str, venue: Venue | None = None) -> CurrentPrice:
        """See `AbstractDataSource.get_current_price`."""
        return self._records.one(
            self._price_key(checked(stock_code), venue),
            CurrentPrice,
            lambda: self.source.get_current_price(stock_code, venue),
            self._settings.kis_cache_ttl_price,
            venue or self._settings.kis_venue,
        )

    def get_order_book(self, stock_code: str, venue: Venue | None = None) -> OrderBook:
        """See `AbstractDataSource.get_order_book`."""
        return self._records.one(
            self._book_key(checked(stock_code), venue),
            OrderBook,
            lambda: self.source.get_order_book(stock_code, venue),
            self._settings.kis_cache_ttl_orderbook,
            venue or self._settings.kis_venue,
        )

    def get_chart_data(
        self,
        stock_code: str,
        period: PriceType = PriceType.DAILY,
        count: int = 100,
        venue: Venue | None = None,
    ) -> list[ChartData]:
        """See `AbstractDataSource.get_chart_data`."""
        return self._records.one(
            self._chart_key(checked(stock_code), period, count, venue),
            list[ChartData],
            lambda: self.source.get_chart_data(stock_code, period, count, venue),
            self._settings.kis_cache_ttl_chart,
            venue or self._settings.kis_venue,
        )

    def get_stock_info(self, stock_code: str) -> StockInfo:
        """See `AbstractDataSource.get_stock_info`."""
        return self._records.one(
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
        return self._records.many(
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
        return self._records.many(
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
        return self._records.many(
            Batch[list[ChartData]](stock_codes, "charts", progress_callback),
            lambda code: self._chart_key(code, period, count),
            list[ChartData],
            lambda codes: self.source.get_chart_data_batch(codes, period, count, max_workers),
            self._settings.kis_cache_ttl_chart,
        )

    # What is known no more

    def invalidate_quotes(self) -> None:
        """Drop all prices and order books, as at the close of the market."""
        self._records.drop("stock:*:price*", "stock:*:orderbook*")

    def invalidate_chart(self, stock_code: str) -> None:
        """Drop what is known of a stock's bars, as after a corporate action."""
        self._records.drop(f"stock:{checked(stock_code)}:chart:*")

    def statistics(self) -> Statistics:
        """Hits, misses, entries and bytes, of all processes."""
        return self._records.statistics()

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
            self._price_key(row["stock_code"]): _price(row)
            for row in fetched.rows.iter_rows(named=True)
        }
        self._records.put(
            prices, self._settings.kis_cache_ttl_price, captured_at, self._settings.kis_venue
        )
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
        regular_only: Collection[str] = (),
    ) -> Fetched:
        """See `AbstractDataSource.minute_candles`."""
        return self.source.minute_candles(stock_codes, trading_day, progress, regular_only)

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

    def recent_candles(
        self, stock_codes: Collection[str], progress: Progress | None = None
    ) -> Fetched:
        """See `AbstractDataSource.recent_candles`."""
        return self.source.recent_candles(stock_codes, progress)

    def adjusted_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """See `AbstractDataSource.adjusted_candles`."""
        return self.source.adjusted_candles(stock_codes, first, last, progress)

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
        self._records.tell()
        return self.source.standing()

    def close(self) -> None:
        """Close the source and the store."""
        self.source.close()
        self._records.close()

    def _price_key(self, code: str, venue: Venue | None = None) -> str:
        return f"stock:{code}:price{self._suffix(venue)}"

    def _book_key(self, code: str, venue: Venue | None = None) -> str:
        return f"stock:{code}:orderbook{self._suffix(venue)}"

    def _chart_key(
        self, code: str, period: PriceType, count: int, venue: Venue | None = None
    ) -> str:
        chart_data.checked(period, count)
        return f"stock:{code}:chart:{period.name.lower()}:{count}{self._suffix(venue)}"

    def _suffix(self, venue: Venue | None) -> str:
        return "" if venue in (None, self._settings.kis_venue) else f":{venue.value}"


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
        timestamp=row["fetched_at"].astimezone(calendar.SEOUL).isoformat(timespec="seconds"),
        session=row["session"],
    )
