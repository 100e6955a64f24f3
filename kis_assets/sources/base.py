"""The interface of market data for programs that request one stock or a few."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

import polars as pl

from kis_assets.errors import InvalidRequest
from kis_assets.exchange.venues import Venue
from kis_assets.sources.batch import Batch, BatchResult, several
from kis_assets.sources.record_types import (
    ChartData,
    CurrentPrice,
    OrderBook,
    PriceType,
    StockInfo,
)
from kis_assets.sources.streamed import OnBook, OnTrade
from kis_assets.sources.tables import TableSource
from kis_assets.transport.fan_out import Progress
from kis_assets.transport.stats import Tally

if TYPE_CHECKING:
    from kis_assets.kis.feed import Feed

T = TypeVar("T")


class DataSource(ABC):
    """A source of market data. Thread-safe; close it, or use it as a context manager."""

    tables: TableSource
    """The same source for assets: rows of whole tables, never from a cache."""

    tally: Tally

    _workers: int = 10
    """The default number of concurrent requests."""

    @property
    def name(self) -> str:
        """See `TableSource.name`."""
        return self.tables.name

    @property
    def client(self) -> Self:
        """The source itself, for calls such as `source.client.warm_cache(...)`."""
        return self

    def get_current_price(self, stock_code: str, venue: Venue | None = None) -> CurrentPrice:
        """The current quote of one stock, on the venue of the settings unless another is given.

        Raises:
            InvalidRequest: there is no such stock.
            KISError: any other branch of the tree.
        """
        raise self.tables.lacks("quotes")

    def get_order_book(self, stock_code: str, venue: Venue | None = None) -> OrderBook:
        """The order book of one stock now.

        Raises:
            InvalidRequest: there is no such stock.
            KISError: any other branch of the tree.
        """
        raise self.tables.lacks("order books")

    @abstractmethod
    def get_chart_data(
        self,
        stock_code: str,
        period: PriceType = PriceType.DAILY,
        count: int = 100,
        venue: Venue | None = None,
    ) -> list[ChartData]:
        """The newest `count` bars, newest first, raw prices; fewer where history is shorter.

        Weeks and months are made of days and have the date of their last trading day; prices are
        not adjusted for a split within them. Bars of 5 and 30 minutes are made of minutes and have
        the time of their start. The closing auction is a separate bar, and no bar covers two
        sessions. Minutes without a trade are left out. Minutes are adjusted for splits up to now.
        """

    @abstractmethod
    def get_stock_info(self, stock_code: str) -> StockInfo:
        """Slowly changing facts of one stock."""

    # Many stocks: a failed stock does not stop the others; a refused key stops all.

    def get_current_prices_batch(
        self,
        stock_codes: Iterable[str],
        max_workers: int | None = None,
        progress_callback: Progress | None = None,
    ) -> BatchResult[CurrentPrice]:
        """The quotes of many stocks.

        `max_workers` bounds the concurrent requests; None takes the source's default. Errors are
        under `failed`.

        Raises:
            AuthenticationFailed, NotSupported: what stops one stops all.
        """
        return self._batch(
            stock_codes, "prices", self.get_current_price, max_workers, progress_callback
        )

    def get_order_books_batch(
        self,
        stock_codes: Iterable[str],
        max_workers: int | None = None,
        progress_callback: Progress | None = None,
    ) -> BatchResult[OrderBook]:
        """The order books of many stocks; see `get_current_prices_batch`."""
        return self._batch(
            stock_codes, "order books", self.get_order_book, max_workers, progress_callback
        )

    def get_chart_data_batch(
        self,
        stock_codes: Iterable[str],
        period: PriceType = PriceType.DAILY,
        count: int = 100,
        max_workers: int | None = None,
        progress_callback: Progress | None = None,
    ) -> BatchResult[list[ChartData]]:
        """The newest bars of many stocks; see `get_current_prices_batch`."""
        return self._batch(
            stock_codes,
            "charts",
            lambda code: self.get_chart_data(code, period, count),
            max_workers,
            progress_callback,
        )

    def _batch(
        self,
        stock_codes: Iterable[str],
        what: str,
        ask: Callable[[str], T],
        max_workers: int | None,
        progress: Progress | None = None,
    ) -> BatchResult[T]:
        batch = Batch[T](stock_codes, what, progress)
        batch.run(ask, max_workers or self._workers, self._rest)
        return batch.result()

    def warm_cache(
        self,
        stock_codes: Iterable[str],
        data_types: Iterable[str] = ("price", "chart", "info"),
        max_workers: int | None = None,
    ) -> dict[str, Any]:
        """Request stocks now, so that a cache answers them at once later.

        `data_types` holds any of price, chart, info and orderbook.

        Returns:
            For each type the counts `succeeded` and `failed`, and `total_duration_seconds`.

        Raises:
            InvalidRequest: a type is unknown.
            AuthenticationFailed, NotSupported: what stops one stops all.
        """
        started = time.monotonic()
        codes, kinds = several(stock_codes), list(dict.fromkeys(data_types))
        ways: dict[str, Callable[[], BatchResult[Any]]] = {
            "price": lambda: self.get_current_prices_batch(codes, max_workers),
            "chart": lambda: self.get_chart_data_batch(codes, max_workers=max_workers),
            "info": lambda: self._batch(codes, "stock info", self.get_stock_info, max_workers),
            "orderbook": lambda: self.get_order_books_batch(codes, max_workers),
        }
        for kind in kinds:
            if kind not in ways:
                raise InvalidRequest(f"{kind!r} is none of {', '.join(ways)}")
        result: dict[str, Any] = {}
        for kind in kinds:
            stats = ways[kind]()["stats"]
            result[kind] = {"succeeded": stats["succeeded"], "failed": stats["failed"]}
        result["total_duration_seconds"] = round(time.monotonic() - started, 2)
        return result

    def stream(
        self,
        stock_codes: Iterable[str],
        *,
        on_trade: OnTrade | None = None,
        on_order_book: OnBook | None = None,
    ) -> Feed:
        """Pass trades and order books to functions as they happen, until the feed is closed.

        With a cache, quotes of these stocks stay up to date and need no request.

        Args:
            stock_codes: up to 41 per key with one function, 20 with both.
            on_trade: called with each trade, in a thread of the feed.
            on_order_book: called with each order book.

        Returns:
            The feed: `change(codes)` follows other stocks, `wait(seconds)` waits for its end, and
            `close()` or the end of a `with` block ends it.

        Raises:
            InvalidRequest: a code is invalid, or there are more codes than the keys take.
            NotSupported: the source has no feed.
        """
        raise self.tables.lacks("a real-time feed")

    def keep_prices(  # noqa: B027 - most keep nothing
        self, rows: pl.DataFrame, captured_at: datetime
    ) -> None:
        """Put a capture of that moment into the cache, if there is one, for programs.

        `rows` are rows of `price_snapshots`.
        """

    def invalidate_chart(self, stock_code: str) -> None:  # noqa: B027 - most keep nothing
        """Drop the cached bars of a stock, for example after a corporate action."""

    def account_status(self) -> dict[str, Any]:
        """The result of `monitoring.status.snapshot`; empty if no state is shared."""
        return {}

    def _rest(self) -> None:  # noqa: B027 - most sources have nothing to wait for
        """Wait until a request that failed for a passing reason is worth a retry."""

    @abstractmethod
    def close(self) -> None:
        """Release connections and files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
