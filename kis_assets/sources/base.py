"""Where market data comes from: the interface, and the records it gives. Stores nothing.

Two kinds of methods. Those that begin with `get_` answer a program that asks for one stock, or for
a few. Those named for a table fetch its rows for the assets, for many stocks at once.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from types import TracebackType
from typing import Any, Self

import polars as pl

from kis_assets.errors import InvalidRequest, KISError, NotSupported
from kis_assets.exchange.venues import Venue
from kis_assets.sources.batch import Batch, BatchResult, Progress, several
from kis_assets.transport.stats import Tally


class PriceType(Enum):
    """The period of a bar."""

    DAILY = "D"
    WEEKLY = "W"
    MONTHLY = "M"
    MINUTE_1 = "1"
    MINUTE_5 = "5"
    MINUTE_30 = "30"


@dataclass(frozen=True)
class CurrentPrice:
    """A quote: prices in whole KRW, volume in shares, rate in percent.

    The timestamp is ISO 8601 in Seoul.
    """

    stock_code: str
    stock_name: str
    current_price: int
    change_price: int
    change_rate: float
    open_price: int
    high_price: int
    low_price: int
    volume: int
    trading_value: int
    market_cap: int | None
    timestamp: str
    is_stale: bool = False
    """Older than it should be, because the source is down."""
    age_seconds: float = 0.0
    """How old a stale record is."""
    session: str | None = None
    """In which session it was seen: pre_open, regular, closing_price, after_market or closed. After
    the close the price may be the after-market's."""


@dataclass(frozen=True)
class OrderBookLevel:
    """A price and the shares quoted at it. KIS states no number of orders: `count` stays None."""

    price: int
    volume: int
    count: int | None = None


@dataclass(frozen=True)
class OrderBook:
    """An order book: up to ten levels a side, the best one first; none where nobody quotes.

    The expected price and volume are there in auctions, and only then may the two sides cross.
    Prices in whole KRW, volumes in shares, timestamp ISO 8601 in Seoul.
    """

    stock_code: str
    stock_name: str
    bid_levels: tuple[OrderBookLevel, ...]
    ask_levels: tuple[OrderBookLevel, ...]
    total_bid_volume: int
    total_ask_volume: int
    timestamp: str
    expected_price: int | None = None
    expected_volume: int | None = None
    is_stale: bool = False
    age_seconds: float = 0.0

    @property
    def best_bid(self) -> int | None:
        """The highest bid; None when there is none."""
        return self.bid_levels[0].price if self.bid_levels else None

    @property
    def best_ask(self) -> int | None:
        """The lowest ask; None when there is none."""
        return self.ask_levels[0].price if self.ask_levels else None

    @property
    def spread(self) -> int | None:
        """Best ask minus best bid; None when a side is empty."""
        if self.best_ask is None or self.best_bid is None:
            return None
        return self.best_ask - self.best_bid


@dataclass(frozen=True)
class ChartData:
    """A bar. `date` is YYYYMMDD, or YYYYMMDDHHmmss for minutes; prices in whole KRW.

    `is_final` says of days, weeks and months whether they will not change: until the next session's
    morning KIS shows the after-market's close, high and low. Of minutes it is None.
    """

    stock_code: str
    date: str
    open_price: int
    high_price: int
    low_price: int
    close_price: int
    volume: int
    trading_value: int
    is_stale: bool = False
    age_seconds: float = 0.0
    is_final: bool | None = None


@dataclass(frozen=True)
class StockInfo:
    """Slow facts of a stock; what the source does not know is None."""

    stock_code: str
    stock_name: str | None = None
    market: str | None = None
    sector: str | None = None
    industry: str | None = None
    listed_shares: int | None = None
    face_value: float | None = None
    is_stale: bool = False
    age_seconds: float = 0.0


@dataclass
class Fetched:
    """Rows of a table, and for every stock asked that has none, why.

    `absent` says why there is no row although nothing went wrong; `failed` what went wrong.
    """

    rows: pl.DataFrame
    failed: dict[str, KISError] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


