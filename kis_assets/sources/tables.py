"""The interface of sources for assets: rows of tables, for many stocks at once.

There is no cache and no storage here: rows always come from the source.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl

from kis_assets.errors import KISError, NotSupported
from kis_assets.kis.daily_figures import DailyService
from kis_assets.tables import Table
from kis_assets.transport.fan_out import Progress


@dataclass
class Fetched:
    """Rows of a table, and for every requested stock without rows the reason.

    `absent` has the reasons that are no errors; `failed` has the errors.
    """

    rows: pl.DataFrame
    failed: dict[str, KISError] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


class TableSource:
    """Rows of tables, each by a method of the table's name. Thread-safe.

    A source implements the methods of its tables. Every other method raises NotSupported.
    """

    name: str
    """The value of the column `source`: kis, krx or mock, and the venue unless it is KRX."""

    def lacks(self, what: str) -> NotSupported:
        """The error for a source without rows of the current day."""
        return NotSupported(f"{self.name} has no {what}")

    def stock_master(self, trading_day: date) -> pl.DataFrame:
        """Rows of `stock_master`: every listed issue as known now, dated `trading_day`."""
        raise NotSupported(f"{self.name} has no list of stocks")

    def stock_info(
        self, stocks: pl.DataFrame, month: date, progress: Progress | None = None
    ) -> Fetched:
        """Rows of `stock_info` for `stocks`, as known now, dated `month`."""
        raise NotSupported(f"{self.name} has no stock info")

    def market_days(self, first: date, last: date) -> dict[date, bool]:
        """Whether the exchange opens, for the days of a span; unknown ones are left out."""
        raise NotSupported(f"{self.name} has no calendar of its own")

    def corporate_actions(self, month: date) -> pl.DataFrame:
        """Rows of `corporate_actions` that took effect in a month, as they were announced."""
        raise NotSupported(f"{self.name} has no announcements of corporate actions")

    def whole_market(self, day: date) -> pl.DataFrame:
        """Rows of `krx_daily`: every stock of the exchange on a past day."""
        raise NotSupported(f"{self.name} has no figures of whole markets; KRX has (KRX_API_KEY)")

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
        raise self.lacks("quotes")

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
        raise self.lacks("order books")

    def minute_candles(
        self,
        stock_codes: Collection[str],
        trading_day: date,
        progress: Progress | None = None,
        regular_only: Collection[str] = (),
    ) -> Fetched:
        """Rows of `minute_candles` of one day.

        The stocks in `regular_only` have no after-market, so its minutes are not requested.

        Raises:
            InvalidRequest: the day has no session, has not begun, or is older than the kept
                minutes.
            NotSupported: this server has no minutes of past days.
        """
        raise self.lacks("minutes")

    def daily_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """Rows of `daily_candles` from `first` to `last`, both included."""
        raise NotSupported(f"{self.name} has no daily bars")

    def daily_figures(
        self,
        table: Table,
        service: DailyService,
        codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """Rows of a table of KIS's daily figures, by stock, index or market, within one month.

        Args:
            table: the table.
            service: the service that has them.
            codes: stocks, indices or markets.
            first: the first day.
            last: the last day; its figures must be published.
            progress: called with the progress.
        """
        raise NotSupported(f"{self.name} has no {table.name}; KIS has (DATA_SOURCE_TYPE=kis)")

    def figures_are_stored(self, table: Table, first: date, last: date) -> None:
        """Note that figures of these days are stored; see `history_is_stored`."""

    def indices(self) -> list[str]:
        """The codes of all indices, also of those without bars."""
        raise NotSupported(f"{self.name} has no list of indices")

    def valuations(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """Rows of `valuations` for `stocks`, as of this moment."""
        raise self.lacks("valuations")

    def financial_statements(
        self, stocks: pl.DataFrame, month: date, progress: Progress | None = None
    ) -> Fetched:
        """Rows of `financial_statements` for `stocks`, as known now, dated `month`."""
        raise NotSupported(f"{self.name} has no financial statements; KIS has")

    def keep_daily_candles(
        self, stock_codes: Collection[str], rows: pl.DataFrame, first: date, last: date
    ) -> None:
        """Keep bars that came with other requests, for `daily_candles` of the span.

        `rows` holds all existing bars of `stock_codes` from `first` to `last`, and maybe more. By
        default nothing happens.
        """

    def history_is_stored(self, first: date, last: date) -> None:
        """Note that candles of these days are stored, and drop copies kept in case a run died.

        The next run requests them again and gets corrections. By default nothing happens.
        """

    # For comparison with stored rows; never stored

    def recent_candles(
        self, stock_codes: Collection[str], progress: Progress | None = None
    ) -> Fetched:
        """The last thirty raw daily bars of each stock, from another service than `daily_candles`.

        Columns: trading_day, stock_code, open, high, low, close, volume, change.
        """
        raise NotSupported(f"{self.name} has its daily bars from one place only")

    def adjusted_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """The closes of up to 100 days, as the source itself adjusts them to today.

        Columns: trading_day, stock_code, close.
        """
        raise NotSupported(f"{self.name} has no adjusted series")
