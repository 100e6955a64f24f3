"""Where market data comes from: the interface, and the records it gives. Stores nothing.

Two kinds of methods. Those that begin with `get_` answer a program that asks for one stock, or for
a few. Those named for a table fetch its rows for the assets, for many stocks at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from types import TracebackType
from typing import Self

import polars as pl

from kis_assets.kis.errors import KISError
from kis_assets.kis.tally import Tally

Progress = Callable[[int, int, str], None]
"""Called as `progress(completed, total, stock_code)`."""


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
    """A quote. Prices in KRW, volume in shares, rate in percent, timestamp ISO 8601 in Seoul."""

    stock_code: str
    stock_name: str
    current_price: float
    change_price: float
    change_rate: float
    open_price: float
    high_price: float
    low_price: float
    volume: int
    trading_value: float
    market_cap: float | None
    timestamp: str


@dataclass(frozen=True)
class ChartData:
    """A bar. `date` is YYYYMMDD, or YYYYMMDDHHmmss for minutes; prices in KRW."""

    stock_code: str
    date: str
    open_price: float
    high_price: float
    low_price: float
    close_price: float
    volume: int
    trading_value: float


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


@dataclass(frozen=True)
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
    """What stands in the column `source`: kis, krx or mock."""

    tally: Tally

    @abstractmethod
    def get_current_price(self, stock_code: str) -> CurrentPrice:
        """The quote of one stock now.

        Raises:
            InvalidRequest: there is no such stock.
            KISError: any other branch of the tree.
        """

    @abstractmethod
    def get_chart_data(
        self, stock_code: str, period: PriceType = PriceType.DAILY, count: int = 100
    ) -> list[ChartData]:
        """The newest `count` bars, newest first, raw prices; fewer where history is shorter."""

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
    def daily_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """Rows of `daily_candles` from `first` to `last`, both included."""

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
