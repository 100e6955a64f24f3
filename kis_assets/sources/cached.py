"""A cache in front of a source: recently requested records are not requested again.

`read_through` keeps records and combines identical requests. Assets always read from the source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from kis_assets.exchange.venues import Venue
from kis_assets.kis.stream_records import Trade
from kis_assets.settings import Settings
from kis_assets.sources.bars import refuse_unless_bars
from kis_assets.sources.base import DataSource
from kis_assets.sources.batch import Batch, BatchResult, checked
from kis_assets.sources.read_through import Records
from kis_assets.sources.record_types import (
    ChartData,
    CurrentPrice,
    OrderBook,
    PriceType,
    StockInfo,
)
from kis_assets.sources.streamed import OnBook, OnTrade, Refresher
from kis_assets.state.cache import Statistics, Store
from kis_assets.state.shared import open_state
from kis_assets.transport.fan_out import Progress

if TYPE_CHECKING:
    from kis_assets.kis.feed import Feed


def namespace(settings: Settings) -> str:
    """The prefix of keys, different for servers, venues and replays."""
    origin = f"{settings.source_name}|{settings.base_url}|{settings.kis_replay_at}"
    return f"{settings.environment}-{hashlib.sha256(origin.encode()).hexdigest()[:8]}:"


def open_store(settings: Settings) -> Store:
    """The store of these settings, without records of other servers or venues."""
    return open_state(settings).store(namespace(settings))


class CachedDataSource(DataSource):
    """A source with a cache in front; `clocks` goes to `Records`, for tests."""

    def __init__(self, source: DataSource, store: Store, settings: Settings, **clocks: Any) -> None:
        self.source = source
        self.tables = source.tables
        self.tally = source.tally
        self._settings = settings
        self._records = Records(store, settings, source.tally, **clocks)

    def get_current_price(self, stock_code: str, venue: Venue | None = None) -> CurrentPrice:
        """See `DataSource.get_current_price`."""
        stock_code = checked(stock_code)
        return self._records.one(
            self._price_key(stock_code, venue),
            CurrentPrice,
            lambda: self.source.get_current_price(stock_code, venue),
            self._settings.kis_cache_ttl_price,
            venue or self._settings.kis_venue,
        )

    def get_order_book(self, stock_code: str, venue: Venue | None = None) -> OrderBook:
        """See `DataSource.get_order_book`."""
        stock_code = checked(stock_code)
        return self._records.one(
            self._book_key(stock_code, venue),
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
        """See `DataSource.get_chart_data`."""
        stock_code = checked(stock_code)
        return self._records.one(
            self._chart_key(stock_code, period, count, venue),
            list[ChartData],
            lambda: self.source.get_chart_data(stock_code, period, count, venue),
            self._settings.kis_cache_ttl_chart,
            venue or self._settings.kis_venue,
        )

    def get_stock_info(self, stock_code: str) -> StockInfo:
        """See `DataSource.get_stock_info`."""
        stock_code = checked(stock_code)
        return self._records.one(
            f"stock:{stock_code}:info",
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
        """See `DataSource.get_current_prices_batch`; requests only records not in the cache."""
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
        """See `DataSource.get_order_books_batch`; requests only records not in the cache."""
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
        """See `DataSource.get_chart_data_batch`; requests only records not in the cache."""
        return self._records.many(
            Batch[list[ChartData]](stock_codes, "charts", progress_callback),
            lambda code: self._chart_key(code, period, count),
            list[ChartData],
            lambda codes: self.source.get_chart_data_batch(codes, period, count, max_workers),
            self._settings.kis_cache_ttl_chart,
        )

    def stream(
        self,
        stock_codes: Iterable[str],
        *,
        on_trade: OnTrade | None = None,
        on_order_book: OnBook | None = None,
    ) -> Feed:
        """See `DataSource.stream`; each second the newest trade of a stock updates its quote."""

        def put(quote: CurrentPrice) -> None:
            kept = {self._price_key(quote.stock_code): quote}
            ttl, venue = self._settings.kis_cache_ttl_price, self._settings.kis_venue
            self._records.put(kept, ttl, self._settings.now(), venue)

        refresher = Refresher(self.get_current_price, put)

        def take(trade: Trade) -> None:
            refresher.take(trade)
            if on_trade:
                on_trade(trade)

        is_of_books = on_order_book is not None and on_trade is None
        trades = None if is_of_books else take
        return self.source.stream(stock_codes, on_trade=trades, on_order_book=on_order_book)

    # Contents and statistics of the cache

    def keep_prices(self, rows: pl.DataFrame, captured_at: datetime) -> None:
        """See `DataSource.keep_prices`."""
        prices = {
            self._price_key(row["stock_code"]): CurrentPrice.of(row)
            for row in rows.iter_rows(named=True)
        }
        self._records.put(
            prices, self._settings.kis_cache_ttl_price, captured_at, self._settings.kis_venue
        )

    def invalidate_chart(self, stock_code: str) -> None:
        """See `DataSource.invalidate_chart`."""
        self._records.drop(f"stock:{checked(stock_code)}:chart:*")

    def statistics(self) -> Statistics:
        """Hits, misses, entries and bytes, of all processes."""
        return self._records.statistics()

    def account_status(self) -> dict[str, Any]:
        """See `DataSource.account_status`."""
        self._records.publish_counts()
        return self.source.account_status()

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
        refuse_unless_bars(period, count)
        return f"stock:{code}:chart:{period.name.lower()}:{count}{self._suffix(venue)}"

    def _suffix(self, venue: Venue | None) -> str:
        return "" if venue in (None, self._settings.kis_venue) else f":{venue.value}"
