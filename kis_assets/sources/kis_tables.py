"""KIS as a source for assets: its answers as rows of tables. The client sends the requests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import date, datetime
from typing import Any, TypeVar

import polars as pl

from kis_assets.errors import InvalidRequest, KISError, NotSupported
from kis_assets.exchange import calendar, finality
from kis_assets.exchange.finality import ChartClose
from kis_assets.exchange.venues import Venue, session_at
from kis_assets.kis import calendar as kis_calendar
from kis_assets.kis import (
    corporate_actions,
    daily_candles,
    financial_statements,
    master_files,
    minute_candles,
    order_books,
    quotes,
    stock_info,
    valuations,
)
from kis_assets.kis.client import Client
from kis_assets.kis.daily_figures import DailyService
from kis_assets.kis.fields import frame
from kis_assets.sources import kis_frames
from kis_assets.sources.batch import several
from kis_assets.sources.daily_figures import DailyFigures
from kis_assets.sources.kis_frames import stamped
from kis_assets.sources.listing import Listing
from kis_assets.sources.resume import History
from kis_assets.sources.tables import Fetched, TableSource
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    DAILY_CANDLES,
    FINANCIAL_STATEMENTS,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    STOCK_INFO,
    STOCK_MASTER,
    VALUATIONS,
    Table,
)
from kis_assets.transport.fan_out import Progress, counted, each

log = logging.getLogger(__name__)

V = TypeVar("V")

PATIENCE = 900.0
"""Seconds that one of thousands of requests may wait in the quota's queue, behind captures."""
WITNESSES = 3
"""How many stocks are checked for a session on a day."""
NO_BAR = "KIS has no bar of it in these days"
NO_STOCK = "KIS knows no such stock"


