"""KRX as a source: the exchange's own daily figures. No quotes, no order books, no minutes.

One request is one market and day, and `krx_markets` keeps what it gave: the chart of a second
stock asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import date, datetime
from itertools import islice
from typing import Any

import httpx
import polars as pl

from kis_assets.errors import InvalidRequest, NotSupported
from kis_assets.exchange.venues import Venue
from kis_assets.krx import client, publication
from kis_assets.krx.markets import Markets, markets_on
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
from kis_assets.sources.batch import checked, several
from kis_assets.tables import DAILY_CANDLES, KRX_DAILY, STOCK_INFO, STOCK_MASTER

AHEAD = 20
"""Days asked for at once where a chart needs more and nobody knows how many."""


class KRXDataSource(AbstractDataSource):
    """KRX's Open API. `transport` replaces the network, `wall_clock` counts the calls of a day.

    Raises:
        AuthenticationFailed: `KRX_API_KEY` is not set.
    """

    name = "krx"

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
        self.tally = self._client.tally

    def close(self) -> None:
        """Close connections and the file that processes share."""
        self._client.close()

    # Whole markets

    def whole_market(self, day: date) -> pl.DataFrame:
        """Rows of `krx_daily`: every stock of KOSPI, KOSDAQ and KONEX on a published trading day.

        Three requests, two before KONEX opened in July 2013.

        Raises:
            InvalidRequest: no trading day, earlier than KRX's history, or not published yet.
            ServiceUnavailable: due this morning and not there yet.
            UnexpectedAnswer: KRX says nothing of the day, or what cannot be right.
        """
        return self._markets.whole(client.DAILY, day)

    # For programs that ask for one stock

    def get_current_price(self, stock_code: str, venue: Venue | None = None) -> CurrentPrice:
        """Not there.

        Raises:
            NotSupported: always.
        """
        raise publication.only_past_days("quotes")

    def get_order_book(self, stock_code: str, venue: Venue | None = None) -> OrderBook:
        """Not there.

        Raises:
            NotSupported: always.
        """
        raise publication.only_past_days("order books")

    def get_chart_data(
        self,
        stock_code: str,
        period: PriceType = PriceType.DAILY,
        count: int = 100,
        venue: Venue | None = None,
    ) -> list[ChartData]:
        """The newest `count` bars, newest first, one request a day that no chart has asked for yet.

        They end where the stock was not listed, or where KRX's history begins.

        Raises:
            NotSupported: minutes, or another venue.
            InvalidRequest: the stock is not listed on the newest day.
        """
        checked(stock_code)
        chart_data.checked(period, count)
        if period in chart_data.BUCKETS:
            raise publication.only_past_days("minutes")
        if venue not in (None, Venue.KRX):
            raise NotSupported(f"KRX tells nothing of {venue.value}; KIS does")
        if period is not PriceType.DAILY:
            return chart_data.chart(stock_code, self._each_daily(stock_code, AHEAD), period, count)
        bars = islice(self._each_daily(stock_code, min(count, AHEAD)), count)
        return chart_data.chart(stock_code, bars, period, count)

    def _each_daily(self, stock_code: str, ahead: int) -> Iterator[dict[str, Any]]:
        """The stock's rows, newest first, from the market that it was on."""
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
        """Slow facts of one stock on the newest published day; KRX states no sector or industry."""
        checked(stock_code)
        day = publication.newest(self._settings.now())
        for market in markets_on(day):
            rows = self._markets.answer((client.ISSUES[market], day))
            for row in rows.filter(pl.col("stock_code") == stock_code).iter_rows(named=True):
                return StockInfo(
                    stock_code=stock_code,
                    stock_name=row["stock_name"],
                    market=row["market"],
                    listed_shares=row["listed_shares"],
                    face_value=row["face_value"],
                )
        raise InvalidRequest(f"KRX has no stock of this code on {day}", stock_code=stock_code)

    # For the assets

    def daily_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """Rows of `daily_candles`: two requests a day, three where KONEX is in the universe.

        KRX states neither ex-events nor split ratios: they are null. A day on which it states no
        change of a stock has no base price, and no row.

        Raises:
            InvalidRequest: none of the days is in KRX's history.
            KISError: one market of one day cannot be had: a month is given whole or not at all.
        """
        days = publication.days(first, last, self._settings.now())
        asked = [
            (client.DAILY[market], day)
            for day in days
            for market in markets_on(day)
            if market != "KONEX" or self._wants_konex()
        ]
        codes = sorted(several(stock_codes))

        def done(requests: int) -> None:
            if progress is not None and codes:
                progress(requests * len(codes) // len(asked), len(codes), codes[-1])

        self._markets.fetch(asked, done)
        # One by one: what is kept may be less than a month of all markets.
        wanted = pl.col("stock_code").is_in(codes) & pl.col("change").is_not_null()
        rows = pl.concat(
            [KRX_DAILY.empty(), *(self._markets.answer(one).filter(wanted) for one in asked)]
        ).with_columns(
            base_price=pl.col("close") - pl.col("change"),
            has_traded=pl.col("volume") > 0,
            is_final=pl.lit(value=True),  # KRX publishes nothing that is not
        )
        absent = dict.fromkeys(
            sorted(set(codes) - set(rows["stock_code"])), "KRX has no row of it in these days"
        )
        return Fetched(_conformed(rows, DAILY_CANDLES.schema), absent=absent)

    def _wants_konex(self) -> bool:
        settings = self._settings
        return settings.kis_stock_codes is not None or bool(
            {"konex", "all"} & set(settings.universe.groups)
        )

    def history_is_stored(self, first: date, last: date) -> None:
        """Drop what is kept of these days: the next run sees what KRX has corrected since."""
        self._markets.forget(first, last)

    def stock_master(self, trading_day: date) -> pl.DataFrame:
        """Every share listed on a published day; flags that KRX does not state are null.

        Whether a stock is under administration is known where it has a department: not on KOSPI.
        """
        whole = pl.col("face_value").floor() == pl.col("face_value")
        rows = self._markets.whole(client.ISSUES, trading_day).with_columns(
            trading_day=pl.lit(trading_day), face_value=pl.when(whole).then("face_value")
        )
        return _conformed(rows, STOCK_MASTER.schema)

    def stock_info(
        self, stocks: pl.DataFrame, month: date, progress: Progress | None = None
    ) -> Fetched:
        """Rows of `stock_info` as of the newest published day: three requests for all stocks."""
        issues = self._markets.whole(client.ISSUES, publication.newest(self._settings.now()))
        rows = issues.filter(pl.col("stock_code").is_in(stocks["stock_code"].to_list()))
        is_share = pl.col("security_group").is_in(["ST", "KN", "FS"])
        rows = rows.with_columns(
            pl.when(pl.col("market") == market).then("listed_on").alias(f"listed_on_{name}")
            for market, name in (("KOSPI", "kospi"), ("KOSDAQ", "kosdaq"), ("KONEX", "konex"))
        ).with_columns(
            info_month=pl.lit(month.replace(day=1)),
            known_from=pl.lit(self.name),
            kind_of_share=pl.when(is_share).then(
                pl.when(pl.col("preferred_class") == "0")
                .then(pl.lit("common"))
                .otherwise(pl.lit("preferred"))
            ),
        )
        missing = sorted(set(stocks["stock_code"]) - set(rows["stock_code"]))
        return Fetched(
            _conformed(rows, STOCK_INFO.schema),
            absent=dict.fromkeys(missing, "KRX has no such stock"),
        )

    def price_snapshots(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """Not there.

        Raises:
            NotSupported: always.
        """
        raise publication.only_past_days("quotes")

    def order_books(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """Not there.

        Raises:
            NotSupported: always.
        """
        raise publication.only_past_days("order books")

    def minute_candles(
        self,
        stock_codes: Collection[str],
        trading_day: date,
        progress: Progress | None = None,
        regular_only: Collection[str] = (),
    ) -> Fetched:
        """Not there.

        Raises:
            NotSupported: always.
        """
        raise publication.only_past_days("minutes")


def _conformed(rows: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The columns of a table: those that there are, in its types, and null for the others."""
    return rows.select(
        pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    )
