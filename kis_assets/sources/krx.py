"""KRX as a source for programs: daily bars and facts of a stock. No quotes, no order books.

One request covers one market and day, and `krx.markets` keeps the answer: the chart of a second
stock needs no request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice
from typing import Any

import httpx
import polars as pl

from kis_assets.errors import InvalidRequest, NotSupported
from kis_assets.exchange.venues import Venue
from kis_assets.krx import client, publication
from kis_assets.krx.markets import Markets, markets_on
from kis_assets.settings import Settings
from kis_assets.sources.bars import BUCKETS, chart, refuse_unless_bars
from kis_assets.sources.base import DataSource
from kis_assets.sources.batch import checked
from kis_assets.sources.krx_tables import KRXTables
from kis_assets.sources.record_types import ChartData, PriceType, StockInfo

AHEAD = 20
"""How many days are requested at once if a chart needs an unknown number of days."""


class KRXDataSource(DataSource):
    """KRX's Open API. `transport` replaces the network; `wall_clock` is for the calls of a day.

    Raises:
        AuthenticationFailed: `KRX_API_KEY` is not set.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        transport: httpx.BaseTransport | None = None,
        workers: int = 5,
        **clocks: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._client = client.KRXClient(settings, transport=transport, **clocks)
        self._markets = Markets(self._client, settings, workers)
        self._workers = workers
        self.tables = KRXTables(settings, self._markets)
        self.tally = self._client.tally

    def close(self) -> None:
        """Close connections and the shared file."""
        self._client.close()

    def get_chart_data(
        self,
        stock_code: str,
        period: PriceType = PriceType.DAILY,
        count: int = 100,
        venue: Venue | None = None,
    ) -> list[ChartData]:
        """The newest `count` bars, newest first: one request per day not requested before.

        They end before the stock was listed, or where KRX's history begins.

        Raises:
            NotSupported: the period is minutes, or the venue another one.
            InvalidRequest: the stock is not listed on the newest day.
        """
        stock_code = checked(stock_code)
        refuse_unless_bars(period, count)
        if period in BUCKETS:
            raise self.tables.lacks("minutes")
        if venue not in (None, Venue.KRX):
            raise NotSupported(f"KRX has no data of {venue.value}; KIS has")
        if period is not PriceType.DAILY:
            return chart(stock_code, self._each_daily(stock_code, AHEAD), period, count)
        bars = islice(self._each_daily(stock_code, min(count, AHEAD)), count)
        return chart(stock_code, bars, period, count)

    def _each_daily(self, stock_code: str, ahead: int) -> Iterator[dict[str, Any]]:
        """The stock's rows, newest first, from its market at the time."""
        newest = publication.newest(self._settings.now())
        days = iter(publication.days(publication.FIRST_DAY, newest, self._settings.now())[::-1])
        market = self._market_of(stock_code, newest)
        while block := list(islice(days, ahead)):
            there = [day for day in block if market in markets_on(day)]
            self._markets.fetch((client.DAILY[market], day) for day in there)
            for day in block:
                row = self._row(stock_code, market, day)
                if row is None:
                    try:
                        market = self._market_of(stock_code, day)
                    except InvalidRequest:
                        return
                    row = self._row(stock_code, market, day)
                if row is not None:
                    yield row

    def _row(self, stock_code: str, market: str, day: date) -> dict[str, Any] | None:
        if market not in markets_on(day):
            return None
        rows = self._markets.answer((client.DAILY[market], day))
        found = rows.filter(pl.col("stock_code") == stock_code)
        return None if found.is_empty() else found.row(0, named=True)

    def _market_of(self, stock_code: str, day: date) -> str:
        for market in markets_on(day):
            if self._row(stock_code, market, day) is not None:
                return market
        raise InvalidRequest(f"KRX has no stock of this code on {day}", stock_code=stock_code)

    def get_stock_info(self, stock_code: str) -> StockInfo:
        """Facts of one stock on the newest published day; KRX states no sector or industry."""
        stock_code = checked(stock_code)
        day = publication.newest(self._settings.now())
        for market in markets_on(day):
            rows = self._markets.answer((client.ISSUES[market], day))
            for row in rows.filter(pl.col("stock_code") == stock_code).iter_rows(named=True):
                return StockInfo.of(stock_code, row)
        raise InvalidRequest(f"KRX has no stock of this code on {day}", stock_code=stock_code)