class KISTables(TableSource):
    """Rows of KIS's real or virtual server; `history` keeps rows fetched earlier."""

    name = "kis"

    def __init__(self, client: Client, listing: Listing, history: History, workers: int) -> None:
        self._client, self._settings = client, client.settings
        self._listing, self._history, self._workers = listing, history, workers
        self._patient = client.asking(patience=PATIENCE)
        self.name = self._settings.source_name
        self._recent_of: tuple[date, date] | None = None
        self._recent: dict[str, list[dict[str, Any]]] = {}

    def stock_master(self, trading_day: date) -> pl.DataFrame:
        """Every listed issue of KOSPI, KOSDAQ and KONEX, from three files that need no key.

        On NXT, the issues that it trades, which takes two more files.
        """
        issues = master_files.issues(self._client).with_columns(trading_day=pl.lit(trading_day))
        if self._settings.kis_venue is Venue.NXT:
            traded = sorted(master_files.nxt_codes(self._client))
            issues = issues.filter(pl.col("stock_code").is_in(traded))
        return stamped(issues, STOCK_MASTER, self.name, self._settings.now())

    def stock_info(
        self, stocks: pl.DataFrame, month: date, progress: Progress | None = None
    ) -> Fetched:
        """Slowly changing facts of `stocks`: one per request, or from the master files.

        The master files are used if the server lacks the service. Facts that they lack are null,
        and their number of shares is rounded to thousands.
        """
        rows: list[dict[str, Any]] = []
        same = {"info_month": month.replace(day=1), "source": self.name}

        def take(_code: str, facts: dict[str, Any]) -> None:
            known = {"known_from": "search-stock-info", "fetched_at": self._settings.now()}
            rows.append(facts | same | known)

        try:
            failed = self._each(
                stocks["stock_code"],
                lambda code: stock_info.stock_info(self._patient, code),
                take,
                progress,
            )
        except NotSupported as error:
            log.warning("stock info comes from the master files: %s", error)
            known = {"known_from": "master", "fetched_at": self._settings.now()}
            rows = [facts | same | known for facts in self._listing.facts(stocks)]
            return Fetched(frame(rows, STOCK_INFO.schema))
        absent = _unknown(failed, NO_STOCK)
        return Fetched(frame(rows, STOCK_INFO.schema), failed, absent)

    def market_days(self, first: date, last: date) -> dict[date, bool]:
        """Whether the exchange opens, for each day from `first` on that KIS states.

        KIS asks for at most about one call a day.
        """
        return kis_calendar.market_days(self._client, first, last)

    def corporate_actions(self, month: date) -> pl.DataFrame:
        """Rows of `corporate_actions` that took effect in a month, as the depository has them.

        Reads six lists of all stocks, for all months of possible announcements. Issues without a
        short code of six characters are not listed and are left out.

        Raises:
            UnexpectedAnswer: one list is inconsistent; then no rows are returned.
        """
        rows = corporate_actions.in_month(self._client, month)
        return stamped(rows, CORPORATE_ACTIONS, self.name, self._settings.now())

    def price_snapshots(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """Quotes of `stocks`: 30 per request (real server) or one (virtual server)."""
        self._refuse_another_day(stocks, trading_day)
        codes = stocks["stock_code"].to_list()
        known = stocks.select("stock_code", "stock_name", "listed_shares").iter_rows()
        listed = {code: (name, shares) for code, name, shares in known}
        found: dict[str, dict[str, Any]] = {}

        def take(code: str, quote: dict[str, Any]) -> None:
            name, shares = listed[code]
            own = {"stock_name": name, "market_cap": quotes.market_cap(quote["price"], shares)}
            found[code] = quote | own | self._capture_columns(code, trading_day, captured_at)

        failed = quotes.each_price(self._patient, codes, take, self._workers, progress)
        absent = _unknown(failed, "KIS has no price of it")
        rows = [found[code] for code in codes if code in found]
        return Fetched(frame(rows, PRICE_SNAPSHOTS.schema), failed, absent)

    def order_books(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """Order books of `stocks`: one per request, so the books may be minutes apart."""
        self._refuse_another_day(stocks, trading_day)
        rows: list[dict[str, Any]] = []
        failed = self._each(
            stocks["stock_code"],
            lambda code: order_books.order_book(self._patient, code, trading_day),
            lambda code, book: rows.append(
                book | self._capture_columns(code, trading_day, captured_at)
            ),
            progress,
        )
        absent = _unknown(failed, "KIS has no order book of it")
        return Fetched(frame(rows, ORDER_BOOKS.schema), failed, absent)

    def _refuse_another_day(self, stocks: pl.DataFrame, trading_day: date) -> None:
        """Check the day by the daily bars of busy stocks: quotes have no date."""
        busy = stocks.sort("previous_volume", descending=True, nulls_last=True)
        witnesses = busy["stock_code"].head(WITNESSES).to_list()
        daily_candles.refuse_no_session(self._patient, witnesses, trading_day)

    def _capture_columns(
        self, stock_code: str, trading_day: date, captured_at: datetime
    ) -> dict[str, Any]:
        """The common columns of quotes and books: when they were captured, and in which session."""
        now = self._settings.now()
        return {
            "stock_code": stock_code,
            "trading_day": trading_day,
            "captured_at": captured_at,
            "fetched_at": now,
            "session": session_at(trading_day, now, self._settings.kis_venue),
            "source": self.name,
        }

    def minute_candles(
        self,
        stock_codes: Collection[str],
        trading_day: date,
        progress: Progress | None = None,
        regular_only: Collection[str] = (),
    ) -> Fetched:
        """Minutes of one day: up to 6 requests per stock, 4 without an after-market.

        From the chart of today it is 21 and 13. That chart is used during the regular session, and
        is the only one on the virtual server.
        """
        minute_candles.kept_session(trading_day, self._client.clock.now())
        without = frozenset(regular_only)
        found: dict[str, tuple[pl.DataFrame, datetime]] = {}
        absent: dict[str, str] = {}

        def take(code: str, bars: list[dict[str, Any]]) -> None:
            if not bars:
                absent[code] = "KIS has no minute of it on this day"
                return
            fetched_at = bars[0].get("fetched_at") or self._settings.now()
            found[code] = kis_frames.minutes(bars), fetched_at

        failed = self._each(
            stock_codes,
            lambda code: self._history.bars(
                code,
                f"minutes:{trading_day}",
                trading_day,
                lambda: minute_candles.minutes(
                    self._patient, code, trading_day, regular_only=code in without
                ),
            ),
            take,
            progress,
        )
        absent |= _unknown(failed, NO_STOCK)
        return Fetched(kis_frames.joined_minutes(found, trading_day, self.name), failed, absent)

    def daily_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """Raw daily bars: one request for up to 100 days of a stock.

        A bar of the day before is final only if it agrees with the close that KIS states beside it.
        """
        frames: list[pl.DataFrame] = []
        absent: dict[str, str] = {}
        closes: list[ChartClose] = []
        # It is unknown which close KIS states on another venue.
        is_krx = self._settings.kis_venue is Venue.KRX
        unconfirmed = finality.unconfirmed_day(self._settings.now()) if is_krx else None

        def take(code: str, bars: list[dict[str, Any]]) -> None:
            if not bars:
                absent[code] = NO_BAR
                return
            closes.extend(
                ChartClose(code, bar["close"], bar["base_price"], bar.get("stated_close"))
                for bar in bars
                if bar["trading_day"] == unconfirmed
            )
            frames.append(kis_frames.days(bars, code, self.name, self._settings.now()))

        failed = self._each(
            stock_codes,
            lambda code: self._history.bars(
                code,
                f"days:{first}:{last}",
                last,
                lambda: list(daily_candles.each_day(self._patient, code, first, last)),
            ),
            take,
            progress,
        )
        absent |= _unknown(failed, NO_STOCK)
        rows = pl.concat(frames) if frames else DAILY_CANDLES.empty()
        return Fetched(kis_frames.with_uncorrected(rows, closes, unconfirmed), failed, absent)

    def daily_figures(
        self,
        table: Table,
        service: DailyService,
        codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """See `TableSource.daily_figures`: one request for as many days as an answer holds."""
        fetch = DailyFigures(self._patient, self._history, self._workers, self.name)
        return fetch.fetch(table, service, codes, first, last, progress)

    def figures_are_stored(self, table: Table, first: date, last: date) -> None:
        """See `TableSource.figures_are_stored`."""
        self._history.forget(f"{table.name}:{first}:{last}")

    def indices(self) -> list[str]:
        """The codes of KIS's index master, of four digits."""
        return sorted(master_files.sector_names(self._client))

    def valuations(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """The current valuation of each stock: one request per stock."""
        self._refuse_another_day(stocks, trading_day)
        rows: list[dict[str, Any]] = []
        failed = self._each(
            stocks["stock_code"],
            lambda code: valuations.valuation(self._patient, code),
            lambda code, found: rows.append(
                found | self._capture_columns(code, trading_day, captured_at)
            ),
            progress,
        )
        absent = _unknown(failed, "KIS has no price of it")
        return Fetched(frame(rows, VALUATIONS.schema), failed, absent)

    def financial_statements(
        self, stocks: pl.DataFrame, month: date, progress: Progress | None = None
    ) -> Fetched:
        """Statements of each company as KIS has them now: six requests per company."""
        ends = dict(stocks.select("stock_code", "settlement_month").iter_rows())
        rows: list[dict[str, Any]] = []
        absent: dict[str, str] = {}

        def take(code: str, found: list[dict[str, Any]]) -> None:
            if not found:
                absent[code] = "KIS has no statement of it"
            own = {"stock_code": code, "asked_month": month, "source": self.name}
            now = {"fetched_at": self._settings.now()}
            rows.extend(row | own | now for row in found)

        failed = self._each(
            stocks["stock_code"],
            lambda code: financial_statements.statements(
                self._patient, code, int(ends[code]) if (ends[code] or "").isdecimal() else 12
            ),
            take,
            progress,
        )
        return Fetched(frame(rows, FINANCIAL_STATEMENTS.schema), failed, absent)

    def keep_daily_candles(
        self, stock_codes: Collection[str], rows: pl.DataFrame, first: date, last: date
    ) -> None:
        """See `TableSource.keep_daily_candles`."""
        found: dict[str, list[dict[str, Any]]] = {code: [] for code in stock_codes}
        inside = rows.filter(
            pl.col("trading_day").is_between(first, last), pl.col("stock_code").is_in(list(found))
        )
        for bar in inside.sort("trading_day", descending=True).iter_rows(named=True):
            found[bar["stock_code"]].append(bar)
        self._history.keep(found, f"days:{first}:{last}", last)

    def history_is_stored(self, first: date, last: date) -> None:
        """See `TableSource.history_is_stored`."""
        self._history.forget(f"days:{first}:{last}")
        self._history.forget(f"minutes:{last}")

    def recent_candles(
        self, stock_codes: Collection[str], progress: Progress | None = None
    ) -> Fetched:
        """See `TableSource.recent_candles`: inquire-daily-price, one request per stock.

        After the last trade of a day, an answer is reused until the next session opens, or until
        another day's candles become final.
        """
        now = self._settings.now()
        session = calendar.latest_session(now)
        settled = None
        if session.over_at <= now:
            settled = (session.day, finality.newest_final_day(now))
        if settled is None or settled != self._recent_of:
            self._recent_of, self._recent = settled, {}
        known = self._recent

        def ask(code: str) -> list[dict[str, Any]]:
            if code not in known:
                known[code] = daily_candles.recent_days(self._patient, code)
            return known[code]

        columns = ("open", "high", "low", "close", "volume", "change")
        return self._days(stock_codes, ask, columns, progress)

    def adjusted_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """See `TableSource.adjusted_candles`: the daily chart, one request per stock."""
        return self._days(
            stock_codes,
            lambda code: daily_candles.daily_page(self._patient, code, first, last, adjusted=True),
            ("close",),
            progress,
        )

    def _days(
        self,
        stock_codes: Collection[str],
        ask: Callable[[str], list[dict[str, Any]]],
        columns: tuple[str, ...],
        progress: Progress | None,
    ) -> Fetched:
        rows: list[dict[str, Any]] = []
        failed = self._each(
            stock_codes,
            ask,
            lambda code, bars: rows.extend(bar | {"stock_code": code} for bar in bars),
            progress,
        )
        schema = {"trading_day": pl.Date, "stock_code": pl.String}
        schema |= dict.fromkeys(columns, pl.Int64)
        return Fetched(frame(rows, pl.Schema(schema)), failed)

    def _each(
        self,
        stock_codes: Collection[str],
        ask: Callable[[str], V],
        take: Callable[[str, V], None],
        progress: Progress | None,
    ) -> dict[str, KISError]:
        return each(
            several(stock_codes),
            ask,
            take,
            workers=self._workers,
            rest=self._client.accounts.wait_for_breaker,
            progress=counted(progress, len(stock_codes)),
        )


def _unknown(failed: dict[str, KISError], reason: str) -> dict[str, str]:
    """Remove unknown codes from `failed`, and return them: they are not errors."""
    unknown = [code for code, error in failed.items() if isinstance(error, InvalidRequest)]
    for code in unknown:
        del failed[code]
    return dict.fromkeys(unknown, reason)