class AbstractDataSource(ABC):
    """A source of market data. Thread-safe; close it, or use it as a context manager."""

    name: str
    """What stands in the column `source`: kis, krx or mock, and the venue unless it is KRX."""

    tally: Tally

    _workers: int = 10
    """Requests in flight unless a caller says otherwise."""

    @property
    def client(self) -> Self:
        """The source itself, which is what `source.client.warm_cache(...)` means to warm."""
        return self

    @abstractmethod
    def get_current_price(self, stock_code: str, venue: Venue | None = None) -> CurrentPrice:
        """The quote of one stock now, on the venue of the settings unless another is named.

        Raises:
            InvalidRequest: there is no such stock.
            KISError: any other branch of the tree.
        """

    @abstractmethod
    def get_order_book(self, stock_code: str, venue: Venue | None = None) -> OrderBook:
        """The order book of one stock now.

        Raises:
            InvalidRequest: there is no such stock.
            KISError: any other branch of the tree.
        """

    @abstractmethod
    def get_chart_data(
        self,
        stock_code: str,
        period: PriceType = PriceType.DAILY,
        count: int = 100,
        venue: Venue | None = None,
    ) -> list[ChartData]:
        """The newest `count` bars, newest first, raw prices; fewer where history is shorter.

        Weeks and months are made of days and dated by their last trading day; a price that a split
        moved within one is not adjusted. Bars of 5 and 30 minutes are made of minutes and dated by
        their start, the closing auction being one of its own and none of two sessions; minutes
        without a trade are left out. Minutes are on the split-adjusted axis of now.
        """

    @abstractmethod
    def get_stock_info(self, stock_code: str) -> StockInfo:
        """Slow facts of one stock."""

    @abstractmethod
    def stock_master(self, trading_day: date) -> pl.DataFrame:
        """Rows of `stock_master`: every listed issue as known now, dated `trading_day`."""

    @abstractmethod
    def price_snapshots(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """Rows of `price_snapshots` for `stocks`, which are rows of `stock_master`.

        Raises:
            UnexpectedAnswer: the source shows the prices of another day.
        """

    @abstractmethod
    def order_books(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """Rows of `order_books` for `stocks`, which are rows of `stock_master`.

        Raises:
            UnexpectedAnswer: the source shows the order books of another day.
        """

    @abstractmethod
    def minute_candles(
        self,
        stock_codes: Collection[str],
        trading_day: date,
        progress: Progress | None = None,
        regular_only: Collection[str] = (),
    ) -> Fetched:
        """Rows of `minute_candles` of one day.

        Of the stocks in `regular_only`, which have none, no minutes of the after-market are asked
        for.

        Raises:
            InvalidRequest: the day is no session, has not begun, or is older than minutes are kept.
            NotSupported: this server has no minutes of past days.
        """

    @abstractmethod
    def daily_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """Rows of `daily_candles` from `first` to `last`, both included."""

    def stock_info(
        self, stocks: pl.DataFrame, month: date, progress: Progress | None = None
    ) -> Fetched:
        """Rows of `stock_info` for `stocks`, as known now, dated `month`."""
        raise NotSupported(f"{self.name} has no stock info")

    def whole_market(self, day: date) -> pl.DataFrame:
        """Rows of `krx_daily`: every stock of the exchange on a day that is over.

        Raises:
            NotSupported: the source has no figures of whole markets.
        """
        raise NotSupported(f"{self.name} has no figures of whole markets; KRX has (KRX_API_KEY)")

    def market_days(self, first: date, last: date) -> dict[date, bool]:
        """Whether the exchange opens, for the days of a span; unknown ones are left out.

        Raises:
            NotSupported: the source has no calendar of its own.
        """
        raise NotSupported(f"{self.name} has no calendar of its own")

    def corporate_actions(self, month: date) -> pl.DataFrame:
        """Rows of `corporate_actions` that took effect in a month, as they were announced.

        Raises:
            NotSupported: the source has no announcements.
        """
        raise NotSupported(f"{self.name} has no announcements of corporate actions")

    # Asked to compare what is stored with; never stored

    def recent_candles(
        self, stock_codes: Collection[str], progress: Progress | None = None
    ) -> Fetched:
        """The last thirty raw daily bars of each stock, from elsewhere than `daily_candles` are.

        Columns: trading_day, stock_code, open, high, low, close, volume, change.

        Raises:
            NotSupported: the source has no second service for them.
        """
        raise NotSupported(f"{self.name} has its daily bars from one place only")

    def adjusted_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """The closes of up to 100 days as the source itself adjusts them, on today's axis.

        Columns: trading_day, stock_code, close.

        Raises:
            NotSupported: the source has no adjusted series.
        """
        raise NotSupported(f"{self.name} has no adjusted series")

    # Many stocks for a program: one that fails stops no other, only a refused key stops them all.

    def get_current_prices_batch(
        self,
        stock_codes: Iterable[str],
        max_workers: int | None = None,
        progress_callback: Progress | None = None,
    ) -> BatchResult[CurrentPrice]:
        """The quotes of many stocks.

        `max_workers` bounds the requests in flight, as many as the source likes when None. What
        went wrong stands under `failed`.

        Raises:
            AuthenticationFailed, NotSupported: what stops one stops all.
        """
        batch = Batch[CurrentPrice](stock_codes, "prices", progress_callback)
        batch.run(self.get_current_price, max_workers or self._workers, self._rest)
        return batch.result()

    def get_order_books_batch(
        self,
        stock_codes: Iterable[str],
        max_workers: int | None = None,
        progress_callback: Progress | None = None,
    ) -> BatchResult[OrderBook]:
        """The order books of many stocks; see `get_current_prices_batch`."""
        batch = Batch[OrderBook](stock_codes, "order books", progress_callback)
        batch.run(self.get_order_book, max_workers or self._workers, self._rest)
        return batch.result()

    def get_chart_data_batch(
        self,
        stock_codes: Iterable[str],
        period: PriceType = PriceType.DAILY,
        count: int = 100,
        max_workers: int | None = None,
        progress_callback: Progress | None = None,
    ) -> BatchResult[list[ChartData]]:
        """The newest bars of many stocks; see `get_current_prices_batch`."""
        batch = Batch[list[ChartData]](stock_codes, "charts", progress_callback)
        batch.run(
            lambda code: self.get_chart_data(code, period, count),
            max_workers or self._workers,
            self._rest,
        )
        return batch.result()

    def warm_cache(
        self,
        stock_codes: Iterable[str],
        data_types: Iterable[str] = ("price", "chart", "info"),
        max_workers: int | None = None,
    ) -> dict[str, Any]:
        """Ask for stocks now, so that they are answered at once later where there is a cache.

        `data_types` are any of price, chart, info and orderbook.

        Returns:
            For each type how many `succeeded` and `failed`, and `total_duration_seconds`.

        Raises:
            InvalidRequest: there is no such type.
            AuthenticationFailed, NotSupported: what stops one stops all.
        """
        started = time.monotonic()
        codes, kinds = several(stock_codes), list(dict.fromkeys(data_types))

        def info() -> BatchResult[StockInfo]:
            batch = Batch[StockInfo](codes, "stock info")
            batch.run(self.get_stock_info, max_workers or self._workers, self._rest)
            return batch.result()

        ways: dict[str, Callable[[], BatchResult[Any]]] = {
            "price": lambda: self.get_current_prices_batch(codes, max_workers),
            "chart": lambda: self.get_chart_data_batch(codes, max_workers=max_workers),
            "info": info,
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

    def keep_daily_candles(  # noqa: B027 - most keep nothing
        self, stock_codes: Collection[str], rows: pl.DataFrame, first: date, last: date
    ) -> None:
        """Keep bars that were fetched with others, so that `daily_candles` of the span has them.

        `rows` are all that there are of `stock_codes` from `first` to `last`, and maybe more.
        """

    def history_is_stored(self, first: date, last: date) -> None:  # noqa: B027 - most keep nothing
        """Say that candles of these days are stored: what was kept of them, lest a run die, may go.

        The next run asks anew, and sees what was corrected since.
        """

    def standing(self) -> dict[str, Any]:
        """How what processes share stands, see `kis.status.snapshot`; empty where nothing is."""
        return {}

    def _rest(self) -> None:  # noqa: B027 - most sources have nothing to wait for
        """Wait until what failed for a passing reason is worth asking again."""

    @abstractmethod
    def close(self) -> None:
        """Release connections and files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
