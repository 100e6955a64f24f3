"""KIS as a source for programs: its answers as records. The client sends the requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from kis_assets.errors import NotSupported
from kis_assets.exchange import calendar
from kis_assets.exchange.venues import Venue, latest_session, session_at
from kis_assets.kis import daily_candles, minute_candles, order_books, quotes, stock_info
from kis_assets.kis.client import Client
from kis_assets.monitoring.status import snapshot
from kis_assets.settings import Settings
from kis_assets.sources.bars import BUCKETS, chart, refuse_unless_bars
from kis_assets.sources.base import DataSource
from kis_assets.sources.batch import Batch, BatchResult, checked
from kis_assets.sources.kis_tables import KISTables
from kis_assets.sources.listing import Listing
from kis_assets.sources.record_types import (
    ChartData,
    CurrentPrice,
    OrderBook,
    OrderBookLevel,
    PriceType,
    StockInfo,
)
from kis_assets.sources.resume import History
from kis_assets.sources.streamed import Listener, OnBook, OnTrade
from kis_assets.state.cache import Store
from kis_assets.tables import LEVELS
from kis_assets.transport.fan_out import Progress
from kis_assets.transport.http import CONNECTIONS

if TYPE_CHECKING:
    from kis_assets.kis.feed import Feed


WORKERS = 10
"""Concurrent requests for each app key: enough for its rate if an answer takes half a second."""


class KISDataSource(DataSource):
    """Market data of KIS's real or virtual server.

    `workers` bounds the concurrent requests, by default ten for each app key. `store` keeps fetched
    history in case a run dies; it also keeps the list of stocks, unless `listed` does. Other
    arguments go to `Client`.
    """

    _tables: type[KISTables] = KISTables

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int | None = None,
        store: Store | None = None,
        listed: Store | None = None,
        **of_client: Any,
    ) -> None:
        self._settings = settings
        self._client = Client(settings, **of_client)
        self._listing = Listing(self._client, listed or store)
        workers = workers or min(CONNECTIONS, WORKERS * len(settings.credentials))
        self._workers = workers
        self.tally = self._client.tally
        history = History(settings, store, self.tally)
        self.tables = self._tables(self._client, self._listing, history, workers)

    def close(self) -> None:
        """Close connections and shared files."""
        self._client.close()

    def account_status(self) -> dict[str, Any]:
        """See `DataSource.account_status`."""
        return snapshot(self._settings)

    def get_current_price(self, stock_code: str, venue: Venue | None = None) -> CurrentPrice:
        """The current quote of one stock; name and market cap come from the master files."""
        stock_code = checked(stock_code)
        client = self._client.asking(venue=venue)
        quote = quotes.price(client, stock_code)
        return self._current_price(stock_code, quote, client.venue)

    def get_current_prices_batch(
        self,
        stock_codes: Iterable[str],
        max_workers: int | None = None,
        progress_callback: Progress | None = None,
    ) -> BatchResult[CurrentPrice]:
        """The quotes of many stocks: 30 per request (real server) or one (virtual server)."""
        batch = Batch[CurrentPrice](stock_codes, "prices", progress_callback)
        venue = self._client.venue
        failed = quotes.each_price(
            self._client,
            batch.codes,
            lambda code, quote: batch.took(code, self._current_price(code, quote, venue)),
            workers=max(1, max_workers or self._workers),
        )
        for code, error in failed.items():
            batch.refused(code, error)
        return batch.result()

    def _current_price(
        self, stock_code: str, quote: Mapping[str, Any], venue: Venue
    ) -> CurrentPrice:
        about = self._listing.about(stock_code)
        now = self._settings.now()
        shares = quote.get("listed_shares") or about.listed_shares
        return CurrentPrice.of(
            {
                **quote,
                "stock_code": stock_code,
                "stock_name": quote.get("stock_name") or about.stock_name or "",
                "market_cap": quotes.market_cap(quote["price"], shares),
                "fetched_at": now,
                "session": session_at(latest_session(now, venue).day, now, venue),
            }
        )

    def get_order_book(self, stock_code: str, venue: Venue | None = None) -> OrderBook:
        """The current order book of one stock; the name comes from the master files."""
        stock_code = checked(stock_code)
        day = calendar.latest_session(self._settings.now()).day
        book = order_books.order_book(self._client.asking(venue=venue), stock_code, day)
        return OrderBook(
            stock_code=stock_code,
            stock_name=self._listing.about(stock_code).stock_name or "",
            bid_levels=_levels(book, "bid"),
            ask_levels=_levels(book, "ask"),
            total_bid_volume=book["total_bid_volume"],
            total_ask_volume=book["total_ask_volume"],
            timestamp=self._settings.now().isoformat(timespec="seconds"),
            expected_price=book["expected_price"],
            expected_volume=book["expected_volume"],
        )

    def stream(
        self,
        stock_codes: Iterable[str],
        *,
        on_trade: OnTrade | None = None,
        on_order_book: OnBook | None = None,
    ) -> Feed:
        """See `DataSource.stream`."""
        from kis_assets.kis.feed import Feed  # imports the WebSocket library

        listener = Listener(on_trade, on_order_book)
        return Feed(self._settings, map(checked, stock_codes), listener.kinds, listener.take)

    def get_chart_data(
        self,
        stock_code: str,
        period: PriceType = PriceType.DAILY,
        count: int = 100,
        venue: Venue | None = None,
    ) -> list[ChartData]:
        """The newest `count` bars, newest first, with as few requests as possible."""
        stock_code = checked(stock_code)
        refuse_unless_bars(period, count)
        client = self._client.asking(venue=venue)
        if period in BUCKETS:
            shorter = minute_candles.each_minute(client, stock_code)
        else:
            span = (calendar.FIRST_DAY, self._settings.now().date())
            shorter = daily_candles.each_day(client, stock_code, *span)
        return chart(stock_code, shorter, period, count)

    def get_stock_info(self, stock_code: str) -> StockInfo:
        """Facts of one stock; from today's master files if the server lacks the service."""
        stock_code = checked(stock_code)
        try:
            facts = stock_info.stock_info(self._client, stock_code)
        except NotSupported:
            return self._listing.info(stock_code)
        return StockInfo.of(stock_code, facts)

    def _rest(self) -> None:
        self._client.accounts.wait_for_breaker()


def _levels(book: Mapping[str, Any], side: str) -> tuple[OrderBookLevel, ...]:
    """The levels that have a price."""
    return tuple(
        OrderBookLevel(price, book[f"{side}_volume_{n}"])
        for n in range(1, LEVELS + 1)
        if (price := book[f"{side}_price_{n}"]) is not None
    )
